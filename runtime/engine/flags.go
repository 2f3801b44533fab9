package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"nsh/runtime/fault"
)

// Flags are nerdctl's global flags as they were given: a flag that was not says
// nothing. The zero value is ready for use.
type Flags struct {
	given map[string][]string
}

// setting is one line of nerdctl's table: where its value may come from, and
// where it goes.
type setting struct {
	flag   string
	short  string
	alias  string // a hidden further flag
	toml   string
	env    string
	list   bool
	usage  string
	assign func(s *Settings, v string) error
}

func text(to func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, v string) error { *to(s) = v; return nil }
}

func truth(to func(*Settings) *bool) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*to(s) = b
		return nil
	}
}

func words(to func(*Settings) *[]string) func(*Settings, string) error {
	return func(s *Settings, v string) error {
		*to(s) = nil
		for _, w := range strings.Split(v, ",") {
			if w = strings.TrimSpace(w); w != "" {
				*to(s) = append(*to(s), w)
			}
		}
		return nil
	}
}

// table is nerdctl's, in the order of its documentation.
var table = []setting{
	{flag: "debug", short: "D", toml: "debug", usage: "Enable debug mode", assign: truth(func(s *Settings) *bool { return &s.Debug })},
	{flag: "debug-full", toml: "debug_full", usage: "Enable debug mode (with full output)", assign: truth(func(s *Settings) *bool { return &s.Debug })},
	{flag: "address", short: "a", alias: "host", toml: "address", env: "CONTAINERD_ADDRESS", usage: "containerd address, optionally with \"unix://\" prefix", assign: address},
	{flag: "namespace", short: "n", toml: "namespace", env: "CONTAINERD_NAMESPACE", usage: "containerd namespace, such as \"moby\" for Docker, \"k8s.io\" for Kubernetes", assign: namespace},
	{flag: "snapshotter", alias: "storage-driver", toml: "snapshotter", env: "CONTAINERD_SNAPSHOTTER", usage: "containerd snapshotter", assign: text(func(s *Settings) *string { return &s.Snapshotter })},
	{flag: "cni-path", toml: "cni_path", env: "CNI_PATH", usage: "cni plugins binary directory", assign: text(func(s *Settings) *string { return &s.CNIPath })},
	{flag: "cni-netconfpath", toml: "cni_netconfpath", env: "NETCONFPATH", usage: "cni config directory", assign: text(func(s *Settings) *string { return &s.CNINetconfPath })},
	{flag: "data-root", toml: "data_root", usage: "Root directory of persistent state", assign: text(func(s *Settings) *string { return &s.DataRoot })},
	{flag: "cgroup-manager", toml: "cgroup_manager", usage: "Cgroup manager to use (\"cgroupfs\"|\"systemd\")", assign: cgroupManager},
	{flag: "insecure-registry", toml: "insecure_registry", usage: "skips verifying HTTPS certs, and allows falling back to plain HTTP", assign: truth(func(s *Settings) *bool { return &s.InsecureRegistry })},
	{flag: "hosts-dir", toml: "hosts_dir", list: true, usage: "A directory that contains <HOST:PORT>/hosts.toml (containerd style) or <HOST:PORT>/{ca.cert, cert.pem, key.pem} (docker style)", assign: words(func(s *Settings) *[]string { return &s.HostsDir })},
	{flag: "experimental", toml: "experimental", env: "NERDCTL_EXPERIMENTAL", usage: "Control experimental features", assign: truth(func(s *Settings) *bool { return &s.Experimental })},
	{flag: "host-gateway-ip", toml: "host_gateway_ip", env: "NERDCTL_HOST_GATEWAY_IP", usage: "IP address that the special 'host-gateway' string in --add-host resolves to", assign: text(func(s *Settings) *string { return &s.HostGatewayIP })},
	{flag: "bridge-ip", toml: "bridge_ip", env: "NERDCTL_BRIDGE_IP", usage: "IP address for the default bridge network", assign: text(func(s *Settings) *string { return &s.BridgeIP })},
	{flag: "kube-hide-dupe", toml: "kube_hide_dupe", usage: "Deduplicate images for Kubernetes with namespace k8s.io", assign: truth(func(s *Settings) *bool { return &s.KubeHideDupe })},
	{flag: "selinux-enabled", toml: "selinux_enabled", usage: "Enable SELinux support", assign: truth(func(s *Settings) *bool { return &s.SelinuxEnabled })},
	{flag: "cdi-spec-dirs", toml: "cdi_spec_dirs", list: true, usage: "The directories to search for CDI spec files", assign: words(func(s *Settings) *[]string { return &s.CDISpecDirs })},
	{flag: "userns-remap", toml: "userns_remap", usage: "Support idmapping for containers", assign: text(func(s *Settings) *string { return &s.UsernsRemap })},
	{flag: "global-dns", toml: "dns", list: true, usage: "Default DNS servers of containers", assign: words(func(s *Settings) *[]string { return &s.DNS })},
	{flag: "global-dns-opts", toml: "dns_opts", list: true, usage: "Default DNS options of containers", assign: words(func(s *Settings) *[]string { return &s.DNSOptions })},
	{flag: "global-dns-search", toml: "dns_search", list: true, usage: "Default DNS search domains of containers", assign: words(func(s *Settings) *[]string { return &s.DNSSearch })},
	{toml: "disable_hc_systemd", assign: func(*Settings, string) error { return nil }},
}

func address(s *Settings, v string) error {
	if scheme, rest, ok := strings.Cut(v, "://"); ok {
		if scheme != "unix" {
			return fmt.Errorf("%q is no address of containerd: only unix:// sockets are", v)
		}
		v = rest
	}
	s.Address = v
	return nil
}

func namespace(s *Settings, v string) error {
	if v == "" || v == "." || v == ".." || strings.ContainsAny(v, "/\\ \t\n\x00") {
		return fmt.Errorf("%q is no name of a namespace: it becomes the name of a directory", v)
	}
	s.Namespace = v
	return nil
}

func cgroupManager(s *Settings, v string) error {
	switch v {
	case "none", "cgroupfs", "systemd":
		s.CgroupManager = v
		return nil
	}
	return fmt.Errorf("%q is no cgroup manager: they are cgroupfs, systemd and none", v)
}

// given is one flag as pflag sees it.
type givenFlag struct {
	f *Flags
	s *setting
	b bool
}

func (g givenFlag) Set(v string) error {
	var probe Settings
	if err := g.s.assign(&probe, v); err != nil {
		return err
	}
	if g.f.given == nil {
		g.f.given = map[string][]string{}
	}
	if g.s.list {
		g.f.given[g.s.flag] = append(g.f.given[g.s.flag], v)
	} else {
		g.f.given[g.s.flag] = []string{v}
	}
	return nil
}
func (g givenFlag) String() string { return "" }
func (g givenFlag) Type() string {
	switch {
	case g.b:
		return "bool"
	case g.s.list:
		return "strings"
	}
	return "string"
}

// Register adds the flags to a set. Flags that are there already are left to
// their owner: the -n of logs is not the namespace. With short, the forms of one
// letter are added, too, which only stand before a command.
func (f *Flags) Register(set *pflag.FlagSet, short bool) {
	add := func(s *setting, name, letter string) {
		if name == "" || set.Lookup(name) != nil {
			return
		}
		if !short || letter != "" && set.ShorthandLookup(letter) != nil {
			letter = ""
		}
		var probe Settings
		isBool := s.assign(&probe, "true") == nil && s.assign(&probe, "maybe") != nil && s.flag != "cgroup-manager"
		flag := set.VarPF(givenFlag{f, s, isBool}, name, letter, s.usage)
		flag.Hidden = true
		if isBool {
			flag.NoOptDefVal = "true"
		}
	}
	for i := range table {
		s := &table[i]
		add(s, s.flag, s.short)
		letter := ""
		if s.alias == "host" {
			letter = "H"
		}
		add(s, s.alias, letter)
	}
}

// Resolve settles every setting by nerdctl's precedence: flag, environment,
// nerdctl.toml, default. It reads at most one file, and asks nobody.
func Resolve(f Flags) (Settings, error) {
	s := defaults()
	path := configPath(s.Rootless)
	if err := readTOML(path, &s); err != nil {
		return s, err
	}
	for i := range table {
		t := &table[i]
		if v, ok := os.LookupEnv(t.env); ok && t.env != "" && v != "" {
			if err := t.assign(&s, v); err != nil {
				return s, fault.New(fault.Invalid, "environment variable %s: %s", t.env, err)
			}
		}
	}
	for name, vals := range f.given {
		for i := range table {
			if table[i].flag == name {
				if err := table[i].assign(&s, strings.Join(vals, ",")); err != nil {
					return s, fault.New(fault.Invalid, "--%s: %s", name, err)
				}
			}
		}
	}
	if s.DataRoot != "" {
		abs, err := filepath.Abs(s.DataRoot)
		if err != nil {
			return s, err
		}
		s.DataRoot = abs
	}
	return s, nil
}

func configPath(rootless bool) string {
	if p := os.Getenv("NERDCTL_TOML"); p != "" {
		return p
	}
	if rootless {
		return filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "nerdctl", "nerdctl.toml")
	}
	return "/etc/nerdctl/nerdctl.toml"
}

// readTOML takes nerdctl.toml strictly, as nerdctl does: a key that nobody
// knows is a mistake that would otherwise go unseen.
func readTOML(path string, s *Settings) error {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, "read the configuration", path)
	}
	var m map[string]any
	if err := toml.Unmarshal(data, &m); err != nil {
		return fault.New(fault.Invalid, "%s: %s", path, err).WithHint("correct the file, or name another in NERDCTL_TOML")
	}
next:
	for key, v := range m {
		for i := range table {
			t := &table[i]
			if t.toml != key {
				continue
			}
			var word string
			switch v := v.(type) {
			case []any:
				parts := make([]string, len(v))
				for i := range v {
					parts[i] = fmt.Sprint(v[i])
				}
				word = strings.Join(parts, ",")
			default:
				word = fmt.Sprint(v)
			}
			if err := t.assign(s, word); err != nil {
				return fault.New(fault.Invalid, "%s: %s: %s", path, key, err)
			}
			continue next
		}
		return fault.New(fault.Invalid, "%s: unknown key %q", path, key).WithHint("the keys are those of nerdctl.toml")
	}
	return nil
}

func xdg(env, below string) string {
	if d := os.Getenv(env); d != "" {
		return d
	}
	home, _ := os.UserHomeDir()
	return filepath.Join(home, below)
}

// defaults are nerdctl's, with the bundled programs where nothing is installed.
func defaults() Settings {
	s := Settings{Namespace: "default", Snapshotter: "overlayfs", CgroupManager: "cgroupfs", Experimental: true, Rootless: os.Geteuid() != 0}
	libexec := Libexec()
	s.Helper = filepath.Join(libexec, "nsh-helper")
	cni := []string{"/opt/cni/bin", "/usr/local/libexec/cni", "/usr/local/lib/cni", "/usr/libexec/cni", "/usr/lib/cni"}
	if s.Rootless {
		home, _ := os.UserHomeDir()
		cni = []string{filepath.Join(home, "opt/cni/bin"), filepath.Join(home, ".local/libexec/cni"), filepath.Join(home, ".local/lib/cni")}
		s.CNINetconfPath = filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "cni/net.d")
		s.DataRoot = filepath.Join(xdg("XDG_DATA_HOME", ".local/share"), "nerdctl")
		s.HostsDir = []string{filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "containerd/certs.d"), filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "docker/certs.d")}
		s.CDISpecDirs = []string{filepath.Join(xdg("XDG_CONFIG_HOME", ".config"), "cdi"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "cdi")}
	} else {
		s.CNINetconfPath = "/etc/cni/net.d"
		s.DataRoot = "/var/lib/nerdctl"
		s.HostsDir = []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}
		s.CDISpecDirs = []string{"/etc/cdi", "/var/run/cdi"}
	}
	s.CNIPath = filepath.Join(libexec, "cni")
	for _, d := range cni {
		// A directory without the bridge plugin is of no use to us.
		if _, err := os.Stat(filepath.Join(d, "bridge")); err == nil {
			s.CNIPath = d
			break
		}
	}
	_, v2 := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	_, systemd := os.Stat("/run/systemd/system")
	switch {
	case v2 == nil && systemd == nil:
		s.CgroupManager = "systemd"
	case s.Rootless:
		s.CgroupManager = "none"
	}
	return s
}
