package command

import (
	"log/slog"
	"os"

	"golang.org/x/term"
)

// Logging is the flags of a program that logs. The tags are kong's.
type Logging struct {
	LogLevel   slog.Level `env:"STAMPEDE_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
	LogFormat  string     `env:"STAMPEDE_LOG_FORMAT" enum:"auto,text,json" default:"auto" help:"text, json, or auto: text on a terminal, else json (${default})."`
	LogRepeats int        `env:"STAMPEDE_LOG_REPEATS" default:"5" help:"How many of the same warning or error are logged within 10s; those left out are counted. 0 logs all (${default})."`
}

// Logger writes to stderr.
func (l Logging) Logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: l.LogLevel}
	text := l.LogFormat == "text" || l.LogFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) //nolint:gosec // a descriptor is an int
	var to slog.Handler = slog.NewJSONHandler(os.Stderr, options)
	if text {
		to = slog.NewTextHandler(os.Stderr, options)
	}
	return slog.New(newSampling(to, l.LogRepeats))
}
