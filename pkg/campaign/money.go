package campaign

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// Amount is money in whole minor units of its currency (rule R2): 25.00 USD is 2500 units, 25 JPY is 25.
type Amount struct {
	Units    int64
	Currency string // ISO 4217, three letters
}

// minorDigits lists the currencies of ISO 4217 whose minor unit is not a hundredth. (The digits that locales print differ
// for some currencies, so they can't be taken from a locale library.)
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0,
	"VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// youngCurrencies are those that ISO 4217 has got since the library's list was made.
var youngCurrencies = []string{"MRU", "SLE", "STN", "UYW", "VED", "VES", "XCG", "ZWG"}

func isCurrency(code string) bool {
	_, err := currency.ParseISO(code)
	return (err == nil || slices.Contains(youngCurrencies, code)) && code == strings.ToUpper(code)
}

func digitsOf(code string) int {
	if n, ok := minorDigits[code]; ok {
		return n
	}
	return 2
}

// ParseAmount reads an amount as authors write it: "25.00 USD", "25 USD", "1200 JPY". It is never rounded: more decimals
// than the currency has are an error.
func ParseAmount(s string) (Amount, error) {
	number, code, ok := strings.Cut(strings.TrimSpace(s), " ")
	code = strings.TrimSpace(code)
	if !ok {
		return Amount{}, fmt.Errorf("an amount is a number and a currency, for example 25.00 USD, not %q", shown(s))
	}
	if !isCurrency(code) {
		return Amount{}, fmt.Errorf("%q is no currency of ISO 4217: write three capital letters, for example USD or EUR", shown(code))
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits := digitsOf(code)
	if len(fraction) > digits {
		return Amount{}, fmt.Errorf("%s has %d decimals, %q has %d", code, digits, shown(number), len(fraction))
	}
	units, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 63)
	if err != nil || whole == "" || strings.HasSuffix(number, ".") {
		return Amount{}, fmt.Errorf("%q is no amount: write digits and a point, for example 25.00", shown(number))
	}
	return Amount{Units: int64(units), Currency: code}, nil
}

// String writes the amount as authors do.
func (a Amount) String() string {
	digits := digitsOf(a.Currency)
	s := strconv.FormatInt(a.Units, 10)
	if digits == 0 {
		return s + " " + a.Currency
	}
	for len(s) <= digits {
		s = "0" + s
	}
	return s[:len(s)-digits] + "." + s[len(s)-digits:] + " " + a.Currency
}
