package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"nsh/builtins"
)

// tty is the terminal that this process was started on.
type tty struct {
	in, out     *os.File
	isIn, isOut bool
}

// terminal gives nil when neither stream is one.
func terminal(in, out *os.File) builtins.TTY {
	t := &tty{in: in, out: out, isIn: term.IsTerminal(int(in.Fd())), isOut: term.IsTerminal(int(out.Fd()))}
	if !t.isIn && !t.isOut {
		return nil
	}
	return t
}

func (t *tty) IsInput() bool  { return t.isIn }
func (t *tty) IsOutput() bool { return t.isOut }

func (t *tty) Size() (width, height int, err error) {
	f := t.out
	if !t.isOut {
		f = t.in
	}
	return term.GetSize(int(f.Fd()))
}

func (t *tty) Raw() (restore func(), err error) {
	if !t.isIn {
		return func() {}, nil
	}
	old, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return nil, err
	}
	return func() { _ = term.Restore(int(t.in.Fd()), old) }, nil
}

func (t *tty) OnResize(fn func(width, height int)) (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ch:
				if w, h, err := t.Size(); err == nil {
					fn(w, h)
				}
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(ch); close(done) }
}
