package lineedit

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// widths are those of terminals: ambiguous characters take one cell.
var widths = &runewidth.Condition{StrictEmojiNeutral: true}

// frame is what is to be on the screen: an entry, and rows below it.
type frame struct {
	prompt, more string
	text         []rune
	cursor       int    // in runes
	colour       []Span // of text
	hint         string // dim, behind the text
	below        [][]part
}

// part is a piece of a row.
type part struct{ text, style string }

// screen draws frames over each other. It knows where the last one is.
type screen struct {
	out  io.Writer
	size func() (width, height int)

	widths []int // of the rows of the last frame
	cursor int   // the row of it that the cursor is in
	last   string
}

// cell is a cluster of characters that a terminal shows as one.
type cell struct {
	text  string
	width int
	runes int
	style string
}

// cells cuts a text into its clusters. Newlines are cells of their own.
func cells(text []rune) []cell {
	var out []cell
	for i := 0; i < len(text); {
		n := clusterLen(text[i:])
		c := cell{text: string(text[i : i+n]), runes: n}
		switch {
		case text[i] == '\n':
		case text[i] == '\t':
			c.text, c.width = "    ", 4
		case unicode.IsControl(text[i]):
			c.text, c.width = "?", 1
		default:
			c.width = min(widths.StringWidth(c.text), 2)
		}
		out = append(out, c)
		i += n
	}
	return out
}

// clusterLen is how many runes make the first character: one, and the marks,
// joiners and selectors that belong to it (UAX 29, without Hangul's parts, which
// keyboards do not send).
func clusterLen(text []rune) int {
	n := 1
	regional := func(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }
	if regional(text[0]) && len(text) > 1 && regional(text[1]) {
		n = 2
	}
	if text[0] == '\n' || unicode.IsControl(text[0]) {
		return 1
	}
	for n < len(text) {
		r := text[n]
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200d || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff:
			n++
		case text[n-1] == 0x200d && unicode.In(r, unicode.So, unicode.Sk):
			n++
		default:
			return n
		}
	}
	return n
}

// back gives the position of the character before pos.
func back(text []rune, pos int) int {
	at := 0
	for i := 0; i < pos; {
		at = i
		i += clusterLen(text[i:])
	}
	return at
}

// rows lays a frame out in rows of at most width cells, and tells where the cursor is.
func (f *frame) rows(width int) (rows []string, rowWidths []int, row, col int) {
	var b strings.Builder
	at, style := 0, ""
	set := func(s string) {
		if s != style {
			b.WriteString("\x1b[0")
			if s != "" {
				b.WriteString(";" + s)
			}
			b.WriteString("m")
			style = s
		}
	}
	end := func() {
		old := style
		set("")
		rows = append(rows, b.String())
		rowWidths = append(rowWidths, at)
		b.Reset()
		at = 0
		set(old)
	}
	put := func(c cell) {
		if at+c.width > width {
			end()
		}
		set(c.style)
		b.WriteString(c.text)
		at += c.width
	}
	words := func(s string) {
		for _, c := range cells([]rune(s)) {
			put(c)
		}
	}
	words(f.prompt)
	runes, bytes, span := 0, 0, 0
	row, col = -1, 0
	for _, c := range cells(f.text) {
		if row < 0 && runes >= f.cursor {
			if at+c.width > width && c.text != "\n" {
				end()
			}
			row, col = len(rows), at
		}
		for span < len(f.colour) && f.colour[span].To <= bytes {
			span++
		}
		if span < len(f.colour) && f.colour[span].From <= bytes {
			c.style = f.colour[span].Style
		}
		n := len(string(f.text[runes : runes+c.runes]))
		runes += c.runes
		bytes += n
		if c.text == "\n" {
			end()
			set("")
			words(f.more)
			continue
		}
		put(c)
	}
	set("")
	if row < 0 {
		if at >= width {
			end()
		}
		row, col = len(rows), at
	}
	if f.hint != "" {
		// Of the suggestion what fits into the row: it must not move anything.
		for _, c := range cells([]rune(f.hint)) {
			if at+c.width >= width || c.text == "\n" {
				break
			}
			c.style = "2"
			put(c)
		}
	}
	end()
	return rows, rowWidths, row, col
}

// draw replaces the last frame.
func (s *screen) draw(f *frame) {
	width, height := s.size()
	rows, rowWidths, row, col := f.rows(width)
	below := f.below
	if room := height - len(rows); len(below) > max(room, 0) {
		below = below[:max(room, 0)]
	}
	// Of an entry that is higher than the screen, the part around the cursor.
	if len(rows) > height {
		from := max(0, min(row-height/2, len(rows)-height))
		rows, rowWidths, row = rows[from:from+height], rowWidths[from:from+height], row-from
	}
	for _, parts := range below {
		r, w := clip(parts, width)
		rows, rowWidths = append(rows, r), append(rowWidths, w)
	}
	out := body(rows, rowWidths, width)
	if n := len(rows) - 1 - row; n > 0 {
		out += fmt.Sprintf("\x1b[%dA", n)
	}
	out += "\r"
	if col > 0 {
		out += fmt.Sprintf("\x1b[%dC", col)
	}
	if out == s.last {
		return
	}
	s.write(s.home() + out)
	s.last, s.widths, s.cursor = out, rowWidths, row
}

// body writes rows over old ones. Behind a row that fills the screen's width the
// cursor still stands on its last cell, so nothing may be erased there.
func body(rows []string, rowWidths []int, width int) string {
	var b strings.Builder
	for i, r := range rows {
		if i == len(rows)-1 {
			b.WriteString("\x1b[J" + r)
			break
		}
		b.WriteString(r)
		if rowWidths[i] < width {
			b.WriteString("\x1b[K")
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// finish draws an entry for good, whole, with the cursor below it.
func (s *screen) finish(f *frame) {
	width, _ := s.size()
	f.hint, f.below = "", nil
	rows, rowWidths, _, _ := f.rows(width)
	s.write(s.home() + body(rows, rowWidths, width) + "\r\n")
	s.forget()
}

// home goes to the beginning of the last frame.
func (s *screen) home() string {
	if s.cursor > 0 {
		return fmt.Sprintf("\r\x1b[%dA", s.cursor)
	}
	return "\r"
}

// erase takes the last frame off the screen.
func (s *screen) erase() {
	s.write(s.home() + "\x1b[J")
	s.forget()
}

// forget begins at the row where the cursor is.
func (s *screen) forget() { s.last, s.widths, s.cursor = "", nil, 0 }

// resized takes into account that the terminal may have broken the rows of the last
// frame anew: each now takes as many as its width needs.
func (s *screen) resized() {
	width, _ := s.size()
	n := 0
	for i, w := range s.widths {
		if i == s.cursor {
			break
		}
		n += max(1, (w+width-1)/width)
	}
	s.cursor, s.last = n, ""
}

func (s *screen) write(text string) { _, _ = io.WriteString(s.out, text) }

// fresh goes to the beginning of a row of its own: what ran before may have left its
// last line open. The mark is only seen then; at the beginning of a row the
// prompt is drawn over it.
func (s *screen) fresh() {
	width, _ := s.size()
	s.write("\x1b[2m⏎\x1b[0m" + strings.Repeat(" ", max(width-1, 0)) + "\r\x1b[K")
}

// clip puts a row together, of at most width cells.
func clip(parts []part, width int) (row string, w int) {
	var b strings.Builder
	for _, p := range parts {
		if p.style != "" {
			b.WriteString("\x1b[" + p.style + "m")
		}
		for _, c := range cells([]rune(p.text)) {
			if w+c.width > width || c.text == "\n" {
				break
			}
			b.WriteString(c.text)
			w += c.width
		}
		if p.style != "" {
			b.WriteString("\x1b[0m")
		}
	}
	return b.String(), w
}
