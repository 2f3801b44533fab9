package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// testWriter makes a writer whose clock advances by a millisecond a line.
func testWriter(t *testing.T, opts Options) *Writer {
	t.Helper()
	w := NewWriter(filepath.Join(t.TempDir(), "c-json.log"), opts)
	now := noon
	w.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	return w
}

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestWriterCutsLines(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	type write struct{ stream, text string }
	tests := []struct {
		name   string
		writes []write
		want   []string // stream text
	}{
		{"nothing", nil, nil},
		{"lines", []write{{"stdout", "one\ntwo\n"}}, []string{"stdout one\n", "stdout two\n"}},
		{"empty lines", []write{{"stdout", "\n\n"}}, []string{"stdout \n", "stdout \n"}},
		{"a line in parts", []write{{"stdout", "o"}, {"stdout", "n"}, {"stdout", "e\n"}}, []string{"stdout one\n"}},
		{"no newline at the end", []write{{"stdout", "one\ntw"}}, []string{"stdout one\n", "stdout tw"}},
		{
			"streams are apart",
			[]write{{"stdout", "ou"}, {"stderr", "er"}, {"stdout", "t\n"}, {"stderr", "r\n"}},
			[]string{"stdout out\n", "stderr err\n"},
		},
		{
			"both without newline",
			[]write{{"stdout", "out"}, {"stderr", "err"}},
			[]string{"stdout out", "stderr err"},
		},
		{"one less than 16 KiB", []write{{"stdout", a(16383) + "\n"}}, []string{"stdout " + a(16383) + "\n"}},
		// docker's buffer is full before it sees the newline.
		{"16 KiB", []write{{"stdout", a(16384) + "\n"}}, []string{"stdout " + a(16384), "stdout \n"}},
		{"a long line", []write{{"stdout", a(40000) + "\nx\n"}}, []string{"stdout " + a(16384), "stdout " + a(16384), "stdout " + a(7232) + "\n", "stdout x\n"}},
		{
			"a long line in parts",
			[]write{{"stdout", a(16000)}, {"stdout", a(16000)}, {"stdout", a(8000) + "\n"}},
			[]string{"stdout " + a(16384), "stdout " + a(16384), "stdout " + a(7232) + "\n"},
		},
		{"a long line without newline", []write{{"stdout", a(16385)}}, []string{"stdout " + a(16384), "stdout a"}},
		{"16 KiB without newline", []write{{"stdout", a(16384)}}, []string{"stdout " + a(16384)}},
		{
			"characters stay whole",
			[]write{{"stdout", a(16383) + "€€\n"}},
			[]string{"stdout " + a(16383), "stdout €€\n"},
		},
		{
			"what is no character is cut",
			[]write{{"stdout", a(16383) + "\xff\n"}},
			[]string{"stdout " + a(16383) + "\ufffd", "stdout \n"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := testWriter(t, Options{})
			if err := w.Open(); err != nil {
				t.Fatal(err)
			}
			streams := map[string]*Stream{"stdout": w.Stream("stdout"), "stderr": w.Stream("stderr")}
			for _, p := range tt.writes {
				if n, err := streams[p.stream].Write([]byte(p.text)); n != len(p.text) || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			streams["stdout"].End()
			streams["stderr"].End()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(content(t, w.path)) {
				var e struct{ Log, Stream string }
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				got = append(got, e.Stream+" "+e.Log)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("got  %.300q\nwant %.300q", got, tt.want)
			}
		})
	}
}

func TestEntryBytes(t *testing.T) {
	t.Parallel()
	w := testWriter(t, Options{})
	fmt.Fprintf(w.Stream("stdout"), "a<b>&\"\\\t\x1b[0m\r\x7f €\xff\u2028\n")
	w.Stream("stderr").Write([]byte("x\n"))
	w.Close()
	want := `{"log":"a\u003cb\u003e\u0026\"\\\u0009\u001b[0m\r` + "\x7f" + ` €\ufffd\u2028\n","stream":"stdout","time":"2026-03-04T12:00:00.001Z"}
{"log":"x\n","stream":"stderr","time":"2026-03-04T12:00:00.002Z"}
`
	if got := content(t, w.path); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The pieces of a line have the time of the first one.
func TestPiecesShareTheirTime(t *testing.T) {
	t.Parallel()
	w := testWriter(t, Options{})
	s := w.Stream("stdout")
	s.Write([]byte(strings.Repeat("a", 40000) + "\nb\n"))
	w.Close()
	var got []string
	for line := range strings.Lines(content(t, w.path)) {
		got = append(got, line[strings.LastIndex(line, "T"):len(line)-3])
	}
	want := []string{"T12:00:00.001Z", "T12:00:00.001Z", "T12:00:00.001Z", "T12:00:00.002Z"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain", "a\tb\x00\b\f\"\\/<&>", "€\xff\xc0\u2028\u2029\U0010ffff", "\xed\xa0\x80"} {
		f.Add([]byte(s))
	}
	docker := strings.NewReplacer(`\\`, `\\`, `\t`, `\u0009`, `\b`, `\u0008`, `\f`, `\u000c`)
	f.Fuzz(func(t *testing.T, text []byte) {
		got := string(appendEscaped([]byte{'"'}, text)) + `"`
		want, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if want := docker.Replace(string(want)); got != want {
			t.Errorf("%q is escaped as %s, want %s", text, got, want)
		}
	})
}

// Whatever is written, in whatever pieces, comes out again, but for what is no
// UTF-8.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("one\ntwo"), uint16(3))
	f.Add([]byte(strings.Repeat("€", 9000)+"\n\n"), uint16(4096))
	f.Add([]byte(strings.Repeat("x", 16384)+"\n"), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		text = bytes.ToValidUTF8(text, nil)
		w := NewWriter(filepath.Join(t.TempDir(), "log"), Options{})
		s := w.Stream("stdout")
		for p := text; len(p) > 0; {
			n := min(len(p), int(size)+1)
			s.Write(p[:n])
			p = p[n:]
		}
		s.End()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 {
			return
		}
		var got []byte
		var d decoder
		for line := range strings.Lines(content(t, w.path)) {
			l, ok := d.fast([]byte(strings.TrimSuffix(line, "\n")))
			if !ok {
				t.Fatalf("not read directly: %q", line)
			}
			if len(l.Text) > maxLine || bytes.IndexByte(l.Text, '\n') >= 0 && bytes.IndexByte(l.Text, '\n') != len(l.Text)-1 {
				t.Errorf("not a line: %q", l.Text)
			}
			got = append(got, l.Text...)
		}
		if !bytes.Equal(got, text) {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	// An entry of "NN\n" has 67 bytes with the times of the test's clock.
	tests := []struct {
		opts  Options
		lines int
		want  map[string]string // suffix to the first and last line
	}{
		{Options{}, 10, map[string]string{"": "00-09"}},
		{Options{MaxSize: 1 << 20}, 10, map[string]string{"": "00-09"}},
		{Options{MaxSize: 134}, 5, map[string]string{"": "04-04"}},
		{Options{MaxSize: 134}, 4, map[string]string{"": "02-03"}},
		{Options{MaxSize: 100, MaxFiles: 2}, 6, map[string]string{"": "04-05", ".1": "02-03"}},
		{Options{MaxSize: 100, MaxFiles: 4}, 7, map[string]string{"": "06-06", ".1": "04-05", ".2": "02-03", ".3": "00-01"}},
		{Options{MaxSize: 1, MaxFiles: 3}, 9, map[string]string{"": "08-08", ".1": "07-07", ".2": "06-06"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%+v", tt.opts), func(t *testing.T) {
			t.Parallel()
			w := testWriter(t, tt.opts)
			s := w.Stream("stdout")
			for i := range tt.lines {
				fmt.Fprintf(s, "%02d\n", i)
			}
			w.Close()
			names, _ := filepath.Glob(w.path + "*")
			got := map[string]string{}
			for _, name := range names {
				lines := strings.Split(content(t, name), "\n")
				text := func(s string) string { return s[8:10] }
				got[strings.TrimPrefix(name, w.path)] = text(lines[0]) + "-" + text(lines[len(lines)-2])
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A line that an earlier writer did not finish does not spoil the next one.
func TestOpenAfterInterruptedWrite(t *testing.T) {
	t.Parallel()
	w := testWriter(t, Options{})
	if err := os.WriteFile(w.path, []byte(`{"log":"hal`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Stream("stdout").Write([]byte("x\n"))
	w.Close()
	want := `{"log":"hal` + "\n" + `{"log":"x\n","stream":"stdout","time":"2026-03-04T12:00:00.001Z"}` + "\n"
	if got := content(t, w.path); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// On a full file system whole entries stay, the rest is counted, and the loss is
// noted when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting a small tmpfs takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	w := NewWriter(filepath.Join(dir, "log"), Options{})
	w.now = func() time.Time { return noon }
	s := w.Stream("stdout")
	for i := range 1000 {
		fmt.Fprintf(s, "line %03d\n", i)
		w.Flush()
	}
	kept := strings.Count(content(t, w.path), "\n")
	if kept < 100 || kept >= 1000 {
		t.Fatalf("%d lines in 16 KiB", kept)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("after\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(content(t, w.path), "\n")
	for i, line := range lines[:kept] {
		if want := fmt.Sprintf(`{"log":"line %03d\n","stream":"stdout","time":"2026-03-04T12:00:00Z"}`, i); line != want {
			t.Fatalf("line %d is %s", i, line)
		}
	}
	want := []string{
		fmt.Sprintf(`{"log":"nsh: %d lines lost: write log \"%s\": no space left on device\n","stream":"stderr","time":"2026-03-04T12:00:00Z"}`, 1000-kept, w.path),
		`{"log":"after\n","stream":"stdout","time":"2026-03-04T12:00:00Z"}`,
		"",
	}
	if got := lines[kept:]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A log whose directory is missing is opened when it is there, at most once a
// second.
func TestOpenLater(t *testing.T) {
	t.Parallel()
	now := noon
	dir := filepath.Join(t.TempDir(), "later")
	w := NewWriter(filepath.Join(dir, "log"), Options{})
	w.now = func() time.Time { return now }
	s := w.Stream("stdout")
	try := func(text string, want string) {
		t.Helper()
		s.Write([]byte(text + "\n"))
		got := "written"
		if err := w.Flush(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	missing := fmt.Sprintf("open log %q: no such file or directory", w.path)
	try("a", missing)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	try("b", missing)
	now = now.Add(openEvery)
	try("c", "written")
	w.Close()
	want := fmt.Sprintf(`{"log":"nsh: 2 lines lost: open log \"%s\": no such file or directory\n","stream":"stderr","time":"2026-03-04T12:00:01Z"}
{"log":"c\n","stream":"stdout","time":"2026-03-04T12:00:01Z"}
`, w.path)
	if got := content(t, w.path); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWriterDoesNotAllocate(t *testing.T) {
	w := NewWriter(filepath.Join(t.TempDir(), "log"), Options{})
	s := w.Stream("stdout")
	line := []byte("some output of a container <with markup> and a tab\t\nbegin")
	s.Write(line)
	w.Flush()
	if n := testing.AllocsPerRun(1000, func() {
		s.Write(line)
		w.Flush()
	}); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		opts map[string]string
		want string
	}{
		{nil, "{0 0}"},
		{map[string]string{"max-size": "10m"}, "{10000000 0}"},
		{map[string]string{"max-size": "1k", "max-file": "3"}, "{1000 3}"},
		{map[string]string{"max-size": "2G"}, "{2000000000 0}"},
		{map[string]string{"max-size": "77"}, "{77 0}"},
		{map[string]string{"max-file": "3"}, "{0 3}"},
		{map[string]string{"log-path": "/x/y.log", "compress": "false"}, "{0 0}"},
		{map[string]string{"max-size": "many"}, `{0 0} invalid log option max-size="many": must be a size such as 10m`},
		{map[string]string{"max-size": "-1"}, `{0 0} invalid log option max-size="-1": must be a size such as 10m`},
		{map[string]string{"max-size": "0", "max-file": "2"}, `{0 2} invalid log option max-size="0": must be a size such as 10m`},
		{map[string]string{"max-file": "0"}, `{0 0} invalid log option max-file="0": must be a number of files, 1 or more`},
		{map[string]string{"max-file": "x"}, `{0 0} invalid log option max-file="x": must be a number of files, 1 or more`},
		{map[string]string{"log-path": "y.log"}, `{0 0} invalid log option log-path="y.log": must be an absolute path`},
		{map[string]string{"compress": "true"}, `{0 0} invalid log option compress="true": must be false: old files are not compressed`},
		{map[string]string{"labels": "a", "max-size": "1"}, `{1 0} log opt 'labels' is not supported for json-file log driver`},
		{map[string]string{"x": "y"}, `{0 0} unknown log opt 'x' for json-file log driver`},
	}
	for _, tt := range tests {
		o, err := Config{Opts: tt.opts}.Options()
		got := fmt.Sprint(o)
		if err != nil {
			got += " " + err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.opts, got, tt.want)
		}
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if c, err := ReadConfig(dir); err != nil || fmt.Sprint(c) != "{ map[] }" {
		t.Errorf("without a file: %v, %v", c, err)
	}
	c := Config{Driver: JSONFile, Opts: map[string]string{"max-size": "10m"}, Address: "/run/containerd/containerd.sock"}
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	want := `{"driver":"json-file","opts":{"max-size":"10m"},"address":"/run/containerd/containerd.sock"}`
	if got := content(t, filepath.Join(dir, "log-config.json")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := ReadConfig(dir); err != nil || fmt.Sprint(got) != fmt.Sprint(c) {
		t.Errorf("read back: %v, %v", got, err)
	}
	if got := c.Path("/s", "id"); got != "/s/id-json.log" {
		t.Errorf("path %s", got)
	}
	c.Opts["log-path"] = "/x.log"
	if got := c.Path("/s", "id"); got != "/x.log" {
		t.Errorf("path %s", got)
	}
}
