package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
)

// tool is a word of nsh that is no verb: it is about scripts, and docker knows nothing
// of it.
type tool struct {
	run   func(ctx context.Context, env *builtins.Env, io builtins.Stdio, args []string) int
	short string
}

var tools = map[string]tool{
	"check":   {checkTool, "Find the mistakes in scripts without running them"},
	"convert": {convertTool, "Write command lines as Starlark"},
	"doc":     {docTool, "Show what there is to call"},
	"fmt":     {fmtTool, "Format scripts"},
	"lsp":     {lspTool, "Serve an editor"},
	"plan":    {planTool, "Show what a script would change"},
	"test":    {testTool, "Run the tests of scripts"},
}

// toolWords are those of tools, by themselves: a session asks for them, and planning is
// what a session can do.
var toolWords = map[string]bool{"check": true, "convert": true, "doc": true, "fmt": true, "lsp": true, "plan": true, "test": true}

// helpText is docker's help, and what nsh has beside it.
func (g *globals) helpText(env *builtins.Env) string {
	text := builtins.Help(env)
	if g.program != "nsh" {
		return text
	}
	var b strings.Builder
	b.WriteString("\nScripts:\n")
	fmt.Fprintf(&b, "  %-11s %s\n", "FILE.star", "Run a script; FILE.star --help lists its flags")
	for _, name := range sortedKeys(tools) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, tools[name].short)
	}
	fmt.Fprintf(&b, "  %-11s %s\n", "completion", "Print a script that completes nsh in another shell")
	fmt.Fprintf(&b, "\nOptions:\n%s", lang.FlagUsages(g.set))
	return strings.Replace(text, "\nRun 'nsh COMMAND", b.String()+"\nRun 'nsh COMMAND", 1)
}

// toolFlags parses the flags of a tool and prints its help when that is asked for.
// done tells that there is nothing left to do.
func toolFlags(set *pflag.FlagSet, io builtins.Stdio, usage, about string, args []string) (code int, done bool) {
	set.Usage = func() {}
	help := set.BoolP("help", "h", false, "Print usage")
	set.Lookup("help").Hidden = true
	if err := set.Parse(args); err != nil {
		fmt.Fprintf(io.Err, "nsh: %s\n\nUsage:  nsh %s\n\nRun 'nsh %s --help' for more information\n", err, usage, set.Name())
		return 125, true
	}
	if *help {
		fmt.Fprintf(io.Out, "Usage:  nsh %s\n\n%s\n\nOptions:\n%s", usage, about, lang.FlagUsages(set))
		return 0, true
	}
	return 0, false
}
