// Package lock takes locks that hold between processes: flock(2) on a file or directory.
// The kernel frees them when the process ends, however it does.
package lock

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Path locks the file or directory at path, which must be there: shared, or for one
// holder alone. It waits until the lock is free or ctx is done. Closing the file frees it.
func Path(ctx context.Context, path string, exclusive bool) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, "lock", path)
	}
	return f, take(ctx, f, exclusive)
}

// File is [Path] for a file that is made when it is not there.
func File(ctx context.Context, path string, exclusive bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, "lock", path)
	}
	return f, take(ctx, f, exclusive)
}

// take closes f after an error.
func take(ctx context.Context, f *os.File, exclusive bool) error {
	how := unix.LOCK_SH | unix.LOCK_NB
	if exclusive {
		how = unix.LOCK_EX | unix.LOCK_NB
	}
	// flock(2) cannot be told to stop waiting: it is asked again and again.
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if err == unix.EWOULDBLOCK || err == unix.EINTR {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		f.Close()
		return fault.Wrap(err, "lock", f.Name())
	}
}
