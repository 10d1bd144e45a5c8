package partner

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// Dimensions are what outcomes can be counted by, beside the outcome itself.
var Dimensions = []string{"sponsor", "campaign", "month"}

const (
	// all stands in a total's row for every value of a dimension.
	all = "*"
	// maxCounted bounds what a report keeps in memory: the users of each cell.
	maxCounted = 20_000_000
)

// Report counts the outcomes of a partner, and hides the cells of few users.
type Report struct {
	By      []string // of Dimensions, in the order of the totals; the outcome comes last
	MinCell int      // a cell of fewer users is suppressed
}

// Row is a cell of a report, or a total.
type Row struct {
	Sponsor  string `parquet:"sponsor"`
	Campaign string `parquet:"campaign"`
	Month    string `parquet:"month"`
	Outcome  string `parquet:"outcome"`
	// Level is how many of the dimensions and the outcome are fixed; the others are all together, `*`. 0 is the total of everything.
	Level int32 `parquet:"level"`
	// Users and Outcomes are nil where the cell is suppressed. What a suppressed cell is made of has no rows; and a total that is told has none of its
	// parts where nothing could be told of them.
	Users      *int64 `parquet:"users,optional"`
	Outcomes   *int64 `parquet:"outcomes,optional"`
	Suppressed bool   `parquet:"suppressed"`
}

// Read counts what is committed on a partner's topic now. Rows are in order, a total before its parts.
func (r Report) Read(ctx context.Context, c kafka.Connection, topic string) ([]Row, error) {
	if err := mustExist(ctx, c, topic); err != nil {
		return nil, err
	}
	count := newCount(r.By)
	err := c.ReadTopic(ctx, topic, func(rec *kgo.Record) error {
		o, err := Read(rec)
		if err != nil {
			return err
		}
		return count.add(o)
	})
	if err != nil {
		return nil, err
	}
	return r.rows(count.root, count.users), nil
}

// count is outcomes by the dimensions.
type count struct {
	by    []string
	root  *cell
	users *users
	pairs int // of cells and users
}

// cell is a total and its parts; a cell without parts counts outcomes itself.
type cell struct {
	value    string
	parts    map[string]*cell
	outcomes int64
	ids      map[uint32]struct{} // of the cell itself

	distinct   map[uint32]struct{} // users, the parts' too
	suppressed bool                // its numbers are not told
	closed     bool                // its parts have no rows
}

func newCell(value string) *cell {
	return &cell{value: value, parts: map[string]*cell{}, ids: map[uint32]struct{}{}}
}

func newCount(by []string) *count {
	return &count{by: by, root: newCell(all), users: newUsers()}
}

func (c *count) add(o Outcome) error {
	at := c.root
	for _, dimension := range c.by {
		at = at.part(map[string]string{"sponsor": o.Sponsor, "campaign": o.Campaign, "month": o.Date[:len("2026-03")]}[dimension])
	}
	at = at.part(o.Kind)
	at.outcomes++
	id, err := c.users.id(o.KeyID, o.Pseudonym)
	if err != nil {
		return err
	}
	for _, other := range o.Others {
		same, err := c.users.id(other.KeyID, other.Pseudonym)
		if err != nil {
			return err
		}
		c.users.join(id, same)
	}
	if _, counted := at.ids[id]; counted {
		return nil
	}
	at.ids[id] = struct{}{}
	if c.pairs++; c.pairs > maxCounted {
		return fmt.Errorf("the topic has more than %d users in cells, which is the most that a report counts: use `processor push --to parquet` and a database", maxCounted)
	}
	return nil
}

func (c *cell) part(value string) *cell {
	if c.parts[value] == nil {
		c.parts[value] = newCell(value)
	}
	return c.parts[value]
}

func (c *cell) sorted() []*cell {
	return slices.SortedFunc(maps.Values(c.parts), func(a, b *cell) int { return cmp.Compare(a.value, b.value) })
}

// total adds up the parts, from below.
func (c *cell) total(u *users) {
	c.distinct = map[uint32]struct{}{}
	for id := range c.ids {
		c.distinct[u.find(id)] = struct{}{}
	}
	for _, part := range c.parts {
		part.total(u)
		c.outcomes += part.outcomes
		maps.Copy(c.distinct, part.distinct)
	}
}

func (r Report) rows(root *cell, u *users) []Row {
	root.total(u)
	root.suppress(u, r.MinCell)
	var rows []Row
	r.collect(root, nil, &rows)
	return rows
}

func (r Report) collect(c *cell, path []string, rows *[]Row) {
	row := Row{Sponsor: all, Campaign: all, Month: all, Outcome: all, Level: int32(len(path)), Suppressed: c.suppressed} //nolint:gosec // at most 4
	for i, value := range path {
		if i == len(r.By) {
			row.Outcome = value
			continue
		}
		*map[string]*string{"sponsor": &row.Sponsor, "campaign": &row.Campaign, "month": &row.Month}[r.By[i]] = value
	}
	if c.suppressed {
		*rows = append(*rows, row)
		return
	}
	users := int64(len(c.distinct))
	row.Users, row.Outcomes = &users, &c.outcomes
	*rows = append(*rows, row)
	if c.closed {
		return
	}
	for _, part := range c.sorted() {
		r.collect(part, append(slices.Clone(path), part.value), rows)
	}
}

// WriteCSV writes rows with a header. A suppressed number is empty.
func WriteCSV(w io.Writer, rows []Row) error {
	out := csv.NewWriter(w)
	number := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	err := out.Write([]string{"sponsor", "campaign", "month", "outcome", "level", "users", "outcomes", "suppressed"})
	for _, r := range rows {
		err = errors.Join(err, out.Write([]string{
			r.Sponsor, r.Campaign, r.Month, r.Outcome, strconv.Itoa(int(r.Level)), number(r.Users), number(r.Outcomes), strconv.FormatBool(r.Suppressed),
		}))
	}
	out.Flush()
	return errors.Join(err, out.Error())
}

// WriteParquet writes rows as a Parquet file.
func WriteParquet(w io.Writer, rows []Row) error {
	return parquet.Write(w, rows, parquet.Compression(&parquet.Snappy))
}
