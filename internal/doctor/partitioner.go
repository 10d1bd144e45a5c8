package doctor

import (
	"context"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// A user's partition is the producer's choice, and two producers that choose by different rules give a user two partitions, with a progress in each. Which
// rule one follows can't be asked, but seen: its users lie where the rule says.

// rule is a way to choose a partition by the key.
type rule struct {
	name      string // as clients call it
	clients   string // whose default it is
	mend      string // how a client that follows it is made to follow the first
	partition func(key []byte, partitions int) int
}

// rules are those that clients have by default. The first is ours, and Kafka's own.
var rules = []rule{
	{"murmur2", "the default of Kafka's own clients and of franz-go", "", murmur2},
	{"CRC32", "the default of librdkafka", "set partitioner=murmur2_random in the producer's librdkafka configuration", func(key []byte, partitions int) int { return int(uint64(crc32.ChecksumIEEE(key)) % uint64(partitions)) }}, //nolint:gosec // small
	{"FNV-1a", "the default of Sarama", "give the producer a partitioner that hashes the key by murmur2 as Kafka's own clients do, in Config.Producer.Partitioner", kgo.SaramaCompatHasher(func(key []byte) uint32 {
		h := fnv.New32a()
		h.Write(key)
		return h.Sum32()
	})},
}

func murmur2(key []byte, partitions int) int {
	return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions)
}

const (
	// maxSources bounds of how many sources users are kept apart; the events of others are only counted as of the rest.
	maxSources = 200
	// chance is how likely it may be that users lie where a rule says by chance, for the rule to be believed.
	chance = 1e-6
	// most of a source's users lie where its rule says, and few elsewhere: those of the time before it changed.
	most = 0.9
	// enoughUsers is how many must lie otherwise than each rule says for a source to be said to follow none.
	enoughUsers = 30
	// samplers bounds how many partitions are read at once.
	samplers = 8
)

// restOfSources stands for the sources beyond maxSources.
const restOfSources = "(others)"

// sample is what was seen of the events.
type sample struct {
	partitions int
	events     int
	sources    map[string]*sourceSample
	users      map[string]spot // where a user was seen first
	twice      []string        // users in two partitions: both places
}

type spot struct {
	partition int32
	place     string
}

// sourceSample is what was seen of one source's users, each once in a partition.
type sourceSample struct {
	seen map[userIn]struct{}
	fits []int // by rule
}

type userIn struct {
	user      string
	partition int32
}

func newSample(partitions int) *sample {
	return &sample{partitions: partitions, sources: map[string]*sourceSample{}, users: map[string]spot{}}
}

// add takes an event that its producer has put where it is.
func (s *sample) add(source, user string, at spot) {
	s.events++
	if s.sources[source] == nil && len(s.sources) >= maxSources {
		source = restOfSources
	}
	of := s.sources[source]
	if of == nil {
		of = &sourceSample{seen: map[userIn]struct{}{}, fits: make([]int, len(rules))}
		s.sources[source] = of
	}
	if first, known := s.users[user]; !known {
		s.users[user] = at
	} else if first.partition != at.partition {
		s.twice = append(s.twice, first.place+" and "+at.place)
	}
	in := userIn{user, at.partition}
	if _, seen := of.seen[in]; seen {
		return
	}
	of.seen[in] = struct{}{}
	for i, r := range rules {
		if r.partition([]byte(user), s.partitions) == int(at.partition) {
			of.fits[i]++
		}
	}
}

// ruleOf is the rule that a source follows: its place among rules, none where its users lie otherwise than each says, or unclear where there are too few.
func (s *sample) ruleOf(of *sourceSample) int {
	users := len(of.seen)
	best := 0
	for i := range rules {
		if of.fits[i] > of.fits[best] {
			best = i
		}
	}
	switch {
	case float64(of.fits[best]) >= most*float64(users) && byChance(of.fits[best], users, s.partitions) < chance:
		return best
	case float64(of.fits[best]) < most*float64(users) && users >= enoughUsers:
		return none
	}
	return unclear
}

// byChance bounds how likely as many of some users lie where a rule says if they lie anywhere (Chernoff).
func byChance(fits, users, partitions int) float64 {
	share, anywhere := float64(fits)/float64(users), 1/float64(partitions)
	if share <= anywhere {
		return 1
	}
	divergence := share * math.Log(share/anywhere)
	if share < 1 {
		divergence += (1 - share) * math.Log((1-share)/(1-anywhere))
	}
	return math.Exp(-float64(users) * divergence)
}

const (
	none    = -1
	unclear = -2
)

// examineProducers reads the newest events and says by which rule each source chooses partitions.
func (l *kafkaLook) examineProducers(ctx context.Context) []Finding {
	events := l.topic(eventsTopic)
	if events == nil {
		return []Finding{{Severity: Unchecked, Area: Producers, Place: "events", What: "by which rule producers choose a user's partition: there are no events to see it by"}}
	}
	if events.Partitions == 1 {
		return []Finding{{Severity: OK, Area: Producers, Place: place(events.Name), What: "it has one partition, so producers choose none"}}
	}
	bounded, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	s, err := l.sample(bounded, events.Topic)
	if err != nil {
		return []Finding{unchecked(Producers, place(events.Name), "by which rule producers choose a user's partition", err)}
	}
	return partitioners(events.Name, s)
}

// sample reads the newest events of every partition.
func (l *kafkaLook) sample(ctx context.Context, events kafka.Topic) (*sample, error) {
	ends, err := l.Connection.StableEnds(ctx, events.Name)
	if err != nil {
		return nil, err
	}
	starts, err := l.admin.ListStartOffsets(ctx, events.Name)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	s := newSample(int(events.Partitions))
	var mu sync.Mutex // guards s
	each := max(1, int64(l.Sample)/int64(events.Partitions))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(samplers)
	for n, end := range ends {
		start, _ := starts.Lookup(events.Name, n)
		from := max(start.Offset, end-each)
		if from >= end {
			continue
		}
		g.Go(func() error {
			var decoder campaign.Decoder
			return l.Connection.ReadCommitted(ctx, []kafka.Span{{Topic: events.Name, Partition: n, From: from, End: end}}, func(r *kgo.Record) (bool, error) {
				if source, chosen := chosenBy(&decoder, r); chosen {
					mu.Lock()
					defer mu.Unlock()
					s.add(source, string(r.Key), spot{n, fmt.Sprintf("%s/%d@%d", r.Topic, n, r.Offset)})
				}
				return true, nil
			})
		})
	}
	return s, g.Wait()
}

// chosenBy is the source of an event whose partition its producer has chosen by the user. Processors and publishers name a partition, and so does a
// replay; and of what is no event it is not known who wrote it.
func chosenBy(decoder *campaign.Decoder, r *kgo.Record) (source string, chosen bool) {
	if campaign.IsControl(r.Key) || stream.IsReplay(r) {
		return "", false
	}
	record := campaign.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, campaign.Header{Key: h.Key, Value: h.Value})
	}
	var event campaign.Event
	if decoder.Decode(&record, &event) != nil || event.Type == campaign.TypeErased || event.Type == campaign.TypeAnswered {
		return "", false
	}
	return strings.Clone(event.Source), true
}

// partitioners judges by which rules the sources choose.
func partitioners(events string, s *sample) []Finding {
	if s.events == 0 {
		return []Finding{{Severity: Unchecked, Area: Producers, Place: place(events), What: "by which rule producers choose a user's partition: there are no events to see it by"}}
	}
	byRule := map[int][]string{}
	for _, source := range sortedKeys(s.sources) {
		r := s.ruleOf(s.sources[source])
		byRule[r] = append(byRule[r], source)
	}
	agreed := agreedRule(s, byRule)
	var found []Finding
	for _, source := range sortedKeys(s.sources) {
		found = append(found, s.judge(source, agreed, len(byRule[agreed]) > 0))
	}
	if len(s.twice) > 0 {
		found = append(found, Finding{
			Severity: Wrong, Area: Producers, Place: place(events), What: fmt.Sprintf("%s of users who are in two partitions, such as %s", counted(len(s.twice), "event"), s.twice[0]),
			Why:  "each partition has a progress of its own for the user, and both can reach the goal: the reward is issued twice, under the same id",
			Mend: "find the producers of both events (`source`), and let both choose by murmur2; what was counted in the wrong partition stays there",
		})
	}
	return found
}

// agreedRule is the one that the others are held against: murmur2 where any source follows it, as our own programs do, else that of most users.
func agreedRule(s *sample, byRule map[int][]string) int {
	agreed, of := 0, 0
	if len(byRule[0]) > 0 {
		return 0
	}
	for r := range rules {
		users := 0
		for _, source := range byRule[r] {
			users += len(s.sources[source].seen)
		}
		if users > of {
			agreed, of = r, users
		}
	}
	return agreed
}

// judge says of a source what it follows, and whether that is what the others follow.
func (s *sample) judge(source string, agreed int, others bool) Finding {
	of := s.sources[source]
	f := Finding{Area: Producers, Place: "source " + source}
	users := counted(len(of.seen), "user")
	follows := s.ruleOf(of)
	switch follows {
	case unclear:
		f.Severity, f.What = Unchecked, users+" in the sample, too few to see by which rule it chooses partitions"
		return f
	case none:
		f.What = fmt.Sprintf("it chooses partitions by no rule that we know, or by several: of %s %s", users, of.lie())
	default:
		f.What = fmt.Sprintf("it chooses partitions by %s (%d of %s), %s", rules[follows].name, of.fits[follows], users, rules[follows].clients)
	}
	f.Mend = toMurmur2(follows)
	switch {
	case follows == agreed && agreed == 0:
		f.Severity, f.Mend = OK, ""
	case follows == agreed:
		f.Severity = Advice
		f.Why = "that is right as long as all producers do. Stampede's own (`producer send`, `producer serve`) and `processor erase` choose by murmur2: a user would be in two partitions"
		f.Mend = "use none of them here, or change the rule before there is any progress to keep: " + f.Mend
	case others:
		f.Severity = Wrong
		f.What += "; others choose by " + rules[agreed].name
		f.Why = "a user's progress lies where the user's events arrive, and this producer brings them elsewhere than others do"
	default: // none, and so do all whose rule was seen
		f.Severity = Advice
		f.Why = "if it follows a rule of its own, no other producer, and no part of Stampede, may write events of the same users; if it follows none, users are in many partitions"
	}
	return f
}

// lie says how many users are where each rule puts them.
func (of *sourceSample) lie() string {
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = fmt.Sprintf("%d lie where %s puts them", of.fits[i], r.name)
	}
	return strings.Join(texts, ", ")
}

// toMurmur2 says what to set in clients that follow a rule.
func toMurmur2(r int) string {
	if r < 0 {
		return "let the producer choose by the key, and by murmur2: in librdkafka partitioner=murmur2_random, in Kafka's own clients no partitioner.class"
	}
	return rules[r].mend
}
