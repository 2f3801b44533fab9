package builtins

import (
	"fmt"
	"strings"

	"github.com/docker/cli/cli/command/formatter/tabwriter"

	"nsh/runtime/container"
)

type topParams struct {
	Container ContainerRef `arg:"CONTAINER"`
	Options   Words        `arg:"[ps OPTIONS]"`
}

// Top lists the processes in a container.
var Top = Define(Verb{
	Paths:  []string{"top", "container top"},
	Short:  "Display the running processes of a container",
	Effect: Reads,
	Example: `web = run("nginx", name = "web", detach = True)
print(web.top())`,
	FlagsFirst: true,
}, func(call *Call, p *topParams) (container.Processes, error) {
	return call.Containers.Top(call.Context, string(p.Container), p.Options)
}, func(call *Call, _ *topParams, procs container.Processes) error {
	w := tabwriter.NewWriter(call.Stdout, 20, 1, 3, ' ', 0)
	for _, row := range append([][]string{procs.Titles}, procs.Rows...) {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
})
