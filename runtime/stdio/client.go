package stdio

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// dialTimeout bounds the wait for a helper whose queue of connections is full.
const dialTimeout = 10 * time.Second

// Client is a connection to the output of a container.
type Client struct {
	conn *os.File
}

// Dial connects to the helper of a state directory. All that the container
// writes after Dial has returned will be read by [Client.Copy], provided that it
// is called: until then the helper holds back a container that writes much. The
// error is of kind unavailable when there is no helper.
func Dial(stateDir string) (*Client, error) {
	conn, err := dial(stateDir)
	switch {
	case err == nil:
		return &Client{conn}, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return nil, (&fault.Error{Kind: fault.Unavailable, Op: "connect", Subject: stateDir + "/" + SocketName, Cause: err}).
			WithHint("the container has ended or was started by another program; 'logs' shows what it wrote")
	case errors.Is(err, unix.EAGAIN):
		return nil, &fault.Error{Kind: fault.Timeout, Op: "connect", Subject: stateDir + "/" + SocketName, Message: "the helper does not answer"}
	}
	return nil, fault.Wrap(err, "connect", stateDir+"/"+SocketName)
}

func dial(stateDir string) (*os.File, error) {
	dir, err := openDir(stateDir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// It also bounds connect, see unix(7) and socket(7).
	wait := unix.NsecToTimeval(int64(dialTimeout))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	_, err = again(func() (int, error) { return 0, unix.Connect(fd, address(dir, SocketName)) })
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), SocketName), nil
}

// Close ends the connection; a Copy under way returns os.ErrClosed. The container
// does not notice.
func (c *Client) Close() error { return c.conn.Close() }

// Copy passes the output on until its end, and returns nil when all of it has
// been written. io.ErrUnexpectedEOF means that the helper went away before. An
// error of a writer ends it, too. It may be called once.
func (c *Client) Copy(stdout, stderr io.Writer) error {
	return copyFrames(c.conn, stdout, stderr)
}

// copyFrames splits a stream of frames. What has come of a frame is passed on
// without waiting for the rest.
func copyFrames(r io.Reader, stdout, stderr io.Writer) error {
	buf := make([]byte, 64<<10)
	have := 0 // bytes in buf that are not consumed
	left := 0 // bytes of the payload that are still to come
	var out io.Writer
	for {
		n, err := r.Read(buf[have:])
		have += n
		p := buf[:have]
		for len(p) > 0 {
			if left == 0 {
				if len(p) < HeaderSize {
					break
				}
				stream, size := p[0], binary.BigEndian.Uint32(p[4:])
				switch {
				case stream == end && size == 0:
					return nil
				case stream == Stdout:
					out = stdout
				case stream == Stderr:
					out = stderr
				default:
					return fault.New(fault.Internal, "attach socket: no such stream: %d", stream)
				}
				if size > maxPayload || p[1]|p[2]|p[3] != 0 {
					return fault.New(fault.Internal, "attach socket: not a frame: % x", p[:HeaderSize])
				}
				left, p = int(size), p[HeaderSize:]
				continue
			}
			part := p[:min(left, len(p))]
			if _, err := out.Write(part); err != nil {
				return err
			}
			left -= len(part)
			p = p[len(part):]
		}
		have = copy(buf, p)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}
