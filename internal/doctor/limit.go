package doctor

import (
	"fmt"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/go-units"

	"github.com/stampede-rewards/stampede/pkg/state"
)

const (
	// connectionFiles is room for what is open beside the store's files: connections to brokers, of which each has some, scrapers, logs.
	connectionFiles = 500
	// besideStore is what a processor needs beside what the store may hold: fetched events, campaigns, the program itself.
	besideStore = 256 << 20
)

// machine is what this process may use.
type machine struct {
	files  uint64
	memory int64   // bytes, 0 where there is no limit
	cpus   float64 // by quota, 0 where there is none
	procs  int     // GOMAXPROCS
	err    error   // why the limits of the container are not known
}

// thisMachine asks the kernel. The number of files is what a processor gets: Go raises it to what is allowed.
func thisMachine() machine {
	m := machine{procs: runtime.GOMAXPROCS(0)}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		m.files = limit.Cur
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		m.err = err
		return m
	}
	m.memory, m.cpus = cgroup(string(own), func(name string) string {
		text, err := os.ReadFile(path.Join("/sys/fs/cgroup", name))
		if err != nil {
			return "" // of this kind of cgroup, or so near the root, there is none
		}
		return string(text)
	})
	return m
}

// cgroup finds the least of the limits that hold for a process: those of its own group and of all above. own is /proc/self/cgroup, and read gives a file
// below the root of the cgroups, or nothing.
func cgroup(own string, read func(string) string) (memory int64, cpus float64) {
	least := func(text string) {
		// Without a limit there is a word, or in version 1 a number that is larger than any memory.
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && n > 0 && n < 1<<60 && (memory == 0 || n < memory) {
			memory = n
		}
	}
	quota := func(quota, period string) {
		q, err1 := strconv.ParseFloat(quota, 64)
		p, err2 := strconv.ParseFloat(period, 64)
		if err1 == nil && err2 == nil && q > 0 && p > 0 && (cpus == 0 || q/p < cpus) {
			cpus = q / p
		}
	}
	for line := range strings.Lines(own) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, dir, found := strings.Cut(rest, ":")
		if !found {
			continue
		}
		for ; ; dir = path.Dir(dir) {
			if controllers == "" { // version 2
				least(read(path.Join(dir, "memory.max")))
				if fields := strings.Fields(read(path.Join(dir, "cpu.max"))); len(fields) == 2 {
					quota(fields[0], fields[1])
				}
			} else {
				least(read(path.Join("memory", dir, "memory.limit_in_bytes")))
				quota(strings.TrimSpace(read(path.Join("cpu", dir, "cpu.cfs_quota_us"))), strings.TrimSpace(read(path.Join("cpu", dir, "cpu.cfs_period_us"))))
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return memory, cpus
}

// limits judges what this process may use.
func limits(m machine, cfg Config) []Finding {
	var found []Finding
	say := func(severity Severity, place, what, why, mend string) {
		found = append(found, Finding{Severity: severity, Area: Limits, Place: place, What: what, Why: why, Mend: mend})
	}
	switch files := uint64(state.MaxOpenFiles + connectionFiles); {
	case m.files == 0:
		say(Unchecked, "open files", "the kernel does not tell how many there may be", "", "")
	case m.files < files:
		say(Wrong, "open files", fmt.Sprintf("%d may be open, and a processor may need %d", m.files, files),
			fmt.Sprintf("the store opens up to %d, and each broker has connections; with none left the store fails and the process ends", state.MaxOpenFiles),
			fmt.Sprintf("ulimit -n %d, or LimitNOFILE=%d in its systemd unit", 8*files, 8*files))
	default:
		say(OK, "open files", fmt.Sprintf("%d may be open", m.files), "", "")
	}
	if m.err != nil {
		say(Unchecked, "container", "its limits of memory and CPU: "+m.err.Error(), "", "")
		return found
	}
	memory := units.BytesSize(float64(m.memory))
	needed := cfg.MemoryBytes + cfg.MemoryBytes/2 + besideStore
	asked := units.BytesSize(float64(cfg.MemoryBytes))
	switch {
	case m.memory == 0:
		say(OK, "memory", "no limit is set for this process", "", "")
	case m.memory < cfg.MemoryBytes+besideStore/2:
		say(Wrong, "memory", fmt.Sprintf("the limit is %s, and --memory lets the store alone hold %s", memory, asked), "the kernel kills the process when it comes to the limit",
			fmt.Sprintf("raise the limit to %s, or lower --memory", units.BytesSize(float64(needed))))
	case m.memory < needed:
		say(Advice, "memory", fmt.Sprintf("the limit is %s, and --memory lets the store alone hold %s", memory, asked), "a restore or many late events can bring it to the limit, where the kernel kills the process",
			fmt.Sprintf("raise the limit to %s, or lower --memory", units.BytesSize(float64(needed))))
	default:
		say(OK, "memory", fmt.Sprintf("the limit is %s, of which the store may hold %s", memory, asked), "", "")
	}
	switch {
	case m.cpus == 0:
		say(OK, "CPU", fmt.Sprintf("no quota is set, and %d are used", m.procs), "", "")
	case m.cpus < 1:
		say(Advice, "CPU", fmt.Sprintf("the quota is %g of one", m.cpus), "the process is stopped for the rest of each period, a tenth of a second as a rule, and rewards with it", "give it a whole one at least")
	case float64(m.procs) > math.Ceil(m.cpus):
		say(Advice, "CPU", fmt.Sprintf("the quota is %g, and %d are used (GOMAXPROCS)", m.cpus, m.procs), "what runs at once uses the quota up early, and all stand still for the rest of each period", "do not set GOMAXPROCS: Go takes it from the quota")
	default:
		say(OK, "CPU", fmt.Sprintf("the quota is %g, and %d are used", m.cpus, m.procs), "", "")
	}
	return found
}
