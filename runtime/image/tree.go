package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strings"
)

// tree is the directories and symbolic links of a base image: what must be
// known so that a layer on top neither turns a link into a directory (a file
// for /bin/x where /bin is a link to usr/bin) nor changes the mode of a
// directory that is only passed through (a file for /tmp/x). The nil tree is
// that of no base.
type tree struct {
	nodes map[string]node // by name, clean, without the leading slash
}

type node struct {
	link string // of a symbolic link; empty for a directory
	mode int64
	uid  int
	gid  int
}

// readTree goes through the layers of an image, lowest first.
func readTree(ctx context.Context, layers int, open func(i int) (io.ReadCloser, error)) (*tree, error) {
	t := &tree{nodes: map[string]node{}}
	for i := range layers {
		if err := t.readLayer(ctx, i, open); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tree) readLayer(ctx context.Context, i int, open func(i int) (io.ReadCloser, error)) error {
	raw, err := open(i)
	if err != nil {
		return err
	}
	defer raw.Close()
	r, err := Decompress(contextReader{ctx, raw})
	if err != nil {
		return err
	}
	defer r.Close()
	upper := map[string]node{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		dir, base := path.Split(name)
		switch {
		case base == whiteoutOpaque:
			t.remove(strings.TrimSuffix(dir, "/"), true)
			continue
		case strings.HasPrefix(base, whiteout):
			t.remove(dir+strings.TrimPrefix(base, whiteout), false)
			continue
		}
		switch h.Typeflag {
		case tar.TypeDir:
			upper[name] = node{mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}
		case tar.TypeSymlink:
			upper[name] = node{link: h.Linkname}
			t.remove(name, true)
		default:
			// A file takes the place of whatever was there.
			t.remove(name, false)
		}
		if len(t.nodes)+len(upper) > MaxLayerEntries {
			return errors.New("the base image has too many directories")
		}
	}
	for name, n := range upper {
		t.nodes[name] = n
	}
	return nil
}

// remove forgets all below name, and name itself unless children only.
func (t *tree) remove(name string, children bool) {
	if _, ok := t.nodes[name]; !ok && name != "" {
		return
	}
	if !children {
		delete(t.nodes, name)
	}
	for other := range t.nodes {
		if name == "" || strings.HasPrefix(other, name+"/") {
			delete(t.nodes, other)
		}
	}
}

func (t *tree) dir(name string) (node, bool) {
	if t == nil {
		return node{}, false
	}
	n, ok := t.nodes[name]
	return n, ok && n.link == ""
}

// resolve follows the links of the base in a path, as a lookup inside the
// image would: in the directories above it, and with last in its last
// component too. Links in a circle, which no lookup gets through, end
// the following.
func (t *tree) resolve(name string, last bool) string {
	if t == nil {
		return name
	}
	var done string
	todo := strings.Split(name, "/")
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		next := path.Join(done, part)
		n, ok := t.nodes[next]
		// The kernel gives up after 40 links (path_resolution(7)).
		if !ok || n.link == "" || (len(todo) == 0 && !last) || hops == 40 {
			done = next
			continue
		}
		hops++
		if path.IsAbs(n.link) {
			done = ""
		}
		todo = append(strings.Split(n.link, "/"), todo...)
	}
	return done
}
