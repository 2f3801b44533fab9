// Package network connects containers to networks and publishes their ports.
//
// A network is a CNI conflist. [Attacher] is all that the rest of nsh knows of
// how it is done; [CNI] does it with the standard plugins. The OCI hook
// (package hook) attaches when a container is made, whoever makes it; the
// network is detached when the process has ended, by whoever notices first, so
// everything here can be done twice.
//
// The package is linked into the hook, which runs for milliseconds: it keeps off
// the client of containerd.
package network

import (
	"context"

	"nsh/runtime/container"
)

// Attacher connects a network namespace to networks. Its methods block until
// the change is made, and are safe to call at once, also for the same
// container from several processes.
type Attacher interface {
	// Attach connects a running container's namespace and gives its addresses,
	// in the order of the networks. After an error nothing is left attached.
	Attach(ctx context.Context, r Request) ([]container.Endpoint, error)

	// Detach frees addresses, rules and ports of a container. That there is
	// nothing, or that the namespace is gone, is no error.
	Detach(ctx context.Context, r Request) error

	// Resolve gives the name of a network that is known by a name or an ID; of one that
	// is not known, the reference as it is.
	Resolve(namespace, ref string) string

	// Endpoints tells the addresses that a container was given, without looking
	// into its namespace. It is empty for one that is not attached.
	Endpoints(namespace, id string, networks []string) []container.Endpoint

	// GC finds what containers of the namespace that are not live have left
	// behind, and takes it away unless dryRun. What belongs to others it does not touch.
	GC(ctx context.Context, namespace string, live []string, dryRun bool) ([]Leftover, error)
}

// Request is one container's wish.
type Request struct {
	Namespace string // containerd's
	ID        string
	NetNS     string // path; empty when it is gone
	Networks  []string
	Ports     []container.PortMapping
	IP        string
	IP6       string
	MAC       string
	Hostname  string
}

// cniID is the container ID that plugins see: nerdctl's form.
func (r Request) cniID() string { return r.Namespace + "-" + r.ID }

// Leftover of a container that is gone.
type Leftover struct {
	Network string
	ID      string // of the container
	What    string // attachment or address
	Detail  string
}

// ConfigFile in the state directory holds a [Config]. nerdctl reads its port
// mappings there; the rest is ours, so that the helper can detach without
// asking anybody.
const ConfigFile = "network-config.json"

// Config is the content of ConfigFile.
type Config struct {
	PortMappings   []container.PortMapping `json:"portMappings,omitempty"`
	Namespace      string                  `json:"nshNamespace,omitempty"`
	ID             string                  `json:"nshID,omitempty"`
	Networks       []string                `json:"nshNetworks,omitempty"`
	CNIPath        string                  `json:"nshCNIPath,omitempty"`
	CNINetconfPath string                  `json:"nshCNINetconfPath,omitempty"`
}
