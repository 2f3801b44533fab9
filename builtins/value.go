package builtins

import (
	"cmp"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// maker makes the Starlark value of one Go type.
type maker func(env *Env, v reflect.Value) starlark.Value

// makers by Go type. The file of each value adds its own; a struct without a
// maker becomes a [record].
var makers = map[reflect.Type]maker{}

// value registers how a Go type looks in Starlark.
func value[T any](fn func(*Env, T) starlark.Value) struct{} {
	makers[reflect.TypeFor[T]()] = func(env *Env, v reflect.Value) starlark.Value { return fn(env, v.Interface().(T)) }
	return struct{}{}
}

// ToStarlark gives the Starlark value of what a verb returned. Lists and dicts
// in it are frozen: a snapshot does not change. The zero time is None, as is a
// nil pointer; a nil slice is an empty list, so that the type of a result never
// depends on the data.
func ToStarlark(env *Env, v any) (starlark.Value, error) {
	if v == nil {
		return starlark.None, nil
	}
	out, err := toStarlark(env, reflect.ValueOf(v))
	if err != nil {
		return nil, err
	}
	return out, nil
}

func toStarlark(env *Env, v reflect.Value) (starlark.Value, error) {
	if v.Kind() == reflect.Interface {
		if v.IsNil() {
			return starlark.None, nil
		}
		v = v.Elem()
	}
	if !(v.Kind() == reflect.Pointer && v.IsNil()) {
		switch x := v.Interface().(type) {
		case starlark.Value:
			return x, nil
		case time.Time:
			if x.IsZero() {
				return starlark.None, nil
			}
			return startime.Time(x), nil
		case time.Duration:
			return startime.Duration(x), nil
		case []byte:
			return starlark.Bytes(x), nil
		}
	}
	if fn := makers[v.Type()]; fn != nil {
		return fn(env, v), nil
	}
	switch v.Kind() {
	case reflect.String:
		return starlark.String(v.String()), nil
	case reflect.Bool:
		return starlark.Bool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return starlark.MakeInt64(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return starlark.MakeUint64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return starlark.Float(v.Float()), nil
	case reflect.Pointer:
		if v.IsNil() {
			return starlark.None, nil
		}
		return toStarlark(env, v.Elem())
	case reflect.Slice, reflect.Array:
		items := make([]starlark.Value, v.Len())
		for i := range items {
			x, err := toStarlark(env, v.Index(i))
			if err != nil {
				return nil, err
			}
			items[i] = x
		}
		list := starlark.NewList(items)
		list.Freeze()
		return list, nil
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
		dict := starlark.NewDict(len(keys))
		for _, k := range keys {
			kv, err := toStarlark(env, k)
			if err != nil {
				return nil, err
			}
			x, err := toStarlark(env, v.MapIndex(k))
			if err != nil {
				return nil, err
			}
			if err := dict.SetKey(kv, x); err != nil {
				return nil, err
			}
		}
		dict.Freeze()
		return dict, nil
	case reflect.Struct:
		return &record{env: env, v: v}, nil
	}
	return nil, fmt.Errorf("no Starlark value for a Go %s", v.Type())
}

// record is a Go struct as an immutable Starlark value: its exported fields in
// snake case, those of an embedded struct as its own. Two records are equal
// when all fields are.
//
// starlarkstruct would copy all fields, of which a script reads one or two,
// and every value of a struct would have the same type.
type record struct {
	env *Env
	v   reflect.Value
	// kind is the type's name; "" takes Go's, in snake case.
	kind string
	// text is what printing shows; "" lists the fields that are not zero.
	text string
}

var (
	_ starlark.HasAttrs   = (*record)(nil)
	_ starlark.Comparable = (*record)(nil)
)

func (r *record) Type() string         { return cmp.Or(r.kind, snake(r.v.Type().Name())) }
func (r *record) Freeze()              {}
func (r *record) Truth() starlark.Bool { return true }
func (r *record) AttrNames() []string  { return fieldsOf(r.v.Type()).names }

func (r *record) Hash() (uint32, error) {
	if !r.v.Comparable() {
		return 0, fmt.Errorf("unhashable: %s", r.Type())
	}
	return starlark.String(fmt.Sprintf("%T%+v", r.v.Interface(), r.v.Interface())).Hash()
}

func (r *record) String() string {
	if r.text != "" {
		return "<" + r.Type() + " " + r.text + ">"
	}
	var b strings.Builder
	b.WriteString("<" + r.Type())
	fs := fieldsOf(r.v.Type())
	for _, name := range fs.order {
		f := r.v.FieldByIndex(fs.index[name])
		if f.IsZero() {
			continue
		}
		x, err := toStarlark(r.env, f)
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", name, x)
	}
	return b.String() + ">"
}

func (r *record) Attr(name string) (starlark.Value, error) {
	at, ok := fieldsOf(r.v.Type()).index[name]
	if !ok {
		return nil, nil
	}
	return toStarlark(r.env, r.v.FieldByIndex(at))
}

func (r *record) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	o, ok := y.(*record)
	return r.equal(op, o, ok)
}

func (r *record) equal(op syntax.Token, y *record, comparable bool) (bool, error) {
	same := comparable && r.v.Type() == y.v.Type()
	switch {
	case same && r.v.Comparable():
		same = r.v.Equal(y.v)
	case same:
		same = reflect.DeepEqual(r.v.Interface(), y.v.Interface())
	}
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("%s %s %s not implemented", r.Type(), op, r.Type())
}

// fields of a struct type as attributes.
type fields struct {
	index map[string][]int
	names []string // sorted, for completion
	order []string // as declared, for printing
}

var fieldCache sync.Map // reflect.Type → *fields

func fieldsOf(t reflect.Type) *fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(*fields)
	}
	fs := &fields{index: map[string][]int{}}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct || hidden(f) {
			continue
		}
		name := snake(f.Name)
		fs.index[name] = f.Index
		fs.order = append(fs.order, name)
	}
	fs.names = append(fs.names, fs.order...)
	sort.Strings(fs.names)
	fieldCache.Store(t, fs)
	return fs
}

// hidden leaves out what only Go can use: the engine's own records.
func hidden(f reflect.StructField) bool {
	return f.Type.Kind() == reflect.Interface || f.Type.Kind() == reflect.Func
}

// snake turns a Go name into a Starlark one: "ImageID" is "image_id", "IP6"
// is "ip6", "MAC" is "mac", "PrefixLen6" is "prefix_len6".
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			before, after := runes[i-1], rune(0)
			if i+1 < len(runes) {
				after = runes[i+1]
			}
			plural := after == 's' && (i+2 == len(runes) || unicode.IsUpper(runes[i+2]))
			if !unicode.IsUpper(before) || unicode.IsLower(after) && !plural {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
