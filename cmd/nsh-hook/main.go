// Nsh-hook connects containers to their networks, on behalf of the OCI runtime.
//
//	nsh-hook [--cni-path P] … createRuntime|postStop   the OCI hook; the state is on stdin
//	nsh-hook at-exit DIR                               what nsh-helper runs when a container has ended
//
// It is a program of its own because of what libcni brings along: linked into
// nsh-helper, it alone made that 1.6 MB bigger beside every container.
package main

import (
	"io"
	"os"

	"nsh/runtime/network/hook"
)

func main() { os.Exit(Run(os.Args[1:], os.Stdin, os.Stderr)) }

// Run is the program. It returns the exit status.
func Run(args []string, stdin io.Reader, stderr io.Writer) int {
	if len(args) != 2 || args[0] != "at-exit" {
		return hook.Main(args, stdin, stderr)
	}
	if err := hook.AtExit(args[1]); err != nil {
		io.WriteString(stderr, "nsh-hook: "+err.Error()+"\n")
		return 1
	}
	return 0
}
