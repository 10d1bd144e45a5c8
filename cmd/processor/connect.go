package main

import (
	"context"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// connectAll is for the commands that look at what there is: how to reach Kafka, and the topics as they are, made if they are missing.
func connectAll(ctx context.Context, flags kafka.Flags, cfg kafka.TopicsConfig) (kafka.Connection, kafka.TopicsState, error) {
	connection, err := flags.Connection()
	if err != nil {
		return connection, kafka.TopicsState{}, err
	}
	cl, err := connection.Client(ctx)
	if err != nil {
		return connection, kafka.TopicsState{}, err
	}
	defer cl.Close()
	topics, err := kafka.EnsureTopics(ctx, cl, cfg)
	return connection, topics, err
}
