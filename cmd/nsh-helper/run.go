package main

import "io"

const usage = "usage: nsh-helper {log|log-tty|log-fifo} DIR\n       nsh-helper hook ARG...\n"

// Run is the program. It returns the exit status: 0, 1 when something failed, which
// it tells on stderr, and 2 for arguments that it does not understand.
//
// The log commands get their files as containerd's shim numbers them: 3 is what the
// container writes to stdout, 4 to stderr, and closing 5 tells that the helper is
// ready. log-tty does not look at 4, and log-fifo reads the fifos DIR/stdout and
// DIR/stderr instead of 3 and 4. The working directory is the bundle of the
// container; for log-fifo any directory with a file init.pid in it, written when
// the process is known, or without one: then the end of both fifos is the end.
func Run(args []string, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "hook" {
		// Only an error comes back.
		io.WriteString(stderr, "nsh-helper: "+becomeHook(args[1:]).Error()+"\n")
		return 1
	}
	if len(args) != 2 || args[1] == "" {
		io.WriteString(stderr, usage)
		return 2
	}
	c := &collector{dir: args[1], note: stderr}
	switch args[0] {
	case "log":
	case "log-tty":
		c.tty = true
	case "log-fifo":
		c.fifo = true
	default:
		io.WriteString(stderr, usage)
		return 2
	}
	if err := c.run(); err != nil {
		c.tell(err)
		return 1
	}
	return 0
}
