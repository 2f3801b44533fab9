package logging

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

const (
	// maxLine is what docker's copier holds of a line before it writes a piece
	// (moby/moby daemon/logger/copier.go, defaultBufSize).
	maxLine = 16 << 10

	// flushAt bounds the entries that wait for one write. It is more than what
	// an idle log needs, and memory that is never touched costs nothing.
	flushAt = 64 << 10

	// openEvery is how often a log that cannot be opened is tried again.
	openEvery = time.Second
)

// Writer appends to a log. Entries wait in memory until [Writer.Flush], which the
// owner calls when there is nothing more to read for the moment.
//
// A log that cannot be written loses lines but never blocks: the next write tries
// again, and the first that succeeds leaves a line on stderr saying how many are
// missing and why. A file always ends with a whole entry.
//
// A Writer is not safe for concurrent use.
type Writer struct {
	path string
	opts Options

	fd       int // -1 while it is not open
	size     int64
	rotateAt int64 // 0: never
	retry    time.Time
	buf      []byte

	kept    int // bytes of the last put that are in the file
	lost    int
	lostErr error
	now     func() time.Time
}

// NewWriter makes a writer. Nothing happens to the file until it is opened, by Open
// or by the first Flush.
func NewWriter(path string, opts Options) *Writer {
	return &Writer{path: path, opts: opts, fd: -1, rotateAt: opts.MaxSize, now: time.Now}
}

// Open opens the file, and makes it if there is none. What an interrupted write
// left at its end becomes a line of its own.
func (w *Writer) Open() error {
	if w.fd >= 0 {
		return nil
	}
	return fault.Wrap(w.open(), "open log", w.path)
}

func (w *Writer) open() error {
	// Not os.OpenFile, which would set up the poller of package net for a file
	// that cannot be polled. The mode is docker's.
	fd, err := unix.Open(w.path, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	w.fd, w.size, w.rotateAt = fd, st.Size, w.opts.MaxSize
	var last [1]byte
	if n, _ := unix.Pread(fd, last[:], max(0, w.size-1)); n == 1 && last[0] != '\n' {
		n, err := w.write([]byte{'\n'})
		w.size += int64(n)
		return err
	}
	return nil
}

// Flush writes what is waiting. The error is for information: the lines that it
// is about are counted, and will not be written again.
func (w *Writer) Flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	defer func() { w.buf = w.buf[:0] }()
	if w.fd < 0 {
		if now := w.now(); now.Before(w.retry) {
			return w.lose(w.buf, w.lostErr)
		} else if err := w.Open(); err != nil {
			w.retry = now.Add(openEvery)
			return w.lose(w.buf, err)
		}
	}
	if w.lost > 0 {
		if err := w.put(w.notice()); err != nil {
			return w.lose(w.buf, err)
		}
		w.lost, w.lostErr = 0, nil
	}
	if err := w.put(w.buf); err != nil {
		return w.lose(w.buf[w.kept:], err)
	}
	return nil
}

// put writes whole entries. When that fails, it leaves as many of them as there was
// room for, and no half one.
func (w *Writer) put(entries []byte) error {
	n, err := w.write(entries)
	w.kept = n
	if err != nil {
		w.kept = bytes.LastIndexByte(entries[:n], '\n') + 1
		if w.kept < n {
			_ = unix.Ftruncate(w.fd, w.size+int64(w.kept))
		}
		err = fault.Wrap(err, "write log", w.path)
	}
	w.size += int64(w.kept)
	return err
}

func (w *Writer) write(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(w.fd, p[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

func (w *Writer) lose(entries []byte, err error) error {
	w.lost += bytes.Count(entries, []byte{'\n'})
	w.lostErr = err
	return err
}

func (w *Writer) notice() []byte {
	text := "nsh: " + strconv.Itoa(w.lost) + " lines lost: " + w.lostErr.Error()
	return appendEntry(nil, []byte(text), true, "stderr", w.now().UTC())
}

// rotate begins a new file. When it cannot, the current one grows on, and it is
// tried again when as much has been added.
func (w *Writer) rotate() {
	_ = w.Flush()
	if w.fd < 0 || w.size < w.rotateAt {
		return
	}
	if err := w.shift(); err != nil {
		w.rotateAt = w.size + w.opts.MaxSize
		return
	}
	unix.Close(w.fd)
	w.fd = -1
	if err := w.Open(); err != nil {
		w.retry, w.lostErr = w.now().Add(openEvery), err
	}
}

// shift moves path to path.1, path.1 to path.2, and so on. The file is not truncated
// even if it is the only one, so that a reader that has it open sees its end.
func (w *Writer) shift() error {
	if w.opts.MaxFiles < 2 {
		return unix.Unlink(w.path)
	}
	for i := w.opts.MaxFiles - 1; i > 1; i-- {
		err := unix.Rename(numbered(w.path, i-1), numbered(w.path, i))
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return unix.Rename(w.path, numbered(w.path, 1))
}

func numbered(path string, i int) string { return path + "." + strconv.Itoa(i) }

// Close writes what is waiting and closes the file.
func (w *Writer) Close() error {
	err := w.Flush()
	if w.lost > 0 && w.fd >= 0 && w.put(w.notice()) == nil {
		w.lost = 0
	}
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
	return err
}

func (w *Writer) entry(text []byte, newline bool, stream string, at time.Time) {
	if w.rotateAt > 0 && w.size+int64(len(w.buf)) >= w.rotateAt {
		w.rotate()
	}
	w.buf = appendEntry(w.buf, text, newline, stream, at)
	if len(w.buf) >= flushAt {
		_ = w.Flush()
	}
}

// Stream is one of the two outputs of a container. It cuts what is written to it
// into lines; what was written to the other one never gets between.
type Stream struct {
	w       *Writer
	name    string
	partial []byte // of a line, less than maxLine
	split   bool   // pieces of this line are written already
	at      time.Time
}

// Stream makes the stream of that name, stdout or stderr.
func (w *Writer) Stream(name string) *Stream { return &Stream{w: w, name: name} }

// Write takes some output. It never fails.
func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := maxLine - len(s.partial)
		i := bytes.IndexByte(p[:min(len(p), room)], '\n')
		switch {
		case i >= 0:
			s.line(p[:i], true)
			p = p[i+1:]
		case len(p) < room:
			s.partial = append(s.partial, p...)
			return n, nil
		default:
			s.line(p[:room], false)
			p = p[room:]
		}
	}
	return n, nil
}

// line writes what is kept of a line followed by more. All pieces of a line carry
// the time of the first one, as docker's do.
func (s *Stream) line(more []byte, newline bool) {
	text := more
	if len(s.partial) > 0 {
		s.partial = append(s.partial, more...)
		text = s.partial
	}
	if !s.split {
		s.at = s.w.now().UTC()
	}
	whole := len(text)
	if !newline && len(text) == maxLine {
		// docker cuts through a character that stands at the border, and so
		// spoils it. It goes into the next piece.
		whole = runeBorder(text)
	}
	s.w.entry(text[:whole], newline, s.name, s.at)
	s.split = !newline
	s.partial = append(s.partial[:0], text[whole:]...)
}

// runeBorder is the length of p without a character that is cut off at its end.
func runeBorder(p []byte) int {
	for i := 1; i < utf8.UTFMax; i++ {
		if tail := p[len(p)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(p) - i
			}
			break
		}
	}
	return len(p)
}

// End writes the line that has no newline, when there is one: the output has ended.
func (s *Stream) End() {
	if len(s.partial) > 0 {
		s.line(nil, false)
	}
	s.split = false
}
