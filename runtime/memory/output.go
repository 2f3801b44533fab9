package memory

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"nsh/runtime/container"
)

// output is what a process writes, on its way to those who are connected.
type output struct {
	mu     sync.Mutex
	taps   []*tap
	closed bool
}

type chunk struct {
	stream string
	data   []byte
}

// tap is one who is connected. What it has not taken yet is kept, so that the
// slowest neither stops the process nor the others.
type tap struct {
	mu     sync.Mutex
	queue  []chunk
	closed bool
	stop   bool
	wake   chan struct{} // has room for one
	done   chan struct{} // closed when all has been written
}

func (o *output) attach(stdout, stderr io.Writer) *tap {
	t := &tap{wake: make(chan struct{}, 1), done: make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	t.closed = o.closed
	o.taps = append(o.taps, t)
	go t.copy(stdout, stderr)
	return t
}

func (o *output) write(stream string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.taps) == 0 {
		return
	}
	c := chunk{stream, bytes.Clone(data)}
	for _, t := range o.taps {
		t.change(func() { t.queue = append(t.queue, c) })
	}
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, t := range o.taps {
		t.change(func() { t.closed = true })
	}
}

func (o *output) detach(t *tap) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.taps {
		if other == t {
			o.taps = append(o.taps[:i:i], o.taps[i+1:]...)
			break
		}
	}
	t.change(func() { t.stop = true })
}

func (t *tap) change(f func()) {
	t.mu.Lock()
	f()
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tap) copy(stdout, stderr io.Writer) {
	defer close(t.done)
	for {
		t.mu.Lock()
		queue, end := t.queue, t.closed
		t.queue = nil
		stop := t.stop
		t.mu.Unlock()
		if stop {
			return
		}
		for _, c := range queue {
			w := stdout
			if c.stream == "stderr" {
				w = stderr
			}
			// That the one who is connected takes no more is not the process's affair.
			if w != nil {
				_, _ = w.Write(c.data)
			}
		}
		if len(queue) > 0 {
			continue
		}
		if end {
			return
		}
		<-t.wake
	}
}

// maxEntry is where docker's json-file driver cuts a line (moby,
// daemon/logger/copier.go).
const maxEntry = 16 << 10

// journal is the log of a container, over all its runs.
type journal struct {
	mu      sync.Mutex
	lines   []container.LogLine
	partial map[string][]byte // by stream: what is not a whole line yet
	ended   bool              // nothing comes before the next start
	changed chan struct{}     // closed at each change
}

func newJournal() *journal {
	return &journal{partial: map[string][]byte{}, changed: make(chan struct{})}
}

func (j *journal) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = false
}

func (j *journal) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) write(at time.Time, stream string, data []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rest := append(j.partial[stream], data...)
	for {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 && len(rest) >= maxEntry || n > maxEntry {
			n = maxEntry
		}
		if n == 0 {
			break
		}
		j.lines = append(j.lines, container.LogLine{Time: at, Stream: stream, Text: rest[:n:n]})
		rest = rest[n:]
	}
	j.partial[stream] = bytes.Clone(rest)
	j.notify()
}

// end tells that the process is gone: what is not a whole line is one now.
func (j *journal) end(at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, stream := range []string{"stdout", "stderr"} {
		if rest := j.partial[stream]; len(rest) > 0 {
			j.lines = append(j.lines, container.LogLine{Time: at, Stream: stream, Text: rest})
		}
	}
	clear(j.partial)
	j.ended = true
	j.notify()
}

// read is [logging.Read] for lines in memory, and means the same by its options.
func (j *journal) read(ctx context.Context, clock Clock, gone <-chan struct{}, opts container.LogOptions, fn func(container.LogLine) error) error {
	j.mu.Lock()
	next := 0
	if opts.Tail >= 0 {
		next = max(0, len(j.lines)-opts.Tail)
	}
	j.mu.Unlock()
	var until <-chan struct{}
	if opts.Follow && !opts.Until.IsZero() {
		past := make(chan struct{})
		until = past
		waiting, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			if clock.Sleep(waiting, opts.Until.Sub(clock.Now())) == nil {
				close(past)
			}
		}()
	}
	since := opts.Since
	for {
		j.mu.Lock()
		lines, ended, changed := j.lines[next:len(j.lines):len(j.lines)], j.ended, j.changed
		j.mu.Unlock()
		for _, l := range lines {
			if err := ctx.Err(); err != nil {
				return err
			}
			if l.Time.Before(since) {
				continue
			}
			since = time.Time{}
			if !opts.Until.IsZero() && l.Time.After(opts.Until) {
				return nil
			}
			l.Text = bytes.Clone(l.Text)
			if err := fn(l); err != nil {
				return err
			}
		}
		next += len(lines)
		if !opts.Follow || ended {
			return nil
		}
		select {
		case <-changed:
		case <-until:
			return nil
		case <-gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// input is what a process reads: a pipe with room for 64 KiB, which is what
// pipe(7) says of Linux's.
type input struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	closed bool
}

const pipeSize = 64 << 10

func newInput() *input {
	in := &input{}
	in.cond = sync.NewCond(&in.mu)
	return in
}

func (in *input) Read(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.buf) == 0 && !in.closed {
		in.cond.Wait()
	}
	if len(in.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, in.buf)
	in.buf = in.buf[n:]
	in.cond.Broadcast()
	return n, nil
}

func (in *input) Write(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.buf) > 0 && len(in.buf)+len(p) > pipeSize && !in.closed {
		in.cond.Wait()
	}
	if in.closed {
		return 0, io.ErrClosedPipe
	}
	in.buf = append(in.buf, p...)
	in.cond.Broadcast()
	return len(p), nil
}

// close ends the input: what is in it can still be read.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.cond.Broadcast()
}
