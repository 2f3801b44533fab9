package builtins

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

// getter finds the value that a noun and a ref name: what the name of a group
// does when it is called.
type getter func(ctx context.Context, env *Env, ref starlark.Value) (starlark.Value, error)

// getters by noun. The file of a noun's value adds its own.
var getters = map[string]getter{}

// noun registers what calling a group's name does.
func noun(name string, get getter) struct{} {
	getters[name] = get
	return struct{}{}
}

// Predeclared are the names that the verbs give to every script: a function a
// verb, and a value a group that has the verbs of that noun as attributes and
// can be called to get one object.
func Predeclared(env *Env) starlark.StringDict {
	out := starlark.StringDict{"group": groupFunction(), "host": hostModule(env), "net": netModule(env), "systemd": systemdModule(env, thisSystemd)}
	for path, v := range byPath {
		if !strings.Contains(path, " ") && !reserved[path] {
			out[scriptWord(path)] = v.builtin(env, scriptWord(path))
		}
	}
	for name, v := range byScript {
		out[name] = v.builtin(env, name)
	}
	for name := range groups {
		if g := newGroup(env, name); len(g.members) > 0 {
			out[name] = g
		}
	}
	return out
}

// group is a noun as a Starlark value: image.tag(…), and image("alpine").
type group struct {
	env     *Env
	name    string
	members starlark.StringDict
}

func newGroup(env *Env, name string) *group {
	g := &group{env: env, name: name, members: starlark.StringDict{}}
	for path, v := range byPath {
		if noun, word, ok := strings.Cut(path, " "); ok && noun == name {
			g.members[scriptWord(word)] = v.builtin(env, name+"."+scriptWord(word))
		}
	}
	g.members.Freeze()
	return g
}

var (
	_ starlark.HasAttrs = (*group)(nil)
	_ starlark.Callable = (*group)(nil)
)

func (g *group) String() string        { return fmt.Sprintf("<%s commands>", g.name) }
func (g *group) Type() string          { return "group" }
func (g *group) Freeze()               {}
func (g *group) Truth() starlark.Bool  { return true }
func (g *group) Hash() (uint32, error) { return starlark.String(g.name).Hash() }
func (g *group) Name() string          { return g.name }
func (g *group) AttrNames() []string   { return g.members.Keys() }

// FixedAttrs implements [lang.Fixed].
func (g *group) FixedAttrs() {}

func (g *group) Attr(name string) (starlark.Value, error) {
	if v := g.members[name]; v != nil {
		return v, nil
	}
	return nil, nil
}

// CallInternal gets one object: container("web"), container("web", missing=None).
func (g *group) CallInternal(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	get := getters[g.name]
	if get == nil {
		return nil, fault.New(fault.Invalid, "%s: not a function", g.name).WithHint("call one of its commands: %s", strings.Join(g.dotted(), ", "))
	}
	var missing starlark.Value
	for _, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		if key != "missing" {
			return nil, fault.New(fault.Invalid, "%s: unexpected keyword %q", g.name, key).
				WithHint("%s(…) gets one by its name or ID; %ss(…) lists", g.name, g.name)
		}
		missing = kv[1]
	}
	if len(args) != 1 {
		return nil, fault.New(fault.Invalid, "%s: got %s, want 1", g.name, plural(len(args))).
			WithHint("%s(…) gets one by its name or ID; %ss(…) lists", g.name, g.name)
	}
	value, err := get(lang.Context(thread), g.env, args[0])
	if missing != nil && fault.Is(err, fault.NotFound) {
		return missing, nil
	}
	if err != nil {
		return nil, scriptError(err)
	}
	return value, nil
}

func (g *group) dotted() []string {
	var out []string
	for _, name := range g.members.Keys() {
		out = append(out, g.name+"."+name)
	}
	sort.Strings(out)
	return out
}
