package main

import (
	"context"
	"strings"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/lineedit"
	"nsh/lang/shell"
)

// CompleteArgs implements shell.CommandCompleter.
func (c commands) CompleteArgs(argv []string) shell.Args {
	return args(builtins.Complete(c.env, argv), " ")
}

// Doc implements shell.CommandCompleter.
func (c commands) Doc(verb string) string { return builtins.Doc(verb) }

// args turns what the verbs know into what the editor shows.
func args(c builtins.Choices, end string) shell.Args {
	a := shell.Args{Prefix: c.Prefix, Now: candidates(c.Now, end), Files: c.Files}
	if c.Later != nil {
		a.Later = func(ctx context.Context) []lineedit.Candidate { return candidates(c.Later(ctx), end) }
	}
	return a
}

func candidates(list []builtins.Choice, end string) []lineedit.Candidate {
	out := make([]lineedit.Candidate, len(list))
	for i, x := range list {
		out[i] = lineedit.Candidate{Text: x.Text, Doc: x.Doc}
		if !x.Open {
			out[i].End = end
		}
	}
	return out
}

func members(list []lang.Member) []lineedit.Candidate {
	var out []lineedit.Candidate
	for _, m := range list {
		out = append(out, lineedit.Candidate{Text: m.Name, Doc: m.Doc})
	}
	return out
}

// Attrs implements shell.ScriptCompleter.
func (s scripts) Attrs(name string) []lineedit.Candidate {
	if noun, ok := strings.CutSuffix(name, "()"); ok {
		return candidates(builtins.AttributesOf(noun), "")
	}
	return members(s.Members(name))
}

// Keywords implements shell.ScriptCompleter.
func (s scripts) Keywords(name string) []lineedit.Candidate {
	d := s.DocOf(strings.ReplaceAll(name, "().", "."))
	if d == nil {
		return nil
	}
	var out []lineedit.Candidate
	for _, p := range d.Params {
		if !p.Variadic && !p.Extra {
			doc, _, _ := strings.Cut(p.Doc, "\n")
			out = append(out, lineedit.Candidate{Text: p.Name, Doc: doc})
		}
	}
	return out
}

// Strings implements shell.ScriptCompleter.
func (s scripts) Strings(name string, n int, keyword string) shell.Args {
	return args(builtins.CompleteArgument(s.env, name, n, keyword), "")
}

// Modules implements shell.ScriptCompleter.
func (s scripts) Modules() []lineedit.Candidate { return members(s.StdModules()) }

// Exports implements shell.ScriptCompleter.
func (s scripts) Exports(module string) []lineedit.Candidate {
	return members(s.Interp.Exports(module))
}

// NameDoc implements shell.ScriptCompleter.
func (s scripts) NameDoc(name string) string {
	if doc := s.Brief(name); doc != "group" {
		return doc
	}
	return builtins.Doc(name)
}
