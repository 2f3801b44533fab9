package logging

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how long a change may go unnoticed that inotify does not tell,
	// such as a lock that is given up in another directory than the log's.
	lookEvery = 250 * time.Millisecond

	// pollEvery takes the place of inotify where its instances are used up:
	// 128 for each user by default (inotify(7), max_user_instances).
	pollEvery = 50 * time.Millisecond
)

// watch waits for changes of a log, and of the lock beside it: closing that
// after writing is an event, too, and how a killed writer is noticed.
type watch struct {
	events *os.File // nil without inotify
	stop   func() bool
	buf    [4 << 10]byte
}

func newWatch(ctx context.Context, path string) (*watch, error) {
	w := &watch{stop: func() bool { return true }}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == unix.EMFILE || err == unix.ENFILE {
		return w, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w.events = os.NewFile(uintptr(fd), "inotify")
	_, err = unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_DELETE_SELF|unix.IN_CLOSE_WRITE)
	if err == unix.ENOSPC {
		w.close()
		return &watch{stop: w.stop}, nil
	}
	if err != nil {
		w.close()
		return nil, &os.PathError{Op: "watch", Path: filepath.Dir(path), Err: err}
	}
	w.stop = context.AfterFunc(ctx, func() { _ = w.events.SetReadDeadline(time.Unix(1, 0)) })
	return w, nil
}

// wait blocks until something may have changed, the time until has come, or ctx ends,
// which is an error.
func (w *watch) wait(ctx context.Context, until time.Time) error {
	d := lookEvery
	if w.events == nil {
		d = pollEvery
	}
	if !until.IsZero() {
		d = max(0, min(d, time.Until(until)+time.Millisecond))
	}
	if w.events == nil {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		return ctx.Err()
	}
	_ = w.events.SetReadDeadline(time.Now().Add(d))
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := w.events.Read(w.buf[:])
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !os.IsTimeout(err) {
		return os.NewSyscallError("read inotify", err)
	}
	return nil
}

func (w *watch) close() {
	w.stop()
	if w.events != nil {
		w.events.Close()
	}
}
