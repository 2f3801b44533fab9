package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// hookPath is the part of the environment that network plugins need: they run
// iptables. Whose environment the helper has is nobody's business.
const hookPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// hookProgram is the program beside this one that knows the network.
func hookProgram() (string, error) {
	self, err := os.Executable()
	return filepath.Join(filepath.Dir(self), "nsh-hook"), err
}

// becomeHook runs the hook in the place of this process. It returns only if that
// fails.
func becomeHook(args []string) error {
	path, err := hookProgram()
	if err != nil {
		return err
	}
	return &os.PathError{Op: "run", Path: path, Err: unix.Exec(path, append([]string{path}, args...), os.Environ())}
}

// disconnect takes the container whose state directory is dir off its networks, if
// it is on any, and waits until that is done.
func disconnect(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, networkConfig)); err != nil {
		return nil
	}
	path, err := hookProgram()
	if err != nil {
		return err
	}
	// Not os/exec, which would be linked in for this one call.
	p, err := os.StartProcess(path, []string{path, "at-exit", dir}, &os.ProcAttr{
		Dir: "/", Env: []string{hookPath}, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return err
	}
	st, err := p.Wait()
	if err == nil && !st.Success() {
		err = errors.New(path + " at-exit: exit status " + strconv.Itoa(st.ExitCode()))
	}
	return err
}

// maxAtExit bounds the file of removeAtExit.
const maxAtExit = 64 << 10

// removeAtExit starts the command that the file at-exit names, its words ended by
// NUL, and does not wait for it: it removes the container, and with it waits for
// this process. A file that is locked is somebody's who does it himself.
func removeAtExit(dir string) error {
	path := filepath.Join(dir, "at-exit")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	buf := make([]byte, maxAtExit)
	n, err := f.Read(buf)
	if err != nil {
		return err
	}
	words := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(words[0], words, &os.ProcAttr{
		Dir: "/", Env: []string{hookPath}, Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return err
	}
	return p.Release()
}
