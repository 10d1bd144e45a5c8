package campaign

import (
	"fmt"
	"testing"
)

// The date of an outcome is the civil date of what achieved it (O1, T1): the event's zone, else its offset, else the user's zone, else the campaign's.
func TestAnOutcomesDateIsTheUsers(t *testing.T) {
	outcome := func(r *Result) string {
		if len(r.Outcomes) != 1 {
			return fmt.Sprint(len(r.Outcomes), " outcomes")
		}
		o := &r.Outcomes[0]
		return fmt.Sprint(o.Kind, " ", o.Cycle, " ", o.Date)
	}
	f := func(name, campaign, timezone, at, data, want string) {
		t.Helper()
		s := tell(t, head+campaign)
		if timezone != "" {
			s.zone("2026-01-15T00:00:00Z", timezone)
		}
		value := `{"specversion":"1.0","id":"1","source":"s","type":"hit","time":"` + at + `"` + data + `}`
		if got := outcome(s.apply("2026-01-15T21:00:00Z", value)); got != want {
			t.Errorf("%s: %s, wanted %s", name, got, want)
		}
	}
	const each = "repeat: always\ngoal: {count: 1, of: hit, per: day}\n"
	const once = "goal: {event: hit}\n"
	f("nobody says a zone", once, "", "2026-01-15T20:00:00Z", "", "achieved 1 2026-01-15")
	f("the campaign's zone", "timezone: Asia/Tokyo\n"+once, "", "2026-01-15T20:00:00Z", "", "achieved 1 2026-01-16")
	f("the user's zone", once, "Asia/Kolkata", "2026-01-15T20:00:00Z", "", "achieved 1 2026-01-16")
	f("the time's offset", once, "", "2026-01-16T01:30:00+05:30", "", "achieved 1 2026-01-16")
	f("the event's zone", once, "Asia/Kolkata", "2026-01-15T20:00:00Z", `,"timezone":"America/New_York"`, "achieved 1 2026-01-15")
	f("a period of its own", each, "Asia/Kolkata", "2026-01-15T20:00:00Z", "", "achieved 2026-01-16 2026-01-16")
	f("a day that begins late", "day_starts: 04:00\n"+each, "Asia/Kolkata", "2026-01-15T20:00:00Z", "", "achieved 2026-01-15 2026-01-15")
	f("far west, and a day that begins late", "day_starts: 23:00\n"+each, "Pacific/Pago_Pago", "2026-01-15T05:00:00Z", "", "achieved 2026-01-13 2026-01-13")
}

// The latest event of the evidence says it, whatever arrives after it.
func TestAnOutcomesDateIsOfTheLatestEvent(t *testing.T) {
	s := tell(t, head+"goal: {count: 3, of: hit}\n")
	s.event("2026-01-16T08:00:00+14:00")
	s.event("2026-01-15T19:00:00Z")
	r := s.apply("2026-01-15T21:00:00Z", `{"specversion":"1.0","id":"2","source":"s","type":"hit","time":"2026-01-15T05:00:00-11:00"}`)
	if len(r.Outcomes) != 1 || r.Outcomes[0].Date != DayOf(2026, 1, 15) || r.Rewards[0].AchievedAt != 1768503600000000000 {
		t.Errorf("%+v", r)
	}
	s = tell(t, head+"goal: {count: 2, of: hit}\n")
	s.event("2026-01-16T09:00:00+14:00")
	r = s.apply("2026-01-15T21:00:00Z", `{"specversion":"1.0","id":"2","source":"s","type":"hit","time":"2026-01-15T18:59:59Z"}`)
	if len(r.Outcomes) != 1 || r.Outcomes[0].Date != DayOf(2026, 1, 16) {
		t.Errorf("%+v", r.Outcomes)
	}
}

// Who withdraws does so on a date of the user's, too.
func TestAWithdrawalsDateIsTheUsers(t *testing.T) {
	s := tell(t, head+"goal: {count: 3, of: hit}\n")
	s.zone("2026-01-15T00:00:00Z", "Asia/Kolkata")
	s.event("2026-01-15T19:00:00Z")
	s.apply("2026-01-15T20:00:00Z", `{"specversion":"1.0","id":"w","source":"s","type":"stampede.withdrawn","time":"2026-01-15T20:00:00Z","data":{"campaign":"c"}}`)
	if len(s.ended) != 1 || s.ended[0] != "withdrawn 1 2026-01-16" {
		t.Error(s.ended)
	}
}
