package endtoend

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// A processor that is told to stop under load ends its cycle, writes its checkpoint and leaves the group, so that the other one has all partitions at once and the
// next start has nothing to replay.
func TestSIGTERMUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	const (
		promised = 5 * time.Second // on a machine that has nothing else to do
		stuck    = 30 * time.Second
	)
	in := newInstallation(t, "sigterm")
	in.publish(campaignsDir)
	a, b := in.processor("a"), in.processor("b")
	a.args = append(a.args, "--checkpoint-interval", "1m") // what is written is written by the stop
	a.start()
	b.start()
	_, end := in.load(5000, 3000, 0)
	eventually(t, "both work", func() bool {
		return a.ready() && b.ready() && a.metric("stampede_events_total") > 1000 && b.metric("stampede_events_total") > 1000
	})

	told := time.Now()
	a.signal(syscall.SIGTERM)
	err := <-a.ended
	a.cmd = nil
	ended := time.Since(told)
	eventually(t, "the other has all partitions", func() bool { return b.metric("stampede_partitions_open") == 6 })
	t.Logf("it has ended after %s (%s is promised), and the other had all partitions after %s", ended.Round(time.Millisecond), promised, time.Since(told).Round(time.Millisecond))
	if err != nil || ended > stuck {
		t.Errorf("it ended after %s with %v", ended, err)
	}
	for _, sentence := range []string{"left the group", "processor has stopped in order"} {
		if !strings.Contains(a.said(), sentence) {
			t.Errorf("it does not say %q:\n%s", sentence, a.tail(4<<10))
		}
	}
	store, err := state.Open(state.Config{Dir: a.dir})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(6) {
		entries := 0
		if err := store.Journal(n, func(state.Prepared) error { entries++; return nil }); err != nil || entries > 0 {
			t.Errorf("partition %d has %d journal entries behind its checkpoint, %v", n, entries, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	end()
	in.processed()
	b.stop()
	in.judged(a, b)
}
