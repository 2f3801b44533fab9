package builtins

import (
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

// A verb whose first positional parameter is a ref is a method of the value
// that the ref may be: stop(c) is c.stop(). Nothing lists methods by hand.

// methodTable has the methods of one noun by name.
type methodTable struct {
	noun  string
	once  func() map[string]*Verb
	names func() []string
}

func methods(noun string, ref reflect.Type) *methodTable {
	t := &methodTable{noun: noun}
	t.once = sync.OnceValue(func() map[string]*Verb {
		out := map[string]*Verb{}
		for _, v := range registry {
			if q := v.first(); q != nil && v.CommandOnly == "" && (q.typ == ref || q.variadic() && q.typ.Elem() == ref) {
				for _, name := range v.methodNames(noun) {
					out[name] = v
				}
			}
		}
		return out
	})
	t.names = sync.OnceValue(func() []string {
		out := sorted(t.once())
		sort.Strings(out)
		return out
	})
	return t
}

// first is the first positional parameter of a script's call.
func (v *Verb) first() *param {
	for i := range v.params() {
		if q := &v.params()[i]; q.arg != "" && !q.noScript {
			return q
		}
	}
	return nil
}

// methodNames are the words of a verb within the noun's group (rmi is image
// rm, so the method is rm); the verb's own name where it is in no group.
func (v *Verb) methodNames(noun string) []string {
	var out []string
	for _, p := range v.Paths {
		if g, name, ok := strings.Cut(p, " "); ok && g == noun {
			out = append(out, scriptWord(name))
		}
	}
	if len(out) == 0 && !strings.Contains(v.Paths[0], " ") {
		out = append(out, scriptWord(v.Paths[0]))
	}
	return out
}

// attr gives the method of that name bound to self, or nil.
//
// A verb that takes several and gives a list with an element for each (its
// result is a plain slice) gives that one element as a method.
func (t *methodTable) attr(env *Env, self starlark.Value, name string) starlark.Value {
	v := t.once()[name]
	if v == nil {
		return nil
	}
	full := t.noun + "." + name
	variadic := v.first().variadic()
	doc := func() *lang.Doc { // without the parameter that self is
		d := *v.Doc()
		d.Name = full
		d.Params = slices.DeleteFunc(slices.Clone(d.Params), func(p lang.Param) bool { return p.Name == v.first().name() })
		return &d
	}
	return lang.NewBuiltin(name, doc, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if variadic && len(args) > 0 {
			return nil, fault.New(fault.Invalid, "%s: got %s, want 0: the others have a name, as in %s", full, plural(len(args)), v.example()).
				WithHint("%s", v.synopsis())
		}
		value, err := v.script(thread, env, full, append(starlark.Tuple{self}, args...), kwargs)
		if err != nil {
			return nil, err
		}
		if r := reflect.ValueOf(value); variadic && r.Kind() == reflect.Slice && r.Type().Name() == "" && r.Len() == 1 {
			value = r.Index(0).Interface()
		}
		return ToStarlark(env, value)
	}).BindReceiver(self)
}
