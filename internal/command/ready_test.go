package command

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAskReady(t *testing.T) {
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte("2 of 3 partitions\n"))
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for _, c := range []struct {
		listen string
		code   int
		said   string
		told   string // in the error
	}{
		{address, 200, "2 of 3 partitions", ""},
		{"0.0.0.0:" + port, 200, "2 of 3 partitions", ""}, // as it is told to listen, not as it is asked
		{":" + port, 200, "2 of 3 partitions", ""},
		{address, 503, "", "not ready: 2 of 3 partitions"},
		{address, 404, "", "404 Not Found to /readyz: is that a program of Stampede?"},
		{nobody.Addr().String(), 0, "", "nothing answers at " + nobody.Addr().String()},
		{"9180", 0, "", "--listen 9180 is no HOST:PORT"},
	} {
		code = c.code
		said, err := AskReady(t.Context(), c.listen)
		if said != c.said || (err == nil) != (c.told == "") || err != nil && !strings.Contains(err.Error(), c.told) {
			t.Errorf("%s answers %d: %q, %v", c.listen, c.code, said, err)
		}
	}
}
