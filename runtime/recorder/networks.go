package recorder

import (
	"context"
	"slices"
	"strings"
	"sync"

	"nsh/runtime/container"
	"nsh/runtime/network"
	"nsh/runtime/plan"
)

// Networks is a [network.Service] that notes what would be done instead of doing it.
// What is planned is seen by what comes after; the subnet that would be chosen is not
// known. Safe to call at once.
type Networks struct {
	plan       *plan.Plan
	real       network.Service
	containers *Containers

	mu    sync.Mutex
	state map[string]*network.Network // by name; nil: removed
}

var _ network.Service = (*Networks)(nil)

// List gives what there would be by now.
func (s *Networks) List(ctx context.Context, opts network.ListOptions) ([]network.Network, error) {
	out, err := s.real.List(ctx, network.ListOptions{})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	out = slices.DeleteFunc(out, func(n network.Network) bool { _, changed := s.state[n.Name]; return changed })
	for _, n := range s.state {
		if n != nil {
			out = append(out, *n)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b network.Network) int { return strings.Compare(a.Name, b.Name) })
	if !opts.Containers {
		return out, nil
	}
	members, err := s.members(ctx)
	for i := range out {
		out[i].Containers = members[out[i].Name]
	}
	return out, err
}

// members are the containers that would run on each network by now.
func (s *Networks) members(ctx context.Context) (map[string][]network.Member, error) {
	all, err := s.containers.List(ctx, container.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string][]network.Member{}
	for _, c := range all {
		for _, ep := range c.Networks {
			out[ep.Network] = append(out[ep.Network], network.Member{ID: c.ID, Name: c.Name, Endpoint: ep})
		}
	}
	for _, m := range out {
		slices.SortFunc(m, func(a, b network.Member) int { return strings.Compare(a.ID, b.ID) })
	}
	return out, nil
}

// Get gives one network as it would be by now.
func (s *Networks) Get(ctx context.Context, ref string) (network.Network, error) {
	all, err := s.List(ctx, network.ListOptions{Containers: true})
	if err != nil {
		return network.Network{}, err
	}
	return network.Find(all, ref)
}

// Create notes a new network.
func (s *Networks) Create(ctx context.Context, spec network.Spec) (network.Network, error) {
	if err := spec.Check(); err != nil {
		return network.Network{}, err
	}
	all, err := s.List(ctx, network.ListOptions{})
	if err != nil {
		return network.Network{}, err
	}
	for _, n := range all {
		if n.Name == spec.Name {
			return network.Network{}, network.Exists(spec.Name)
		}
		for _, theirs := range n.Subnets {
			for _, sub := range spec.Subnets {
				if sub.Subnet.Overlaps(theirs.Subnet) {
					return network.Network{}, network.Overlap(sub.Subnet, n.Name, theirs.Subnet)
				}
			}
		}
	}
	n := network.Plan(spec)
	s.plan.Note(ctx, plan.Change{Action: "create", Kind: "network", Name: spec.Name, Fields: network.Differences(network.Network{Driver: "bridge"}, spec)})
	s.set(spec.Name, &n)
	return n, nil
}

func (s *Networks) set(name string, n *network.Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[name] = n
}

// Remove notes that a network goes.
func (s *Networks) Remove(ctx context.Context, ref string) error {
	n, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if err := network.NotRemovable(n); err != nil {
		return err
	}
	if len(n.Containers) > 0 {
		return network.InUse(n.Name, n.Containers)
	}
	s.plan.Note(ctx, plan.Change{Action: "remove", Kind: "network", Name: n.Name})
	s.set(n.Name, nil)
	return nil
}
