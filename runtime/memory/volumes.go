package memory

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/volume"
)

// Volumes implements [volume.Service]. It is part of an [Engine].
type Volumes struct{ e *Engine }

var _ volume.Service = (*Volumes)(nil)

// store is one volume.
type store struct {
	labels  map[string]string
	created time.Time
	files   *Files
}

// value is called with the lock held.
func (e *Engine) volume(name string) (volume.Volume, error) {
	s := e.volumes[name]
	if s == nil {
		return volume.Volume{}, volume.NotFound(name)
	}
	v := volume.Volume{Name: name, Created: s.created, Labels: maps.Clone(s.labels)}
	_, v.Anonymous = s.labels[volume.AnonymousLabel]
	for _, b := range e.boxes {
		if slices.ContainsFunc(b.mounts, func(m container.Mount) bool { return m.Type == "volume" && m.Name == name }) {
			v.Containers = append(v.Containers, b.id)
		}
	}
	slices.Sort(v.Containers)
	return v, nil
}

// List implements [volume.Service].
func (s *Volumes) List(ctx context.Context, opts volume.ListOptions) ([]volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "list volumes", "")
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	out := []volume.Volume{}
	for _, name := range slices.Sorted(maps.Keys(s.e.volumes)) {
		v, _ := s.e.volume(name)
		if !opts.Containers {
			v.Containers = nil
		}
		if opts.Sizes {
			n := s.e.volumes[name].files.size()
			v.Size = &n
		}
		out = append(out, v)
	}
	return out, nil
}

// Get implements [volume.Service].
func (s *Volumes) Get(ctx context.Context, name string, size bool) (volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return volume.Volume{}, fault.Wrap(err, "look up volume", name)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	v, err := s.e.volume(name)
	if err == nil && size {
		n := s.e.volumes[name].files.size()
		v.Size = &n
	}
	return v, err
}

// Create implements [volume.Service].
func (s *Volumes) Create(ctx context.Context, spec volume.Spec) (volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return volume.Volume{}, fault.Wrap(err, "make volume", spec.Name)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.e.makeVolume(spec)
}

// makeVolume is called with the lock held.
func (e *Engine) makeVolume(spec volume.Spec) (volume.Volume, error) {
	labels := maps.Clone(spec.Labels)
	if spec.Name == "" {
		spec.Name = e.newID()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[volume.AnonymousLabel] = ""
	}
	if err := volume.ValidateName(spec.Name); err != nil {
		return volume.Volume{}, err
	}
	if e.volumes[spec.Name] == nil {
		e.volumes[spec.Name] = &store{labels: labels, created: e.stamp(), files: newFiles()}
	}
	return e.volume(spec.Name)
}

// Label implements [volume.Service].
func (s *Volumes) Label(ctx context.Context, name string, labels map[string]string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "label volume", name)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	v, err := s.e.volume(name)
	if err != nil {
		return err
	}
	labels = maps.Clone(labels)
	if v.Anonymous {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[volume.AnonymousLabel] = ""
	}
	s.e.volumes[name].labels = labels
	return nil
}

// Remove implements [volume.Service].
func (s *Volumes) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "remove volume", name)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	v, err := s.e.volume(name)
	if err != nil {
		return err
	}
	if len(v.Containers) > 0 {
		return volume.InUse(name, v.Containers)
	}
	delete(s.e.volumes, name)
	return nil
}

// mount makes the volumes of a container and puts them into its file system. It is
// called with the lock held; after an error nothing has been made.
func (e *Engine) mount(b *box, wanted []string) (err error) {
	b.mounts = slices.Clone(b.spec.Mounts)
	mounted := map[string]bool{}
	for _, m := range b.mounts {
		mounted[m.Destination] = true
	}
	for _, dst := range slices.Sorted(slices.Values(wanted)) {
		clean := path.Clean(dst)
		if !path.IsAbs(dst) || clean == "/" {
			return fault.New(fault.Invalid, "the image's volume %q is no absolute path below /", dst).
				WithHint("the image is broken: VOLUME in its Dockerfile wants a directory such as /data")
		}
		if !mounted[clean] {
			mounted[clean] = true
			b.mounts = append(b.mounts, container.Mount{Type: "volume", Destination: clean, RW: true})
		}
	}
	for i := range b.mounts {
		m := &b.mounts[i]
		if m.Type != "volume" {
			continue
		}
		if m.Name == "" {
			if m.Name = b.spec.Inherit[m.Destination]; m.Name == "" {
				m.Name = e.newID()
			}
			b.anonymous = append(b.anonymous, m.Name)
		}
		if err := volume.ValidateName(m.Name); err != nil {
			return err
		}
	}
	made := []string{}
	defer func() {
		if err != nil {
			for _, name := range made {
				delete(e.volumes, name)
			}
		}
	}()
	for _, m := range b.mounts {
		if m.Type != "volume" {
			continue
		}
		if e.volumes[m.Name] == nil {
			spec := volume.Spec{Name: m.Name}
			if slices.Contains(b.anonymous, m.Name) {
				spec.Labels = map[string]string{volume.AnonymousLabel: ""}
			}
			if _, err := e.makeVolume(spec); err != nil {
				return err
			}
			made = append(made, m.Name)
		}
		files := e.volumes[m.Name].files
		if !slices.Contains(strings.Split(m.Mode, ","), "nocopy") {
			files.populate(b.files, m.Destination)
		}
		if err := b.files.mount(m.Destination, mountedFiles{files, !m.RW}); err != nil {
			return err
		}
	}
	return nil
}

// removeAnonymous removes the volumes that go with a container, which is gone
// already. It is called with the lock held.
func (e *Engine) removeAnonymous(b *box) {
	for _, name := range b.anonymous {
		if v, err := e.volume(name); err == nil && len(v.Containers) == 0 {
			delete(e.volumes, name)
		}
	}
}
