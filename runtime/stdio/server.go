package stdio

import (
	"bytes"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// maxClients bounds the file descriptors that clients can use up. One more is
// closed as soon as it connects.
const maxClients = 256

// Server sends to all clients. It starts no goroutine and never blocks: its owner
// runs a poll loop, asks with [Server.Poll] what to wait for and hands the
// answer to [Server.Ready]. It is not safe for concurrent use.
type Server struct {
	dir     int
	ino     uint64
	fd      int // -1 once no more clients are accepted
	deaf    bool
	clients []*client
}

// client is one connection. rest is what it has not been sent yet; until owned
// is set it is a part of the frame that the caller of Send lent.
type client struct {
	fd    int
	rest  []byte
	owned bool
}

// Listen opens the socket of a state directory. A socket that is there already
// is taken to be left over from a helper that died, and replaced in one step: a
// client reaches the old or the new one. Who may call is what the lock of the log
// decides.
func Listen(stateDir string) (*Server, error) {
	s := &Server{fd: -1}
	var err error
	if s.dir, err = openDir(stateDir); err != nil {
		return nil, listenError(stateDir, err)
	}
	if err = s.listen(); err != nil {
		s.Close()
		return nil, listenError(stateDir, err)
	}
	return s, nil
}

func listenError(stateDir string, err error) error {
	return fault.Wrap(err, "listen", stateDir+"/"+SocketName)
}

func (s *Server) listen() (err error) {
	const fresh = "." + SocketName
	s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err = unix.Unlinkat(s.dir, fresh, 0); err != nil && err != unix.ENOENT {
		return err
	}
	if err = unix.Bind(s.fd, address(s.dir, fresh)); err != nil {
		return err
	}
	// Nobody can connect before listen, so there is no moment at which the
	// socket is open to others.
	if err = unix.Fchmodat(s.dir, fresh, 0o600, 0); err != nil {
		return err
	}
	if err = unix.Listen(s.fd, 128); err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstatat(s.dir, fresh, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	s.ino = st.Ino
	return unix.Renameat(s.dir, fresh, s.dir, SocketName)
}

// Poll appends what the server waits for. It is never more than 257 entries.
func (s *Server) Poll(fds []unix.PollFd) []unix.PollFd {
	if s.fd >= 0 && !s.deaf {
		fds = append(fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	for _, c := range s.clients {
		var events int16
		if len(c.rest) > 0 {
			events = unix.POLLOUT
		}
		// POLLHUP and POLLERR, the signs of a closed client, come unasked.
		fds = append(fds, unix.PollFd{Fd: int32(c.fd), Events: events})
	}
	return fds
}

// Ready does what the kernel says can be done. fds are the entries that Poll
// appended.
func (s *Server) Ready(fds []unix.PollFd) {
	accept := false
	for _, p := range fds {
		if p.Revents == 0 {
			continue
		}
		if int(p.Fd) == s.fd {
			accept = true
			continue
		}
		for _, c := range s.clients {
			if c.fd != int(p.Fd) {
				continue
			}
			if p.Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
				c.close()
			} else {
				c.write()
			}
			break
		}
	}
	s.drop()
	if accept {
		s.accept()
	}
}

// Send gives a frame to all clients. It is called after the payload was read and
// before the next read: a client whose connect returned before the payload was
// written is among them. frame is the payload with HeaderSize bytes before it,
// which Send fills; it must not be changed until Pending is false, or until
// Hoard. A frame that is sent all the same is queued in memory.
func (s *Server) Send(stream byte, frame []byte) {
	s.accept()
	if len(s.clients) == 0 {
		return
	}
	putHeader(frame, stream)
	for _, c := range s.clients {
		c.send(frame)
	}
	s.drop()
}

// Pending tells whether a client has not been sent everything yet.
func (s *Server) Pending() bool {
	for _, c := range s.clients {
		if len(c.rest) > 0 {
			return true
		}
	}
	return false
}

// Hoard makes the server own what is pending, so that the caller can go on with
// the frame. What then piles up in memory is bounded by the caller alone: it is
// for the last output of a container.
func (s *Server) Hoard() {
	for _, c := range s.clients {
		c.own()
	}
}

// Finish sends the end to all clients and removes the socket. What the clients
// have not read yet is put into the kernel's buffers as far as they can be made to
// grow, from where it reaches them after this process has ended, too. Pending
// tells what is left.
func (s *Server) Finish() {
	s.accept()
	s.unlink()
	frame := make([]byte, HeaderSize)
	putHeader(frame, end)
	for _, c := range s.clients {
		if len(c.rest) > 0 {
			c.widen()
			c.write()
		}
		c.own()
		c.send(frame)
		c.own()
	}
	s.drop()
	for _, c := range s.clients {
		if len(c.rest) == 0 {
			c.close()
		}
	}
	s.drop()
}

// Close closes all connections and removes the socket. A client that has not been
// sent the end sees that it was cut off.
func (s *Server) Close() {
	for _, c := range s.clients {
		c.close()
	}
	s.drop()
	s.unlink()
	if s.dir >= 0 {
		unix.Close(s.dir)
		s.dir = -1
	}
}

// unlink removes the socket if it is still this server's.
func (s *Server) unlink() {
	if s.fd < 0 {
		return
	}
	unix.Close(s.fd)
	s.fd = -1
	var st unix.Stat_t
	if s.ino != 0 && unix.Fstatat(s.dir, SocketName, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == s.ino {
		_ = unix.Unlinkat(s.dir, SocketName, 0)
	}
}

func (s *Server) accept() {
	for s.fd >= 0 {
		fd, err := again(func() (int, error) {
			fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return fd, err
		})
		switch {
		case err == unix.EAGAIN:
			s.deaf = false
			return
		case err == unix.ECONNABORTED:
			continue
		case err != nil:
			// Out of descriptors or memory. To poll for it would spin; the next
			// Send tries again.
			s.deaf = true
			return
		case len(s.clients) >= maxClients:
			unix.Close(fd)
			continue
		}
		// Whatever a client writes is refused, so that poll tells of one thing
		// only: that it is gone.
		_ = unix.Shutdown(fd, unix.SHUT_RD)
		s.clients = append(s.clients, &client{fd: fd})
	}
}

// drop forgets the clients that are closed.
func (s *Server) drop() {
	kept := s.clients[:0]
	for _, c := range s.clients {
		if c.fd >= 0 {
			kept = append(kept, c)
		}
	}
	clear(s.clients[len(kept):])
	s.clients = kept
}

func (c *client) send(frame []byte) {
	if len(c.rest) > 0 {
		c.own()
		c.rest = append(c.rest, frame...)
	} else {
		c.rest, c.owned = frame, false
	}
	c.write()
}

func (c *client) own() {
	if !c.owned {
		c.rest, c.owned = bytes.Clone(c.rest), true
	}
}

func (c *client) write() {
	for len(c.rest) > 0 && c.fd >= 0 {
		n, err := again(func() (int, error) { return unix.SendmsgN(c.fd, c.rest, nil, nil, unix.MSG_NOSIGNAL) })
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			c.close()
			return
		}
		c.rest = c.rest[n:]
	}
}

// widen makes room in the kernel for all that is pending, beside what is there
// and not read yet.
func (c *client) widen() {
	held, err := unix.IoctlGetInt(c.fd, unix.TIOCOUTQ)
	if err != nil {
		held = 0
	}
	// The kernel doubles the number for its own overhead. Beyond
	// net.core.wmem_max it takes CAP_NET_ADMIN.
	n := held + len(c.rest) + HeaderSize
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n)
	}
}

func (c *client) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.fd, c.rest = -1, nil
}
