package containerd

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/volume"
)

// resolveMounts settles which directory each volume is, and adds an anonymous one for
// each that the image asks for and that nothing is mounted at. It makes nothing.
func (c *creation) resolveMounts() error {
	c.mountPoints = slices.Clone(c.spec.Mounts)
	mounted := map[string]bool{}
	for _, m := range c.mountPoints {
		mounted[m.Destination] = true
	}
	var wanted []string
	for dst := range c.cfg.Volumes {
		clean := filepath.Clean(dst)
		if !filepath.IsAbs(dst) || clean == "/" {
			return fault.New(fault.Invalid, "the image's volume %q is no absolute path below /", dst).
				WithHint("the image is broken: VOLUME in its Dockerfile wants a directory such as /data")
		}
		if !mounted[clean] {
			mounted[clean] = true
			wanted = append(wanted, clean)
		}
	}
	slices.Sort(wanted)
	for _, dst := range wanted {
		c.mountPoints = append(c.mountPoints, container.Mount{Type: "volume", Destination: dst, RW: true})
	}
	for i := range c.mountPoints {
		m := &c.mountPoints[i]
		if m.Type != "volume" {
			continue
		}
		if m.Name == "" {
			if m.Name = c.spec.Inherit[m.Destination]; m.Name == "" {
				m.Name = volume.NewName()
			}
			c.anonymous = append(c.anonymous, m.Name)
		}
		if err := volume.ValidateName(m.Name); err != nil {
			return err
		}
		m.Source = c.volumes.Path(m.Name)
	}
	return nil
}

// inherits tells whether a volume is one that another container had before.
func (c *creation) inherits(name string) (destination string, ok bool) {
	for dst, n := range c.spec.Inherit {
		if n == name {
			return dst, true
		}
	}
	return "", false
}

// populate brings the image's files into the volumes that are empty. with mounts the
// image; it is called only when there is such a volume.
func (c *creation) populate(ctx context.Context, with func(func(root string) error) error) error {
	var empty []container.Mount
	for _, m := range c.mountPoints {
		if m.Type != "volume" || slices.Contains(strings.Split(m.Mode, ","), "nocopy") {
			continue
		}
		is, err := c.volumes.Empty(m.Name)
		if err != nil {
			return err
		}
		if is {
			empty = append(empty, m)
		}
	}
	if len(empty) == 0 {
		return nil
	}
	return with(func(root string) error {
		for _, m := range empty {
			if err := c.volumes.Populate(ctx, m.Name, root, m.Destination); err != nil {
				return err
			}
		}
		return nil
	})
}

// volumeNames are the volumes among mounts, each once.
func volumeNames(mounts []container.Mount) []string {
	var out []string
	for _, m := range mounts {
		if m.Type == "volume" && m.Name != "" && !slices.Contains(out, m.Name) {
			out = append(out, m.Name)
		}
	}
	return out
}

// anonymousOf are the volumes that go with a container.
func anonymousOf(r containers.Container) []string {
	var out []string
	_ = json.Unmarshal([]byte(r.Labels[labelAnonymous]), &out)
	return slices.DeleteFunc(out, func(name string) bool { return volume.ValidateName(name) != nil })
}

// removeAnonymous removes the volumes that go with a container, but for those that
// another one mounts.
func (s *Containers) removeAnonymous(ctx context.Context, r containers.Container) error {
	names := anonymousOf(r)
	if len(names) == 0 {
		return nil
	}
	unlock, err := s.volumes.Lock(ctx, true)
	if err != nil {
		return err
	}
	defer unlock()
	users, err := volumeUsers(ctx, s.c)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.ContainsFunc(users[name], func(id string) bool { return id != r.ID }) {
			continue
		}
		if err := s.volumes.Remove(name); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}
