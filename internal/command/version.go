package command

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Build is what this program was built from.
type Build struct {
	Version  string // of the module, "(devel)" where it was built from a working copy
	Revision string // of git, 12 digits, with "+" where the copy had changes; empty where it is not known
	Go       string
}

// ThisBuild is what the toolchain has written into the program.
func ThisBuild() Build {
	b := Build{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value[:min(len(s.Value), 12)] + b.Revision
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Revision += "+"
		}
	}
	return b
}

// String is one line for people.
func (b Build) String() string {
	return strings.Join(strings.Fields(strings.Join([]string{b.Version, b.Revision, b.Go, runtime.GOOS + "/" + runtime.GOARCH}, " ")), " ")
}

// Collector tells it as a metric whose value says nothing: which programs run, by their labels.
func (b Build) Collector() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stampede_build_info", Help: "What the program was built from. The value is 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go},
	})
	g.Set(1)
	return g
}
