package lang

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// module is one file that has been loaded, or is being loaded.
type module struct {
	globals starlark.StringDict
	err     error
	done    chan struct{}
}

// std is what the names of the standard library's modules begin with.
const std = "@std//"

// maxSource bounds the size of a script, a module and an entry: the resolver and
// the compiler recurse over expressions, and six megabytes of 1-1-1-… overflow
// the stack of the process, which nothing can catch.
const maxSource = 1 << 20

// load is Starlark's load: relative to the file that asks, or of the standard
// library with @std//. Each module runs once; its globals are frozen then.
func (i *Interp) load(t *starlark.Thread, name string) (starlark.StringDict, error) {
	chain, _ := t.Local(localLoading).([]string)
	from := ""
	if len(chain) > 0 {
		from = chain[len(chain)-1]
	}
	key, read, err := i.locate(from, name)
	if err != nil {
		return nil, err
	}
	native := i.opts.Natives[strings.TrimPrefix(key, std)]
	if !strings.HasPrefix(key, std) {
		native = nil
	}
	if err := loadAllowed(Context(t), chain, key); err != nil {
		return nil, err
	}
	if n := slices.Index(chain, key); n >= 0 {
		return nil, fault.New(fault.Invalid, "cycle of loads: %s", strings.Join(append(chain[n:], key), " loads "))
	}
	i.mu.Lock()
	m := i.modules[key]
	if m == nil {
		m = &module{done: make(chan struct{})}
		i.modules[key] = m
		i.mu.Unlock()
		if native != nil {
			m.globals = native()
			m.globals.Freeze()
		} else {
			m.globals, m.err = i.run(t, key, read, append(slices.Clone(chain), key))
		}
		if m.err != nil {
			// The next load tries again: at a prompt the file may have been mended.
			i.mu.Lock()
			delete(i.modules, key)
			i.mu.Unlock()
		}
		close(m.done)
	} else {
		i.mu.Unlock()
		select {
		case <-m.done: // by another thread of parallel
		case <-Context(t).Done():
			return nil, fault.Wrap(Context(t).Err(), "load", name)
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	return m.globals, nil
}

func (i *Interp) run(t *starlark.Thread, key string, read func() ([]byte, error), chain []string) (starlark.StringDict, error) {
	src, err := read()
	if err != nil {
		return nil, err
	}
	i.remember(key, src)
	f, err := dialect.Parse(key, src, 0)
	if err != nil {
		return nil, err
	}
	prog, err := starlark.FileProgram(f, i.names.Has)
	if err != nil {
		return nil, err
	}
	if err := i.undefined(f, i.names.Has); err != nil {
		return nil, err
	}
	sub, release, err := i.child(Context(t), t, key)
	if err != nil {
		return nil, err
	}
	defer release()
	sub.SetLocal(localLoading, chain)
	globals, err := prog.Init(sub, i.names)
	if err != nil {
		return nil, err
	}
	globals.Freeze()
	return globals, nil
}

// loadAllowed: in a sandbox modules lie beside the script or below it. A report shows
// a line of what it could not read as Starlark, and that may be any file.
func loadAllowed(ctx context.Context, chain []string, path string) error {
	if !Sandboxed(ctx) || strings.HasPrefix(path, "@std//") {
		return nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fault.Wrap(err, "load", path)
	}
	if len(chain) > 0 && chain[0] != "" {
		if dir, err := filepath.Abs(filepath.Dir(chain[0])); err == nil {
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				dir = real
			}
			if rel, err := filepath.Rel(dir, abs); err == nil && filepath.IsLocal(rel) {
				return nil
			}
		}
	}
	return Require(ctx, HostRead, "load", abs)
}

// locate gives the name that a module is known by, and how to read it.
func (i *Interp) locate(from, name string) (key string, read func() ([]byte, error), err error) {
	if rest, ok := strings.CutPrefix(name, std); ok {
		if i.opts.Natives[rest] != nil {
			return name, nil, nil
		}
		if i.opts.Stdlib == nil || !fs.ValidPath(rest) {
			return "", nil, i.noModule(name)
		}
		return name, func() ([]byte, error) {
			data, err := fs.ReadFile(i.opts.Stdlib, rest)
			if err != nil {
				return nil, i.noModule(name)
			}
			return data, nil
		}, nil
	}
	if strings.HasPrefix(name, "@") || strings.Contains(name, "://") {
		return "", nil, fault.New(fault.Invalid, "load %q: modules are files, or @std//NAME.star", name).WithHint("nothing is loaded over a network")
	}
	path := name
	if !filepath.IsAbs(path) {
		dir := "."
		if from != "" && !strings.HasPrefix(from, std) {
			dir = filepath.Dir(from)
		}
		path = filepath.Join(dir, name)
	}
	// One file is one module, whatever links lead to it.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path, func() ([]byte, error) { return readSource(path) }, nil
}

func (i *Interp) noModule(name string) error {
	e := fault.New(fault.NotFound, "no module %s", name)
	all := i.Modules()
	if len(all) == 0 {
		return e
	}
	if near := Closest(name, all); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("there are %s", strings.Join(all, ", "))
}

// Modules are the names of the standard library's, as load takes them, sorted.
func (i *Interp) Modules() []string {
	var all []string
	for name := range i.opts.Natives {
		all = append(all, std+name)
	}
	if i.opts.Stdlib != nil {
		_ = fs.WalkDir(i.opts.Stdlib, ".", func(p string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(p, ".star") {
				all = append(all, std+p)
			}
			return nil
		})
	}
	slices.Sort(all)
	return all
}

func readSource(path string) ([]byte, error) {
	// Opening a fifo waits for a writer, and opening a device may do anything.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, notAFile(path, st.Mode())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "no module %s", path)
	}
	if err != nil {
		return nil, fault.Wrap(err, "read module", path)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() { // it was one a moment ago
		return nil, notAFile(path, st.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err == nil && len(data) > maxSource {
		err = fault.New(fault.Invalid, "it has more than %d bytes", maxSource)
	}
	return data, fault.Wrap(err, "read module", path)
}

func notAFile(path string, mode fs.FileMode) error {
	what := "a device"
	switch {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return &fault.Error{Kind: fault.Invalid, Op: "read module", Subject: path, Message: "it is " + what + ", not a file"}
}
