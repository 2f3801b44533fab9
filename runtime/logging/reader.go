package logging

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

const (
	readSize = 64 << 10

	// maxEntry bounds the memory that a broken log can claim: a longer line is
	// skipped. An entry of docker's is at most 100 KiB; other writers do not cut
	// lines.
	maxEntry = 8 << 20

	// mtimeSlack is how much older than its last entry a file may look: the
	// kernel stamps files with the time of its last tick.
	mtimeSlack = time.Second
)

// Read calls fn for the entries of the log at path, older files first. What is no
// entry is skipped, and so is a last line that is not finished. A log that does
// not exist is empty.
//
// Tail, Since and Until mean what they do in docker: Tail counts entries at the
// end of the log before the times are looked at, Since passes over entries up to the
// first that is not older, and the first one after Until ends the reading.
//
// With Follow it goes on, through rotations, until ended reports true and all that
// was written before has been read, or until the time is past Until. ended, as made
// by [Ended], is asked often and from this goroutine; nil means never. The log need
// not exist at the start, but its directory must.
//
// An error of fn ends the reading and is returned as it is. The end of ctx is no
// error when following.
func Read(ctx context.Context, path string, opts container.LogOptions, ended func() bool, fn func(container.LogLine) error) error {
	r := &reader{path: path, opts: opts, fn: fn, limit: -1}
	defer r.close()
	err := r.read(ctx, ended)
	switch {
	case errors.Is(err, errUntil):
		return nil
	case opts.Follow && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil
	}
	return err
}

// errUntil says that all that was asked for has been read.
var errUntil = errors.New("until")

type reader struct {
	path string
	opts container.LogOptions
	fn   func(container.LogLine) error

	queue []*os.File // newer than cur, oldest first, as found at the start
	limit int64      // where to stop in the last one of them; < 0: never

	cur  *os.File // the file being read; nil before there is one
	off  int64
	buf  []byte
	have int  // bytes of buf that are the beginning of a line
	skip bool // the line under way is too long

	dec decoder
}

func (r *reader) close() {
	if r.cur != nil {
		r.cur.Close()
	}
	closeAll(r.queue)
}

func (r *reader) read(ctx context.Context, ended func() bool) error {
	var w *watch
	if r.opts.Follow {
		var err error
		if w, err = newWatch(ctx, r.path); err != nil {
			return fault.Wrap(err, "follow log", r.path)
		}
		defer w.close()
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	for {
		done := !r.opts.Follow || ended != nil && ended()
		past := !r.opts.Until.IsZero() && time.Now().After(r.opts.Until)
		if err := r.rest(ctx); err != nil {
			return err
		}
		if done || past {
			return nil
		}
		if err := w.wait(ctx, r.opts.Until); err != nil {
			return err
		}
	}
}

// start opens the file with the first entry that may be wanted, and goes there.
func (r *reader) start(ctx context.Context) error {
	files, err := openAll(ctx, r.path)
	if err != nil {
		return fault.Wrap(err, "read log", r.path)
	}
	if len(files) == 0 {
		return nil
	}
	first := 0
	switch {
	case r.opts.Tail >= 0:
		if first, r.off, err = tail(ctx, files, r.opts.Tail); err != nil {
			err = fault.Wrap(err, "read log", r.path)
		}
	case !r.opts.Since.IsZero():
		for first < len(files)-1 {
			st, err := files[first].Stat()
			if err != nil || !st.ModTime().Before(r.opts.Since.Add(-mtimeSlack)) {
				break
			}
			first++
		}
	}
	closeAll(files[:first])
	r.cur, r.queue = files[first], files[first+1:]
	if err == nil && !r.opts.Follow {
		// A container may write faster than what is read can be shown.
		var st os.FileInfo
		if st, err = files[len(files)-1].Stat(); err == nil {
			r.limit = st.Size()
		}
	}
	return err
}

// rest reads what there is, up to the end of the newest file.
func (r *reader) rest(ctx context.Context) error {
	for {
		if r.cur != nil {
			if err := r.drain(ctx); err != nil {
				return err
			}
		}
		next, err := r.next()
		if err != nil {
			return fault.Wrap(err, "read log", r.path)
		}
		if next == nil {
			return nil
		}
		if r.cur != nil {
			// Between the end that was seen and the rotation, more may have been
			// written to it; from now on nothing will be.
			if err := r.drain(ctx); err != nil {
				next.Close()
				return err
			}
			r.cur.Close()
		}
		r.cur, r.off, r.have, r.skip = next, 0, 0, false
	}
}

// drain reads the current file up to its end.
func (r *reader) drain(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.buf == nil {
			r.buf = make([]byte, readSize)
		}
		if r.have == len(r.buf) {
			if len(r.buf) >= maxEntry {
				r.skip, r.have = true, 0
			} else {
				r.buf = append(r.buf, make([]byte, len(r.buf))...)
			}
		}
		p := r.buf[r.have:]
		if r.limit >= 0 && len(r.queue) == 0 {
			p = p[:max(0, min(int64(len(p)), r.limit-r.off))]
			if len(p) == 0 {
				return nil
			}
		}
		n, err := r.cur.ReadAt(p, r.off)
		r.off += int64(n)
		if n == 0 {
			if err == io.EOF {
				return r.truncated()
			}
			return fault.Wrap(err, "read log", r.path)
		}
		if err := r.lines(r.have, r.have+n); err != nil {
			return err
		}
	}
}

// truncated starts again at the beginning when the file has become shorter, as
// logrotate's copytruncate leaves it.
func (r *reader) truncated() error {
	st, err := r.cur.Stat()
	if err == nil && st.Size() < r.off {
		r.off, r.have, r.skip = 0, 0, false
	}
	return nil
}

// lines hands on the whole lines in buf[:end], of which buf[seen:] is new, and
// moves what is left to the front.
func (r *reader) lines(seen, end int) error {
	start := 0
	for {
		i := bytes.IndexByte(r.buf[seen:end], '\n')
		if i < 0 {
			break
		}
		line := r.buf[start : seen+i]
		seen += i + 1
		start = seen
		if r.skip {
			r.skip = false
			continue
		}
		if err := r.line(line); err != nil {
			return err
		}
	}
	r.have = copy(r.buf, r.buf[start:end])
	if r.skip {
		r.have = 0
	}
	return nil
}

func (r *reader) line(line []byte) error {
	l, ok := r.dec.decode(line)
	if !ok {
		return nil
	}
	if !r.opts.Since.IsZero() {
		if l.Time.Before(r.opts.Since) {
			return nil
		}
		// As docker does: the clock of a host may be set back, and what comes
		// after an entry that is wanted is wanted, too.
		r.opts.Since = time.Time{}
	}
	if !r.opts.Until.IsZero() && l.Time.After(r.opts.Until) {
		return errUntil
	}
	return r.fn(l)
}

// next opens the file that was begun after the current one, or gives nil when
// there is none yet.
func (r *reader) next() (*os.File, error) {
	if len(r.queue) > 0 {
		f := r.queue[0]
		r.queue = r.queue[1:]
		return f, nil
	}
	switch {
	case !r.opts.Follow:
		return nil, nil
	case r.cur == nil:
		return oldest(r.path)
	}
	return successor(r.path, r.cur)
}

// tail finds where the last n entries begin: the file and the offset in it. It reads
// backwards, and no more than it must. Whatever is a line and begins with a brace
// counts as an entry.
func tail(ctx context.Context, files []*os.File, n int) (first int, off int64, err error) {
	buf := make([]byte, readSize)
	for first = len(files) - 1; first >= 0; first-- {
		f := files[first]
		st, err := f.Stat()
		if err != nil {
			return 0, 0, err
		}
		end := st.Size()
		if n == 0 {
			return first, end, nil
		}
		// next is the byte after the one that is looked at; after the last
		// newline it begins a line that is not finished, and is not counted.
		var next byte
		finished := false
		for pos := end; pos > 0; {
			if err := ctx.Err(); err != nil {
				return 0, 0, err
			}
			size := min(pos, readSize)
			pos -= size
			if _, err := f.ReadAt(buf[:size], pos); err != nil && err != io.EOF {
				return 0, 0, err
			}
			for i := int(size) - 1; i >= 0; i-- {
				if buf[i] == '\n' {
					if finished && next == '{' {
						if n--; n == 0 {
							return first, pos + int64(i) + 1, nil
						}
					}
					finished = true
				}
				next = buf[i]
			}
		}
		if finished && next == '{' {
			if n--; n == 0 {
				return first, 0, nil
			}
		}
	}
	return 0, 0, nil
}
