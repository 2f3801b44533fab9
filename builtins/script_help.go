package builtins

import (
	"fmt"
	"reflect"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/image"
)

// nouns are the groups whose name is a getter, with what their values have.
var nouns = map[string]func() (attributes []string, methods map[string]*Verb){
	"container": func() ([]string, map[string]*Verb) {
		return attributesOf(reflect.TypeFor[container.Container](), sorted(containerExtras)), containerMethods.once()
	},
	"network": func() ([]string, map[string]*Verb) { return networkKind.attributes(), networkKind.methods.once() },
	"volume":  func() ([]string, map[string]*Verb) { return volumeKind.attributes(), volumeKind.methods.once() },
	"image": func() ([]string, map[string]*Verb) {
		return attributesOf(reflect.TypeFor[image.Image](), sorted(imageExtras)), imageMethods.once()
	},
}

func attributesOf(t reflect.Type, extras []string) []string {
	all := map[string]bool{}
	for _, n := range append(append([]string(nil), fieldsOf(t).names...), extras...) {
		all[n] = true
	}
	return sorted(all)
}

// Help is what help(image) tells: what the group and its values have.
func (g *group) Help() string {
	name := g.name
	m := members(name)
	var b strings.Builder
	b.WriteString(groups[name] + "\n")
	table(&b, "Functions:", m, func(word string) string { return name + "." + scriptWord(word) })
	if what := nouns[name]; what != nil {
		attributes, methods := what()
		fmt.Fprintf(&b, "\n%s(ref, missing=…) gets one by its name or ID, %ss(…) lists them.\n", name, name)
		fmt.Fprintf(&b, "\nEach has:\n%s", wrapped(attributes, 76))
		table(&b, "Methods:", methods, func(word string) string { return "." + word })
	}
	return b.String()
}

func table(b *strings.Builder, title string, verbs map[string]*Verb, show func(string) string) {
	fmt.Fprintf(b, "\n%s\n", title)
	w := 0
	for n := range verbs {
		w = max(w, len(show(n)))
	}
	for _, n := range sorted(verbs) {
		fmt.Fprintf(b, "  %-*s  %s\n", w, show(n), verbs[n].Short)
	}
}

// wrapped sets words in lines of at most cols.
func wrapped(words []string, cols int) string {
	var b strings.Builder
	col := 0
	for _, w := range words {
		if col > 0 && col+1+len(w) > cols {
			b.WriteString("\n")
			col = 0
		}
		if col == 0 {
			b.WriteString(" ")
		}
		b.WriteString(" " + w)
		col += 1 + len(w)
	}
	return b.String() + "\n"
}
