package lineedit

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// menu is what the Tab key shows: the candidates with their descriptions.
type menu struct {
	open   bool
	list   []Candidate
	chosen int   // -1: none yet
	from   int   // of the part that a candidate takes the place of, in runes
	typed  state // before one was chosen
	cancel context.CancelFunc
	asking bool // more may come
}

// menuRows is how many candidates are shown at once.
const menuRows = 10

func (m *menu) stop() {
	if m.cancel != nil {
		m.cancel()
	}
	*m = menu{}
}

func (m *menu) rows(colours bool) [][]part {
	if !m.open {
		return nil
	}
	first := 0
	if m.chosen >= menuRows {
		first = m.chosen - menuRows + 1
	}
	last := min(first+menuRows, len(m.list))
	width := 0
	for _, c := range m.list[first:last] {
		width = max(width, widths.StringWidth(c.Text))
	}
	var out [][]part
	for i, c := range m.list[first:last] {
		mark, style, dim := "  ", "", "2"
		if first+i == m.chosen {
			mark, style = "> ", "7"
		}
		if !colours {
			style, dim = "", ""
		}
		row := []part{{mark + c.Text, style}}
		if c.Doc != "" {
			row = append(row, part{strings.Repeat(" ", width-widths.StringWidth(c.Text)+2) + c.Doc, dim})
		}
		out = append(out, row)
	}
	switch {
	case m.asking && len(m.list) == 0:
		out = append(out, []part{{"  …", ""}})
	case m.asking:
		out = append(out, []part{{"  … and maybe more", ""}})
	case last < len(m.list):
		out = append(out, []part{{"  … " + strconv.Itoa(len(m.list)-last) + " more", ""}})
	}
	return out
}

// patience is how long the Tab key waits for what is slow, before it shows what is known.
const patience = 30 * time.Millisecond

// complete is the Tab key.
func (t *terminal) complete() {
	t.mine = true
	if t.opts.Complete == nil {
		return
	}
	text := string(t.text)
	c := t.opts.Complete(text, len(string(t.text[:t.pos])))
	if c.From < 0 || c.From > len(string(t.text[:t.pos])) {
		return
	}
	from := len([]rune(text[:c.From]))
	t.menu = menu{from: from, chosen: -1, typed: state{slices.Clone(t.text), t.pos}, list: unique(c.List)}
	if c.Later == nil {
		t.offer()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.menu.cancel, t.menu.asking = cancel, true
	found := make(chan []Candidate, 1)
	go func() { found <- c.Later(ctx) }()
	select {
	case more := <-found:
		cancel()
		t.menu.cancel, t.menu.asking = nil, false
		t.menu.list = unique(append(t.menu.list, more...))
		t.offer()
	case <-time.After(patience):
		t.menu.open = true
		go func() {
			more := <-found
			t.mu.Lock()
			defer t.mu.Unlock()
			// The menu may have been closed, or be another one by now.
			if ctx.Err() != nil || !t.active || !t.menu.asking {
				return
			}
			cancel()
			t.menu.cancel, t.menu.asking = nil, false
			chosen := t.menu.chosen
			t.menu.list = appended(t.menu.list, more)
			t.menu.chosen = chosen
			t.menu.open = len(t.menu.list) > 0
			t.draw()
		}()
	}
}

// offer puts in what all candidates have in common, and shows them when there are several.
func (t *terminal) offer() {
	m := &t.menu
	switch len(m.list) {
	case 0:
		t.menu = menu{}
		return
	case 1:
		t.take(m.list[0].Text)
		t.close(m.list[0])
		t.menu = menu{}
		return
	}
	common := m.list[0].Text
	for _, c := range m.list[1:] {
		for !strings.HasPrefix(c.Text, common) {
			r := []rune(common)
			common = string(r[:len(r)-1])
		}
	}
	if typed := string(t.text[m.from:t.pos]); len(common) > len(typed) && strings.HasPrefix(common, typed) {
		t.take(common)
		m.typed = state{slices.Clone(t.text), t.pos}
	}
	m.open = true
}

// take puts a candidate in the place of what was typed.
func (t *terminal) take(word string) {
	r := []rune(word)
	t.set(slices.Concat(t.text[:t.menu.from], r, t.text[t.pos:]), t.menu.from+len(r))
}

// close puts in what follows a candidate, unless it stands there.
func (t *terminal) close(c Candidate) {
	if !strings.HasPrefix(string(t.text[t.pos:]), c.End) {
		t.insert(c.End)
	}
}

// menuKey deals with a key while the menu is shown; any other closes it.
func (t *terminal) menuKey(key rune) bool {
	m := &t.menu
	step := 0
	switch key {
	case tab, keyDown, ctrlN:
		step = 1
	case keyBackTab, keyUp, ctrlP:
		step = -1
	case ctrlG, keyEscape, ctrlC:
		t.set(m.typed.text, m.typed.pos)
		m.stop()
		return true
	case enter:
		if m.chosen < 0 {
			m.stop()
			return false
		}
		chosen := m.list[m.chosen]
		m.stop()
		t.close(chosen)
		t.mine = true
		return true
	default:
		m.stop()
		return false
	}
	t.mine = true
	if len(m.list) == 0 {
		return true
	}
	if m.chosen < 0 && step < 0 {
		m.chosen = 0
	}
	m.chosen = (m.chosen + step + len(m.list)) % len(m.list)
	t.take(m.list[m.chosen].Text)
	return true
}

// unique drops the second of what is there twice, and keeps the order.
func unique(list []Candidate) []Candidate { return appended(nil, list) }

func appended(list, more []Candidate) []Candidate {
	seen := map[string]bool{}
	for _, c := range list {
		seen[c.Text] = true
	}
	for _, c := range more {
		if !seen[c.Text] {
			seen[c.Text] = true
			list = append(list, c)
		}
	}
	return list
}
