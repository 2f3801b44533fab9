package container

import "time"

// Spec is what `run` and `create` ask for. The zero value of every field means
// docker's default, so that Spec{Image: "alpine"} is a whole request. Pointers
// tell "not given" from a zero that means something.
type Spec struct {
	Name     string // empty: <last part of the image>-<first 5 of the ID>
	Image    string // reference or ID of an image that is here, or a directory when Rootfs
	Rootfs   bool
	Platform string

	Command    []string  // replaces the image's CMD when not empty
	Entrypoint *[]string // nil: the image's; empty: none
	Env        []string  // k=v
	WorkDir    string
	User       string
	Groups     []string
	Umask      string

	TTY         bool
	OpenStdin   bool // keep stdin open: -i
	AutoRemove  bool
	StopSignal  string
	StopTimeout *int // seconds

	Labels      map[string]string
	Annotations map[string]string // of the OCI spec
	CIDFile     string            // recorded for inspect; written by the verb
	PidFile     string

	Hostname   string
	Domainname string
	Networks   []string // empty: the default bridge
	Ports      []PortMapping
	Expose     []string // "80/tcp"
	PublishAll bool
	DNS        []string
	DNSSearch  []string
	DNSOptions []string
	ExtraHosts []string // "name:ip"; ip may be host-gateway
	IP         string
	IP6        string
	MAC        string

	PidMode    string // "", host, container:X
	UTSMode    string // "", host
	IPCMode    string // "", host, private, shareable, container:X
	CgroupNS   string // "", host, private
	UsernsMode string // "", host

	Mounts      []Mount  // a volume without a name is an anonymous one
	VolumesFrom []string // NAME[:ro|rw]
	// Inherit are anonymous volumes of the container that this one takes the place of,
	// by destination: they are mounted there instead of new ones.
	Inherit  map[string]string
	ReadOnly bool
	ShmSize  int64 // bytes; 0: 64 MiB

	Resources Resources
	Security  Security

	Init       bool
	InitBinary string
	Systemd    string // "", false, true, always
	Runtime    string
	Sysctls    map[string]string
	Ulimits    []Ulimit

	LogDriver string // "": json-file
	LogOpts   map[string]string
}

// Resources are the limits of a container. Sizes are bytes, times as the
// kernel takes them (microseconds for cgroups). 0 and nil are "not set".
type Resources struct {
	CPUs               float64
	CPUPeriod          uint64
	CPUQuota           int64
	CPUShares          uint64
	CPURealtimePeriod  uint64
	CPURealtimeRuntime int64
	CpusetCpus         string
	CpusetMems         string

	Memory            int64
	MemoryReservation int64
	MemorySwap        int64 // -1: unlimited
	MemorySwappiness  *int64
	KernelMemory      int64
	OOMKillDisable    bool
	OOMScoreAdj       *int
	PidsLimit         int64 // -1 or 0: unlimited

	BlkioWeight       uint16
	BlkioWeightDevice []string // dev:weight
	DeviceReadBps     []string // dev:rate
	DeviceReadIOps    []string
	DeviceWriteBps    []string
	DeviceWriteIOps   []string
	CgroupConf        map[string]string // cgroup v2 unified
	CgroupParent      string
	Devices           []Device
	RDTClass          string
}

// Device is a host device inside the container.
type Device struct {
	Host        string
	Container   string
	Permissions string // of rwm
}

// Security is what confines a container, or sets it free.
type Security struct {
	Privileged          bool
	CapAdd              []string
	CapDrop             []string
	Seccomp             string // "": the default profile; unconfined; a file
	AppArmor            string // "": the default where the kernel has it; unconfined; a profile
	Label               []string
	NoNewPrivileges     bool
	UnmaskedPaths       bool // systempaths=unconfined
	WritableCgroups     bool
	PrivilegedNoDevices bool
}

// Ulimit is one resource limit, without the RLIMIT_ prefix and in lower case.
type Ulimit struct {
	Name string
	Soft uint64
	Hard uint64
}

// RemoveOptions of [Service.Remove].
type RemoveOptions struct {
	Force   bool // kill it first; a half-made one goes too
	Volumes bool // its anonymous volumes too, unless another container mounts them
}

// StopOptions of [Service.Stop].
type StopOptions struct {
	Signal  string         // "": the container's own stop signal, else SIGTERM
	Timeout *time.Duration // nil: the container's own, else 10 s; 0: kill at once; < 0: wait for ever
}

// LogOptions of [Service.Logs]. Zero times are no bound.
type LogOptions struct {
	Follow bool
	Since  time.Time
	Until  time.Time
	Tail   int // the last n lines; < 0: all
}

// LogLine is one entry of a log, with its newline where the process wrote one.
type LogLine struct {
	Time   time.Time
	Stream string // stdout or stderr
	Text   []byte // valid until the callback returns
}

// ExecSpec is a further process in a running container.
type ExecSpec struct {
	Command    []string
	Env        []string
	WorkDir    string
	User       string
	TTY        bool
	Privileged bool
	Detach     bool // nothing is connected, Wait need not be called
}

// ListOptions of [Service.List].
type ListOptions struct {
	All   bool // not only the running ones
	Sizes bool
}

// Processes is the answer of `top`: a row a process.
type Processes struct {
	Titles []string
	Rows   [][]string
}
