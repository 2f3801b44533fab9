package containerd

import (
	"context"
	"slices"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
)

// Networks is network.Service on the conflists that nerdctl has: containerd knows of no
// networks. Who is connected is told by the containers that have a process.
type Networks struct {
	namespace  string
	cni        *network.CNI
	containers *Containers
}

var _ network.Service = (*Networks)(nil)

// members gives the connected containers of the namespace by network, sorted by ID.
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

// List gives the networks that the namespace can use.
func (s *Networks) List(ctx context.Context, opts network.ListOptions) ([]network.Network, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "list", "networks")
	}
	out := s.cni.List(s.namespace)
	if !opts.Containers {
		return out, nil
	}
	members, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Containers = members[out[i].Name]
	}
	return out, nil
}

// Get gives one network.
func (s *Networks) Get(ctx context.Context, ref string) (network.Network, error) {
	if err := ctx.Err(); err != nil {
		return network.Network{}, fault.Wrap(err, "look up network", ref)
	}
	n, err := network.Find(s.cni.List(s.namespace), ref)
	if err != nil {
		return n, err
	}
	members, err := s.members(ctx)
	n.Containers = members[n.Name]
	return n, err
}

// Create makes a network for the namespace.
func (s *Networks) Create(ctx context.Context, spec network.Spec) (network.Network, error) {
	return s.cni.Create(ctx, s.namespace, spec)
}

// Remove deletes a network that nobody is connected to.
func (s *Networks) Remove(ctx context.Context, ref string) error {
	n, err := network.Find(s.cni.List(s.namespace), ref)
	if err != nil {
		return err
	}
	return s.cni.Remove(ctx, s.namespace, n, func() ([]network.Member, error) {
		members, err := s.members(ctx)
		return members[n.Name], err
	})
}
