package modules

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

func csvModule() *lang.Module {
	return lang.NewModule("csv", "reads and writes CSV, as RFC 4180 has it",
		lang.Func(`csv.decode(text, header=True, separator=",") -> list`, `Reads a table: a dict for each row, by the names in the first line.

All values are strings. Each row has as many as the first.

Args:
  text: CSV
  header: False: the first line is a row like the others, and rows are lists
  separator: one character
Example:
  load("@std//csv.star", "csv")
  print(csv.decode("name,port\nweb,80\n")[0]["port"])`, csvDecode),
		lang.Func(`csv.encode(rows, header=None, separator=",") -> string`, `Writes a table from dicts, structs or lists.

Of dicts and structs the first line has the names, in the order that they come up in; what a row does not have is empty, as None is.

Args:
  rows: a list
  header: the names of the columns, and which of them; for rows that are lists the first line
  separator: one character
Example:
  load("@std//csv.star", "csv")
  print(csv.encode([{"name": "web", "port": 80}, {"name": "db"}]))`, csvEncode))
}

func separatorOf(op, s string) (rune, error) {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || n != len(s) || r == '"' || r == '\n' || r == '\r' || r == utf8.RuneError {
		return 0, fault.New(fault.Invalid, "%s: separator is one character, and neither a quote nor the end of a line: %q", op, s)
	}
	return r, nil
}

func csvDecode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var src string
	header, separator := true, ","
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "text", &src, "header?", &header, "separator?", &separator); err != nil {
		return nil, err
	}
	if len(src) > maxInput {
		return nil, fault.New(fault.Invalid, "%s: the text has %d bytes, more than %d", b.Name(), len(src), maxInput)
	}
	comma, err := separatorOf(b.Name(), separator)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(src, "\ufeff")))
	r.Comma = comma
	rows, err := r.ReadAll()
	if err != nil {
		text := err.Error()
		var p *csv.ParseError
		if errors.As(err, &p) {
			text = fmt.Sprintf("line %d: %s", p.Line, p.Err)
		}
		return nil, fault.New(fault.Invalid, "%s: %s", b.Name(), text)
	}
	var names []string
	if header && len(rows) > 0 {
		names, rows = rows[0], rows[1:]
		seen := map[string]bool{}
		for _, n := range names {
			if seen[n] {
				return nil, fault.New(fault.Invalid, "%s: line 1: two columns are called %q", b.Name(), n).WithHint("with header = False rows are lists")
			}
			seen[n] = true
		}
	}
	out := make([]starlark.Value, len(rows))
	for i, row := range rows {
		if names == nil {
			list := make([]starlark.Value, len(row))
			for n, s := range row {
				list[n] = starlark.String(s)
			}
			out[i] = starlark.NewList(list)
			continue
		}
		d := starlark.NewDict(len(row))
		for n, s := range row {
			if err := d.SetKey(starlark.String(names[n]), starlark.String(s)); err != nil {
				return nil, err
			}
		}
		out[i] = d
	}
	return starlark.NewList(out), nil
}

func csvEncode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var rows starlark.Iterable
	var header starlark.Value = starlark.None
	separator := ","
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "rows", &rows, "header?", &header, "separator?", &separator); err != nil {
		return nil, err
	}
	comma, err := separatorOf(b.Name(), separator)
	if err != nil {
		return nil, err
	}
	t, err := plain(b.Name(), rows)
	if err != nil {
		return nil, err
	}
	var names []string
	if header != starlark.None {
		h, err := plain(b.Name(), header)
		if err != nil {
			return nil, err
		}
		if h.kind != list {
			return nil, fault.New(fault.Invalid, "%s: for parameter header: got %s, want list", b.Name(), header.Type())
		}
		for i := range h.items {
			names = append(names, h.items[i].text)
		}
	}
	known := map[string]bool{}
	for i := range t.items {
		for k := range t.items[i].keys {
			if n := t.items[i].keys[k].text; header == starlark.None && !known[n] {
				known[n] = true
				names = append(names, n)
			}
		}
	}
	var out strings.Builder
	w := csv.NewWriter(&out)
	w.Comma = comma
	write := func(row []string) {
		if len(row) == 1 && row[0] == "" {
			// The reader skips an empty line.
			w.Flush()
			out.WriteString("\"\"\n")
			return
		}
		_ = w.Write(row) // a strings.Builder does not fail
	}
	if names != nil {
		write(names)
	}
	for i := range t.items {
		row := &t.items[i]
		var words []string
		var cells []tree
		switch row.kind {
		case list:
			cells = row.items
		case dict:
			cells = make([]tree, len(names))
			at := map[string]int{}
			for k := range row.keys {
				at[row.keys[k].text] = k
			}
			for n, name := range names {
				if k, ok := at[name]; ok {
					cells[n] = row.items[k]
				}
			}
		default:
			return nil, fault.New(fault.Invalid, "%s: row %d is no list, dict or struct", b.Name(), i)
		}
		for n := range cells {
			s, err := cellText(&cells[n])
			if err != nil {
				return nil, fault.New(fault.Invalid, "%s: row %d: %s", b.Name(), i, err)
			}
			words = append(words, s)
		}
		write(words)
	}
	w.Flush()
	return starlark.String(out.String()), nil
}

func cellText(t *tree) (string, error) {
	switch t.kind {
	case list, dict:
		return "", errors.New("a list or a dict is no text")
	case float:
		return number(t.float), nil
	case moment:
		return t.time.Format("2006-01-02T15:04:05.999999999Z07:00"), nil
	case boolean:
		return strings.ToUpper(t.text[:1]) + t.text[1:], nil // as str() has it
	}
	return t.text, nil
}
