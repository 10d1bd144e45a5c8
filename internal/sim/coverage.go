//go:build synctests

package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka/wiretap"
)

// What a process says and asks tells which of its rare paths it has taken.

// log is the log of a life: all of it is part of the story, and some of it is counted.
func (w *world) log(l *life, least slog.Level) *slog.Logger {
	return slog.New(&handler{life: l, least: least})
}

type handler struct {
	life  *life
	least slog.Level
	attrs []slog.Attr
}

// Enabled is part of slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.least }

// WithAttrs is part of slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.life, h.least, append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup is part of slog.Handler.
func (h *handler) WithGroup(string) slog.Handler { return h }

// Handle is part of slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	said := map[string]string{}
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		said[a.Key] = a.Value.String()
		fmt.Fprintf(&b, " %s=%s", a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.life.world.trace(h.life.name(), b.String())
	h.life.said(r.Message, said)
	return nil
}

// paths are the rare paths that a run of a thousand seeds must have taken, beside the faults.
const (
	discarded       = "client discarded"
	undecided       = "outcome unknown"
	wasCommitted    = "outcome unknown, and it was committed"
	wasNotCommitted = "outcome unknown, and it was not committed"
	replayed        = "journal replayed"
	newestTaken     = "newest journal entry found committed"
	newestDropped   = "newest journal entry dropped"
	givenBack       = "newest journal entry dropped, and given back by the changelog"
	restored        = "restored from the changelog"
	broughtUp       = "brought up to date by the end of the changelog"
	quarantined     = "store quarantined"
	oldStore        = "old copy of a store put back"
	handedOver      = "partitions handed over"
	takenAway       = "partitions taken away"
	refused         = "partition refused"
	heldBack        = "rebalance held back by a cycle"
	tooLong         = "group waited too long for a transaction to end"
	refusedByGroup  = "zombie refused by the group"
	refusedProducer = "zombie refused as a producer"
	firedInParts    = "more due than a cycle fires"
	ticked          = "tick written"
	fired           = "ledger fired"
	deadLetters     = "dead letter written"
	erased          = "user erased"
	dropped         = "record of an erased user dropped"
	scrubbed        = "erased users taken off the disk"
	nothingAtStart  = "process ended because nothing worked at its start"
	endedByDisk     = "process ended by a full disk"
	stoppedInOrder  = "process stopped in order"
	slowWrites      = "slow write"
	refusedWrite    = "write refused for want of space"
	claimGranted    = "claim granted by a budget"
	claimDenied     = "claim denied by a budget"
	claimReopened   = "claim granted by a raised budget"
)

var paths = []string{
	discarded, undecided, wasCommitted, wasNotCommitted, replayed, newestTaken, newestDropped, givenBack, restored, broughtUp, quarantined, oldStore,
	handedOver, takenAway, refused, heldBack, tooLong, refusedByGroup, refusedProducer, firedInParts, ticked, fired, deadLetters, erased, dropped, scrubbed, nothingAtStart,
	endedByDisk, stoppedInOrder, slowWrites, refusedWrite, claimGranted, claimDenied, claimReopened,
}

// missed are the faults that did not strike and the paths that were not taken.
func missed(covered map[string]int) (missed []string) {
	for _, f := range points {
		if covered[f.name()] == 0 {
			missed = append(missed, f.name())
		}
	}
	for _, topic := range remadeTopics {
		if f := (Fault{Kind: Recreate, Topic: topic}); covered[f.name()] == 0 {
			missed = append(missed, f.name())
		}
	}
	for _, p := range paths {
		if covered[p] == 0 {
			missed = append(missed, p)
		}
	}
	return missed
}

// said counts what a process says.
func (l *life) said(message string, with map[string]string) {
	w, p := l.world, l.process
	switch message {
	case "the client is discarded, and a new one asks the broker":
		w.cover(discarded)
		for text, path := range map[string]string{"outcome is not known": undecided, "the group waited too long": tooLong, "the group took partitions": takenAway} {
			if strings.Contains(with["error"], text) {
				w.cover(path)
			}
		}
		p.undecided.Store(strings.Contains(with["error"], "outcome is not known"))
	case "the cycle ends early, the group waits for it":
		w.cover(heldBack)
	case "journal replayed":
		if with["entries"] != "0" {
			w.cover(replayed)
		}
		switch with["newest"] {
		case "committed":
			w.cover(newestTaken)
			if p.undecided.Swap(false) {
				w.cover(wasCommitted)
			}
		case "dropped":
			w.cover(newestDropped)
			l.dropped.Store(with["partition"], true)
			if p.undecided.Swap(false) {
				w.cover(wasNotCommitted)
			}
		}
	case "restored":
		w.cover(restored)
		if with["from"] != "0" {
			w.cover(broughtUp)
			if _, ok := l.dropped.LoadAndDelete(with["partition"]); ok {
				w.cover(givenBack)
			}
		}
	case "partition open":
		l.dropped.Delete(with["partition"])
	case "the store of a partition is dropped and rebuilt from the changelog":
		w.cover(quarantined)
		beginsLater := w.compacted.Load() && strings.Contains(with["why"], "does not lead from its position")
		if !l.misled && w.DeleteRetention == week && !w.remade.Load() && !beginsLater {
			w.violated("store_trusted", fmt.Errorf("%s drops its store: %s", l.name(), with["why"]))
		}
	case "erased users are off the disk":
		w.cover(scrubbed)
	case "partitions handed over":
		w.cover(handedOver)
	case "a partition is refused and stays unprocessed until it is mended and the processor restarted":
		w.cover(refused)
		if !w.remade.Load() {
			w.violated("partition_open", fmt.Errorf("%s: %s", l.name(), with["error"]))
		}
	}
}

// requested adds a request to the story.
func (l *life) requested(r wiretap.Request, frame []byte) {
	switch r.Key {
	case kmsg.TxnOffsetCommit:
		l.world.trace(l.name(), "asks "+r.Key.Name()+l.offsets(r, frame))
	case kmsg.EndTxn, kmsg.InitProducerID, kmsg.JoinGroup, kmsg.LeaveGroup:
		l.world.trace(l.name(), "asks "+r.Key.Name())
	default:
	}
}

// offsets are what a commit of offsets says: a cycle.
func (l *life) offsets(r wiretap.Request, frame []byte) string {
	asked := kmsg.NewPtrTxnOffsetCommitRequest()
	if err := wiretap.ReadRequest(r, frame, asked); err != nil {
		l.world.violated("world", fmt.Errorf("request %s: %w", r.Key.Name(), err))
		return ""
	}
	var b strings.Builder
	for _, t := range asked.Topics {
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, " %d@%d %s", p.Partition, p.Offset, *p.Metadata)
			if fields := strings.Fields(*p.Metadata); len(fields) == 4 && fields[2] != "0" {
				l.world.cover(firedInParts)
			}
		}
	}
	return b.String()
}

// answered looks at an answer that arrives.
func (l *life) answered(r wiretap.Request, frame []byte) {
	switch r.Key {
	case kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.InitProducerID, kmsg.Heartbeat, kmsg.AddOffsetsToTxn:
	default:
		return
	}
	answer, err := wiretap.ReadAnswer(r, frame)
	if err != nil {
		l.world.violated("world", fmt.Errorf("answer to %s: %w", r.Key.Name(), err))
		return
	}
	code := errorOf(answer)
	if r.Key == kmsg.InitProducerID && code == 0 {
		l.settled.Store(true)
	}
	if r.Key == kmsg.Heartbeat && code == 0 {
		return
	}
	err = kerr.ErrorForCode(code)
	l.world.trace(l.name(), fmt.Sprintf("%s answered %v", r.Key.Name(), err))
	switch {
	case r.Key == kmsg.Heartbeat:
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
		l.world.cover(refusedByGroup)
	case errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.ProducerFenced):
		l.world.cover(refusedProducer)
	}
}

// errorOf is an answer's error code.
func errorOf(answer kmsg.Response) int16 {
	switch a := answer.(type) {
	case *kmsg.EndTxnResponse:
		return a.ErrorCode
	case *kmsg.InitProducerIDResponse:
		return a.ErrorCode
	case *kmsg.HeartbeatResponse:
		return a.ErrorCode
	case *kmsg.AddOffsetsToTxnResponse:
		return a.ErrorCode
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode
				}
			}
		}
	}
	return 0
}

// decisions are the paths of a budget, by the label of the metric that counts claims.
var decisions = map[string]string{"granted": claimGranted, "denied": claimDenied, "reopened": claimReopened}

// counted adds what a life's metrics count.
func (l *life) counted() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(l.metrics)
	families, err := registry.Gather()
	if err != nil {
		l.world.violated("world", err)
		return
	}
	for _, f := range families {
		path := map[string]string{
			"stampede_ticks_total": ticked, "stampede_ledgers_fired_total": fired, "stampede_dead_letters_total": deadLetters,
			"stampede_users_erased_total": erased, "stampede_erased_records_total": dropped,
		}[f.GetName()]
		for _, m := range f.GetMetric() {
			if f.GetName() == "stampede_claims_total" {
				path = decisions[m.GetLabel()[1].GetValue()]
			}
			if path != "" && m.GetCounter().GetValue() > 0 {
				l.world.cover(path)
			}
		}
	}
}
