// Package container holds what nsh knows of containers: the values, the options
// of each operation, and [Service], the interface that every engine implements.
//
// Nothing in here touches the machine. The package runtime/containerd
// implements Service on a real containerd, runtime/memory keeps everything in
// memory for script tests, and runtime/conformance is the suite both pass.
package container

import (
	"time"
)

// Status is the state of a container in docker's words.
type Status string

// The states of docker's API, less removing and dead, which containerd has no
// counterpart for. Unknown is a container whose shim does not answer.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Exited     Status = "exited"
	Unknown    Status = "unknown"
)

// Container is what a list shows: an immutable snapshot of one container.
// Callers must not change its maps and slices.
type Container struct {
	ID      string
	Name    string
	Image   string // the reference it was created from, familiar form ("alpine:3.20")
	ImageID string // digest of the image's target; empty when the image record is gone
	Created time.Time

	Status     Status
	Pid        int // 0 unless Running or Paused
	ExitCode   int // of the last run, when Status is Exited
	StartedAt  time.Time
	FinishedAt time.Time
	Error      string // why the last start failed, or why the status is Unknown
	Restarts   int

	Args     []string // entrypoint and command as executed
	Labels   map[string]string
	Networks []Endpoint // in the order they were asked for
	Ports    []PortMapping
	Mounts   []Mount

	Runtime     string // "io.containerd.runc.v2", or the path of an OCI runtime
	Snapshotter string
	SnapshotKey string
	Platform    string // "linux/amd64"
	Size        *Size  // only when the list asked for sizes

	// Warnings of Create: what was done otherwise than one might expect. They
	// are not recorded.
	Warnings []string

	// Planned is set where only a plan knows of the container: its ID, addresses, times
	// and open ports are not those that it will have.
	Planned bool

	// Pod is set for a container that Kubernetes made: "ns/pod/container".
	Pod string
}

// ShortID is docker's 12 digit form.
func (c Container) ShortID() string { return ShortID(c.ID) }

// ShortID truncates an ID to docker's 12 digits.
func ShortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// Size of the file system of a container, in bytes.
type Size struct {
	Writable int64 // the container's own layer
	Virtual  int64 // with all layers of the image
}

// Endpoint is a container's place on one network.
type Endpoint struct {
	Network    string // "bridge", "host", "none", "container:<id>" or the name of a CNI network
	Interface  string // inside the container: "eth0"
	IP         string // empty while the container does not run
	PrefixLen  int
	Gateway    string
	IP6        string
	PrefixLen6 int
	Gateway6   string
	MAC        string
}

// PortMapping publishes one port of a container. HostPort 0 in a [Spec] asks
// for a free one; in a [Container] it is always set.
type PortMapping struct {
	HostIP        string `json:"HostIP"` // "0.0.0.0" unless given
	HostPort      int    `json:"HostPort"`
	ContainerPort int    `json:"ContainerPort"`
	Protocol      string `json:"Protocol"` // tcp, udp or sctp
}

// Mount is one entry of `docker inspect`'s Mounts.
type Mount struct {
	Type        string // bind, volume, tmpfs, image
	Name        string // of the volume
	Source      string
	Destination string
	Mode        string // the options as they were given, comma separated
	RW          bool
	Propagation string
}

// Detail is all that inspect shows: what the container was asked to be, and
// what it is.
type Detail struct {
	Container
	Spec       Spec   // as recorded at creation; Image and Name as they are now
	Recorded   bool   // Spec is the whole request; else it has what the engine knows of a container of another tool
	StateDir   string // <data root>/<address hash>/containers/<ns>/<id>
	ResolvConf string
	HostsPath  string
	Hostname   string // path of the file that is mounted at /etc/hostname
	LogPath    string
	NetNS      string // /proc/<pid>/ns/net while it runs
	Native     any    // the engine's own record, for inspect --mode native
}

// Exit is how a process ended. Code is what a shell would see: 128+n for
// signal n.
type Exit struct {
	Code int
	At   time.Time
	OOM  bool
}
