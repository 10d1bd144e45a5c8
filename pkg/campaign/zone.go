package campaign

import (
	"archive/zip"
	"bytes"
	_ "embed" // the tz database
	"fmt"
	"io"
	"sync"
	"time"
)

// ZoneVersion is the release of the IANA tz database that all civil dates come from. It is part of the binary, so two
// machines with different system databases still agree on every date (design: the engine is pure).
const ZoneVersion = "2025c"

// zoneArchive is the compiled tz database (public domain), as the Go distribution ships it in lib/time.
//
//go:embed tzdata/zoneinfo.zip
var zoneArchive []byte

// zone is a place's rules for local time.
type zone struct {
	name     string
	location *time.Location
}

// zones holds every zone that was asked for. It is bounded by the names in the archive, some 600.
var zones struct {
	sync.RWMutex
	files  map[string]*zip.File
	loaded map[string]*zone
}

// loadZone returns the zone of an IANA name, or nil where the database has none (rule T1: such a name counts as absent).
// Names are exact: "europe/berlin" and "Local" are no zones.
func loadZone(name string) *zone {
	zones.RLock()
	z, known := zones.loaded[name]
	zones.RUnlock()
	if known {
		return z
	}
	zones.Lock()
	defer zones.Unlock()
	if zones.files == nil {
		zones.files = indexZones(zoneArchive)
		zones.loaded = map[string]*zone{}
	}
	if z := zones.loaded[name]; z != nil {
		return z
	}
	file := zones.files[name]
	if file == nil {
		return nil // not remembered: what users make up must not grow the map
	}
	z = readZone(file)
	zones.loaded[z.name] = z // the archive's own text: the caller's may be in memory that is used again
	return z
}

// indexZones lists the archive. The archive is a part of the binary: that it can't be read is a bug of ours.
func indexZones(archive []byte) map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		panic(fmt.Sprintf("BUG: the embedded tz database: %v", err))
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		if !f.FileInfo().IsDir() {
			files[f.Name] = f
		}
	}
	return files
}

func readZone(file *zip.File) *zone {
	location, err := func() (*time.Location, error) {
		r, err := file.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close() //nolint:errcheck // it reads from memory
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		return time.LoadLocationFromTZData(file.Name, data)
	}()
	if err != nil {
		panic(fmt.Sprintf("BUG: the embedded tz database: %s: %v", file.Name, err))
	}
	return &zone{name: file.Name, location: location}
}

// offsetAt returns how many seconds east of UTC local time is at an instant (Unix ns).
func (z *zone) offsetAt(ns int64) int {
	_, offset := time.Unix(0, ns).In(z.location).Zone()
	return offset
}

// at reads the zone's wall clock at an instant (Unix ns).
func (z *zone) at(ns int64) civil { return civilAt(ns, z.offsetAt(ns)) }

// startOf is the first instant (Unix ns) at which the zone's date is d or later. Where d's midnight does not exist
// (America/Santiago, 2026-09-06), it is the instant at which the clocks jump.
func (z *zone) startOf(d Day) int64 {
	const earliest = 15 * secondsPerHour // no place has been further ahead of UTC
	from := time.Unix(int64(d)*secondsPerDay-earliest, 0)
	for {
		t := from.In(z.location)
		_, offset := t.Zone()
		begins := time.Unix(int64(d)*secondsPerDay-int64(offset), 0)
		if begins.Before(from) {
			begins = from
		}
		_, until := t.ZoneBounds()
		if until.IsZero() || begins.Before(until) {
			return begins.UnixNano()
		}
		from = until
	}
}

// hoursOf returns how much of day d there was between two instants (Unix ns) for somebody in this zone, where days begin
// dayStarts after midnight.
func (z *zone) hoursOf(d Day, from, to int64, dayStarts time.Duration) time.Duration {
	var sum int64
	for from < to {
		t := time.Unix(0, from).In(z.location)
		_, offset := t.Zone()
		until := to
		if _, end := t.ZoneBounds(); !end.IsZero() && end.UnixNano() < to {
			until = end.UnixNano()
		}
		begins := (int64(d)*secondsPerDay-int64(offset))*int64(time.Second) + int64(dayStarts)
		ends := begins + secondsPerDay*int64(time.Second)
		sum += max(0, min(until, ends)-max(from, begins))
		from = until
	}
	return time.Duration(sum)
}
