package engine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Shim is a process that holds a container for an engine, whether that lives or
// not.
type Shim struct {
	Pid       int
	Namespace string
	ID        string
	ticks     string // its start time: the pid alone may be another's tomorrow
}

// Shims finds the shims of the engine at an address, by their command lines.
func Shims(address string) []Shim {
	var out []Shim
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmd, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(string(bytes.TrimRight(cmd, "\x00")), "\x00")
		if filepath.Base(args[0]) != "containerd-shim-runc-v2" {
			continue
		}
		s := Shim{Pid: pid, ticks: startTicks(pid)}
		ours := false
		for i, a := range args[:len(args)-1] {
			switch a {
			case "-address":
				ours = args[i+1] == address
			case "-namespace":
				s.Namespace = args[i+1]
			case "-id":
				s.ID = args[i+1]
			}
		}
		if ours && s.ID != "" && s.ticks != "" {
			out = append(out, s)
		}
	}
	return out
}

// Kill ends the shim and what runs in its container, which is found by its
// cgroup.
func (s Shim) Kill() error {
	errs := []error{killProcess(s.Pid, s.ticks)}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		groups, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		if err == nil && bytes.Contains(groups, []byte(s.ID)) {
			errs = append(errs, killProcess(pid, startTicks(pid)))
		}
	}
	return errors.Join(errs...)
}

// killProcess sends SIGKILL to a process if it still is the one that started at
// that time.
func killProcess(pid int, ticks string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, "kill process", strconv.Itoa(pid))
	}
	defer unix.Close(fd)
	if ticks == "" || startTicks(pid) != ticks {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fault.Wrap(err, "kill process", strconv.Itoa(pid))
	}
	return nil
}
