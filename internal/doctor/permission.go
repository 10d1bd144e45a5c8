package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// topicNeeds is what `processor run` needs on a topic. Brokers tell Describe beside what says it.
func (l *kafkaLook) topicNeeds(topic string) []kafka.Operation {
	needs := stream.Uses(l.Topics).Uses(topic)
	if !slices.Contains(needs, kafka.Describe) {
		needs = slices.Insert(needs, len(needs)-1, kafka.Describe)
	}
	return needs
}

var groupNeeds = []kafka.Operation{kafka.Read, kafka.Describe}

// allow is the command that lets somebody do something.
func allow(principal, operations, resource string) string {
	var options strings.Builder
	for operation := range strings.SplitSeq(operations, ",") {
		options.WriteString(" --operation " + operation)
	}
	return fmt.Sprintf("kafka-acls.sh --bootstrap-server BROKER --add --allow-principal %s%s %s", principal, options.String(), resource)
}

// examinePermissions compares what the brokers say that we may do with what `processor run` does.
func (l *kafkaLook) examinePermissions(ctx context.Context) []Finding {
	var found []Finding
	absent := false
	for _, t := range l.topics {
		needs := l.topicNeeds(t.Name)
		resource := "--topic " + t.Name
		switch {
		case unknown(t.Err):
			absent = true
		case errors.Is(t.Err, kerr.TopicAuthorizationFailed) && t.Detail.Topic == "":
			found = append(found, permission(l.Principal, place(t.Name), resource, []kadm.ACLOperation{kadm.OpUnknown}, needs))
		case t.Detail.Topic == "":
			found = append(found, unchecked(Permissions, place(t.Name), "what may be done with it", t.Err))
		default:
			found = append(found, permission(l.Principal, place(t.Name), resource, t.Detail.AuthorizedOperations, needs))
		}
	}
	if absent {
		found = append(found, l.creation(ctx))
	}
	found = append(found, l.examineGroupPermission(ctx))
	return append(found, l.examineTransactionalID(ctx)...)
}

// permission compares what is allowed with what is needed. Where the broker told nothing it is not known.
func permission(principal, place, resource string, allowed []kadm.ACLOperation, needs []kafka.Operation) Finding {
	if len(allowed) == 0 {
		return Finding{Severity: Unchecked, Area: Permissions, Place: place, What: "the broker does not tell what may be done with it"}
	}
	var lacks []string
	for _, op := range needs {
		if !slices.Contains(allowed, op.ACL()) {
			lacks = append(lacks, string(op))
		}
	}
	if len(lacks) == 0 {
		return Finding{Severity: OK, Area: Permissions, Place: place, What: "what `processor run` does with it is allowed"}
	}
	return Finding{
		Severity: Wrong, Area: Permissions, Place: place, What: "not allowed: " + strings.Join(lacks, ", "), Why: "`processor run` needs it",
		Mend: allow(principal, strings.Join(lacks, ","), resource),
	}
}

// cluster is what may be done with the cluster: nothing that is told where even Describe is not allowed.
type cluster struct {
	operations []kadm.ACLOperation
	err        error
}

// askCluster asks once, and remembers.
func (l *kafkaLook) askCluster(ctx context.Context) *cluster {
	if l.cluster == nil {
		request := kmsg.NewPtrDescribeClusterRequest()
		request.IncludeClusterAuthorizedOperations = true
		bounded, cancel := asked(ctx)
		defer cancel()
		answer, err := request.RequestWith(bounded, l.client)
		l.cluster = &cluster{err: err}
		if err == nil {
			l.cluster = &cluster{kadm.DecodeACLOperations(answer.ClusterAuthorizedOperations), kerr.ErrorForCode(answer.ErrorCode)}
		}
	}
	return l.cluster
}

// creation says whether topics that are missing may be made.
func (l *kafkaLook) creation(ctx context.Context) Finding {
	c := l.askCluster(ctx)
	if c.err != nil {
		return unchecked(Permissions, "cluster", "whether topics may be made", c.err)
	}
	if slices.Contains(c.operations, kadm.OpCreate) {
		return Finding{Severity: OK, Area: Permissions, Place: "cluster", What: "the topics that are missing may be made"}
	}
	return Finding{
		Severity: Unchecked, Area: Permissions, Place: "cluster", What: "topics are missing, and it is not told that any may be made; making just these may be allowed, which brokers do not tell",
		Mend: "for each of them: " + allow(l.Principal, "Create", "--topic TOPIC"),
	}
}

func (l *kafkaLook) examineGroupPermission(ctx context.Context) Finding {
	name := "group " + l.Group
	if l.noOffsets {
		return Finding{Severity: Unchecked, Area: Permissions, Place: name, What: "what may be done with it is not asked: Kafka would make the topic " + offsetsTopic + " for that"}
	}
	group, err := l.describeGroup(ctx)
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return permission(l.Principal, name, "--group "+l.Group, []kadm.ACLOperation{kadm.OpUnknown}, groupNeeds)
	case err != nil:
		return unchecked(Permissions, name, "what may be done with it", err)
	}
	return permission(l.Principal, name, "--group "+l.Group, group.AuthorizedOperations, groupNeeds)
}

// describeGroup asks once, and remembers.
func (l *kafkaLook) describeGroup(ctx context.Context) (kadm.DescribedGroup, error) {
	if l.group == nil {
		bounded, cancel := asked(ctx)
		defer cancel()
		groups, err := l.admin.DescribeGroups(bounded, l.Group)
		group := groups[l.Group]
		l.group = &described{group, cmp.Or(err, group.Err)}
	}
	return l.group.DescribedGroup, l.group.err
}

type described struct {
	kadm.DescribedGroup
	err error
}

// examineTransactionalID asks about the transactional id of a processor. Whether it may be written has no question; but who may, may ask.
func (l *kafkaLook) examineTransactionalID(ctx context.Context) []Finding {
	id := stream.TransactionalID(l.Group, cmp.Or(l.Instance, "doctor"))
	name := "transactional ids " + stream.TransactionalID(l.Group, "...")
	if l.noTransactions {
		return []Finding{{Severity: Unchecked, Area: Permissions, Place: name, What: "what may be done with them is not asked: Kafka would make the topic " + transactionsTopic + " for that"}}
	}
	bounded, cancel := asked(ctx)
	defer cancel()
	told, err := l.admin.DescribeTransactions(bounded, id)
	err = cmp.Or(err, told[id].Err)
	mend := allow(l.Principal, "Write,Describe", "--transactional-id "+stream.TransactionalID(l.Group, "")+" --resource-pattern-type prefixed")
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return []Finding{{Severity: Wrong, Area: Permissions, Place: name, What: "not allowed: Describe, of " + id, Why: "`processor run` begins its transactions by such an id", Mend: mend}}
	case err != nil && !errors.Is(err, kerr.TransactionalIDNotFound): // that there is no such id is an answer, too
		return []Finding{unchecked(Permissions, name, "what may be done with them", err)}
	}
	return []Finding{{
		Severity: Unchecked, Area: Permissions, Place: name, What: "Describe is allowed; whether Write is, Kafka tells nobody who does not try", Mend: "where it is not: " + mend,
	}}
}
