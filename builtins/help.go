package builtins

import (
	"fmt"
	"sort"
	"strings"

	"nsh/lang"
)

// common are the commands that docker's own help shows first, in its order.
var common = []string{"run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info"}

// Help is the text of `docker --help`: the commands there are.
func Help(env *Env) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:  %s [OPTIONS] COMMAND\n\nA shell for containerd\n", env.Program)
	line := func(name, text string) { fmt.Fprintf(&b, "  %-11s %s\n", name, text) }
	shown := map[string]bool{}
	b.WriteString("\nCommon Commands:\n")
	for _, name := range common {
		if v := byPath[name]; v != nil {
			line(name, v.Short)
			shown[name] = true
		}
	}
	b.WriteString("\nManagement Commands:\n")
	for _, g := range sorted(groups) {
		if len(members(g)) > 0 {
			line(g, groups[g])
		}
	}
	b.WriteString("\nCommands:\n")
	for _, v := range Verbs() {
		if name := v.Paths[0]; !strings.Contains(name, " ") && !shown[name] {
			line(name, v.Short)
		}
	}
	fmt.Fprintf(&b, "\nRun '%s COMMAND --help' for more information on a command.\n", env.Program)
	return b.String()
}

func groupHelp(env *Env, group string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:  %s %s COMMAND\n\n%s\n\nCommands:\n", env.Program, group, groups[group])
	m := members(group)
	names := sorted(m)
	if len(names) == 0 {
		b.WriteString("  (not built yet)\n")
	}
	w := 11
	for _, n := range names {
		w = max(w, len(n))
	}
	for _, n := range names {
		fmt.Fprintf(&b, "  %-*s %s\n", w, n, m[n].Short)
	}
	fmt.Fprintf(&b, "\nRun '%s %s COMMAND --help' for more information on a command.\n", env.Program, group)
	return b.String()
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func groupWords(group string) []string { return sorted(members(group)) }

func verbWords() []string {
	var out []string
	for p := range byPath {
		if !strings.Contains(p, " ") {
			out = append(out, p)
		}
	}
	return append(out, sorted(groups)...)
}

// Suggest gives the verb that a mistyped word is nearest to, or "".
func Suggest(word string) string { return lang.Closest(word, verbWords()) }
