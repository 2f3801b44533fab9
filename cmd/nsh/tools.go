package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
)

// tools are the words of nsh that are no verbs: they are about scripts, and docker
// knows nothing of them.
var tools = map[string]func(ctx context.Context, env *builtins.Env, io builtins.Stdio, args []string) int{
	"check":   checkTool,
	"convert": convertTool,
	"doc":     docTool,
	"fmt":     fmtTool,
	"lsp":     lspTool,
	"plan":    planTool,
	"test":    testTool,
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
