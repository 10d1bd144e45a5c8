package judge

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// What v0.1.0 did otherwise, for a log that it has worked on a part of. Rewards, dead letters and positions are the same.

// asEarlier is what is kept, as both can be compared by it: ledgers had no civil dates, and claims were kept only where a budget said `reopen`.
func asEarlier(kept map[string][]byte) map[string][]byte {
	earlier := map[string][]byte{}
	for name, value := range kept {
		if strings.HasPrefix(name, "\xffdenied/") {
			continue
		}
		if !strings.HasPrefix(name, "\xff") {
			if dateless, err := campaign.WithoutDates(value); err == nil {
				value = dateless
			}
		}
		earlier[name] = value
	}
	return earlier
}

// spelled is a message's value. An earlier recall named its budget, where one of today is for all budgets of a home.
func (c Case) spelled(value string) string {
	var event struct {
		Type, Time string
		Data       struct{ User string }
	}
	if !c.Earlier || json.Unmarshal([]byte(value), &event) != nil || event.Type != "stampede.claims_recalled" {
		return value
	}
	return fmt.Sprintf("recall of %s at %s", event.Data.User, event.Time)
}
