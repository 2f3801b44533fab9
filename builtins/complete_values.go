package builtins

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"

	"github.com/docker/cli/cli/command/formatter"

	"nsh/runtime/container"
	"nsh/runtime/logging"
	"nsh/runtime/network"
)

// values are those that a flag can have. They go by the flag's name, which means
// the same with every verb.
func (v *Verb) values(env *Env, flag, word string) Choices {
	switch flag {
	case "pull":
		return enum("always", "pull each time", "missing", "pull when it is not here", "never", "do not pull")
	case "restart":
		return enum("no", "leave it when it ends", "always", "whenever it ends", "unless-stopped", "unless somebody has stopped it", "on-failure", "when it fails")
	case "network", "net":
		if rest, ok := strings.CutPrefix(word, "container:"); ok {
			return env.containerChoices(running).after(len(word) - len(rest))
		}
		c := enum("host", "the host's own", "none", "loopback alone")
		c.Now = append(c.Now, Choice{"container:", "that of another container", true})
		// Before the flag there are words that are no network at all, such as container:.
		return both(c, env.networkChoices(func(n network.Network) bool { return n.Name != "host" && n.Name != "none" }))
	case "pid", "ipc":
		if rest, ok := strings.CutPrefix(word, "container:"); ok {
			return env.containerChoices(running).after(len(word) - len(rest))
		}
		c := enum("host", "the host's own")
		if flag == "ipc" {
			c = enum("host", "the host's own", "none", "no /dev/shm", "private", "its own", "shareable", "its own, which others may join")
		}
		c.Now = append(c.Now, Choice{"container:", "that of another container", true})
		return c
	case "uts", "userns":
		return enum("host", "the host's own")
	case "cgroupns":
		return enum("host", "the host's own", "private", "its own")
	case "log-driver":
		return enum(logging.JSONFile, "docker's own format, read by logs", "none", "keep nothing")
	case "log-opt":
		return open("max-size=", "rotate at this size", "max-file=", "how many files to keep")
	case "attach":
		return enum("stdin", "", "stdout", "", "stderr", "")
	case "signal", "stop-signal":
		return signals()
	case "platform":
		return enum("linux/amd64", "", "linux/arm64", "", "linux/arm/v7", "", "linux/386", "", "linux/ppc64le", "", "linux/riscv64", "", "linux/s390x", "")
	case "mode":
		return enum("dockercompat", "docker's output", "native", "the engine's own records")
	case "systemd":
		return enum("false", "", "true", "", "always", "")
	case "unpack":
		return enum("auto", "", "true", "", "false", "")
	case "type":
		return enum("container", "", "image", "", "network", "", "volume", "")
	case "cap-add", "cap-drop":
		return capabilities()
	case "security-opt":
		return enum("no-new-privileges", "no setuid programs", "seccomp=unconfined", "no filter of system calls", "apparmor=unconfined", "no profile")
	case "runtime":
		var pairs []string
		for _, name := range []string{"runc", "crun", "runsc", "kata-runtime", "youki"} {
			if path, err := exec.LookPath(name); err == nil {
				pairs = append(pairs, name, path)
			}
		}
		return enum(pairs...)
	case "env":
		return hostVariables()
	case "mount":
		return open("type=bind,source=", "a directory of the host", "type=volume,source=", "a volume", "type=tmpfs,target=", "memory")
	case "volumes-from", "pid-of":
		return env.containerChoices(nil)
	case "base":
		return env.imageChoices()
	case "volume":
		if v.Paths[0] == "image assemble" || strings.Contains(word, ":") {
			return Choices{}
		}
		if word != "" && strings.ContainsAny(word[:1], "/.~") {
			return Choices{Files: true}
		}
		return both(Choices{Files: true}, env.volumeChoices())
	case "format":
		return v.formats()
	case "filter":
		return v.filters(env, word)
	case "tail":
		return enum("all", "every line", "10", "", "100", "")
	case "env-file", "label-file", "cidfile", "pidfile", "input", "output", "file", "device", "init-binary", "rootfs",
		"data-root", "cni-path", "cni-netconfpath", "hosts-dir", "cdi-spec-dirs", "address", "host":
		return Choices{Files: true}
	case "cgroup-manager":
		return enum("cgroupfs", "", "systemd", "", "none", "")
	case "snapshotter", "storage-driver":
		return enum("overlayfs", "", "native", "", "btrfs", "", "stargz", "")
	}
	return Choices{}
}

// enum makes choices of words and the lines on them.
func enum(pairs ...string) Choices {
	c := Choices{Now: []Choice{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		c.Now = append(c.Now, Choice{Text: pairs[i], Doc: pairs[i+1]})
	}
	return c
}

// open is enum for words that go on.
func open(pairs ...string) Choices {
	c := enum(pairs...)
	for i := range c.Now {
		c.Now[i].Open = true
	}
	return c
}

// after says that the choices stand behind n bytes of the word.
func (c Choices) after(n int) Choices {
	c.Prefix = n
	return c
}

// both joins choices of the same place.
func both(a, b Choices) Choices {
	c := Choices{Now: slices.Concat(a.Now, b.Now), Files: a.Files || b.Files}
	switch {
	case a.Later == nil:
		c.Later = b.Later
	case b.Later == nil:
		c.Later = a.Later
	default:
		c.Later = func(ctx context.Context) []Choice { return append(a.Later(ctx), b.Later(ctx)...) }
	}
	return c
}

// signals are those that people send, by name.
func signals() Choices {
	return enum("SIGTERM", "ask to end", "SIGKILL", "end at once", "SIGHUP", "read the settings again, by custom", "SIGINT", "Ctrl-C", "SIGQUIT", "Ctrl-\\",
		"SIGUSR1", "", "SIGUSR2", "", "SIGSTOP", "halt", "SIGCONT", "go on", "SIGWINCH", "the window has another size", "SIGABRT", "", "SIGALRM", "", "SIGPIPE", "", "SIGCHLD", "")
}

func capabilities() Choices {
	c := enum("ALL", "every one")
	for _, name := range strings.Fields(`AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID
IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP
SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM`) {
		c.Now = append(c.Now, Choice{Text: name})
	}
	return c
}

// hostVariables has the names of this process's variables: -e NAME hands one on.
func hostVariables() Choices {
	var out []Choice
	for _, kv := range os.Environ() {
		if name, _, ok := strings.Cut(kv, "="); ok && name != "" {
			out = append(out, Choice{Text: name, Doc: "as it is here"})
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Text < out[b].Text })
	return Choices{Now: out}
}

// formats are the ready-made ones, and a template for each column.
func (v *Verb) formats() Choices {
	c := enum("json", "one JSON object a line")
	switch v.Paths[0] {
	case "ps":
		c.Now = append(c.Now, Choice{Text: "wide", Doc: "more columns"}, Choice{"table", "columns with their titles", true})
		for _, name := range sorted(psHeader.Header.(formatter.SubHeaderContext)) {
			c.Now = append(c.Now, Choice{Text: "{{." + name + "}}"})
		}
	case "images":
		c.Now = append(c.Now, Choice{"table", "columns with their titles", true})
		for _, name := range strings.Fields("ContainerCount CreatedAt CreatedSince Digest ID Repository Size Tag") {
			c.Now = append(c.Now, Choice{Text: "{{." + name + "}}"})
		}
	case "volume ls":
		c.Now = append(c.Now, Choice{"table", "columns with their titles", true})
		for _, name := range sorted(volumeHeader.Header.(formatter.SubHeaderContext)) {
			c.Now = append(c.Now, Choice{Text: "{{." + name + "}}"})
		}
	case "network ls":
		c.Now = append(c.Now, Choice{"table", "columns with their titles", true})
		for _, name := range sorted(networkHeader.Header.(formatter.SubHeaderContext)) {
			c.Now = append(c.Now, Choice{Text: "{{." + name + "}}"})
		}
	default:
		c.Now = append(c.Now, Choice{Text: "{{json .}}", Doc: "all of it"})
	}
	return c
}

// filters are the keys of --filter, and what some of them can be.
func (v *Verb) filters(env *Env, word string) Choices {
	key, _, ok := strings.Cut(word, "=")
	if !ok {
		if v.Paths[0] == "images" {
			return open("before=", "older than an image", "dangling=", "without a name", "label=", "key or key=value", "reference=", "by a pattern", "since=", "younger than an image", "until=", "made before a time")
		}
		switch v.Paths[0] {
		case "volume ls":
			return open("dangling=", "that no container mounts", "driver=", "", "label=", "key or key=value", "name=", "part of the name", "size=", "in bytes, with --size")
		case "network ls":
			return open("dangling=", "that nobody is on", "driver=", "", "id=", "part of the ID", "label=", "key or key=value", "name=", "part of the name", "scope=", "", "type=", "builtin or custom")
		case "volume prune":
			return open("all=", "also those with a name", "label=", "key or key=value", "label!=", "key or key=value")
		case "network prune":
			return open("label=", "key or key=value", "label!=", "key or key=value", "until=", "made before a time")
		}
		return open("ancestor=", "made from an image", "before=", "older than a container", "exited=", "with this code", "expose=", "a port", "id=", "", "label=", "key or key=value",
			"name=", "by a regular expression", "network=", "", "publish=", "a port", "since=", "younger than a container", "status=", "", "volume=", "a volume or a mount")
	}
	var c Choices
	switch {
	case key == "dangling":
		c = enum("true", "", "false", "")
	case key == "status":
		for _, s := range []container.Status{container.Created, container.Running, container.Paused, container.Restarting, container.Exited} {
			c.Now = append(c.Now, Choice{Text: string(s)})
		}
	case key == "ancestor", v.Paths[0] == "images" && (key == "before" || key == "since"):
		c = env.imageChoices()
	case key == "before" || key == "since":
		c = env.containerChoices(nil)
	case key == "network":
		c = env.networkChoices(nil)
	case key == "volume":
		c = env.volumeChoices()
	case v.Paths[0] == "network ls" && key == "driver":
		c = enum("bridge", "", "macvlan", "", "ipvlan", "", "host", "", "null", "")
	case v.Paths[0] == "network ls" && key == "type":
		c = enum("builtin", "bridge, host and none", "custom", "all others")
	}
	return c.after(len(key) + 1)
}

// wants tells which containers a verb is for; nil: all.
func (v *Verb) wants() func(container.Container) bool {
	switch v.Paths[0] {
	case "stop", "kill", "exec", "top", "attach":
		return running
	case "pause":
		return func(c container.Container) bool { return c.Status == container.Running }
	case "unpause":
		return func(c container.Container) bool { return c.Status == container.Paused }
	case "start":
		return func(c container.Container) bool { return !running(c) }
	}
	return nil
}

func running(c container.Container) bool {
	return c.Status == container.Running || c.Status == container.Paused || c.Status == container.Restarting
}
