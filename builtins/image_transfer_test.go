package builtins

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// atTerminal is a TTY whose streams are one.
type atTerminal struct{ TTY }

func (atTerminal) Size() (int, int, error) { return 80, 24, nil }
func (atTerminal) IsInput() bool           { return true }
func (atTerminal) IsOutput() bool          { return true }

// On a terminal of 80 columns a pull draws what docker's client draws
// (testdata/docker/pull.terminal, recorded as the transcripts are).
func TestPullAtTerminal(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/docker/pull.terminal")
	if err != nil {
		t.Fatal(err)
	}
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	drawn := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(ptmx) // ends with an error when the other side is closed
		drawn <- data
	}()
	code := Run(t.Context(), newCanned().env(), Stdio{In: tty, Out: tty, Err: tty, TTY: atTerminal{}}, []string{"pull", "alpine:3.20"})
	tty.Close()
	if got := <-drawn; code != 0 || !bytes.Equal(got, want) {
		t.Errorf("exit %d\n got %q\nwant %q", code, got, want)
	}
}

func TestArchivesAtTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ words, want string }{
		{"load", "requested load from stdin, but stdin is empty\n"},
		{"save alpine", "cowardly refusing to save to a terminal. Use the -o flag or redirect\n"},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), newCanned().env(), Stdio{In: strings.NewReader(""), Out: &out, Err: &errs, TTY: atTerminal{}}, strings.Fields(tt.words))
		if code != 1 || out.String() != "" || errs.String() != tt.want {
			t.Errorf("%s: exit %d, %q, %q; want %q", tt.words, code, out.String(), errs.String(), tt.want)
		}
	}
}

// saving writes an archive, the second half only when it is to succeed.
type saving struct {
	image.Service
	fails bool
}

func (s saving) Save(_ context.Context, w io.Writer, refs []string, _ image.SaveOptions) error {
	if _, err := io.WriteString(w, strings.Join(refs, " ")); err != nil {
		return err
	}
	if s.fails {
		return fault.Wrap(errors.New("no space left on device"), "save", "images")
	}
	_, err := io.WriteString(w, " done")
	return err
}

// The file is there when it is whole, for nobody else to read, and an older one
// stays when the saving fails.
func TestSaveToFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar")
	env := func(fails bool) *Env {
		return &Env{Program: "docker", Connect: func(context.Context) (*Engine, error) { return &Engine{Images: saving{fails: fails}}, nil }}
	}
	check := func(what, want string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil || string(data) != want {
			t.Errorf("%s: the file has %q, %v", what, data, err)
		}
		if st, err := os.Stat(path); err == nil && st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %s", what, st.Mode())
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: %d files", what, len(left))
		}
	}
	if got := play(t, env(false), "save -o "+path+" a b"); got != "" {
		t.Errorf("printed %s", got)
	}
	check("saved", "a b done")
	if got := play(t, env(true), "save -o "+path+" c"); got != "! Error response from daemon: save \"images\": no space left on device\n[exit 1]\n" {
		t.Errorf("printed %s", got)
	}
	check("failed", "a b done")
	if got := play(t, env(false), "save -o "+dir+" a"); got != "! failed to save image: cannot write to a directory or a device: "+dir+"\n[exit 1]\n" {
		t.Errorf("printed %s", got)
	}
	if got := play(t, env(false), "save a"); got != "a done\n" {
		t.Errorf("printed %s", got)
	}
	if got := eval(Predeclared(env(false)), `save("x", output = "`+path+`")`); got != path {
		t.Errorf("gave %s", got)
	}
	check("from a script", "x done")
}
