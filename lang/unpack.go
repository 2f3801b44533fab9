package lang

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// UnpackArgs is starlark.UnpackArgs with a suggestion for every keyword: the
// library's looks at the first half of the parameters only (go.starlark.net,
// starlark/unpack.go). pairs are name and pointer; "name?" is optional.
func UnpackArgs(fn string, args starlark.Tuple, kwargs []starlark.Tuple, pairs ...any) error {
	var names []string
	for i := 0; i < len(pairs); i += 2 {
		names = append(names, strings.TrimRight(pairs[i].(string), "?"))
	}
	for _, kw := range kwargs {
		key := string(kw[0].(starlark.String))
		known := false
		for _, n := range names {
			known = known || n == key
		}
		if known {
			continue
		}
		if near := Closest(key, names); near != "" {
			return fault.New(fault.Invalid, "%s: unexpected keyword %q (did you mean %q?)", fn, key, near)
		}
		return fault.New(fault.Invalid, "%s: unexpected keyword %q", fn, key)
	}
	if err := starlark.UnpackArgs(fn, args, kwargs, pairs...); err != nil {
		return fault.New(fault.Invalid, "%s", err)
	}
	return nil
}

// Closest finds the candidate within edit distance 2 of word, 1 for words of
// less than four letters; "" when there is none. Of several it is the nearest, and
// of these the first in the order of the alphabet.
func Closest(word string, candidates []string) string {
	limit := 2
	if len(word) < 4 {
		limit = 1
	}
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	best := ""
	for _, c := range sorted {
		d := levenshtein.ComputeDistance(word, c)
		if d == 2 && swapped(word, c) {
			d = 1 // the slip of fingers
		}
		if d > 0 && d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// swapped tells whether two words have the same letters.
func swapped(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// Duration is a time that a script gives: "1m30s", a number of seconds, or
// time.duration.
type Duration time.Duration

// maxSeconds is what a time.Duration holds, and a little less: 290 years.
const maxSeconds = 9e9

// Unpack implements starlark.Unpacker.
func (d *Duration) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		x, err := time.ParseDuration(string(v))
		if err != nil {
			return fmt.Errorf("%s is no duration: write it as \"1m30s\", or as a number of seconds", v)
		}
		*d = Duration(x)
	case startime.Duration:
		*d = Duration(v)
	case starlark.Int, starlark.Float:
		f, _ := starlark.AsFloat(v)
		if !(f >= -1 && f <= maxSeconds) { // NaN is neither
			return fmt.Errorf("%s is no number of seconds up to %d", v, int64(maxSeconds))
		}
		*d = Duration(f * float64(time.Second))
	default:
		return fmt.Errorf("got %s, want a duration: \"1m30s\", or a number of seconds", v.Type())
	}
	if *d < 0 {
		return fmt.Errorf("%s is less than nothing", time.Duration(*d))
	}
	return nil
}
