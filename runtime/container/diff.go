package container

import (
	"cmp"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"nsh/runtime/plan"
)

// Difference is one setting that is not as it is asked for. From is empty where nothing
// is set, To where nothing is asked for.
type Difference = plan.Field

// Base is what an image gives to the containers that are made from it.
type Base struct {
	ID         string // of the image
	Env        []string
	Entrypoint []string
	Command    []string
	WorkDir    string
	User       string
	Labels     map[string]string
}

// Differences compares a container with what is asked for, setting by setting,
// after normalising defaults: what is not asked for is docker's default, a host port
// that is left open is whatever it is. The names are those of docker's flags; env
// and labels have one for each key. The order is that of the names, the image first.
//
// Of a container whose request is not recorded, because another tool made it, only
// what the engine knows is compared: image, command, environment, directory,
// terminal, ports, mounts, networks, labels.
func Differences(have Detail, want Spec, base Base) []Difference {
	var out []Difference
	if have.ImageID != base.ID {
		from, to := have.Image, want.Image
		if from == to {
			from, to = from+"@"+have.ImageID, to+"@"+base.ID
		}
		out = append(out, Difference{Name: "image", From: from, To: to})
	}
	is, asked := have.Spec, want
	is.Ports = have.Ports
	is.Mounts = slices.Clone(is.Mounts)
	asked.Ports = openPorts(asked.Ports, have.Ports)
	if asked.PublishAll && is.PublishAll {
		is.Ports = asked.Ports // those that the image exposes are among them
	}
	if !have.Recorded {
		is.Mounts = recordedMounts(have.Mounts, want.Mounts)
		is.Networks = nil
		for _, e := range have.Networks {
			is.Networks = append(is.Networks, e.Network)
		}
		is.Labels = map[string]string{}
		for k, v := range have.Labels {
			if base.Labels[k] != v {
				is.Labels[k] = v
			}
		}
	}
	if is.Hostname == have.ShortID() {
		is.Hostname = "" // the default
	}
	if asked.Platform == "" {
		is.Platform = ""
	}
	a, b := is.settings(base), asked.settings(base)
	if !have.Recorded {
		a["command"] = words(have.Args)
		if b["init"] != "" || b["command"] == "" {
			b["command"] = a["command"]
		}
	}
	names := map[string]bool{}
	for n := range a {
		names[n] = true
	}
	for n := range b {
		names[n] = true
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	for _, n := range sorted {
		if a[n] == b[n] || !have.Recorded && !known(n) {
			continue
		}
		out = append(out, hide(Difference{Name: n, From: a[n], To: b[n]}))
	}
	return out
}

// recordedMounts are the mounts of a container whose request is not known, as the request
// may have been: an anonymous volume has no name, and one that is not asked for is the
// image's.
func recordedMounts(have, asked []Mount) []Mount {
	var out []Mount
	for _, m := range have {
		if m.Type == "volume" {
			m.Source = ""
			if isAnonymous(m.Name) && !slices.ContainsFunc(asked, func(a Mount) bool { return a.Name == m.Name }) {
				m.Name = ""
				if !slices.ContainsFunc(asked, func(a Mount) bool { return a.Destination == m.Destination }) {
					continue
				}
			}
		}
		out = append(out, m)
	}
	return out
}

// isAnonymous tells how docker and nerdctl name volumes that nobody has named.
func isAnonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// Settings are what is asked for that is not the default, as [Differences] would
// give them for a container that is not there. The zero Base stands for an image of which
// nothing is known.
func (s Spec) Settings(base Base) []Difference {
	out := []Difference{{Name: "image", To: s.Image}}
	all := s.settings(base)
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if n == "workdir" && s.WorkDir == "" {
			continue
		}
		out = append(out, hide(Difference{Name: n, To: all[n]}))
	}
	return out
}

// known are the settings that an engine knows of any container.
func known(name string) bool {
	switch name {
	case "command", "workdir", "tty", "read_only", "publish", "mount", "network":
		return true
	}
	return strings.HasPrefix(name, "env ") || strings.HasPrefix(name, "label ")
}

// hide keeps what is likely a secret off screens and out of logs. That it differs is told.
func hide(d Difference) Difference {
	key, ok := strings.CutPrefix(d.Name, "env ")
	if !ok || !Secret(key) {
		return d
	}
	if d.From != "" {
		d.From = "(hidden)"
	}
	if d.To != "" {
		d.To = "(hidden)"
	}
	return d
}

// Secret tells whether a variable of that name is likely to hold a secret.
func Secret(name string) bool {
	name = strings.ToUpper(name)
	for _, part := range []string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY", "CREDENTIAL", "ACCESS_KEY", "PASSPHRASE"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// openPorts gives ports that leave the host's side open the one that they have.
func openPorts(asked, have []PortMapping) []PortMapping {
	out := slices.Clone(asked)
	for i, p := range out {
		if p.HostPort != 0 {
			continue
		}
		for _, h := range have {
			if h.ContainerPort == p.ContainerPort && protocol(h) == protocol(p) && hostIP(h) == hostIP(p) {
				out[i].HostPort = h.HostPort
				break
			}
		}
	}
	return out
}

func protocol(p PortMapping) string { return cmp.Or(p.Protocol, "tcp") }
func hostIP(p PortMapping) string   { return cmp.Or(p.HostIP, "0.0.0.0") }

// flagNames are the settings whose field is not called as docker's flag.
var flagNames = map[string]string{
	"OpenStdin": "interactive", "AutoRemove": "rm", "Groups": "group_add", "Networks": "network", "Ports": "publish", "DNSOptions": "dns_option",
	"ExtraHosts": "add_host", "MAC": "mac_address", "PidMode": "pid", "UTSMode": "uts", "IPCMode": "ipc", "CgroupNS": "cgroupns", "UsernsMode": "userns",
	"Mounts": "mount", "Sysctls": "sysctl", "Ulimits": "ulimit", "Annotations": "annotation", "LogOpts": "log_opt", "CPUs": "cpus", "CPUPeriod": "cpu_period",
	"CPUQuota": "cpu_quota", "CPUShares": "cpu_shares", "CPURealtimePeriod": "cpu_rt_period", "CPURealtimeRuntime": "cpu_rt_runtime", "CpusetCpus": "cpuset_cpus",
	"Devices": "device", "AppArmor": "security_opt apparmor", "Seccomp": "security_opt seccomp", "Label": "security_opt label",
	"NoNewPrivileges": "security_opt no-new-privileges", "UnmaskedPaths": "security_opt systempaths", "WritableCgroups": "security_opt writable-cgroups",
	"PrivilegedNoDevices": "security_opt privileged-without-host-devices", "OOMKillDisable": "oom_kill_disable", "OOMScoreAdj": "oom_score_adj",
	"DeviceReadIOps": "device_read_iops", "DeviceWriteIOps": "device_write_iops", "RDTClass": "rdt_class", "IP6": "ip6", "TTY": "tty", "DNS": "dns", "DNSSearch": "dns_search",
	"IP": "ip", "WorkDir": "workdir",
}

// settings gives all that is not the default, as text, by the name of the flag.
func (s Spec) settings(base Base) map[string]string {
	s = s.normal(base)
	out := map[string]string{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f, t := v.Field(i), v.Type().Field(i)
			if f.Kind() == reflect.Struct {
				walk(f)
				continue
			}
			name := flagNames[t.Name]
			if name == "" {
				name = lower(t.Name)
			}
			if text := settingText(t.Name, f); text != "" {
				out[name] = text
			}
		}
	}
	walk(reflect.ValueOf(s))
	for _, n := range []string{"name", "image", "rootfs", "cid_file", "pid_file", "env", "labels", "command", "entrypoint", "volumes_from", "inherit"} {
		delete(out, n)
	}
	for _, kv := range s.Env {
		k, v, _ := strings.Cut(kv, "=")
		out["env "+k] = v
		if v == "" {
			out["env "+k] = `""`
		}
	}
	for k, v := range s.Labels {
		out["label "+k] = v
		if v == "" {
			out["label "+k] = `""`
		}
	}
	// What cannot be executed is for the creation to refuse.
	if args, err := s.Args(base.Entrypoint, base.Command); err == nil {
		out["command"] = words(args)
	}
	return out
}

// normal replaces what says the default in words by the zero value, puts what has no
// order into one, and takes what is the image's off the environment.
func (s Spec) normal(base Base) Spec {
	def := func(field *string, words ...string) {
		if slices.Contains(words, *field) {
			*field = ""
		}
	}
	def(&s.LogDriver, "json-file")
	def(&s.Systemd, "false")
	def(&s.Runtime, "io.containerd.runc.v2", "runc")
	def(&s.PidMode, "private")
	def(&s.IPCMode, "private", "shareable")
	if len(s.Networks) == 1 && s.Networks[0] == "bridge" {
		s.Networks = nil
	}
	if s.ShmSize == 64<<20 {
		s.ShmSize = 0
	}
	r := &s.Resources
	if r.PidsLimit < 0 {
		r.PidsLimit = 0
	}
	if r.MemorySwappiness != nil && *r.MemorySwappiness == -1 {
		r.MemorySwappiness = nil
	}
	if r.OOMScoreAdj != nil && *r.OOMScoreAdj == 0 {
		r.OOMScoreAdj = nil
	}
	s.WorkDir = cmp.Or(s.WorkDir, base.WorkDir, "/")
	if s.User == base.User {
		s.User = ""
	}
	if len(s.Networks) > 0 && s.Networks[0] == "host" {
		s.Hostname = ""
	}
	merged := MergeEnv(base.Env, s.Env)
	s.Env = nil
	for _, kv := range merged {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case slices.Contains(base.Env, kv):
		case k == "HOSTNAME", k == "TERM" && v == "xterm", k == "PATH" && v == defaultPath:
		default:
			s.Env = append(s.Env, kv)
		}
	}
	for _, list := range []*[]string{&s.Security.CapAdd, &s.Security.CapDrop} {
		var caps []string
		for _, c := range *list {
			caps = append(caps, strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
		}
		*list = caps
	}
	for _, list := range []*[]string{&s.Security.CapAdd, &s.Security.CapDrop, &s.Security.Label, &s.Groups, &s.Expose, &s.ExtraHosts} {
		*list = slices.Sorted(slices.Values(*list))
	}
	s.Ports = slices.Clone(s.Ports)
	sort.Slice(s.Ports, func(a, b int) bool { return portWord(s.Ports[a]) < portWord(s.Ports[b]) })
	s.Mounts = slices.Clone(s.Mounts)
	sort.Slice(s.Mounts, func(a, b int) bool { return s.Mounts[a].Destination < s.Mounts[b].Destination })
	s.Ulimits = slices.Clone(s.Ulimits)
	sort.Slice(s.Ulimits, func(a, b int) bool { return s.Ulimits[a].Name < s.Ulimits[b].Name })
	return s
}

// defaultPath is docker's PATH for images that set none (moby, oci/defaults.go).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func lower(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z') {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// settingText is a value in the words of the command line, "" for the default.
func settingText(field string, v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	} else if v.IsZero() {
		return ""
	}
	switch x := v.Interface().(type) {
	case []PortMapping:
		return join(x, portWord)
	case []Mount:
		return join(x, mountWord)
	case []Ulimit:
		return join(x, func(u Ulimit) string { return fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard) })
	case []Device:
		return join(x, func(d Device) string { return d.Host + ":" + d.Container + ":" + d.Permissions })
	case []string:
		return strings.Join(x, ", ")
	case map[string]string:
		var kv []string
		for k, v := range x {
			kv = append(kv, k+"="+v)
		}
		sort.Strings(kv)
		return strings.Join(kv, ", ")
	case int64:
		switch field {
		case "Memory", "MemoryReservation", "MemorySwap", "KernelMemory", "ShmSize":
			if x > 0 {
				return units.BytesSize(float64(x))
			}
		}
		return strconv.FormatInt(x, 10)
	case time.Duration:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

func join[T any](list []T, text func(T) string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = text(x)
	}
	return strings.Join(parts, ", ")
}

// portWord is a port as -p takes it.
func portWord(p PortMapping) string {
	port := strconv.Itoa(p.ContainerPort)
	if protocol(p) != "tcp" {
		port += "/" + p.Protocol
	}
	if p.HostPort != 0 {
		port = strconv.Itoa(p.HostPort) + ":" + port
	}
	if ip := hostIP(p); ip != "0.0.0.0" {
		if strings.Contains(ip, ":") {
			ip = "[" + net.ParseIP(ip).String() + "]"
		}
		if p.HostPort == 0 {
			port = ":" + port
		}
		port = ip + ":" + port
	}
	return port
}

// mountWord is a mount as -v and --tmpfs take it.
func mountWord(m Mount) string {
	source := m.Source
	if m.Type == "volume" {
		source = m.Name
	}
	if m.Type == "tmpfs" {
		source = "tmpfs"
	}
	var mode []string
	for _, o := range strings.Split(m.Mode, ",") {
		switch o {
		case "", "rw", "ro", "rbind", "z", "Z":
		default:
			mode = append(mode, o)
		}
	}
	if !m.RW {
		mode = append(mode, "ro")
	}
	if m.Propagation != "" && m.Propagation != "rprivate" {
		mode = append(mode, m.Propagation)
	}
	word := strings.TrimPrefix(source+":"+m.Destination, ":") // an anonymous volume has no source
	if len(mode) > 0 {
		sort.Strings(mode)
		word += ":" + strings.Join(mode, ",")
	}
	return word
}

// words joins a command so that it can be read; one with blanks in it is quoted.
func words(argv []string) string {
	parts := make([]string, len(argv))
	for i, w := range argv {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\") {
			w = strconv.Quote(w)
		}
		parts[i] = w
	}
	return strings.Join(parts, " ")
}
