package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"nsh/runtime/fault"
)

// whiteout is the prefix of a name that means "gone" in a layer (OCI image
// spec, layer.md, "Whiteouts").
const (
	whiteout       = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// entry is one header of the layer and where its bytes come from.
type entry struct {
	name string // in the image, clean, without the leading slash
	kind byte   // tar.TypeReg, TypeDir or TypeSymlink
	mode int64
	uid  int
	gid  int
	link string
	size int64

	content []byte
	source  string // of the host; the root of the tree for what is below a directory
	below   string // path below source; empty when source is the file
	keep    bool   // a directory of a tree: the base's attributes win
}

// layer is what the files of a recipe become.
type layer struct {
	entries []entry // sorted by name, parents before children
	time    time.Time
}

func (f File) invalid(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Op: "file", Subject: f.Path, Message: fmt.Sprintf(format, args...)}
}

// newLayer finds all that the files consist of, without reading their bytes.
func newLayer(ctx context.Context, files []File, base *tree, created time.Time) (*layer, error) {
	made := map[string]entry{}
	var size int64
	add := func(f File, e entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.name = base.resolve(e.name, e.kind == tar.TypeDir)
		if e.name == "" {
			return nil
		}
		if d, ok := base.dir(e.name); ok && e.keep {
			e.mode, e.uid, e.gid = d.mode, d.uid, d.gid
		}
		made[e.name] = e
		size += e.size
		switch {
		case len(made) > MaxLayerEntries:
			return f.invalid("more than %d files", MaxLayerEntries)
		case size > MaxLayerSize:
			return f.invalid("the layer would hold more than %d GiB", MaxLayerSize>>30)
		}
		return nil
	}
	for _, f := range files {
		if err := f.check(); err != nil {
			return nil, err
		}
		if err := f.entries(func(e entry) error { return add(f, e) }); err != nil {
			return nil, err
		}
	}

	for _, e := range made {
		for up := path.Dir(e.name); up != "."; up = path.Dir(up) {
			above, ok := made[up]
			if ok && above.kind != tar.TypeDir {
				return nil, File{Path: "/" + e.name}.invalid("/%s is not a directory in this recipe", up)
			}
			if ok {
				continue
			}
			parent := entry{name: up, kind: tar.TypeDir, mode: 0o755}
			if d, ok := base.dir(up); ok {
				parent.mode, parent.uid, parent.gid = d.mode, d.uid, d.gid
			}
			made[up] = parent
		}
	}
	l := &layer{time: created}
	for _, e := range made {
		l.entries = append(l.entries, e)
	}
	// By components, so that a directory comes right before what it holds.
	slices.SortFunc(l.entries, func(a, b entry) int {
		return slices.Compare(strings.Split(a.name, "/"), strings.Split(b.name, "/"))
	})
	return l, nil
}

func (f File) check() error {
	set := 0
	for _, is := range []bool{f.Source != "", f.Content != nil, f.Link != "", f.Directory} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return f.invalid("exactly one of source, content, link and directory must be given")
	case !path.IsAbs(f.Path):
		return f.invalid("the path in the image must be absolute")
	case slices.Contains(strings.Split(f.Path, "/"), ".."):
		return f.invalid("the path in the image must not contain ..")
	case path.Clean(f.Path) == "/" && f.Source == "":
		return f.invalid("the root can only be filled from a directory")
	case f.Mode&^0o7777 != 0:
		return f.invalid("mode %#o has more than permission bits", f.Mode)
	case f.UID < 0 || f.GID < 0:
		return f.invalid("owner %d:%d is negative", f.UID, f.GID)
	}
	return f.checkName(f.Path)
}

func (f File) checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return f.invalid("the name %q is not UTF-8, which a layer cannot hold", name)
	case strings.ContainsRune(name, 0):
		return f.invalid("the name has a zero byte")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, whiteout) {
			return f.invalid("%q: names that begin with %s mean a removed file in a layer", name, whiteout)
		}
	}
	return nil
}

// entries calls add for each entry that f stands for.
func (f File) entries(add func(entry) error) error {
	e := entry{name: strings.TrimPrefix(path.Clean(f.Path), "/"), mode: int64(f.Mode), uid: f.UID, gid: f.GID}
	switch {
	case f.Directory:
		e.kind = tar.TypeDir
		if e.mode == 0 {
			e.mode = 0o755
		}
		return add(e)
	case f.Link != "":
		if err := f.checkLink(f.Link); err != nil {
			return err
		}
		e.kind, e.link, e.mode = tar.TypeSymlink, f.Link, 0o777
		return add(e)
	case f.Content != nil:
		e.kind, e.content, e.size = tar.TypeReg, f.Content, int64(len(f.Content))
		if e.mode == 0 {
			e.mode = 0o644
		}
		return add(e)
	}
	info, err := os.Stat(f.Source)
	if err != nil {
		return f.hostError(err)
	}
	if !info.IsDir() {
		if e.name == "" {
			return f.invalid("the root can only be filled from a directory")
		}
		e.source = f.Source
		return f.addHost(e, info, "", add)
	}
	root, err := os.OpenRoot(f.Source)
	if err != nil {
		return f.hostError(err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return f.hostError(err)
		}
		info, err := d.Info()
		if err != nil {
			return f.hostError(err)
		}
		if err := f.checkName(name); err != nil {
			return err
		}
		e := e
		e.name, e.source, e.below = path.Join(e.name, name), f.Source, name
		if e.name == "." {
			e.name = ""
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = root.Readlink(name); err != nil {
				return f.hostError(err)
			}
		}
		return f.addHost(e, info, link, add)
	})
}

// addHost completes an entry from what the host says of its file.
func (f File) addHost(e entry, info fs.FileInfo, link string, add func(entry) error) error {
	where := filepath.Join(e.source, e.below)
	switch {
	case info.Mode().IsRegular():
		e.kind, e.size = tar.TypeReg, info.Size()
		if e.mode == 0 {
			e.mode = 0o644
			if info.Mode()&0o111 != 0 {
				e.mode = 0o755
			}
		}
	case info.IsDir():
		e.kind = tar.TypeDir
		if e.mode == 0 {
			e.mode, e.keep = 0o755, true
		}
		e.mode |= (e.mode & 0o444) >> 2
		// The set-id bits are meant for the files.
		e.mode &^= 0o6000
	case info.Mode()&fs.ModeSymlink != 0:
		if err := f.checkLink(link); err != nil {
			return err
		}
		e.kind, e.link, e.mode = tar.TypeSymlink, link, 0o777
	default:
		return f.invalid("%s is a %s, not a file, directory or symbolic link", where, special(info.Mode()))
	}
	return add(e)
}

func (f File) checkLink(target string) error {
	if !utf8.ValidString(target) || strings.ContainsRune(target, 0) {
		return f.invalid("the link's target %q is not UTF-8, which a layer cannot hold", target)
	}
	return nil
}

func special(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

func (f File) hostError(err error) error {
	e := &fault.Error{Kind: fault.KindOf(err), Op: "file", Subject: f.Path, Cause: err}
	if errors.Is(err, fs.ErrNotExist) {
		e.Hint = "source is a path on this host, relative to the working directory"
	}
	return e
}

// write puts the layer's tar into w: the same bytes every time, or an error of
// kind conflict when a file has another size than it had.
//
// The format is PAX, which Go writes as plain ustar where that suffices, with
// nothing of the host in it: no names of owners, no access times, no devices.
func (l *layer) write(ctx context.Context, w io.Writer) error {
	tw := tar.NewWriter(w)
	buf := make([]byte, 128<<10)
	for _, e := range l.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := &tar.Header{
			Typeflag: e.kind, Name: e.name, Linkname: e.link, Size: e.size, Mode: e.mode,
			Uid: e.uid, Gid: e.gid, ModTime: l.time, Format: tar.FormatPAX,
		}
		if e.kind == tar.TypeDir {
			h.Name += "/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return fault.Wrap(err, "file", "/"+e.name)
		}
		if e.kind != tar.TypeReg {
			continue
		}
		if err := e.copy(ctx, tw, buf); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (e entry) copy(ctx context.Context, w io.Writer, buf []byte) error {
	r, err := e.open()
	if err != nil {
		return File{Path: "/" + e.name}.hostError(err)
	}
	defer r.Close()
	// One byte more than expected tells a file that has grown.
	n, err := io.CopyBuffer(onlyWriter{w}, io.LimitReader(contextReader{ctx, r}, e.size), buf)
	if err == nil && n == e.size {
		var more int
		if more, err = r.Read(buf[:1]); err == io.EOF {
			err = nil
		}
		n += int64(more)
	}
	switch {
	case err != nil:
		return fault.Wrap(err, "file", "/"+e.name)
	case n != e.size:
		return &fault.Error{Kind: fault.Conflict, Op: "file", Subject: "/" + e.name,
			Message: filepath.Join(e.source, e.below) + " was changed while it was read"}
	}
	return nil
}

// open never waits, as for the other end of a pipe that has taken the file's
// place, and below a directory never leaves it.
func (e entry) open() (io.ReadCloser, error) {
	if e.source == "" {
		return io.NopCloser(bytes.NewReader(e.content)), nil
	}
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	if e.below == "" {
		return os.OpenFile(e.source, flags, 0)
	}
	root, err := os.OpenRoot(e.source)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(e.below, flags|syscall.O_NOFOLLOW, 0)
}

// onlyWriter hides ReadFrom, which would bring its own buffer for each file.
type onlyWriter struct{ io.Writer }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
