package campaign

import "testing"

// L1: what authors may not write any more is read as before where it is in the log.
func TestL1WhatIsInForceIsReadThoughItIsRefusedNow(t *testing.T) {
	for _, goal := range []string{
		"goal: {sum: 5, of: hit, value: event.weekday}\n",
		"goal: {distinct: 5, of: hit, value: event.time}\n",
		"goal: {event: stampede.foo}\n",
	} {
		src := withTheRest(goal)
		if _, mistakes := Parse("c.yaml", []byte(src)); mistakes == nil {
			t.Errorf("%s is not refused", goal)
		}
		if _, err := (Definition{Language: firstLanguage, Source: src}).compile("c.yaml"); err != nil {
			t.Errorf("%s of the log: %v", goal, err)
		}
	}
}
