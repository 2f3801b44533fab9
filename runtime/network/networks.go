package network

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Network is what containers are connected by: an immutable snapshot. Callers must not
// change its maps and slices.
type Network struct {
	ID      string // 64 hex digits
	Name    string
	Driver  string // bridge, macvlan, ipvlan; host and null for the networks "host" and "none"
	Created time.Time
	IPAM    string // who gives addresses: default, dhcp, or another plugin's name

	Internal bool // no way out: no gateway, no masquerading, no published ports
	Subnets  []Subnet
	Options  map[string]string // by docker's names, those that differ from the default
	Labels   map[string]string

	Interface string // the bridge on the host, or the parent of a macvlan or ipvlan; may be empty
	File      string // the conflist; empty for host and none
	Foreign   bool   // the file was not written by nsh or nerdctl, and is not theirs to remove

	// Containers are those with a process on it, sorted by ID. A list has them only
	// when it was asked for them.
	Containers []Member

	// Planned is set where only a plan knows of the network: its addresses are not
	// those that it will have.
	Planned bool
	// wanted families of a planned one, whose subnets are not known
	want4, want6 bool
}

// Plan makes the network that a specification, which has been checked, asks for: as a
// plan knows it.
func Plan(spec Spec) Network {
	options, _ := CanonicalOptions(spec.Driver, spec.Options)
	n := Network{
		ID: ID(spec.Name), Name: spec.Name, Driver: spec.Driver, Created: time.Now(), IPAM: DefaultIPAM, Internal: spec.Internal,
		Options: options, Labels: spec.Labels, Planned: true, want4: !spec.NoIPv4, want6: spec.IPv6,
	}
	n.Interface = InterfaceOf(n)
	for _, sub := range spec.Subnets {
		if !sub.Gateway.IsValid() && !spec.Internal {
			sub.Gateway = sub.Subnet.Addr().Next()
		}
		n.Subnets = append(n.Subnets, sub)
	}
	return n
}

// Predefined tells whether the network is one that is always there.
func (n Network) Predefined() bool { return Predefined(n.Name) }

// IPv6 tells whether containers get an IPv6 address.
func (n Network) IPv6() bool {
	return n.want6 || slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return !s.Subnet.Addr().Is4() })
}

// IPv4 tells whether containers get an IPv4 address.
func (n Network) IPv4() bool {
	return n.want4 || n.Driver == "host" || n.Driver == "null" || n.IPAM != DefaultIPAM || slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Subnet.Addr().Is4() })
}

// Member is a container on a network.
type Member struct {
	ID       string
	Name     string
	Endpoint container.Endpoint
}

// Subnet is a pool of addresses.
type Subnet struct {
	Subnet  netip.Prefix
	Gateway netip.Addr            // invalid: the first address, or none on an internal network
	Range   netip.Prefix          // what addresses are given from; invalid: all of the subnet
	Aux     map[string]netip.Addr // addresses that are given to nobody, by the name of who has them
}

// Spec is what is asked for. Only the name is needed.
type Spec struct {
	Name     string
	Driver   string // bridge when empty
	Internal bool
	NoIPv4   bool
	IPv6     bool
	Subnets  []Subnet // for each family that has none one is chosen
	Options  map[string]string
	Labels   map[string]string
}

// ListOptions of [Service.List].
type ListOptions struct {
	Containers bool // tell who is connected, which reads all containers
}

// Service is everything that can be done to networks. All methods are safe to call at
// once, from several processes too, and block until what they do is done.
//
// Three networks are always there: bridge, host and none.
type Service interface {
	// List gives all networks, sorted by name.
	List(ctx context.Context, opts ListOptions) ([]Network, error)

	// Get gives one network by its name, its ID, or the beginning of its ID, in this
	// order, with the containers that are connected; kind not_found when there is none,
	// invalid when an ID could be several.
	Get(ctx context.Context, ref string) (Network, error)

	// Create makes a network. That there is one by that name is a conflict, and so is a
	// subnet that overlaps another network's.
	Create(ctx context.Context, spec Spec) (Network, error)

	// Remove deletes a network, with its bridge and its rules. One that a container with
	// a process is connected to is a conflict. A container that is connected to it when
	// it is started will not start any more.
	Remove(ctx context.Context, ref string) error
}

// Drivers of networks, sorted, as docker's info has them.
func Drivers() []string { return []string{"bridge", "host", "ipvlan", "macvlan", "null"} }

// DefaultIPAM is docker's name for addresses that are given by the driver.
const DefaultIPAM = "default"

// Predefined tells whether a name is one of a network that is always there, or that
// docker keeps for the default one.
func Predefined(name string) bool {
	return name == DefaultName || name == "host" || name == "none" || name == "default"
}

// ID is nerdctl's: the SHA-256 of the name.
func ID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// Host is the network of the host itself, which has no addresses of its own.
func Host() Network {
	return Network{Name: "host", ID: ID("host"), Driver: "host", IPAM: DefaultIPAM}
}

// None is the network that connects to nothing.
func None() Network {
	return Network{Name: "none", ID: ID("none"), Driver: "null", IPAM: DefaultIPAM}
}

// InterfaceOf gives the bridge, or the parent, that a network has by its name and options.
func InterfaceOf(n Network) string {
	o, _ := parseOptions(n.Driver, n.Options)
	switch {
	case n.Driver != "bridge":
		return o.parent
	case n.Name == DefaultName:
		return defaultBridge
	}
	return cmp.Or(o.bridge, chosenBridge(n.ID))
}

// Find looks a reference up among networks, as [Service.Get] says. Engines share it.
func Find(all []Network, ref string) (Network, error) {
	if ref == "default" {
		ref = DefaultName
	}
	for _, n := range all {
		if n.Name == ref || n.ID == ref {
			return n, nil
		}
	}
	var found []Network
	for _, n := range all {
		if ref != "" && strings.HasPrefix(n.ID, ref) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return Network{}, NotFound(ref)
	case 1:
		return found[0], nil
	}
	// moby, daemon/network.go (FindNetwork)
	return Network{}, fault.New(fault.Invalid, "network %s is ambiguous (%d matches found on ID prefix)", ref, len(found)).WithHint("give more digits of the ID, or the name")
}

// NotFound is docker's error for a network that is not there.
func NotFound(ref string) error {
	return fault.New(fault.NotFound, "network %s not found", ref).WithHint("network ls shows those that are there")
}

// InUse is docker's error for removing a network that containers are connected to
// (moby, libnetwork/error.go, ActiveEndpointsError).
func InUse(name string, members []Member) error {
	eps, short := make([]string, len(members)), make([]string, len(members))
	for i, m := range members {
		eps[i], short[i] = fmt.Sprintf("name:%q id:%q", m.Name, container.ShortID(m.ID)), container.ShortID(m.ID)
		if m.Name != "" {
			short[i] = m.Name
		}
	}
	return fault.New(fault.Conflict, "error while removing network: network %s has active endpoints (%s)", name, strings.Join(eps, ", ")).
		WithHint("stop the containers first: stop %s", strings.Join(short, " "))
}

// NotRemovable is the error for removing a network that is always there, or that
// another tool has made; nil for the rest.
func NotRemovable(n Network) error {
	switch {
	case n.Predefined():
		return fault.New(fault.Denied, "%s is a pre-defined network and cannot be removed", n.Name)
	case n.Foreign:
		return fault.New(fault.Denied, "network %s is managed outside nsh and cannot be removed", n.Name).WithHint("it is the file %s", n.File)
	}
	return nil
}

// Exists is docker's error for making a network by a name that is taken.
func Exists(name string) error {
	return fault.New(fault.Conflict, "network with name %s already exists", name).WithHint("network inspect %s shows it", name)
}

// Overlap is docker's error for a subnet that is another network's (moby,
// libnetwork/ipamapi, ErrPoolOverlap).
func Overlap(subnet netip.Prefix, name string, theirs netip.Prefix) error {
	return fault.New(fault.Conflict, "invalid pool request: Pool overlaps with other one on this address space").
		WithHint("%s overlaps %s of network %s: choose another --subnet, or none", subnet, theirs, name)
}

// maxName keeps libcni's file <network>-<namespace>-<container>-<interface> within the
// 255 bytes that a file's name can have: a namespace has 76 at most, an ID 64.
const maxName = 100

// Check holds what is asked for to the rules that every engine has, before anything is
// looked at, and fills in the driver.
func (s *Spec) Check() error {
	if s.Driver == "" {
		s.Driver = "bridge"
	}
	switch {
	case s.Name == "":
		return fault.New(fault.Invalid, "invalid network name: name is empty")
	case Predefined(s.Name):
		return fault.New(fault.Denied, "operation is not permitted on predefined %s network", s.Name)
	case !validName(s.Name):
		return fault.New(fault.Invalid, "invalid network name %q: it must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most %d characters", s.Name, maxName)
	case s.NoIPv4 && !s.IPv6:
		return fault.New(fault.Invalid, "IPv4 or IPv6 must be enabled").WithHint("add --ipv6, or leave out --ipv4=false")
	}
	switch s.Driver {
	case "bridge", "macvlan", "ipvlan":
	case "host", "null":
		// moby, libnetwork: one of each is there.
		return fault.New(fault.Denied, "only one instance of %q network is allowed", s.Driver).WithHint("run --network %s uses it", map[string]string{"host": "host", "null": "none"}[s.Driver])
	default:
		return fault.New(fault.NotFound, "could not find plugin %s in v1 plugin registry: plugin not found", s.Driver).WithHint("the drivers are bridge, macvlan and ipvlan")
	}
	families := map[bool]netip.Prefix{}
	for _, sub := range s.Subnets {
		is4 := sub.Subnet.Addr().Is4()
		if old, ok := families[is4]; ok {
			return fault.New(fault.Invalid, "a network with several subnets of one family is not built yet: %s and %s", old, sub.Subnet).WithHint("give one of IPv4 and one of IPv6")
		}
		families[is4] = sub.Subnet
		if !is4 && !s.IPv6 {
			return fault.New(fault.Invalid, "subnet %s is of IPv6, which is not enabled", sub.Subnet).WithHint("add --ipv6")
		}
		if is4 && s.NoIPv4 {
			return fault.New(fault.Invalid, "subnet %s is of IPv4, which is disabled", sub.Subnet).WithHint("leave out --ipv4=false")
		}
		if bits := sub.Subnet.Addr().BitLen() - sub.Subnet.Bits(); bits < 2 {
			return fault.New(fault.Invalid, "subnet %s has no room for a gateway and a container", sub.Subnet).WithHint("the smallest one is a /30, of IPv6 a /126")
		}
		if len(sub.Pools()) == 0 {
			return fault.New(fault.Invalid, "subnet %s has no address left to give: the auxiliary ones take all of its range", sub.Subnet)
		}
	}
	if _, ok := s.Labels[labelAux]; ok {
		return fault.New(fault.Invalid, "label %q is kept for the tool itself", labelAux).WithHint("--aux-address sets it")
	}
	_, err := parseOptions(s.Driver, s.Options)
	return err
}

// Complete chooses a subnet for each family that is wanted and has none: of IPv4 the one
// that free gives, of IPv6 a random one. It leaves the caller's slice as it is.
func (s *Spec) Complete(free func() (netip.Prefix, error)) error {
	has := func(is4 bool) bool {
		return slices.ContainsFunc(s.Subnets, func(s Subnet) bool { return s.Subnet.Addr().Is4() == is4 })
	}
	s.Subnets = slices.Clone(s.Subnets)
	if !s.NoIPv4 && !has(true) {
		p, err := free()
		if err != nil {
			return err
		}
		s.Subnets = slices.Insert(s.Subnets, 0, Subnet{Subnet: p})
	}
	if s.IPv6 && !has(false) {
		s.Subnets = append(s.Subnets, Subnet{Subnet: randomULA()})
	}
	return nil
}

// randomULA is a unique local subnet (RFC 4193, section 3.2).
func randomULA() netip.Prefix {
	var raw [16]byte
	rand.Read(raw[1:6]) // never fails, crypto/rand
	raw[0] = 0xfd
	return netip.PrefixFrom(netip.AddrFrom16(raw), 64)
}

func validName(name string) bool {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(name) <= maxName && strings.ContainsRune(alnum, rune(name[0])) && strings.Trim(name, alnum+"_.-") == ""
}

// Subnets puts together what `network create` is given: each range, gateway and address
// belongs to the subnet that holds it. The errors are docker's (docker/cli,
// command/network/create.go; moby, api/types/network/ipam.go).
func Subnets(subnets, ranges, gateways []string, aux map[string]string) ([]Subnet, error) {
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	if len(subnets) < len(ranges) || len(subnets) < len(gateways) {
		return nil, invalid("every ip-range or gateway must have a corresponding subnet")
	}
	var out []Subnet
	for _, text := range subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid("invalid subnet %s: invalid CIDR block notation", text)
		}
		if p != p.Masked() {
			return nil, invalid("invalid subnet %s: it should be %s", p, p.Masked())
		}
		for _, o := range out {
			if o.Subnet.Overlaps(p) {
				return nil, invalid("multiple overlapping subnet configuration is not supported")
			}
		}
		out = append(out, Subnet{Subnet: p})
	}
	of := func(a netip.Addr) *Subnet {
		for i := range out {
			if out[i].Subnet.Contains(a) {
				return &out[i]
			}
		}
		return nil
	}
	for _, text := range ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid("invalid ip-range %s: invalid CIDR block notation", text)
		}
		s := of(p.Addr())
		switch {
		case s == nil:
			return nil, invalid("no matching subnet for range %s", text)
		case s.Range.IsValid():
			return nil, invalid("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", text, s.Range, s.Subnet)
		case p != p.Masked():
			return nil, invalid("invalid ip-range %s: it should be %s", p, p.Masked())
		case p.Bits() < s.Subnet.Bits():
			return nil, invalid("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", p, s.Subnet)
		}
		s.Range = p
	}
	for _, text := range gateways {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, invalid("invalid gateway %s: invalid address", text)
		}
		s := of(a)
		switch {
		case s == nil:
			return nil, invalid("no matching subnet for gateway %s", text)
		case s.Gateway.IsValid():
			return nil, invalid("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", text, s.Gateway, s.Subnet)
		}
		s.Gateway = a
	}
	for _, name := range slices.Sorted(maps.Keys(aux)) {
		a, err := netip.ParseAddr(aux[name])
		if err != nil {
			return nil, invalid("invalid auxiliary address %s: invalid address", name)
		}
		s := of(a)
		if s == nil {
			return nil, invalid("no matching subnet for aux-address %s", aux[name])
		}
		if s.Aux == nil {
			s.Aux = map[string]netip.Addr{}
		}
		s.Aux[name] = a
	}
	return out, nil
}

// Last is the highest address of a subnet: of IPv4 the broadcast address.
func Last(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// Pools are the intervals, first and last address, that containers get theirs from: the
// range without the network's and the broadcast address and those that are kept. The
// gateway, which is given to nobody either, may be among them.
func (s Subnet) Pools() [][2]netip.Addr {
	first, last := s.Subnet.Masked().Addr().Next(), Last(s.Subnet)
	if last.Is4() {
		last = last.Prev()
	}
	if s.Range.IsValid() {
		if a := s.Range.Masked().Addr(); first.Less(a) {
			first = a
		}
		if a := Last(s.Range); a.Less(last) {
			last = a
		}
	}
	taken := slices.SortedFunc(maps.Values(s.Aux), netip.Addr.Compare)
	var out [][2]netip.Addr
	for _, a := range taken {
		if a.Less(first) || last.Less(a) {
			continue
		}
		if first.Less(a) {
			out = append(out, [2]netip.Addr{first, a.Prev()})
		}
		if first = a.Next(); !first.IsValid() {
			return out // it was the last of all
		}
	}
	if !last.Less(first) {
		out = append(out, [2]netip.Addr{first, last})
	}
	return out
}
