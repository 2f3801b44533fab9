package memory

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"nsh/runtime/fault"
	"nsh/runtime/network"
)

// Networks implements [network.Service]. It is part of an [Engine].
type Networks struct{ e *Engine }

var _ network.Service = (*Networks)(nil)

// newNetworks makes the default network, and those that the options name.
func newNetworks(e *Engine, names []string) *Networks {
	for _, name := range append([]string{network.DefaultName}, names...) {
		free, err := e.freeSubnet()
		if err != nil {
			panic(err) // 65536 names
		}
		sub := network.Subnet{Subnet: free}
		e.addNetwork(network.Spec{Name: name, Driver: "bridge", Subnets: []network.Subnet{sub}})
	}
	return &Networks{e: e}
}

// freeSubnet is the first that no network has, of those that nerdctl chooses from, and
// then of the ones after them.
func (e *Engine) freeSubnet() (netip.Prefix, error) {
	for n := range (256 - 4) * 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(4 + n/256), byte(n), 0}), 24)
		if _, _, taken := e.overlap(p); !taken {
			return p, nil
		}
	}
	return netip.Prefix{}, fault.New(fault.Conflict, "no free subnet: every one of 10.4.0.0 to 10.255.255.255 is another network's").WithHint("choose one with --subnet")
}

// overlap gives a network that has addresses of a subnet.
func (e *Engine) overlap(p netip.Prefix) (name string, theirs netip.Prefix, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(e.nets)) {
		for _, s := range e.nets[name].network.Subnets {
			if s.Subnet.Overlaps(p) {
				return name, s.Subnet, true
			}
		}
	}
	return "", netip.Prefix{}, false
}

// addNetwork takes a specification that is complete. It is called with the lock held.
func (e *Engine) addNetwork(spec network.Spec) *web {
	options, _ := network.CanonicalOptions(spec.Driver, spec.Options) // spec.Check has seen them
	w := &web{network: network.Network{
		ID: network.ID(spec.Name), Name: spec.Name, Driver: spec.Driver, Created: e.stamp(), IPAM: network.DefaultIPAM,
		Internal: spec.Internal, Options: options, Labels: maps.Clone(spec.Labels),
	}}
	if w.network.Labels == nil {
		w.network.Labels = map[string]string{}
	}
	if spec.Name == network.DefaultName {
		w.network.Labels[network.LabelDefault] = "true"
	}
	w.network.Interface = network.InterfaceOf(w.network)
	for _, s := range spec.Subnets {
		if !s.Gateway.IsValid() && !spec.Internal {
			s.Gateway = s.Subnet.Addr().Next()
		}
		w.network.Subnets = append(w.network.Subnets, s)
		p := &pool{Subnet: s, used: map[netip.Addr]string{}}
		p.last = p.Pools()[0][0].Prev()
		w.pools = append(w.pools, p)
	}
	e.nets[spec.Name] = w
	return w
}

// all is called with the lock held.
func (s *Networks) all(members bool) []network.Network {
	out := []network.Network{network.Host(), network.None()}
	for _, w := range s.e.nets {
		out = append(out, w.network)
	}
	slices.SortFunc(out, func(a, b network.Network) int { return strings.Compare(a.Name, b.Name) })
	if members {
		for i := range out {
			out[i].Containers = s.members(out[i].Name)
		}
	}
	return out
}

// members is called with the lock held.
func (s *Networks) members(name string) []network.Member {
	var out []network.Member
	for _, b := range s.e.boxes {
		for _, ep := range b.endpoints {
			if ep.Network == name {
				out = append(out, network.Member{ID: b.id, Name: b.name, Endpoint: ep})
			}
		}
	}
	slices.SortFunc(out, func(a, b network.Member) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// resolve gives the names of networks that are there; what is not stays as it is. It is
// called with the lock held.
func (s *Networks) resolve(refs []string) []string {
	out := slices.Clone(refs)
	for i, ref := range out {
		// The host's network has one name alone: what looks at a request for it looks for that.
		if n, err := network.Find(s.all(false), ref); err == nil && n.Driver != "host" && n.Driver != "null" {
			out[i] = n.Name
		}
	}
	return out
}

// List implements [network.Service].
func (s *Networks) List(ctx context.Context, opts network.ListOptions) ([]network.Network, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "list", "networks")
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.all(opts.Containers), nil
}

// Get implements [network.Service].
func (s *Networks) Get(ctx context.Context, ref string) (network.Network, error) {
	if err := ctx.Err(); err != nil {
		return network.Network{}, fault.Wrap(err, "look up network", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return network.Find(s.all(true), ref)
}

// Create implements [network.Service].
func (s *Networks) Create(ctx context.Context, spec network.Spec) (network.Network, error) {
	if err := ctx.Err(); err != nil {
		return network.Network{}, fault.Wrap(err, "make network", spec.Name)
	}
	if err := spec.Check(); err != nil {
		return network.Network{}, err
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.e.nets[spec.Name] != nil {
		return network.Network{}, network.Exists(spec.Name)
	}
	for _, sub := range spec.Subnets {
		if name, theirs, ok := s.e.overlap(sub.Subnet); ok {
			return network.Network{}, network.Overlap(sub.Subnet, name, theirs)
		}
	}
	err := spec.Complete(s.e.freeSubnet)
	if err != nil {
		return network.Network{}, err
	}
	return s.e.addNetwork(spec).network, nil
}

// Remove implements [network.Service].
func (s *Networks) Remove(ctx context.Context, ref string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "remove network", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	n, err := network.Find(s.all(true), ref)
	if err != nil {
		return err
	}
	if err := network.NotRemovable(n); err != nil {
		return err
	}
	if len(n.Containers) > 0 {
		return network.InUse(n.Name, n.Containers)
	}
	delete(s.e.nets, n.Name)
	return nil
}
