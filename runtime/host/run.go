package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"nsh/runtime/fault"
)

// MaxOutput bounds what is kept of each stream of a program, in bytes.
const MaxOutput = 16 << 20

// killGrace is how long a program has to end by itself after SIGTERM.
const killGrace = 2 * time.Second

// Command is a program to run.
type Command struct {
	Argv  []string
	Stdin string
	Env   []string // "NAME=value" on top of [Environment]
	Dir   string   // "" is the present one
}

// Output is how a program ended. A program that a signal ended has 128 and the
// number of the signal as its code, as in a shell.
type Output struct {
	Code           int
	Stdout, Stderr string
}

// Environment is what a program sees when nothing is added: PATH, HOME, USER,
// LOGNAME, LANG, TERM, TMPDIR and the XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS and
// proxies of nsh's own environment, and no more, so that a script does the same from
// any shell. LANG is C.UTF-8: output is parsed. PATH is [SearchPath].
func Environment() []string {
	out := []string{"PATH=" + SearchPath(), "LANG=C.UTF-8"}
	for _, name := range []string{"HOME", "USER", "LOGNAME", "TERM", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// SearchPath is PATH with the directories of the system's programs behind it that it
// lacks: a plain user of Debian has no sbin in it, where iptables and sysctl are.
func SearchPath() string {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	return strings.TrimPrefix(path, ":")
}

// Which finds a program in [SearchPath], "" when there is none. A name with a slash
// is that file. A relative directory of PATH is left out: what it means depends on
// where one stands.
func Which(name string) string { return which(name, SearchPath()) }

func which(name, path string) string {
	if name == "" {
		return ""
	}
	if strings.Contains(name, "/") {
		if executable(name) {
			return name
		}
		return ""
	}
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(file) {
			return file
		}
	}
	return ""
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Run runs a program to its end, without a terminal, and gives a code other than 0 as an
// Output, not an error. When ctx ends the program and all it started get SIGTERM, and two seconds
// later SIGKILL. It fails with kind not_found when there is no such program, and with
// invalid when a stream is longer than [MaxOutput]: the program is ended then.
func Run(ctx context.Context, c Command) (Output, error) {
	if len(c.Argv) == 0 {
		return Output{}, fault.New(fault.Invalid, "run: no program is named")
	}
	for _, word := range slices.Concat(c.Argv, c.Env) {
		if strings.ContainsRune(word, 0) {
			return Output{}, fault.New(fault.Invalid, "run %q: a word of a command has no NUL in it", c.Argv[0])
		}
	}
	env := append(Environment(), c.Env...)
	path := SearchPath()
	for _, kv := range c.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	name := c.Argv[0]
	file := which(name, path)
	if file == "" && strings.Contains(name, "/") && !filepath.IsAbs(name) && c.Dir != "" {
		// As a shell would after cd.
		file = which(filepath.Join(c.Dir, name), path)
	}
	if file == "" {
		e := &fault.Error{Kind: fault.NotFound, Op: "run", Subject: name, Message: "no such program in " + path}
		return Output{}, e.WithHint("install it, or give its path")
	}
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.CommandContext(ctx, file, c.Argv[1:]...)
	cmd.Args[0] = name
	cmd.Dir, cmd.Env = c.Dir, env
	cmd.Stdin = strings.NewReader(c.Stdin)
	stdout, stderr := &bounded{stop: stop}, &bounded{stop: stop}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A session of its own, not only a group: one that asks the terminal for a password
	// would be stopped for good in the background; without a terminal it fails.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	// Then the library kills the program and closes our ends of its streams.
	cmd.WaitDelay = killGrace
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		// What it started may have outlived it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	out := Output{Stdout: stdout.buf.String(), Stderr: stderr.buf.String()}
	if cause := context.Cause(ctx); cause != nil {
		return out, fault.Wrap(cause, "run", strings.Join(c.Argv, " "))
	}
	var ended *exec.ExitError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &ended):
		out.Code = ended.ExitCode()
		if s, ok := ended.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			out.Code = 128 + int(s.Signal())
		}
		return out, nil
	case errors.Is(err, exec.ErrWaitDelay):
		// It has ended well, and something it left behind still holds a stream.
		return out, nil
	}
	return out, fault.Wrap(err, "run", name)
}

// bounded keeps a stream, and ends the program when there is too much. The buffer is
// not embedded: its ReadFrom would read without a bound.
type bounded struct {
	buf  bytes.Buffer
	stop context.CancelCauseFunc
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > MaxOutput {
		e := fault.New(fault.Invalid, "it wrote more than %d MiB", MaxOutput>>20)
		b.stop(e.WithHint("let it write to a file, or filter: host.run(\"sh\", \"-c\", \"… | head\")"))
		return 0, io.ErrShortWrite
	}
	return b.buf.Write(p)
}
