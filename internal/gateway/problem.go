package gateway

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// Problem is what was wrong with a request or with one of its events, as application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"`             // urn:stampede:problem:REASON
	Title  string `json:"title"`            // the same for every problem of the type
	Status int    `json:"status"`           // of HTTP
	Detail string `json:"detail,omitempty"` // what it is here, and what to do
	Field  string `json:"field,omitempty"`  // of the event, where one is wrong
	Rule   string `json:"rule,omitempty"`   // of the campaign language's reference: E1 to E6

	retry time.Duration // Retry-After, where it is worth trying again
}

const problemPrefix = "urn:stampede:problem:"

// kind is a type of problem.
type kind struct {
	reason string
	title  string
	status int
}

// The problems that are no fault of an event. Those of events are the reasons for dead letters: see rejected.
var (
	badRequest      = kind{"bad_request", "The request can't be read", http.StatusBadRequest}
	unauthorized    = kind{"unauthorized", "Who asks is not known", http.StatusUnauthorized}
	forbidden       = kind{"forbidden", "The key does not allow this", http.StatusForbidden}
	tooLarge        = kind{"too_large", "The request or an event is too large", http.StatusRequestEntityTooLarge}
	tooMany         = kind{"too_many_events", "A batch has too many events", http.StatusRequestEntityTooLarge}
	unsupported     = kind{"unsupported_media_type", "The content type is none of the CloudEvents binding", http.StatusUnsupportedMediaType}
	rateLimited     = kind{"rate_limited", "The key has used up its rate", http.StatusTooManyRequests}
	unavailable     = kind{"unavailable", "Events can't be taken at the moment", http.StatusServiceUnavailable}
	notAcknowledged = kind{"not_acknowledged", "It is not known whether the event was taken", http.StatusServiceUnavailable}
)

func (k kind) problem(format string, args ...any) *Problem {
	return &Problem{Type: problemPrefix + k.reason, Title: k.title, Status: k.status, Detail: fmt.Sprintf(format, args...)}
}

// eventProblems are the titles and rules of what can be wrong with an event, by the reason for which it would become a dead letter.
var eventProblems = map[campaign.Reason]struct{ title, rule string }{
	campaign.ReasonNoKey:          {"The event has no user", "E1"},
	campaign.ReasonKeyNotUTF8:     {"The user's id is not UTF-8", "E1"},
	campaign.ReasonKeyTooLong:     {"The user's id is too long", "E1"},
	campaign.ReasonNotJSON:        {"The event is not JSON", "E1"},
	campaign.ReasonNotACloudEvent: {"The event is no CloudEvent", "E1"},
	campaign.ReasonBadTime:        {"The event's time can't be read", "E1"},
	campaign.ReasonSubjectDiffers: {"The event names two users", "E1"},
	campaign.ReasonFuture:         {"The event is of the future", "E5"},
	campaign.ReasonTooLarge:       {"The event is too large", "E6"},
	campaign.ReasonUnknownControl: {"No control event has this type", "E6"},
}

// rejected is the problem of an event that would become a dead letter.
func rejected(r *campaign.Rejection) *Problem {
	about, ok := eventProblems[r.Reason]
	if !ok {
		panic("BUG: a reason that the gateway does not know: " + string(r.Reason))
	}
	status := http.StatusBadRequest
	if r.Reason == campaign.ReasonTooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	return &Problem{Type: problemPrefix + string(r.Reason), Title: about.title, Status: status, Detail: r.Detail, Rule: about.rule, Field: fieldOf(r)}
}

// fieldOf is the attribute that a rejection is about. Its text names it first, if it names any.
func fieldOf(r *campaign.Rejection) string {
	switch r.Reason {
	case campaign.ReasonNoKey, campaign.ReasonKeyNotUTF8, campaign.ReasonKeyTooLong:
		return "subject"
	case campaign.ReasonFuture:
		return "time"
	default:
	}
	if rest, ok := strings.CutPrefix(r.Detail, "`"); ok {
		name, _, _ := strings.Cut(rest, "`")
		return name
	}
	return ""
}

// write answers a request with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	setRetry(w, p.retry)
	body, err := json.Marshal(p)
	if err != nil {
		panic("BUG: a problem is no JSON: " + err.Error())
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // whoever asked may be gone
}

func setRetry(w http.ResponseWriter, after time.Duration) {
	if after > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(math.Ceil(after.Seconds()))))
	}
}
