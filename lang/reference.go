package lang

import (
	"fmt"
	"slices"
	"strings"

	"nsh/runtime/fault"
)

// Markdown is the documentation as a section of a page.
func (d *Doc) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", d.Name)
	sig := d.Signature()
	if len(sig) > 110 {
		sig = d.wrapped()
	}
	fmt.Fprintf(&b, "```python\n%s\n```\n\n%s\n", sig, d.Short)
	if d.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", d.Long)
	}
	rows := false
	for _, p := range d.Params {
		if p.Doc == "" {
			continue
		}
		if !rows {
			b.WriteString("\n| parameter | | |\n|---|---|---|\n")
			rows = true
		}
		def := ""
		if p.Default != "" && p.Default != "None" {
			def = "`" + p.Default + "`"
		}
		cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", ">", "&gt;").Replace(p.Doc)
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, cell, def)
	}
	if d.Docker != "" {
		fmt.Fprintf(&b, "\nDocker: `%s`\n", d.Docker)
	}
	if d.Example != "" {
		fmt.Fprintf(&b, "\n```python\n%s\n```\n", d.Example)
	}
	return b.String()
}

// wrapped is the signature with the keywords on lines of their own.
func (d *Doc) wrapped() string {
	var first, lines []string
	line := ""
	for _, p := range d.Params {
		word := p.Name
		switch {
		case p.Variadic:
			word = "*" + word
		case p.Extra:
			word = "**" + word
		case p.Default != "":
			word += "=" + p.Default
		}
		if !p.Named {
			first = append(first, word)
			continue
		}
		if len(line)+len(word) > 100 {
			lines = append(lines, line)
			line = ""
		}
		line += word + ", "
	}
	if line != "" {
		lines = append(lines, line)
	}
	s := d.Name + "(" + strings.Join(first, ", ")
	if len(lines) > 0 {
		s += ",\n    " + strings.TrimSuffix(strings.Join(lines, "\n    "), ", ")
	}
	s = strings.ReplaceAll(s, ", \n", ",\n") + ")"
	if d.Returns != "" {
		s += " -> " + d.Returns
	}
	return s
}

// Functions are the documented functions of the language itself and, by their module,
// those of the modules that every script has.
func (i *Interp) Functions() (language []*Doc, modules map[string][]*Doc, about map[string]string) {
	modules, about = map[string][]*Doc{}, map[string]string{}
	for _, c := range control() {
		name, _, _ := strings.Cut(c.signature, "(")
		language = append(language, DocOf(i.names[name]))
	}
	language = append(language, DocOf(i.names["help"]))
	slices.SortFunc(language, byName)
	for name, v := range i.names {
		m, ok := v.(*Module)
		if !ok {
			continue
		}
		about[name] = m.Short
		for _, n := range m.Members.Keys() {
			if d := DocOf(m.Members[n]); d != nil {
				modules[name] = append(modules[name], d)
			}
		}
		slices.SortFunc(modules[name], byName)
	}
	return language, modules, about
}

func byName(a, b *Doc) int { return strings.Compare(a.Name, b.Name) }

// ModuleDoc is what is known of a module that scripts load: its docstring and its
// functions, those of modules in it too.
func (i *Interp) ModuleDoc(name string) (text string, docs []*Doc, err error) {
	key, read, err := i.locate("", name)
	if err != nil {
		return "", nil, err
	}
	if read == nil {
		for n, v := range i.opts.Natives[strings.TrimPrefix(key, std)]() {
			if m, ok := v.(*Module); ok {
				text = m.Short
				for _, member := range m.Members.Keys() {
					if d := DocOf(m.Members[member]); d != nil {
						docs = append(docs, d)
					}
				}
				continue
			}
			if d := DocOf(v); d != nil {
				docs = append(docs, d)
			} else {
				docs = append(docs, &Doc{Name: n})
			}
		}
		slices.SortFunc(docs, byName)
		return text, docs, nil
	}
	src, err := read()
	if err != nil {
		return "", nil, err
	}
	f, err := dialect.Parse(key, src, 0)
	if err != nil {
		return "", nil, fault.New(fault.Invalid, "%s", err)
	}
	exports, err := i.exports("", name, nil)
	if err != nil {
		return "", nil, err
	}
	for _, d := range exports {
		if d != nil {
			docs = append(docs, d)
		}
	}
	slices.SortFunc(docs, byName)
	return about(f), docs, nil
}
