package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A name that --compression takes and no codec is known by would compress nothing, and say nothing.
func TestEachCompressionHasItsCodec(t *testing.T) {
	field, _ := reflect.TypeFor[run]().FieldByName("Compression")
	names := strings.Split(field.Tag.Get("enum"), ",")
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(codecs))); diff != "" {
		t.Errorf("names without codecs (-), codecs without names (+):\n%s", diff)
	}
	for name, codec := range codecs {
		if isNone := codec == kgo.NoCompression(); isNone != (name == "none") {
			t.Errorf("%s is %v", name, codec)
		}
	}
}
