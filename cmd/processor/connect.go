package main

import (
	"context"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// connectAll is for the commands that look at what there is: how to reach Kafka, and the topics as they are, made if they are missing. reads are those
// that are going to be read.
func connectAll(ctx context.Context, flags kafka.Flags, cfg kafka.TopicsConfig, reads ...string) (kafka.Connection, kafka.TopicsState, error) {
	connection, err := flags.Connection()
	if err != nil {
		return connection, kafka.TopicsState{}, err
	}
	cl, err := connection.Client(ctx)
	if err != nil {
		return connection, kafka.TopicsState{}, err
	}
	defer cl.Close()
	cfg.Reads = append(reads, cfg.Reads...)
	cfg.Principal = connection.Security.Principal()
	topics, err := kafka.EnsureTopics(ctx, cl, cfg)
	return connection, topics, err
}
