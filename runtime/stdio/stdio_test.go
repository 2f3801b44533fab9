package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// helper runs a server as the helper does: what comes out of a pipe goes to all
// clients, and the next is read when they have taken it.
type helper struct {
	srv   *Server
	write *os.File
	done  chan struct{}
}

func newHelper(t *testing.T, dir string) *helper {
	t.Helper()
	srv, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{srv: srv, write: w, done: make(chan struct{})}
	fd := int(r.Fd())
	go func() {
		defer close(h.done)
		defer r.Close()
		defer srv.Close()
		buf := make([]byte, HeaderSize+1000)
		for {
			in := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
			if srv.Pending() {
				in.Events = 0
			}
			fds := srv.Poll([]unix.PollFd{in})
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				panic(err)
			}
			srv.Ready(fds[1:])
			switch {
			case fds[0].Revents == 0:
				continue
			case fds[0].Revents&unix.POLLHUP != 0:
				srv.Hoard()
			}
			n, _ := unix.Read(fd, buf[HeaderSize:])
			if n <= 0 {
				srv.Hoard()
				srv.Finish()
				for srv.Pending() {
					fds := srv.Poll(nil)
					_, _ = unix.Poll(fds, -1)
					srv.Ready(fds)
				}
				return
			}
			stream := byte(Stdout)
			if buf[HeaderSize] == 'E' {
				stream = Stderr
			}
			srv.Send(stream, buf[:HeaderSize+n])
		}
	}()
	t.Cleanup(func() {
		w.Close()
		h.wait(t)
	})
	return h
}

func (h *helper) wait(t *testing.T) {
	t.Helper()
	select {
	case <-h.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the helper does not end")
	}
}

func dialTest(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientsSeeTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	type result struct {
		out, err bytes.Buffer
		e        error
	}
	results := make(chan *result)
	const clients = 8
	for range clients {
		c := dialTest(t, dir)
		go func() {
			var r result
			r.e = c.Copy(&r.out, &r.err)
			results <- &r
		}()
	}
	var out, errs bytes.Buffer
	for i := range 2000 {
		// A pipe keeps no borders between writes, so the test has to wait for each
		// of them to keep the streams apart.
		text, to := fmt.Sprintf("line %d\n", i), &out
		if i%3 == 0 {
			text, to = "E"+text, &errs
		}
		to.WriteString(text)
		io.WriteString(h.write, text)
		for n := 1; n > 0; {
			n, _ = unix.IoctlGetInt(int(h.write.Fd()), unix.TIOCINQ)
		}
	}
	h.write.Close()
	for range clients {
		r := <-results
		if r.e != nil {
			t.Error(r.e)
		}
		if r.out.String() != out.String() || r.err.String() != errs.String() {
			t.Errorf("got %d and %d bytes, want %d and %d", r.out.Len(), r.err.Len(), out.Len(), errs.Len())
		}
	}
	h.wait(t)
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// Everything that is written after Dial returns arrives.
func TestDialThenWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	for i := range 300 {
		// Something is on its way all the time.
		io.WriteString(h.write, strings.Repeat("x", 100))
		c := dialTest(t, dir)
		mark := fmt.Sprintf("<%d>", i)
		io.WriteString(h.write, mark)
		got := make([]byte, 0, 1000)
		w := writerFunc(func(p []byte) (int, error) {
			got = append(got, p...)
			if strings.Contains(string(got), mark) {
				return 0, io.ErrClosedPipe
			}
			return len(p), nil
		})
		if err := c.Copy(w, w); err != io.ErrClosedPipe {
			t.Fatalf("%v after %q", err, got)
		}
		c.Close()
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A client that does not read holds the output up, and loses nothing; when it is
// closed, the others go on at once.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	lazy, eager := dialTest(t, dir), dialTest(t, dir)
	var got bytes.Buffer
	copied := make(chan error, 1)
	go func() { copied <- eager.Copy(&got, &got) }()
	const total = 4 << 20
	written := make(chan int, 1)
	go func() {
		n := 0
		for n < total {
			m, _ := h.write.Write(bytes.Repeat([]byte("x"), 4096))
			n += m
		}
		h.write.Close()
		written <- n
	}()
	select {
	case <-written:
		t.Fatal("4 MiB went somewhere")
	case <-time.After(300 * time.Millisecond):
	}
	lazy.Close()
	<-written
	if err := <-copied; err != nil || got.Len() != total {
		t.Errorf("%v after %d bytes", err, got.Len())
	}
}

// The end of a container does not wait for a client that does not read, and yet
// the client gets all of it.
func TestEndWithLazyClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	lazy := dialTest(t, dir)
	text := strings.Repeat("x", 150<<10)
	io.WriteString(h.write, text)
	h.write.Close()
	h.wait(t)
	var got strings.Builder
	if err := lazy.Copy(&got, io.Discard); err != nil || got.String() != text {
		t.Errorf("%v after %d bytes", err, got.Len())
	}
}

func TestHelperDies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := dialTest(t, dir)
	srv.Send(Stdout, append(make([]byte, HeaderSize), "some"...))
	srv.Close()
	var got strings.Builder
	if err := c.Copy(&got, io.Discard); err != io.ErrUnexpectedEOF || got.String() != "some" {
		t.Errorf("%v after %q", err, got.String())
	}
}

func TestCloseEndsCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newHelper(t, dir)
	c := dialTest(t, dir)
	done := make(chan error)
	go func() { done <- c.Copy(io.Discard, io.Discard) }()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// What a client sends is refused and disturbs nobody.
func TestClientThatWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	c := dialTest(t, dir)
	// It may come before the helper has accepted it.
	for range 3 {
		_, _ = c.conn.Write([]byte("who reads this?"))
		time.Sleep(time.Millisecond)
	}
	io.WriteString(h.write, "still here")
	h.write.Close()
	var got strings.Builder
	if err := c.Copy(&got, io.Discard); err != nil || got.String() != "still here" {
		t.Errorf("%v after %q", err, got.String())
	}
}

func TestDialWithoutHelper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Dial(dir)
	want := fmt.Sprintf("connect %q: no such file or directory", dir+"/attach.sock")
	if err == nil || err.Error() != want || !fault.Is(err, fault.Unavailable) || fault.HintOf(err) == "" {
		t.Errorf("no socket: %v, want %s", err, want)
	}
	// A helper that was killed leaves its socket.
	srv, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(srv.fd)
	_, err = Dial(dir)
	want = fmt.Sprintf("connect %q: connection refused", dir+"/attach.sock")
	if err == nil || err.Error() != want || !fault.Is(err, fault.Unavailable) {
		t.Errorf("dead socket: %v, want %s", err, want)
	}
	// The next one replaces it.
	next, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	dialTest(t, dir)
	// And the dead one, were it still to end, does not take it away.
	srv.unlink()
	dialTest(t, dir)
}

// The path of the state directory may be longer than a socket address.
func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	newHelper(t, dir)
	dialTest(t, dir)
	st, err := os.Stat(dir + "/attach.sock")
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode is %v", st.Mode())
	}
}

func TestTooManyClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHelper(t, dir)
	var clients []*Client
	for range maxClients + 1 {
		clients = append(clients, dialTest(t, dir))
	}
	last := clients[maxClients]
	if err := last.Copy(io.Discard, io.Discard); err != io.ErrUnexpectedEOF {
		t.Errorf("one too many: %v", err)
	}
	io.WriteString(h.write, "x")
	h.write.Close()
	for _, c := range clients[:maxClients] {
		var got strings.Builder
		if err := c.Copy(&got, io.Discard); err != nil || got.String() != "x" {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
}

func frame(stream byte, text string) string {
	p := append(make([]byte, HeaderSize), text...)
	putHeader(p, stream)
	return string(p)
}

func TestCopyFrames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, out, err string
		want         string
	}{
		{frame(end, ""), "", "", "<nil>"},
		{frame(Stdout, "a") + frame(Stderr, "b") + frame(Stdout, "c") + frame(end, "") + "ignored", "ac", "b", "<nil>"},
		{frame(Stdout, "") + frame(end, ""), "", "", "<nil>"},
		{"", "", "", "unexpected EOF"},
		{frame(Stdout, "a"), "a", "", "unexpected EOF"},
		{frame(Stdout, "abc")[:10], "ab", "", "unexpected EOF"},
		{frame(Stdout, "a") + "\x01", "a", "", "unexpected EOF"},
		{frame(end, "x"), "", "", "attach socket: no such stream: 0"},
		{frame(3, "x"), "", "", "attach socket: no such stream: 3"},
		{"\x01\x00\x00\x00\x00\x10\x00\x01", "", "", "attach socket: not a frame: 01 00 00 00 00 10 00 01"},
		{"\x01\x00\x01\x00\x00\x00\x00\x01x", "", "", "attach socket: not a frame: 01 00 01 00 00 00 00 01"},
	}
	for _, tt := range tests {
		for name, r := range map[string]io.Reader{
			"at once":     strings.NewReader(tt.in),
			"in bytes":    iotest.OneByteReader(strings.NewReader(tt.in)),
			"data at EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
		} {
			var out, errs strings.Builder
			err := copyFrames(r, &out, &errs)
			if fmt.Sprint(err) != tt.want || out.String() != tt.out || errs.String() != tt.err {
				t.Errorf("%q %s: %q, %q, %v, want %q, %q, %s", tt.in, name, out.String(), errs.String(), err, tt.out, tt.err, tt.want)
			}
		}
	}
}

// However the frames are cut by the reads, the same comes out; no input is a panic or
// more than it contains.
func FuzzCopyFrames(f *testing.F) {
	f.Add([]byte(frame(Stdout, "some text") + frame(Stderr, "other") + frame(end, "")))
	f.Add([]byte(frame(Stdout, strings.Repeat("x", 70000))))
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out, errs, out1, errs1 bytes.Buffer
		err := copyFrames(bytes.NewReader(in), &out, &errs)
		err1 := copyFrames(iotest.HalfReader(bytes.NewReader(in)), &out1, &errs1)
		if fmt.Sprint(err) != fmt.Sprint(err1) || !bytes.Equal(out.Bytes(), out1.Bytes()) || !bytes.Equal(errs.Bytes(), errs1.Bytes()) {
			t.Errorf("%q gives %q, %q, %v and %q, %q, %v", in, &out, &errs, err, &out1, &errs1, err1)
		}
		if out.Len()+errs.Len() > len(in) {
			t.Errorf("%d bytes of %d", out.Len()+errs.Len(), len(in))
		}
	})
}
