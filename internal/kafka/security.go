package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// SecurityFlags say how a program shows Kafka who it is, and makes sure that it is Kafka. The tags are kong's.
type SecurityFlags struct {
	TLS     bool   `env:"STAMPEDE_KAFKA_TLS" name:"kafka-tls" help:"Speak TLS with the brokers. The next three flags imply it."`
	TLSCA   string `env:"STAMPEDE_KAFKA_TLS_CA" name:"kafka-tls-ca" type:"existingfile" placeholder:"FILE" help:"Whose certificates the brokers have, in PEM (default: the authorities that this machine trusts)."`
	TLSCert string `env:"STAMPEDE_KAFKA_TLS_CERT" name:"kafka-tls-cert" type:"existingfile" placeholder:"FILE" help:"This program's certificate for mutual TLS, in PEM."`
	TLSKey  string `env:"STAMPEDE_KAFKA_TLS_KEY" name:"kafka-tls-key" type:"existingfile" placeholder:"FILE" help:"Its private key."`

	SASL             string `env:"STAMPEDE_KAFKA_SASL" name:"kafka-sasl" enum:"none,plain,scram-sha-256,scram-sha-512,oauthbearer" default:"none" help:"How to log in: ${enum} (${default})."`
	SASLUser         string `env:"STAMPEDE_KAFKA_SASL_USER" name:"kafka-sasl-user" placeholder:"NAME" help:"Who logs in, by plain or scram."`
	SASLPassword     string `env:"STAMPEDE_KAFKA_SASL_PASSWORD" name:"kafka-sasl-password" placeholder:"SECRET" secret:"" help:"The password. In the environment, or better in a file: a command line can be seen by others."`
	SASLPasswordFile string `env:"STAMPEDE_KAFKA_SASL_PASSWORD_FILE" name:"kafka-sasl-password-file" type:"existingfile" placeholder:"FILE" help:"A file with the password. It is read at every login, so that it can be changed."`
	SASLTokenFile    string `env:"STAMPEDE_KAFKA_SASL_TOKEN_FILE" name:"kafka-sasl-token-file" type:"existingfile" placeholder:"FILE" help:"A file with the token of oauthbearer, read at every login: whoever renews it writes it there."`
}

// Security is how a client shows who it is; the zero value is not at all.
type Security struct {
	tls       *tls.Config
	sasl      sasl.Mechanism
	principal string
}

// Principal is who the brokers take this program for, where they have no rules of their own for that; empty where it can't be told from here.
func (s Security) Principal() string {
	if s.principal == "" && s.sasl == nil && (s.tls == nil || len(s.tls.Certificates) == 0) {
		return "User:ANONYMOUS"
	}
	return s.principal
}

// name is the principal for people.
func (s Security) name() string {
	if p := s.Principal(); p != "" {
		return p
	}
	return "this program"
}

// Security reads the certificates and checks that the flags belong together. All mistakes are told at once.
func (f SecurityFlags) Security() (Security, error) {
	var s Security
	var errs []error
	if (f.TLSCert == "") != (f.TLSKey == "") {
		errs = append(errs, errors.New("--kafka-tls-cert and --kafka-tls-key belong together"))
	}
	if f.TLS || f.TLSCA != "" || f.TLSCert != "" {
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if f.TLSCA != "" {
		text, err := os.ReadFile(f.TLSCA)
		if err != nil {
			errs = append(errs, fmt.Errorf("--kafka-tls-ca: %w", err))
		}
		s.tls.RootCAs = x509.NewCertPool()
		if err == nil && !s.tls.RootCAs.AppendCertsFromPEM(text) {
			errs = append(errs, fmt.Errorf("--kafka-tls-ca: %s has no certificate in PEM", f.TLSCA))
		}
	}
	if f.TLSCert != "" && f.TLSKey != "" {
		certificate, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			errs = append(errs, fmt.Errorf("--kafka-tls-cert and --kafka-tls-key: %w", err))
		}
		s.tls.Certificates = []tls.Certificate{certificate}
		if certificate.Leaf != nil {
			s.principal = "User:" + certificate.Leaf.Subject.String()
		}
	}
	mechanism, err := f.mechanism()
	if s.sasl = mechanism; mechanism != nil { // who logs in is not who the certificate says
		s.principal = ""
	}
	if f.SASLUser != "" {
		s.principal = "User:" + f.SASLUser
	}
	return s, errors.Join(append(errs, err)...)
}

// mechanism is how to log in; nil is not at all. What a login needs is read at every login, and once now, so that a mistake is told at start.
func (f SecurityFlags) mechanism() (sasl.Mechanism, error) {
	passwords := f.SASLUser != "" || f.SASLPassword != "" || f.SASLPasswordFile != ""
	switch f.SASL {
	case "none", "":
		if passwords || f.SASLTokenFile != "" {
			return nil, errors.New("a user, a password or a token is given, and not how to log in: add --kafka-sasl, for example --kafka-sasl scram-sha-512")
		}
		return nil, nil
	case "oauthbearer":
		if f.SASLTokenFile == "" || passwords {
			return nil, errors.New("--kafka-sasl oauthbearer takes --kafka-sasl-token-file, and no user or password")
		}
		if _, err := secretOf(f.SASLTokenFile); err != nil {
			return nil, fmt.Errorf("--kafka-sasl-token-file: %w", err)
		}
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := secretOf(f.SASLTokenFile)
			return oauth.Auth{Token: token}, err
		}), nil
	}
	var errs []error
	if f.SASLUser == "" {
		errs = append(errs, fmt.Errorf("--kafka-sasl %s needs --kafka-sasl-user", f.SASL))
	}
	if f.SASLPassword == "" && f.SASLPasswordFile == "" {
		errs = append(errs, fmt.Errorf("--kafka-sasl %s needs --kafka-sasl-password-file, or STAMPEDE_KAFKA_SASL_PASSWORD in the environment", f.SASL))
	}
	if f.SASLPassword != "" && f.SASLPasswordFile != "" {
		errs = append(errs, errors.New("--kafka-sasl-password and --kafka-sasl-password-file both give the password: leave one of them out"))
	}
	if f.SASLTokenFile != "" {
		errs = append(errs, fmt.Errorf("--kafka-sasl %s takes no --kafka-sasl-token-file", f.SASL))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	password := func() (string, error) {
		if f.SASLPasswordFile == "" {
			return f.SASLPassword, nil
		}
		return secretOf(f.SASLPasswordFile)
	}
	if _, err := password(); err != nil {
		return nil, fmt.Errorf("--kafka-sasl-password-file: %w", err)
	}
	switch f.SASL {
	case "plain":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			secret, err := password()
			return plain.Auth{User: f.SASLUser, Pass: secret}, err
		}), nil
	case "scram-sha-256":
		return scram.Sha256(func(context.Context) (scram.Auth, error) {
			secret, err := password()
			return scram.Auth{User: f.SASLUser, Pass: secret}, err
		}), nil
	}
	return scram.Sha512(func(context.Context) (scram.Auth, error) {
		secret, err := password()
		return scram.Auth{User: f.SASLUser, Pass: secret}, err
	}), nil
}

// secretOf is what a file has, without the line's end.
func secretOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// options are a client's.
func (s Security) options() []kgo.Opt {
	var options []kgo.Opt
	if s.tls != nil {
		options = append(options, kgo.DialTLSConfig(s.tls))
	}
	if s.sasl != nil {
		options = append(options, kgo.SASL(s.sasl))
	}
	return options
}
