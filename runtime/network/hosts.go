package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// Hosts is the store of the /etc/hosts files, where nerdctl has it:
// <data root>/<address hash>/etchosts/<namespace>/<id>/{hosts,meta.json}. A
// container's file names it and every container that shares a network with it,
// so each change of a member rewrites the files of the others.
//
// The files are bind-mounted: they are changed in place and keep their inode.
type Hosts struct {
	Root      string // <data root>/<address hash>
	Namespace string
}

// HostsEntry is a meta.json.
type HostsEntry struct {
	ID         string               `json:"ID"`
	Name       string               `json:"Name"`
	Hostname   string               `json:"Hostname"`
	Domainname string               `json:"Domainname,omitempty"`
	ExtraHosts []string             `json:"ExtraHosts,omitempty"` // name:ip
	Networks   []string             `json:"nshNetworks,omitempty"`
	Endpoints  []container.Endpoint `json:"nshEndpoints,omitempty"` // none while it does not run
}

func (h Hosts) dir() string               { return filepath.Join(h.Root, "etchosts", h.Namespace) }
func (h Hosts) Path(id string) string     { return filepath.Join(h.dir(), id, "hosts") }
func (h Hosts) metaPath(id string) string { return filepath.Join(h.dir(), id, "meta.json") }

// Create writes the file of a container that has no address yet.
func (h Hosts) Create(e HostsEntry) error {
	if err := os.MkdirAll(filepath.Dir(h.Path(e.ID)), 0o700); err != nil {
		return fault.Wrap(err, "make the hosts file of container", e.Name)
	}
	if err := h.writeMeta(e); err != nil {
		return err
	}
	return h.write(e, nil)
}

// SetEndpoints tells the addresses of a container that now runs, or nil for
// one that does not, and brings the others' files up to date.
func (h Hosts) SetEndpoints(id string, eps []container.Endpoint) error {
	return h.change(id, func(e *HostsEntry) { e.Endpoints = eps })
}

// Rename tells the new name.
func (h Hosts) Rename(id, name string) error {
	return h.change(id, func(e *HostsEntry) { e.Name = name })
}

// Remove forgets a container. One that is not there is no error.
func (h Hosts) Remove(id string) error {
	if id == "" || strings.ContainsRune(id, '/') {
		return fault.New(fault.Internal, "no container ID: %q", id)
	}
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	e, err := h.read(id)
	if rerr := os.RemoveAll(filepath.Join(h.dir(), id)); rerr != nil {
		return fault.Wrap(rerr, "remove the hosts file of container", container.ShortID(id))
	}
	if err != nil || len(e.Endpoints) == 0 {
		return nil
	}
	return h.refresh(e.Networks)
}

func (h Hosts) change(id string, fn func(*HostsEntry)) error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	e, err := h.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fn(&e)
	if err := h.writeMeta(e); err != nil {
		return err
	}
	return h.refresh(e.Networks)
}

func (h Hosts) lock() (func(), error) {
	if err := os.MkdirAll(h.dir(), 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory", h.dir())
	}
	f, err := lock.Path(context.Background(), h.dir(), true)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// refresh rewrites the files of all that share one of the networks.
func (h Hosts) refresh(networks []string) error {
	entries, err := os.ReadDir(h.dir())
	if err != nil {
		return fault.Wrap(err, "list", h.dir())
	}
	var all []HostsEntry
	for _, d := range entries {
		// A broken meta.json is one neighbour less, no reason to fail.
		if e, err := h.read(d.Name()); err == nil {
			all = append(all, e)
		}
	}
	var errs []error
	for _, e := range all {
		if shares(e.Networks, networks) {
			errs = append(errs, h.write(e, all))
		}
	}
	return errors.Join(errs...)
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) })
}

// maxMeta bounds a meta.json.
const maxMeta = 1 << 20

func (h Hosts) read(id string) (HostsEntry, error) {
	var e HostsEntry
	data, err := os.ReadFile(h.metaPath(id))
	if err != nil {
		return e, err
	}
	if len(data) > maxMeta {
		return e, fault.New(fault.Invalid, "%s has %d bytes", h.metaPath(id), len(data))
	}
	return e, json.Unmarshal(data, &e)
}

func (h Hosts) writeMeta(e HostsEntry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := h.metaPath(e.ID)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fault.Wrap(err, "write", path)
	}
	return fault.Wrap(os.Rename(path+".new", path), "write", path)
}

const (
	regionStart = "# <nerdctl>\n"
	regionEnd   = "# </nerdctl>\n"
)

// write puts the region of the tools into a file and leaves the rest of it, which
// somebody in the container may have written, as it is.
func (h Hosts) write(e HostsEntry, all []HostsEntry) error {
	var b bytes.Buffer
	b.WriteString(regionStart)
	b.WriteString("127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n")
	for _, x := range e.ExtraHosts {
		if name, ip, ok := strings.Cut(x, ":"); ok {
			fmt.Fprintf(&b, "%s\t%s\n", ip, name)
		}
	}
	slices.SortFunc(all, func(x, y HostsEntry) int { return strings.Compare(x.ID, y.ID) })
	for _, o := range all {
		for _, ep := range o.Endpoints {
			if !slices.Contains(e.Networks, ep.Network) {
				continue
			}
			for _, ip := range []string{ep.IP, ep.IP6} {
				if ip != "" {
					fmt.Fprintf(&b, "%s\t%s\n", ip, strings.Join(hostWords(o, ep.Network, o.ID == e.ID), " "))
				}
			}
		}
	}
	b.WriteString(regionEnd)
	path := h.Path(e.ID)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, "read", path)
	}
	text := b.Bytes()
	if i := bytes.Index(old, []byte(regionStart)); i >= 0 {
		if j := bytes.Index(old[i:], []byte(regionEnd)); j >= 0 {
			text = slices.Concat(old[:i], text, old[i+j+len(regionEnd):])
		}
	}
	if bytes.Equal(old, text) {
		return nil
	}
	// In one write, and only then cut: a reader sees no empty file.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fault.Wrap(err, "write", path)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return fault.Wrap(err, "write", path)
}

// hostWords are the names of a member: host.domain and host for itself and for
// others, then its name, and name.network.
func hostWords(e HostsEntry, network string, self bool) []string {
	var out []string
	add := func(w string) {
		if w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	if e.Domainname != "" && e.Hostname != "" {
		add(e.Hostname + "." + e.Domainname)
	}
	add(e.Hostname)
	add(e.Name)
	if e.Name != "" && network != DefaultName {
		add(e.Name + "." + network)
	}
	_ = self
	return out
}
