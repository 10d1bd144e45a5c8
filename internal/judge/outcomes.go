package judge

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compareOutcomes wants on each partner's topic the engine's outcomes, once. They don't say which record led to them, so what is compared is, for each
// pseudonym, all of it in order: the user's events are in one partition, and so are the pseudonym's outcomes.
func (c Case) compareOutcomes(left *left, expected map[int32]*fold, v *Verdict) error {
	var findings []error
	for _, name := range c.Partners.Names() {
		topic := c.Topics.Outcome(c.Partners.Find(name).Topic)
		want := map[string][]string{}
		for _, n := range slices.Sorted(maps.Keys(expected)) {
			for i := range expected[n].shared {
				if o := &expected[n].shared[i]; slices.Contains(o.Campaign.Share, name) {
					r := c.Partners.Find(name).Record(o, topic.Partitions)
					want[string(r.Key)] = append(want[string(r.Key)], outcomeLine(r))
				}
			}
		}
		got := left.outcomes[topic.Name]
		for _, pseudonym := range slices.Sorted(maps.Keys(want)) {
			if diff := firstDifferences(want[pseudonym], got[pseudonym]); diff != "" && len(findings) < maxFindings {
				findings = append(findings, broken(Outcomes, "those of pseudonym %s in %s differ:\n%s", pseudonym, topic.Name, diff))
			}
		}
		for _, pseudonym := range slices.Sorted(maps.Keys(got)) {
			v.Shared += len(got[pseudonym])
			if want[pseudonym] == nil && len(findings) < maxFindings {
				findings = append(findings, broken(Outcomes, "%s has outcomes of pseudonym %s, of whom none are wanted", topic.Name, pseudonym))
			}
		}
	}
	return errors.Join(findings...)
}

func outcomeLine(r *kgo.Record) string {
	line := fmt.Appendf(nil, "in partition %d at %d: %s", r.Partition, r.Timestamp.UnixMilli(), r.Value)
	for _, h := range r.Headers {
		line = fmt.Appendf(line, " %s=%s", h.Key, h.Value)
	}
	return string(line)
}
