package stream_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/model"
)

var seed = flag.Uint64("seed", 0, "of the story that is drawn; 0 draws one")

// A story is drawn for each partition: campaigns of every kind come, change and go while users do things. A worker lives through it with stops,
// a lost store and an old one. The rewards must be the model's, which shares no code with the engine.
func TestDrawnStories(t *testing.T) {
	const partitions = 3
	drawn := *seed
	if drawn == 0 {
		drawn = rand.Uint64()
	}
	t.Logf("go test ./internal/stream -run TestDrawnStories -seed %d draws the same", drawn)
	b := newBenchWith(t, kafka.TopicsConfig{Partitions: partitions})
	var stories []model.Story
	for n := range partitions {
		users := []string{fmt.Sprint("ann-", n), fmt.Sprint("bob-", n), fmt.Sprint("cid-", n)}
		story := model.DrawStory(model.Rand(rand.New(rand.NewPCG(drawn, uint64(n)))), users, 60) //nolint:gosec // small
		stories = append(stories, story)
		b.model = append(b.model, story.Campaigns...)
		b.erased = append(b.erased, users...)
	}
	const parts = 4
	for part := range parts {
		for n, story := range stories {
			from, to := part*len(story.Steps)/parts, (part+1)*len(story.Steps)/parts
			b.tell(int32(n), story.Steps[from:to]) //nolint:gosec // small
		}
		switch part {
		case 1:
			copyDir(t, b.dir("a"), b.dir("earlier"))
		case 2:
			if err := os.RemoveAll(b.dir("a")); err != nil {
				t.Fatal(err)
			}
		}
		b.end(b.work("a"))
	}
	if v := b.judge(b.dir("a"), b.dir("earlier")); v.InStores != partitions || v.Behind != partitions || v.Modelled != v.Rewards {
		t.Errorf("judged were %s, %d rewards by the model", v, v.Modelled)
	}
	b.end(b.work("earlier"))
	b.judge(b.dir("a"), b.dir("earlier"))
}

// tell writes a stretch of a story to a partition, with its clocks: the embedded broker keeps what it is given.
func (b *bench) tell(partition int32, steps []model.Step) {
	b.Helper()
	cl, err := b.connection.Client(b.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	var records []*kgo.Record
	for _, step := range steps {
		records = append(records, &kgo.Record{Topic: b.topics.Events.Name, Partition: partition, Key: step.Key, Value: step.Value, Timestamp: step.Clock})
	}
	if err := cl.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
}
