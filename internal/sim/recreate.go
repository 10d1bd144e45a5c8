//go:build synctests

package sim

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// recreate makes a topic anew and starts the processes again. They can't go on from what they have, so they refuse partitions, and nothing may be
// issued until somebody has decided.
func (w *world) recreate(ctx context.Context, f *Fault) {
	name := map[string]string{"events": w.topics.Events.Name, "changelog": w.topics.Changelog.Name}[f.Topic]
	before, err := w.connection().Ends(ctx, w.topics.Rewards.Name)
	if err != nil {
		w.violated("world", err)
		return
	}
	if _, err := kadm.NewClient(w.upstream).DeleteTopic(ctx, name); err != nil {
		w.violated("world", err)
		return
	}
	cl, err := w.connectUpstream(ctx)
	if err != nil {
		w.violated("world", err)
		return
	}
	w.upstream.Close() // it knows the topic that is gone
	w.upstream = cl
	topics, err := kafka.EnsureTopics(ctx, w.upstream, w.topicsConfig())
	if err != nil {
		w.violated("world", err)
		return
	}
	w.remade.Store(true)
	w.struck(f)
	for _, r := range w.load.records {
		w.produce(&kgo.Record{Topic: topics.Events.Name, Key: []byte(r.User), Value: r.CloudEvent(), Timestamp: r.Clock})
	}
	for _, p := range w.processes {
		p.misled = true
	}
	w.start()
	time.Sleep(remadeTime)
	w.mu.Lock()
	seen := w.covered[refused]
	w.mu.Unlock()
	w.end()
	after, err := w.connection().Ends(ctx, w.topics.Rewards.Name)
	if err != nil {
		w.violated("world", err)
		return
	}
	if !maps.Equal(before, after) {
		w.violated("remade_topic_stops", fmt.Errorf("topic %s was made anew, and rewards were issued: their ends were %v and are %v", name, before, after))
	}
	if seen == 0 {
		w.violated("remade_topic_stops", fmt.Errorf("topic %s was made anew, and no partition is refused", name))
	}
}
