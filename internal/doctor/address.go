package doctor

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// addresses goes the way to each address that was given, and says whether any of them answers.
func addresses(ctx context.Context, cfg Config, tell func([]Finding)) (answered bool) {
	for _, address := range cfg.Connection.Brokers {
		bounded, cancel := asked(ctx)
		err := cfg.Connection.Reach(bounded, address)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		answered = answered || err == nil
		tell([]Finding{reached(address, err)})
	}
	if !answered {
		tell([]Finding{{Severity: Unchecked, Area: Brokers, Place: "all", What: "brokers, topics, permissions, clocks, group and producers were not looked at: no address answers"}})
	}
	return answered
}

// reached says what became of the way to an address that was given.
func reached(address string, err error) Finding {
	if err == nil {
		return Finding{Severity: OK, Area: Addresses, Place: address, What: "a broker answers"}
	}
	f := Finding{Severity: Wrong, Area: Addresses, Place: address, Why: "with the other addresses down, nobody gets in by this one"}
	f.What, f.Mend = stopped(address, err)
	return f
}

// advertised says what became of the way to a broker's own address, to which it sends its clients.
func advertised(node int32, address string, err error) Finding {
	place := "broker " + strconv.Itoa(int(node))
	if err == nil {
		return Finding{Severity: OK, Area: Addresses, Place: place, What: "it answers at " + address + ", where it sends its clients"}
	}
	f := Finding{
		Severity: Wrong, Area: Addresses, Place: place,
		Why: "the address that is given to a client is only the first; partitions, groups and transactions are at those that brokers tell it (advertised.listeners)",
	}
	what, mend := stopped(address, err)
	f.What, f.Mend = "it sends its clients to "+address+", and "+what, mend
	if failed := (*kafka.ReachError)(nil); errors.As(err, &failed) && (failed.Step == kafka.StepName || failed.Step == kafka.StepConnect) {
		f.Mend = "set advertised.listeners of the broker to an address that is known and reachable here, or make " + address + " so (DNS, a route, the firewall)"
	}
	return f
}

// stopped says at which step the way to an address ended, and what to do.
func stopped(address string, err error) (what, mend string) {
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		host, port = address, ""
	}
	failed := (*kafka.ReachError)(nil)
	if !errors.As(err, &failed) {
		return err.Error(), ""
	}
	reason := failed.Err.Error()
	switch failed.Step {
	case kafka.StepName:
		return "no such name is known here: " + reason, "look at the name and at this machine's DNS: getent hosts " + host
	case kafka.StepConnect:
		return "nothing can be connected to there: " + reason, "is the broker running, and the way to it open? nc -vz " + host + " " + port
	case kafka.StepTLS:
		return "TLS fails: " + reason, "--kafka-tls-ca names the authority of the brokers' certificates, whose name must be the address's; a broker that asks for a client certificate takes " +
			"--kafka-tls-cert and --kafka-tls-key; one whose listener speaks no TLS takes none of them"
	case kafka.StepLogin:
		return "the login is refused: " + reason, "look at --kafka-sasl, --kafka-sasl-user and the password or token, and at what the listener takes (sasl.enabled.mechanisms)"
	case kafka.StepAnswer:
	}
	return "something listens there, and does not answer as a broker does: " + reason,
		"a listener that speaks TLS takes --kafka-tls, one with logins --kafka-sasl; else look at the broker's log, and whether the port is Kafka's"
}

// advertisedAddresses goes the way to each broker's own address.
func (l *kafkaLook) advertisedAddresses(ctx context.Context) []Finding {
	var found []Finding
	for _, b := range l.brokers {
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		bounded, cancel := asked(ctx)
		found = append(found, advertised(b.NodeID, address, l.Connection.Reach(bounded, address)))
		cancel()
	}
	return found
}
