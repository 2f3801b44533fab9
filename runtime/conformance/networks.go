package conformance

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
)

// subnets numbers those that the promises ask for: a host's are all different.
var subnets atomic.Int32

// subnet gives one that no other promise has.
func subnet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, byte(subnets.Add(1)), 0}), 24)
}

// within is an address of a subnet.
func within(p netip.Prefix, n int) netip.Addr {
	raw := p.Addr().As4()
	raw[3] += byte(n)
	return netip.AddrFrom4(raw)
}

// networks checks that there are these networks beside those that are always there.
func (s *suite) networks(names ...string) {
	s.Helper()
	all, err := s.Networks.List(s.ctx, network.ListOptions{})
	s.ok(err)
	var got []string
	for _, n := range all {
		got = append(got, n.Name)
	}
	names = append(names, "bridge", "host", "none")
	slices.Sort(names)
	is(s, "the list of networks", strings.Join(got, " "), strings.Join(names, " "))
}

func (s *suite) connect(spec network.Spec) network.Network {
	s.Helper()
	n, err := s.Networks.Create(s.ctx, spec)
	s.ok(err)
	return n
}

// on is a container that runs on networks.
func (s *suite) on(networks ...string) container.Spec {
	spec := s.spec("sleep", "1000")
	spec.Networks = networks
	return spec
}

var networkPromises = []promise{
	{"bridge, host and none are always there", func(s *suite) {
		all, err := s.Networks.List(s.ctx, network.ListOptions{})
		s.ok(err)
		var got []string
		for _, n := range all {
			got = append(got, fmt.Sprint(n.Name, " ", n.Driver, " ", n.IPAM, " ", n.Internal, " ", n.Predefined(), " ", len(n.ID), " ", n.Containers == nil))
		}
		is(s, "the networks", strings.Join(got, "\n"), "bridge bridge default false true 64 true\nhost host default false true 64 true\nnone null default false true 64 true")
		for _, name := range []string{"bridge", "host", "none"} {
			s.refuses(s.Networks.Remove(s.ctx, name), fault.Denied, name+" is a pre-defined network and cannot be removed")
			_, err := s.Networks.Create(s.ctx, network.Spec{Name: name})
			s.refuses(err, fault.Denied, "operation is not permitted on predefined "+name+" network")
		}
		n, err := s.Networks.Get(s.ctx, "default")
		s.ok(err)
		is(s, "the network default", n.Name, "bridge")
		is(s, "its labels", fmt.Sprint(n.Labels), "map[nerdctl/default-network:true]")
	}},
	{"makes one with a subnet of its own", func(s *suite) {
		a := s.connect(network.Spec{Name: "front", Labels: map[string]string{"tier": "web"}})
		b := s.connect(network.Spec{Name: "back"})
		s.networks("back", "front")
		for _, n := range []network.Network{a, b} {
			if len(n.ID) != 64 || n.Driver != "bridge" || n.IPAM != "default" || n.Internal || n.Created.IsZero() || len(n.Subnets) != 1 || n.Foreign || n.Planned || len(n.Options) != 0 {
				s.Errorf("%+v", n)
			}
			sub := n.Subnets[0]
			is(s, "the gateway", sub.Gateway, sub.Subnet.Addr().Next())
			is(s, "the families", fmt.Sprint(n.IPv4(), n.IPv6()), "true false")
		}
		is(s, "the subnets overlap", a.Subnets[0].Subnet.Overlaps(b.Subnets[0].Subnet), false)
		is(s, "the labels", fmt.Sprint(a.Labels, b.Labels), "map[tier:web] map[]")
		got, err := s.Networks.Get(s.ctx, "front")
		s.ok(err)
		is(s, "what get gives", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", a))
	}},
	{"are known by name, ID, and the beginning of an ID", func(s *suite) {
		n := s.connect(network.Spec{Name: "front"})
		for _, ref := range []string{"front", n.ID, n.ID[:12], n.ID[:4]} {
			got, err := s.Networks.Get(s.ctx, ref)
			s.ok(err)
			is(s, "the network "+ref, got.ID, n.ID)
		}
		for _, ref := range []string{"fron", "nope", "", n.ID + "0"} {
			_, err := s.Networks.Get(s.ctx, ref)
			s.refuses(err, fault.NotFound, "network "+ref+" not found")
			s.refuses(s.Networks.Remove(s.ctx, ref), fault.NotFound, "network "+ref+" not found")
		}
		// A name goes before an ID.
		other := s.connect(network.Spec{Name: n.ID[:12]})
		got, err := s.Networks.Get(s.ctx, n.ID[:12])
		s.ok(err)
		is(s, "the network of that name", got.ID, other.ID)
		s.ok(s.Networks.Remove(s.ctx, n.ID))
		s.networks(n.ID[:12])
	}},
	{"has one of a name", func(s *suite) {
		s.connect(network.Spec{Name: "front", Labels: map[string]string{"a": "1"}})
		_, err := s.Networks.Create(s.ctx, network.Spec{Name: "front"})
		s.refuses(err, fault.Conflict, "network with name front already exists")
		n, err := s.Networks.Get(s.ctx, "front")
		s.ok(err)
		is(s, "the labels", fmt.Sprint(n.Labels), "map[a:1]")

		errs := every(4, func(int) error {
			_, err := s.Networks.Create(s.ctx, network.Spec{Name: "raced"})
			return err
		})
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else {
				s.refuses(err, fault.Conflict, "network with name raced already exists")
			}
		}
		is(s, "how many were made", made, 1)
	}},
	{"makes many at once with different subnets", func(s *suite) {
		made := make([]network.Network, 6)
		for _, err := range every(len(made), func(i int) (err error) {
			made[i], err = s.Networks.Create(s.ctx, network.Spec{Name: fmt.Sprint("n", i)})
			return err
		}) {
			s.ok(err)
		}
		for i, a := range made {
			for _, b := range made[:i] {
				if a.Subnets[0].Subnet.Overlaps(b.Subnets[0].Subnet) || a.Interface == b.Interface {
					s.Errorf("%+v and %+v", a, b)
				}
			}
		}
	}},
	{"refuses what cannot be", func(s *suite) {
		v4, v6 := []network.Subnet{{Subnet: netip.MustParsePrefix("10.213.0.0/24")}}, []network.Subnet{{Subnet: netip.MustParsePrefix("fd00:213::/64")}}
		for _, c := range []struct {
			spec network.Spec
			kind fault.Kind
			text string
		}{
			{network.Spec{}, fault.Invalid, "invalid network name: name is empty"},
			{network.Spec{Name: "../up"}, fault.Invalid, `invalid network name "../up": it must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most 100 characters`},
			{network.Spec{Name: "a b"}, fault.Invalid, `invalid network name "a b": it must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most 100 characters`},
			{network.Spec{Name: "-x"}, fault.Invalid, `invalid network name "-x": it must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most 100 characters`},
			{network.Spec{Name: "x", Driver: "overlay"}, fault.NotFound, "could not find plugin overlay in v1 plugin registry: plugin not found"},
			{network.Spec{Name: "x", Driver: "host"}, fault.Denied, `only one instance of "host" network is allowed`},
			{network.Spec{Name: "x", NoIPv4: true}, fault.Invalid, "IPv4 or IPv6 must be enabled"},
			{network.Spec{Name: "x", Subnets: v6}, fault.Invalid, "subnet fd00:213::/64 is of IPv6, which is not enabled"},
			{network.Spec{Name: "x", IPv6: true, NoIPv4: true, Subnets: v4}, fault.Invalid, "subnet 10.213.0.0/24 is of IPv4, which is disabled"},
			{network.Spec{Name: "x", Subnets: []network.Subnet{{Subnet: netip.MustParsePrefix("10.213.0.0/31")}}}, fault.Invalid, "subnet 10.213.0.0/31 has no room for a gateway and a container"},
			{network.Spec{Name: "x", Options: map[string]string{"mtu": "big"}}, fault.Invalid, `invalid value "big" of the network option mtu: it is not a number from 68 to 65535`},
			{network.Spec{Name: "x", Options: map[string]string{"colour": "red"}}, fault.Invalid, "unsupported option colour of a bridge network"},
			{network.Spec{Name: "x", Driver: "macvlan", Options: map[string]string{"mode": "l2"}}, fault.Invalid, `invalid value "l2" of the network option mode: it is not one of bridge, private, vepa, passthru`},
		} {
			_, err := s.Networks.Create(s.ctx, c.spec)
			s.refuses(err, c.kind, c.text)
		}
		s.networks()
	}},
	{"keeps what was asked for", func(s *suite) {
		sub := subnet()
		n := s.connect(network.Spec{
			Name: "front", IPv6: true, Labels: map[string]string{"a": "b=c", "empty": ""},
			Options: map[string]string{"mtu": "1400", "com.docker.network.bridge.enable_icc": "false", "ip-masq": "true"},
			Subnets: []network.Subnet{{
				Subnet: sub, Gateway: within(sub, 254), Range: netip.PrefixFrom(within(sub, 64), 26),
				Aux: map[string]netip.Addr{"router": within(sub, 65), "printer": within(sub, 3)},
			}},
		})
		got, err := s.Networks.Get(s.ctx, "front")
		s.ok(err)
		is(s, "what get gives", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", n))
		is(s, "the labels", fmt.Sprint(n.Labels), "map[a:b=c empty:]")
		is(s, "the options", fmt.Sprint(n.Options), "map[com.docker.network.bridge.enable_icc:false com.docker.network.driver.mtu:1400]")
		is(s, "the families", fmt.Sprint(n.IPv4(), n.IPv6(), len(n.Subnets)), "true true 2")
		v4, v6 := n.Subnets[0], n.Subnets[1]
		is(s, "the subnet", fmt.Sprint(v4.Subnet, v4.Gateway, v4.Range, v4.Aux["router"], v4.Aux["printer"], len(v4.Aux)),
			fmt.Sprint(sub, within(sub, 254), netip.PrefixFrom(within(sub, 64), 26), within(sub, 65), within(sub, 3), 2))
		is(s, "the gateway", v6.Gateway, v6.Subnet.Addr().Next())
		if !netip.MustParsePrefix("fd00::/8").Contains(v6.Subnet.Addr()) || v6.Subnet.Bits() != 64 {
			s.Errorf("%+v", v6)
		}
	}},
	{"refuses a subnet that another has", func(s *suite) {
		sub := subnet()
		s.connect(network.Spec{Name: "front", Subnets: []network.Subnet{{Subnet: sub}}})
		for _, p := range []netip.Prefix{sub, netip.PrefixFrom(sub.Addr(), 25), netip.PrefixFrom(within(sub, 128), 30)} {
			_, err := s.Networks.Create(s.ctx, network.Spec{Name: "back", Subnets: []network.Subnet{{Subnet: p}}})
			s.refuses(err, fault.Conflict, "invalid pool request: Pool overlaps with other one on this address space")
		}
		s.networks("front")
		s.ok(s.Networks.Remove(s.ctx, "front"))
		s.connect(network.Spec{Name: "back", Subnets: []network.Subnet{{Subnet: sub}}})
	}},
	{"gives containers addresses of its range, but for those that are kept", func(s *suite) {
		sub := subnet()
		s.connect(network.Spec{Name: "front", Subnets: []network.Subnet{{
			Subnet: sub, Range: netip.PrefixFrom(within(sub, 8), 30), Gateway: within(sub, 9), Aux: map[string]netip.Addr{"router": within(sub, 10)},
		}}})
		var got []string
		for range 2 {
			ep := s.start(s.on("front")).Networks[0]
			got = append(got, ep.IP)
			is(s, "the endpoint", fmt.Sprintln(ep.Network, ep.Interface, ep.PrefixLen, ep.Gateway), fmt.Sprintln("front", "eth0", 24, within(sub, 9)))
		}
		slices.Sort(got)
		is(s, "the addresses", strings.Join(got, " "), fmt.Sprint(within(sub, 11), " ", within(sub, 8)))
		c := s.create(s.on("front"))
		if _, err := s.Containers.Start(s.ctx, c.ID, nil); err == nil {
			s.Errorf("there was a third address: %+v", s.get(c.ID).Networks)
		}
	}},
	{"gives a container the address that it asks for", func(s *suite) {
		sub := subnet()
		s.connect(network.Spec{Name: "front", Subnets: []network.Subnet{{Subnet: sub}}})
		spec := s.on("front")
		spec.IP = within(sub, 77).String()
		is(s, "the address", s.start(spec).Networks[0].IP, spec.IP)
	}},
	{"gives addresses of both families", func(s *suite) {
		n := s.connect(network.Spec{Name: "front", IPv6: true})
		ep := s.start(s.on("front")).Networks[0]
		v4, err := netip.ParseAddr(ep.IP)
		s.ok(err)
		v6, err := netip.ParseAddr(ep.IP6)
		s.ok(err)
		is(s, "the addresses are of the subnets", fmt.Sprintln(n.Subnets[0].Subnet.Contains(v4), n.Subnets[1].Subnet.Contains(v6), ep.PrefixLen6, ep.Gateway6), fmt.Sprintln(true, true, 64, n.Subnets[1].Gateway))
	}},
	{"with IPv6 alone gives no other", func(s *suite) {
		n := s.connect(network.Spec{Name: "front", NoIPv4: true, IPv6: true})
		is(s, "the families", fmt.Sprint(n.IPv4(), n.IPv6()), "false true")
		ep := s.start(s.on("front")).Networks[0]
		v6, err := netip.ParseAddr(ep.IP6)
		s.ok(err)
		is(s, "the addresses", fmt.Sprint(ep.IP, n.Subnets[0].Subnet.Contains(v6)), fmt.Sprint("", true))
	}},
	{"that is internal has no gateway", func(s *suite) {
		n := s.connect(network.Spec{Name: "front", Internal: true})
		is(s, "internal", n.Internal, true)
		is(s, "the gateway", n.Subnets[0].Gateway.IsValid(), false)
		ep := s.start(s.on("front")).Networks[0]
		is(s, "the gateway of a container", ep.Gateway, "")
		is(s, "the prefix", ep.PrefixLen, 24)
	}},
	{"tells who is connected", func(s *suite) {
		s.connect(network.Spec{Name: "front"})
		s.connect(network.Spec{Name: "back"})
		a, b := s.start(s.on("front", "back")), s.start(s.on("front"))
		s.create(s.on("front"))
		if len(a.Networks) != 2 {
			s.Fatalf("%+v", a.Networks)
		}
		is(s, "the second interface", a.Networks[1].Interface, "eth1")
		ids := []string{a.ID, b.ID}
		slices.Sort(ids)
		all, err := s.Networks.List(s.ctx, network.ListOptions{Containers: true})
		s.ok(err)
		got := map[string][]string{}
		for _, n := range all {
			for _, m := range n.Containers {
				got[n.Name] = append(got[n.Name], m.ID)
			}
		}
		is(s, "who is connected", fmt.Sprint(got), fmt.Sprint(map[string][]string{"front": ids, "back": {a.ID}}))
		n, err := s.Networks.Get(s.ctx, "back")
		s.ok(err)
		is(s, "who is on back", fmt.Sprintf("%+v", n.Containers), fmt.Sprintf("%+v", []network.Member{{ID: a.ID, Name: a.Name, Endpoint: a.Networks[1]}}))
	}},
	{"is named by its ID, too", func(s *suite) {
		n := s.connect(network.Spec{Name: "front"})
		c := s.start(s.on(n.ID[:12]))
		is(s, "the network", c.Networks[0].Network, "front")
		// But for the host's: who grants that, or not, goes by the name.
		host := s.create(s.on(network.ID("host")))
		_, err := s.Containers.Start(s.ctx, host.ID, nil)
		s.refuses(err, fault.NotFound, "network "+network.ID("host")+" not found")
	}},
	{"that is not there keeps a container from starting", func(s *suite) {
		c := s.create(s.on("nope"))
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.refuses(err, fault.NotFound, "network nope not found")
		s.connect(network.Spec{Name: "nope"})
		_, err = s.Containers.Start(s.ctx, c.ID, nil)
		s.ok(err)
	}},
	{"with a container cannot be removed", func(s *suite) {
		s.connect(network.Spec{Name: "front"})
		spec := s.on("front")
		spec.Name = "web"
		c := s.start(spec)
		s.refuses(s.Networks.Remove(s.ctx, "front"), fault.Conflict,
			fmt.Sprintf("error while removing network: network front has active endpoints (name:%q id:%q)", "web", container.ShortID(c.ID)))
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		s.ok(s.Networks.Remove(s.ctx, "front"))
		s.networks()
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.refuses(err, fault.NotFound, "network front not found")
	}},
	{"is not lost when it is removed and joined at once", func(s *suite) {
		for range 5 {
			s.connect(network.Spec{Name: "front"})
			c := s.create(s.on("front"))
			var errs [2]error
			every(2, func(i int) error {
				if i == 0 {
					_, errs[0] = s.Containers.Start(s.ctx, c.ID, nil)
				} else {
					errs[1] = s.Networks.Remove(s.ctx, "front")
				}
				return nil
			})
			// Exactly one of the two is done.
			if (errs[0] == nil) == (errs[1] == nil) {
				s.Errorf("start: %v, remove: %v", errs[0], errs[1])
			}
			s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{Force: true}))
			if errs[1] != nil {
				is(s, "the kind of error", fault.KindOf(errs[1]), fault.Conflict)
				s.ok(s.Networks.Remove(s.ctx, "front"))
			}
		}
		s.networks()
	}},
	{"lets its subnet be given again", func(s *suite) {
		sub := subnet()
		for _, gateway := range []int{1, 254} {
			s.connect(network.Spec{Name: "front", Subnets: []network.Subnet{{Subnet: sub, Gateway: within(sub, gateway)}}})
			spec := s.on("front")
			spec.IP = within(sub, 20).String()
			c := s.start(spec)
			is(s, "the endpoint", fmt.Sprintln(c.Networks[0].IP, c.Networks[0].Gateway), fmt.Sprintln(within(sub, 20), within(sub, gateway)))
			s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{Force: true}))
			s.ok(s.Networks.Remove(s.ctx, "front"))
		}
	}},
	{"can be one of each driver", func(s *suite) {
		want := map[string]string{}
		for _, driver := range []string{"bridge", "macvlan", "ipvlan"} {
			s.connect(network.Spec{Name: driver + "-net", Driver: driver})
			want[driver+"-net"] = driver
		}
		all, err := s.Networks.List(s.ctx, network.ListOptions{})
		s.ok(err)
		got := map[string]string{}
		for _, n := range all {
			if !n.Predefined() {
				got[n.Name] = n.Driver
			}
		}
		is(s, "the drivers", maps.Equal(got, want), true)
	}},
}
