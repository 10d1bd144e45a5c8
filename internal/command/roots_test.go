package command

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
)

// A machine without any authorities is a process of its own: they are read once.
func TestThereAreAuthoritiesWhereTheMachineHasNone(t *testing.T) {
	if os.Getenv("STAMPEDE_TEST_ROOTS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "STAMPEDE_TEST_ROOTS=1", "SSL_CERT_DIR="+t.TempDir(), "SSL_CERT_FILE="+t.TempDir()+"/none")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if pool.Equal(x509.NewCertPool()) {
		t.Error("no authority is known: a public certificate can't be verified")
	}
}
