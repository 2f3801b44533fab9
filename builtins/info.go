package builtins

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/docker/cli/templates"
	"github.com/docker/go-units"

	"nsh/runtime/system"
)

// Info is what info shows: docker's fields in docker's order, less those of
// swarm and of a daemon.
type Info struct {
	ID                string
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	Driver            string
	DriverStatus      [][2]string `json:",omitempty"`
	Plugins           InfoPlugins
	MemoryLimit       bool
	SwapLimit         bool
	CPUCfsPeriod      bool `json:"CpuCfsPeriod"`
	CPUCfsQuota       bool `json:"CpuCfsQuota"`
	CPUShares         bool
	CPUSet            bool
	PidsLimit         bool
	IPv4Forwarding    bool
	BridgeNfIptables  bool
	BridgeNfIP6tables bool `json:"BridgeNfIp6tables"`
	Debug             bool
	OomKillDisable    bool
	LoggingDriver     string
	CgroupDriver      string
	CgroupVersion     string `json:",omitempty"`
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string
	NCPU              int
	MemTotal          int64
	DockerRootDir     string
	Name              string
	ServerVersion     string
	Runtimes          map[string]InfoRuntime
	DefaultRuntime    string
	SecurityOptions   []string
	Warnings          []string
	ClientInfo        InfoClient

	native any
}

// InfoPlugins are the drivers there are.
type InfoPlugins struct {
	Volume        []string
	Network       []string
	Authorization []string
	Log           []string
	Storage       []string `json:",omitempty"`
}

// InfoRuntime is one OCI runtime.
type InfoRuntime struct {
	Path string `json:"path,omitempty"`
}

// InfoClient is what nsh says of itself.
type InfoClient struct {
	Debug   bool
	Version string `json:",omitempty"`
	Context string
}

type infoParams struct {
	Format string `flag:"format,f" script:"-" doc:"@inspect"`
	Mode   string `flag:"mode" def:"dockercompat" doc:"Information mode, \"dockercompat\" for docker's output, \"native\" for the engine's own answers"`
}

// ShowInfo describes the engine and the host.
var ShowInfo = Define(Verb{
	Paths:   []string{"info", "system info"},
	Short:   "Display system-wide information",
	Effect:  Reads,
	Example: `print(info()["Containers"])`,
}, func(call *Call, p *infoParams) (any, error) {
	if p.Mode != "dockercompat" && p.Mode != "native" {
		return nil, misuse("unknown mode %q: must be one of \"dockercompat\", \"native\"", p.Mode)
	}
	if p.Format != "" && p.Format != "json" {
		if _, err := templates.Parse(p.Format); err != nil {
			return nil, templateError(err)
		}
	}
	si, err := call.System.Info(call.Context)
	if err != nil {
		return nil, err
	}
	info := newInfo(call.Env, si)
	if p.Mode == "native" {
		return newInspected(info.native)
	}
	return newInspected(info)
}, func(call *Call, p *infoParams, r any) error {
	i := r.(Inspected)
	switch {
	case p.Mode == "native" && p.Format == "", p.Format == "json":
		_, err := call.Stdout.Write(append(i.raw, '\n'))
		return err
	case p.Format == "":
		_, err := call.Stdout.Write([]byte(infoText(i.typed.(*Info))))
		for _, w := range i.typed.(*Info).Warnings {
			fmt.Fprintln(call.Stderr, w)
		}
		return err
	}
	return showInspected(call, p.Format, []Inspected{i})
})

func newInfo(env *Env, s system.Info) *Info {
	i := &Info{
		ID: s.ID, Containers: s.Containers, ContainersRunning: s.Running, ContainersPaused: s.Paused, ContainersStopped: s.Stopped, Images: s.Images,
		Driver:      s.Driver,
		Plugins:     InfoPlugins{Volume: []string{"local"}, Network: s.Networks, Log: s.LogDrivers, Storage: s.StorageDrivers},
		MemoryLimit: s.MemoryLimit, SwapLimit: s.SwapLimit, CPUCfsPeriod: s.CPUCfsPeriod, CPUCfsQuota: s.CPUCfsQuota, CPUShares: s.CPUShares,
		CPUSet: s.CPUSet, PidsLimit: s.PidsLimit, IPv4Forwarding: s.IPv4Forwarding, BridgeNfIptables: s.BridgeNfIptables,
		BridgeNfIP6tables: s.BridgeNfIP6tables, OomKillDisable: s.OomKillDisable,
		LoggingDriver: "json-file", CgroupDriver: s.CgroupDriver, CgroupVersion: s.CgroupVersion, KernelVersion: s.KernelVersion,
		OperatingSystem: s.OperatingSystem, OSType: s.OSType, Architecture: s.Architecture, NCPU: s.NCPU, MemTotal: s.MemTotal,
		DockerRootDir: s.DataRoot, Name: s.Name, ServerVersion: s.ServerVersion, Runtimes: map[string]InfoRuntime{}, DefaultRuntime: s.DefaultRuntime,
		SecurityOptions: s.SecurityOptions, Warnings: s.Warnings, ClientInfo: InfoClient{Version: env.Version, Context: "default"}, native: s.Native,
	}
	if env.Settings != nil {
		i.Debug, i.ClientInfo.Debug = env.Settings.Debug, env.Settings.Debug
	}
	for _, r := range s.Runtimes {
		i.Runtimes[r] = InfoRuntime{Path: r}
	}
	return i
}

// infoText is docker's text with the lines that say something here.
func infoText(i *Info) string {
	var b bytes.Buffer
	line := func(name string, v any) { fmt.Fprintf(&b, "%s: %v\n", name, v) }
	some := func(name, v string) {
		if v != "" {
			line(name, v)
		}
	}
	b.WriteString("Client:\n")
	fmt.Fprintf(&b, " Version:    %s\n Context:    %s\n Debug Mode: %v\n\nServer:\n", i.ClientInfo.Version, i.ClientInfo.Context, i.ClientInfo.Debug)
	line(" Containers", i.Containers)
	line("  Running", i.ContainersRunning)
	line("  Paused", i.ContainersPaused)
	line("  Stopped", i.ContainersStopped)
	line(" Images", i.Images)
	some(" Server Version", i.ServerVersion)
	some(" Storage Driver", i.Driver)
	for _, s := range i.DriverStatus {
		line("  "+s[0], s[1])
	}
	some(" Logging Driver", i.LoggingDriver)
	some(" Cgroup Driver", i.CgroupDriver)
	some(" Cgroup Version", i.CgroupVersion)
	b.WriteString(" Plugins:\n")
	line("  Volume", strings.Join(i.Plugins.Volume, " "))
	line("  Network", strings.Join(i.Plugins.Network, " "))
	line("  Log", strings.Join(i.Plugins.Log, " "))
	some("  Storage", strings.Join(i.Plugins.Storage, " "))
	if len(i.Runtimes) > 0 {
		line(" Runtimes", strings.Join(sorted(i.Runtimes), " "))
		line(" Default Runtime", i.DefaultRuntime)
	}
	if len(i.SecurityOptions) > 0 {
		b.WriteString(" Security Options:\n")
		for _, o := range i.SecurityOptions {
			securityOption(&b, o)
		}
	}
	some(" Kernel Version", i.KernelVersion)
	some(" Operating System", i.OperatingSystem)
	some(" OSType", i.OSType)
	some(" Architecture", i.Architecture)
	line(" CPUs", i.NCPU)
	line(" Total Memory", units.BytesSize(float64(i.MemTotal)))
	some(" Name", i.Name)
	some(" ID", i.ID)
	line(" Docker Root Dir", i.DockerRootDir)
	line(" Debug Mode", i.Debug)
	b.WriteString("\n")
	return b.String()
}

// securityOption takes "name=seccomp,profile=builtin".
func securityOption(b *bytes.Buffer, option string) {
	for _, kv := range strings.Split(option, ",") {
		switch k, v, _ := strings.Cut(kv, "="); k {
		case "name":
			fmt.Fprintf(b, "  %s\n", v)
		case "profile":
			fmt.Fprintf(b, "   Profile: %s\n", v)
		}
	}
}
