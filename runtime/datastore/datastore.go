// Package datastore is the part of a container's state that lies in files,
// where nerdctl has it, so that both tools can be used on one host:
//
//	<data root>/<address hash>/containers/<namespace>/<id>/   state of one container
//	<data root>/<address hash>/names/<namespace>/<name>       the ID that holds the name
//
// The labels of the containers in containerd are the truth. A file that
// contradicts them is a leftover of a command that was cut off: a name whose
// container does not exist is free.
//
// All functions are safe to call at once, from several processes too.
package datastore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// Store is the directory of one engine, seen from one containerd namespace.
type Store struct {
	Root      string // <data root>/<address hash>
	Namespace string
}

// Open gives the store of the engine at address. It makes nothing.
func Open(dataRoot, address, namespace string) *Store {
	return &Store{Root: filepath.Join(dataRoot, AddressHash(address)), Namespace: namespace}
}

// AddressHash is the first 8 hex digits of the SHA-256 of the socket's path
// with all symbolic links followed, as nerdctl has it: 1935db59 for
// /run/containerd/containerd.sock.
func AddressHash(address string) string {
	address = strings.TrimPrefix(address, "unix://")
	if p, err := filepath.EvalSymlinks(address); err == nil {
		address = p
	}
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:])[:8]
}

// Dir is the state directory of a container.
func (s *Store) Dir(id string) string {
	return filepath.Join(s.Root, "containers", s.Namespace, id)
}

// MakeDir makes the state directory, readable by its owner alone.
func (s *Store) MakeDir(id string) (string, error) {
	dir := s.Dir(id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fault.Wrap(err, "make state directory", dir)
	}
	return dir, nil
}

// RemoveDir removes the state directory with all that is in it.
func (s *Store) RemoveDir(id string) error {
	if id == "" || strings.ContainsRune(id, '/') {
		return fault.New(fault.Internal, "no container ID: %q", id)
	}
	return fault.Wrap(os.RemoveAll(s.Dir(id)), "remove state directory", s.Dir(id))
}

// IDs lists the containers that have a state directory.
func (s *Store) IDs() ([]string, error) {
	return names(filepath.Join(s.Root, "containers", s.Namespace))
}

func (s *Store) namesDir() string { return filepath.Join(s.Root, "names", s.Namespace) }

// Names lists the names that are taken, stale ones too, with their holders.
func (s *Store) Names() (map[string]string, error) {
	list, err := names(s.namesDir())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, n := range list {
		if id, err := os.ReadFile(filepath.Join(s.namesDir(), n)); err == nil {
			out[n] = strings.TrimSpace(string(id))
		}
	}
	return out, nil
}

func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, "list", dir)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}

// Name is a name that this process has taken and is still making the container
// for. Until Keep or Release it is locked, which is how others tell a creation
// under way from one that was cut off.
type Name struct {
	store *Store
	name  string
	file  *os.File
}

// settle is how long a name file without a lock and without a container is
// believed to belong to a nerdctl that is making one: it takes no lock.
const settle = 2 * time.Second

// TakeName reserves name for id. exists tells whether a container with that ID
// is recorded: a name held by one that is not is taken over. The error for a
// name in use is a conflict in docker's words. It may block for two seconds when
// the name looks abandoned.
func (s *Store) TakeName(name, id string, exists func(id string) (bool, error)) (*Name, error) {
	if err := os.MkdirAll(s.namesDir(), 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory of names", s.namesDir())
	}
	path := filepath.Join(s.namesDir(), name)
	deadline := time.Now().Add(2 * settle)
	for {
		n, holder, err := s.tryName(path, name, id, exists)
		if n != nil || err != nil {
			return n, err
		}
		if holder != "" || time.Now().After(deadline) {
			return nil, container.NameInUse(name, holder)
		}
		time.Sleep(settle / 20)
	}
}

// tryName gives the name, or its holder, or neither when it must be asked again.
func (s *Store) tryName(path, name, id string, exists func(string) (bool, error)) (*Name, string, error) {
	// nerdctl locks this directory around every change, so we do, too.
	unlock, err := lockDir(s.namesDir())
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", fault.Wrap(err, "reserve name", name)
	}
	raw := make([]byte, 256)
	n, _ := f.Read(raw)
	holder := strings.TrimSpace(string(raw[:n]))
	locked := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
	if holder != "" && holder != id {
		if locked {
			f.Close()
			return nil, holder, nil
		}
		there, err := exists(holder)
		if err != nil || there {
			f.Close()
			if err != nil {
				return nil, "", err
			}
			return nil, holder, nil
		}
		if st, err := f.Stat(); err == nil && time.Since(st.ModTime()) < settle {
			f.Close()
			return nil, "", nil
		}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(id), 0)
	}
	if err != nil {
		f.Close()
		return nil, "", fault.Wrap(err, "reserve name", name)
	}
	return &Name{store: s, name: name, file: f}, "", nil
}

// Keep ends the creation: from now on the container itself holds the name.
func (n *Name) Keep() { n.file.Close() }

// Release gives the name back.
func (n *Name) Release() error {
	defer n.file.Close()
	return n.store.ReleaseName(n.name)
}

// ReleaseName frees a name. A name that is not taken is no error.
func (s *Store) ReleaseName(name string) error {
	if name == "" || strings.ContainsRune(name, '/') {
		return nil
	}
	unlock, err := lockDir(s.namesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(filepath.Join(s.namesDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, "release name", name)
	}
	return nil
}

func lockDir(dir string) (unlock func(), err error) {
	f, err := lock.Path(context.Background(), dir, true)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// WriteFile replaces a file at once: a reader sees the old or the new content,
// and a crash leaves one of the two.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fault.Wrap(err, "write", path)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return fault.Wrap(err, "write", path)
}

// Lifecycle is nerdctl's lifecycle.json: what happened to a container that no
// label tells.
type Lifecycle struct {
	StartedAt   time.Time `json:"startedAt"`
	CreateError bool      `json:"createError"`
}

// maxJSON bounds the small files that are read back.
const maxJSON = 1 << 20

// ReadLifecycle gives the zero value when there is no file or a broken one: an
// empty file after a power failure must not make a container unusable
// (containerd/nerdctl#3350).
func ReadLifecycle(dir string) (l Lifecycle) {
	_ = readJSON(filepath.Join(dir, "lifecycle.json"), &l)
	return l
}

// Write replaces lifecycle.json.
func (l Lifecycle) Write(dir string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(dir, "lifecycle.json"), data, 0o600)
}

func readJSON(path string, v any) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() > maxJSON {
		return fmt.Errorf("%s has %d bytes, which is more than %d", path, st.Size(), maxJSON)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// NameBusy tells whether a name is being taken at this moment: it is locked, or
// so young that a nerdctl, which does not lock, may still be at it.
func (s *Store) NameBusy(name string, young time.Duration) (bool, error) {
	f, err := os.Open(filepath.Join(s.namesDir(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap(err, "look at name", name)
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		return true, nil
	}
	st, err := f.Stat()
	return err == nil && time.Since(st.ModTime()) < young, err
}
