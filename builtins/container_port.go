package builtins

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

type portParams struct {
	Container ContainerRef `arg:"CONTAINER"`
	Port      string       `arg:"[PRIVATE_PORT[/PROTO]]"`
}

// Port lists the published ports of a container. A script gets them as values.
var Port = Define(Verb{
	Paths:  []string{"port", "container port"},
	Short:  "List port mappings or a specific mapping for the container",
	Effect: Reads,
	Example: `web = run("nginx", name = "web", detach = True, publish = ["8080:80"])
print(web.port())`,
}, func(call *Call, p *portParams) ([]container.PortMapping, error) {
	c, err := call.Containers.Get(call.Context, string(p.Container))
	if err != nil {
		return nil, err
	}
	ports := slices.DeleteFunc(slices.Clone(openPorts(c)), func(m container.PortMapping) bool { return m.HostPort == 0 })
	slices.SortFunc(ports, comparePorts)
	if p.Port == "" {
		return ports, nil
	}
	number, proto, ok := strings.Cut(p.Port, "/")
	if !ok {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, portError(call, fault.Invalid, "invalid port (%s): %s", number, err)
	}
	ports = slices.DeleteFunc(ports, func(m container.PortMapping) bool { return m.ContainerPort != int(n) || m.Protocol != proto })
	if len(ports) == 0 {
		return nil, portError(call, fault.NotFound, "No public port '%s' published for %s", p.Port, p.Container)
	}
	return ports, nil
}, func(call *Call, p *portParams, ports []container.PortMapping) error {
	lines := make([]string, len(ports))
	for i, m := range ports {
		lines[i] = net.JoinHostPort(hostIP(m.HostIP), strconv.Itoa(m.HostPort))
		if p.Port == "" {
			lines[i] = fmt.Sprintf("%d/%s -> %s", m.ContainerPort, m.Protocol, lines[i])
		}
	}
	return showLines(call, p, lines)
})

// portError is what docker's client says by itself, which is why it says
// "Error:".
func portError(call *Call, kind fault.Kind, format string, args ...any) error {
	if !call.Script {
		format = "Error: " + format
	}
	return wrong(fault.New(kind, format, args...))
}
