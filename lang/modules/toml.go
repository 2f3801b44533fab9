package modules

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

func tomlModule() *lang.Module {
	return lang.NewModule("toml", "reads and writes TOML",
		lang.Func(`toml.decode(text) -> dict`, `Reads TOML 1.0.

Tables become dicts in the order of the text. A time with an offset is a time.Time, one without and a date are strings.

Args:
  text: TOML
Example:
  load("@std//toml.star", "toml")
  print(toml.decode("[web]\nports = [80, 443]")["web"]["ports"])`, tomlDecode),
		lang.Func(`toml.encode(value) -> string`, `Writes a dict as TOML that reads back as the same.

Keys keep their order, with those that are tables behind the others. TOML has no None: such keys are left out, in a list it is a failure.

Args:
  value: a dict with strings as keys, or a struct
Example:
  load("@std//toml.star", "toml")
  print(toml.encode({"title": "x", "web": {"ports": [80, 443]}}))`, tomlEncode))
}

func tomlDecode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (out starlark.Value, err error) {
	var src string
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "text", &src); err != nil {
		return nil, err
	}
	if len(src) > maxInput {
		return nil, fault.New(fault.Invalid, "%s: the text has %d bytes, more than %d", b.Name(), len(src), maxInput)
	}
	defer func() {
		if what := recover(); what != nil {
			out, err = nil, fault.New(fault.Invalid, "%s: the text cannot be read: %v", b.Name(), what)
		}
	}()
	order, err := tomlOrderOf([]byte(src))
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s: %s", b.Name(), err)
	}
	var m map[string]any
	if err := toml.Unmarshal([]byte(src), &m); err != nil {
		text := strings.TrimPrefix(err.Error(), "toml: ")
		var d *toml.DecodeError
		if errors.As(err, &d) {
			line, _ := d.Position()
			text = fmt.Sprintf("line %d: %s", line, text)
		}
		return nil, fault.New(fault.Invalid, "%s: %s", b.Name(), text)
	}
	return tomlValue(m, order, 0)
}

// tomlOrder is in which order the keys of a table stand in the text: the library
// gives maps.
type tomlOrder struct {
	keys  []string
	kids  map[string]*tomlOrder
	items []*tomlOrder // of an array
}

func (o *tomlOrder) kid(key string) *tomlOrder {
	if o.kids[key] == nil {
		if o.kids == nil {
			o.kids = map[string]*tomlOrder{}
		}
		o.kids[key] = &tomlOrder{}
		o.keys = append(o.keys, key)
	}
	return o.kids[key]
}

// last is the table that a header goes on in: of an array of tables the last.
func (o *tomlOrder) last() *tomlOrder {
	if n := len(o.items); n > 0 {
		return o.items[n-1]
	}
	return o
}

func (o *tomlOrder) walk(it unstable.Iterator) (*tomlOrder, error) {
	at := o
	for n := 0; it.Next(); n++ {
		if n >= maxDepth {
			return nil, fmt.Errorf("a key has more than %d parts", maxDepth)
		}
		at = at.last().kid(string(it.Node().Data))
	}
	return at, nil
}

func (o *tomlOrder) value(n *unstable.Node) error {
	switch n.Kind {
	case unstable.Array:
		for it := n.Children(); it.Next(); {
			item := &tomlOrder{}
			o.items = append(o.items, item)
			if err := item.value(it.Node()); err != nil {
				return err
			}
		}
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			at, err := o.walk(it.Node().Key())
			if err != nil {
				return err
			}
			if err := at.value(it.Node().Value()); err != nil {
				return err
			}
		}
	}
	return nil
}

// tomlOrderOf reads the keys. Of a text that is no TOML it gives what it has got so far:
// the library says better what is wrong.
func tomlOrderOf(src []byte) (*tomlOrder, error) {
	root := &tomlOrder{}
	table := root
	var p unstable.Parser
	p.Reset(src)
	for p.NextExpression() {
		e := p.Expression()
		var err error
		switch e.Kind {
		case unstable.Table:
			if table, err = root.walk(e.Key()); err == nil {
				table = table.last()
			}
		case unstable.ArrayTable:
			if table, err = root.walk(e.Key()); err == nil {
				table.items = append(table.items, &tomlOrder{})
				table = table.last()
			}
		case unstable.KeyValue:
			var at *tomlOrder
			if at, err = table.walk(e.Key()); err == nil {
				err = at.value(e.Value())
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return root, nil
}

func tomlValue(v any, o *tomlOrder, depth int) (starlark.Value, error) {
	if depth > maxDepth {
		return nil, fault.New(fault.Invalid, "toml.decode: arrays and tables are more than %d deep in each other", maxDepth)
	}
	if o == nil {
		o = &tomlOrder{}
	}
	switch v := v.(type) {
	case map[string]any:
		out := starlark.NewDict(len(v))
		for _, k := range o.keys {
			x, err := tomlValue(v[k], o.kids[k], depth+1)
			if err != nil {
				return nil, err
			}
			if err := out.SetKey(starlark.String(k), x); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]starlark.Value, len(v))
		for i, x := range v {
			var item *tomlOrder
			if i < len(o.items) {
				item = o.items[i]
			}
			s, err := tomlValue(x, item, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = s
		}
		return starlark.NewList(out), nil
	case string:
		return starlark.String(v), nil
	case int64:
		return starlark.MakeInt64(v), nil
	case float64:
		return starlark.Float(v), nil
	case bool:
		return starlark.Bool(v), nil
	case time.Time:
		return startime.Time(v), nil
	case fmt.Stringer: // LocalDate and its like
		return starlark.String(v.String()), nil
	}
	return nil, fault.New(fault.Internal, "toml.decode: a value of type %T", v)
}

func tomlEncode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "value", &v); err != nil {
		return nil, err
	}
	t, err := plain(b.Name(), v)
	if err != nil {
		return nil, err
	}
	if t.kind != dict {
		return nil, fault.New(fault.Invalid, "toml.encode: got %s, want dict: TOML is a table", v.Type())
	}
	var w tomlWriter
	if err := w.table(nil, t); err != nil {
		return nil, fault.New(fault.Invalid, "toml.encode: %s", err)
	}
	return starlark.String(w.b.String()), nil
}

// tomlWriter writes a tree. The library would sort the keys.
type tomlWriter struct{ b strings.Builder }

func (w *tomlWriter) table(path []string, t *tree) error {
	seen := map[string]bool{}
	for i := range t.items {
		k, v := &t.keys[i], &t.items[i]
		if k.kind != text {
			return fmt.Errorf("a key is no string: %s", k.text)
		}
		if seen[k.text] {
			return fmt.Errorf("the key %q is there twice", k.text)
		}
		seen[k.text] = true
		if v.kind == null || tomlTable(v) || tomlTables(v) {
			continue
		}
		key, err := tomlScalar(k)
		if err != nil {
			return err
		}
		s, err := tomlInline(v)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(append(path, tomlKey(k.text, key)), "."), err)
		}
		fmt.Fprintf(&w.b, "%s = %s\n", tomlKey(k.text, key), s)
	}
	for i := range t.items {
		k, v := &t.keys[i], &t.items[i]
		key, err := tomlScalar(k)
		if err != nil {
			return err
		}
		at := append(path[:len(path):len(path)], tomlKey(k.text, key))
		switch {
		case tomlTable(v):
			w.header("[%s]", at)
			if err := w.table(at, v); err != nil {
				return err
			}
		case tomlTables(v):
			for n := range v.items {
				w.header("[[%s]]", at)
				if err := w.table(at, &v.items[n]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *tomlWriter) header(format string, path []string) {
	if w.b.Len() > 0 {
		w.b.WriteByte('\n')
	}
	fmt.Fprintf(&w.b, format+"\n", strings.Join(path, "."))
}

func tomlTable(t *tree) bool { return t.kind == dict }

// tomlTables tells an array of tables, which has headers, from another.
func tomlTables(t *tree) bool {
	if t.kind != list || len(t.items) == 0 {
		return false
	}
	for i := range t.items {
		if t.items[i].kind != dict {
			return false
		}
	}
	return true
}

func tomlInline(t *tree) (string, error) {
	switch t.kind {
	case null:
		return "", errors.New("TOML has no None")
	case list:
		words := make([]string, len(t.items))
		for i := range t.items {
			var err error
			if words[i], err = tomlInline(&t.items[i]); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(words, ", ") + "]", nil
	case dict:
		var words []string
		for i := range t.items {
			k, v := &t.keys[i], &t.items[i]
			if k.kind != text {
				return "", fmt.Errorf("a key is no string: %s", k.text)
			}
			if v.kind == null {
				continue
			}
			key, err := tomlScalar(k)
			if err != nil {
				return "", err
			}
			s, err := tomlInline(v)
			if err != nil {
				return "", err
			}
			words = append(words, tomlKey(k.text, key)+" = "+s)
		}
		return "{" + strings.Join(words, ", ") + "}", nil
	}
	return tomlScalar(t)
}

func tomlScalar(t *tree) (string, error) {
	switch t.kind {
	case boolean:
		return t.text, nil
	case integer:
		if n, ok := makeInt(t.text); ok {
			if _, ok := n.Int64(); ok {
				return t.text, nil
			}
		}
		return "", fmt.Errorf("%s does not fit into 64 bits", t.text)
	case float:
		switch {
		case math.IsNaN(t.float):
			return "nan", nil
		case math.IsInf(t.float, 1):
			return "inf", nil
		case math.IsInf(t.float, -1):
			return "-inf", nil
		}
		return number(t.float), nil
	case moment:
		return t.time.Format(time.RFC3339Nano), nil
	}
	var b strings.Builder
	b.WriteByte('"')
	if s := strings.ToValidUTF8(t.text, ""); s != t.text {
		return "", errors.New("a string is no UTF-8")
	}
	for _, r := range t.text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}

// tomlKey leaves the quotes off where a key needs none.
func tomlKey(bare, quoted string) string {
	if bare == "" {
		return quoted
	}
	for _, r := range bare {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return quoted
		}
	}
	return bare
}
