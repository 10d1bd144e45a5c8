package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", pemOf("CERTIFICATE", der))
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (a *authority) write(name, text string) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes a certificate for localhost, and returns it and its key as PEM.
func (a *authority) issue(name string) (certificate, key string) {
	a.t.Helper()
	k := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", private)
}

// passage is a port that leads to one that is not known yet.
type passage struct {
	net.Listener
	to chan string
}

func newPassage(t *testing.T) *passage {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &passage{l, make(chan string, 1)}
	go func() {
		to := <-p.to
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					_, _ = io.Copy(out, c) // whoever is cut off notices
					out.Close()
				}()
				_, _ = io.Copy(c, out)
			}()
		}
	}()
	return p
}

// address is where clients are to come to, by the name in the broker's certificate.
func (p *passage) address() string {
	return fmt.Sprintf("localhost:%d", p.Addr().(*net.TCPAddr).Port)
}

// A real broker with a listener for logins over TLS and one for client certificates: each way in works, and each wrong one is told as what it is.
func TestEveryWayIntoARealBroker(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	a := newAuthority(t)
	certificate, key := a.issue("broker")
	logins, certificates := newPassage(t), newPassage(t)
	inProperties := func(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", `\n`) }
	properties := map[string]string{
		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT,ADVERTISED0:SASL_SSL,ADVERTISED1:SSL",
		"sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"ssl.keystore.type":              "PEM", "ssl.keystore.certificate.chain": inProperties(certificate), "ssl.keystore.key": inProperties(key),
		"ssl.truststore.type": "PEM", "ssl.truststore.certificates": inProperties(pemOf("CERTIFICATE", a.cert.Raw)),
		"listener.name.advertised1.ssl.client.auth":                "required",
		"listener.name.advertised0.plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_stampede="secret";`,
		"listener.name.advertised0.scram-sha-256.sasl.jaas.config": `org.apache.kafka.common.security.scram.ScramLoginModule required;`,
		"listener.name.advertised0.scram-sha-512.sasl.jaas.config": `org.apache.kafka.common.security.scram.ScramLoginModule required;`,
		"listener.name.advertised0.oauthbearer.sasl.jaas.config":   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
	}
	b := kafkatest.Start(t, kafkatest.Config{Advertise: []string{logins.address(), certificates.address()}, Properties: maps.Clone(properties)})
	if !b.Ours() {
		t.Skip("a broker that was given has no listeners of ours")
	}
	logins.to <- b.Listener(0)
	certificates.to <- b.Listener(1)
	inside, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // one after the other: a request names a user once
		altered, err := kadm.NewClient(inside).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "stampede", Mechanism: m, Iterations: 4096, Password: "secret"}})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	ca := filepath.Join(a.dir, "ca.pem")
	password, wrong := a.write("password", "secret\n"), a.write("wrong", "nonsense")
	token := a.write("token", unsecured("stampede"))
	certificate, key = a.issue("client")
	certPath, keyPath := a.write("client.pem", certificate), a.write("client.key", key)
	other := newAuthority(t)
	for _, c := range []struct {
		name    string
		brokers string
		flags   kafka.SecurityFlags
		refused string // empty where it is let in
	}{
		{"PLAIN", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "plain", SASLUser: "stampede", SASLPasswordFile: password}, ""},
		{"SCRAM-SHA-256", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "scram-sha-256", SASLUser: "stampede", SASLPassword: "secret"}, ""},
		{"SCRAM-SHA-512", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "scram-sha-512", SASLUser: "stampede", SASLPasswordFile: password}, ""},
		{"OAUTHBEARER", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "oauthbearer", SASLTokenFile: token}, ""},
		{"mutual TLS", certificates.address(), kafka.SecurityFlags{TLSCA: ca, TLSCert: certPath, TLSKey: keyPath}, ""},
		{"a wrong password", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "scram-sha-512", SASLUser: "stampede", SASLPasswordFile: wrong}, "SASL_AUTHENTICATION_FAILED"},
		{"an unknown user", logins.address(), kafka.SecurityFlags{TLSCA: ca, SASL: "plain", SASLUser: "nobody", SASLPasswordFile: password}, "SASL_AUTHENTICATION_FAILED"},
		{"another authority", logins.address(), kafka.SecurityFlags{TLSCA: filepath.Join(other.dir, "ca.pem"), SASL: "plain", SASLUser: "stampede", SASLPasswordFile: password}, "certificate signed by unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			security, err := c.flags.Security()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			connection := kafka.Connection{Brokers: []string{c.brokers}, Security: security}
			cl, err := connection.Client(ctx)
			if err == nil {
				defer cl.Close()
				_, err = kafka.EnsureEvents(ctx, cl, kafka.TopicsConfig{Partitions: 1})
			}
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("it is not let in: %v", err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("it is told %v, and not %s", err, c.refused)
			}
		})
	}
}

// unsecured is a token as Kafka's own validator for tests takes it: not signed.
func unsecured(subject string) string {
	now := time.Now()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, now.Unix(), now.Add(time.Hour).Unix())) + "."
}

func TestSecurityThatDoesNotFitTogetherIsToldAtOnce(t *testing.T) {
	a := newAuthority(t)
	empty := a.write("empty", "\n")
	password := a.write("password", "secret")
	for _, c := range []struct {
		name  string
		flags kafka.SecurityFlags
		want  []string
	}{
		{"half a certificate and half a login", kafka.SecurityFlags{TLSCert: password, SASL: "plain"}, []string{"--kafka-tls-cert and --kafka-tls-key belong together", "--kafka-sasl plain needs --kafka-sasl-user", "--kafka-sasl-password-file"}},
		{"a password and no way", kafka.SecurityFlags{SASLUser: "x", SASLPassword: "y"}, []string{"add --kafka-sasl"}},
		{"two passwords", kafka.SecurityFlags{SASL: "plain", SASLUser: "x", SASLPassword: "y", SASLPasswordFile: password}, []string{"both give the password: leave one of them out"}},
		{"a token for a password", kafka.SecurityFlags{SASL: "plain", SASLUser: "x", SASLPassword: "y", SASLTokenFile: password}, []string{"takes no --kafka-sasl-token-file"}},
		{"a password for a token", kafka.SecurityFlags{SASL: "oauthbearer", SASLUser: "x"}, []string{"takes --kafka-sasl-token-file, and no user or password"}},
		{"an empty password", kafka.SecurityFlags{SASL: "plain", SASLUser: "x", SASLPasswordFile: empty}, []string{"empty is empty"}},
		{"no authority", kafka.SecurityFlags{TLSCA: password}, []string{"has no certificate in PEM"}},
	} {
		_, err := c.flags.Security()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", c.name, err, want)
			}
		}
	}
}
