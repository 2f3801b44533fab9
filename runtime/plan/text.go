package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Summary counts changes by what becomes of the thing.
type Summary struct {
	Add    int `json:"add"`
	Change int `json:"change"`
	Remove int `json:"remove"`
	Do     int `json:"do"` // what is done without a thing being made or lost: exec, host programs
}

// sign tells what becomes of the thing.
func (c Change) sign() byte {
	switch c.Action {
	case "create", "run", "pull", "load", "assemble", "tag", "write", "make directory":
		return '+'
	case "remove", "untag":
		return '-'
	case "exec", "kill":
		return '>'
	}
	if c.Kind == "host" && c.Action == "run" {
		return '>'
	}
	return '~'
}

// Summarize counts.
func Summarize(changes []Change) Summary {
	var s Summary
	for _, c := range changes {
		switch c.sign() {
		case '+':
			s.Add++
		case '-':
			s.Remove++
		case '>':
			s.Do++
		default:
			s.Change++
		}
	}
	return s
}

func (s Summary) String() string {
	if s == (Summary{}) {
		return "No changes: all is as it is asked for."
	}
	var parts []string
	for _, x := range []struct {
		n    int
		word string
	}{{s.Add, "to add"}, {s.Change, "to change"}, {s.Remove, "to remove"}, {s.Do, "to do"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.word))
		}
	}
	return "Plan: " + strings.Join(parts, ", ") + ". Nothing was touched."
}

// Text is a plan for people: a line a change, the settings below it.
func Text(changes []Change) string {
	var b strings.Builder
	w := 0
	for _, c := range changes {
		w = max(w, len(c.Kind))
	}
	for _, c := range changes {
		fmt.Fprintf(&b, "%c %-*s %s  %s", c.sign(), w, c.Kind, clean(c.Name), c.Action)
		if c.Reason != "" {
			fmt.Fprintf(&b, " (%s)", clean(c.Reason))
		}
		b.WriteByte('\n')
		n := 0
		for _, f := range c.Fields {
			n = max(n, len(f.Name))
		}
		for _, f := range c.Fields {
			text := clean(f.To)
			switch {
			case f.From != "" && f.To != "":
				text = clean(f.From) + " → " + clean(f.To)
			case f.From != "":
				text = clean(f.From) + " → not set"
			}
			fmt.Fprintf(&b, "    %-*s  %s\n", n, clean(f.Name), text)
		}
	}
	if len(changes) > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintln(&b, Summarize(changes))
	return b.String()
}

// clean keeps names that come from elsewhere from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Docker is a plan as lines that docker takes. What docker has no line for is a comment.
func Docker(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		switch {
		case c.covered && c.Command == "":
		case c.Command != "":
			fmt.Fprintln(&b, c.Command)
		default:
			fmt.Fprintf(&b, "# %s %s: %s\n", c.Kind, clean(c.Name), c.Action)
		}
	}
	return b.String()
}

// JSON is a plan for programs: {"changes": […], "summary": {…}, "complete": true}.
// A plan that ended before its script did is not complete.
func JSON(changes []Change, complete bool) ([]byte, error) {
	if changes == nil {
		changes = []Change{}
	}
	return json.MarshalIndent(struct {
		Changes  []Change `json:"changes"`
		Summary  Summary  `json:"summary"`
		Complete bool     `json:"complete"`
	}{changes, Summarize(changes), complete}, "", "  ")
}
