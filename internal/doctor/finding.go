package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Severity says what a finding means for a processor.
type Severity string

// The severities.
const (
	OK        Severity = "ok"
	Unchecked Severity = "not checked"
	Advice    Severity = "advice" // it works, and could be better or safer
	Wrong     Severity = "wrong"  // a processor does not work, or a promise does not hold
)

// Area is a group of checks.
type Area string

// The areas, in the order in which they are looked at.
const (
	Addresses   Area = "addresses"
	Brokers     Area = "brokers"
	Topics      Area = "topics"
	Permissions Area = "permissions"
	Clocks      Area = "clocks"
	Group       Area = "group"
	Producers   Area = "producers"
	Disk        Area = "disk"
	Limits      Area = "limits"
)

// Finding is what is told of one thing that was looked at.
type Finding struct {
	Severity Severity `json:"severity"`
	Area     Area     `json:"area"`
	Place    string   `json:"place"`          // such as "broker 2" or "topic events"
	What     string   `json:"what"`           // a sentence without the place
	Why      string   `json:"why,omitempty"`  // it matters
	Mend     string   `json:"mend,omitempty"` // a command to copy, or what to do
}

// unchecked says why something could not be looked at.
func unchecked(area Area, place, what string, err error) Finding {
	return Finding{Severity: Unchecked, Area: area, Place: place, What: fmt.Sprintf("%s: %v", what, err)}
}

// numbers are "1", "1 and 2", "1, 2 and 7": for places of which there can be many, the first of them.
func numbers[T int | int32](of []T) string {
	const most = 20
	of = slices.Sorted(slices.Values(of))
	texts := make([]string, 0, len(of))
	for _, n := range of {
		texts = append(texts, strconv.FormatInt(int64(n), 10))
	}
	if len(texts) > most {
		texts = append(texts[:most], fmt.Sprintf("%d more", len(of)-most))
	}
	if last := len(texts) - 1; last > 0 {
		return strings.Join(texts[:last], ", ") + " and " + texts[last]
	}
	return strings.Join(texts, "")
}

// counted is a number with its noun.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// ofBrokers tells once what is the same of several brokers.
func ofBrokers(found map[int32][]Finding) []Finding {
	var all []Finding
	where := map[Finding][]int32{}
	for _, node := range sortedKeys(found) {
		for _, f := range found[node] {
			f.Place = ""
			if where[f] == nil {
				all = append(all, f)
			}
			where[f] = append(where[f], node)
		}
	}
	for i, f := range all {
		all[i].Place = "broker " + numbers(where[f])
		if len(where[f]) > 1 {
			all[i].Place = "brokers " + numbers(where[f])
		}
	}
	return all
}
