// Package startest runs tests that are written in Starlark, as go test does those in
// Go.
//
// A file *_test.star has functions test_…, which fail when something in them does.
// Each runs in an interpreter of its own, with the file executed anew: nothing that one
// test leaves, in variables or on the engine, is there for the next. Where the file
// defines setup() and teardown(), they run before and after each; teardown also after
// a failure. The assertions of @std//assert.star are there as assert.
//
// A test that has a parameter is given t:
//
//	t.run(name, fn)  runs a test within this one; fn may have a parameter, too
//	t.log(…)         notes something, shown of a failure or with -v
//	t.fail(…)        notes a failure, and goes on
//	t.skip(reason)   ends the test, which does not count
//	t.name           what it is called
//
// What scripts can call, and what they act on, comes from the outside: see [Config].
package startest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"nsh/lang"
	"nsh/runtime/fault"
)

// Fixture is what one test runs in.
type Fixture struct {
	Interp *lang.Interp
	// Close cleans up behind the test; nil: there is nothing to clean up. Its failure is
	// one of the test.
	Close func(context.Context) error
}

// Config is how tests are run.
type Config struct {
	// New makes the fixture of one test. What the scripts print goes to out, which is safe
	// to write to until Close returns. Several may be made at once.
	New func(ctx context.Context, file, test string, out io.Writer) (*Fixture, error)
	// Run selects tests: a regular expression, with slashes between those for the tests
	// within tests. Empty: all.
	Run string
	// Verbose shows all tests and all that they print, not only those that fail.
	Verbose bool
	// Parallel is how many files run at once; 0: as many as there are processors.
	Parallel int
	// Timeout bounds each test; 0: ten minutes.
	Timeout time.Duration
	// Out takes the report, file by file; nil drops it.
	Out io.Writer
}

// Status is how a test ended.
type Status string

// The ways that a test ends.
const (
	Pass Status = "PASS"
	Fail Status = "FAIL"
	Skip Status = "SKIP"
)

// Result is what became of one test.
type Result struct {
	Name    string // "test_a", "test_a/sub"
	Status  Status
	Elapsed time.Duration
	// Failure is what it failed with first, "" when that was a test within it.
	Failure string
	// Events are what it printed and the tests within it, in their order.
	Events []Event
}

// Event is a piece of output, or a test within the test.
type Event struct {
	Text string
	Sub  *Result
}

// Failed tells whether the test or one within it failed.
func (r *Result) Failed() bool { return r.Status == Fail }

// FileResult is what became of one file.
type FileResult struct {
	Path    string
	Err     string // why its tests could not run, "" when they did
	Tests   []*Result
	Elapsed time.Duration
	None    bool // it has no tests
}

// Failed tells whether anything in the file failed.
func (f *FileResult) Failed() bool {
	return f.Err != "" || slices.ContainsFunc(f.Tests, (*Result).Failed)
}

// Report is what became of all.
type Report struct{ Files []*FileResult }

// Failed tells whether anything failed.
func (r *Report) Failed() bool { return slices.ContainsFunc(r.Files, (*FileResult).Failed) }

// Run runs the tests of files. It blocks until all have ended. The error is that of the
// configuration, or of the end of ctx; tests that fail are none.
func Run(ctx context.Context, cfg Config, files []string) (*Report, error) {
	sel, err := newSelection(cfg.Run)
	if err != nil {
		return nil, err
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = runtime.GOMAXPROCS(0)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Minute
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	report := &Report{Files: make([]*FileResult, len(files))}
	done := make([]chan struct{}, len(files))
	slots := make(chan struct{}, cfg.Parallel)
	for n := range files {
		done[n] = make(chan struct{})
	}
	go func() {
		for n, path := range files {
			slots <- struct{}{}
			go func() {
				defer func() { <-slots; close(done[n]) }()
				report.Files[n] = runFile(ctx, &cfg, sel, path)
			}()
		}
	}()
	for n := range files {
		<-done[n]
		if _, err := io.WriteString(cfg.Out, report.Files[n].text(cfg.Verbose)); err != nil {
			return report, err
		}
	}
	if ctx.Err() != nil {
		return report, fault.Wrap(context.Cause(ctx), "test", "")
	}
	if report.Failed() {
		_, err = io.WriteString(cfg.Out, "FAIL\n")
	}
	return report, err
}

// selection is the parts of -run, one for each level.
type selection []*regexp.Regexp

func newSelection(pattern string) (selection, error) {
	var out selection
	if pattern == "" {
		return nil, nil
	}
	for _, part := range strings.Split(pattern, "/") {
		re, err := regexp.Compile(part)
		if err != nil {
			return nil, fault.New(fault.Invalid, "-run %s: %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		out = append(out, re)
	}
	return out, nil
}

func (s selection) has(level int, name string) bool {
	return level >= len(s) || s[level].MatchString(name)
}

// Files finds the tests below the paths: a file as it is named, and of a directory all
// *_test.star in it and below it, but for what is hidden and for testdata. DIR/... is the
// same as DIR. The order is that of the paths, then of the names.
func Files(paths []string) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var out []string
	seen := map[string]bool{}
	add := func(p string) {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	for _, given := range paths {
		root := filepath.Clean(strings.TrimSuffix(given, "..."))
		st, err := os.Stat(root)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.New(fault.NotFound, "no file or directory %s", given)
		case err != nil:
			return nil, fault.Wrap(err, "find tests in", given)
		case st.Mode().IsRegular():
			add(root)
			continue
		case !st.IsDir():
			return nil, fault.New(fault.Invalid, "%s is neither a file nor a directory", given)
		}
		err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
				return filepath.SkipDir
			case d.Type().IsRegular() && strings.HasSuffix(p, "_test.star"):
				add(p)
			}
			return nil
		})
		if err != nil {
			return nil, fault.Wrap(err, "find tests in", given)
		}
	}
	return out, nil
}

// maxFile bounds a file with tests, as scripts are bounded.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, err
}
