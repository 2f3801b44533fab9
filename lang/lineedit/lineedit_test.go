package lineedit

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// TestFilter: what a terminal sends becomes what readline understands, however
// the reads cut it.
func TestFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, out string }{
		{"abc\r", "abc\r"},
		{"\x1b[A\x1b[D", "\x1b[A\x1b[D"},
		{"\x1b[1~x\x1b[4~", "\x1b[Hx\x1b[F"},
		{"\x1b[7~\x1b[8~", "\x1b[H\x1b[F"},
		{"\x1b[200~one\rtwo\n\tthree\x1b[201~\r", "one\u2028two\u2028    three\r"},
		{"\x1b[200~日本\x1b[201~", "日本"},
		{"\x1b[1;5D", "\x1b[1;5D"},
		{"a\x1b[200x", "a\x1b[200x"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := io.ReadAll(&filter{r: r})
			if err != nil || string(got) != tt.out {
				t.Errorf("%q read %s: %q, %v, want %q", tt.in, name, got, err, tt.out)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("\x1b[200~a\rb\x1b[201~\x1b[1~")
	f.Fuzz(func(t *testing.T, in string) {
		whole, err1 := io.ReadAll(&filter{r: strings.NewReader(in)})
		cut, err2 := io.ReadAll(&filter{r: iotest.OneByteReader(strings.NewReader(in))})
		if err1 != nil || err2 != nil || string(whole) != string(cut) {
			t.Fatalf("%q: %q (%v) and %q (%v)", in, whole, err1, cut, err2)
		}
	})
}

func TestSecret(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]bool{
		"login -u me -p hush registry":       true,
		"login --password=hush":              true,
		"login --password hush":              true,
		"login --password-stdin registry":    false,
		"run -e DB_PASSWORD=hush db":         true,
		"run -e 'API_TOKEN=x' db":            true,
		"run -p 80:80 nginx":                 false,
		"run -e MODE=pass db":                false,
		`run("db", env = {"PASSWORD": "x"})`: false,
	} {
		if secret(entry) != want {
			t.Errorf("%q", entry)
		}
	}
}

// TestHistory: the file is its owner's alone, also when it was there before.
func TestHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nsh", "history")
	if err := private(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := private(path); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestPlain is what pipes and dumb terminals get.
func TestPlain(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("one\r\ntwo"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ed, err := New(Options{In: r, Out: w}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if got, err := ed.Line("> "); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := ed.Line("> "); err != io.EOF {
		t.Error(err)
	}
}
