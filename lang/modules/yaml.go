package modules

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.yaml.in/yaml/v3"

	"nsh/lang"
	"nsh/runtime/fault"
)

func yamlModule() *lang.Module {
	return lang.NewModule("yaml", "reads and writes YAML",
		lang.Func(`yaml.decode(text) -> value`, `Reads the one document of a text.

Mappings become dicts in the order of the text, whole numbers ints, timestamps strings. Aliases are copies, and << is merged.

Args:
  text: YAML
Example:
  load("@std//yaml.star", "yaml")
  print(yaml.decode("web:\n  ports: [80, 443]")["web"]["ports"])`, func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			docs, err := yamlDecode(b.Name(), args, kwargs)
			switch {
			case err != nil:
				return nil, err
			case len(docs) == 0:
				return starlark.None, nil
			case len(docs) > 1:
				return nil, fault.New(fault.Invalid, "yaml.decode: the text has %d documents", len(docs)).WithHint("yaml.decode_all gives a list of them")
			}
			return docs[0], nil
		}),
		lang.Func(`yaml.decode_all(text) -> list`, `Reads all documents of a text, which lines of --- part.

Args:
  text: YAML
Example:
  load("@std//yaml.star", "yaml")
  print(yaml.decode_all("a: 1\n---\nb: 2"))`, func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			docs, err := yamlDecode(b.Name(), args, kwargs)
			return starlark.NewList(docs), err
		}),
		lang.Func(`yaml.encode(value, indent=2) -> string`, `Writes a value as YAML that reads back as the same.

Dicts keep their order. A struct is written as a dict, a tuple and a set as a list. What is no data, such as a function, is a failure.

Args:
  value: what is written
  indent: how many spaces a level is set in, from 2 to 9
Example:
  load("@std//yaml.star", "yaml")
  print(yaml.encode({"services": {"web": {"image": "nginx", "ports": ["80:80"]}}}))`, func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return yamlEncode(b.Name(), "value", args, kwargs, func(v starlark.Value) ([]starlark.Value, error) { return []starlark.Value{v}, nil })
		}),
		lang.Func(`yaml.encode_all(values, indent=2) -> string`, `Writes a document for each value, with lines of --- between them.

Args:
  values: a list
  indent: how many spaces a level is set in, from 2 to 9
Example:
  load("@std//yaml.star", "yaml")
  print(yaml.encode_all([{"a": 1}, {"b": 2}]))`, func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return yamlEncode(b.Name(), "values", args, kwargs, func(v starlark.Value) ([]starlark.Value, error) {
				l, ok := v.(starlark.Iterable)
				if !ok {
					return nil, fault.New(fault.Invalid, "yaml.encode_all: for parameter values: got %s, want list", v.Type())
				}
				var out []starlark.Value
				for x := range starlark.Elements(l) {
					out = append(out, x)
				}
				return out, nil
			})
		}))
}

func yamlDecode(op string, args starlark.Tuple, kwargs []starlark.Tuple) (docs []starlark.Value, err error) {
	var src string
	if err := lang.UnpackArgs(op, args, kwargs, "text", &src); err != nil {
		return nil, err
	}
	if len(src) > maxInput {
		return nil, fault.New(fault.Invalid, "%s: the text has %d bytes, more than %d", op, len(src), maxInput)
	}
	// The library reports mistakes of its own as panics.
	defer func() {
		if what := recover(); what != nil {
			docs, err = nil, fault.New(fault.Invalid, "%s: the text cannot be read: %v", op, what)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(src))
	r := yamlReader{left: maxValues}
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %s", op, yamlError(src, err))
		}
		v, err := r.value(&n, 0)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %s", op, err)
		}
		docs = append(docs, v)
	}
}

// yamlError is the library's message with the right line: it counts from 0 what its
// parser finds, from 1 what its scanner does, and leaves the first line out.
func yamlError(src string, err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, found := 0, text
	if n, err := fmt.Sscanf(text, "line %d:", &line); n == 1 && err == nil {
		_, found, _ = strings.Cut(text, ": ")
	}
	what, ok := strings.CutPrefix(found, "did not find expected ")
	if !ok {
		return text
	}
	switch what {
	case "node content", "key", "'-' indicator", "',' or ']'", "',' or '}'", "<document start>":
		last := 1 + strings.Count(strings.TrimRight(src, "\n"), "\n") // for it the end is a line more
		return fmt.Sprintf("line %d: %s", min(line+1, last), found)
	}
	return text
}

// yamlReader makes values of nodes. It follows aliases itself, and counts what they
// unfold to.
type yamlReader struct {
	left int
	open []*yaml.Node // the anchors that we are in
}

func (r *yamlReader) value(n *yaml.Node, depth int) (starlark.Value, error) {
	bad := func(format string, a ...any) (starlark.Value, error) {
		return nil, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, a...))
	}
	if depth > maxDepth {
		return bad("lists and mappings are more than %d deep in each other", maxDepth)
	}
	if r.left--; r.left < 0 {
		return bad("there are more than %d values", maxValues)
	}
	switch n.Kind {
	case 0:
		return starlark.None, nil
	case yaml.DocumentNode:
		return r.value(n.Content[0], depth)
	case yaml.AliasNode:
		for _, o := range r.open {
			if o == n.Alias {
				return bad("the anchor %q has itself as a part", n.Value)
			}
		}
		return r.value(n.Alias, depth)
	case yaml.SequenceNode, yaml.MappingNode:
		if n.Anchor != "" {
			r.open = append(r.open, n)
			defer func() { r.open = r.open[:len(r.open)-1] }()
		}
		if tag := n.ShortTag(); tag != "!!seq" && tag != "!!map" && tag != "!!omap" && tag != "!!set" {
			return bad("the tag %s is not known", tag)
		}
		if n.Kind == yaml.SequenceNode {
			out := make([]starlark.Value, len(n.Content))
			for i, c := range n.Content {
				v, err := r.value(c, depth+1)
				if err != nil {
					return nil, err
				}
				out[i] = v
			}
			return starlark.NewList(out), nil
		}
		return r.mapping(n, depth)
	case yaml.ScalarNode:
		v, err := yamlScalar(n)
		if err != nil {
			return bad("%s", err)
		}
		return v, nil
	}
	return bad("a node of kind %d", n.Kind)
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (starlark.Value, error) {
	out := starlark.NewDict(len(n.Content) / 2)
	lines := map[string]int{} // of the keys, as text
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merged = append(merged, n.Content[i+1])
			continue
		}
		key, err := r.value(k, depth+1)
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case *starlark.List, *starlark.Dict:
			return nil, fmt.Errorf("line %d: a key cannot be a %s", k.Line, key.Type())
		}
		if _, has, _ := out.Get(key); has {
			return nil, fmt.Errorf("line %d: the key %s is there already, in line %d", k.Line, key, lines[key.String()])
		}
		lines[key.String()] = k.Line
		v, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if err := out.SetKey(key, v); err != nil {
			return nil, fmt.Errorf("line %d: %w", k.Line, err)
		}
	}
	for _, m := range merged {
		from := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			from = m.Content
		}
		for _, f := range from {
			v, err := r.value(f, depth+1)
			if err != nil {
				return nil, err
			}
			d, ok := v.(*starlark.Dict)
			if !ok {
				return nil, fmt.Errorf("line %d: << needs a mapping, or a list of them", f.Line)
			}
			// What stands in the mapping itself, or was merged before, wins.
			for _, kv := range d.Items() {
				if _, has, _ := out.Get(kv[0]); !has {
					_ = out.SetKey(kv[0], kv[1])
				}
			}
		}
	}
	return out, nil
}

func yamlScalar(n *yaml.Node) (starlark.Value, error) {
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return starlark.None, nil
	case "!!str", "!!timestamp", "!!merge":
		return starlark.String(n.Value), nil
	case "!!bool":
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on", "y":
			return starlark.True, nil
		case "false", "no", "off", "n":
			return starlark.False, nil
		}
		return nil, fmt.Errorf("%q is no bool", n.Value)
	case "!!int":
		s := strings.TrimPrefix(n.Value, "+")
		if i, ok := makeInt(s); ok {
			return i, nil
		}
		return nil, fmt.Errorf("%q is no int", n.Value)
	case "!!float":
		s := strings.ReplaceAll(n.Value, "_", "")
		// What does not fit into 64 bits is a float for the library.
		if i, ok := makeInt(strings.TrimPrefix(s, "+")); ok && n.Style == 0 && strings.Trim(s, "+-0123456789") == "" {
			return i, nil
		}
		switch strings.ToLower(strings.TrimLeft(s, "+-")) {
		case ".inf":
			if strings.HasPrefix(s, "-") {
				return starlark.Float(math.Inf(-1)), nil
			}
			return starlark.Float(math.Inf(1)), nil
		case ".nan":
			return starlark.Float(math.NaN()), nil
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no float", n.Value)
		}
		return starlark.Float(f), nil
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			return nil, fmt.Errorf("!!binary: %w", err)
		}
		return starlark.Bytes(data), nil
	default:
		return nil, fmt.Errorf("the tag %s is not known", tag)
	}
}

func yamlEncode(op, param string, args starlark.Tuple, kwargs []starlark.Tuple, docs func(starlark.Value) ([]starlark.Value, error)) (out starlark.Value, err error) {
	var v starlark.Value
	indent := 2
	if err := lang.UnpackArgs(op, args, kwargs, param, &v, "indent?", &indent); err != nil {
		return nil, err
	}
	if indent < 2 || indent > 9 {
		return nil, fault.New(fault.Invalid, "%s: indent is from 2 to 9, not %d", op, indent)
	}
	list, err := docs(v)
	if err != nil {
		return nil, err
	}
	defer func() {
		if what := recover(); what != nil {
			out, err = nil, fault.New(fault.Invalid, "%s: the value cannot be written: %v", op, what)
		}
	}()
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(indent)
	for _, d := range list {
		t, err := plain(op, d)
		if err != nil {
			return nil, err
		}
		if err := enc.Encode(yamlNode(t)); err != nil {
			return nil, fault.New(fault.Invalid, "%s: %s", op, strings.TrimPrefix(err.Error(), "yaml: "))
		}
	}
	if err := enc.Close(); err != nil {
		return nil, fault.New(fault.Invalid, "%s: %s", op, err)
	}
	return starlark.String(b.String()), nil
}

func yamlNode(t *tree) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: t.text}
	switch t.kind {
	case null:
		n.Tag, n.Value = "!!null", "null"
	case boolean:
		n.Tag = "!!bool"
	case integer:
		n.Tag = "!!int"
		if len(t.text) > 18 {
			n.Tag = "" // the library would not take it for one
		}
	case float:
		n.Tag, n.Value = "!!float", number(t.float)
		switch {
		case math.IsNaN(t.float):
			n.Value = ".nan"
		case math.IsInf(t.float, 1):
			n.Value = ".inf"
		case math.IsInf(t.float, -1):
			n.Value = "-.inf"
		}
	case text:
		n.SetString(t.text)
		if n.Style == 0 && yamlDoubtful(t.text) {
			n.Style = yaml.DoubleQuotedStyle
		}
	case moment:
		n.Tag, n.Value = "!!timestamp", t.time.Format("2006-01-02T15:04:05.999999999Z07:00")
	case list:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for i := range t.items {
			n.Content = append(n.Content, yamlNode(&t.items[i]))
		}
	case dict:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		for i := range t.items {
			n.Content = append(n.Content, yamlNode(&t.keys[i]), yamlNode(&t.items[i]))
		}
	}
	return n
}

// yamlDoubtful tells whether older readers would not take a plain word for a string:
// the bools of YAML 1.1 and its numbers in base 60, which ports look like.
func yamlDoubtful(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "<<", "=":
		return true
	}
	return strings.Contains(s, ":") && strings.Trim(s, "+-0123456789:._") == ""
}
