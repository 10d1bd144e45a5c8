package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What has a name that is no user's takes the way of the ledgers, and is not among them.
func TestCampaignsTakeTheWayOfLedgers(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, "s")
	e := entry(1, 1, set("ann", "1"), set("\xffspring", "v1"))
	must(t, s.Prepare([]Prepared{e}))
	must(t, s.Checkpoint(2, Position{Input: 1}, []Change{set("\xffspring", "other")}))
	must(t, s.Checkpoint(1, Position{Input: 1}, []Change{set("\xffspring", "v1"), set("\xff\xff", ""), set("ÿ", "2"), set("", "3"), set("\xffautumn", "x")}))
	must(t, s.Prepare([]Prepared{e}))
	must(t, s.Checkpoint(1, Position{Input: 2}, []Change{gone("\xffautumn"), set("ann", "1")}))
	want := content{
		Position: Position{Input: 2}, Known: true,
		Ledgers:   map[string]string{"": "3", "ann": "1", "ÿ": "2"},
		Campaigns: map[string]string{"\xffspring": "v1", "\xff\xff": ""},
	}
	must(t, s.Close())
	s = mustOpen(t, fs, "s")
	if diff := diffOf(want, contentOf(t, s, 1)); diff != "" {
		t.Error(diff)
	}
	if value, found, err := s.Get(1, "\xffspring", nil); string(value) != "v1" || !found || err != nil {
		t.Errorf("Get gives %q, %v, %v", value, found, err)
	}
	must(t, s.Drop(1))
	if diff := diffOf(content{}, contentOf(t, s, 1)); diff != "" {
		t.Error(diff)
	}
	if c := contentOf(t, s, 2).Campaigns; c["\xffspring"] != "other" {
		t.Errorf("the other partition has %q", c)
	}
}

func TestRestoreTakesCampaigns(t *testing.T) {
	for _, buffer := range []int{maxRestoreBuffer, 1, 500} {
		s := mustOpen(t, vfs.NewMem(), "s")
		s.restoreBuffer = buffer
		must(t, s.Checkpoint(1, Position{}, []Change{set("\xffold", "x"), set("\xffkept", "k")}))
		want := content{Known: true, Ledgers: map[string]string{}, Campaigns: map[string]string{"\xffkept": "k"}}
		r, err := s.Restore(1, positionOf(t, s, 1))
		must(t, err)
		for i := range 50 {
			user, name, value := fmt.Sprintf("user-%d", i%20), fmt.Sprintf("\xffcampaign-%d", i%7), fmt.Sprint(i)
			must(t, r.Add(name, []byte(value), 0))
			must(t, r.Add(user, []byte(value), 0))
			want.Ledgers[user], want.Campaigns[name] = value, value
		}
		must(t, r.Add("\xffold", nil, 0))
		must(t, r.Finish(Position{}))
		if diff := diffOf(want, contentOf(t, s, 1)); diff != "" {
			t.Errorf("with a buffer of %d bytes: %s", buffer, diff)
		}
	}
}
