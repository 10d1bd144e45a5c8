package kafka

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stampede-rewards/stampede/internal/disk"
)

// EmbeddedConfig says where an embedded broker keeps its data and listens.
type EmbeddedConfig struct {
	Dir  string // the data directory, made if absent; empty keeps everything in memory
	Port int    // on 127.0.0.1, if it is free; default any that is free
}

// Embedded is a Kafka broker inside this process, for the demo and for quick tests. It speaks Kafka's protocol, with
// transactions and groups, and keeps its data across restarts. It is no claim of durability: it neither replicates nor
// waits for the disk, so a power cut can lose what it has acknowledged. Nor does it stamp records with its own time: the clock is
// what producers say. Use Apache Kafka for anything that counts.
type Embedded struct {
	cluster *kfake.Cluster
	unlock  func() error
}

// ErrEmbeddedInUse means that another process runs a broker on the directory.
var ErrEmbeddedInUse = errors.New("another process runs an embedded broker on this directory")

// StartEmbedded starts a broker.
func StartEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	e := &Embedded{unlock: func() error { return nil }}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}),
	}
	if cfg.Dir != "" {
		err := os.MkdirAll(cfg.Dir, 0o755)
		if err == nil {
			e.unlock, err = disk.Lock(filepath.Join(cfg.Dir, "LOCK"))
		}
		if errors.Is(err, disk.ErrInUse) {
			err = ErrEmbeddedInUse
		}
		if err != nil {
			return nil, fmt.Errorf("embedded broker in %s: %w", cfg.Dir, err)
		}
		options = append(options, kfake.DataDir(filepath.Join(cfg.Dir, "log")))
	}
	cluster, err := kfake.NewCluster(append(options, kfake.Ports(cfg.Port))...)
	if errors.Is(err, syscall.EADDRINUSE) {
		cluster, err = kfake.NewCluster(options...)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker in %s: %w", cfg.Dir, err), e.unlock())
	}
	e.cluster = cluster
	return e, nil
}

// Brokers are the addresses to connect to.
func (e *Embedded) Brokers() []string { return e.cluster.ListenAddrs() }

// Cluster is the broker itself, for tests that inject faults.
func (e *Embedded) Cluster() *kfake.Cluster { return e.cluster }

// Close stops the broker. Clients are to be closed before.
func (e *Embedded) Close() error {
	e.cluster.Close()
	return e.unlock()
}
