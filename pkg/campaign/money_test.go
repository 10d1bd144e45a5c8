package campaign

import "testing"

// Amounts are whole minor units, by ISO 4217 and not by any locale; a currency that has come since is one.
func TestAmountsAreWholeMinorUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"25.00 USD": 2500, "25 USD": 2500, "1200 JPY": 1200, "1.234 KWD": 1234, "1.2345 UYW": 12345, "0.10 VES": 10, "3 SLE": 300, "5.5 XCG": 550, "7 ZWG": 700,
		"90071992547409.91 EUR": 9007199254740991,
	} {
		a, err := ParseAmount(text)
		if err != nil || a.Units != want {
			t.Errorf("%s is %d units, wanted %d: %v", text, a.Units, want, err)
			continue
		}
		if again, err := ParseAmount(a.String()); err != nil || again != a {
			t.Errorf("%s is written as %s", text, a)
		}
	}
	for _, text := range []string{"", "25.00", "25.00 usd", "25.00 XYZ", "1.5 JPY", "1.2345 KWD", "-1 USD", "1. USD", ".5 USD", "1e3 USD", "92233720368547758.08 USD"} {
		if a, err := ParseAmount(text); err == nil {
			t.Errorf("%q is %v", text, a)
		}
	}
}
