package kafkatest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

func client(t *testing.T, b *kafkatest.Broker, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(options, kgo.SeedBrokers(b.Addresses()...), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestSharedHasTransactions(t *testing.T) {
	b := kafkatest.Shared(t)
	t.Logf("Kafka %s by %s at %v", kafkatest.Version, b.Kind(), b.Addresses())
	if only := os.Getenv("STAMPEDE_TEST_KAFKA"); only != "" && b.Ours() && b.Kind() != only {
		t.Errorf("it was to be started by %s", only)
	}
	topic := fmt.Sprintf("kafkatest-%d", time.Now().UnixNano())
	cl := client(t, b, kgo.TransactionalID(topic))
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%v", end)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	reader := client(t, b, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if got := reader.PollFetches(t.Context()).Records(); len(got) != 1 || string(got[0].Value) != "true" {
		t.Errorf("a committed reader sees %v, wanted the committed record", got)
	}
}

func TestKilledBrokerComesBack(t *testing.T) {
	b := kafkatest.Start(t, kafkatest.Config{Properties: map[string]string{"num.partitions": "3"}})
	topic := fmt.Sprintf("killed-%d", time.Now().UnixNano())
	cl := client(t, b)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), -1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b.Kill(t)
	b.Restart(t)
	ends, err := kadm.NewClient(client(t, b)).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var records int64
	ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
	if records != 1 || len(ends[topic]) != 3 {
		t.Errorf("%d records in %d partitions after a restart, wanted 1 in 3", records, len(ends[topic]))
	}
}

// What a client is told leads it through whoever listens at the advertised address, and a paused broker answers again.
func TestClientsAreLedToTheAdvertisedAddress(t *testing.T) {
	const elsewhere = "127.0.0.1:1"
	b := kafkatest.Start(t, kafkatest.Config{Advertise: []string{elsewhere}})
	if !b.Ours() {
		t.Skip("a broker that is given has no listener of ours")
	}
	told := func(address string) string {
		cl, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		brokers, err := kadm.NewClient(cl).ListBrokers(t.Context())
		if err != nil || len(brokers) != 1 {
			t.Fatalf("brokers %v, %v", brokers, err)
		}
		return fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port)
	}
	if got := told(b.Listener(0)); got != elsewhere {
		t.Errorf("clients of the further listener are sent to %s, wanted %s", got, elsewhere)
	}
	b.Pause(t)
	b.Resume(t)
	if got := told(b.Addresses()[0]); got != b.Addresses()[0] {
		t.Errorf("clients of the first listener are sent to %s, wanted %s", got, b.Addresses()[0])
	}
}
