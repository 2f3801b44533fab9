package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/lsp"
)

// lspTool is `nsh lsp`: a language server on standard input and output.
func lspTool(ctx context.Context, env *builtins.Env, stdio builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("lsp", pflag.ContinueOnError)
	if code, done := toolFlags(set, stdio, "lsp", "Speak the Language Server Protocol on standard input and output, for an editor that starts it.\n\nMistakes while you type, completion, documentation, definitions, formatting.", args); done {
		return code
	}
	// Reading does not end with ctx: the process does.
	ended := make(chan error, 1)
	go func() { ended <- lsp.Serve(ctx, stdio.In, stdio.Out, &language{env: env}) }()
	select {
	case err := <-ended:
		if err == nil {
			return 0
		}
		fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
		return 1
	case <-ctx.Done():
		return 130
	}
}

// language gives the language server the names of scripts, and of tests.
type language struct {
	env     *builtins.Env
	scripts *lang.Interp
	tests   *lang.Interp
}

func (l *language) Checker(path string) (*lang.Checker, *lang.Interp) {
	i := &l.scripts
	test := strings.HasSuffix(path, "_test.star")
	if test {
		i = &l.tests
	}
	if *i == nil {
		if test {
			*i = testInterpreter(l.env, io.Discard)
		} else {
			*i = interpreter(l.env, builtins.Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, nil, false).Interp
		}
	}
	return checkerOf(l.env, *i), *i
}
