package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// push delivers the outcomes on a partner's topic.
type push struct {
	kafka.BrokerFlags
	Partner string `required:"" placeholder:"NAME" help:"The partner."`
	Topic   string `placeholder:"NAME" help:"The partner's topic (default: outcomes.PARTNER)."`
	Group   string `of:"to=webhook" placeholder:"NAME" help:"The consumer group; pushes of one group share the work (default: push-TOPIC)."`

	To  string `enum:"webhook,parquet" default:"webhook" help:"webhook posts to --url; parquet writes files to DIR, for an analytics store (${default})."`
	Dir string `arg:"" optional:"" help:"Of --to parquet: where the files are. They say how far the topic has been read, so take them away only from the oldest on."`

	URL           string `env:"STAMPEDE_WEBHOOK_URL" of:"to=webhook" placeholder:"https://..." help:"Where batches are posted."`
	SecretFile    string `env:"STAMPEDE_WEBHOOK_SECRET_FILE" of:"to=webhook" type:"existingfile" placeholder:"FILE" help:"The secrets that sign them, as Standard Webhooks writes them (whsec_...), one a line; each signs, so that one can be rotated."`
	WebhookSecret string `env:"STAMPEDE_WEBHOOK_SECRET" of:"to=webhook" secret:"" hidden:"" placeholder:"SECRET" help:"The secrets themselves, one a line: in the environment, or better in --secret-file."`
	Batch         int    `default:"100" of:"to=webhook" help:"At most so many outcomes a request (${default})."`

	FileRows  int           `default:"100000" of:"to=parquet" help:"Of --to parquet: files are written when so many rows wait (${default})."`
	FileEvery time.Duration `default:"1m" of:"to=parquet" help:"Or when the first has waited so long (${default})."`
	command.Logging
}

// maxBatch bounds a request's outcomes: one takes up to a kilobyte.
const maxBatch = 1000

// Validate is called by kong.
func (p *push) Validate() error {
	var errs []error
	if !campaign.PartnerName(p.Partner) {
		errs = append(errs, fmt.Errorf("--partner: %q is no partner's name: use a-z, 0-9 and -", p.Partner))
	}
	if p.To == "parquet" {
		return errors.Join(append(errs, p.checkFiles())...)
	}
	if p.Dir != "" {
		errs = append(errs, errors.New("a directory is for --to parquet"))
	}
	if p.Batch < 1 || p.Batch > maxBatch {
		errs = append(errs, fmt.Errorf("--batch must be from 1 to %d", maxBatch))
	}
	if (p.SecretFile == "") == (p.WebhookSecret == "") {
		errs = append(errs, errors.New("name the secret that signs deliveries, either in --secret-file or in the environment variable STAMPEDE_WEBHOOK_SECRET"))
	}
	return errors.Join(append(errs, checkURL(p.URL))...)
}

// maxFileRows bounds what waits in memory for a file.
const maxFileRows = 1_000_000

func (p *push) checkFiles() error {
	switch {
	case p.Dir == "":
		return errors.New("--to parquet needs the directory where the files are to be")
	case p.FileRows < 1 || p.FileRows > maxFileRows:
		return fmt.Errorf("--file-rows must be from 1 to %d", maxFileRows)
	case p.FileEvery < time.Second || p.FileEvery > 24*time.Hour:
		return errors.New("--file-every must be from 1s to 24h")
	}
	return nil
}

// checkURL wants what is posted to be encrypted on its way, unless it stays on this machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("--url must be where to post to, for example https://partner.example/outcomes, not %q", text)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("--url must begin with https://: outcomes leave this machine encrypted only")
	}
	return nil
}

// Run is called by main.
func (p *push) Run(ctx context.Context) error {
	connection, err := p.Connection()
	if err != nil {
		return err
	}
	log := p.Logger()
	connection.Log = log
	topic := p.topic()
	if p.To == "parquet" {
		log.Info("push starts", "topic", topic, "dir", p.Dir)
		return partner.Archive{Connection: connection, Topic: topic, Dir: p.Dir, FileRows: p.FileRows, FileEvery: p.FileEvery, Log: log}.Run(ctx)
	}
	secrets, err := p.secrets()
	if err != nil {
		return err
	}
	group := p.Group
	if group == "" {
		group = "push-" + topic
	}
	log.Info("push starts", "topic", topic, "group", group)
	return partner.Push{
		Connection: connection, Topics: kafka.TopicsConfig{Partitions: p.Partitions, ReplicationFactor: p.ReplicationFactor},
		Topic: topic, Group: group, URL: p.URL, Secrets: secrets, BatchRecords: p.Batch, Log: log,
	}.Run(ctx)
}

func (p *push) topic() string {
	if p.Topic != "" {
		return p.Topic
	}
	return partner.TopicPrefix + p.Partner
}

func (p *push) secrets() ([]partner.Secret, error) {
	text := p.WebhookSecret
	if p.SecretFile != "" {
		read, err := partner.ReadSecret(p.SecretFile)
		if err != nil {
			return nil, err
		}
		text = string(read)
	}
	return partner.ParseSecrets(text)
}
