package builtins

import (
	"sort"
	"strings"

	"nsh/lang"
)

// Page is the verbs of one noun.
type Page struct {
	Name  string // of the group
	About string
	Docs  []*lang.Doc
	// Attributes and Methods are those of the noun's value; empty when it has none.
	Attributes []string
	Methods    []string
}

// Pages are all verbs by their noun, sorted.
func Pages() []Page {
	byNoun := map[string]*Page{}
	for _, v := range Verbs() {
		noun := v.noun()
		p := byNoun[noun]
		if p == nil {
			p = &Page{Name: noun, About: groups[noun]}
			if what := nouns[noun]; what != nil {
				attributes, methods := what()
				p.Attributes, p.Methods = attributes, sorted(methods)
			}
			byNoun[noun] = p
		}
		d := v.Doc()
		if v.Effect == Destroys {
			d.Long = strings.TrimSpace(d.Long + "\n\nIt destroys.")
		}
		if len(v.Script) > 0 {
			d.Long = strings.TrimSpace(d.Long + "\n\nIn scripts also " + strings.Join(v.Script, ", ") + ".")
		}
		p.Docs = append(p.Docs, d)
	}
	var out []Page
	for _, n := range sorted(byNoun) {
		p := *byNoun[n]
		sort.Slice(p.Docs, func(a, b int) bool { return p.Docs[a].Name < p.Docs[b].Name })
		out = append(out, p)
	}
	return out
}

// noun is the group that a verb belongs to.
func (v *Verb) noun() string {
	for _, p := range v.Paths {
		if group, _, ok := strings.Cut(p, " "); ok {
			return group
		}
	}
	return "system"
}
