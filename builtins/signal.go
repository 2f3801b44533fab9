package builtins

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
)

// proxySignals passes the signals that this process gets on to p, as docker
// does for a process in the foreground without a terminal. SIGCHLD, SIGPIPE and
// SIGURG are this process's own (the last is the Go runtime's).
//
// A process that does not heed them, as a first process without a handler does
// not, would hold the caller for ever: at the third SIGINT or SIGTERM force is
// called (docker/cli, cli/command/container/signals.go, has the same rule).
func proxySignals(env *Env, p container.Process, force func()) (stop func()) {
	env.proxies.Add(1)
	ch := make(chan os.Signal, 32)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGALRM)
	done := make(chan struct{})
	go func() {
		ends := 0
		for {
			select {
			case s := <-ch:
				if s == syscall.SIGINT || s == syscall.SIGTERM {
					if ends++; ends == 3 {
						force()
						return
					}
				}
				if n, ok := s.(syscall.Signal); ok {
					_ = p.Signal(context.Background(), strconv.Itoa(int(n)))
				}
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(ch); close(done); env.proxies.Add(-1) }
}

// detachedContext is for cleaning up after a call that was cancelled.
func detachedContext(call *Call) context.Context { return context.WithoutCancel(call.Context) }

// cancellable makes a reader whose Read can be ended, so that what is typed
// after the process has gone is left for the next reader. Anything but a file is
// returned as it is.
func cancellable(r io.Reader) (io.Reader, func()) {
	f, ok := r.(*os.File)
	if !ok || f == nil {
		return r, func() {}
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return r, func() {}
	}
	c := &cancelReader{f: f, wake: fds[0]}
	var once sync.Once
	return c, func() {
		once.Do(func() {
			unix.Close(fds[1])
			c.mu.Lock() // the reader has left poll
			unix.Close(fds[0])
			c.wake = -1
			c.mu.Unlock()
		})
	}
}

type cancelReader struct {
	f    *os.File
	mu   sync.Mutex
	wake int
}

func (c *cancelReader) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake < 0 {
		return 0, io.EOF
	}
	set := []unix.PollFd{{Fd: int32(c.f.Fd()), Events: unix.POLLIN}, {Fd: int32(c.wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(set, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if set[1].Revents != 0 {
			return 0, io.EOF
		}
		if set[0].Revents != 0 {
			return c.f.Read(p)
		}
	}
}
