package builtins

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/blkiodev"
	docker "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	dockernet "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/storage"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"

	"nsh/runtime/container"
	"nsh/runtime/image"
)

// InspectContainer shows all that is known of containers.
var InspectContainer = Define(Verb{
	Paths:  []string{"container inspect"},
	Short:  "Display detailed information on one or more containers",
	Effect: Reads,
	Example: `run("nginx", name = "web", detach = True)
print(container.inspect("web")[0]["Name"])`,
}, func(call *Call, p *containerInspectParams) ([]Inspected, error) {
	return inspectAll(call, p.Format, p.Mode, p.Containers, func(_ context.Context, ref string) (Inspected, error) {
		return inspectContainer(call, ref, p.Size, p.Mode == "native")
	})
}, func(call *Call, p *containerInspectParams, list []Inspected) error {
	return showInspected(call, p.Format, list)
})

type containerInspectParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	Format     string         `flag:"format,f" script:"-" doc:"@inspect"`
	Mode       string         `flag:"mode" def:"dockercompat" doc:"Inspect mode, \"dockercompat\" for docker's output, \"native\" for the engine's own record"`
	Size       bool           `flag:"size,s" doc:"Display total file sizes"`
}

func inspectContainer(call *Call, ref string, sizes, native bool) (Inspected, error) {
	d, err := call.Containers.Inspect(call.Context, ref, sizes)
	if err != nil {
		return Inspected{}, err
	}
	if native {
		return newInspected(d.Native)
	}
	// The image may be gone or moved on: then what was merged from it is only
	// known as far as the process shows it.
	var config *image.Config
	if d.ImageID != "" {
		if img, err := call.Images.Inspect(call.Context, d.ImageID, d.Platform); err == nil {
			config = &img.Config
		}
	}
	return newInspected(dockerContainer(d, config))
}

// dockerContainer gives a container the shape of docker's API 1.50, the last
// one that has the address of the default network at the top of
// NetworkSettings, where most scripts look for it.
func dockerContainer(d container.Detail, img *image.Config) docker.InspectResponse {
	r := docker.InspectResponse{
		ContainerJSONBase: &docker.ContainerJSONBase{
			ID:             d.ID,
			Created:        apiTime(d.Created),
			Args:           []string{},
			State:          dockerState(d.Container),
			Image:          d.ImageID,
			ResolvConfPath: d.ResolvConf,
			HostnamePath:   d.Hostname,
			HostsPath:      d.HostsPath,
			LogPath:        d.LogPath,
			Name:           "/" + d.Name,
			RestartCount:   d.Restarts,
			Driver:         d.Snapshotter,
			Platform:       strings.SplitN(d.Platform, "/", 2)[0],
			HostConfig:     dockerHostConfig(d),
			GraphDriver:    storage.DriverData{Name: d.Snapshotter},
		},
		Mounts:          dockerMounts(d.Mounts),
		Config:          dockerConfig(d, img),
		NetworkSettings: dockerNetworks(d),
	}
	if len(d.Args) > 0 {
		r.Path, r.Args = d.Args[0], append(r.Args, d.Args[1:]...)
	}
	if d.Spec.Security.AppArmor != "unconfined" {
		r.AppArmorProfile = d.Spec.Security.AppArmor
	}
	if d.Size != nil {
		r.SizeRw, r.SizeRootFs = &d.Size.Writable, &d.Size.Virtual
	}
	return r
}

// apiTime is how the API writes times; the zero time is year 1.
func apiTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func dockerState(c container.Container) *docker.State {
	return &docker.State{
		Status:     docker.ContainerState(c.Status),
		Running:    c.Status == container.Running || c.Status == container.Paused || c.Status == container.Restarting,
		Paused:     c.Status == container.Paused,
		Restarting: c.Status == container.Restarting,
		Pid:        c.Pid,
		ExitCode:   c.ExitCode,
		Error:      c.Error,
		StartedAt:  apiTime(c.StartedAt),
		FinishedAt: apiTime(c.FinishedAt),
	}
}

func dockerMounts(mounts []container.Mount) []docker.MountPoint {
	out := make([]docker.MountPoint, 0, len(mounts))
	for _, m := range mounts {
		p := docker.MountPoint{
			Type: mount.Type(m.Type), Name: m.Name, Source: m.Source, Destination: m.Destination,
			Mode: m.Mode, RW: m.RW, Propagation: mount.Propagation(m.Propagation),
		}
		if m.Type == "volume" {
			p.Driver = "local"
		}
		out = append(out, p)
	}
	return out
}

// dockerConfig is the request over the image's config, as dockerd merges them
// when it makes a container.
func dockerConfig(d container.Detail, img *image.Config) *docker.Config {
	s := d.Spec
	c := &docker.Config{
		Hostname: s.Hostname, Domainname: s.Domainname, User: s.User, Tty: s.TTY, OpenStdin: s.OpenStdin, Env: orEmpty(s.Env), Cmd: s.Command,
		Image: d.Image, WorkingDir: s.WorkDir, Labels: map[string]string{}, StopSignal: s.StopSignal, StopTimeout: s.StopTimeout,
	}
	if c.Hostname == "" {
		c.Hostname = d.ShortID()
	}
	exposed := nat.PortSet{}
	for _, p := range s.Expose {
		exposed[natPort(p)] = struct{}{}
	}
	for _, p := range s.Ports {
		exposed[mappingPort(p)] = struct{}{}
	}
	if s.Entrypoint != nil {
		c.Entrypoint = *s.Entrypoint
	}
	switch {
	case img != nil:
		if s.Entrypoint == nil {
			c.Entrypoint = img.Entrypoint
			if len(s.Command) == 0 {
				c.Cmd = img.Cmd
			}
		}
		if c.User == "" {
			c.User = img.User
		}
		if c.WorkingDir == "" {
			c.WorkingDir = img.WorkingDir
		}
		if c.StopSignal == "" {
			c.StopSignal = img.StopSignal
		}
		for _, e := range img.Env {
			key, _, _ := strings.Cut(e, "=")
			if !slices.ContainsFunc(c.Env, func(have string) bool { return strings.HasPrefix(have, key+"=") }) {
				c.Env = append(c.Env, e)
			}
		}
		for _, p := range img.ExposedPorts {
			exposed[natPort(p)] = struct{}{}
		}
		for _, v := range img.Volumes {
			if c.Volumes == nil {
				c.Volumes = map[string]struct{}{}
			}
			c.Volumes[v] = struct{}{}
		}
		for k, v := range img.Labels {
			c.Labels[k] = v
		}
		c.OnBuild, c.Shell = img.OnBuild, img.Shell
	case s.Entrypoint == nil && len(c.Cmd) == 0:
		c.Cmd = d.Args
	}
	for k, v := range d.Labels {
		c.Labels[k] = v
	}
	if len(exposed) > 0 {
		c.ExposedPorts = exposed
	}
	return c
}

func dockerHostConfig(d container.Detail) *docker.HostConfig {
	s, r := d.Spec, d.Spec.Resources
	h := &docker.HostConfig{
		ContainerIDFile: s.CIDFile,
		LogConfig:       docker.LogConfig{Type: s.LogDriver, Config: s.LogOpts},
		NetworkMode:     "bridge",
		PortBindings:    nat.PortMap{},
		RestartPolicy:   docker.RestartPolicy{Name: docker.RestartPolicyDisabled},
		AutoRemove:      s.AutoRemove,
		VolumesFrom:     s.VolumesFrom,
		Annotations:     s.Annotations,
		CapAdd:          s.Security.CapAdd,
		CapDrop:         s.Security.CapDrop,
		CgroupnsMode:    docker.CgroupnsMode(s.CgroupNS),
		DNS:             orEmpty(s.DNS),
		DNSOptions:      orEmpty(s.DNSOptions),
		DNSSearch:       orEmpty(s.DNSSearch),
		ExtraHosts:      s.ExtraHosts,
		GroupAdd:        s.Groups,
		IpcMode:         docker.IpcMode(s.IPCMode),
		PidMode:         docker.PidMode(s.PidMode),
		Privileged:      s.Security.Privileged,
		PublishAllPorts: s.PublishAll,
		ReadonlyRootfs:  s.ReadOnly,
		SecurityOpt:     securityWords(s.Security),
		UTSMode:         docker.UTSMode(s.UTSMode),
		UsernsMode:      docker.UsernsMode(s.UsernsMode),
		ShmSize:         s.ShmSize,
		Sysctls:         s.Sysctls,
		Runtime:         d.Runtime,
		Resources: docker.Resources{
			CPUShares: int64(r.CPUShares), Memory: r.Memory, NanoCPUs: int64(r.CPUs * 1e9), CgroupParent: r.CgroupParent,
			BlkioWeight: r.BlkioWeight, BlkioWeightDevice: []*blkiodev.WeightDevice{},
			BlkioDeviceReadBps: throttles(r.DeviceReadBps), BlkioDeviceWriteBps: throttles(r.DeviceWriteBps),
			BlkioDeviceReadIOps: throttles(r.DeviceReadIOps), BlkioDeviceWriteIOps: throttles(r.DeviceWriteIOps),
			CPUPeriod: int64(r.CPUPeriod), CPUQuota: r.CPUQuota, CPURealtimePeriod: int64(r.CPURealtimePeriod), CPURealtimeRuntime: r.CPURealtimeRuntime,
			CpusetCpus: r.CpusetCpus, CpusetMems: r.CpusetMems, Devices: []docker.DeviceMapping{},
			KernelMemory: r.KernelMemory, MemoryReservation: r.MemoryReservation, MemorySwap: r.MemorySwap, MemorySwappiness: r.MemorySwappiness,
			Ulimits: []*units.Ulimit{},
		},
	}
	if h.LogConfig.Type == "" {
		h.LogConfig.Type = "json-file"
	}
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	if len(d.Networks) > 0 {
		h.NetworkMode = docker.NetworkMode(d.Networks[0].Network)
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	if h.IpcMode == "" {
		h.IpcMode = "private"
	}
	if r.OOMScoreAdj != nil {
		h.OomScoreAdj = *r.OOMScoreAdj
	}
	if r.OOMKillDisable {
		h.OomKillDisable = &r.OOMKillDisable
	}
	if r.PidsLimit != 0 {
		h.PidsLimit = &r.PidsLimit
	}
	if s.Init {
		h.Init = &s.Init
	}
	for _, p := range s.Ports {
		b := nat.PortBinding{HostIP: p.HostIP}
		if p.HostPort > 0 {
			b.HostPort = strconv.Itoa(p.HostPort)
		}
		h.PortBindings[mappingPort(p)] = append(h.PortBindings[mappingPort(p)], b)
	}
	for _, m := range s.Mounts {
		switch m.Type {
		case "tmpfs":
			if h.Tmpfs == nil {
				h.Tmpfs = map[string]string{}
			}
			h.Tmpfs[m.Destination] = m.Mode
		case "bind", "volume":
			source := m.Source
			if m.Name != "" {
				source = m.Name
			}
			bind := source + ":" + m.Destination
			if m.Mode != "" {
				bind += ":" + m.Mode
			}
			h.Binds = append(h.Binds, bind)
		}
	}
	for _, w := range r.BlkioWeightDevice {
		path, weight, _ := strings.Cut(w, ":")
		n, _ := strconv.ParseUint(weight, 10, 16)
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, &blkiodev.WeightDevice{Path: path, Weight: uint16(n)})
	}
	for _, v := range r.Devices {
		h.Devices = append(h.Devices, docker.DeviceMapping{PathOnHost: v.Host, PathInContainer: v.Container, CgroupPermissions: v.Permissions})
	}
	for _, u := range s.Ulimits {
		h.Ulimits = append(h.Ulimits, &units.Ulimit{Name: u.Name, Soft: int64(u.Soft), Hard: int64(u.Hard)})
	}
	return h
}

// securityWords are the --security-opt that were given.
func securityWords(s container.Security) []string {
	var out []string
	add := func(on bool, word string) {
		if on {
			out = append(out, word)
		}
	}
	add(s.Seccomp != "", "seccomp="+s.Seccomp)
	add(s.AppArmor != "", "apparmor="+s.AppArmor)
	for _, l := range s.Label {
		add(true, "label="+l)
	}
	add(s.NoNewPrivileges, "no-new-privileges")
	add(s.UnmaskedPaths, "systempaths=unconfined")
	add(s.WritableCgroups, "writable-cgroups=true")
	add(s.PrivilegedNoDevices, "privileged-without-host-devices")
	return out
}

// throttles takes "dev:rate", where the rate may be a size.
func throttles(words []string) []*blkiodev.ThrottleDevice {
	out := []*blkiodev.ThrottleDevice{}
	for _, w := range words {
		path, rate, _ := strings.Cut(w, ":")
		n, _ := units.RAMInBytes(rate)
		out = append(out, &blkiodev.ThrottleDevice{Path: path, Rate: uint64(max(n, 0))})
	}
	return out
}

func dockerNetworks(d container.Detail) *docker.NetworkSettings {
	n := &docker.NetworkSettings{
		NetworkSettingsBase: docker.NetworkSettingsBase{SandboxKey: d.NetNS, Ports: nat.PortMap{}},
		Networks:            map[string]*dockernet.EndpointSettings{},
	}
	for _, e := range d.Networks {
		n.Networks[e.Network] = &dockernet.EndpointSettings{
			MacAddress: e.MAC, Gateway: e.Gateway, IPAddress: e.IP, IPPrefixLen: e.PrefixLen,
			IPv6Gateway: e.Gateway6, GlobalIPv6Address: e.IP6, GlobalIPv6PrefixLen: e.PrefixLen6,
		}
		if e.Network == "bridge" {
			n.DefaultNetworkSettings = docker.DefaultNetworkSettings{
				MacAddress: e.MAC, Gateway: e.Gateway, IPAddress: e.IP, IPPrefixLen: e.PrefixLen,
				IPv6Gateway: e.Gateway6, GlobalIPv6Address: e.IP6, GlobalIPv6PrefixLen: e.PrefixLen6,
			}
		}
	}
	for _, p := range openPorts(d.Container) {
		key := mappingPort(p)
		if p.HostPort == 0 {
			if _, ok := n.Ports[key]; !ok {
				n.Ports[key] = nil
			}
			continue
		}
		n.Ports[key] = append(n.Ports[key], nat.PortBinding{HostIP: hostIP(p.HostIP), HostPort: strconv.Itoa(p.HostPort)})
	}
	return n
}

func mappingPort(p container.PortMapping) nat.Port {
	proto := p.Protocol
	if proto == "" {
		proto = "tcp"
	}
	return nat.Port(fmt.Sprintf("%d/%s", p.ContainerPort, proto))
}

// natPort adds the protocol where there is none.
func natPort(port string) nat.Port {
	if !strings.Contains(port, "/") {
		port += "/tcp"
	}
	return nat.Port(port)
}

// orEmpty is for lists that docker never shows as null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return slices.Clone(list)
}
