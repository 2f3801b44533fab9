// Package logging writes and reads the log of a container: docker's json-file
// format, at the place where nerdctl has it.
//
//	<state dir>/log-config.json   the driver and its options, written at creation
//	<state dir>/<id>-json.log     the log; .1, .2, … are older parts of it
//	<state dir>/logger-lock       locked by the writer until the last line is written
//
// Each line of the log is one entry:
//
//	{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}
//
// A line of the container of more than 16 KiB is several entries, of which only the
// last one has the newline, and so does output that ends without one.
//
// One [Writer] writes a log; the lock is how writers exclude each other. Any number
// of readers follow it with [Read], at any time, in any process.
package logging

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// The drivers there are.
const (
	JSONFile = "json-file"
	None     = "none"
)

// LockName is the file in the state directory that is locked, with flock(2), for
// as long as there may be more to read.
const LockName = "logger-lock"

const configName = "log-config.json"

// Config is the content of log-config.json, and of nerdctl's label of that name.
type Config struct {
	Driver  string            `json:"driver"`
	Opts    map[string]string `json:"opts,omitempty"`
	Address string            `json:"address"` // of containerd
}

// ReadConfig reads the configuration in a state directory. Without a file it is
// the zero value, which is driver json-file without options.
func ReadConfig(stateDir string) (Config, error) {
	var c Config
	path := filepath.Join(stateDir, configName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	return c, fault.Wrap(err, "read log configuration", path)
}

// Write puts the configuration into a state directory.
func (c Config) Write(stateDir string) error {
	path := filepath.Join(stateDir, configName)
	raw, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return fault.Wrap(err, "write log configuration", path)
}

// Path is where the log of a container is: log-path if that option is set, else a
// file in the state directory.
func (c Config) Path(stateDir, id string) string {
	if p := c.Opts["log-path"]; p != "" {
		return p
	}
	return filepath.Join(stateDir, id+"-json.log")
}

// Options of a [Writer]. The zero value is one file that grows without bound.
type Options struct {
	MaxSize  int64 // bytes after which a new file is begun; 0: never
	MaxFiles int   // how many there may be, the current one included; < 1: 1
}

// Options checks the options. With an error they are those that could be
// understood, so that a helper can still write a log. One that docker does not
// know is refused in its words, and so is one that would have no effect here.
func (c Config) Options() (Options, error) {
	var o Options
	var errs []error
	if s, ok := c.Opts["max-size"]; ok {
		// Of a thousand, as docker has it (moby, daemon/logger/jsonfilelog): its
		// sizes of memory are of 1024.
		n, err := units.FromHumanSize(s)
		if err != nil || n <= 0 {
			errs = append(errs, invalid("max-size", s, "a size such as 10m"))
		}
		o.MaxSize = max(n, 0)
	}
	if s, ok := c.Opts["max-file"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			errs = append(errs, invalid("max-file", s, "a number of files, 1 or more"))
		}
		o.MaxFiles = max(n, 0)
	}
	if s, ok := c.Opts["log-path"]; ok && (!filepath.IsAbs(s) || strings.ContainsRune(s, 0)) {
		errs = append(errs, invalid("log-path", s, "an absolute path"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Opts)) {
		switch name {
		case "max-size", "max-file", "log-path":
		case "compress":
			if s := c.Opts[name]; s != "false" {
				errs = append(errs, invalid(name, s, "false: old files are not compressed"))
			}
		case "labels", "labels-regex", "env", "env-regex", "tag":
			errs = append(errs, fault.New(fault.Invalid, "log opt '%s' is not supported for json-file log driver", name))
		default:
			errs = append(errs, fault.New(fault.Invalid, "unknown log opt '%s' for json-file log driver", name))
		}
	}
	if len(errs) > 0 {
		return o, errs[0]
	}
	return o, nil
}

func invalid(name, value, want string) error {
	return fault.New(fault.Invalid, "invalid log option %s=%q: must be %s", name, value, want)
}

// Ended gives the function that tells [Read] whether the writer of a state
// directory has written its last line. It is true as well when there is no writer
// and when the directory is gone.
func Ended(stateDir string) func() bool {
	path := filepath.Join(stateDir, LockName)
	return func() bool {
		// A shared lock does not disturb other readers. A writer that finds it
		// taken for a moment asks again.
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err == unix.ENOENT || err == unix.ENOTDIR
		}
		defer unix.Close(fd)
		return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) == nil
	}
}
