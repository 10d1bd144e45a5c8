package doctor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// expect wants findings of these severities, in this order, and words in each of them.
func expect(t *testing.T, about string, found []Finding, wanted ...string) {
	t.Helper()
	for i := range max(len(found), len(wanted)) {
		switch {
		case i >= len(found):
			t.Errorf("%s: it is not found: %s", about, wanted[i])
		case i >= len(wanted):
			t.Errorf("%s: nobody expects %+v", about, found[i])
		default:
			severity, words, _ := strings.Cut(wanted[i], ": ")
			if f := found[i]; string(f.Severity) != severity || !strings.Contains(fmt.Sprintf("%+v", f), words) {
				t.Errorf("%s: found %+v, wanted %s", about, f, wanted[i])
			}
		}
	}
}

func TestBrokerSettings(t *testing.T) {
	good := map[string]string{
		retryBackoff: "2", "transaction.max.timeout.ms": "900000", "group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000", "offsets.retention.minutes": "10080",
	}
	f := func(setting, value string, wanted ...string) {
		t.Helper()
		settings := maps.Clone(good)
		settings[setting] = value
		expect(t, setting+"="+value, brokerSettings(settings), wanted...)
	}
	f(retryBackoff, "2", "ok: is 2", "ok: 7 days")
	f(retryBackoff, "20", "advice: set add.partitions.to.txn.retry.backoff.ms=2 in the server.properties", "ok: ")
	f(retryBackoff, "", "ok: 7 days") // before Kafka 4 there was none
	f("transaction.max.timeout.ms", "29999", "ok: ", "wrong: transaction.max.timeout.ms=30000", "ok: ")
	f("transaction.max.timeout.ms", "30000", "ok: ", "ok: ")
	f("group.min.session.timeout.ms", "10001", "ok: ", "wrong: group.min.session.timeout.ms is 10001", "ok: ")
	f("group.max.session.timeout.ms", "9999", "ok: ", "wrong: group.max.session.timeout.ms is 9999", "ok: ")
	f("offsets.retention.minutes", "10079", "ok: ", "advice: offsets.retention.minutes is 10079")
}

func TestVersions(t *testing.T) {
	four := func() version {
		return version{
			guess:    "v4.0",
			most:     map[int16]int16{kmsg.Metadata.Int16(): 13, kmsg.TxnOffsetCommit.Int16(): 5, kmsg.OffsetFetch.Int16(): 9, kmsg.JoinGroup.Int16(): 9},
			features: map[string]int16{transactionFeature: 2},
		}
	}
	old, three, down := four(), four(), version{err: errors.New("no answer")}
	old.guess, old.most[kmsg.Metadata.Int16()] = "v2.7", 9
	three.guess, three.features = "v3.9", nil
	expect(t, "all alike", versions(map[int32]version{1: four(), 2: four()}), "ok: brokers 1 and 2")
	expect(t, "too old", versions(map[int32]version{1: old}), "wrong: topics have ids")
	expect(t, "before KIP-890", versions(map[int32]version{1: three}), "ok: v3.9", "advice: upgrade --feature transaction.version=2")
	expect(t, "an upgrade", versions(map[int32]version{1: three, 2: four()}), "ok: v3.9", "advice: broker 1", "ok: v4.0", "advice: v3.9 (1), v4.0 (2)")
	expect(t, "one down", versions(map[int32]version{1: down, 2: four()}), "not checked: broker 1", "ok: broker 2")
}

func TestReplication(t *testing.T) {
	detail := func(isr ...int32) kadm.TopicDetail {
		leader := int32(-1)
		if len(isr) > 0 {
			leader = isr[0]
		}
		return kadm.TopicDetail{Partitions: kadm.PartitionDetails{0: {Partition: 0, Leader: leader, Replicas: []int32{1, 2, 3}, ISR: isr}}}
	}
	alone := kadm.TopicDetail{Partitions: kadm.PartitionDetails{0: {Partition: 0, Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}}}
	f := func(about string, d kadm.TopicDetail, settings map[string]string, wanted ...string) {
		t.Helper()
		expect(t, about, replication("events", d, settings, 3), wanted...)
	}
	two := map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
	f("as it should be", detail(1, 2, 3), two, "ok: 3 replicas")
	f("one behind", detail(1, 2), two, "advice: not all replicas in sync")
	f("too few", detail(1), two, "wrong: nothing can be written there")
	f("no leader", detail(), two, "wrong: without a leader")
	f("one is enough", detail(1, 2, 3), map[string]string{"min.insync.replicas": "1"}, "advice: min.insync.replicas=2")
	f("all are needed", detail(1, 2, 3), map[string]string{"min.insync.replicas": "3"}, "advice: stops all writing")
	f("unclean", detail(1, 2, 3), map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}, "wrong: unclean.leader.election.enable=false")
	f("one replica", alone, two, "wrong: fewer replicas", "advice: kafka-reassign-partitions.sh")
}

func TestClocks(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := func(about string, s skew, wanted string) {
		t.Helper()
		expect(t, about, []Finding{clock("broker 1", s, time.Second)}, wanted)
	}
	f("the same", between(noon, noon, noon.Add(3*time.Millisecond)), "ok: apart by 3ms at most")
	f("a slow answer says less", between(noon, noon.Add(-2*time.Second), noon.Add(2*time.Second)), "ok: apart by 2.001s at most")
	f("behind", between(noon.Add(5*time.Second), noon, noon.Add(time.Second)), "advice: behind its by at least 4s")
	f("ahead", between(noon.Add(-5*time.Second), noon, noon.Add(time.Second)), "advice: ahead of its by at least 4.999s")
	f("far behind", between(noon.Add(time.Hour), noon, noon), "wrong: behind its by at least 1h")
	f("far ahead", between(noon.Add(-time.Hour), noon, noon), "wrong: ahead of its by at least 59m59.999s")
	// An old record says nothing of a clock that is ahead, and one of the future all.
	f("an old record", notBehind(noon.Add(-time.Hour), noon), "not checked: whether it is ahead can't be told")
	f("one of the future", notBehind(noon.Add(2*time.Minute), noon), "wrong: behind its by at least 2m")
}

func TestOffsets(t *testing.T) {
	ours := stream.Commit{Step: 0, Clock: 5}.String()
	f := func(about string, p progress, wanted ...string) {
		t.Helper()
		expect(t, about, offsets("group g", "events", map[int32]progress{3: p}), wanted...)
	}
	f("new", progress{committed: -1}, "ok: nothing is processed yet, and nothing waits")
	f("under way", progress{committed: 5, metadata: ours, end: 8, processed: true}, "ok: 1 of 1 partitions, and 3 offsets wait")
	f("put right by hand", progress{committed: 5, end: 8, processed: true}, "ok: ")
	f("expired", progress{committed: -1, end: 8, processed: true}, "wrong: partitions 3 of events: it has no offset")
	f("gone", progress{committed: 5, metadata: ours, start: 6, end: 8, processed: true}, "wrong: the events at its offset are gone")
	f("another topic", progress{committed: 9, metadata: ours, end: 8, processed: true}, "wrong: its offset is behind the topic's end")
	f("another program", progress{committed: 5, metadata: "theirs", end: 8, processed: true}, "wrong: another program has committed")
}

func TestTransactionsThatHang(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := func(idle time.Duration, wanted ...string) {
		t.Helper()
		open := []kadm.DescribedProducer{{Topic: "events", Partition: 2, CurrentTxnStartOffset: 7, LastTimestamp: now.Add(-idle).UnixMilli()}}
		expect(t, idle.String(), transactions(open, 15*time.Minute, now), wanted...)
	}
	f(10 * time.Second)
	f(2*time.Minute, "advice: has written nothing for 2m0s")
	f(16*time.Minute, "wrong: abort --topic events --partition 2 --start-offset 7")
}

func TestTheRuleThatASourceFollows(t *testing.T) {
	const partitions = 6
	sampled := func(sources map[string]func(key []byte, n int) int, users int) *sample {
		s := newSample(partitions)
		for source, choose := range sources {
			for i := range users {
				user := fmt.Sprintf("%s-%d", source, i)
				s.add(source, user, spot{int32(choose([]byte(user), partitions)), "there"})
			}
		}
		return s
	}
	turn := 0
	roundRobin := func([]byte, int) int { turn++; return turn % partitions }
	changed := func(key []byte, n int) int { turn++; return rules[turn%2].partition(key, n) }
	java, librdkafka, sarama := rules[0].partition, rules[1].partition, rules[2].partition
	type sources = map[string]func([]byte, int) int
	f := func(about string, of sources, users int, wanted ...string) {
		t.Helper()
		expect(t, about, partitioners("events", sampled(of, users)), wanted...)
	}
	f("all as they should", sources{"/a": java, "/b": java}, 100, "ok: /a", "ok: /b")
	f("one by CRC32", sources{"/a": java, "/b": librdkafka}, 100, "ok: /a", "wrong: partitioner=murmur2_random")
	f("one by FNV-1a", sources{"/a": java, "/b": sarama}, 100, "ok: /a", "wrong: by FNV-1a (100 of 100 users)")
	f("one by no rule", sources{"/a": java, "/b": roundRobin}, 100, "ok: /a", "wrong: no rule that we know")
	f("one that changed", sources{"/a": java, "/b": changed}, 100, "ok: /a", "wrong: or by several")
	f("all by CRC32", sources{"/a": librdkafka, "/b": librdkafka}, 100, "advice: by CRC32", "advice: by CRC32")
	f("by two, and murmur2 is neither", sources{"/a": librdkafka, "/b": sarama}, 100, "advice: by CRC32", "wrong: others choose by CRC32")
	f("alone by no rule", sources{"/b": roundRobin}, 100, "advice: no rule that we know")
	f("too few", sources{"/a": java, "/b": librdkafka}, 3, "not checked: too few", "not checked: too few")
	f("none", nil, 0, "not checked: there are no events")

	// However few follow murmur2, it is the rule that the others are held against.
	s := sampled(sources{"/a": librdkafka}, 100)
	for i := range 20 {
		user := fmt.Sprint(i)
		s.add("/b", user, spot{int32(java([]byte(user), partitions)), "there"})
	}
	expect(t, "few by murmur2", partitioners("events", s), "wrong: others choose by murmur2", "ok: /b")

	s = sampled(sources{"/a": java}, 100)
	s.add("/a", "ann", spot{1, "events/1@7"})
	s.add("/b", "ann", spot{2, "events/2@9"})
	expect(t, "a user in two", partitioners("events", s), "ok: /a", "not checked: /b", "wrong: events/1@7 and events/2@9")
}

// The hashes are those that librdkafka's own test of its partitioners (0048-partitioner.c) has for these keys, for all three rules.
func TestTheRulesAreThoseOfOthers(t *testing.T) {
	const partitions = 17
	for key, hashes := range map[string][]uint32{ // murmur2, CRC32, FNV-1a
		"23456": {0x058d780f, 0xb1b451d7, 0x27e6f469},
		"this is another string with more length to it perhaps": {0x4f7703da, 0xb0150df7, 0x155e3e5f},
		"hejsan": {0x5ec19395, 0xd077037e, 0x17b1e27a},
	} {
		for i, r := range rules {
			if got, want := r.partition([]byte(key), partitions), int(hashes[i]%partitions); got != want {
				t.Errorf("%s puts %q in partition %d, not %d", r.name, key, got, want)
			}
		}
	}
}

func TestWhoChoosesThePartition(t *testing.T) {
	event := func(kind string) *kgo.Record {
		return &kgo.Record{Key: []byte("ann"), Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/a","type":%q,"time":"2026-03-01T12:00:00Z"}`, kind)}
	}
	control, replay, binary := event("walk"), event("walk"), &kgo.Record{Key: []byte("ann")}
	control.Key = []byte(campaign.ControlKey)
	replay.Headers = []kgo.RecordHeader{{Key: "stampede_replay_of", Value: []byte("dead-letters/1@3")}}
	for name, value := range map[string]string{"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/b", "ce_type": "walk", "ce_time": "2026-03-01T12:00:00Z"} {
		binary.Headers = append(binary.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	var d campaign.Decoder
	f := func(about string, r *kgo.Record, want string) {
		t.Helper()
		if source, _ := chosenBy(&d, r); source != want {
			t.Errorf("%s: the source is %q, not %q", about, source, want)
		}
	}
	f("an event", event("walk"), "/a")
	f("one in the binary mode", binary, "/b")
	f("a profile", event("stampede.profile"), "/a")
	f("an answer to a claim", event(campaign.TypeAnswered), "")
	f("an erasure", event(campaign.TypeErased), "")
	f("a control record", control, "")
	f("a replay", replay, "")
	f("nonsense", &kgo.Record{Key: []byte("ann"), Value: []byte("x")}, "")
}

func TestLimits(t *testing.T) {
	const gib = 1 << 30
	good := machine{files: 20_000, procs: 2}
	cfg := Config{MemoryBytes: 256 << 20}
	f := func(about string, change func(*machine), wanted ...string) {
		t.Helper()
		m := good
		change(&m)
		expect(t, about, limits(m, cfg), wanted...)
	}
	f("none", func(*machine) {}, "ok: 20000", "ok: no limit", "ok: no quota")
	f("files", func(m *machine) { m.files = 1024 }, "wrong: ulimit -n", "ok: ", "ok: ")
	f("much memory", func(m *machine) { m.memory = gib }, "ok: ", "ok: 1GiB", "ok: ")
	f("little memory", func(m *machine) { m.memory = gib / 2 }, "ok: ", "advice: lower --memory", "ok: ")
	f("less than the store's", func(m *machine) { m.memory = gib / 4 }, "ok: ", "wrong: lower --memory", "ok: ")
	f("a quota", func(m *machine) { m.cpus = 2 }, "ok: ", "ok: ", "ok: the quota is 2")
	f("less than one", func(m *machine) { m.cpus = 0.5 }, "ok: ", "ok: ", "advice: 0.5 of one")
	f("more threads than CPUs", func(m *machine) { m.cpus, m.procs = 1.5, 8 }, "ok: ", "ok: ", "advice: do not set GOMAXPROCS")
	f("no /proc", func(m *machine) { m.err = os.ErrNotExist }, "ok: ", "not checked: limits of memory and CPU")
}

func TestCgroups(t *testing.T) {
	f := func(about, own string, files map[string]string, memory int64, cpus float64) {
		t.Helper()
		m, c := cgroup(own, func(name string) string { return files[name] })
		if m != memory || c != cpus {
			t.Errorf("%s: %d bytes and %g CPUs, not %d and %g", about, m, c, memory, cpus)
		}
	}
	f("none", "0::/\n", nil, 0, 0)
	f("version 2, and a tighter group above", "0::/a/b\n", map[string]string{
		"/a/b/memory.max": "max\n", "/a/memory.max": "1000\n", "/memory.max": "2000\n", "/a/b/cpu.max": "150000 100000\n", "/a/cpu.max": "max 100000\n",
	}, 1000, 1.5)
	f("version 1", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n", map[string]string{
		"memory/docker/x/memory.limit_in_bytes": "5000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		"cpu/docker/x/cpu.cfs_quota_us": "50000\n", "cpu/docker/x/cpu.cfs_period_us": "100000\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
	}, 5000, 0.5)
}

func TestVolumes(t *testing.T) {
	const gib = 1 << 30
	good := volume{free: 100 * gib, inodes: 1e6, freeInodes: 1e6}
	f := func(about string, change func(*volume), wanted ...string) {
		t.Helper()
		v := good
		change(&v)
		expect(t, about, volumes("/data", v, 2*gib), wanted...)
	}
	f("as it should be", func(*volume) {}, "ok: 100GiB are free")
	f("less than twice the store", func(v *volume) { v.free = 3 * gib }, "advice: 3GiB are free")
	f("full", func(v *volume) { v.free = 1 << 20 }, "wrong: 1MiB are free")
	f("no inodes", func(v *volume) { v.freeInodes = 10 }, "ok: ", "advice: df -i /data")
	f("a file system without inodes", func(v *volume) { v.inodes, v.freeInodes = 0, 0 }, "ok: ")
	f("memory", func(v *volume) { v.kind = "tmpfs" }, "advice: tmpfs", "ok: ")
	f("a network", func(v *volume) { v.kind = "nfs" }, "advice: nfs", "ok: ")
	f("a container's layer", func(v *volume) { v.kind = "overlayfs" }, "advice: mount a volume", "ok: ")

	expect(t, "a fast disk", []Finding{syncs("/data", []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Second})}, "ok: 2ms, the slowest of 3 after 1s")
	expect(t, "a slow disk", []Finding{syncs("/data", []time.Duration{30 * time.Millisecond})}, "advice: local SSD")
}

func TestTheStoreIsLookedAtAndLeftAsItWas(t *testing.T) {
	dir := t.TempDir() + "/not/yet"
	found := examineStore(Config{State: dir})
	expect(t, "none", found[:1], "ok: it is not there yet")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the directory was made")
	}
	store, err := state.Open(state.Config{Dir: dir, MemoryBytes: 16 << 20})
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	expect(t, "one", examineStore(Config{State: dir})[:1], "ok: nobody works on it")
	if diff := cmp.Diff(before, names(t, dir)); diff != "" {
		t.Errorf("the directory was changed: %s", diff)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, "a file", examineStore(Config{State: file})[:1], "wrong: "+file)
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNumbers(t *testing.T) {
	f := func(want string, of ...int32) {
		t.Helper()
		if got := numbers(of); got != want {
			t.Errorf("numbers(%v) = %q, not %q", of, got, want)
		}
	}
	f("")
	f("1", 1)
	f("1 and 2", 2, 1)
	f("1, 2 and 3", 3, 1, 2)
	f("0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 and 3 more", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)
}
