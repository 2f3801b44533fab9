package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/runtime/fault"
)

// docTool is `nsh doc [NAME]`.
func docTool(_ context.Context, env *builtins.Env, stdio builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("doc", pflag.ContinueOnError)
	dir := set.String("markdown", "", "Write the reference pages into this directory")
	if code, done := toolFlags(set, stdio, "doc [OPTIONS] [NAME]", "Show what there is to call, or all that is known of one name: run, image.tag, net.http, @std//retry.star.", args); done {
		return code
	}
	i := interpreter(env, builtins.Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, nil, false).Interp
	err := func() error {
		switch {
		case *dir != "":
			return writeReference(i, *dir)
		case set.NArg() == 0:
			listReference(stdio.Out, i)
			return nil
		}
		return showReference(stdio.Out, i, set.Arg(0))
	}()
	if err != nil {
		fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
		if h := fault.HintOf(err); h != "" {
			fmt.Fprintf(stdio.Err, "hint: %s\n", h)
		}
		return 1
	}
	return 0
}

// listReference is a line a function.
func listReference(w io.Writer, i *lang.Interp) {
	section := func(title string, docs []*lang.Doc) {
		fmt.Fprintf(w, "%s\n", title)
		n := 0
		for _, d := range docs {
			n = max(n, len(d.Name))
		}
		for _, d := range docs {
			fmt.Fprintf(w, "  %-*s  %s\n", n, d.Name, d.Short)
		}
		fmt.Fprintln(w)
	}
	for _, p := range builtins.Pages() {
		section(p.Name+": "+p.About, p.Docs)
	}
	language, modules, about := i.Functions()
	section("the language", language)
	for _, name := range sortedKeys(modules) {
		section(name+": "+about[name], modules[name])
	}
	for _, name := range i.Modules() {
		text, docs, err := i.ModuleDoc(name)
		if err != nil {
			continue // one that cannot be read is told of by whoever loads it
		}
		first, _, _ := strings.Cut(text, "\n")
		section(name+": "+first, docs)
	}
	fmt.Fprintln(w, "nsh doc NAME shows one of them.")
}

func showReference(w io.Writer, i *lang.Interp, name string) error {
	if strings.HasPrefix(name, "@") {
		text, docs, err := i.ModuleDoc(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\n\n%s\n", name, text)
		for _, d := range docs {
			fmt.Fprintf(w, "\n%s", d.Text())
		}
		return nil
	}
	if text := i.Help(name); text != "" {
		fmt.Fprint(w, text)
		return nil
	}
	for _, m := range i.Modules() {
		_, docs, err := i.ModuleDoc(m)
		if err != nil {
			continue
		}
		for _, d := range docs {
			if d.Name == name {
				fmt.Fprintf(w, "load(%q, %q)\n\n%s", m, strings.Split(name, ".")[0], d.Text())
				return nil
			}
		}
	}
	e := fault.New(fault.NotFound, "nothing is called %q", name)
	if near := lang.Closest(name, i.Names()); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("nsh doc lists all there is")
}

// writeReference writes a page a noun and a module. Pages that are not made any more go.
func writeReference(i *lang.Interp, dir string) error {
	pages := referencePages(i)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := pages[filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const made = "<!-- Made by `make docs` from the definitions. -->\n\n"

func referencePages(i *lang.Interp) map[string]string {
	out := map[string]string{}
	var index strings.Builder
	index.WriteString("# Reference\n\n" + made)
	add := func(file, title, about string, docs []*lang.Doc, rest string) {
		var b strings.Builder
		fmt.Fprintf(&b, "# %s\n\n%s", title, made)
		if about != "" {
			fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(about))
		}
		names := make([]string, len(docs))
		for n, d := range docs {
			b.WriteString(d.Markdown() + "\n")
			names[n] = "`" + d.Name + "`"
		}
		b.WriteString(rest)
		out[file] = strings.TrimRight(b.String(), "\n") + "\n"
		first, _, _ := strings.Cut(about, "\n")
		fmt.Fprintf(&index, "- [%s](%s): %s: %s\n", title, file, strings.TrimSuffix(first, "."), strings.Join(names, ", "))
	}
	for _, p := range builtins.Pages() {
		rest := ""
		if len(p.Attributes) > 0 {
			rest = fmt.Sprintf("## The value\n\n`%s(ref)` gets one by its name or ID, `%ss(…)` lists them.\n\nFields: `%s`\n\nMethods, the verbs with the value as their first argument: `%s`\n",
				p.Name, p.Name, strings.Join(p.Attributes, "`, `"), strings.Join(p.Methods, "`, `"))
		}
		add(p.Name+".md", p.Name, p.About, p.Docs, rest)
	}
	language, modules, about := i.Functions()
	add("language.md", "the language", "What scripts have beside Starlark itself. `json`, `math`, `time` and `struct` are those of starlark-go.", language, "")
	for _, name := range sortedKeys(modules) {
		add(name+".md", name, about[name], modules[name], "")
	}
	for _, name := range i.Modules() {
		text, docs, err := i.ModuleDoc(name)
		if err != nil {
			continue
		}
		short := strings.TrimSuffix(strings.TrimPrefix(name, "@std//"), ".star")
		add("std-"+short+".md", name, text, docs, "")
	}
	out["README.md"] = index.String()
	return out
}
