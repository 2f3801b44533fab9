package main

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// pidFile is what the shim has the OCI runtime write into the bundle, which is the
// working directory (containerd cmd/containerd-shim-runc-v2/process/utils.go,
// InitPidFile). It is there from the start with a terminal; otherwise the helper
// is started first. For log-fifo the program that starts the helper may write such
// a file into the directory that it starts it in.
const pidFile = "init.pid"

// lookEvery is how often the file is looked for where inotify cannot be had: a
// user has 128 instances by default (inotify(7), max_user_instances).
const lookEvery = 20 * time.Millisecond

// process notices the end of the container's first process. Nobody needs to be
// asked for that: the kernel tells. When it cannot be told, the helper still ends
// by SIGTERM or at the end of the output.
type process struct {
	bundle int // directory; 0: not looked at
	pid    int
	look   bool // for the file
	events int  // inotify; 0: none
	pidfd  int  // 0: not known yet
	exited bool
}

func (p *process) watch() {
	var err error
	if p.bundle, err = unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		p.bundle = 0
		return
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		// runc renames a temporary file, others may write it in place.
		if _, err = unix.InotifyAddWatch(fd, ".", unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE); err == nil {
			p.events = fd
		} else {
			unix.Close(fd)
		}
	}
	// The bundle goes with the task, so it should not be anybody's working directory.
	_ = os.Chdir("/")
	p.look = true
	p.find()
}

// find opens the process when its file is there.
func (p *process) find() {
	pid := p.read()
	if pid <= 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	p.pid = pid
	switch err {
	case nil:
		p.pidfd = fd
	case unix.ESRCH:
		p.exited = true
	}
	p.look = false
	if p.events > 0 {
		unix.Close(p.events)
		p.events = 0
	}
}

// read gives the pid in the file, or 0.
func (p *process) read() int {
	fd, err := unix.Openat(p.bundle, pidFile, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var buf [32]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0
	}
	pid, err := strconv.ParseInt(string(bytes.TrimSpace(buf[:n])), 10, 32)
	if err != nil {
		return 0
	}
	return int(pid)
}

// current tells whether the task is still there. When it is not, the container may
// have been started again, with things that are no longer this helper's.
func (p *process) current() bool { return p.read() == p.pid }

func (p *process) poll() unix.PollFd {
	switch {
	case p.pidfd > 0:
		return unix.PollFd{Fd: int32(p.pidfd), Events: unix.POLLIN}
	case p.events > 0:
		return unix.PollFd{Fd: int32(p.events), Events: unix.POLLIN}
	}
	return unix.PollFd{Fd: -1}
}

// timeout is how long poll may wait; negative: for ever.
func (p *process) timeout() time.Duration {
	switch {
	case p.exited:
		return 0
	case p.look && p.events == 0:
		return lookEvery
	}
	return -1
}

// ready does what poll's answer calls for, and tells whether the process has ended.
func (p *process) ready(revents int16) bool {
	switch {
	case p.pidfd > 0:
		p.exited = p.exited || revents != 0
	case p.look:
		if revents != 0 {
			var buf [4 << 10]byte
			_, _ = unix.Read(p.events, buf[:])
		}
		if revents != 0 || p.events == 0 {
			p.find()
		}
	}
	return p.exited
}

// check looks whether the process has ended, without waiting.
func (p *process) check() {
	fds := []unix.PollFd{p.poll()}
	if p.bundle > 0 && wait(fds, 0) == nil {
		p.ready(fds[0].Revents)
	}
}

// alive tells whether the process is known to run.
func (p *process) alive() bool { return p.pidfd > 0 && !p.exited }

// starter is the program that started the helper for a container that reads its
// input. Until somebody has opened the fifos for writing, it is the only one who
// knows whether anybody will; if it is killed before, nobody may.
type starter struct {
	pidfd int       // 0: nobody to watch
	since time.Time // when it went; zero: it did not, or does not matter
}

func (s *starter) watch() {
	s.since = time.Now()
	if pid := unix.Getppid(); pid > 1 {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil && unix.Getppid() == pid {
			s.pidfd, s.since = fd, time.Time{}
		}
	}
}

func (s *starter) poll() unix.PollFd {
	if s.pidfd > 0 {
		return unix.PollFd{Fd: int32(s.pidfd), Events: unix.POLLIN}
	}
	return unix.PollFd{Fd: -1}
}

func (s *starter) timeout() time.Duration {
	if s.since.IsZero() {
		return -1
	}
	return max(0, orphanFor-time.Since(s.since))
}

// ready does what poll's answer calls for, and tells, once, that it is time to see
// whether there is a writer.
func (s *starter) ready(revents int16) bool {
	if revents != 0 && s.pidfd > 0 {
		s.close()
		s.since = time.Now()
	}
	if s.timeout() != 0 {
		return false
	}
	s.close()
	return true
}

// close is called when it does not matter any more: there was a writer.
func (s *starter) close() {
	if s.pidfd > 0 {
		unix.Close(s.pidfd)
	}
	s.pidfd, s.since = 0, time.Time{}
}
