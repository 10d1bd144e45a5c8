package command

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MetricsHandler answers with metrics, as OpenMetrics too for whoever asks for that: only there examples have their trace's id.
func MetricsHandler(metrics prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Serve answers on a listener until ctx ends. Answers that are running then are waited for, no longer than grace: a client that is slower is cut off.
func Serve(ctx context.Context, server *http.Server, listener net.Listener, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		return server.Close()
	}
	return nil
}

// ListenAddress says what is wrong with the address of a flag, at which a program is to listen.
func ListenAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--%s must be HOST:PORT, for example 127.0.0.1:8080 or 0.0.0.0:8080, not %q", flag, address)
	}
	return nil
}
