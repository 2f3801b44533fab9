package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	cfs "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// Store is the directory that holds the volumes of one containerd namespace, where
// and as nerdctl has it:
//
//	<data root>/<address hash>/volumes/<namespace>/<name>/_data         what containers see
//	<data root>/<address hash>/volumes/<namespace>/<name>/volume.json   {"Labels": {…}}
//
// A name that begins with a dot is a volume half made or half removed: [Store.Leftovers].
// Methods may be called at once, from several processes too. Removing and mounting are
// kept apart by [Store.Lock].
type Store struct{ Dir string }

const (
	dataDir  = "_data"
	metaFile = "volume.json"
	making   = ".new-"
	removing = ".gone-"
	// copying and copied are in a volume's directory while an image's files go into it.
	copying = ".copying"
	copied  = ".copied"
)

// nerdctlAnonymous is the label by which nerdctl's volume prune knows a volume that was
// made for a container.
const nerdctlAnonymous = "nerdctl/anonymous-volumes"

// meta is a volume.json.
type meta struct {
	Labels map[string]string `json:"Labels"`
}

// maxMeta bounds a volume.json that is read.
const maxMeta = 1 << 20

// Path is the directory that containers mount.
func (s Store) Path(name string) string { return filepath.Join(s.Dir, name, dataDir) }

// Get gives one volume, without those who use it.
func (s Store) Get(name string) (Volume, error) {
	if ValidateName(name) != nil {
		return Volume{}, NotFound(name)
	}
	st, err := os.Stat(s.Path(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return Volume{}, NotFound(name)
	}
	if err != nil {
		return Volume{}, fault.Wrap(err, "look up volume", name)
	}
	v := Volume{Name: name, Mountpoint: s.Path(name), Created: st.ModTime()}
	file := filepath.Join(s.Dir, name, metaFile)
	st, err = os.Stat(file)
	if err != nil || st.Size() > maxMeta {
		return v, nil // one of a tool that was cut off: it has no labels
	}
	// Nobody writes it again, while the directories change with what is in them.
	v.Created = st.ModTime()
	var m meta
	if data, err := os.ReadFile(file); err != nil || json.Unmarshal(data, &m) != nil {
		return v, nil
	}
	for k, val := range m.Labels {
		switch k {
		case nerdctlAnonymous:
			v.Anonymous = true
			continue
		case AnonymousLabel:
			v.Anonymous = true
		}
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[k] = val
	}
	return v, nil
}

// List gives all volumes, sorted by name, without those who use them.
func (s Store) List() ([]Volume, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, "list", s.Dir)
	}
	out := []Volume{}
	for _, e := range entries {
		v, err := s.Get(e.Name())
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Size counts the bytes of a volume as docker does (moby, pkg/directory): of files alone,
// by their length, each once however many names it has. Links are not followed.
func (s Store) Size(ctx context.Context, name string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(s.Path(name), func(path string, d fs.DirEntry, err error) error {
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		total += info.Size()
		return nil
	})
	return total, fault.Wrap(err, "count the bytes of volume", name)
}

// ignoreGone forgives files that containers remove meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Create makes a volume at once: it is there with all that belongs to it, or not at
// all. The one that is there by that name is given as it is.
func (s Store) Create(spec Spec) (Volume, error) {
	if spec.Name == "" {
		spec.Name = NewName()
		spec.Labels = maps.Clone(spec.Labels)
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		spec.Labels[AnonymousLabel] = ""
	}
	if err := ValidateName(spec.Name); err != nil {
		return Volume{}, err
	}
	if v, err := s.Get(spec.Name); !fault.Is(err, fault.NotFound) {
		return v, err
	}
	if err := s.create(spec); err != nil {
		return Volume{}, fault.Wrap(err, "make volume", spec.Name)
	}
	return s.Get(spec.Name)
}

func (s Store) create(spec Spec) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.Dir, making+"*") // of mode 0700, as nerdctl's
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	data := filepath.Join(tmp, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask
		return err
	}
	if err := writeMeta(filepath.Join(tmp, metaFile), spec.Labels); err != nil {
		return err
	}
	// rename(2) does not replace a directory that holds anything: of several makers the
	// first one wins. An empty one is what was left of a nerdctl that was cut off.
	err = os.Rename(tmp, filepath.Join(s.Dir, spec.Name))
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func writeMeta(path string, labels map[string]string) error {
	if _, ok := labels[AnonymousLabel]; ok {
		labels = maps.Clone(labels)
		labels[nerdctlAnonymous] = ""
	}
	if labels == nil {
		labels = map[string]string{}
	}
	text, err := json.MarshalIndent(meta{labels}, "", "    ")
	if err != nil {
		return err
	}
	if len(text) > maxMeta {
		return fmt.Errorf("the labels have %d bytes, which is more than %d", len(text), maxMeta)
	}
	return os.WriteFile(path, text, 0o644)
}

// Label replaces the labels of a volume.
func (s Store) Label(name string, labels map[string]string) error {
	v, err := s.Get(name)
	if err != nil {
		return err
	}
	if v.Anonymous {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels[AnonymousLabel] = ""
	}
	file := filepath.Join(s.Dir, name, metaFile)
	if err := writeMeta(file+".new", labels); err != nil {
		return fault.Wrap(err, "label volume", name)
	}
	// The time of the file is when the volume was made.
	_ = os.Chtimes(file+".new", v.Created, v.Created)
	return fault.Wrap(os.Rename(file+".new", file), "label volume", name)
}

// Remove deletes a volume: it is gone at once, its content as soon as it is deleted.
// Whether somebody uses it is for the caller to know, who holds the lock.
func (s Store) Remove(name string) error {
	if _, err := s.Get(name); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(s.Dir, removing+"*")
	if err != nil {
		return fault.Wrap(err, "remove volume", name)
	}
	if err := os.Rename(filepath.Join(s.Dir, name), filepath.Join(aside, name)); err != nil {
		_ = os.Remove(aside)
		return fault.Wrap(err, "remove volume", name)
	}
	if err := os.RemoveAll(aside); err != nil {
		return fault.Wrap(err, "delete the content of volume", name)
	}
	return nil
}

// Leftovers are what a creation or a removal that was cut off has left, as paths.
// Younger than age it may be one that is under way.
func (s Store) Leftovers(age time.Duration) ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, "list", s.Dir)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), making) && !strings.HasPrefix(e.Name(), removing) {
			continue
		}
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) >= age {
			out = append(out, filepath.Join(s.Dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// Lock is taken shared by who makes a container, from before its volumes are looked up
// until its record names them, and exclusive by who removes a volume, from before he
// asks who uses it. nerdctl locks the same directory, always exclusive.
func (s Store) Lock(ctx context.Context, exclusive bool) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory", s.Dir)
	}
	return flock(ctx, s.Dir, exclusive)
}

func flock(ctx context.Context, dir string, exclusive bool) (unlock func(), err error) {
	f, err := lock.Path(ctx, dir, exclusive)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Empty tells whether nothing is in a volume, so that an image's files may go into it.
func (s Store) Empty(name string) (bool, error) {
	if _, err := os.Stat(filepath.Join(s.Dir, name, copied)); err == nil {
		return true, nil // a copy that was cut off is to be finished
	}
	f, err := os.Open(s.Path(name))
	if err != nil {
		return false, fault.Wrap(err, "look into volume", name)
	}
	defer f.Close()
	if _, err = f.Readdirnames(1); err == io.EOF {
		return true, nil
	}
	return false, fault.Wrap(err, "look into volume", name)
}

// Populate copies the directory path of an image into a volume that is empty, with
// owners, modes, links and attributes, and gives the volume the owner and mode of the
// directory; root is where the image is mounted. A path that is no directory of the
// image leaves the volume as it is. Links in path are followed within root.
//
// Killed before all has been copied, the volume is empty as before; killed after that,
// the next call finishes.
func (s Store) Populate(ctx context.Context, name, root, path string) error {
	dir := filepath.Join(s.Dir, name)
	unlock, err := flock(ctx, dir, true)
	if err != nil {
		return err
	}
	defer unlock()
	// Another container may have been faster.
	if empty, err := s.Empty(name); err != nil || !empty {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, copied)); err != nil {
		source, err := cfs.RootPath(root, path)
		if err != nil {
			return fault.Wrap(err, "find in the image", path)
		}
		if st, err := os.Lstat(source); err != nil || !st.IsDir() {
			return nil
		}
		tmp := filepath.Join(dir, copying)
		if err := os.RemoveAll(tmp); err != nil {
			return fault.Wrap(err, "copy the image's files to volume", name)
		}
		if err := cfs.CopyDir(tmp, source, cfs.WithAllowXAttrErrors()); err != nil {
			_ = os.RemoveAll(tmp)
			return fault.Wrap(err, "copy the image's files to volume", name)
		}
		if err := os.Rename(tmp, filepath.Join(dir, copied)); err != nil {
			return fault.Wrap(err, "copy the image's files to volume", name)
		}
	}
	return fault.Wrap(s.finish(dir), "copy the image's files to volume", name)
}

// finish moves what has been copied to its place. The directory itself stays: others
// may have it mounted.
func (s Store) finish(dir string) error {
	from, to := filepath.Join(dir, copied), filepath.Join(dir, dataDir)
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return err
	}
	if err := unix.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return os.Remove(from)
}
