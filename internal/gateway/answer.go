package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// result is what became of an event of a batch.
type result struct {
	ID      string   `json:"id,omitempty"` // absent where it could not be read
	Status  int      `json:"status"`       // 202, or that of the problem
	Problem *Problem `json:"problem,omitempty"`
}

// answerBatch tells what became of each event, in the order of the batch: 202 if all are taken, 207 if some are, else the status of the
// first that is not. It returns that status.
func answerBatch(w http.ResponseWriter, items []item) (status int) {
	results := struct {
		Accepted int      `json:"accepted"`
		Refused  int      `json:"refused"`
		Results  []result `json:"results"`
	}{Results: make([]result, len(items))}
	first := http.StatusAccepted
	var retry time.Duration
	for i, it := range items {
		results.Results[i] = result{ID: it.id, Status: http.StatusAccepted, Problem: it.problem}
		if it.problem == nil {
			results.Accepted++
			continue
		}
		results.Refused++
		results.Results[i].Status = it.problem.Status
		retry = max(retry, it.problem.retry)
		if first == http.StatusAccepted {
			first = it.problem.Status
		}
	}
	status = http.StatusMultiStatus
	if results.Accepted == 0 || results.Refused == 0 {
		status = first
	}
	text, err := json.Marshal(results)
	if err != nil {
		panic("BUG: an answer is no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	setRetry(w, retry)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever asked may be gone
	return status
}

func say(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // whoever asked may be gone
}
