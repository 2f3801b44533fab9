package containerd

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// RemoveAtExit leaves a command line beside the container, which its log writer
// starts when the process has ended: no process of ours waits meanwhile. While
// the file is locked the log writer leaves it to the one that holds the lock.
func (s *Containers) RemoveAtExit(ctx context.Context, ref string) (release func(), err error) {
	r, err := s.record(ctx, ref)
	if err != nil {
		return nil, err
	}
	nsh, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(err, "find", "this program")
	}
	words := []string{nsh, "--address", s.s.Address, "--namespace", s.s.Namespace, "--data-root", s.s.DataRoot,
		"--cni-path", s.s.CNIPath, "--cni-netconfpath", s.s.CNINetconfPath, "rm", "--force", "--volumes", r.ID}
	path := filepath.Join(stateDir(r), "at-exit")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		_, err = f.WriteString(strings.Join(words, "\x00") + "\x00")
	}
	if err != nil {
		return nil, fault.Wrap(err, "write", path)
	}
	return func() { f.Close() }, nil
}
