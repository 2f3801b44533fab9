// Command ptybench measures nsh as somebody at a terminal sees it, and prints
// medians in the form of bench.sh:
//
//	ptybench bin/nsh
//
// The environment says which engine there is. It exits with 1 when nsh does not answer.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/creack/pty"
)

const (
	starts   = 20
	patience = 10 * time.Second
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: ptybench NSH")
		os.Exit(2)
	}
	if err := bench(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "ptybench:", err)
		os.Exit(1)
	}
}

func bench(nsh string) error {
	var ready []time.Duration
	for range starts {
		began := time.Now()
		s, err := start(nsh)
		if err != nil {
			return err
		}
		if err := s.until("nsh> "); err != nil {
			return err
		}
		ready = append(ready, time.Since(began))
		s.end()
	}
	row("prompt ready", ready, 60)

	s, err := start(nsh)
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.until("nsh> "); err != nil {
		return err
	}
	var keys, tabs []time.Duration
	for range 5 {
		d, err := s.typed("run -d --name 'abc' box:1 # and so on")
		if err != nil {
			return err
		}
		keys = append(keys, d...)
		if _, err := s.typed("\x15"); err != nil {
			return err
		}
		if d, err = s.typed("rm c"); err != nil {
			return err
		}
		keys = append(keys, d...)
		began := time.Now()
		if err := s.send("\t"); err != nil {
			return err
		}
		if err := s.until("more"); err != nil {
			return err
		}
		tabs = append(tabs, time.Since(began))
		// With the menu open a key draws it away, or goes through it.
		if d, err = s.typed("\t\t\t\x07\x15"); err != nil {
			return err
		}
		keys = append(keys, d...)
		time.Sleep(1100 * time.Millisecond) // what is known is old by now
	}
	row("key to screen", keys, 10)
	row("Tab to the names", tabs, 100)
	return nil
}

func row(name string, list []time.Duration, bound float64) {
	slices.Sort(list)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	median, word := ms(list[len(list)/2]), "ok"
	if median > bound {
		word = "MISSED"
	}
	fmt.Printf("%-48s %8.1f ms   95%% %6.1f ms   (bound %g) %s\n", name, median, ms(list[len(list)*95/100]), bound, word)
}

// session is one nsh on a terminal.
type session struct {
	cmd  *exec.Cmd
	tty  *os.File
	out  chan string
	rest string
}

func start(nsh string) (*session, error) {
	s := &session{cmd: exec.Command(nsh), out: make(chan string, 1000)}
	s.cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	tty, err := pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		return nil, err
	}
	s.tty = tty
	go func() {
		defer close(s.out)
		buf := make([]byte, 64<<10)
		for {
			n, err := tty.Read(buf)
			if n > 0 {
				s.out <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return s, nil
}

func (s *session) end() {
	_ = s.tty.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *session) send(text string) error {
	s.rest = ""
	_, err := s.tty.WriteString(text)
	return err
}

// until waits for a text on the screen since the last key.
func (s *session) until(text string) error {
	end := time.After(patience)
	for !strings.Contains(s.rest, text) {
		select {
		case more, ok := <-s.out:
			if !ok {
				return errors.New("nsh has ended")
			}
			s.rest += more
		case <-end:
			return fmt.Errorf("no %q on the screen but %q", text, s.rest)
		}
	}
	return nil
}

// typed types keys one after the other, each when the screen has shown the one before,
// and tells how long that took.
func (s *session) typed(keys string) ([]time.Duration, error) {
	var out []time.Duration
	for _, k := range keys {
		s.drain()
		began := time.Now()
		if err := s.send(string(k)); err != nil {
			return nil, err
		}
		select {
		case _, ok := <-s.out:
			if !ok {
				return nil, errors.New("nsh has ended")
			}
			out = append(out, time.Since(began))
		case <-time.After(patience):
			return nil, fmt.Errorf("nothing on the screen after %q", k)
		}
	}
	return out, nil
}

// drain takes what is still to come of the key before.
func (s *session) drain() {
	for {
		select {
		case <-s.out:
		case <-time.After(3 * time.Millisecond):
			return
		}
	}
}
