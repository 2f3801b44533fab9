package logging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
)

// all is the options of a plain `logs`.
var all = container.LogOptions{Tail: -1}

// read returns the texts of the entries, for short ones.
func read(t *testing.T, path string, opts container.LogOptions) string {
	t.Helper()
	var out []string
	err := Read(t.Context(), path, opts, nil, func(l container.LogLine) error {
		out = append(out, strings.TrimSuffix(string(l.Text), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// entryAt is an entry of that second.
func entryAt(text string, sec int) string {
	return string(appendEntry(nil, []byte(text), true, "stdout", noon.Add(time.Duration(sec)*time.Second)))
}

func write(t *testing.T, path string, entries ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(entries, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path+".2", entryAt("a", 1), entryAt("b", 2), "garbage\n")
	write(t, path+".1", entryAt("c", 3), entryAt("d", 4), "\n", `{"log":"no time"}`+"\n")
	write(t, path, entryAt("e", 5), entryAt("f", 6), `{"log":"torn","stream":"stdout"`)
	write(t, path+".1.gz", "not ours")
	write(t, path+".x", entryAt("not ours", 0))
	at := func(sec float64) time.Time { return noon.Add(time.Duration(sec * float64(time.Second))) }
	tests := []struct {
		name string
		opts container.LogOptions
		want string
	}{
		{"all", all, "a b c d e f"},
		{"tail 0", container.LogOptions{Tail: 0}, ""},
		{"tail 1", container.LogOptions{Tail: 1}, "f"},
		{"tail 2", container.LogOptions{Tail: 2}, "e f"},
		{"tail 3, of which one looks like an entry", container.LogOptions{Tail: 3}, "e f"},
		{"tail 4", container.LogOptions{Tail: 4}, "d e f"},
		{"tail 5", container.LogOptions{Tail: 5}, "c d e f"},
		{"tail 6", container.LogOptions{Tail: 6}, "b c d e f"},
		{"tail 7", container.LogOptions{Tail: 7}, "a b c d e f"},
		{"tail 100", container.LogOptions{Tail: 100}, "a b c d e f"},
		{"since the first", container.LogOptions{Tail: -1, Since: at(1)}, "a b c d e f"},
		{"since in between", container.LogOptions{Tail: -1, Since: at(2.5)}, "c d e f"},
		{"since the last", container.LogOptions{Tail: -1, Since: at(6)}, "f"},
		{"since later", container.LogOptions{Tail: -1, Since: at(7)}, ""},
		{"until the first", container.LogOptions{Tail: -1, Until: at(1)}, "a"},
		{"until before", container.LogOptions{Tail: -1, Until: at(0)}, ""},
		{"until in between", container.LogOptions{Tail: -1, Until: at(4.5)}, "a b c d"},
		{"until later", container.LogOptions{Tail: -1, Until: at(9)}, "a b c d e f"},
		{"since and until", container.LogOptions{Tail: -1, Since: at(2), Until: at(4)}, "b c d"},
		{"tail comes before since", container.LogOptions{Tail: 2, Since: at(5.5)}, "f"},
		{"tail comes before until", container.LogOptions{Tail: 4, Until: at(5)}, "d e"},
		{"tail and until miss each other", container.LogOptions{Tail: 1, Until: at(2)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := read(t, path, tt.opts); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A file that was last written before Since is not read at all.
func TestSinceSkipsFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	// It has an entry that would match, which is how the test can tell.
	write(t, path+".1", entryAt("old", 100))
	if err := os.Chtimes(path+".1", noon, noon); err != nil {
		t.Fatal(err)
	}
	write(t, path, entryAt("new", 101))
	if got := read(t, path, container.LogOptions{Tail: -1, Since: noon.Add(time.Minute)}); got != "new" {
		t.Errorf("got %q", got)
	}
}

// After the first entry that is wanted the clock may have gone back.
func TestSinceWithClockSetBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, entryAt("a", 1), entryAt("b", 5), entryAt("c", 3))
	if got := read(t, path, container.LogOptions{Tail: -1, Since: noon.Add(4 * time.Second)}); got != "b c" {
		t.Errorf("got %q", got)
	}
}

func TestReadNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := read(t, filepath.Join(dir, "log"), all); got != "" {
		t.Errorf("no file: %q", got)
	}
	if got := read(t, filepath.Join(dir, "gone", "log"), all); got != "" {
		t.Errorf("no directory: %q", got)
	}
	write(t, filepath.Join(dir, "empty"))
	if got := read(t, filepath.Join(dir, "empty"), container.LogOptions{Tail: 5}); got != "" {
		t.Errorf("empty: %q", got)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "fifo"), all); got != "" {
		t.Errorf("fifo: %q", got)
	}
	err := Read(t.Context(), filepath.Join(dir, "gone", "log"), container.LogOptions{Follow: true}, nil, nil)
	want := fmt.Sprintf("follow log %q: watch %s: no such file or directory", dir+"/gone/log", dir+"/gone")
	if err == nil || err.Error() != want {
		t.Errorf("follow without a directory: %v, want %s", err, want)
	}
}

func TestReadEntries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path,
		`{"log":"tab\tuni\u20ac\ud83d\ude00\n","stream":"stderr","time":"2026-03-04T12:00:00.5Z"}`+"\n",
		`{"stream":"stdout","time":"2026-03-04T14:00:00+02:00","attrs":{"a":"b"},"log":"other order"}`+"\n",
		`{"log":"x","stream":"journal","time":"2026-03-04T12:00:00Z"}`+"\n",
		`{"log":"`+strings.Repeat("a", maxEntry)+`","stream":"stdout","time":"2026-03-04T12:00:00Z"}`+"\n",
		`{"log":"`+strings.Repeat("b", 1<<20)+`","stream":"stdout","time":"2026-03-04T12:00:00Z"}`+"\n",
		"\x00\x00\x00\n[]\n{}\n\"log\"\n",
		entryAt("end", 0),
	)
	var got []string
	err := Read(t.Context(), path, all, nil, func(l container.LogLine) error {
		text := string(l.Text)
		if len(text) > 50 {
			text = fmt.Sprintf("%.1s*%d", text, len(text))
		}
		got = append(got, fmt.Sprintf("%s %s %q", l.Time.UTC().Format(time.RFC3339Nano), l.Stream, text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`2026-03-04T12:00:00.5Z stderr "tab\tuni€😀\n"`,
		`2026-03-04T12:00:00Z stdout "other order"`,
		`2026-03-04T12:00:00Z stdout "b*1048576"`,
		`2026-03-04T12:00:00Z stdout "end\n"`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCallbackEndsReading(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, entryAt("a", 1), entryAt("b", 2))
	stop := errors.New("stop")
	n := 0
	err := Read(t.Context(), path, container.LogOptions{Tail: -1, Follow: true}, nil, func(container.LogLine) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("%v after %d entries", err, n)
	}
}

// The tail of a big log is found without reading it, whatever the blocks cut.
func TestTailAcrossBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	var entries []string
	for i := range 5000 {
		entries = append(entries, entryAt(fmt.Sprintf("%d %s", i, strings.Repeat("x", i%200)), i))
	}
	write(t, path+".1", entries[:2500]...)
	write(t, path, entries[2500:]...)
	for _, n := range []int{1, 2, 100, 1000, 2499, 2500, 2501, 4000, 4999, 5000, 5001} {
		var first string
		count := 0
		err := Read(t.Context(), path, container.LogOptions{Tail: n}, nil, func(l container.LogLine) error {
			if count == 0 {
				first, _, _ = strings.Cut(string(l.Text), " ")
			}
			count++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(max(0, 5000-n)); first != want || count != min(n, 5000) {
			t.Errorf("tail %d: %d entries from %s", n, count, first)
		}
	}
}

// follow runs a reader until it ends; stop is what ended reports.
func follow(t *testing.T, ctx context.Context, path string, opts container.LogOptions, stop *atomic.Bool) (lines func() []string, wait func() error) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	done := make(chan error, 1)
	opts.Follow = true
	go func() {
		done <- Read(ctx, path, opts, stop.Load, func(l container.LogLine) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, strings.TrimSuffix(string(l.Text), "\n"))
			return nil
		})
	}()
	lines = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
	return lines, func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			t.Fatalf("still following; read %d lines", len(lines()))
			return nil
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	var ended atomic.Bool
	lines, wait := follow(t, t.Context(), path, all, &ended)
	time.Sleep(20 * time.Millisecond)
	w := NewWriter(path, Options{})
	s := w.Stream("stdout")
	for i := range 5 {
		fmt.Fprintf(s, "%d\n", i)
		w.Flush()
		eventually(t, "line not followed", func() bool { return len(lines()) == i+1 })
	}
	s.Write([]byte("tail"))
	s.End()
	w.Flush()
	ended.Store(true)
	w.Close()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(lines(), " "), "0 1 2 3 4 tail"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, entryAt("a", 0), entryAt("b", 1))
	var never atomic.Bool

	ctx, cancel := context.WithCancel(t.Context())
	lines, wait := follow(t, ctx, path, container.LogOptions{Tail: 1}, &never)
	eventually(t, "nothing read", func() bool { return len(lines()) == 1 })
	cancel()
	if err := wait(); err != nil {
		t.Errorf("cancelled: %v", err)
	}

	lines, wait = follow(t, t.Context(), path, container.LogOptions{Tail: -1, Until: time.Now().Add(50 * time.Millisecond)}, &never)
	if err := wait(); err != nil || len(lines()) != 2 {
		t.Errorf("until: %v with %q", err, lines())
	}

	lines, wait = follow(t, t.Context(), path, container.LogOptions{Tail: -1, Until: noon}, &never)
	if err := wait(); err != nil || len(lines()) != 1 {
		t.Errorf("until in the past: %v with %q", err, lines())
	}
}

// A reader that finds no inotify instance left looks by itself.
func TestFollowWithoutInotify(t *testing.T) {
	t.Parallel()
	w := &watch{stop: func() bool { return true }}
	defer w.close()
	start := time.Now()
	if err := w.wait(t.Context(), time.Time{}); err != nil || time.Since(start) < pollEvery {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.wait(ctx, time.Time{}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// Truncating the log, as logrotate's copytruncate does, begins it anew.
func TestFollowTruncated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, entryAt("a", 0), entryAt("b", 1))
	var ended atomic.Bool
	lines, wait := follow(t, t.Context(), path, all, &ended)
	eventually(t, "nothing read", func() bool { return len(lines()) == 2 })
	write(t, path, entryAt("c", 2))
	eventually(t, "new content not read", func() bool { return len(lines()) == 3 })
	ended.Store(true)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines(), " "); got != "a b c" {
		t.Errorf("got %q", got)
	}
}

// Several readers follow a log that is rotated again and again; each sees all
// lines, in order, once.
func TestFollowRotationUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	const n = 50000
	var ended atomic.Bool
	type following struct {
		lines func() []string
		wait  func() error
	}
	var readers []following
	for range 3 {
		lines, wait := follow(t, t.Context(), path, all, &ended)
		readers = append(readers, following{lines, wait})
	}
	w := NewWriter(path, Options{MaxSize: 64 << 10, MaxFiles: 200})
	out, errs := w.Stream("stdout"), w.Stream("stderr")
	for i := range n {
		s := out
		if i%3 == 0 {
			s = errs
		}
		fmt.Fprintf(s, "%d\n", i)
		if i%100 == 0 {
			w.Flush()
		}
		if i%5000 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	w.Close()
	ended.Store(true)
	for _, r := range readers {
		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
		got := r.lines()
		if len(got) != n {
			t.Errorf("%d lines, want %d", len(got), n)
		}
		for i := range got {
			if got[i] != fmt.Sprint(i) {
				t.Fatalf("line %d is %s", i, got[i])
			}
		}
	}
	// What is left after the fact is the same log.
	if got := len(strings.Fields(read(t, path, all))); got != n {
		t.Errorf("%d lines when read again", got)
	}
}

// With one file only, a reader that keeps up loses nothing either: the old file is
// removed, not truncated.
func TestFollowSingleFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	var ended atomic.Bool
	lines, wait := follow(t, t.Context(), path, all, &ended)
	w := NewWriter(path, Options{MaxSize: 200})
	s := w.Stream("stdout")
	for i := range 50 {
		fmt.Fprintf(s, "%d\n", i)
		w.Flush()
		eventually(t, "line not followed", func() bool { return len(lines()) == i+1 })
	}
	w.Close()
	ended.Store(true)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

// What is read without following is the log as it was at that moment, even while
// it is rotated away under the reader.
func TestSnapshotDuringRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	w := NewWriter(path, Options{MaxSize: 500, MaxFiles: 4})
	s := w.Stream("stdout")
	n := 0
	put := func(k int) {
		for range k {
			fmt.Fprintf(s, "%d\n", n)
			n++
		}
		w.Flush()
	}
	put(20)
	var got []string
	err := Read(t.Context(), path, all, nil, func(l container.LogLine) error {
		put(10)
		got = append(got, strings.TrimSpace(string(l.Text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ended := Ended(dir)
	if !ended() {
		t.Error("not ended without a lock file")
	}
	f, err := os.Create(filepath.Join(dir, LockName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !ended() {
		t.Error("not ended without a lock")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if ended() {
		t.Error("ended while locked")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if !ended() {
		t.Error("not ended after unlocking")
	}
	if !Ended(filepath.Join(dir, "gone"))() {
		t.Error("not ended without a directory")
	}
}

// What is read directly is what encoding/json makes of it.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		entryAt("x", 1), `{"log":"\u0041\n\ud800","stream":"stderr","time":"2026-03-04T12:00:00.5+01:00"}`,
		`{"log":"a","stream":"stdout","time":"x"}`, "{\"log\":\"\xff\x01\",\"stream\":\"stdout\",\"time\":\"2026-03-04T12:00:00Z\"}",
		`{"log":"\u00+1","stream":"stdout","time":"2026-03-04T12:00:00Z"}`, `{"log":"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		got, ok := d.fast(line)
		if !ok {
			d.decode(line)
			return
		}
		var want struct {
			Log    string    `json:"log"`
			Stream string    `json:"stream"`
			Time   time.Time `json:"time"`
		}
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%q: read directly, but %v", line, err)
		}
		if string(got.Text) != want.Log || got.Stream != want.Stream || !got.Time.Equal(want.Time) {
			t.Errorf("%q: got %q %s %v, want %q", line, got.Text, got.Stream, got.Time, want)
		}
	})
}

// A log of any content is read without an error, and its tail is a suffix of it.
func FuzzRead(f *testing.F) {
	f.Add([]byte(entryAt("a", 1)+entryAt("b", 2)), []byte(entryAt("c", 3)), 2)
	f.Add([]byte("{\n{\n"), []byte("{"), 1)
	f.Fuzz(func(t *testing.T, old, current []byte, n int) {
		path := filepath.Join(t.TempDir(), "log")
		write(t, path+".1", string(old))
		write(t, path, string(current))
		whole := read(t, path, all)
		if n < 0 {
			n = -n
		}
		part := read(t, path, container.LogOptions{Tail: max(0, n%10)})
		if !strings.HasSuffix(whole, part) {
			t.Errorf("tail %q of %q", part, whole)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	w := NewWriter(path, Options{})
	s := w.Stream("stdout")
	for i := range 100000 {
		fmt.Fprintf(s, "%d 192.168.0.1 - - \"GET /index.html?a=b&c=d HTTP/1.1\" 200 612\n", i)
	}
	w.Close()
	st, _ := os.Stat(path)
	b.SetBytes(st.Size())
	for b.Loop() {
		if err := Read(b.Context(), path, all, nil, func(container.LogLine) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
