package lineedit

import (
	"strings"
	"unicode"
)

// search is Ctrl-R: the newest entry that holds what is typed, then older ones.
type search struct {
	on      bool
	query   string
	at      int
	failing bool
	from    state // where it began
}

func (s *search) begin(t *terminal) {
	*s = search{on: true, at: len(t.history.entries()), from: state{t.text, t.pos}}
}

func (s *search) status() string {
	if s.failing {
		return "history (nothing): " + s.query
	}
	return "history: " + s.query
}

// searchKey deals with a key of the search; any other ends it and keeps what was found.
func (t *terminal) searchKey(key rune) bool {
	s := &t.search
	switch {
	case key == ctrlR:
		s.find(t, s.at-1)
	case key == backspace || key == ctrlH:
		if r := []rune(s.query); len(r) > 0 {
			s.query = string(r[:len(r)-1])
		}
		s.find(t, len(t.history.entries())-1)
	case key == ctrlC || key == ctrlG || key == keyEscape:
		t.set(s.from.text, s.from.pos)
		s.on = false
	case key == keyPaste:
		s.query += t.keys.pasted()
		s.find(t, len(t.history.entries())-1)
	case key < keyPaste && unicode.IsPrint(key):
		s.query += string(key)
		s.find(t, min(s.at, len(t.history.entries())-1))
	default:
		s.on = false
		t.walk = walk{at: s.at, on: key == keyUp || key == keyDown}
		if t.walk.on {
			t.walk.typed = string(s.from.text)
		}
		return false
	}
	t.mine = true
	return true
}

// find shows the newest entry at or before index that holds the query.
func (s *search) find(t *terminal, index int) {
	s.failing = false
	list := t.history.entries()
	if s.query == "" {
		t.set(s.from.text, s.from.pos)
		s.at = len(list)
		return
	}
	for i := index; i >= 0; i-- {
		if n := strings.Index(strings.ToLower(list[i]), strings.ToLower(s.query)); n >= 0 {
			s.at = i
			text := []rune(list[i])
			t.set(text, min(len([]rune(list[i][:min(n, len(list[i]))])), len(text)))
			return
		}
	}
	s.failing = true
}
