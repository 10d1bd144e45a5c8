package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/stampede-rewards/stampede/internal/disk"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// report counts a partner's outcomes and hides small cells.
type report struct {
	kafka.BrokerFlags
	Partner string   `required:"" placeholder:"NAME" help:"The partner."`
	Topic   string   `placeholder:"NAME" help:"The partner's topic (default: outcomes.PARTNER)."`
	By      []string `default:"sponsor,campaign,month" placeholder:"DIMENSION,..." help:"What to count by, of sponsor, campaign and month, in the order of the totals; the outcome comes last (${default})."`
	MinCell int      `default:"11" help:"A number about fewer users is suppressed, and so are those that would tell it (${default})."`
	CSV     string   `name:"csv" placeholder:"FILE" help:"Write it as CSV to a file (default: stdout, unless --parquet is given)."`
	Parquet string   `placeholder:"FILE" help:"Write it as Parquet to a file."`
}

// Validate is called by kong.
func (r *report) Validate() error {
	var errs []error
	if !campaign.PartnerName(r.Partner) {
		errs = append(errs, fmt.Errorf("--partner: %q is no partner's name: use a-z, 0-9 and -", r.Partner))
	}
	for i, dimension := range r.By {
		if !slices.Contains(partner.Dimensions, dimension) || slices.Contains(r.By[:i], dimension) {
			errs = append(errs, fmt.Errorf("--by: %q is not among %s, or stands there twice", dimension, strings.Join(partner.Dimensions, ", ")))
		}
	}
	if r.MinCell < 2 {
		errs = append(errs, errors.New("--min-cell must be at least 2: a cell of one user is about that user"))
	}
	if r.CSV != "" && r.CSV == r.Parquet {
		errs = append(errs, fmt.Errorf("--csv and --parquet both write %s: give each a file of its own", r.CSV))
	}
	return errors.Join(errs...)
}

// Run is called by main.
func (r *report) Run(ctx context.Context) error {
	connection, err := r.Connection()
	if err != nil {
		return err
	}
	topic := r.Topic
	if topic == "" {
		topic = partner.TopicPrefix + r.Partner
	}
	rows, err := partner.Report{By: r.By, MinCell: r.MinCell}.Read(ctx, connection, topic)
	if err != nil {
		return err
	}
	if r.CSV == "" && r.Parquet == "" {
		return partner.WriteCSV(os.Stdout, rows)
	}
	if r.CSV != "" {
		if err := disk.WriteFile(r.CSV, func(w io.Writer) error { return partner.WriteCSV(w, rows) }); err != nil {
			return err
		}
	}
	if r.Parquet != "" {
		return disk.WriteFile(r.Parquet, func(w io.Writer) error { return partner.WriteParquet(w, rows) })
	}
	return nil
}
