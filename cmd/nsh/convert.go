package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
)

// convertTool is `nsh convert 'run -d nginx'`: the line as a script.
func convertTool(ctx context.Context, env *builtins.Env, io builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("convert", pflag.ContinueOnError)
	set.SetInterspersed(false)
	if code, done := toolFlags(set, io, "convert LINE...", "Write command lines as the Starlark that does the same.\n\nEach LINE is one line of a prompt; without any, standard input has them.", args); done {
		return code
	}
	sh := session(env, io, nil)
	code := 0
	for _, line := range set.Args() {
		text, err := sh.Convert(line)
		if err != nil {
			fmt.Fprintf(io.Err, "nsh: %s: %s\n", strings.TrimSpace(line), err)
			code = 1
			continue
		}
		fmt.Fprint(io.Out, text)
	}
	return code
}
