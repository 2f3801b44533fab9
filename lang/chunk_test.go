package lang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/stdlib"
)

// TestChunks runs the chunks of testdata/*.star, which lines of "---" part, each in
// an interpreter of its own. A line with
//
//	f()  ### "regexp"
//
// fails with such a message, reported there; all others do not. A chunk that begins
// with "# steps: N" has that limit. eq(got, want) compares.
func TestChunks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		line := 1
		for _, chunk := range strings.SplitAfter(string(data), "\n---\n") {
			at := line
			line += strings.Count(chunk, "\n")
			chunk = strings.TrimSuffix(chunk, "---\n")
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(path), at), func(t *testing.T) {
				t.Parallel()
				// Empty lines before it make the numbers those of the file.
				runChunk(t, path, chunk, strings.Repeat("\n", at-1)+chunk)
			})
		}
	}
}

var (
	expected   = regexp.MustCompile(`### (".*")$`)
	stepLimit  = regexp.MustCompile(`(?m)^# steps: (\d+)$`)
	reported   = regexp.MustCompile(`^(testdata/[^:]*):(\d+):\d+: (.*)`)
	calledFrom = regexp.MustCompile(`^  called from ([^:]*):(\d+):`)
)

func runChunk(t *testing.T, path, chunk, src string) {
	t.Helper()
	wants := map[int]*regexp.Regexp{}
	for n, l := range strings.Split(src, "\n") {
		if m := expected.FindStringSubmatch(l); m != nil {
			text, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatalf("line %d: %s: %v", n+1, m[1], err)
			}
			wants[n+1] = regexp.MustCompile(text)
		}
	}
	opts := Options{Stdlib: stdlib.FS, Stdout: io.Discard, Predeclared: starlark.StringDict{
		"eq": starlark.NewBuiltin("eq", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			if same, err := starlark.Equal(args[0], args[1]); err != nil || !same {
				return nil, fmt.Errorf("got %s, want %s (%v)", args[0], args[1], err)
			}
			return starlark.None, nil
		}),
		"crash": starlark.NewBuiltin("crash", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			panic("out of order")
		}),
	}}
	if m := stepLimit.FindStringSubmatch(chunk); m != nil {
		opts.MaxSteps, _ = strconv.ParseUint(m[1], 10, 64)
	}
	i := New(opts)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := i.ExecFile(ctx, path, []byte(src))
	got := map[int][]string{}
	if err != nil {
		report := i.Report(err)
		first, _, _ := strings.Cut(report, "\n")
		for _, l := range strings.Split(report, "\n") {
			if m := reported.FindStringSubmatch(l); m != nil && m[1] == path {
				n, _ := strconv.Atoi(m[2])
				got[n] = append(got[n], m[3])
			} else if m := calledFrom.FindStringSubmatch(l); m != nil && m[1] == path && len(got) == 0 {
				n, _ := strconv.Atoi(m[2]) // where another file was called
				got[n] = append(got[n], first)
			}
		}
		if len(got) == 0 {
			t.Errorf("a failure without a line: %s", report)
		}
	}
	for n, msgs := range got {
		for _, msg := range msgs {
			if re := wants[n]; re == nil || !re.MatchString(msg) {
				t.Errorf("line %d: %s\nwant %v", n, msg, re)
			}
		}
	}
	var missing []int
	for n := range wants {
		if got[n] == nil {
			missing = append(missing, n)
		}
	}
	sort.Ints(missing)
	for _, n := range missing {
		t.Errorf("line %d: no failure like %s", n, wants[n])
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("it does not end")
	}
}
