package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"nsh/runtime/fault"
)

// Redirecter is what [Scripts] may also be: where print and warnings go.
type Redirecter interface {
	Redirect(w io.Writer) (restore func())
}

// The terminal's other screen, which leaves what was printed before as it was
// (xterm control sequences).
const (
	otherScreenOn  = "\x1b[?1049h\x1b[?25l"
	otherScreenOff = "\x1b[?25h\x1b[?1049l"
)

// watch runs a line again and again. On a terminal each picture is drawn over the one
// before, and the last one stays.
func (s *Shell) watch(ctx context.Context, line string) int {
	n, rest, _ := strings.Cut(line, " ")
	secs, err := strconv.ParseFloat(n, 64)
	if err != nil {
		secs, rest = 2, line
	}
	if !(secs > 0 && secs < 1e6) || strings.Trim(rest, blanks) == "" {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%watch: want seconds and a line, as in %%watch 2 ps"), 2)
	}
	out, _ := s.Stdio.Out.(*os.File)
	if s.session == nil || out == nil || !term.IsTerminal(int(out.Fd())) || os.Getenv("TERM") == "dumb" {
		return s.repeat(ctx, secs, func() int { return s.nested(ctx, rest) })
	}
	stdio := s.Stdio
	var last string
	_, _ = io.WriteString(out, otherScreenOn)
	code := s.repeat(ctx, secs, func() int {
		var b bytes.Buffer
		s.Stdio = Stdio{In: strings.NewReader(""), Out: &b, Err: &b}
		if r, ok := s.Scripts.(Redirecter); ok {
			defer r.Redirect(&b)()
		}
		code := s.nested(ctx, rest)
		s.Stdio = stdio
		if ctx.Err() == nil {
			last = b.String()
			w, h, err := term.GetSize(int(out.Fd()))
			if err != nil || w < 1 || h < 2 {
				w, h = 80, 24
			}
			_, _ = io.WriteString(out, picture(fmt.Sprintf("every %gs: %s", secs, rest), last, w, h))
		}
		return code
	})
	s.Stdio = stdio
	_, _ = io.WriteString(out, otherScreenOff+last)
	return code
}

// repeat calls fn until the session or ctx ends.
func (s *Shell) repeat(ctx context.Context, secs float64, fn func() int) int {
	for {
		code := fn()
		if s.quit || ctx.Err() != nil {
			return code
		}
		select {
		case <-ctx.Done():
			return code
		case <-time.After(time.Duration(secs * float64(time.Second))):
		}
	}
}

// picture writes a text over the screen: what does not fit is cut off, so that
// nothing scrolls.
func picture(title, text string, width, height int) string {
	lines := append([]string{title, ""}, strings.Split(strings.TrimRight(text, "\n"), "\n")...)
	if len(lines) > height {
		lines = lines[:height]
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		l = strings.ReplaceAll(strings.TrimRight(l, "\r"), "\t", "        ")
		b.WriteString(runewidth.Truncate(l, width-1, ""))
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
