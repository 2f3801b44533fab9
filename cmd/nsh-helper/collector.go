package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/logging"
	"nsh/runtime/stdio"
)

const (
	// readSize is what a pipe holds by default (pipe(7)).
	readSize = 64 << 10

	// lockWait bounds the wait for an earlier helper of the same container. Its
	// successor writes then all the same: a container that cannot write is worse
	// than two writers that append whole lines.
	lockWait = 10 * time.Second

	// quiet is how long a stream that the shim copies may be silent, once the
	// process has ended, before what has come is taken to be complete.
	quiet = 2 * time.Second

	// drainFor bounds the reading from processes that outlive the container's
	// first one and do not stop writing, as they can with the host's PIDs.
	drainFor = 2 * time.Second

	// linger is how long clients that do not read are waited for once the helper
	// was asked to end. The shim kills it after 12 s (containerd
	// cmd/containerd-shim-runc-v2/process/io.go, binaryIOProcTermTimeout).
	linger = 5 * time.Second

	// orphanFor is how long the fifos may stay without a writer after the program
	// that started the helper is gone: the engine may still be about to open them.
	orphanFor = 10 * time.Second

	// heap is where the garbage collector begins to work. A helper that only
	// logs never gets there.
	heap = 16 << 20
)

// collector takes what a container writes to its log and to whoever is attached.
// It is one loop around poll(2), without goroutines, so that it stays small and
// the order of things is what the code says.
type collector struct {
	dir       string // the state directory
	tty, fifo bool
	note      io.Writer

	lock    int
	log     *logging.Writer // nil with driver none
	srv     *stdio.Server   // nil if the socket could not be made
	ports   ports
	process process
	starter starter
	term    int // readable when SIGTERM has come

	out, err stream
	first    int    // which of them is read first
	buf      []byte // room for a frame's header, then what was read
}

// stream is one of the outputs of the container.
type stream struct {
	fd     int // -1 when it is at its end
	number byte
	log    *logging.Stream
	hup    bool // nobody will write any more
}

func (c *collector) tell(err error) { io.WriteString(c.note, "nsh-helper: "+err.Error()+"\n") }

func (c *collector) run() error {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heap)
	var err error
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	if err := c.loop(); err != nil {
		// Poll fails for want of memory only. What has been read is not lost.
		c.tell(err)
	}
	return c.end()
}

// open gets everything ready, then says so. Only what makes the helper useless is
// an error: a container whose output is not read stands still, so whatever is
// wrong with the log or the socket, the output is taken.
func (c *collector) open() error {
	ready := 5
	c.out, c.err = stream{fd: 3, number: stdio.Stdout}, stream{fd: 4, number: stdio.Stderr}
	if !c.fifo && !(isPipe(3) && isPipe(4)) {
		return errors.New("file descriptors 3 and 4 are not pipes; it is containerd's shim that runs this")
	}
	switch {
	case c.tty:
		unix.Close(c.err.fd)
		c.err.fd = -1
	case c.fifo:
		c.starter.watch()
		var err error
		if c.out.fd, err = openFifo(filepath.Join(c.dir, "stdout")); err != nil {
			return err
		}
		if c.err.fd, err = openFifo(filepath.Join(c.dir, "stderr")); err != nil {
			return err
		}
	}
	if err := c.signals(); err != nil {
		return err
	}
	c.buf = make([]byte, stdio.HeaderSize+readSize)
	if err := c.takeLock(); err != nil {
		c.tell(err)
	}
	if err := c.openLog(); err != nil {
		c.tell(err)
	}
	var err error
	if c.srv, err = stdio.Listen(c.dir); err != nil {
		c.tell(err)
	}
	if err := c.ports.hold(c.dir); err != nil {
		c.tell(err)
	}
	// The byte is what containerd's scheme binary-v2 waits for; for binary the end
	// of the file will do.
	if isPipe(ready) {
		_, _ = unix.Write(ready, []byte{0})
		unix.Close(ready)
	}
	c.process.watch()
	return nil
}

// signals makes SIGTERM a readable file. The others that could end the helper are
// for others: it ends with the container.
func (c *collector) signals() error {
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGXFSZ)
	var err error
	if c.term, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGTERM)
	go func() {
		<-ch
		_, _ = unix.Write(c.term, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}()
	return nil
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

func openFifo(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

func (c *collector) takeLock() error {
	path := filepath.Join(c.dir, logging.LockName)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		c.lock = -1
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	c.lock = fd
	for end := time.Now().Add(lockWait); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			return &os.PathError{Op: "lock", Path: path, Err: err}
		}
	}
}

func (c *collector) openLog() error {
	cfg, err := logging.ReadConfig(c.dir)
	if cfg.Driver == logging.None {
		return nil
	}
	opts, optErr := cfg.Options()
	id := os.Getenv("CONTAINER_ID")
	if id == "" {
		id = filepath.Base(c.dir)
	}
	c.log = logging.NewWriter(cfg.Path(c.dir, id), opts)
	c.out.log, c.err.log = c.log.Stream("stdout"), c.log.Stream("stderr")
	return errors.Join(err, optErr, c.log.Open())
}

// loop runs until the container has ended or the helper was asked to end. If it
// does not know the container's process, the end of both outputs must do.
func (c *collector) loop() error {
	fds := make([]unix.PollFd, 0, 16)
	for c.out.fd >= 0 || c.err.fd >= 0 || c.process.alive() {
		waiting := c.srv != nil && c.srv.Pending()
		fds = append(fds[:0],
			unix.PollFd{Fd: int32(c.term), Events: unix.POLLIN},
			c.out.poll(waiting), c.err.poll(waiting),
			c.process.poll(), c.starter.poll())
		if c.srv != nil {
			fds = c.srv.Poll(fds)
		}
		if err := wait(fds, sooner(c.process.timeout(), c.starter.timeout())); err != nil {
			return err
		}
		if c.srv != nil {
			c.srv.Ready(fds[5:])
		}
		if c.process.ready(fds[3].Revents) || fds[0].Revents != 0 {
			return nil
		}
		if c.starter.ready(fds[4].Revents) && !c.writer(&c.out) && !c.writer(&c.err) {
			return nil
		}
		c.out.hup = c.out.hup || fds[1].Revents&unix.POLLHUP != 0
		c.err.hup = c.err.hup || fds[2].Revents&unix.POLLHUP != 0
		if waiting {
			if c.out.ending() && c.err.ending() && !c.process.alive() {
				return nil
			}
			continue
		}
		// A client that is slow stops both, so both take turns at being first.
		c.first = 1 - c.first
		for i := range 2 {
			s, revents := &c.out, fds[1].Revents
			if i != c.first {
				s, revents = &c.err, fds[2].Revents
			}
			if revents == 0 || s.fd < 0 || c.srv != nil && c.srv.Pending() {
				continue
			}
			c.starter.close()
			c.read(s, readSize)
		}
		// The shim opens both fifos before the container can write. One that has no
		// writer when the other is at its end will never have one.
		if c.fifo && (c.out.fd < 0) != (c.err.fd < 0) {
			for _, s := range []*stream{&c.out, &c.err} {
				if s.fd >= 0 && !c.writer(s) {
					c.finish(s)
				}
			}
		}
		c.flush()
	}
	return nil
}

func wait(fds []unix.PollFd, timeout time.Duration) error {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	_, err := unix.Poll(fds, ms)
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	if err != nil {
		for i := range fds {
			fds[i].Revents = 0
		}
	}
	return nil
}

// sooner is the shorter of two times of which a negative one is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// poll asks for input or, while a client has to catch up, only for whether there
// will be any.
func (s *stream) poll(waiting bool) unix.PollFd {
	p := unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	if waiting {
		p.Events = 0
		if s.hup {
			p.Fd = -1
		}
	}
	return p
}

// ending tells whether all that will ever come is in the pipe already.
func (s *stream) ending() bool { return s.fd < 0 || s.hup }

// read takes at most n bytes, and reports false at the end of the stream.
func (c *collector) read(s *stream, n int) bool {
	if !c.take(s, n) {
		c.finish(s)
		return false
	}
	return true
}

// writer tells whether somebody has a fifo open for writing: without one, a read that
// does not block is at the end.
func (c *collector) writer(s *stream) bool { return s.fd >= 0 && c.take(s, readSize) }

func (c *collector) take(s *stream, n int) bool {
	p := c.buf[stdio.HeaderSize:]
	n, err := unix.Read(s.fd, p[:min(n, len(p))])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return true
	case err != nil || n <= 0:
		return false
	}
	if s.log != nil {
		_, _ = s.log.Write(p[:n])
	}
	if c.srv != nil {
		c.srv.Send(s.number, c.buf[:stdio.HeaderSize+n])
	}
	return true
}

func (c *collector) finish(s *stream) {
	unix.Close(s.fd)
	s.fd = -1
	if s.log != nil {
		s.log.End()
	}
}

func (c *collector) flush() {
	if c.log != nil {
		// It tells of its losses itself, in the log.
		_ = c.log.Flush()
	}
}

// end takes what has been written up to now, and lets go of everything in the
// order in which others rely on it: the clients see the end when the log is
// complete, and the next helper begins when the ports are free.
func (c *collector) end() error {
	c.process.check()
	if c.srv != nil {
		c.srv.Hoard()
	}
	if (c.tty || c.fifo) && c.process.exited {
		c.drainCopied()
	} else {
		c.drain()
	}
	for _, s := range []*stream{&c.out, &c.err} {
		if s.fd >= 0 {
			c.finish(s)
		}
	}
	if c.log != nil {
		if err := c.log.Close(); err != nil {
			c.tell(err)
		}
	}
	if c.srv != nil {
		c.srv.Finish()
	}
	if len(c.ports) == 0 {
		c.unlock()
	}
	var err error
	if c.process.exited && c.process.current() {
		err = disconnect(c.dir)
	}
	c.ports.free(c.dir)
	c.unlock()
	if c.process.exited {
		if rerr := removeAtExit(c.dir); rerr != nil {
			c.tell(rerr)
		}
	}
	if c.srv != nil {
		c.part()
		c.srv.Close()
	}
	return err
}

func (c *collector) unlock() {
	if c.lock >= 0 {
		unix.Close(c.lock)
		c.lock = -1
	}
}

// drain empties the pipes. What the container wrote before it ended is in them.
func (c *collector) drain() {
	end := time.Now().Add(drainFor)
	for _, s := range []*stream{&c.out, &c.err} {
		for s.fd >= 0 && time.Now().Before(end) {
			n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
			if err != nil || n == 0 || !c.read(s, n) {
				break
			}
			c.hoard()
		}
	}
}

// drainCopied reads what the shim copies from a terminal, or between pipes, to the
// end, which the shim makes when it has copied all; but not for ever, since it has
// other reasons not to.
func (c *collector) drainCopied() {
	for c.out.fd >= 0 || c.err.fd >= 0 {
		fds := []unix.PollFd{c.out.poll(false), c.err.poll(false)}
		last := time.Now()
		for fds[0].Revents|fds[1].Revents == 0 {
			left := quiet - time.Since(last)
			if left <= 0 || wait(fds, left) != nil {
				return
			}
		}
		for i, s := range []*stream{&c.out, &c.err} {
			if fds[i].Revents != 0 {
				c.read(s, readSize)
				c.hoard()
			}
		}
	}
}

func (c *collector) hoard() {
	c.flush()
	if c.srv != nil {
		c.srv.Hoard()
	}
}

// part waits for the clients that have not been sent everything. There are some
// only if they did not read, and the kernel would not keep it for them.
func (c *collector) part() {
	left := time.Duration(-1)
	var asked time.Time
	for c.srv.Pending() {
		term := unix.PollFd{Fd: int32(c.term), Events: unix.POLLIN}
		if !asked.IsZero() {
			term.Fd = -1
			if left = linger - time.Since(asked); left <= 0 {
				return
			}
		}
		fds := c.srv.Poll([]unix.PollFd{term})
		if wait(fds, left) != nil {
			return
		}
		if fds[0].Revents != 0 {
			asked = time.Now()
		}
		c.srv.Ready(fds[1:])
	}
}
