package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Step is one on the way to a broker.
type Step string

// The steps, in their order.
const (
	StepName    Step = "name"    // the host's name is known here
	StepConnect Step = "connect" // something listens at the address
	StepTLS     Step = "TLS"     // both show certificates that the other trusts
	StepLogin   Step = "login"   // the broker lets the user in
	StepAnswer  Step = "answer"  // it speaks Kafka's protocol
)

// ReachError says at which step the way to a broker ends.
type ReachError struct {
	Step Step
	Err  error
}

// Error names the step.
func (e *ReachError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

// Unwrap is the reason.
func (e *ReachError) Unwrap() error { return e.Err }

// Reach goes the way to one address, host:port, and asks the broker there which requests it knows. Client, for comparison, is content with
// any address that answers, and can't say how far it came at the others. The error is a *ReachError.
func (c Connection) Reach(ctx context.Context, address string) error {
	if err := c.greet(ctx, address); err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(c.Options(), kgo.SeedBrokers(address), kgo.RequestRetries(0))...)
	if err != nil {
		return &ReachError{StepAnswer, err}
	}
	defer cl.Close()
	if _, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrApiVersionsRequest()); err != nil {
		return &ReachError{refusedAt(err), err}
	}
	return nil
}

// greet connects, and ends the connection when both have shown their certificates.
func (c Connection) greet(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &ReachError{StepName, err}
	}
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return &ReachError{StepName, err}
		}
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return &ReachError{StepConnect, err}
	}
	defer conn.Close() //nolint:errcheck // nothing was written that matters
	if c.Security.tls == nil {
		return nil
	}
	cfg := c.Security.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	if err := tls.Client(conn, cfg).HandshakeContext(ctx); err != nil {
		return &ReachError{StepTLS, err}
	}
	return nil
}

// refusedAt says at which step a broker that was reached has refused.
func refusedAt(err error) Step {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return StepLogin
	case strings.Contains(err.Error(), "tls: "): // a client's certificate is judged after the handshake, with the first bytes
		return StepTLS
	}
	return StepAnswer
}
