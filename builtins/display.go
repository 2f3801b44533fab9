package builtins

import (
	"strings"

	"go.starlark.net/starlark"
)

// Display is how a prompt shows a value.
func Display(_ *Env, v starlark.Value) string {
	if s, ok := v.(starlark.String); ok && strings.Contains(string(s), "\n") {
		return strings.TrimRight(string(s), "\n") // a text is read, not studied
	}
	return v.String()
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
