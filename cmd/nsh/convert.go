package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/runtime/fault"
)

// convertTool is `nsh convert 'run -d nginx'`: the line as a script.
func convertTool(ctx context.Context, env *builtins.Env, io builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("convert", pflag.ContinueOnError)
	set.SetInterspersed(false)
	again := set.Bool("ensure", false, "Write what makes a container with a name so that it can be run again")
	if code, done := toolFlags(set, io, "convert [OPTIONS] [LINE...]", "Write command lines as the Starlark that does the same.\n\nEach LINE is one line of a prompt; without any, standard input has them.", args); done {
		return code
	}
	lines := set.Args()
	if len(lines) == 0 {
		text, err := readScript(io.In, "-")
		if err != nil {
			fmt.Fprintf(io.Err, "nsh: %s\n", err)
			return 1
		}
		lines = []string{string(text)}
	}
	sh := session(env, io, nil)
	code := 0
	for _, line := range lines {
		text, err := sh.Convert(line, *again)
		if err != nil {
			fmt.Fprintf(io.Err, "nsh: %s: %s\n", strings.TrimSpace(line), err)
			if h := fault.HintOf(err); h != "" {
				fmt.Fprintf(io.Err, "hint: %s\n", h)
			}
			code = 1
			continue
		}
		fmt.Fprint(io.Out, text)
	}
	return code
}
