package lineedit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// typist types at one editor on a terminal: making one for every input would leave
// readline's goroutines behind.
type typist struct {
	tty, keys *os.File
	read      chan string
	turns     int
}

var theTypist = sync.OnceValues(func() (*typist, error) {
	keys, tty, err := pty.Open()
	if err != nil {
		return nil, err
	}
	if err := pty.Setsize(keys, &pty.Winsize{Rows: 10, Cols: 20}); err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, keys) }() // what it draws
	dir, err := os.MkdirTemp("", "fuzz-prompt")
	if err != nil {
		return nil, err
	}
	ed, err := New(Options{
		In: tty, Out: tty, History: filepath.Join(dir, "history"),
		Complete: func(text string, cursor int) Completion {
			from := strings.LastIndex(text[:cursor], " ") + 1
			return Completion{From: from, List: []Candidate{{Text: "日本", Doc: "a\tb", End: " "}, {Text: text[from:cursor] + "x"}, {Text: ""}}}
		},
		Colour: func(text string) []Span { return []Span{{0, len(text), "31"}} },
	}, true)
	if err != nil {
		return nil, err
	}
	t := &typist{tty: tty, keys: keys, read: make(chan string, 1000)}
	go func() {
		for {
			text, err := ed.Read(Prompt{Text: "$ ", More: "+ ", Whole: func(text string, _ bool) bool { return !strings.HasSuffix(text, "(") }})
			if err == nil {
				ed.Remember(text)
			}
			select {
			case t.read <- text:
			default:
			}
		}
	}()
	return t, nil
})

// FuzzPrompt: whatever bytes a terminal sends, the editor lives, and reads what is typed
// after them.
func FuzzPrompt(f *testing.F) {
	for _, s := range []string{
		"ab\x01c\r", "a(\rb\r", "\x1b[200~a\nb\x1b[201~\x1b[A\x1b[A\t\t\r", "\x12abc\x12\x07", "日本\x1b[D\x1b[D\x7f", "a\t\t\x1b[Z\r", "\x1b", "\x1b[1;5", "\xff\xfe\xc3",
		"e\u0301\u200d\U0001f469\u200d\U0001f467\x02\x02\x7f", "\x0b\x19\x1f\x1f\x15\x17", strings.Repeat("x", 300) + "\x01\x1b[C", "\x04\x04", "\x00\x1a\x1c",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 2000 {
			return // more than the terminal takes at once
		}
		ty, err := theTypist()
		if err != nil {
			t.Fatal(err)
		}
		ty.turns++
		last := fmt.Sprintf("sentinel%d", ty.turns)
		// The end of a paste, of a sequence, of a search and of a menu.
		for _, part := range []string{string(in), pasteEnd, "\x1b\x1b[A", "\x03\x03\x03", last + "\r"} {
			if _, err := io.WriteString(ty.keys, part); err != nil {
				t.Fatal(err)
			}
		}
		patience := time.After(10 * time.Second)
		for {
			select {
			case text := <-ty.read:
				if strings.HasSuffix(text, last) {
					return
				}
			case <-patience:
				t.Fatalf("no answer after %q", in)
			}
		}
	})
}
