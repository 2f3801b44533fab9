// Command nsh-engine is the bundled engine: containerd's own main, with its
// plugins linked in from the module that go.mod pins. Plugins of our own would be
// linked in here.
package main

import (
	"context"
	"fmt"
	"os"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
)

func main() {
	if err := command.App().Run(context.Background(), os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "nsh-engine: %s\n", err)
		os.Exit(1)
	}
}
