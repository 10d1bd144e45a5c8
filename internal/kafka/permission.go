package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Operation is what a program does with a resource of Kafka, in the word of kafka-acls.sh. Who may Read or Write may Describe.
type Operation string

const (
	Read            Operation = "Read"
	Write           Operation = "Write"
	Describe        Operation = "Describe"
	DescribeConfigs Operation = "DescribeConfigs"
)

// Permission is one thing that a broker with access control has to allow. deploy/SECURITY.md lists those of every command.
type Permission struct {
	Resource  string // "topic", "group" or "transactional-id", in the word of kafka-acls.sh
	Name      string
	Operation Operation
}

// OnTopic is a permission on a topic.
func OnTopic(name string, o Operation) Permission { return Permission{"topic", name, o} }

// OnGroup is what a member of a consumer group needs.
func OnGroup(name string) Permission { return Permission{"group", name, Read} }

// OnTransactionalID is what whoever opens transactions needs.
func OnTransactionalID(name string) Permission { return Permission{"transactional-id", name, Write} }

// DeniedError says what the brokers don't allow, and how it is allowed.
type DeniedError struct {
	Principal string // such as User:stampede; empty where it is not known
	Missing   []Permission
	cause     error
}

// Error says what each resource wants, and the commands that give it.
func (e *DeniedError) Error() string {
	who := e.Principal
	if who == "" {
		who = "User:NAME"
	}
	var says, commands []string
	for _, resource := range e.resources() {
		operations := resource[2:]
		says = append(says, fmt.Sprintf("%s on %s %s", strings.Join(operations, " and "), resource[0], resource[1]))
		commands = append(commands, fmt.Sprintf("\n    kafka-acls.sh --bootstrap-server BROKER --add --allow-principal '%s' --operation %s --%s %s",
			who, strings.Join(operations, " --operation "), resource[0], resource[1]))
	}
	return fmt.Sprintf("Kafka does not allow %s the operations: %s. An administrator gives them; deploy/SECURITY.md lists what each command needs.%s",
		who, strings.Join(says, "; "), strings.Join(commands, ""))
}

// resources lists for each resource that something is missing on its kind, its name and the operations.
func (e *DeniedError) resources() (all [][]string) {
	for _, p := range e.Missing {
		i := slices.IndexFunc(all, func(r []string) bool { return r[0] == p.Resource && r[1] == p.Name })
		if i < 0 {
			i, all = len(all), append(all, []string{p.Resource, p.Name})
		}
		all[i] = append(all[i], string(p.Operation))
	}
	return all
}

// Unwrap returns the broker's error, if there was one.
func (e *DeniedError) Unwrap() error { return e.cause }

// isDenied says whether an error is a broker's, who does not allow something.
func isDenied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) ||
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

// Denied returns the error of a request, and where it says that something is not allowed, a [DeniedError] about what the request needed.
func (c Connection) Denied(err error, needed Permission) error {
	if err == nil || !isDenied(err) || errors.As(err, new(*DeniedError)) {
		return err
	}
	return &DeniedError{Principal: c.Security.Principal(), Missing: []Permission{needed}, cause: err}
}

// topicAccess is what a broker says of a topic to whoever asks.
type topicAccess struct {
	err     error // kerr.UnknownTopicOrPartition where there is none
	allowed int32 // a bit for each kmsg.ACLOperation; math.MinInt32 where the broker does not say
}

// acl are the operations in Kafka's protocol.
var acl = map[Operation]kmsg.ACLOperation{
	Read: kmsg.ACLOperationRead, Write: kmsg.ACLOperationWrite, Describe: kmsg.ACLOperationDescribe, DescribeConfigs: kmsg.ACLOperationDescribeConfigs,
}

// ACL is the operation in Kafka's protocol.
func (o Operation) ACL() kmsg.ACLOperation { return acl[o] }

func (t topicAccess) may(o Operation) bool {
	return t.allowed == math.MinInt32 || t.allowed&(1<<o.ACL()) != 0
}

// access asks about topics. Without the permission to describe one nobody is told whether there is one.
func access(ctx context.Context, cl *kgo.Client, topics []string) (map[string]topicAccess, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &name
		request.Topics = append(request.Topics, asked)
	}
	answer, err := request.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("look up topics: %w", err)
	}
	told := map[string]topicAccess{}
	for _, t := range answer.Topics {
		if t.Topic != nil {
			told[*t.Topic] = topicAccess{kerr.ErrorForCode(t.ErrorCode), t.AuthorizedOperations}
		}
	}
	return told, nil
}

// denied lists what the caller is going to do with topics and may not, all at once: else a reward's would be the first that nobody may write.
func (c TopicsConfig) denied(specs []spec, told map[string]topicAccess) error {
	var missing []Permission
	for _, s := range specs {
		t, ok := told[s.name]
		if !ok {
			continue
		}
		for _, o := range c.Uses(s.name) {
			if errors.Is(t.err, kerr.TopicAuthorizationFailed) && o != DescribeConfigs || t.err == nil && !t.may(o) {
				missing = append(missing, OnTopic(s.name, o))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &DeniedError{Principal: c.Principal, Missing: missing, cause: kerr.TopicAuthorizationFailed}
}

// Uses are the operations that the caller needs on a topic. Read and Write say Describe, too.
func (c TopicsConfig) Uses(topic string) (needed []Operation) {
	if slices.Contains(c.Reads, topic) {
		needed = append(needed, Read)
	}
	if slices.Contains(c.Writes, topic) {
		needed = append(needed, Write)
	}
	if len(needed) == 0 {
		needed = append(needed, Describe)
	}
	return append(needed, DescribeConfigs)
}
