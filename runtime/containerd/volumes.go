package containerd

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/client"

	"nsh/runtime/fault"
	"nsh/runtime/volume"
)

// Volumes is volume.Service on the files that nerdctl has: containerd knows of no
// volumes. Who uses one is told by the labels of the containers.
type Volumes struct {
	c     *client.Client
	store volume.Store
}

var _ volume.Service = (*Volumes)(nil)

// volumeUsers gives the containers of each volume of the namespace, by ID, sorted.
func volumeUsers(ctx context.Context, c *client.Client) (map[string][]string, error) {
	recs, err := c.ContainerService().List(ctx)
	if err != nil {
		return nil, fault.Wrap(err, "list", "containers")
	}
	out := map[string][]string{}
	for _, r := range recs {
		for _, name := range volumeNames(mountPoints(r.Labels)) {
			out[name] = append(out[name], r.ID)
		}
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out, nil
}

// List gives the volumes of the namespace.
func (s *Volumes) List(ctx context.Context, opts volume.ListOptions) ([]volume.Volume, error) {
	out, err := s.store.List()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	if opts.Containers {
		if users, err = volumeUsers(ctx, s.c); err != nil {
			return nil, err
		}
	}
	for i := range out {
		out[i].Containers = users[out[i].Name]
		if opts.Sizes {
			if err := s.size(ctx, &out[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (s *Volumes) size(ctx context.Context, v *volume.Volume) error {
	n, err := s.store.Size(ctx, v.Name)
	if err != nil {
		return err
	}
	v.Size = &n
	return nil
}

// Get gives one volume.
func (s *Volumes) Get(ctx context.Context, name string, size bool) (volume.Volume, error) {
	v, err := s.store.Get(name)
	if err != nil {
		return v, err
	}
	users, err := volumeUsers(ctx, s.c)
	if err != nil {
		return v, err
	}
	v.Containers = users[name]
	if size {
		err = s.size(ctx, &v)
	}
	return v, err
}

// Create makes a volume.
func (s *Volumes) Create(ctx context.Context, spec volume.Spec) (volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return volume.Volume{}, fault.Wrap(err, "make volume", spec.Name)
	}
	return s.store.Create(spec)
}

// Label replaces the labels of a volume.
func (s *Volumes) Label(ctx context.Context, name string, labels map[string]string) error {
	unlock, err := s.store.Lock(ctx, true)
	if err != nil {
		return err
	}
	defer unlock()
	return s.store.Label(name, labels)
}

// Remove deletes a volume that no container of the namespace mounts.
func (s *Volumes) Remove(ctx context.Context, name string) error {
	unlock, err := s.store.Lock(ctx, true)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.store.Get(name); err != nil {
		return err
	}
	users, err := volumeUsers(ctx, s.c)
	if err != nil {
		return err
	}
	if ids := users[name]; len(ids) > 0 {
		return volume.InUse(name, ids)
	}
	return s.store.Remove(name)
}
