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
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// export prints everything that is known of a user, as one JSON object: the ledger and what budgets keep, from the changelog, and the user's records in the topics.
type export struct {
	kafka.Flags
	User     string `required:"" help:"The user's id, the key of the user's events."`
	Partners string `env:"STAMPEDE_PARTNERS" type:"existingfile" placeholder:"FILE" help:"The processors' file of partners: the export then has what partners were told, too, in whose topics the user is a pseudonym (default: none)."`
}

// knownIn is what is known in one partition.
type knownIn struct {
	Partition   int32           `json:"partition"`
	AsOf        time.Time       `json:"as_of"`
	Known       *campaign.Known `json:"known,omitempty"`
	ErasedUntil *time.Time      `json:"erased_until,omitempty"` // records that come until then are dropped

	DeniedClaims []json.RawMessage `json:"denied_claims,omitempty"` // that budgets keep, in case that they are raised
}

// exported is a record of a topic.
type exported struct {
	Topic     string           `json:"topic"`
	Partition int32            `json:"partition"`
	Offset    int64            `json:"offset"`
	Timestamp time.Time        `json:"timestamp"`
	Pseudonym string           `json:"pseudonym,omitempty"` // under which a partner knows the user
	Headers   []exportedHeader `json:"headers,omitempty"`
	Value     json.RawMessage  `json:"value,omitempty"`
	Bytes     []byte           `json:"value_base64,omitempty"` // of a value that is no JSON
}

// exportedHeader is one of a record's headers: there may be several of a name.
type exportedHeader struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	Bytes []byte `json:"value_base64,omitempty"` // of one that is no text
}

// Run is called by main.
func (x *export) Run(ctx context.Context) (err error) {
	if why := userProblem(x.User); why != "" {
		return errors.New(why)
	}
	partners, err := loadPartners(x.Partners)
	if err != nil {
		return err
	}
	cfg := x.Topics()
	cfg.Names.Outcomes = partners.Topics()
	reads := append([]string{x.EventsTopic, x.RewardsTopic, x.ChangelogTopic, x.DeadLettersTopic}, partners.Topics()...)
	connection, topics, err := connectAll(ctx, x.Flags, cfg, reads...)
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
			if known := knownOf(s, x.User); known.Known != nil || known.ErasedUntil != nil || known.DeniedClaims != nil {
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
	if x.Partners != "" {
		o.list("outcomes", func(item func(any)) error {
			return outcomesOf(ctx, connection, topics, partners, x.User, func(r *kgo.Record) error {
				e := exportedOf(r)
				e.Pseudonym = string(r.Key)
				item(e)
				return o.err
			})
		})
	}
	return o.end()
}

// outcomesOf visits what partners were told of a user, under each of the user's pseudonyms.
func outcomesOf(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, partners *partner.Partners, user string, visit func(*kgo.Record) error) error {
	for _, name := range partners.Names() {
		p := partners.Find(name)
		for _, key := range p.Keys {
			if err := stream.RecordsOf(ctx, c, topics, topics.Outcome(p.Topic), key.Pseudonym(user), visit); err != nil {
				return err
			}
		}
	}
	return nil
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
	for _, claim := range s.Denied {
		k.DeniedClaims = append(k.DeniedClaims, claim)
	}
	return k
}

func exportedOf(r *kgo.Record) exported {
	e := exported{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC()}
	for _, h := range r.Headers {
		header := exportedHeader{Key: h.Key}
		if utf8.Valid(h.Value) {
			header.Value = string(h.Value)
		} else {
			header.Bytes = h.Value
		}
		e.Headers = append(e.Headers, header)
	}
	if utf8.Valid(r.Value) && json.Valid(r.Value) { // the latter lets through bytes that are no UTF-8
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
