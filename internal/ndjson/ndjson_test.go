package ndjson_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stampede-rewards/stampede/internal/ndjson"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"blank lines count and are skipped", "a\n\n  \r\nb\n", []string{"1 a", "4 b"}},
		{"the last line needs no end", "a\nb", []string{"1 a", "2 b"}},
		{"as long as may be", long[:32] + "\nb", []string{"1 " + long[:32], "2 b"}},
		{"too long", "a\n" + long + "\nb\n", []string{"1 a", "2 cut " + long[:32], "3 b"}},
		{"too long at the end", long, []string{"1 cut " + long[:32]}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ndjson.NewReader(strings.NewReader(c.in), 32)
			var got []string
			for {
				line, number, cut, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if cut {
					got = append(got, fmt.Sprintf("%d cut %s", number, line))
				} else {
					got = append(got, fmt.Sprintf("%d %s", number, line))
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
