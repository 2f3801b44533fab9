package recorder

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
	"nsh/runtime/volume"
)

// Volumes is a [volume.Service] that notes what would be done instead of doing it.
// What is planned is seen by what comes after. Safe to call at once.
type Volumes struct {
	plan       *plan.Plan
	real       volume.Service
	containers *Containers

	mu    sync.Mutex
	state map[string]*volume.Volume // how planned or changed ones look; nil: removed
	count int                       // of anonymous ones
}

var _ volume.Service = (*Volumes)(nil)

// List gives what there would be by now.
func (s *Volumes) List(ctx context.Context, opts volume.ListOptions) ([]volume.Volume, error) {
	out, err := s.real.List(ctx, volume.ListOptions{Sizes: opts.Sizes})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	out = slices.DeleteFunc(out, func(v volume.Volume) bool { _, changed := s.state[v.Name]; return changed })
	for _, v := range s.state {
		if v != nil {
			out = append(out, *v)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b volume.Volume) int { return strings.Compare(a.Name, b.Name) })
	if !opts.Containers {
		return out, nil
	}
	users, err := s.users(ctx)
	for i := range out {
		out[i].Containers = users[out[i].Name]
	}
	return out, err
}

// users are the containers of each volume, by now.
func (s *Volumes) users(ctx context.Context) (map[string][]string, error) {
	all, err := s.containers.all(ctx, false)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, c := range all {
		for _, m := range c.Mounts {
			if m.Type == "volume" && !slices.Contains(out[m.Name], c.ID) {
				out[m.Name] = append(out[m.Name], c.ID)
			}
		}
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out, nil
}

// Get gives one volume as it would be by now.
func (s *Volumes) Get(ctx context.Context, name string, size bool) (volume.Volume, error) {
	s.mu.Lock()
	v, changed := s.state[name]
	s.mu.Unlock()
	switch {
	case changed && v == nil:
		return volume.Volume{}, volume.NotFound(name)
	case changed && v.Planned && size:
		return volume.Volume{}, plan.NotKnown("how large volume " + name + " is")
	}
	out, err := volume.Volume{}, error(nil)
	if !changed || size {
		if out, err = s.real.Get(ctx, name, size); err != nil {
			return out, err
		}
	}
	if changed {
		n := out.Size
		out, out.Size = *v, n
	}
	users, err := s.users(ctx)
	out.Containers = users[name]
	return out, err
}

func (s *Volumes) set(name string, v *volume.Volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[name] = v
}

// Create notes a new volume; one that is there stays as it is.
func (s *Volumes) Create(ctx context.Context, spec volume.Spec) (volume.Volume, error) {
	v := volume.Volume{Name: spec.Name, Labels: maps.Clone(spec.Labels), Created: time.Now(), Planned: true}
	change := plan.Change{Action: "create", Kind: "volume", Name: spec.Name, Fields: plan.MapFields("label", nil, spec.Labels)}
	if spec.Name == "" {
		s.mu.Lock()
		s.count++
		v.Name, v.Anonymous = fmt.Sprintf("planned-volume-%d", s.count), true
		s.mu.Unlock()
		change.Name = "(a new one)"
	} else if err := volume.ValidateName(spec.Name); err != nil {
		return volume.Volume{}, err
	}
	have, err := s.Get(ctx, v.Name, false)
	if !fault.Is(err, fault.NotFound) {
		return have, err
	}
	s.plan.Note(ctx, change)
	s.set(v.Name, &v)
	return v, nil
}

// implied notes the volumes that a container would make: they are part of its change,
// and shown all the same.
func (s *Volumes) implied(ctx context.Context, container string, mounts []container.Mount) error {
	for _, m := range mounts {
		if m.Type != "volume" || m.Name == "" {
			continue
		}
		_, err := s.Get(ctx, m.Name, false)
		switch {
		case err == nil:
			continue
		case !fault.Is(err, fault.NotFound):
			return err
		}
		s.plan.Imply(plan.Change{Action: "create", Kind: "volume", Name: m.Name, Reason: "for container " + container})
		s.set(m.Name, &volume.Volume{Name: m.Name, Created: time.Now(), Planned: true})
	}
	return nil
}

// Label notes other labels.
func (s *Volumes) Label(ctx context.Context, name string, labels map[string]string) error {
	v, err := s.Get(ctx, name, false)
	if err != nil {
		return err
	}
	if fields := plan.MapFields("label", v.Labels, labels); len(fields) > 0 {
		s.plan.Note(ctx, plan.Change{Action: "update", Kind: "volume", Name: name, Fields: fields})
	}
	v.Labels, v.Containers = maps.Clone(labels), nil
	s.set(name, &v)
	return nil
}

// Remove notes that a volume goes.
func (s *Volumes) Remove(ctx context.Context, name string) error {
	v, err := s.Get(ctx, name, false)
	if err != nil {
		return err
	}
	if len(v.Containers) > 0 {
		return volume.InUse(name, v.Containers)
	}
	s.plan.Note(ctx, plan.Change{Action: "remove", Kind: "volume", Name: name})
	s.set(name, nil)
	return nil
}
