package stream_test

import (
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

func TestEventsInRewardsOut(t *testing.T) {
	b := newBench(t)
	b.produce(5000)
	dir := b.dir("a")
	w := b.work("a")
	b.produce(3000)
	b.processed()
	b.end(w)
	v := b.judge(dir)
	if v.Events != 8000 || v.Rewards < 100 || v.DeadLetters < 5 || v.InStores != 6 {
		t.Errorf("too little happened to prove anything: %s", v)
	}
	if status := w.Status(); status.Events != 8000 || status.Rewards != int64(v.Rewards) || status.Rejected != int64(v.DeadLetters) {
		t.Errorf("the status is %+v, judged was %s", status, v)
	}
}

// Goals of every kind live through restarts, a lost store and the changelog.
func TestEveryKindOfGoal(t *testing.T) {
	b := newBench(t)
	var err error
	if b.campaigns, err = campaign.Load(os.DirFS("testdata"), "campaigns"); err != nil {
		t.Fatal(err)
	}
	b.publish()
	for range 3 {
		b.produce(2500)
		b.end(b.work("a"))
	}
	if err := os.RemoveAll(b.dir("a")); err != nil {
		t.Fatal(err)
	}
	b.produce(2500)
	w := b.work("a")
	b.end(w)
	v := b.judge(b.dir("a"))
	if v.Events != 10_000 || v.Rewards < 1000 || v.InStores != 6 {
		t.Errorf("too little happened to prove anything: %s", v)
	}
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.produce(1000)
		b.end(b.work("a"))
	}
	b.judge(b.dir("a"))
}

func TestWorkersComeAndGo(t *testing.T) {
	b := newBench(t)
	dirs := []string{b.dir("a"), b.dir("b"), b.dir("c")}
	observer, err := b.judged().Observe()
	if err != nil {
		t.Fatal(err)
	}
	b.produce(2000)
	first := b.start(dirs[0])
	b.processed()
	second := b.start(dirs[1])
	for range 20 {
		b.produce(100)
	}
	b.eventually("both have partitions", func() bool { return first.Status().Open == 3 && second.Status().Open == 3 })
	third := b.start(dirs[2])
	b.produce(1000)
	b.eventually("all have partitions", func() bool { return third.Status().Open == 2 })
	b.end(second)
	b.produce(1000)
	b.eventually("the others have taken over", func() bool { return first.Status().Open+third.Status().Open == 6 })
	b.processed()
	b.end(first)
	b.end(third)
	b.judge(dirs...)
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrittenIsCompressedAsConfigured(t *testing.T) {
	b := newBench(t)
	b.produce(500)
	b.end(b.work("a"))
	compressed := func(c *stream.Config) { c.Compression = kgo.ZstdCompression() }
	w := b.start(b.dir("a"), compressed)
	b.produce(500)
	b.processed()
	b.end(w)
	const none, zstd = 0, 4 // the protocol's numbers
	how := map[uint8]int{}
	for _, r := range b.committed(b.topics.Changelog.Name) {
		how[r.Attrs.CompressionType()]++
	}
	if how[none] < 100 || how[zstd] < 100 || len(how) > 2 {
		t.Errorf("of the changelog's records so many are compressed, by how: %v", how)
	}
	b.judge(b.dir("a"))
}
