package modules

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// kind of a tree's node.
type kind byte

const (
	null kind = iota
	boolean
	integer
	float
	text
	moment
	list
	dict
)

// tree is a Starlark value as the formats see it: plain data, known to be of a bounded
// depth and size.
type tree struct {
	kind  kind
	text  string // of scalars, also of numbers
	float float64
	time  time.Time
	keys  []tree // of a dict
	items []tree // of a list, and the values of a dict
}

// plain makes the tree of a value. Structs and the records of verbs are dicts of their
// fields; their methods are left out.
func plain(op string, v starlark.Value) (*tree, error) {
	left := maxValues
	var out tree
	if err := out.set(v, 0, &left); err != nil {
		return nil, fault.New(fault.Invalid, "%s: %s", op, err)
	}
	return &out, nil
}

func (t *tree) set(v starlark.Value, depth int, left *int) error {
	if depth > maxDepth {
		return fmt.Errorf("lists and dicts are more than %d deep in each other", maxDepth)
	}
	if *left--; *left < 0 {
		return fmt.Errorf("there are more than %d values", maxValues)
	}
	switch v := v.(type) {
	case starlark.NoneType:
	case starlark.Bool:
		t.kind, t.text = boolean, strconv.FormatBool(bool(v))
	case starlark.Int:
		t.kind, t.text = integer, v.String()
	case starlark.Float:
		t.kind, t.float = float, float64(v)
	case starlark.String:
		t.kind, t.text = text, string(v)
	case starlark.Bytes:
		t.kind, t.text = text, string(v)
	case startime.Time:
		t.kind, t.time = moment, time.Time(v)
	case startime.Duration:
		t.kind, t.text = text, time.Duration(v).String()
	case starlark.IterableMapping:
		t.kind = dict
		for _, kv := range v.Items() {
			var k, x tree
			if err := k.set(kv[0], depth+1, left); err != nil {
				return err
			}
			if err := x.set(kv[1], depth+1, left); err != nil {
				return err
			}
			t.keys, t.items = append(t.keys, k), append(t.items, x)
		}
	case starlark.Iterable:
		t.kind = list
		for e := range starlark.Elements(v) {
			var x tree
			if err := x.set(e, depth+1, left); err != nil {
				return err
			}
			t.items = append(t.items, x)
		}
	case starlark.Callable:
		return fmt.Errorf("a value of type %s is no data", v.Type())
	case starlark.HasAttrs:
		t.kind = dict
		for _, name := range v.AttrNames() {
			a, err := v.Attr(name)
			if err != nil {
				return err
			}
			if _, method := a.(starlark.Callable); method || a == nil {
				continue
			}
			var x tree
			if err := x.set(a, depth+1, left); err != nil {
				return err
			}
			t.keys, t.items = append(t.keys, tree{kind: text, text: name}), append(t.items, x)
		}
	default:
		return fmt.Errorf("a value of type %s is no data", v.Type())
	}
	return nil
}

// number is a float as all formats can read it, except for those that are none: it
// keeps its point, so that it does not come back as an int.
func number(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		s = strconv.FormatFloat(f, 'f', 1, 64)
	}
	return s
}

// makeInt reads an int as the formats write it: 0x1f, 0o17, 1_000.
func makeInt(s string) (starlark.Int, bool) {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		return starlark.Int{}, false
	}
	return starlark.MakeBigInt(n), true
}
