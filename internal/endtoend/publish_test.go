package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/judge"
)

// every rewards each event of a user.
const every = `campaign: every
version: %d
title: Version %[1]d
starts: 2000-01-01
lateness: 35 days
goal: {event: [data.logged, birth.reported, page.viewed]}
repeat: always
reward: {kind: points}
`

// A campaign is published in one version after the other while events flow and processors are killed. Each event that came after the
// first publish has exactly one reward, of the version that was in force at its place in its partition.
func TestVersionsChangeAtOneOffset(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	const versions = 4
	random := moments(t, 1)
	soon := func() { time.Sleep(time.Duration(200+random.IntN(1500)) * time.Millisecond) }

	in := newInstallation(t, "versions")
	observer, err := in.Observe()
	if err != nil {
		t.Fatal(err)
	}
	all := []*processor{in.processor("a"), in.processor("b")}
	for _, p := range all {
		p.start()
	}
	_, end := in.loadOf(4000, 3000, 0, false)
	eventually(t, "both have partitions", func() bool { return all[0].ready() && all[1].ready() })
	dir := t.TempDir()
	for version := 1; version <= versions; version++ {
		soon()
		if err := os.WriteFile(filepath.Join(dir, "every.yaml"), fmt.Appendf(nil, every, version), 0o600); err != nil {
			t.Fatal(err)
		}
		victim := all[random.IntN(len(all))]
		if version%2 == 0 {
			victim.kill()
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			victim.start()
		}
		t.Log(strings.TrimSpace(in.publish(dir)))
		if version%2 == 1 {
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			victim.kill()
			soon()
			victim.start()
		}
	}
	soon()
	total := end()
	in.processed()
	for _, p := range all {
		p.stop()
	}
	v := in.judged(all...)
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
	if v.Events != int(total) || v.Told != versions*int(in.Topics.Events.Partitions) || v.InStores != 6 { //nolint:gosec // small
		t.Errorf("too little happened to prove anything: %s", v)
	}
	events, err := judge.Versions(context.Background(), in.Case, "every")
	if err != nil {
		t.Error(err)
	}
	t.Logf("events of each version, 0 before the first publish: %v", events)
	for version := range versions + 1 {
		if events[version] < 100 {
			t.Errorf("%d events of version %d prove nothing", events[version], version)
		}
	}
}
