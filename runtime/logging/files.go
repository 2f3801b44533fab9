package logging

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A log is a chain of files: path is the newest, path.1 was begun before it, and so
// on. A rotation moves them all up by one, the oldest first, so that while it goes
// on a number may be missing, and a file that was found under one name may be under
// the next by now. What does not change is the order, and that a file moves up
// only: whoever looks from the newest to the oldest cannot miss one.

// patience is how often a place in the chain is looked at again that seems to be in
// the middle of a rotation. After the first few times there is a pause.
const (
	patience  = 100
	unpaused  = 10
	pauseTime = time.Millisecond
)

func pause(try int) {
	if try >= unpaused {
		time.Sleep(pauseTime)
	}
}

func name(path string, n int) string {
	if n == 0 {
		return path
	}
	return numbered(path, n)
}

// openAll opens all files of a log, oldest first.
func openAll(ctx context.Context, path string) ([]*os.File, error) {
	f, err := oldest(path)
	var files []*os.File
	for f != nil && err == nil {
		files = append(files, f)
		if err = ctx.Err(); err == nil {
			f, err = successor(path, f)
		}
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// oldest opens the oldest file of a log; nil if there is none.
func oldest(path string) (*os.File, error) {
	for try := range patience {
		pause(try)
		n, err := last(path)
		if err != nil {
			return nil, err
		}
		f, err := open(name(path, n))
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(name(path, n+1)); err == nil {
			// The file that was looked for has moved there meanwhile.
			if f != nil {
				f.Close()
			}
			continue
		}
		if f != nil || n == 0 && try >= unpaused {
			return f, nil
		}
	}
	return nil, nil
}

// successor opens the file that was begun after f, or gives nil when there is none
// yet.
func successor(path string, f *os.File) (*os.File, error) {
	for try := range patience {
		pause(try)
		mine, err := f.Stat()
		if err != nil {
			return nil, err
		}
		n, err := place(path, mine)
		if err != nil || n == 0 {
			return nil, err
		}
		if n < 0 {
			// So many files were begun meanwhile that it has been removed; or it
			// was moved out of the chain by hand. What is left is newer.
			if mine.Sys().(*syscall.Stat_t).Nlink == 0 || try == patience-1 {
				return oldest(path)
			}
			continue
		}
		// A number may be missing for the moment, or because somebody has
		// removed the file.
		next := n - 1
		g, err := open(name(path, next))
		for err == nil && g == nil && next > 0 && try >= patience/2 {
			next--
			g, err = open(name(path, next))
		}
		if err != nil {
			return nil, err
		}
		if g == nil && next == 0 && n == 1 {
			return nil, nil
		}
		// If f has not moved, then nothing after it had when g was opened.
		still, err := os.Stat(name(path, n))
		if g != nil && err == nil && os.SameFile(still, mine) {
			return g, nil
		}
		if g != nil {
			g.Close()
		}
	}
	return nil, nil
}

// place finds the number of a file, or -1.
func place(path string, mine os.FileInfo) (int, error) {
	st, err := os.Stat(path)
	if err == nil && os.SameFile(st, mine) {
		return 0, nil
	}
	n, err := last(path)
	if err != nil {
		return -1, err
	}
	for i := 1; i <= n+1; i++ {
		if st, err := os.Stat(name(path, i)); err == nil && os.SameFile(st, mine) {
			return i, nil
		}
	}
	return -1, nil
}

// last is the highest number in use.
func last(path string) (int, error) {
	dir, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var numbers []int
	for _, name := range names {
		if s, ok := strings.CutPrefix(name, filepath.Base(path)+"."); ok {
			if n, err := strconv.Atoi(s); err == nil && n > 0 && strconv.Itoa(n) == s {
				numbers = append(numbers, n)
			}
		}
	}
	return slices.Max(append(numbers, 0)), nil
}

// open opens a file of the log. What does not exist, or is no file, is nil; a fifo or
// device under that name must not block.
func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, err
	}
	return f, nil
}
