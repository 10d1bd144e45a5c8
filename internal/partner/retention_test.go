package partner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// commits adds outcomes as processors do: in transactions, which end with a marker in each partition.
func (h *house) commits(transactions ...int) {
	h.Helper()
	plain := h.client
	defer func() { h.client = plain }()
	var err error
	if h.client, err = h.connection.Client(h.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("writer")); err != nil {
		h.Fatal(err)
	}
	defer h.client.Close()
	for _, n := range transactions {
		if err := h.client.BeginTransaction(); err != nil {
			h.Fatal(err)
		}
		h.write(n)
		if err := h.client.EndTransaction(h.Context(), kgo.TryCommit); err != nil {
			h.Fatal(err)
		}
	}
}

// retains lets the topic's retention take all before an offset of each partition, or all where it is -1.
func (h *house) retains(from int64) {
	h.Helper()
	admin := kadm.NewClient(h.client)
	ends, err := admin.ListEndOffsets(h.Context(), h.partner.Topic)
	if err != nil {
		h.Fatal(err)
	}
	var offsets kadm.Offsets = map[string]map[int32]kadm.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		at := o.Offset
		if from >= 0 {
			at = from
		}
		offsets.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: at})
	})
	deleted, err := admin.DeleteRecords(h.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		h.Fatal(err)
	}
}

// committed is the sum of what the push's group has committed, 0 as long as there is no group.
func (h *house) committed() (sum int64) {
	h.Helper()
	offsets, err := kadm.NewClient(h.client).FetchOffsets(h.Context(), "push-"+h.partner.Topic)
	if err != nil {
		return 0
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum
}

func (h *house) ends() (sum int64) {
	h.Helper()
	ends, err := h.connection.Ends(h.Context(), h.partner.Topic)
	if err != nil {
		h.Fatal(err)
	}
	for _, end := range ends {
		sum += end
	}
	return sum
}

func onBoth(t *testing.T, test func(h *house)) {
	t.Run("embedded", func(t *testing.T) { test(newHouse(t)) })
	t.Run("real", func(t *testing.T) { test(newRealHouse(t)) })
}

func takes(int, string) int { return 0 }

// All is delivered and retention takes all, the last transaction's marker, too: nothing is lost, and the next push goes on.
func TestAPushIsNotHeldUpByMarkersThatAreGone(t *testing.T) {
	onBoth(t, func(h *house) {
		h.commits(20, 1, 0, 9)
		r := newReceiver(h.T, takes)
		end := h.push(r)
		h.eventually("all is committed, the last marker, too", func() bool { return h.committed() == h.ends() })
		if err := end(); err != nil {
			h.Fatal(err)
		}
		h.retains(-1)
		end = h.push(r)
		h.commits(7)
		h.eventually("what came later is delivered", func() bool { return r.has() == 37 })
		if err := end(); err != nil {
			h.Error(err)
		}
		h.complete(r)
	})
}

// What retention has taken before it was delivered is told, and how much that is.
func TestAPushTellsWhatIsLost(t *testing.T) {
	h := newHouse(t)
	h.commits(20)
	r := newReceiver(t, takes)
	end := h.push(r)
	h.eventually("all is committed", func() bool { return h.committed() == h.ends() })
	if err := end(); err != nil {
		t.Fatal(err)
	}
	h.commits(40)
	h.retains(-1)
	stop, done := h.start(r)
	defer stop()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "are gone, the topic's retention removed them before they were delivered: the offset is ") || !strings.Contains(err.Error(), "so these are ") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

// A log that does not begin at 0 is read from where it begins, also by who comes after a push that was killed with its first batch.
func TestAFirstPushBeginsWhereTheLogDoes(t *testing.T) {
	onBoth(t, func(h *house) {
		h.write(40)
		h.retains(3)
		arrived, dead := make(chan bool, 1), make(chan bool)
		end := h.push(newReceiver(h.T, func(int, string) int {
			select {
			case arrived <- true:
			default:
			}
			<-dead
			return 503
		}))
		<-arrived
		if err := end(); err != nil {
			h.Fatal(err)
		}
		close(dead)
		r := newReceiver(h.T, takes)
		end = h.push(r)
		h.eventually("the rest is delivered", func() bool { return r.has() == 40-2*3 })
		if err := end(); err != nil {
			h.Error(err)
		}
	})
}
