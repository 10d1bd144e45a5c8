package partner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stampede-rewards/stampede/internal/disk"
)

// source is what an archive's directory knows of the topic besides what the names of the files say.
type source struct {
	// TopicID is Kafka's own: a topic that was deleted and made anew has another, and offsets that mean something else.
	TopicID string `json:"topic_id"`
	// Passed are stretches without outcomes, each from the offset behind a partition's newest file to one that is not in it. Transactions end with markers, which
	// have offsets, too: retention that takes one has taken nothing. What does not begin behind the newest file is nothing to go by.
	Passed map[int32][2]int64 `json:"passed,omitempty"`
}

func (w *archiving) sourceFile() string { return filepath.Join(w.Dir, w.Topic+".source.json") }

// readSource is zero where there is none yet.
func (w *archiving) readSource() (s source, err error) {
	text, err := os.ReadFile(w.sourceFile())
	if errors.Is(err, fs.ErrNotExist) {
		return source{}, nil
	}
	if err != nil {
		return source{}, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return source{}, fmt.Errorf("%s: %w: it was not written by this program; take it away if the topic is the one that the files are of", w.sourceFile(), err)
	}
	return s, nil
}

func (w *archiving) writeSource(s source) error {
	return disk.WriteFile(w.sourceFile(), func(to io.Writer) error { return json.NewEncoder(to).Encode(s) })
}
