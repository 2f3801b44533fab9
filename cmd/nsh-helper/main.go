// Nsh-helper is the small process that stays near a container. Not a mode of nsh:
// one sits beside every container, so it has to be small and start at once.
//
//	nsh-helper log DIR        keeps what a container without a terminal writes
//	nsh-helper log-tty DIR    the same for one with a terminal
//	nsh-helper log-fifo DIR   the same for one that reads its input
//	nsh-helper hook …         the OCI hook that sets up the network, which is nsh-hook
//
// DIR is the state directory of the container.
package main

import "os"

func main() { os.Exit(Run(os.Args[1:], os.Stderr)) }
