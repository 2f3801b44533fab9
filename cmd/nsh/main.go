// Command nsh is a shell for containerd: docker's commands and Starlark at one
// prompt. This package only turns the arguments of the process into a call of one of
// the front ends: the prompt, a script, a one-liner, or one command. A link to
// it that is called docker or nerdctl is that command.
package main

import (
	"os"

	"nsh/builtins"
)

func main() {
	os.Exit(Run(os.Args, builtins.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, TTY: terminal(os.Stdin, os.Stdout)}))
}
