package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// export prints everything that is known of a user, as one JSON object: the ledger, from the changelog, and the user's records in the topics.
type export struct {
	kafka.Flags
	User string `required:"" help:"The user's id, the key of the user's events."`
}

// knownIn is what is known in one partition.
type knownIn struct {
	Partition   int32           `json:"partition"`
	AsOf        time.Time       `json:"as_of"`
	Known       *campaign.Known `json:"known,omitempty"`
	ErasedUntil *time.Time      `json:"erased_until,omitempty"` // records that come until then are dropped
}

// exported is a record of a topic.
type exported struct {
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp time.Time         `json:"timestamp"`
	Headers   map[string]string `json:"headers,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Bytes     []byte            `json:"value_base64,omitempty"` // of a value that is no JSON
}

// Run is called by main.
func (x *export) Run(ctx context.Context) (err error) {
	if why := userProblem(x.User); why != "" {
		return errors.New(why)
	}
	connection, topics, err := connectAll(ctx, x.Flags, x.Topics(), x.EventsTopic, x.RewardsTopic, x.ChangelogTopic, x.DeadLettersTopic)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	o := object{to: out}
	o.member("user", x.User)
	states, err := stream.ReadUser(ctx, connection, topics, x.User)
	if err != nil {
		return err
	}
	o.list("known", func(item func(any)) error {
		for _, s := range states {
			if known := knownOf(s, x.User); known.Known != nil || known.ErasedUntil != nil {
				item(known)
			}
		}
		return nil
	})
	for _, t := range []struct {
		name  string
		topic kafka.Topic
	}{{"events", topics.Events}, {"rewards", topics.Rewards}, {"dead_letters", topics.DeadLetters}} {
		o.list(t.name, func(item func(any)) error {
			return stream.RecordsOf(ctx, connection, topics, t.topic, x.User, func(r *kgo.Record) error {
				item(exportedOf(r))
				return o.err
			})
		})
	}
	return o.end()
}

func knownOf(s stream.UserState, user string) knownIn {
	k := knownIn{Partition: s.Partition, AsOf: time.UnixMilli(s.Clock).UTC()}
	if s.Ledger != nil {
		known := s.Engine.Export(s.Ledger, s.Clock)
		k.Known = &known
	}
	if until, is := s.Engine.Remembers(user, s.Clock); is {
		at := time.UnixMilli(until).UTC()
		k.ErasedUntil = &at
	}
	return k
}

func exportedOf(r *kgo.Record) exported {
	e := exported{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC()}
	for _, h := range r.Headers {
		if e.Headers == nil {
			e.Headers = map[string]string{}
		}
		e.Headers[h.Key] = string(h.Value)
	}
	if json.Valid(r.Value) {
		e.Value = r.Value
	} else {
		e.Bytes = r.Value
	}
	return e
}

// object writes a JSON object member by member: a user may have more records than memory should hold. After the first error it writes nothing.
type object struct {
	to      io.Writer
	members int
	err     error
}

func (o *object) write(format string, args ...any) {
	if o.err == nil {
		_, o.err = fmt.Fprintf(o.to, format, args...)
	}
}

func (o *object) value(v any) {
	text, err := json.Marshal(v)
	if err != nil && o.err == nil {
		o.err = err
	}
	o.write("%s", text)
}

func (o *object) name(name string) {
	if o.members++; o.members == 1 {
		o.write("{\n  ")
	} else {
		o.write(",\n  ")
	}
	o.write("%q: ", name)
}

func (o *object) member(name string, v any) {
	o.name(name)
	o.value(v)
}

// list writes a member that is a list of what each tells, one item a line.
func (o *object) list(name string, each func(item func(any)) error) {
	o.name(name)
	o.write("[")
	items := 0
	err := each(func(v any) {
		if items++; items > 1 {
			o.write(",")
		}
		o.write("\n    ")
		o.value(v)
	})
	if err != nil && o.err == nil {
		o.err = err
	}
	if items > 0 {
		o.write("\n  ")
	}
	o.write("]")
}

func (o *object) end() error {
	o.write("\n}\n")
	return o.err
}
