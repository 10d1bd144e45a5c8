package stream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/wiretap"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// onBoth runs a test on the embedded broker and on a real one.
func onBoth(t *testing.T, test func(b *bench)) {
	t.Run("embedded", func(t *testing.T) { test(newBench(t)) })
	t.Run("real", func(t *testing.T) { test(newRealBench(t)) })
}

// births is a campaign that rewards every birth that is reported, in a version and with more lines.
func births(t *testing.T, id string, version int, more string) *campaign.Campaign {
	t.Helper()
	c, err := campaign.Definition{Language: campaign.Language, Source: fmt.Sprintf(
		"campaign: %s\nversion: %d\nstarts: 2000-01-01\ngoal: {event: birth.reported}\nrepeat: always\nreward: {kind: points}\n%s", id, version, more)}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inForce publishes campaigns and no others.
func (b *bench) inForce(campaigns ...*campaign.Campaign) []string {
	b.Helper()
	var err error
	if b.campaigns, err = campaign.NewSet(campaigns); err != nil {
		b.Fatal(err)
	}
	var did []string
	for _, c := range b.publish().Changes {
		did = append(did, c.String())
	}
	return did
}

// Versions come and go between events, and the worker is started anew, loses its store, and meets what is refused: the judge replays
// the log with campaigns of its own.
func TestCampaignsChangeWhileEventsFlow(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.produce(500)
		w := b.start(b.dir("a"))
		b.inForce(births(b.T, "births", 1, ""), births(b.T, "more", 1, "lateness: 1h"))
		b.produce(1000)
		b.processed()
		b.inForce(births(b.T, "births", 2, "title: x"), births(b.T, "more", 2, "lateness: 24h"))
		b.produce(1000)
		b.end(w)
		b.inForce(births(b.T, "births", 3, "lateness: 9 days"))
		b.produce(1000)
		if err := os.RemoveAll(b.dir("a")); err != nil {
			b.Fatal(err)
		}
		w = b.start(b.dir("a"))
		b.processed()
		if got := w.Status().InForce; got != 4 { // two of the bench, which are withdrawn and not closed, and these
			b.Errorf("%d campaigns are in force", got)
		}
		if got := w.metric("stampede_campaigns_in_force"); got != 4 {
			b.Errorf("the gauge says %d", got)
		}
		b.end(w)
		if v := b.judge(b.dir("a")); v.Rewards < 50 || v.Told == 0 || v.InStores != 6 || w.Status().Lag != 0 {
			b.Errorf("too little happened to prove anything: %s", v)
		}
	})
}

// A process is killed behind a publish, before any checkpoint: the campaigns come out of the journal, without the changelog.
func TestCampaignsAreInTheJournal(t *testing.T) {
	b := newBench(t)
	b.end(b.work("a"))
	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.CheckpointInterval = time.Hour })
	b.inForce(births(t, "births", 1, ""))
	b.produce(500)
	b.processed()
	copyDir(t, b.dir("a"), b.dir("killed"))
	b.end(w)
	w = b.start(b.dir("killed"))
	b.eventually("the partitions are open", func() bool { return w.Status().Open == 6 })
	if read, replayed := w.metric("stampede_changelog_records_read_total"), w.metric("stampede_journal_entries_replayed_total"); read != 0 || replayed == 0 {
		t.Errorf("%d records of the changelog were read and %d journal entries replayed: the journal has all of it", read, replayed)
	}
	b.produce(500)
	b.processed()
	b.end(w)
	b.judge(b.dir("killed"))
}

// Two processes publish at the same moment, again and again. Each time one has its way and the other is told, or both did one after
// the other; what partitions are told is what the registry says.
func TestTwoPublishersAtOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		published, meanwhile := 0, 0
		for round := 1; round <= 8; round++ {
			var both sync.WaitGroup
			errs := make([]error, 2)
			for i := range errs {
				set, err := campaign.NewSet([]*campaign.Campaign{births(b.T, "births", 2*round+i, fmt.Sprintf("title: of publisher %d", i))})
				if err != nil {
					b.Fatal(err)
				}
				both.Go(func() {
					_, errs[i] = stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: set}.Run(context.Background())
				})
			}
			both.Wait()
			for i, err := range errs {
				switch {
				case err == nil:
					published++
				case errors.Is(err, stream.ErrPublishedMeanwhile):
					meanwhile++
				case i == 0 && strings.Contains(err.Error(), "raise `version`"): // the other was quicker, and has the higher version
				default:
					b.Errorf("round %d, publisher %d: %v", round, i, err)
				}
			}
			if errs[0] != nil && errs[1] != nil {
				b.Errorf("round %d: neither has published: %v", round, errs)
			}
		}
		b.Logf("%d published, %d were told that another did", published, meanwhile)
		b.produce(500)
		b.end(b.work("a"))
		if v := b.judge(b.dir("a")); v.Rewards == 0 {
			b.Errorf("nothing was in force: %s", v)
		}
		listed, err := stream.ListCampaigns(b.Context(), b.connection, b.topics, time.Now().UnixMilli())
		if err != nil {
			b.Fatal(err)
		}
		i := slices.IndexFunc(listed, func(c stream.ListedCampaign) bool { return c.ID == "births" })
		if i < 0 {
			b.Fatal("the registry has no campaign")
		}
		// Every partition was told the same, record for record: what one transaction wrote, all of them have.
		told := b.told()
		for n := range told {
			if diff := cmp.Diff(told[0], told[n]); diff != "" {
				b.Errorf("partition %d was told something else than partition 0: %s", n, diff)
			}
		}
		if want := fmt.Sprintf("births@%d", listed[i].Version); len(told[0]) == 0 || told[0][len(told[0])-1] != want {
			b.Errorf("the registry has %s, and the partitions were told %v", want, told[0])
		}
	})
}

// told is what each partition was told of campaigns, as the ids of the records.
func (b *bench) told() [][]string {
	b.Helper()
	told := make([][]string, b.topics.Events.Partitions)
	if err := b.connection.ReadTopic(b.Context(), b.topics.Events.Name, func(r *kgo.Record) error {
		if campaign.IsControl(r.Key) {
			_, rest, _ := strings.Cut(string(r.Value), `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			told[r.Partition] = append(told[r.Partition], id)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return told
}

// Processors that start at once publish the same directory: all of them start, and each campaign is published once.
func TestProcessorsThatStartTogetherPublishOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		set, err := campaign.NewSet([]*campaign.Campaign{births(b.T, "births", 1, ""), births(b.T, "more", 1, "")})
		if err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				p, err := stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: set, Add: true}.Run(context.Background())
				if err != nil {
					b.Error(err)
				} else if len(p.Left) != 2 || len(p.Refused) != 0 {
					b.Errorf("left %v, refused %v", p.Left, p.Refused)
				}
			})
		}
		all.Wait()
		for n, told := range b.told() {
			if slices.Sort(told); !slices.Equal(told, []string{"birth-reported@2", "births@1", "five-days-of-logging@2", "more@1"}) {
				b.Errorf("partition %d was told %v", n, told)
			}
		}
	})
}

// A publisher dies between its records and the commit. Nothing of it is in force; the next one ends its transaction, so that readers of
// events go on, and publishes what it wants.
func TestAPublisherThatDiesInTheMiddleLeavesNothing(t *testing.T) {
	onBoth(t, func(b *bench) {
		dying, err := b.connection.Client(b.Context(), kgo.TransactionalID("stampede-publish-"+b.topics.Events.Name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			b.Fatal(err)
		}
		if err := dying.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		value := fmt.Appendf(nil, `{"specversion":"1.0","id":"dead","source":"/x","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`,
			campaign.TypePublished, births(b.T, "dead", 1, "").Definition().Append(nil))
		for n := range b.topics.Events.Partitions {
			r := &kgo.Record{Topic: b.topics.Events.Name, Partition: n, Key: []byte(campaign.ControlKey), Value: value}
			if err := dying.ProduceSync(b.Context(), r).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
		dying.Close()
		b.inForce(births(b.T, "births", 1, ""))
		b.produce(500)
		b.end(b.work("a"))
		b.judge(b.dir("a"))
		for n, told := range b.told() {
			if slices.Contains(told, "dead") || !slices.Contains(told, "births@1") {
				b.Errorf("partition %d was told %v", n, told)
			}
		}
	})
}

// A partition that is told again what it knows takes no notice; a group that begins when retention has removed the records needs it.
func TestTheSameIsToldAgain(t *testing.T) {
	b := newBench(t)
	b.produce(200)
	b.end(b.work("a"))
	ends, err := b.connection.Ends(t.Context(), b.topics.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	again := stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: b.campaigns, Again: true}
	if p, err := again.Run(t.Context()); err != nil || !p.Changes[0].Written {
		t.Fatal(p, err)
	}
	b.produce(200)
	b.end(b.work("a"))
	b.judge(b.dir("a"))
	// Retention removes what was told at first.
	admin := kadm.NewClient(b.client)
	var gone kadm.Offsets
	for n, end := range ends {
		gone.AddOffset(b.topics.Events.Name, n, end, -1)
	}
	if _, err := admin.DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	b.group = "another"
	b.wanted.Names.Changelog = "another-changelog"
	w := b.start(b.dir("b"))
	b.processed()
	if w.Status().InForce != 2 || w.Status().Rewards == 0 {
		t.Errorf("a group that begins anew has %d campaigns in force and issues %d rewards", w.Status().InForce, w.Status().Rewards)
	}
	b.end(w)
}

// The answer to a commit is lost: the registry knows whether it was applied, and what was done is told.
func TestAPublishWhoseOutcomeIsNotToldIsFoundOut(t *testing.T) {
	b := newRealBench(t)
	for i, f := range []fault{cut, unknownServerError} {
		l := &liar{fault: f, nth: 2}
		l.commits.Store(1) // the first answer is spoiled, and the one after it is not
		connection := b.connection
		connection.Dial = l.dial
		set, err := campaign.NewSet([]*campaign.Campaign{births(t, "births", i+1, "")})
		if err != nil {
			t.Fatal(err)
		}
		p, err := stream.Publish{Connection: connection, Topics: b.wanted, Campaigns: set, Add: true}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Changes) != 1 || !p.Changes[0].Written || l.spoiled.Load() == 0 {
			t.Errorf("with %d answers spoiled: %+v", l.spoiled.Load(), p)
		}
	}
	for n, told := range b.told() {
		if len(told) != 4 {
			t.Errorf("partition %d was told %v", n, told)
		}
	}
}

// The topic is given more partitions: the next publish tells them what the others know, and nothing twice.
func TestNewPartitionsAreTold(t *testing.T) {
	b := newBench(t)
	b.inForce(births(t, "births", 1, ""), births(t, "gone", 1, ""))
	b.inForce(births(t, "births", 1, ""))
	before := b.told()
	added, err := kadm.NewClient(b.client).CreatePartitions(t.Context(), 2, b.topics.Events.Name, b.topics.Changelog.Name)
	if err = errors.Join(err, added.Error()); err != nil {
		t.Fatal(err)
	}
	cl, err := b.connection.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if b.topics, err = kafka.EnsureTopics(t.Context(), cl, b.wanted); err != nil {
		t.Fatal(err)
	}
	want := []string{"births: unchanged, version 1, told to 2 new partitions"}
	if diff := cmp.Diff(want, b.inForce(births(t, "births", 1, ""))); diff != "" {
		t.Error(diff)
	}
	for n, told := range b.told() {
		want := []string{"births@1"}
		if n < len(before) {
			want = before[n]
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("partition %d: %s", n, diff)
		}
	}
	if diff := cmp.Diff([]string{"births: unchanged, version 1"}, b.inForce(births(t, "births", 1, ""))); diff != "" {
		t.Error(diff)
	}
}

// A publish with mistakes tells all of them and writes nothing.
func TestAPublishWithMistakesWritesNothing(t *testing.T) {
	b := newBench(t)
	b.inForce(births(t, "a", 2, ""), births(t, "b", 2, ""), births(t, "ended", 1, "ends: 2001-01-01"))
	before := b.told()
	for _, dryRun := range []bool{false, true} {
		set, err := campaign.NewSet([]*campaign.Campaign{
			births(t, "a", 1, ""), births(t, "b", 2, "title: x"), births(t, "ended", 2, "ends: 2030-01-01"), births(t, "new", 1, ""),
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: set, DryRun: dryRun}.Run(t.Context())
		if dryRun {
			err = errors.Join(p.Refused...)
		}
		for _, want := range []string{
			"campaign `a` is in force in version 2, and this is version 1", "campaign `b` is in force in version 2 with another content",
			"campaign `ended` has ended and is closed",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not told: %v", want, err)
			}
		}
	}
	if diff := cmp.Diff(before, b.told()); diff != "" {
		t.Errorf("something was written: %s", diff)
	}
}

// A campaign in a newer language stops the processor, and says what to do: another processor may understand it.
func TestANewerLanguageStopsTheWorker(t *testing.T) {
	b := newBench(t)
	cl, err := b.connection.Client(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	r := &kgo.Record{
		Topic: b.topics.Events.Name, Key: []byte(campaign.ControlKey),
		Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/x","type":"stampede.campaign_published","time":"2026-01-01T00:00:00Z","data":{"language":%d}}`, campaign.Language+1),
	}
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w := b.start(b.dir("a"))
	select {
	case err := <-w.done:
		close(w.done)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("this processor reads up to %d: upgrade the processor", campaign.Language)) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it works on")
	}
}

// Users under way are counted by the changelog's last word on each.
func TestUsersInProgressAreCounted(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.dirs, "campaigns")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.yaml"), []byte("campaign: twice\nversion: 1\nstarts: 2000-01-01\ngoal: {count: 2, of: hit}\nreward: {kind: points}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.campaigns, err = campaign.Load(os.DirFS(dir), "."); err != nil {
		t.Fatal(err)
	}
	b.publish()
	for i, user := range []string{"ann", "bob", "cid", "ann"} {
		value := fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/x","type":"hit","time":%q}`, i, time.Now().UTC().Format(time.RFC3339))
		if err := b.client.ProduceSync(t.Context(), &kgo.Record{Topic: b.topics.Events.Name, Key: []byte(user), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			b.end(b.work("a"))
		}
	}
	b.end(b.work("a"))
	b.judge(b.dir("a"))
	listed, err := stream.ListCampaigns(t.Context(), b.connection, b.topics, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range listed {
		want := map[string]int{"twice": 2}[c.ID] // bob and cid; ann has the reward
		if c.InProgress != want {
			t.Errorf("%d users are under way in %s, wanted %d", c.InProgress, c.ID, want)
		}
		if c.Withdrawn != (c.ID != "twice") {
			t.Errorf("%s is withdrawn: %t", c.ID, c.Withdrawn)
		}
	}
	if len(listed) != 3 {
		t.Errorf("listed are %v", listed)
	}
}

// Another process publishes the same version with another content while this one commits. What the broker says to this one leaves open whether it was
// applied; the registry says that it was not, and so does the publish.
func TestWhoIsOvertakenIsTold(t *testing.T) {
	onBoth(t, func(b *bench) {
		of := func(who string) *campaign.Set {
			set, err := campaign.NewSet([]*campaign.Campaign{births(b.T, "births", 1, "title: of "+who)})
			if err != nil {
				b.Fatal(err)
			}
			return set
		}
		other := sync.OnceValue(func() error {
			_, err := stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: of("the other"), Add: true}.Run(context.Background())
			return err
		})
		overtaken := b.connection
		overtaken.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &wiretap.Tap{Conn: conn, Asked: func(r wiretap.Request, _ []byte) error {
				if r.Key == kmsg.EndTxn {
					return other()
				}
				return nil
			}, Answered: func(_ wiretap.Request, frame []byte) ([]byte, error) { return frame, nil }}, nil
		}
		told, err := stream.Publish{Connection: overtaken, Topics: b.wanted, Campaigns: of("this one")}.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "campaign `births` is in force in version 1 with another content") {
			b.Errorf("the one that was overtaken is told %+v, %v", told, err)
		}
		if err := other(); err != nil {
			b.Error(err)
		}
		told, err = stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: of("the other"), Add: true}.Run(context.Background())
		if err != nil || len(told.Changes) != 1 || told.Changes[0].Written {
			b.Errorf("in force is not what the other has published: %+v, %v", told, err)
		}
	})
}

// What a version can't change of a budget it can't change either where the versions between had none: partitions remember what was counted, and a publisher
// that had forgotten it would say "published" of what they refuse. It is in the registry, which is known at once, and in the changelog, which knows of
// registries that were written before.
func TestABudgetThatComesBack(t *testing.T) {
	free, err := campaign.Definition{Language: campaign.Language, Source: "campaign: c\nversion: 2\nstarts: 2000-01-01\ngoal: {event: data.logged}\nrepeat: always\nreward: {kind: gift}\n"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"in the registry", "in the changelog"} {
		t.Run(where, func(t *testing.T) {
			b := newBenchWith(t, kafka.TopicsConfig{})
			b.inForce(logged(t, "c", 1, "{rewards: 2, per: month}"))
			want := []string{"c: raised from version 1 to 2; its budget was `c`, of which nothing is granted any more, and is none now"}
			if diff := cmp.Diff(want, b.inForce(free)); diff != "" {
				t.Error(diff)
			}
			if where == "in the changelog" {
				b.end(b.work("a"))
				deleted, err := kadm.NewClient(b.client).DeleteTopics(t.Context(), b.topics.Campaigns.Name)
				if err = errors.Join(err, deleted.Error()); err != nil {
					t.Fatal(err)
				}
			}
			set, err := campaign.NewSet([]*campaign.Campaign{logged(t, "c", 3, "{rewards: 2}")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: set}.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "budget `c` is for each month, and this version would make it one for all time") {
				t.Errorf("the budget comes back with another period: %v", err)
			}
			if did := b.inForce(logged(t, "c", 4, "{rewards: 3, per: month}")); len(did) != 1 {
				t.Errorf("%q", did)
			}
			b.event("ann", "1", "data.logged")
			b.end(b.work("a"))
			if v := b.judge(b.dir("a")); v.Rewards != 1 || v.DeadLetters != 0 || v.Claims != 1 {
				t.Errorf("%s, %d claims", v, v.Claims)
			}
		})
	}
}
