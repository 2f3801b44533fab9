package shell

import (
	"os"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// environment is what $name means on a command line: a variable of the session
// first, then of the process. Programs of the host get the process's alone.
type environment struct{ Scripts Scripts }

var _ expand.Environ = environment{}

// Get implements [expand.Environ].
func (e environment) Get(name string) expand.Variable {
	if words, list, ok := e.Scripts.Lookup(name); ok {
		if list {
			return expand.Variable{Set: true, Kind: expand.Indexed, List: append([]string{}, words...)} // never nil: sh would make an empty word of that
		}
		return expand.Variable{Set: true, Kind: expand.String, Str: strings.Join(words, " ")}
	}
	text, ok := os.LookupEnv(name)
	if !ok {
		return expand.Variable{}
	}
	return expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: text}
}

// Each implements [expand.Environ].
func (e environment) Each(fn func(string, expand.Variable) bool) {
	for _, kv := range os.Environ() {
		name, text, _ := strings.Cut(kv, "=")
		if !fn(name, expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: text}) {
			return
		}
	}
}

// spread makes a $name that is a list stand for all its elements, each a word that
// is not split again, and within quotes for all of them with blanks between: sh
// itself takes the first.
func (e environment) spread(file *syntax.File) {
	list := func(p syntax.WordPart) *syntax.ParamExp {
		pe, ok := p.(*syntax.ParamExp)
		if !ok || pe.Param == nil || pe.Index != nil || pe.Exp != nil || pe.Repl != nil || pe.Slice != nil || pe.Length || pe.Excl || pe.Width {
			return nil
		}
		if _, list, ok := e.Scripts.Lookup(pe.Param.Value); !ok || !list {
			return nil
		}
		return pe
	}
	all := func(pe *syntax.ParamExp, index string) *syntax.ParamExp {
		c := *pe
		c.Short = false
		c.Index = &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: index}}}
		return &c
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Word:
			for i, p := range n.Parts {
				if pe := list(p); pe != nil {
					n.Parts[i] = &syntax.DblQuoted{Parts: []syntax.WordPart{all(pe, "@")}}
				}
			}
		case *syntax.DblQuoted:
			for i, p := range n.Parts {
				if pe := list(p); pe != nil {
					n.Parts[i] = all(pe, "*")
				}
			}
		}
		return true
	})
}
