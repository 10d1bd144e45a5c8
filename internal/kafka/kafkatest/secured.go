package kafkatest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Secured is a broker that lets in only whom it knows (SASL, SCRAM-SHA-256), and allows only what it was told to. The addresses of the broker itself are
// for the test, which comes in by them as an administrator.
type Secured struct {
	*Broker
	// Logins is where users log in, host:port.
	Logins string

	tb    testing.TB
	admin *kadm.Client
	dir   string // of passwords
}

// StartSecured starts one for a test. A broker that was given has no access control of ours: the test is skipped.
func StartSecured(tb testing.TB) *Secured {
	tb.Helper()
	b := Start(tb, Config{Advertise: []string{""}, Properties: map[string]string{
		"listener.security.protocol.map":                           "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT,ADVERTISED0:SASL_PLAINTEXT",
		"sasl.enabled.mechanisms":                                  "SCRAM-SHA-256",
		"listener.name.advertised0.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"authorizer.class.name":                                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found":                           "false",
		"super.users":                                              "User:ANONYMOUS", // whoever comes in without a login
	}})
	if !b.Ours() {
		tb.Skipf("the broker of %s has no access control of this test's", brokersVariable)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return &Secured{Broker: b, Logins: b.Listener(0), tb: tb, admin: kadm.NewClient(client), dir: tb.TempDir()}
}

// Users makes users who can log in and may do nothing yet.
func (s *Secured) Users(names ...string) {
	s.tb.Helper()
	all := make([]kadm.UpsertSCRAM, len(names))
	for i, name := range names {
		password := "secret of " + name
		all[i] = kadm.UpsertSCRAM{User: name, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}
		if err := os.WriteFile(s.PasswordFile(name), []byte(password), 0o600); err != nil {
			s.tb.Fatal(err)
		}
	}
	made, err := s.admin.AlterUserSCRAMs(s.tb.Context(), nil, all)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		s.tb.Fatalf("make users: %v", err)
	}
	s.await("users are known", func() bool {
		known, err := s.admin.DescribeUserSCRAMs(s.tb.Context(), names...)
		return err == nil && known.Ok()
	})
}

// await waits until the broker has heard of what its controller has decided.
func (s *Secured) await(what string, holds func() bool) {
	s.tb.Helper()
	for deadline := time.Now().Add(readyTimeout); !holds(); time.Sleep(readyWait / 10) {
		if time.Now().After(deadline) {
			s.tb.Fatalf("%s: not within %s", what, readyTimeout)
		}
	}
}

// has counts the operations of an ACL that the broker allows a user by that very ACL.
func (s *Secured) has(user string, a ACL) (n int) {
	results, err := s.admin.DescribeACLs(s.tb.Context(), a.builder(s.tb, user))
	if err != nil {
		return -1
	}
	for _, r := range results {
		n += len(r.Described)
	}
	return n
}

// PasswordFile has a user's password.
func (s *Secured) PasswordFile(user string) string { return filepath.Join(s.dir, user) }

// ACL is what kafka-acls.sh is told to allow on one resource, in its words.
type ACL struct {
	Resource   string // "topic", "group" or "transactional-id"
	Name       string
	Prefixed   bool // every resource whose name begins so
	Operations []string
}

// String is it for people.
func (a ACL) String() string {
	if a.Prefixed {
		return fmt.Sprintf("%v on %s %s*", a.Operations, a.Resource, a.Name)
	}
	return fmt.Sprintf("%v on %s %s", a.Operations, a.Resource, a.Name)
}

var operations = map[string]kadm.ACLOperation{
	"Read": kadm.OpRead, "Write": kadm.OpWrite, "Create": kadm.OpCreate, "Describe": kadm.OpDescribe, "DescribeConfigs": kadm.OpDescribeConfigs,
}

func (a ACL) builder(tb testing.TB, user string) *kadm.ACLBuilder {
	tb.Helper()
	b := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").ResourcePatternType(kadm.ACLPatternLiteral)
	if a.Prefixed {
		b.ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	switch a.Resource {
	case "topic":
		b.Topics(a.Name)
	case "group":
		b.Groups(a.Name)
	case "transactional-id":
		b.TransactionalIDs(a.Name)
	default:
		tb.Fatalf("no resource is named %q", a.Resource)
	}
	all := make([]kadm.ACLOperation, len(a.Operations))
	for i, name := range a.Operations {
		o, ok := operations[name]
		if !ok {
			tb.Fatalf("no operation is named %q", name)
		}
		all[i] = o
	}
	return b.Operations(all...)
}

// Allow gives a user permissions, and returns when the broker obeys.
func (s *Secured) Allow(user string, acls ...ACL) {
	s.tb.Helper()
	for _, a := range acls {
		made, err := s.admin.CreateACLs(s.tb.Context(), a.builder(s.tb, user))
		if err != nil {
			s.tb.Fatalf("allow %s %s: %v", user, a, err)
		}
		for _, one := range made {
			if one.Err != nil {
				s.tb.Fatalf("allow %s %s: %v %s", user, a, one.Err, one.ErrMessage)
			}
		}
	}
	for _, a := range acls {
		s.await(fmt.Sprintf("%s has %s", user, a), func() bool { return s.has(user, a) == len(a.Operations) })
	}
}

// Revoke takes permissions away that were given in the same words, and returns when the broker obeys.
func (s *Secured) Revoke(user string, acls ...ACL) {
	s.tb.Helper()
	for _, a := range acls {
		results, err := s.admin.DeleteACLs(s.tb.Context(), a.builder(s.tb, user))
		if err != nil {
			s.tb.Fatalf("revoke %s from %s: %v", a, user, err)
		}
		deleted := 0
		for _, r := range results {
			if r.Err != nil {
				s.tb.Fatalf("revoke %s from %s: %v %s", a, user, r.Err, r.ErrMessage)
			}
			deleted += len(r.Deleted)
		}
		if deleted != len(a.Operations) {
			s.tb.Fatalf("revoke %s from %s: %d were there", a, user, deleted)
		}
	}
	for _, a := range acls {
		s.await(fmt.Sprintf("%s no longer has %s", user, a), func() bool { return s.has(user, a) == 0 })
	}
}

// MakeTopic makes a topic as the administrator.
func (s *Secured) MakeTopic(name string, partitions int32, settings map[string]string) {
	s.tb.Helper()
	all := map[string]*string{}
	for name, value := range settings {
		all[name] = &value
	}
	if _, err := s.admin.CreateTopic(s.tb.Context(), partitions, 1, all, name); err != nil {
		s.tb.Fatalf("make topic %s: %v", name, err)
	}
}
