package memory

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"nsh/runtime/image"
)

// Files is the file system of a container. Paths are absolute, or taken from
// the root; symbolic links are followed. Errors are of type [fs.PathError].
// All methods are safe to call at once.
type Files struct {
	mu    sync.RWMutex
	nodes map[string]*node // by clean absolute path; nodes are never changed
	// mounts are the volumes in it, by clean absolute path. A link in a volume is
	// followed within the volume.
	mounts map[string]mountedFiles
}

type mountedFiles struct {
	files    *Files
	readOnly bool
}

// mount puts other files at a path, which becomes a directory.
func (f *Files) mount(name string, other mountedFiles) error {
	if err := f.MkdirAll(name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, _ := f.find(name, true)
	if f.mounts == nil {
		f.mounts = map[string]mountedFiles{}
	}
	f.mounts[at] = other
	return nil
}

// below tells in which mounted files a path is, and where there; none for a path that
// is in f itself.
func (f *Files) below(name string, last bool) (m mountedFiles, rest string) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.mounts) == 0 {
		return m, ""
	}
	at, _ := f.find(name, last)
	for dir := at; ; dir = path.Dir(dir) {
		if m, ok := f.mounts[dir]; ok {
			return m, "/" + strings.TrimPrefix(strings.TrimPrefix(at, dir), "/")
		}
		if dir == "/" {
			return mountedFiles{}, ""
		}
	}
}

// populate copies what other has at dir, unless something is in f already.
func (f *Files) populate(other *Files, dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.nodes) > 1 {
		return
	}
	other.mu.RLock()
	defer other.mu.RUnlock()
	at, top := other.find(dir, true)
	if top == nil || !top.IsDir() {
		return
	}
	root := *top
	root.name = "/"
	f.nodes["/"] = &root
	for name, n := range other.nodes {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(at, "/")+"/"); ok && rest != "" {
			f.nodes["/"+rest] = n
		}
	}
}

type node struct {
	name string
	mode fs.FileMode
	link string
	data []byte
	time time.Time
}

// node is a [fs.FileInfo] of itself.
func (n *node) Name() string       { return n.name }
func (n *node) Size() int64        { return int64(len(n.data)) }
func (n *node) Mode() fs.FileMode  { return n.mode }
func (n *node) ModTime() time.Time { return n.time }
func (n *node) IsDir() bool        { return n.mode.IsDir() }
func (n *node) Sys() any           { return nil }

func newFiles() *Files {
	return &Files{nodes: map[string]*node{"/": {name: "/", mode: fs.ModeDir | 0o755}}}
}

func (f *Files) clone() *Files {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return &Files{nodes: maps.Clone(f.nodes)}
}

// addLayer puts a layer on top, compressed or not. size is what it holds
// unpacked.
func (f *Files) addLayer(r io.Reader) (size int64, err error) {
	plain, err := image.Decompress(r)
	if err != nil {
		return 0, err
	}
	defer plain.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		name := path.Clean("/" + h.Name)
		dir, base := path.Split(name)
		switch {
		// OCI image spec, layer.md, "Whiteouts".
		case base == ".wh..wh..opq":
			f.drop(path.Clean(dir), true)
			continue
		case strings.HasPrefix(base, ".wh."):
			f.drop(dir+strings.TrimPrefix(base, ".wh."), false)
			continue
		}
		n := &node{mode: fs.FileMode(h.Mode & 0o777), time: h.ModTime}
		switch h.Typeflag {
		case tar.TypeDir:
			n.mode |= fs.ModeDir
		case tar.TypeSymlink:
			n.mode |= fs.ModeSymlink
			n.link = h.Linkname
		case tar.TypeLink:
			if to := f.nodes[path.Clean("/"+h.Linkname)]; to != nil {
				n = &node{mode: to.mode, link: to.link, data: to.data, time: to.time}
			}
		case tar.TypeReg:
			if n.data, err = io.ReadAll(tr); err != nil {
				return size, err
			}
			size += int64(len(n.data))
		default:
			continue
		}
		if !n.IsDir() {
			f.drop(name, false)
		}
		f.put(name, n)
	}
}

// drop removes what is at and below name, or only what is below it.
func (f *Files) drop(name string, below bool) {
	for other := range f.nodes {
		if !below && other == name || strings.HasPrefix(other, strings.TrimSuffix(name, "/")+"/") && other != name {
			delete(f.nodes, other)
		}
	}
}

// put adds a node and the directories above it.
func (f *Files) put(name string, n *node) {
	n.name = path.Base(name)
	f.nodes[name] = n
	for dir := path.Dir(name); f.nodes[dir] == nil; dir = path.Dir(dir) {
		f.nodes[dir] = &node{name: path.Base(dir), mode: fs.ModeDir | 0o755, time: n.time}
	}
}

// find follows the links in name, in its last part only if last, and gives the
// path that it comes to, whether or not something is there.
func (f *Files) find(name string, last bool) (string, *node) {
	done := "/"
	todo := strings.Split(name, "/")
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		next := path.Join(done, part)
		n := f.nodes[next]
		// The kernel gives up after 40 links (path_resolution(7)).
		if n == nil || n.mode&fs.ModeSymlink == 0 || len(todo) == 0 && !last || hops == 40 {
			done = next
			continue
		}
		hops++
		if path.IsAbs(n.link) {
			done = "/"
		}
		todo = append(strings.Split(n.link, "/"), todo...)
	}
	return done, f.nodes[done]
}

func fail(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// Stat tells about what is at the end of all links.
func (f *Files) Stat(name string) (fs.FileInfo, error) {
	if m, rest := f.below(name, true); m.files != nil {
		return m.files.Stat(rest)
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, n := f.find(name, true)
	if n == nil || n.mode&fs.ModeSymlink != 0 {
		return nil, fail("stat", name, syscall.ENOENT)
	}
	return n, nil
}

// Lstat tells about a symbolic link, where name is one.
func (f *Files) Lstat(name string) (fs.FileInfo, error) {
	if m, rest := f.below(name, false); m.files != nil {
		return m.files.Lstat(rest)
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, n := f.find(name, false)
	if n == nil {
		return nil, fail("lstat", name, syscall.ENOENT)
	}
	return n, nil
}

// ReadFile gives a copy of a file's content.
func (f *Files) ReadFile(name string) ([]byte, error) {
	if m, rest := f.below(name, true); m.files != nil {
		return m.files.ReadFile(rest)
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, n := f.find(name, true)
	switch {
	case n == nil:
		return nil, fail("open", name, syscall.ENOENT)
	case n.IsDir():
		return nil, fail("read", name, syscall.EISDIR)
	}
	return bytes.Clone(n.data), nil
}

// WriteFile makes a file, or replaces the content of the one that is there.
func (f *Files) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return f.write(name, data, perm, false)
}

func (f *Files) write(name string, data []byte, perm fs.FileMode, more bool) error {
	if m, rest := f.below(name, true); m.files != nil {
		if m.readOnly {
			return fail("open", name, syscall.EROFS)
		}
		return m.files.write(rest, data, perm, more)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, old := f.find(name, true)
	switch dir := f.nodes[path.Dir(at)]; {
	case dir == nil:
		return fail("open", name, syscall.ENOENT)
	case !dir.IsDir():
		return fail("open", name, syscall.ENOTDIR)
	case old != nil && old.IsDir():
		return fail("open", name, syscall.EISDIR)
	}
	n := &node{mode: perm & fs.ModePerm, data: bytes.Clone(data)}
	if old != nil {
		n.mode = old.mode
		if more {
			n.data = slices.Concat(old.data, data)
		}
	}
	f.put(at, n)
	return nil
}

// MkdirAll makes a directory and those above it.
func (f *Files) MkdirAll(name string) error {
	if m, rest := f.below(name, true); m.files != nil {
		if _, err := m.files.Stat(rest); m.readOnly && err != nil {
			return fail("mkdir", name, syscall.EROFS)
		}
		return m.files.MkdirAll(rest)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, n := f.find(name, true)
	for dir := at; ; dir = path.Dir(dir) {
		if o := f.nodes[dir]; o != nil {
			if !o.IsDir() {
				return fail("mkdir", name, syscall.ENOTDIR)
			}
			break
		}
	}
	if n == nil {
		f.put(at, &node{mode: fs.ModeDir | 0o755})
	}
	return nil
}

// Remove removes a file, or a directory with all that is in it.
func (f *Files) Remove(name string) error {
	if m, rest := f.below(name, false); m.files != nil {
		if m.readOnly {
			return fail("remove", name, syscall.EROFS)
		}
		if rest == "/" {
			return fail("remove", name, syscall.EBUSY)
		}
		return m.files.Remove(rest)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, n := f.find(name, false)
	if n == nil {
		return fail("remove", name, syscall.ENOENT)
	}
	if at == "/" {
		return fail("remove", name, syscall.EBUSY)
	}
	f.drop(at, false)
	return nil
}

// ReadDir lists a directory, sorted by name.
func (f *Files) ReadDir(name string) ([]fs.DirEntry, error) {
	if m, rest := f.below(name, true); m.files != nil {
		return m.files.ReadDir(rest)
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, n := f.find(name, true)
	switch {
	case n == nil:
		return nil, fail("open", name, syscall.ENOENT)
	case !n.IsDir():
		return nil, fail("readdir", name, syscall.ENOTDIR)
	}
	var out []fs.DirEntry
	for p, o := range f.nodes {
		if path.Dir(p) == at && p != at {
			out = append(out, fs.FileInfoToDirEntry(o))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// size is what all files hold together.
func (f *Files) size() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var sum int64
	for _, n := range f.nodes {
		sum += n.Size()
	}
	return sum
}

// open is open(2) for what a shell does: reading from the start, and writing
// from the start or at the end.
func (f *Files) open(name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	if path.Clean(name) == "/dev/null" {
		return &openFile{r: strings.NewReader("")}, nil
	}
	const access = syscall.O_WRONLY | syscall.O_RDWR
	if flag&access == 0 {
		data, err := f.ReadFile(name)
		return &openFile{r: bytes.NewReader(data)}, err
	}
	_, err := f.Stat(name)
	switch {
	case err == nil && flag&syscall.O_EXCL != 0:
		return nil, fail("open", name, syscall.EEXIST)
	case err != nil && flag&syscall.O_CREAT == 0:
		return nil, err
	case err != nil || flag&syscall.O_TRUNC != 0:
		if err := f.write(name, nil, perm, false); err != nil {
			return nil, err
		}
	default:
		if err := f.write(name, nil, perm, true); err != nil {
			return nil, err
		}
	}
	return &openFile{f: f, name: name, r: strings.NewReader("")}, nil
}

type openFile struct {
	r    io.Reader
	f    *Files // nil: what is written is dropped
	name string
}

func (o *openFile) Read(p []byte) (int, error) { return o.r.Read(p) }

func (o *openFile) Write(p []byte) (int, error) {
	if o.f == nil {
		return len(p), nil
	}
	if err := o.f.write(o.name, p, 0o644, true); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (o *openFile) Close() error { return nil }

// errno gives the words of the kernel, without operation and path.
func errno(err error) string {
	var n syscall.Errno
	switch {
	case !errors.As(err, &n):
		return err.Error()
	case n == syscall.ENOENT:
		return "No such file or directory"
	case n == syscall.EISDIR:
		return "Is a directory"
	case n == syscall.ENOTDIR:
		return "Not a directory"
	case n == syscall.EROFS:
		return "Read-only file system"
	}
	return n.Error()
}
