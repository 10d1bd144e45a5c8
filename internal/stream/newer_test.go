package stream

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// What a newer version wrote is not dropped, as what is damaged is: whoever started the old version by mistake has lost nothing.
func TestAStoreOfANewerVersionIsNotDropped(t *testing.T) {
	store, err := state.Open(state.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	o := &opener{store: store, metrics: NewMetrics()}
	if err := store.Checkpoint(3, state.Position{Input: 7}, nil); err != nil {
		t.Fatal(err)
	}
	_, err = o.unreadable(3, fmt.Errorf("read position of partition 3: %w", state.ErrNewer))
	if f := (fatal{}); !errors.As(err, &f) || !errors.Is(err, state.ErrNewer) {
		t.Errorf("the processor goes on with %v", err)
	}
	if position, ok, err := store.Position(3); position.Input != 7 || !ok || err != nil {
		t.Errorf("the store has %+v, %t, %v", position, ok, err)
	}
}
