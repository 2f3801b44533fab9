// Package host asks the machine that nsh runs on, and changes it: programs, files,
// settings of the kernel, users.
//
// It knows neither plans nor permissions: who calls it has asked before. Paths that
// files are read and written by come from [Resolve], so that what was allowed is what
// is touched. What the kernel and /etc tell is read below the root of a [Tree], which
// a test can make.
package host

import (
	"bufio"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/go-units"
)

// Tree is the directory that has the proc, sys and etc of a system: "/".
type Tree string

func (t Tree) path(name string) string { return filepath.Join(string(t), name) }

// maxTable bounds files of the system that are read whole, in bytes.
const maxTable = 32 << 20

func (t Tree) read(name string) (string, error) {
	real, err := filepath.EvalSymlinks(t.path(name))
	if err != nil {
		return "", about(err, "read", t.path(name))
	}
	return Read(real, maxTable)
}

// word reads a file of one line, "" when it is not there.
func (t Tree) word(name string) string {
	text, _ := t.read(name)
	return strings.TrimSpace(text)
}

// lines gives the lines of a file without empty ones.
func (t Tree) lines(name string) ([]string, error) {
	text, err := t.read(name)
	if err != nil {
		return nil, err
	}
	var out []string
	s := bufio.NewScanner(strings.NewReader(text))
	s.Buffer(nil, maxTable)
	for s.Scan() {
		if l := strings.TrimSpace(s.Text()); l != "" {
			out = append(out, l)
		}
	}
	return out, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

func sizeText(n int64) string { return units.BytesSize(float64(n)) }

// shorten cuts a name so that a file system takes it with something behind it.
func shorten(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Exists tells whether a resolved path leads to something. That it may not be looked
// at is an error.
func Exists(path string) (bool, error) {
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	}
	return false, about(err, "look at", path)
}

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
