package lineedit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// keysOf reads all that a filter makes of an input: the runes for readline, with the
// text of each paste behind its key.
func keysOf(t *testing.T, r io.Reader) string {
	t.Helper()
	f := &filter{r: r}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	names := []string{"paste", "delete", "up", "down", "left", "right", "backtab", "newline", "escape"}
	for _, r := range string(data) {
		switch {
		case r == keyPaste:
			fmt.Fprintf(&b, "<paste %q>", f.pasted())
		case r > keyPaste && r < keyLast:
			b.WriteString("<" + names[r-keyPaste] + ">")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// TestKeys: what a terminal sends becomes what readline and this package
// understand, however the reads cut it.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"abc\r", "abc\r"},
		{"typed ahead\n", "typed ahead\r"},
		{"\x1b[A\x1bOB\x1b[D\x1b[C", "<up><down><left><right>"},
		{"\x1b[1~x\x1b[4~\x1b[7~\x1b[8~\x1b[H\x1bOF", "\x01x\x05\x01\x05\x01\x05"},
		{"\x1b[3~\x1b[Z\x1b\r", "<delete><backtab><newline>"},
		{"\x1b[1;5D\x1bf\x1b\x7f", "\x1bb\x1bf\x1b\x7f"},
		{"\x1b[200~one\rtwo\r\n\tthr\x1b[31mee\x07\x1b[201~\r", "<paste \"one\\ntwo\\n    thr[31mee\">\r"},
		{"\x1b[200~日本\x1b[201~x\x1b[200~\x1b[20\x1b[201~", "<paste \"日本\">x<paste \"[20\">"},
		{"a\x1b[?64;1;2cb\x1b[15~c\x1b[<0;1;1Md", "abcd"},
		{"a\x00b\x1ac\x1cd", "abcd"},
		{"\x1bé", "é"},
		{"\x1bzx\x1b\x1b[A", "x<up>"},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.in))} {
			if got := keysOf(t, r); got != tt.want {
				t.Errorf("%q read %s: %q, want %q", tt.in, name, got, tt.want)
			}
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("\x1b[200~a\rb\x1b[201~\x1b[1~")
	f.Add("\x1b\x1b[\x1bO\x1b[1;\x1b[200~\x1b[201")
	f.Fuzz(func(t *testing.T, in string) {
		whole := keysOf(t, strings.NewReader(in))
		cut := keysOf(t, iotest.OneByteReader(strings.NewReader(in)))
		if whole != cut {
			t.Fatalf("%q: %q and %q", in, whole, cut)
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
		"run -e DB_PASSWORD db":              false,
		"run -p 80:80 nginx":                 false,
		"run -e MODE=pass db":                false,
		`run("db", env = {"PASSWORD": "x"})`: true,
		`passwd = "x"`:                       true,
		`x = secret("DB")`:                   false,
		"pull https://me:hush@registry/x":    true,
		"pull registry:5000/x@sha256:abc":    false,
	} {
		if secret(entry) != want {
			t.Errorf("%q", entry)
		}
	}
}

// TestHistory: entries of several lines come back whole in the next session, the file is
// its owner's alone, also when it was there before, and holds no secret.
func TestHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nsh", "history")
	h := &history{path: path}
	for _, e := range []string{"one", "def f():\n    return 1\n", "one", "one", " ", "login -p hush", "\x1b]0;evil\x07x"} {
		h.add(e)
	}
	want := []string{"one", "def f():\n    return 1", "one", "]0;evilx"}
	if got := h.entries(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	again := &history{path: path}
	if got := again.entries(); !slices.Equal(got, want) {
		t.Errorf("read again: %q", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	// Two sessions at once lose nothing of each other.
	again.add("two")
	h.add("three")
	if got := (&history{path: path}).entries(); !slices.Equal(got, append(want, "two", "three")) {
		t.Errorf("after two sessions: %q", got)
	}
}

// TestHistoryTrimmed: a file that has grown is cut to the newest entries.
func TestHistoryTrimmed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	var b strings.Builder
	for i := range 2*maxEntries + 1 {
		fmt.Fprintf(&b, "entry %d\n", i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := len((&history{path: path}).entries()); got != maxEntries {
		t.Errorf("%d entries", got)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), "\n") != maxEntries || !strings.HasSuffix(string(data), fmt.Sprintf("entry %d\n", 2*maxEntries)) {
		t.Errorf("%d lines, %v", strings.Count(string(data), "\n"), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestRows lays entries out. "|" is where the cursor is.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, hint string
		width      int
		want       string
	}{
		{"ab|c", "", 10, "> abc"},
		{"ab|", "cd", 10, "> ab\x1b[0;2mcd\x1b[0m"},
		{"ab|", "cdefghijkl", 8, "> ab\x1b[0;2mcde\x1b[0m"},
		{"abcdef|gh", "", 8, "> abcdef\ngh"},
		{"abcdef|", "", 8, "> abcdef\n"},
		{"日本|語", "", 7, "> 日本\n語"},
		{"a\nb|", "", 10, "> a\n. b"},
		{"a|\nb", "", 10, "> a\n. b"},
	} {
		at := strings.Index(tt.text, "|")
		text := strings.Replace(tt.text, "|", "", 1)
		f := &frame{prompt: "> ", more: ". ", text: []rune(text), cursor: len([]rune(text[:at])), hint: tt.hint}
		rows, _, row, col := f.rows(tt.width)
		if got := strings.Join(rows, "\n"); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
		wantRow, wantCol := cursorOf(tt.text, tt.width)
		if row != wantRow || col != wantCol {
			t.Errorf("%q: cursor at %d, %d, want %d, %d", tt.text, row, col, wantRow, wantCol)
		}
	}
}

// cursorOf finds the cursor by laying out only what is before it, and a letter at it.
func cursorOf(text string, width int) (row, col int) {
	before, _, _ := strings.Cut(text, "|")
	row, col = 0, 2
	for _, c := range cells([]rune(before)) {
		if c.text == "\n" {
			row, col = row+1, 2
			continue
		}
		if col+c.width > width {
			row, col = row+1, 0
		}
		col += c.width
	}
	_, after, _ := strings.Cut(text, "|")
	next := 1
	if after != "" && after[0] != '\n' {
		next = cells([]rune(after))[0].width
	}
	if col+next > width && (after == "" || after[0] != '\n') {
		row, col = row+1, 0
	}
	return row, col
}

func TestClusters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want []string
		w    []int
	}{
		{"aé日", []string{"a", "é", "日"}, []int{1, 1, 2}},
		{"e\u0301x", []string{"e\u0301", "x"}, []int{1, 1}},
		{"👨‍👩‍👧!", []string{"👨‍👩‍👧", "!"}, []int{2, 1}},
		{"👍🏽🇩🇪🇫🇷", []string{"👍🏽", "🇩🇪", "🇫🇷"}, []int{2, 2, 2}},
	} {
		var got []string
		var w []int
		for _, c := range cells([]rune(tt.text)) {
			got, w = append(got, c.text), append(w, c.width)
		}
		if !slices.Equal(got, tt.want) || !slices.Equal(w, tt.w) {
			t.Errorf("%q: %q %v", tt.text, got, w)
		}
	}
}

// TestPlain is what pipes and dumb terminals get.
func TestPlain(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("one\r\nmore:\n  x\n\ntwo"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ed, err := New(Options{In: r, Out: w}, false)
	if err != nil {
		t.Fatal(err)
	}
	whole := func(text string, _ bool) bool { return !strings.Contains(text, ":") || strings.HasSuffix(text, "\n") }
	for _, want := range []string{"one", "more:\n  x\n", "two"} {
		if got, err := ed.Read(Prompt{Text: "> ", Whole: whole}); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := ed.Read(Prompt{}); err != io.EOF {
		t.Error(err)
	}
}
