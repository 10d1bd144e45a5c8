package model

import (
	"fmt"
	"strings"
	"time"
)

// Record is one record of a user.
type Record struct {
	User, ID, Kind string // Kind is the event's type
	Source         string // "s" where it is empty
	At, Clock      time.Time
	Written        string // the offset in which `time` is written: "" for Z, or "+09:00"
	Zone           string // the event's `timezone`
	V              int    // data.v
	hasV           bool   // of one that was read

	Timezone, Plan, Campaign string // of control events; plan "null" removes it
	Dates                    []int  // days since 1970
}

// CloudEvent is the record as its producer sends it.
func (r Record) CloudEvent() []byte {
	at := r.At.UTC().Format(time.RFC3339Nano)
	if r.Written != "" {
		at = r.At.In(time.FixedZone("", offsets[r.Written])).Format("2006-01-02T15:04:05.999999999") + r.Written
	}
	data := fmt.Sprintf(`{"v":%d}`, r.V)
	switch r.Kind {
	case "stampede.profile":
		var says []string
		if r.Timezone != "" {
			says = append(says, fmt.Sprintf(`"timezone":%q`, r.Timezone))
		}
		if r.Plan == "null" {
			says = append(says, `"attributes":{"plan":null}`)
		} else if r.Plan != "" {
			says = append(says, fmt.Sprintf(`"attributes":{"plan":%q}`, r.Plan))
		}
		data = "{" + strings.Join(says, ",") + "}"
	case "stampede.erased":
		data = fmt.Sprintf(`{"salt":%q}`, r.ID)
	case "stampede.enrolled", "stampede.withdrawn":
		data = fmt.Sprintf(`{"campaign":%q}`, r.Campaign)
	case "stampede.excused":
		var dates []string
		for _, day := range r.Dates {
			dates = append(dates, fmt.Sprintf("%q", date(day).Format(time.DateOnly)))
		}
		data = `{"dates":[` + strings.Join(dates, ",") + "]"
		if r.Campaign != "" {
			data += fmt.Sprintf(`,"campaign":%q`, r.Campaign)
		}
		data += "}"
	}
	zone := ""
	if r.Zone != "" {
		zone = fmt.Sprintf(`,"timezone":%q`, r.Zone)
	}
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":%q,"type":%q,"time":%q%s,"data":%s}`, r.ID, r.source(), r.Kind, at, zone, data)
}

// offsets are the zones and offsets that are drawn, in seconds east of UTC.
var offsets = map[string]int{
	"UTC": 0, "Etc/GMT+12": -12 * 3600, "Etc/GMT+7": -7 * 3600, "Etc/GMT-5": 5 * 3600, "Etc/GMT-14": 14 * 3600,
	"+00:00": 0, "-11:00": -11 * 3600, "+13:30": 13*3600 + 1800,
}

// inTime says whether an event arrives in time for a lateness: clocks have whole ms.
func (r Record) inTime(late time.Duration) bool {
	return r.Clock.Sub(r.At.Truncate(time.Millisecond)) <= late
}

func (r Record) source() string {
	if r.Source == "" {
		return "s"
	}
	return r.Source
}
