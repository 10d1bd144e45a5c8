package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// askTimeout bounds the question whether a program is ready: less than what orchestrators give a probe.
	askTimeout = 3 * time.Second
	// askBytes bounds the answer.
	askBytes = 64 << 10
)

// AskReady asks the program that serves /readyz at an address, as it was told to listen there, and returns what it says. An error is what it
// says where it is not ready, or why it can't be asked. An image that has nothing but the programs has no other way to probe them.
func AskReady(ctx context.Context, listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("--listen %s is no HOST:PORT", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // who listens everywhere is asked here
	}
	address := net.JoinHostPort(host, port)
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(bounded, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // by no proxy
	if err != nil {
		return "", fmt.Errorf("nothing answers at %s (%w): is it running, and told to listen there?", address, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(response.Body, askBytes))
	if err != nil {
		return "", fmt.Errorf("the answer of %s ended early: %w", address, err)
	}
	said := strings.TrimSpace(string(text))
	switch response.StatusCode {
	case http.StatusOK:
		return said, nil
	case http.StatusServiceUnavailable:
		return "", errors.New("not ready: " + said)
	}
	return "", fmt.Errorf("%s answers %s to /readyz: is that a program of Stampede?", address, response.Status)
}
