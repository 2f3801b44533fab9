package builtins

import (
	"path/filepath"
	"strings"

	"nsh/lang"
	"nsh/runtime/container"
	"nsh/runtime/network"
)

// A sandbox gives containers, and no host. What gives a container the host, or has
// nsh itself read and write its files, needs the permission for that.

// requirePath asks for a file of the host. Of a path that is not there yet the links
// of its directories count.
func requirePath(call *Call, p lang.Permission, path string) error {
	if !lang.Sandboxed(call.Context) {
		return nil
	}
	return lang.Require(call.Context, p, call.Verb.scriptName(), realPath(path))
}

// realPath is absolute and without links, as far as the path is there.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return abs
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// sandboxed asks for all that a request takes of the host.
func (o *CreateOptions) sandboxed(call *Call, s container.Spec) error {
	return hostNeeds(call, s, s.Mounts)
}

// sandboxedContainer asks for all that a container has of the host, for somebody who
// would run programs in it.
func sandboxedContainer(call *Call, ref string) error {
	if !lang.Sandboxed(call.Context) {
		return nil
	}
	d, err := call.Containers.Inspect(call.Context, ref, false)
	if err != nil {
		return err
	}
	if !d.Recorded {
		// What another tool has given it is not known.
		return lang.Require(call.Context, lang.HostExec, call.Verb.scriptName(), "")
	}
	return hostNeeds(call, d.Spec, d.Mounts)
}

func hostNeeds(call *Call, s container.Spec, mounts []container.Mount) error {
	if !lang.Sandboxed(call.Context) {
		return nil
	}
	require := func(p lang.Permission, what string) error {
		return lang.Require(call.Context, p, call.Verb.scriptName(), what)
	}
	// Whoever has one of these has the host.
	for _, x := range []struct {
		given bool
		flag  string
	}{
		{s.Security.Privileged, "privileged"}, {len(s.Security.CapAdd) > 0, "cap_add"}, {len(s.Resources.Devices) > 0, "device"},
		{s.PidMode != "" && s.PidMode != "private", "pid"}, {s.IPCMode == "host" || strings.HasPrefix(s.IPCMode, "container:"), "ipc"}, {s.UTSMode == "host", "uts"}, {s.CgroupNS == "host", "cgroupns"},
		{s.Security.Seccomp != "", "security_opt"}, {s.Security.AppArmor != "", "security_opt"}, {s.Security.UnmaskedPaths, "security_opt"},
		{s.Security.WritableCgroups, "security_opt"}, {len(s.Security.Label) > 0, "security_opt"}, {s.Runtime != "" && s.Runtime != "io.containerd.runc.v2", "runtime"}, {s.InitBinary != "", "init_binary"},
		{s.Resources.CgroupParent != "", "cgroup_parent"}, {len(s.Annotations) > 0, "annotation"}, {len(s.Sysctls) > 0 && hostNetwork(s), "sysctl"},
		{s.Systemd != "" && s.Systemd != "false", "systemd"}, {s.Rootfs, "rootfs"},
	} {
		if x.given {
			if err := require(lang.HostExec, x.flag); err != nil {
				return err
			}
		}
	}
	for _, n := range s.Networks {
		// Another container's network may be the host's.
		other, ok := strings.CutPrefix(n, "container:")
		if !ok {
			continue
		}
		c, err := call.Containers.Get(call.Context, other)
		if err != nil {
			return err
		}
		for _, e := range c.Networks {
			if e.Network == "host" || strings.HasPrefix(e.Network, "ns:") || strings.HasPrefix(e.Network, "container:") {
				if err := require(lang.HostNet, ""); err != nil {
					return err
				}
			}
		}
	}
	if hostNetwork(s) {
		if err := require(lang.HostNet, ""); err != nil {
			return err
		}
	}
	for _, m := range mounts {
		if m.Type == "bind" {
			if err := require(bindPermission(m), realPath(m.Source)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sandboxedNetwork asks for the host where a network is one of its interfaces.
func sandboxedNetwork(call *Call, s network.Spec) error {
	if s.Driver == "bridge" {
		return nil
	}
	return lang.Require(call.Context, lang.HostNet, call.Verb.scriptName(), "")
}

func hostNetwork(s container.Spec) bool {
	return len(s.Networks) > 0 && (s.Networks[0] == "host" || strings.HasPrefix(s.Networks[0], "ns:"))
}

// sandboxedFiles asks for the files that are read and written for a request itself,
// before they are.
func (o *CreateOptions) sandboxedFiles(call *Call) error {
	if !lang.Sandboxed(call.Context) {
		return nil
	}
	require := func(p lang.Permission, what string) error {
		return lang.Require(call.Context, p, call.Verb.scriptName(), what)
	}
	logPath := ""
	for _, kv := range o.LogOpt {
		if k, v, _ := strings.Cut(kv, "="); k == "log-path" {
			logPath = v
		}
	}
	read := append(append([]string{}, o.EnvFile...), o.LabelFile...)
	if o.Rootfs {
		read = append(read, string(o.Image))
	}
	for _, path := range read {
		if err := require(lang.HostRead, realPath(path)); err != nil {
			return err
		}
	}
	for _, path := range []string{o.CIDFile, o.PidFile, logPath} {
		if path != "" {
			if err := require(lang.HostWrite, realPath(path)); err != nil {
				return err
			}
		}
	}
	for _, kv := range o.Env {
		if !strings.Contains(kv, "=") {
			if err := require(lang.HostRead, "$"+kv); err != nil {
				return err
			}
		}
	}
	return nil
}

func bindPermission(m container.Mount) lang.Permission {
	if m.RW {
		return lang.HostWrite
	}
	return lang.HostRead
}
