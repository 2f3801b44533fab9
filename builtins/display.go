package builtins

import (
	"cmp"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/mattn/go-runewidth"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"nsh/runtime/container"
	"nsh/runtime/image"
)

// View is how a prompt shows values.
type View struct {
	Wide bool      // all fields, nothing cut
	Cols int       // of the screen; 0: no bound
	Now  time.Time // what ages are counted from; zero: the time it is

	depth int // of the value in the one that is shown
}

// maxRows bounds a table that nobody asked for line by line.
const maxRows = 1000

// Display is how a prompt shows a value: several of a kind as a table, one as a
// record with a line a field, a dict as rows, sizes and times for people. It calls
// nothing that could block.
func (w View) Display(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.String:
		if strings.Contains(string(v), "\n") {
			return strings.TrimRight(string(v), "\n") // a text is read, not studied
		}
		return v.String()
	case *resultValue:
		if v.r.planned == "" && v.r.Code == 0 && v.r.Stderr == "" && v.r.Stdout != "" && !w.Wide {
			return strings.TrimRight(v.r.Stdout, "\n")
		}
	case starlark.IterableMapping:
		return w.dict(v)
	case *starlark.List, starlark.Tuple, *starlark.Set:
		if text := w.list(collect(v.(starlark.Iterable))); text != "" {
			return text
		}
		return v.String()
	}
	if fields := w.fields(v, w.Wide); fields != nil {
		return w.rows(fields)
	}
	return v.String()
}

// cell is one field of a value, by the name that a script has it under.
type cell struct {
	name string
	text string
}

// short are the fields of the objects that a list and a record show unless all are
// asked for.
var short = map[reflect.Type]struct{ list, record string }{
	reflect.TypeFor[*Container](): {"name image status ports created", "name image status command ports networks mounts created id"},
	reflect.TypeFor[*Image]():     {"name id created size", "name id created size platform labels"},
	reflect.TypeFor[*Volume]():    {"name created labels", "name mountpoint created size labels containers"},
	reflect.TypeFor[*Network]():   {"name driver subnets internal", "name id driver subnets internal options labels containers created"},
}

// fields gives the fields of a value with such, nil for any other.
func (w View) fields(v starlark.Value, all bool) []cell {
	has, ok := v.(starlark.HasAttrs)
	if !ok {
		return nil
	}
	var names []string
	switch v := v.(type) {
	case *Container, *Image, *Volume, *Network:
		names = strings.Fields(short[reflect.TypeOf(v)].record)
		if all {
			names, _ = nouns[v.Type()]()
		}
	case *resultValue:
		names = []string{"code", "stdout", "stderr"}
	case *record:
		names = fieldsOf(v.v.Type()).order
	case *portValue:
		return nil
	case *starlarkstruct.Struct:
		names = v.AttrNames()
	default:
		return nil
	}
	var out []cell
	for _, n := range names {
		text := w.field(has, n)
		if _, isRecord := v.(*record); isRecord && !w.Wide && text == "0" {
			text = "" // nothing is known of it
		}
		if text != "" || all {
			out = append(out, cell{n, text})
		}
	}
	return out
}

// field is one field as text. What a plan cannot know is a question mark.
func (w View) field(v starlark.HasAttrs, name string) string {
	if c, ok := v.(*Container); ok && name == "command" {
		return ellipsis(strings.Join(c.value.Args, " "), 60)
	}
	x, err := v.Attr(name)
	if err != nil {
		return "?"
	}
	if x == nil {
		return ""
	}
	if c, ok := v.(*Container); ok && !w.Wide {
		switch name {
		case "id":
			return c.value.ShortID()
		case "ports":
			return portsText(openPorts(c.value))
		}
	}
	if name == "id" && !w.Wide {
		switch v := v.(type) {
		case *Image:
			return image.ShortID(v.value.ID)
		case *Network:
			return container.ShortID(v.value.ID)
		}
	}
	return w.text(name, x)
}

// maxDepth is how far a table looks into a value: one may hold itself. What lies deeper
// is as print has it, which knows of that.
const maxDepth = 3

// text is a value inside of a table: on one line.
func (w View) text(name string, v starlark.Value) string {
	if w.depth++; w.depth > maxDepth {
		return visible(v.String())
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return ""
	case starlark.String:
		return strings.ReplaceAll(strings.TrimRight(string(v), "\n"), "\n", "⏎")
	case starlark.Int:
		if n, ok := v.Int64(); ok && isSize(name) {
			return units.HumanSize(float64(n))
		}
	case startime.Time:
		t := time.Time(v)
		if w.Wide {
			return t.Format(time.RFC3339)
		}
		now := cmp.Or(w.Now, time.Now())
		return units.HumanDuration(now.Sub(t)) + " ago"
	case startime.Duration:
		return time.Duration(v).Round(time.Millisecond).String()
	case starlark.IterableMapping:
		var parts []string
		for _, kv := range v.Items() {
			parts = append(parts, w.text("", kv[0])+"="+w.text("", kv[1]))
		}
		sort.Strings(parts)
		return strings.Join(parts, ", ")
	case *starlark.List, starlark.Tuple, *starlark.Set:
		var parts []string
		for _, x := range collect(v.(starlark.Iterable)) {
			parts = append(parts, w.text(name, x))
		}
		return strings.Join(parts, ", ")
	case *Container:
		return cmp.Or(v.value.Name, v.value.ShortID())
	case *Image:
		return v.ref()
	case *Volume:
		return v.value.Name
	case *Network:
		return v.value.Name
	case *portValue:
		return v.text
	case *record:
		if v.text != "" {
			return v.text
		}
		// A thing in a thing is its name, when it has one.
		for _, n := range []string{"name", "network"} {
			if x, err := v.Attr(n); err == nil && x != nil {
				return w.text(n, x)
			}
		}
	}
	return v.String()
}

// isSize tells whether a number of that name is one of bytes.
func isSize(name string) bool {
	switch name {
	case "size", "content", "writable", "virtual", "memory", "mem_total", "shm_size", "memory_swap", "memory_reservation", "total", "free", "used":
		return true
	}
	return false
}

// list is a table of things of one kind, "" for a list of anything else.
func (w View) list(items []starlark.Value) string {
	if len(items) == 0 {
		return ""
	}
	var columns []string
	cells := make([][]cell, 0, len(items))
	for _, item := range items {
		if item.Type() != items[0].Type() {
			return ""
		}
		var row []cell
		if d, ok := item.(starlark.IterableMapping); ok {
			for _, kv := range d.Items() {
				key, ok := starlark.AsString(kv[0])
				if !ok {
					return ""
				}
				row = append(row, cell{key, w.text(key, kv[1])})
			}
		} else {
			row = w.columns(item)
		}
		if row == nil {
			return ""
		}
		for _, c := range row {
			if !contains(columns, c.name) {
				columns = append(columns, c.name)
			}
		}
		cells = append(cells, row)
	}
	table := [][]string{make([]string, len(columns))}
	for i, c := range columns {
		table[0][i] = strings.ToUpper(strings.ReplaceAll(c, "_", " "))
	}
	for _, row := range cells[:min(len(cells), maxRows)] {
		line := make([]string, len(columns))
		for _, c := range row {
			for i, name := range columns {
				if name == c.name {
					line[i] = c.text
				}
			}
		}
		table = append(table, line)
	}
	text := w.align(dropEmpty(table))
	if more := len(cells) - maxRows; more > 0 {
		text += fmt.Sprintf("\n… %d more", more)
	}
	return text
}

// columns are the fields of a thing in a list.
func (w View) columns(v starlark.Value) []cell {
	s, ok := short[reflect.TypeOf(v)]
	if !ok || w.Wide {
		return w.fields(v, true)
	}
	var out []cell
	for _, n := range strings.Fields(s.list) {
		out = append(out, cell{n, w.field(v.(starlark.HasAttrs), n)})
	}
	return out
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// dropEmpty takes the columns away that no row has anything in.
func dropEmpty(table [][]string) [][]string {
	keep := make([]bool, len(table[0]))
	for _, row := range table[1:] {
		for i, text := range row {
			keep[i] = keep[i] || text != ""
		}
	}
	out := make([][]string, len(table))
	for r, row := range table {
		for i, text := range row {
			if keep[i] {
				out[r] = append(out[r], text)
			}
		}
	}
	return out
}

// dict is a line a key.
func (w View) dict(d starlark.IterableMapping) string {
	items := d.Items()
	if len(items) == 0 {
		return d.String()
	}
	rows := make([]cell, len(items))
	for i, kv := range items {
		key := w.text("", kv[0])
		rows[i] = cell{key, w.text(key, kv[1])}
	}
	return w.rows(rows)
}

func (w View) rows(rows []cell) string {
	table := make([][]string, len(rows))
	for i, r := range rows {
		table[i] = []string{r.name, r.text}
	}
	return w.align(table)
}

// align sets columns three blanks apart, as docker does, and cuts what is wider than
// the screen. What steers a terminal is not passed on.
func (w View) align(table [][]string) string {
	var widths []int
	for _, row := range table {
		for i := range row {
			row[i] = visible(row[i])
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
	}
	var lines []string
	for _, row := range table {
		var b strings.Builder
		for i, text := range row {
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(text)+3))
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if w.Cols > 0 && !w.Wide && runewidth.StringWidth(line) > w.Cols {
			line = runewidth.Truncate(line, w.Cols, "…")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, s)
}

// ShellWords are the words that a variable stands for on a command line: a
// container is its ID, a list its elements.
func ShellWords(v starlark.Value) ([]string, bool) {
	switch v := v.(type) {
	case starlark.String:
		return []string{string(v)}, true
	case starlark.Int, starlark.Float, starlark.Bool:
		return []string{v.String()}, true
	case *Container:
		return []string{v.value.ID}, true
	case *Image:
		return []string{v.value.Name}, true
	case *Volume:
		return []string{v.value.Name}, true
	case *Network:
		return []string{v.value.ID}, true
	case starlark.IterableMapping:
		return nil, false
	case starlark.Iterable:
		var out []string
		it := v.Iterate()
		defer it.Done()
		for x := starlark.Value(nil); it.Next(&x); {
			w, ok := ShellWords(x)
			if !ok {
				return nil, false
			}
			out = append(out, w...)
		}
		return out, true
	}
	return nil, false
}

// VerbWords are the words that a command line can begin with.
func VerbWords() []string { return verbWords() }
