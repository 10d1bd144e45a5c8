package workload

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// BrokenRecord is a record that must go to the dead letters, and why.
type BrokenRecord struct {
	Name       string
	Key, Value []byte
	Headers    map[string]string
	Reason     string
}

// BrokenClock is when the broken records arrive: one of them is from the future.
var BrokenClock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

//go:embed broken-records.json
var brokenRecords []byte

// Broken is the table of broken records, for every test that wants some. In the file a key or value that begins with "base64:" is
// what follows, decoded, and the value's "%" stands for a character repeated as often as the row says.
func Broken() ([]BrokenRecord, error) {
	var rows []struct {
		Name, Key, Value, Reason string
		Repeat                   int
		Headers                  map[string]string
	}
	if err := json.Unmarshal(brokenRecords, &rows); err != nil {
		return nil, fmt.Errorf("broken-records.json: %w", err)
	}
	records := make([]BrokenRecord, len(rows))
	for i, row := range rows {
		key, err := unpack(row.Key)
		if err != nil {
			return nil, fmt.Errorf("broken-records.json: %s: key: %w", row.Name, err)
		}
		value, err := unpack(strings.ReplaceAll(row.Value, "%", strings.Repeat("x", row.Repeat)))
		if err != nil {
			return nil, fmt.Errorf("broken-records.json: %s: value: %w", row.Name, err)
		}
		records[i] = BrokenRecord{row.Name, key, value, row.Headers, row.Reason}
	}
	return records, nil
}

func unpack(s string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(s, "base64:")
	if !ok {
		return []byte(s), nil
	}
	return base64.StdEncoding.DecodeString(encoded)
}
