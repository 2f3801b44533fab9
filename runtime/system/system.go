// Package system holds what nsh knows of the engine as a whole: its version,
// what it can do, and [Service], the interface that every engine implements.
package system

import "context"

// Service tells about the engine.
type Service interface {
	// Version asks the engine for its version; kind unavailable when it does
	// not answer.
	Version(ctx context.Context) (Version, error)
	// Info describes the engine and the host.
	Info(ctx context.Context) (Info, error)
	// Repair finds what a cut-off command left behind (names without a
	// container, addresses, rules, snapshots, directories, mounts) and, unless
	// dryRun, takes it away. It never touches what belongs to a container.
	Repair(ctx context.Context, dryRun bool) ([]Leftover, error)
}

// Version of the engine and of the programs it runs.
type Version struct {
	Engine     string // "containerd"
	Version    string
	Revision   string
	Components []Component
}

// Component is a program of the engine: runc, containerd, the shim.
type Component struct {
	Name    string
	Version string
	Details map[string]string
}

// Info is the part of `docker info` that exists without swarm.
type Info struct {
	ID                                                                              string
	Containers                                                                      int
	Running                                                                         int
	Paused                                                                          int
	Stopped                                                                         int
	Images                                                                          int
	Driver                                                                          string // snapshotter
	LogDrivers                                                                      []string
	StorageDrivers                                                                  []string
	Networks                                                                        []string
	Runtimes                                                                        []string
	DefaultRuntime                                                                  string
	CgroupDriver                                                                    string
	CgroupVersion                                                                   string
	KernelVersion                                                                   string
	OperatingSystem                                                                 string
	OSType                                                                          string
	Architecture                                                                    string
	NCPU                                                                            int
	MemTotal                                                                        int64
	Name                                                                            string
	ServerVersion                                                                   string
	DataRoot                                                                        string
	SecurityOptions                                                                 []string
	Warnings                                                                        []string
	MemoryLimit, SwapLimit, CPUCfsPeriod, CPUCfsQuota, CPUShares, CPUSet, PidsLimit bool
	IPv4Forwarding, BridgeNfIptables, BridgeNfIP6tables, OomKillDisable             bool
	Native                                                                          any // introspection answers as they are, for --mode native
}

// Leftover is something that belongs to nothing any more.
type Leftover struct {
	Kind   string // name, state, network, address, snapshot, lease, mount, port, hosts, process
	Name   string
	Detail string
}
