package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kslog"
)

const (
	// metadataMinAge bounds how often a client asks for metadata. The library's default of 5 s would be the wait of the first
	// record produced to a topic that the client has not met.
	metadataMinAge = 100 * time.Millisecond
	dialTimeout    = 5 * time.Second
	// pingTimeout bounds the wait for a first answer: a broker that has just been started is given time to come up.
	pingTimeout   = 15 * time.Second
	pingRetryWait = 250 * time.Millisecond
)

// Connection says how to reach Kafka.
type Connection struct {
	Brokers  []string     // host:port, at least one
	ClientID string       // default "stampede"; it appears in the broker's logs and quotas
	Log      *slog.Logger // default none
	Hooks    []kgo.Hook   // metrics
	Security Security     // default none
	Asks     *kgo.Client  // asks about logs and groups, and is closed by whoever made it; default a client for each question
	// Dial replaces the dialer, in tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ParseBrokers reads a comma-separated list of host:port. The error names every address that is none.
func ParseBrokers(list string) ([]string, error) {
	var brokers []string
	var errs []error
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			errs = append(errs, fmt.Errorf("broker %q is not host:port, for example localhost:9092", address))
			continue
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
			errs = append(errs, fmt.Errorf("broker %q: the host must not be empty and the port must be 1 to 65535, for example localhost:9092", address))
			continue
		}
		brokers = append(brokers, address)
	}
	if len(brokers) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no broker given: name at least one, for example localhost:9092"))
	}
	return brokers, errors.Join(errs...)
}

// Options are the options of a client that uses the connection.
func (c Connection) Options() []kgo.Opt {
	id := c.ClientID
	if id == "" {
		id = "stampede"
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(id),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.DisableClientMetrics(), // what a client does is told by our own metrics; short-lived ones would be asked for theirs when they close
		kgo.WithHooks(c.Hooks...),
	}
	if c.Dial != nil {
		options = append(options, kgo.Dialer(c.Dial))
	} else {
		options = append(options, kgo.DialTimeout(dialTimeout))
	}
	options = append(options, c.Security.options()...)
	if c.Log != nil {
		// The library tells as information what is its own business: ours begins at a warning.
		options = append(options, kgo.WithLogger(kslog.New(slog.New(atLeast{c.Log.Handler(), slog.LevelWarn}))))
	}
	return options
}

// Client connects, and returns when a broker has answered.
func (c Connection) Client(ctx context.Context, options ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append(c.Options(), options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	if err := c.ping(ctx, cl); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// ping asks until a broker answers, for pingTimeout at most.
func (c Connection) ping(ctx context.Context, cl *kgo.Client) error {
	brokers := strings.Join(c.Brokers, ", ")
	bounded, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var last error
	for {
		err := cl.Ping(bounded)
		if err == nil {
			return nil
		}
		if last == nil || bounded.Err() == nil {
			last = err
		}
		if errors.Is(err, kerr.SaslAuthenticationFailed) {
			return fmt.Errorf("the broker at %s does not let %s in: the user or the password (--kafka-sasl-user, --kafka-sasl-password-file), or the token, is wrong, "+
				"or the user is not known to Kafka for the way that --kafka-sasl names (%w)", brokers, c.Security.name(), err)
		}
		if errors.As(err, new(*kerr.Error)) { // an answer, and not one that waiting changes
			return fmt.Errorf("the broker at %s refuses: %w", brokers, err)
		}
		if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
			return fmt.Errorf("the broker at %s shows a certificate that can't be trusted: %w; --kafka-tls-ca names the authority, and the name must be the address's", brokers, untrusted)
		}
		select {
		case <-bounded.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			advice := "is Kafka running there, and reachable from here?"
			if errors.As(last, new(*kgo.ErrFirstReadEOF)) {
				advice = "does it want TLS or a login (--kafka-tls, --kafka-sasl), or not want what is given?"
			}
			return fmt.Errorf("no broker answers at %s within %s (%w): %s", brokers, pingTimeout, last, advice)
		case <-time.After(pingRetryWait):
		}
	}
}

// atLeast raises a handler's level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled says whether records of a level are handled.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
