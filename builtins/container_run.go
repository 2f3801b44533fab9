package builtins

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/plan"
	"nsh/runtime/recorder"
)

// CreateOptions are the flags that run and create share: docker's, and what
// nerdctl has beside them.
type CreateOptions struct {
	Image   ImageRef `arg:"IMAGE"`
	Command Words    `arg:"[COMMAND] [ARG...]"`

	Interactive bool   `flag:"interactive,i" doc:"Keep STDIN open even if not attached"`
	TTY         bool   `flag:"tty,t" doc:"Allocate a pseudo-TTY"`
	Rm          bool   `flag:"rm" doc:"Automatically remove the container and its associated anonymous volumes when it exits"`
	Pull        string `flag:"pull" def:"missing" doc:"Pull image before running (\"always\", \"missing\", \"never\")"`
	Quiet       bool   `flag:"quiet,q" doc:"Suppress the pull output"`
	PID         string `flag:"pid" doc:"PID namespace to use"`
	UTS         string `flag:"uts" doc:"UTS namespace to use"`
	StopSignal  string `flag:"stop-signal" doc:"Signal to stop the container"`
	StopTimeout *int   `flag:"stop-timeout" doc:"Timeout (in seconds) to stop a container"`
	Platform    string `flag:"platform" doc:"Set platform if server is multi-platform capable"`
	Isolation   string `flag:"isolation" doc:"Container isolation technology"`
	Init        bool   `flag:"init" doc:"Run an init inside the container that forwards signals and reaps processes"`
	InitBinary  string `flag:"init-binary" doc:"Init binary to use, on the PATH of the host (default \"tini\")"`
	Restart     string `flag:"restart" def:"no" doc:"Restart policy to apply when a container exits"`

	Network    []NetworkRef `flag:"network" alias:"net" type:"network" doc:"Connect a container to a network"`
	Publish    []string     `flag:"publish,p" doc:"Publish a container's port(s) to the host"`
	PublishAll bool         `flag:"publish-all,P" doc:"Publish all exposed ports to random ports"`
	Expose     []string     `flag:"expose" doc:"Expose a port or a range of ports"`
	DNS        []string     `flag:"dns" doc:"Set custom DNS servers"`
	DNSSearch  []string     `flag:"dns-search" doc:"Set custom DNS search domains"`
	DNSOption  []string     `flag:"dns-option" alias:"dns-opt" doc:"Set DNS options"`
	Hostname   string       `flag:"hostname,h" doc:"Container host name"`
	Domainname string       `flag:"domainname" doc:"Container NIS domain name"`
	AddHost    []string     `flag:"add-host" doc:"Add a custom host-to-IP mapping (host:ip)"`
	IP         string       `flag:"ip" doc:"IPv4 address (e.g., 172.30.100.104)"`
	IP6        string       `flag:"ip6" doc:"IPv6 address (e.g., 2001:db8::33)"`
	MACAddress string       `flag:"mac-address" doc:"Container MAC address (e.g., 92:d0:c6:0a:29:33)"`

	CPUs              float64   `flag:"cpus" doc:"Number of CPUs"`
	CPUPeriod         int64     `flag:"cpu-period" doc:"Limit CPU CFS (Completely Fair Scheduler) period"`
	CPUQuota          int64     `flag:"cpu-quota" doc:"Limit CPU CFS (Completely Fair Scheduler) quota"`
	CPUShares         int64     `flag:"cpu-shares,c" doc:"CPU shares (relative weight)"`
	CPURTPeriod       int64     `flag:"cpu-rt-period" doc:"Limit CPU real-time period in microseconds"`
	CPURTRuntime      int64     `flag:"cpu-rt-runtime" doc:"Limit CPU real-time runtime in microseconds"`
	CpusetCPUs        string    `flag:"cpuset-cpus" doc:"CPUs in which to allow execution (0-3, 0,1)"`
	CpusetMems        string    `flag:"cpuset-mems" doc:"MEMs in which to allow execution (0-3, 0,1)"`
	Memory            Bytes     `flag:"memory,m" doc:"Memory limit"`
	MemoryReservation Bytes     `flag:"memory-reservation" doc:"Memory soft limit"`
	MemorySwap        Bytes     `flag:"memory-swap" doc:"Swap limit equal to memory plus swap: '-1' to enable unlimited swap"`
	MemorySwappiness  int64     `flag:"memory-swappiness" def:"-1" doc:"Tune container memory swappiness (0 to 100)"`
	KernelMemory      Bytes     `flag:"kernel-memory" doc:"Kernel memory limit"`
	OOMKillDisable    bool      `flag:"oom-kill-disable" doc:"Disable OOM Killer"`
	OOMScoreAdj       int       `flag:"oom-score-adj" doc:"Tune host's OOM preferences (-1000 to 1000)"`
	PidsLimit         int64     `flag:"pids-limit" doc:"Tune container pids limit (set -1 for unlimited)"`
	CgroupConf        KeyValues `flag:"cgroup-conf" doc:"Configure cgroup v2 (key=value)"`
	Cgroupns          string    `flag:"cgroupns" doc:"Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)"`
	CgroupParent      string    `flag:"cgroup-parent" doc:"Optional parent cgroup for the container"`
	BlkioWeight       uint16    `flag:"blkio-weight" doc:"Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"`
	BlkioWeightDevice []string  `flag:"blkio-weight-device" def:"[]" doc:"Block IO weight (relative device weight)"`
	DeviceReadBps     []string  `flag:"device-read-bps" def:"[]" doc:"Limit read rate (bytes per second) from a device"`
	DeviceReadIOps    []string  `flag:"device-read-iops" def:"[]" doc:"Limit read rate (IO per second) from a device"`
	DeviceWriteBps    []string  `flag:"device-write-bps" def:"[]" doc:"Limit write rate (bytes per second) to a device"`
	DeviceWriteIOps   []string  `flag:"device-write-iops" def:"[]" doc:"Limit write rate (IO per second) to a device"`
	Device            []string  `flag:"device" doc:"Add a host device to the container"`
	RDTClass          string    `flag:"rdt-class" doc:"Name of the RDT class (or CLOS) to associate the container with"`

	User        string    `flag:"user,u" doc:"Username or UID (format: <name|uid>[:<group|gid>])"`
	Umask       string    `flag:"umask" doc:"Set the umask inside the container, for example 0022"`
	GroupAdd    []string  `flag:"group-add" doc:"Add additional groups to join"`
	Userns      string    `flag:"userns" doc:"User namespace to use"`
	SecurityOpt []string  `flag:"security-opt" doc:"Security Options"`
	CapAdd      []string  `flag:"cap-add" doc:"Add Linux capabilities"`
	CapDrop     []string  `flag:"cap-drop" doc:"Drop Linux capabilities"`
	Privileged  bool      `flag:"privileged" doc:"Give extended privileges to this container"`
	Systemd     string    `flag:"systemd" def:"false" doc:"Allow running systemd in this container (\"false\", \"true\", \"always\")"`
	Runtime     string    `flag:"runtime" doc:"Runtime to use for this container"`
	Sysctl      KeyValues `flag:"sysctl" type:"map" def:"map[]" doc:"Sysctl options"`
	Ulimit      []string  `flag:"ulimit" type:"ulimit" def:"[]" doc:"Ulimit options"`

	Volume      []string  `flag:"volume,v" doc:"Bind mount a volume"`
	Tmpfs       []string  `flag:"tmpfs" doc:"Mount a tmpfs directory"`
	Mount       []string  `flag:"mount" type:"mount" doc:"Attach a filesystem mount to the container"`
	VolumesFrom []string  `flag:"volumes-from" doc:"Mount volumes from the specified container(s)"`
	ReadOnly    bool      `flag:"read-only" doc:"Mount the container's root filesystem as read only"`
	Rootfs      bool      `flag:"rootfs" doc:"The first argument is not an image but the rootfs to the exploded container"`
	Entrypoint  *[]string `flag:"entrypoint" type:"string" doc:"Overwrite the default ENTRYPOINT of the image"`
	Workdir     string    `flag:"workdir,w" doc:"Working directory inside the container"`
	Env         KeyValues `flag:"env,e" secret:"yes" doc:"Set environment variables"`
	EnvFile     []string  `flag:"env-file" doc:"Read in a file of environment variables"`
	ShmSize     Bytes     `flag:"shm-size" doc:"Size of /dev/shm"`
	IPC         string    `flag:"ipc" doc:"IPC mode to use"`

	Name       string    `flag:"name" doc:"Assign a name to the container"`
	Label      KeyValues `flag:"label,l" doc:"Set meta data on a container"`
	LabelFile  []string  `flag:"label-file" doc:"Read in a line delimited file of labels"`
	Annotation KeyValues `flag:"annotation" type:"map" def:"map[]" doc:"Add an annotation to the container (passed through to the OCI runtime)"`
	CIDFile    string    `flag:"cidfile" doc:"Write the container ID to the file"`
	PidFile    string    `flag:"pidfile" doc:"Write the PID of the container's process to the file"`
	LogDriver  string    `flag:"log-driver" doc:"Logging driver for the container"`
	LogOpt     KeyValues `flag:"log-opt" doc:"Log driver options"`

	GPUs                NotBuilt `flag:"gpus" type:"gpu-request" doc:"GPU devices to add to the container ('all' to pass all GPUs)"`
	HealthCmd           NotBuilt `flag:"health-cmd" doc:"Command to run to check health"`
	HealthInterval      NotBuilt `flag:"health-interval" type:"duration" doc:"Time between running the check (ms|s|m|h) (default 0s)"`
	HealthTimeout       NotBuilt `flag:"health-timeout" type:"duration" doc:"Maximum time to allow one check to run (ms|s|m|h) (default 0s)"`
	HealthRetries       NotBuilt `flag:"health-retries" type:"int" doc:"Consecutive failures needed to report unhealthy"`
	HealthStartPeriod   NotBuilt `flag:"health-start-period" type:"duration" doc:"Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)"`
	HealthStartInterval NotBuilt `flag:"health-start-interval" type:"duration" doc:"Time between running the check during the start period (ms|s|m|h) (default 0s)"`
	NoHealthcheck       NotBuilt `flag:"no-healthcheck" type:"bool" doc:"Disable any container-specified HEALTHCHECK"`
	Verify              NotBuilt `flag:"verify" doc:"Verify the image (none|cosign|notation)"`
	CosignKey           NotBuilt `flag:"cosign-key" doc:"Path to the public key file, KMS, URI or Kubernetes Secret for --verify=cosign"`
	CosignIdentity      NotBuilt `flag:"cosign-certificate-identity" doc:"Identity expected in a valid Fulcio certificate"`
	CosignIdentityRe    NotBuilt `flag:"cosign-certificate-identity-regexp" doc:"Regular expression for the identity in a valid Fulcio certificate"`
	CosignIssuer        NotBuilt `flag:"cosign-certificate-oidc-issuer" doc:"OIDC issuer expected in a valid Fulcio certificate"`
	CosignIssuerRe      NotBuilt `flag:"cosign-certificate-oidc-issuer-regexp" doc:"Regular expression for the OIDC issuer"`
	IPFSAddress         NotBuilt `flag:"ipfs-address" doc:"multiaddr of the IPFS API"`
	Link                NotBuilt `flag:"link" type:"list" doc:"Add link to another container"`
	LinkLocalIP         NotBuilt `flag:"link-local-ip" type:"list" doc:"Container IPv4/IPv6 link-local addresses"`
	NetworkAlias        NotBuilt `flag:"network-alias" type:"list" doc:"Add network-scoped alias for the container"`
	StorageOpt          NotBuilt `flag:"storage-opt" type:"list" doc:"Storage driver options for the container"`
	VolumeDriver        NotBuilt `flag:"volume-driver" doc:"Optional volume driver for the container"`
	DeviceCgroupRule    NotBuilt `flag:"device-cgroup-rule" type:"list" doc:"Add a rule to the cgroup allowed devices list"`
	DisableContentTrust NotBuilt `flag:"disable-content-trust" type:"bool" doc:"Skip image verification (default true)"`
	UseAPISocket        NotBuilt `flag:"use-api-socket" type:"bool" doc:"Bind mount Docker API socket and required auth"`
}

// RunParams are those of run.
type RunParams struct {
	CreateOptions
	Attach     []string `flag:"attach,a" doc:"Attach to STDIN, STDOUT or STDERR"`
	Detach     bool     `flag:"detach,d" doc:"Run container in background and print container ID"`
	DetachKeys string   `flag:"detach-keys" doc:"Override the key sequence for detaching a container"`
	SigProxy   bool     `flag:"sig-proxy" def:"true" doc:"Proxy received signals to the process"`
	Check      bool     `flag:"check" only:"script" def:"true" doc:"A non-zero exit code is an error"`
	Stdin      *string  `flag:"stdin" only:"script" secret:"yes" doc:"What the process reads"`
}

// Create makes a container and leaves it.
var Create = Define(Verb{
	Paths:  []string{"create", "container create"},
	Short:  "Create a new container",
	Effect: Writes,
	Example: `web = create("nginx", name = "web", publish = ["8080:80"])
print(web.status)`,
	FlagsFirst:      true,
	Failure:         1,
	NoShorthandHelp: true,
}, func(call *Call, p *CreateOptions) (container.Container, error) {
	return create(call, p)
}, func(call *Call, p *CreateOptions, c container.Container) error {
	_, err := fmt.Fprintln(call.Stdout, c.ID)
	return err
})

// Run creates a container and starts it. In the background it gives the
// Container; in the foreground a Result, on a command line the process has the
// caller's streams.
var Run_ = Define(Verb{
	Paths:  []string{"run", "container run"},
	Short:  "Create and run a new container from an image",
	Effect: Writes,
	Example: `web = run("nginx", name = "web", detach = True, publish = ["8080:80"])
print(run("alpine", "echo", "hello", rm = True).stdout)`,
	FlagsFirst:      true,
	Failure:         125,
	NoShorthandHelp: true,
}, func(call *Call, p *RunParams) (any, error) {
	if p.Detach && len(p.Attach) > 0 {
		return nil, misuse("conflicting options: cannot specify both --attach and --detach")
	}
	c, err := create(call, &p.CreateOptions)
	if err != nil {
		return nil, err
	}
	release := func() {}
	if p.Rm {
		if release, err = call.Containers.RemoveAtExit(call.Context, c.ID); err != nil {
			return nil, discard(call, c, true, err)
		}
	}
	// Also when the user detaches, and when this process dies.
	defer func() { release() }()
	if p.Detach {
		// Looked at before it starts: with --rm it may be gone right after.
		release()
		release = func() {}
		if _, err := call.Containers.Start(call.Context, c.ID, nil); err != nil {
			return nil, discard(call, c, p.Rm, err)
		}
		now, err := call.Containers.Get(call.Context, c.ID)
		if p.Rm && fault.Is(err, fault.NotFound) {
			return c, nil
		}
		return now, err
	}
	fg := foreground{
		stdin: p.Interactive, tty: p.TTY, attach: p.Attach, sigProxy: p.SigProxy && !p.TTY, detachKeys: p.DetachKeys, check: p.Check, text: p.Stdin,
		cleanup: func() error {
			if !p.Rm {
				return nil
			}
			return call.Containers.Remove(detachedContext(call), c.ID, container.RemoveOptions{Force: true, Volumes: true})
		},
		failed: func(err error) error { return discard(call, c, p.Rm, err) },
	}
	return fg.run(call, c.Name, func(s container.Streams) (container.Process, error) {
		return call.Containers.Start(call.Context, c.ID, &s)
	})
}, func(call *Call, p *RunParams, r any) error {
	if c, ok := r.(container.Container); ok {
		_, err := fmt.Fprintln(call.Stdout, c.ID)
		return err
	}
	return nil
})

// discard takes back a container that could not be started: docker keeps it
// unless --rm was given.
func discard(call *Call, c container.Container, rm bool, err error) error {
	if rm {
		if rerr := call.Containers.Remove(detachedContext(call), c.ID, container.RemoveOptions{Force: true, Volumes: true}); rerr != nil {
			return errors.Join(err, rerr)
		}
	}
	return err
}

// create is what run and create have in common: the image, the request, the
// files that were asked for.
func create(call *Call, o *CreateOptions) (container.Container, error) {
	var none container.Container
	spec, err := o.spec(call)
	if err != nil {
		return none, wrong(err)
	}
	if o.CIDFile != "" {
		if _, err := os.Stat(o.CIDFile); err == nil {
			return none, misuse("container ID file found, make sure the other container isn't running or delete %s", o.CIDFile)
		}
	}
	if !o.Rootfs {
		if err := ensureImage(call, string(o.Image), o.Platform, o.Pull, o.Quiet || call.Script); err != nil {
			return none, err
		}
	}
	c, err := call.Containers.Create(call.Context, spec)
	if err != nil {
		return none, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(call.Stderr, "WARNING: %s\n", w)
	}
	if o.CIDFile != "" && !planFile(call, "write", o.CIDFile) {
		if err := os.WriteFile(o.CIDFile, []byte(c.ID), 0o644); err != nil {
			return none, discard(call, c, true, fault.Wrap(err, "write the container ID to", o.CIDFile))
		}
	}
	return c, nil
}

// planFile notes what would be done to a file or directory of the host, and tells
// whether this is a plan.
func planFile(call *Call, action, path string) bool {
	p := plan.From(call.Context)
	if p == nil {
		return false
	}
	p.Add(plan.Change{Action: action, Kind: "file", Name: path})
	return true
}

// ensureImage pulls by docker's --pull.
func ensureImage(call *Call, ref, platform, policy string, quiet bool) error {
	switch policy {
	case "always", "missing", "never":
	default:
		return misuse("invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", policy)
	}
	if policy != "always" {
		_, err := call.Images.Get(call.Context, ref)
		if err == nil || !fault.Is(err, fault.NotFound) || policy == "never" {
			return err
		}
		if !quiet {
			fmt.Fprintf(call.Stderr, "Unable to find image '%s' locally\n", image.Familiar(ref))
		}
	}
	opts := image.PullOptions{}
	if platform != "" {
		opts.Platforms = []string{platform}
	}
	_, err := pull(call, call.Stderr, ref, opts, quiet)
	return err
}

// spec turns words into the request. What it refuses is the command line's
// fault, in docker's words.
func (o *CreateOptions) spec(call *Call) (container.Spec, error) {
	s := container.Spec{
		Name: o.Name, Image: string(o.Image), Rootfs: o.Rootfs, Platform: o.Platform, Command: o.Command, Entrypoint: o.Entrypoint,
		WorkDir: o.Workdir, User: o.User, Groups: o.GroupAdd, Umask: o.Umask, TTY: o.TTY, OpenStdin: o.Interactive, AutoRemove: o.Rm,
		StopSignal: o.StopSignal, StopTimeout: o.StopTimeout, CIDFile: o.CIDFile, PidFile: o.PidFile,
		Hostname: o.Hostname, Domainname: o.Domainname, Networks: texts(o.Network), Expose: o.Expose, PublishAll: o.PublishAll,
		DNS: o.DNS, DNSSearch: o.DNSSearch, DNSOptions: o.DNSOption, IP: o.IP, IP6: o.IP6, MAC: o.MACAddress,
		PidMode: o.PID, UTSMode: o.UTS, IPCMode: o.IPC, CgroupNS: o.Cgroupns, UsernsMode: o.Userns,
		ReadOnly: o.ReadOnly, ShmSize: int64(o.ShmSize), VolumesFrom: o.VolumesFrom,
		Init: o.Init, InitBinary: o.InitBinary, Systemd: o.Systemd, Runtime: o.Runtime, LogDriver: o.LogDriver,
	}
	if err := o.sandboxedFiles(call); err != nil {
		return s, err
	}
	switch o.Restart {
	case "", "no":
	default:
		if o.Rm {
			return s, misuse("conflicting options: cannot specify both --restart and --rm")
		}
		return s, fault.New(fault.Invalid, "%s: --restart=%s is not built yet", call.Verb.name(), o.Restart).WithHint("leave the flag out, or give --restart=no")
	}
	if o.Isolation != "" && o.Isolation != "default" {
		return s, fault.New(fault.Invalid, "invalid isolation %q: on Linux it is default", o.Isolation)
	}
	switch o.LogDriver {
	case "", "json-file", "none":
	default:
		return s, fault.New(fault.Invalid, "log driver %q is not built yet", o.LogDriver).WithHint("json-file and none are there")
	}
	if o.StopSignal != "" {
		if _, err := container.ParseSignal(o.StopSignal); err != nil {
			return s, err
		}
	}
	if o.Name != "" {
		if err := container.ValidateName(o.Name); err != nil {
			return s, err
		}
	}
	if len(o.Network) > 1 {
		for _, n := range o.Network {
			if n == "host" || n == "none" || strings.HasPrefix(string(n), "container:") {
				return s, fault.New(fault.Invalid, "conflicting options: cannot attach a %s network with others", n)
			}
		}
	}
	var err error
	if s.Ports, err = parsePorts(o.Publish); err != nil {
		return s, err
	}
	// A variable without a value is the caller's own, as in docker; it is the
	// only way in which the environment of the caller gets into a container.
	if s.Env, err = environment(o.EnvFile, o.Env); err != nil {
		return s, err
	}
	if s.Labels, err = labelMap(o.LabelFile, o.Label); err != nil {
		return s, err
	}
	if s.Annotations, err = keyValueMap("annotation", o.Annotation); err != nil {
		return s, err
	}
	if s.Sysctls, err = keyValueMap("sysctl", o.Sysctl); err != nil {
		return s, err
	}
	if s.LogOpts, err = keyValueMap("log-opt", o.LogOpt); err != nil {
		return s, err
	}
	if err := logOptions(s.LogDriver, s.LogOpts); err != nil {
		return s, err
	}
	if s.ExtraHosts, err = extraHosts(o.AddHost); err != nil {
		return s, err
	}
	if s.Ulimits, err = ulimits(o.Ulimit); err != nil {
		return s, err
	}
	if s.Mounts, err = mounts(call, o.Volume, o.Mount, o.Tmpfs); err != nil {
		return s, err
	}
	if s.Mounts, err = mountsFrom(call, s.Mounts, o.VolumesFrom); err != nil {
		return s, err
	}
	if s.Security, err = securityOptions(o); err != nil {
		return s, err
	}
	if s.Resources, err = o.resources(); err != nil {
		return s, err
	}
	return s, o.sandboxed(call, s)
}

func (o *CreateOptions) resources() (container.Resources, error) {
	r := container.Resources{
		CPUs: o.CPUs, CPUPeriod: uint64(max(o.CPUPeriod, 0)), CPUQuota: o.CPUQuota, CPUShares: uint64(max(o.CPUShares, 0)),
		CPURealtimePeriod: uint64(max(o.CPURTPeriod, 0)), CPURealtimeRuntime: o.CPURTRuntime, CpusetCpus: o.CpusetCPUs, CpusetMems: o.CpusetMems,
		Memory: int64(o.Memory), MemoryReservation: int64(o.MemoryReservation), MemorySwap: int64(o.MemorySwap), KernelMemory: int64(o.KernelMemory),
		OOMKillDisable: o.OOMKillDisable, PidsLimit: o.PidsLimit, BlkioWeight: o.BlkioWeight, BlkioWeightDevice: o.BlkioWeightDevice,
		DeviceReadBps: o.DeviceReadBps, DeviceReadIOps: o.DeviceReadIOps, DeviceWriteBps: o.DeviceWriteBps, DeviceWriteIOps: o.DeviceWriteIOps,
		CgroupParent: o.CgroupParent, RDTClass: o.RDTClass,
	}
	if o.OOMScoreAdj != 0 {
		r.OOMScoreAdj = &o.OOMScoreAdj
	}
	if o.MemorySwappiness >= 0 {
		r.MemorySwappiness = &o.MemorySwappiness
	}
	var err error
	if r.CgroupConf, err = keyValueMap("cgroup-conf", o.CgroupConf); err != nil {
		return r, err
	}
	for _, d := range o.Device {
		dev, err := device(d)
		if err != nil {
			return r, err
		}
		r.Devices = append(r.Devices, dev)
	}
	return r, nil
}

// device takes HOST[:CONTAINER[:PERMISSIONS]].
func device(word string) (container.Device, error) {
	if !strings.HasPrefix(word, "/") {
		return container.Device{}, fault.New(fault.Invalid, "--device %s: CDI devices are not built yet", word)
	}
	parts := strings.Split(word, ":")
	d := container.Device{Host: parts[0], Container: parts[0], Permissions: "rwm"}
	isMode := func(s string) bool { return s != "" && strings.Trim(s, "rwm") == "" }
	switch len(parts) {
	case 1:
	case 2:
		if isMode(parts[1]) {
			d.Permissions = parts[1]
		} else {
			d.Container = parts[1]
		}
	case 3:
		d.Container, d.Permissions = parts[1], parts[2]
		if d.Container == "" {
			d.Container = d.Host
		}
	default:
		return d, fault.New(fault.Invalid, "invalid device specification: %s", word)
	}
	if !isMode(d.Permissions) || !filepath.IsAbs(d.Container) {
		return d, fault.New(fault.Invalid, "invalid device specification: %s", word)
	}
	return d, nil
}

func securityOptions(o *CreateOptions) (container.Security, error) {
	s := container.Security{Privileged: o.Privileged, CapAdd: o.CapAdd, CapDrop: o.CapDrop}
	for _, opt := range o.SecurityOpt {
		key, val, ok := strings.Cut(opt, "=")
		if !ok {
			if k, v, colon := strings.Cut(opt, ":"); colon {
				key, val, ok = k, v, true // docker's old form
			}
		}
		flag := func() (bool, error) {
			if !ok {
				return true, nil
			}
			b, err := strconv.ParseBool(val)
			if err != nil {
				return false, fault.New(fault.Invalid, "invalid --security-opt: %q", opt)
			}
			return b, nil
		}
		var err error
		switch key {
		case "seccomp":
			s.Seccomp = val
		case "apparmor":
			s.AppArmor = val
		case "label":
			s.Label = append(s.Label, val)
		case "no-new-privileges":
			s.NoNewPrivileges, err = flag()
		case "systempaths":
			if val != "unconfined" {
				err = fault.New(fault.Invalid, "invalid --security-opt: %q", opt)
			}
			s.UnmaskedPaths = true
		case "writable-cgroups":
			s.WritableCgroups, err = flag()
		case "privileged-without-host-devices":
			s.PrivilegedNoDevices, err = flag()
		default:
			err = fault.New(fault.Invalid, "invalid --security-opt: %q", opt)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// foreground runs a process that the caller waits for: run, start -a, attach
// and exec share it.
type foreground struct {
	stdin      bool // pass the input on
	tty        bool
	attach     []string // which streams; empty: all
	sigProxy   bool
	detachKeys string
	check      bool
	text       *string           // the input of a script's call
	cleanup    func() error      // after the end
	failed     func(error) error // after it could not be started
}

var errForced = errors.New("got 3 SIGTERM/SIGINTs, forcefully exiting")

// maxCapture bounds what a script's call keeps of a process's output.
const maxCapture = 64 << 20

func (f *foreground) run(call *Call, name string, start func(container.Streams) (container.Process, error)) (any, error) {
	if plan.From(call.Context) != nil {
		p, err := start(container.Streams{})
		switch {
		case err != nil:
			return nil, err
		case recorder.Planned(p) && call.Script:
			if c, err := call.Containers.Get(call.Context, name); err == nil {
				name = cmp.Or(c.Name, c.ShortID())
			}
			return Result{planned: call.Verb.name() + " in " + name, checked: f.check}, nil
		case recorder.Planned(p):
			return nil, nil
		}
		return nil, plan.NotKnown("what " + name + " writes")
	}
	streams, done, err := f.streams(call)
	if err != nil {
		return nil, err
	}
	defer done.all()
	p, err := start(streams)
	if err != nil {
		done.all()
		if f.failed != nil {
			err = f.failed(err)
		}
		return nil, err
	}
	wait, forced := context.WithCancelCause(call.Context)
	defer forced(nil)
	if f.sigProxy && !call.Script {
		stop := proxySignals(call.Env, p, func() { forced(errForced) })
		defer stop()
	}
	if call.TTY != nil && f.tty && !call.Script {
		done.add(call.TTY.OnResize(func(w, h int) { _ = p.Resize(call.Context, w, h) }))
	}
	exit, err := p.Wait(wait)
	done.all()
	if context.Cause(wait) == errForced {
		fmt.Fprintln(call.Stderr, errForced)
		return nil, exitStatus(1)
	}
	if errors.Is(err, container.ErrDetached) {
		fmt.Fprintln(call.Stderr, "read escape sequence")
		return nil, nil
	}
	if err != nil {
		if call.Context.Err() != nil && f.cleanup != nil {
			// Ctrl-C in a script, or at the prompt: what was started for this call goes.
			_ = p.Signal(detachedContext(call), "SIGKILL")
			return nil, errors.Join(fault.Wrap(err, "wait for container", name), f.cleanup())
		}
		return nil, err
	}
	if f.cleanup != nil {
		if err := f.cleanup(); err != nil {
			return nil, err
		}
	}
	if !call.Script {
		if exit.Code != 0 {
			return nil, exitStatus(exit.Code)
		}
		return nil, nil
	}
	r := Result{Code: exit.Code, Stdout: done.out.String(), Stderr: done.err.String()}
	if f.check {
		return r, r.Err(call.Verb.name(), name)
	}
	return r, nil
}

// closing collects what has to be put back when the process has ended.
type closing struct {
	fns      []func()
	out, err bytes.Buffer
}

func (c *closing) add(fn func()) { c.fns = append(c.fns, fn) }
func (c *closing) all() {
	for i := len(c.fns) - 1; i >= 0; i-- {
		c.fns[i]()
	}
	c.fns = nil
}

// limited drops what is beyond the bound, and says so once.
type limited struct {
	b *bytes.Buffer
}

func (l limited) Write(p []byte) (int, error) {
	if room := maxCapture - l.b.Len(); room > 0 {
		l.b.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

func (f *foreground) streams(call *Call) (container.Streams, *closing, error) {
	c := &closing{}
	if call.Script {
		s := container.Streams{Stdout: limited{&c.out}, Stderr: limited{&c.err}}
		if f.text != nil {
			s.Stdin = strings.NewReader(*f.text)
		}
		return s, c, nil
	}
	s := container.Streams{Stdout: call.Stdout, Stderr: call.Stderr}
	if len(f.attach) > 0 {
		want := map[string]bool{}
		for _, a := range f.attach {
			a = strings.ToLower(a)
			if a != "stdin" && a != "stdout" && a != "stderr" {
				return s, c, misuse("valid streams are STDIN, STDOUT and STDERR")
			}
			want[a] = true
		}
		if !want["stdout"] {
			s.Stdout = nil
		}
		if !want["stderr"] {
			s.Stderr = nil
		}
		f.stdin = f.stdin && want["stdin"] || want["stdin"]
	}
	if f.stdin {
		in, cancel := cancellable(call.Stdin)
		s.Stdin = in
		c.add(cancel)
	}
	if !f.tty {
		return s, c, nil
	}
	if f.stdin && (call.TTY == nil || !call.TTY.IsInput()) {
		return s, c, misuse("the input device is not a TTY")
	}
	keys, err := detachKeys(f.detachKeys)
	if err != nil {
		return s, c, wrong(err)
	}
	s.DetachKeys = keys
	if call.TTY != nil {
		s.Width, s.Height, _ = call.TTY.Size()
		if f.stdin {
			restore, err := call.TTY.Raw()
			if err != nil {
				return s, c, fault.Wrap(err, "put into raw mode", "the terminal")
			}
			c.add(restore)
		}
	}
	return s, c, nil
}
