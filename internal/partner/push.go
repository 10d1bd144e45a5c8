package partner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// Push delivers a partner's outcomes by HTTP: batches of CloudEvents, signed, those of a pseudonym in order, each at least once. A batch has the same
// id and the same content every time, so the receiver can drop what it has.
type Push struct {
	Connection kafka.Connection
	Topics     kafka.TopicsConfig // how the topic of dead letters is made if it is missing
	Topic      string             // the partner's
	Group      string             // the consumer group; pushes of one group share the work
	URL        string
	Secrets    []Secret

	BatchRecords   int           // default 100: at most so many outcomes a request
	RequestTimeout time.Duration // default 30 s: of one request, its answer included
	RetryMin       time.Duration // default 500 ms: the first wait before a batch is tried again
	RetryMax       time.Duration // default 1 min: the longest; they double, and up to a half of each is added by chance
	Log            *slog.Logger  // default none
}

func (p Push) withDefaults() Push {
	if p.BatchRecords == 0 {
		p.BatchRecords = 100
	}
	if p.RequestTimeout == 0 {
		p.RequestTimeout = 30 * time.Second
	}
	if p.RetryMin == 0 {
		p.RetryMin = retryMin
	}
	if p.RetryMax == 0 {
		p.RetryMax = retryMax
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return p
}

const (
	// maxRetryAfter bounds how long a receiver can ask to be left alone.
	maxRetryAfter = 10 * time.Minute
	// commitTimeout bounds one attempt to commit an offset.
	commitTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer; people are shown the first maxExcerpt bytes.
	maxAnswer  = 64 << 10
	maxExcerpt = 200
)

// DeadLetters is the topic of the outcomes that a receiver has refused.
func DeadLetters(topic string) string { return topic + ".dead-letters" }

// The headers that a dead letter has beside its own. They are for us: nobody else reads that topic.
const (
	headerPlace  = "stampede_place"  // TOPIC/PARTITION@OFFSET, of the outcome when it was no letter
	headerReason = "stampede_reason" // the answer
)

// pushing is a push at work. The group's callbacks run beside the loop that delivers.
type pushing struct {
	Push
	life   context.Context // of Run
	client *kgo.Client
	http   *http.Client

	mu    sync.Mutex // held while an offset is committed: what is lost is not committed any more
	feeds map[int32]*owned
	wrong error // what a callback found
}

// owned is a feed as long as the group gives it to us.
type owned struct {
	feed
	life context.Context
	end  context.CancelFunc
}

// Run delivers until ctx ends (nil). The error says what needs somebody: a batch that the receiver refused for good, and that is in the dead letters now; a
// record that is no outcome; Kafka.
func (p Push) Run(ctx context.Context) error {
	d := &pushing{Push: p.withDefaults(), life: ctx, feeds: map[int32]*owned{}}
	d.http = poster(d.RequestTimeout)
	err := mustExist(ctx, p.Connection, p.Topic)
	if err != nil {
		return err
	}
	d.client, err = p.Connection.Client(ctx,
		kgo.ConsumerGroup(p.Group),
		kgo.ConsumeTopics(p.Topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is lost outcomes
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // see feed
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnOffsetsFetched(d.onOffsetsFetched),
		kgo.OnPartitionsRevoked(d.onLost),
		kgo.OnPartitionsLost(d.onLost),
	)
	if err != nil {
		return err
	}
	defer d.client.CloseAllowingRebalance()
	wanted := p.Topics
	wanted.Principal, wanted.Reads, wanted.Writes = p.Connection.Security.Principal(), []string{p.Topic}, []string{DeadLetters(p.Topic)}
	if _, err := kafka.EnsureOutcomes(ctx, d.client, wanted, p.Topic, DeadLetters(p.Topic)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// poster is the client that posts.
func poster(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // outcomes go where they were meant to
	}
}

// round polls, and delivers what that makes whole. While it delivers the group may rebalance.
func (d *pushing) round(ctx context.Context) error {
	fetches := d.client.PollRecords(ctx, d.BatchRecords)
	owned, err := d.take(fetches)
	d.client.AllowRebalance()
	if err != nil {
		return err
	}
	for _, f := range owned {
		if err := d.deliver(f); err != nil && f.life.Err() == nil {
			return err
		}
	}
	return nil
}

// take gives records to their feeds, and returns those that got some.
func (d *pushing) take(fetches kgo.Fetches) (took []*owned, err error) {
	for _, f := range fetches.Errors() {
		switch group := (*kgo.ErrGroupSession)(nil); {
		case errors.Is(f.Err, context.Canceled):
		case errors.Is(f.Err, kerr.GroupAuthorizationFailed):
			return nil, d.Connection.Denied(f.Err, kafka.OnGroup(d.Group))
		case errors.As(f.Err, &group):
			d.Log.Warn("the group is joined again", "group", d.Group, "error", f.Err)
		case errors.Is(f.Err, kerr.OffsetOutOfRange):
			return nil, fmt.Errorf("outcomes at the committed offset of %s/%d are gone, the topic's retention removed them before they were delivered: %s. "+
				"Commit a new offset for group %s (kafka-consumer-groups.sh --reset-offsets) and accept what is lost", f.Topic, f.Partition, d.lost(f.Partition), d.Group)
		default:
			return nil, fmt.Errorf("read %s/%d: %w", f.Topic, f.Partition, d.Connection.Denied(f.Err, kafka.OnTopic(d.Topic, kafka.Read)))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if f := d.feeds[p.Partition]; f != nil && len(p.Records) > 0 {
			f.add(p.Records)
			took = append(took, f)
		}
	})
	return took, d.wrong
}

// lost says what of a partition is lost, for people.
func (d *pushing) lost(partition int32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.feeds[partition]
	if f == nil {
		return "its offset is not known any more"
	}
	return lostFrom(d.life, d.client, d.Topic, partition, f.position)
}

// lostFrom says what a log does not have any more of what stands behind a position.
func lostFrom(ctx context.Context, cl *kgo.Client, topic string, partition int32, position int64) string {
	starts, err := kadm.NewClient(cl).ListStartOffsets(ctx, topic)
	start, found := starts.Lookup(topic, partition)
	switch {
	case err != nil || !found || start.Err != nil:
		return fmt.Sprintf("the offset is %d", position)
	case start.Offset <= position:
		return fmt.Sprintf("the offset is %d, and the topic was made anew or cut off", position)
	}
	return fmt.Sprintf("the offset is %d and the log begins at %d, so these are %d at most", position, start.Offset, start.Offset-position)
}

// onOffsetsFetched begins the feeds that the group gives us.
func (d *pushing) onOffsetsFetched(_ context.Context, _ *kgo.Client, response *kmsg.OffsetFetchResponse) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, group := range response.Groups {
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				f := &owned{feed: feed{partition: p.Partition, position: max(unknown, p.Offset), committed: max(unknown, p.Offset)}}
				f.life, f.end = context.WithCancel(d.life)
				if p.Metadata != nil {
					d.wrong = errors.Join(d.wrong, f.readMetadata(*p.Metadata))
				}
				d.feeds[p.Partition] = f
			}
		}
	}
	return nil
}

// onLost ends feeds that others go on with.
func (d *pushing) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range lost[d.Topic] {
		if f := d.feeds[n]; f != nil {
			f.end()
			delete(d.feeds, n)
		}
	}
}

// deliver delivers what a feed has, batch by batch.
func (d *pushing) deliver(f *owned) error {
	if err := d.deliverBatches(f); err != nil {
		return err
	}
	if f.position == f.committed {
		return nil
	}
	return d.commit(f) // of markers alone
}

func (d *pushing) deliverBatches(f *owned) error {
	for b := f.next(d.BatchRecords); b != nil; b = f.next(d.BatchRecords) {
		if f.announced == 0 {
			f.announced = b.end
			if err := d.commit(f); err != nil {
				return err
			}
		}
		refused, err := d.post(f.life, b)
		if err != nil {
			return err
		}
		if refused != nil {
			if err := d.bury(f.life, b, refused); err != nil {
				return err
			}
		}
		f.delivered(b)
		if next := f.next(d.BatchRecords); next != nil && refused == nil {
			f.announced = next.end // one commit does for both
		}
		if err := d.commit(f); err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}

// commit puts the group's offset where the feed is, with what is announced. It tries until it is done or the feed is lost.
func (d *pushing) commit(f *owned) error {
	for again := d.backoff(); ; {
		err := d.tryCommit(f)
		if err == nil {
			f.committed = f.position
			return nil
		}
		if err := d.pause(f.life, again.next(0), "an offset is not committed", err); err != nil {
			return err
		}
	}
}

func (d *pushing) tryCommit(f *owned) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.life.Err() != nil {
		return f.life.Err()
	}
	ctx, cancel := context.WithTimeout(f.life, commitTimeout)
	defer cancel()
	metadata := f.metadata()
	named := kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for i := range request.Topics {
			for j := range request.Topics[i].Partitions {
				request.Topics[i].Partitions[j].Metadata = &metadata
			}
		}
		return nil
	})
	var failed error
	d.client.CommitOffsetsSync(named, map[string]map[int32]kgo.EpochOffset{d.Topic: {f.partition: {Epoch: -1, Offset: f.position}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			failed = err
			if err != nil {
				return
			}
			for _, topic := range response.Topics {
				for _, p := range topic.Partitions {
					failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	return failed
}

// RefusedError means that the receiver will never take a batch.
type RefusedError struct {
	Place  string // TOPIC/PARTITION@FIRST-LAST
	Answer string
}

// Error says where the batch is now.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the receiver refuses the batch %s, and to try again can't mend that: it answered %s. Its outcomes are in the dead letters of the topic. "+
		"Mend the receiver, or --url and the secret; then run the push again, which goes on behind the batch, and one with --topic of the dead letters", e.Place, e.Answer)
}

// post delivers a batch, however often it takes. refused is not nil where that can't help.
func (d *pushing) post(ctx context.Context, b *batch) (refused *RefusedError, err error) {
	body, err := b.body()
	if err != nil {
		return nil, err
	}
	for again := d.backoff(); ; {
		answer, err := d.request(ctx, b.id(), body)
		switch {
		case err == nil && answer.delivered():
			return nil, nil
		case err == nil && !answer.passing():
			first, last := b.records[0], b.records[len(b.records)-1]
			return &RefusedError{fmt.Sprintf("%s/%d@%d-%d", first.Topic, first.Partition, first.Offset, last.Offset), answer.String()}, nil
		case err == nil:
			err = errors.New(answer.String())
		}
		if err := d.pause(ctx, again.next(answer.after), "a batch is not delivered", err); err != nil {
			return nil, err
		}
	}
}

func (d *pushing) backoff() backoff { return backoff{d.RetryMin, d.RetryMax} }

// pause waits before something is tried again.
func (d *pushing) pause(ctx context.Context, wait time.Duration, what string, why error) error {
	if ctx.Err() == nil {
		d.Log.Warn(what+", it is tried again", "topic", d.Topic, "error", why, "wait", wait)
	}
	return pause(ctx, wait)
}

// answer is what a receiver said.
type answer struct {
	status int
	text   string
	after  time.Duration // it asks not to be tried before
}

func (a answer) delivered() bool { return a.status >= 200 && a.status < 300 }

// passing says whether the same request can be answered otherwise later.
func (a answer) passing() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return a.status >= 500
}

// String is for people.
func (a answer) String() string {
	return fmt.Sprintf("%d %s %.*q", a.status, http.StatusText(a.status), maxExcerpt, a.text)
}

// request is one attempt.
func (d *pushing) request(ctx context.Context, id string, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	now := time.Now()
	r.Header.Set("content-type", "application/cloudevents-batch+json")
	r.Header.Set("user-agent", "stampede")
	r.Header.Set(headerID, id)
	r.Header.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(headerSignature, signatures(d.Secrets, id, now, body))
	got, err := d.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	a := answer{status: got.StatusCode, text: string(text)}
	if err != nil && !a.delivered() {
		return answer{}, err
	}
	if seconds, err := strconv.ParseUint(got.Header.Get("retry-after"), 10, 31); err == nil { // a date is not read: its clock may be wrong
		a.after = min(time.Duration(seconds)*time.Second, maxRetryAfter) //nolint:gosec // 31 bits
	}
	return a, nil
}

// isOfLetter says whether a header is one that a dead letter has beside the outcome's own.
func isOfLetter(h kgo.RecordHeader) bool { return h.Key == headerPlace || h.Key == headerReason }

// bury writes a batch to the dead letters. After a crash it may be there twice.
func (d *pushing) bury(ctx context.Context, b *batch, why *RefusedError) error {
	letters := make([]*kgo.Record, len(b.records))
	for i, r := range b.records {
		letters[i] = &kgo.Record{
			Topic: DeadLetters(d.Topic), Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
			Headers: append(slices.DeleteFunc(slices.Clone(r.Headers), isOfLetter),
				kgo.RecordHeader{Key: headerPlace, Value: []byte(placeOf(r))},
				kgo.RecordHeader{Key: headerReason, Value: []byte(why.Answer)}),
		}
	}
	if err := d.client.ProduceSync(ctx, letters...).FirstErr(); err != nil {
		return fmt.Errorf("write %s to the dead letters: %w", why.Place, err)
	}
	return nil
}
