// Package builtins is what a command line or a script can call.
//
// The one idea: a verb is defined once, in one file, as a [Verb] with a struct
// of parameters, and everything else is derived from that definition.
//
//	command line   Verb.Command: flags, shorthands, help text, exit status
//	Starlark       Verb.Builtin: keywords, types, did-you-mean
//	methods        a verb whose first argument is a container is a method of Container
//	plan, record   Verb.Effect, and the parameters as Starlark text
//
// A definition is a package variable:
//
//	var Pause = Define(Verb{
//		Paths:  []string{"pause", "container pause"},
//		Short:  "Pause all processes within one or more containers",
//		Effect: Writes,
//	}, func(call *Call, p *struct {
//		Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
//	}) ([]string, error) { … }, showLines)
//
// The first function does the work and returns a value; the second prints that
// value the way docker does, and is only called for a command line. A new verb
// is one file that touches no other.
//
// Verbs are safe to call at once: they keep no state but what is in the [Call].
package builtins

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
	"sync"
)

// Effect tells what a verb does to the machine. Plan mode records the calls of
// verbs that write or destroy instead of making them.
type Effect int

// The effects, in the order of the harm they can do.
const (
	Reads Effect = iota
	Writes
	Destroys
)

// Verb is the definition of one command. The exported fields are set by the
// author; Define fills in the rest.
type Verb struct {
	// Paths are the ways to call it, the one that its help shows first:
	// {"ps", "container ls", "container list", "container ps"}. The path of
	// one word is the name of the Starlark function; of two words, group and
	// attribute.
	Paths []string
	// Short is one line, in docker's words where docker has the command.
	Short string
	// Long replaces Short at the top of the help when it is set.
	Long string
	// Effect is what plan mode goes by.
	Effect Effect
	// FlagsFirst stops the parsing of flags at the first argument, for
	// commands whose arguments are another command.
	FlagsFirst bool
	// Failure is the exit status of a failure that is not the process's own:
	// 125 for run, 1 (the zero value) for all others.
	Failure int
	// BareUsage leaves [OPTIONS] out of the usage line, where docker does.
	BareUsage bool
	// NoShorthandHelp leaves -h to the verb.
	NoShorthandHelp bool
	// Script are further names of the Starlark function, for verbs that a
	// script calls by a noun: "containers" for ps.
	Script []string
	// CommandOnly keeps the verb from Starlark, with the reason: what a script
	// does instead. Calling it is an error that says so.
	CommandOnly string
	// Example is a call in Starlark that runs, for help and reference.
	Example string
	// NoEngine is for verbs that work without any engine.
	NoEngine bool

	params func() []param // made at the first call: all of them would cost every start of the program
	make   func() reflect.Value
	do     func(*Call, reflect.Value) (any, error)
	show   func(*Call, reflect.Value, any) error
}

var (
	registry []*Verb
	byPath   = map[string]*Verb{}
	byScript = map[string]*Verb{} // by Verb.Script
)

// Define registers a verb. do must return a value that [ToStarlark] knows. When
// do fails after part of the work, it returns what was done beside the error,
// and show is called with that; a zero value beside an error is nothing done. A
// nil show prints nothing.
//
// A malformed definition panics, at the start of the program or at the first
// call of the verb: that is a bug, which the tests show.
func Define[P, R any](v Verb, do func(*Call, *P) (R, error), show func(*Call, *P, R) error) *Verb {
	d := newVerb(v, do, show)
	registry = append(registry, d)
	for _, path := range d.Paths {
		if byPath[path] != nil {
			panic("builtins: two verbs are called " + path)
		}
		byPath[path] = d
	}
	for _, name := range d.Script {
		byScript[name] = d
	}
	return d
}

func newVerb[P, R any](v Verb, do func(*Call, *P) (R, error), show func(*Call, *P, R) error) *Verb {
	v.params = sync.OnceValue(func() []param { return paramsOf(reflect.TypeFor[P](), v.Paths[0]) })
	v.make = func() reflect.Value { return reflect.ValueOf(new(P)) }
	v.do = func(c *Call, p reflect.Value) (any, error) {
		r, err := do(c, p.Interface().(*P))
		if err != nil && reflect.ValueOf(&r).Elem().IsZero() {
			return nil, err
		}
		return r, err
	}
	v.show = func(c *Call, p reflect.Value, r any) error {
		if show == nil {
			return nil
		}
		return show(c, p.Interface().(*P), r.(R))
	}
	return &v
}

// Verbs gives all verbs, sorted by their first path.
func Verbs() []*Verb {
	all := append([]*Verb(nil), registry...)
	sort.Slice(all, func(i, j int) bool { return all[i].Paths[0] < all[j].Paths[0] })
	return all
}

// Lookup finds the verb that a command line starts with and tells how many
// words name it: 2 for "image ls -q", 1 for "ps -a", 0 for neither.
func Lookup(words []string) (*Verb, int) {
	if len(words) >= 2 {
		if v := byPath[words[0]+" "+words[1]]; v != nil {
			return v, 2
		}
	}
	if len(words) >= 1 {
		if v := byPath[words[0]]; v != nil {
			return v, 1
		}
	}
	return nil, 0
}

// IsVerb reports whether a command line may start with word: the table that the
// shell's rule goes by. It is fixed when the program is built.
func IsVerb(word string) bool {
	return byPath[word] != nil || groups[word] != ""
}

// groups are docker's management commands, with the line that the help shows.
// A group is here before its verbs are, so that what a line is does not change
// with the version.
var groups = map[string]string{
	"absent":     "Take away what is there",
	"ensure":     "Make what is described be there",
	"apparmor":   "Manage AppArmor profiles",
	"builder":    "Manage builds",
	"checkpoint": "Manage checkpoints",
	"compose":    "Compose",
	"container":  "Manage containers",
	"engine":     "Manage the bundled engine",
	"image":      "Manage images",
	"ipfs":       "Distributing images on IPFS",
	"manifest":   "Manage Docker image manifests and manifest lists",
	"namespace":  "Manage containerd namespaces",
	"network":    "Manage networks",
	"system":     "Manage Docker",
	"volume":     "Manage volumes",
}

// members gives the verbs of a group by their second word, each verb once,
// under the first of its names there.
func members(group string) map[string]*Verb {
	out := map[string]*Verb{}
	for _, v := range registry {
		for _, p := range v.Paths {
			if g, name, ok := strings.Cut(p, " "); ok && g == group {
				out[name] = v
				break
			}
		}
	}
	return out
}

// name is the last word of the first path, for messages.
func (v *Verb) name() string {
	p := v.Paths[0]
	return p[strings.LastIndexByte(p, ' ')+1:]
}

// scriptName is how a script calls the verb: by a path of one word, unless the
// language has taken that, else as an attribute of its group: "image.load_".
func (v *Verb) scriptName() string {
	for _, p := range v.Paths {
		if !strings.Contains(p, " ") && !reserved[p] {
			return p
		}
	}
	for _, p := range v.Paths {
		if group, name, ok := strings.Cut(p, " "); ok {
			return group + "." + scriptWord(name)
		}
	}
	return scriptWord(v.Paths[0])
}

func (e Effect) String() string {
	switch e {
	case Reads:
		return "reads"
	case Writes:
		return "writes"
	case Destroys:
		return "destroys"
	}
	return fmt.Sprintf("Effect(%d)", int(e))
}
