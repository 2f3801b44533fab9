package undo

import (
	"context"
	"maps"
	"slices"

	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

// Volumes remembers how what is done to volumes is undone. What is in a volume comes back
// from nowhere: one that is removed goes with the commit, and is hidden until then.
type Volumes struct {
	volume.Service
	j *Journal
}

// WrapVolumes stands in front of real.
func WrapVolumes(j *Journal, real volume.Service) *Volumes { return &Volumes{real, j} }

// volumeKey tells volumes from the IDs of containers.
func volumeKey(name string) string { return "volume " + name }

// List leaves those out that go with the commit.
func (s *Volumes) List(ctx context.Context, opts volume.ListOptions) ([]volume.Volume, error) {
	all, err := s.Service.List(ctx, opts)
	all = slices.DeleteFunc(all, func(v volume.Volume) bool { return s.j.leaves(volumeKey(v.Name)) })
	for i := range all {
		all[i].Containers = s.staying(all[i].Containers)
	}
	return all, err
}

// staying leaves the containers out that go with the commit.
func (s *Volumes) staying(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), s.j.leaves)
}

// Get see List.
func (s *Volumes) Get(ctx context.Context, name string, size bool) (volume.Volume, error) {
	if s.j.leaves(volumeKey(name)) {
		return volume.Volume{}, volume.NotFound(name)
	}
	v, err := s.Service.Get(ctx, name, size)
	v.Containers = s.staying(v.Containers)
	return v, err
}

// Create is undone by removing.
func (s *Volumes) Create(ctx context.Context, spec volume.Spec) (volume.Volume, error) {
	if spec.Name != "" {
		if s.j.leaves(volumeKey(spec.Name)) {
			return volume.Volume{}, leaving(spec.Name)
		}
		if v, err := s.Service.Get(ctx, spec.Name, false); !fault.Is(err, fault.NotFound) {
			return v, err
		}
	}
	v, err := s.Service.Create(ctx, spec)
	if err == nil {
		s.j.add("create volume "+v.Name, func(ctx context.Context) error {
			err := s.Service.Remove(ctx, v.Name)
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		})
	}
	return v, err
}

// leaving is the error for wanting a volume that is hidden.
func leaving(name string) error {
	return fault.New(fault.Conflict, "create volume %s: the one of that name is removed at the end of this group", name).
		WithHint("make it after the group, or under another name")
}

// Label is undone by the old labels.
func (s *Volumes) Label(ctx context.Context, name string, labels map[string]string) error {
	before, err := s.Get(ctx, name, false)
	if err != nil {
		return err
	}
	if err := s.Service.Label(ctx, name, labels); err != nil {
		return err
	}
	old := maps.Clone(before.Labels)
	s.j.add("label volume "+name, func(ctx context.Context) error { return s.Service.Label(ctx, name, old) })
	return nil
}

// Remove waits for the commit.
func (s *Volumes) Remove(ctx context.Context, name string) error {
	v, err := s.Get(ctx, name, false)
	if err != nil {
		return err
	}
	if len(v.Containers) > 0 {
		return volume.InUse(name, v.Containers)
	}
	s.j.leave(volumeKey(name), func(ctx context.Context) error {
		err := s.Service.Remove(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return nil // it went with its container
		}
		return err
	})
	return nil
}

// Networks remembers how what is done to networks is undone. A network is no more than
// its settings: one that is removed is made again.
type Networks struct {
	network.Service
	j *Journal
}

// WrapNetworks stands in front of real.
func WrapNetworks(j *Journal, real network.Service) *Networks { return &Networks{real, j} }

// Create is undone by removing.
func (s *Networks) Create(ctx context.Context, spec network.Spec) (network.Network, error) {
	n, err := s.Service.Create(ctx, spec)
	if err == nil {
		s.j.add("create network "+n.Name, func(ctx context.Context) error {
			err := s.Service.Remove(ctx, n.Name)
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		})
	}
	return n, err
}

// Remove is undone by making the same one.
func (s *Networks) Remove(ctx context.Context, ref string) error {
	n, err := s.Service.Get(ctx, ref)
	if err != nil {
		return err
	}
	spec, err := n.Remake()
	if err != nil {
		return err
	}
	if err := s.Service.Remove(ctx, n.Name); err != nil {
		return err
	}
	s.j.add("remove network "+n.Name, func(ctx context.Context) error {
		_, err := s.Service.Create(ctx, spec)
		return err
	})
	return nil
}
