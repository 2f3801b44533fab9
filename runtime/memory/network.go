package memory

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
)

// web is one network.
type web struct {
	network network.Network // without who is connected
	pools   []*pool         // of its subnets
}

// pool is the addresses of one subnet.
type pool struct {
	network.Subnet
	last netip.Addr            // that was given
	used map[netip.Addr]string // by container
}

// first is the host's address, which is given to nobody.
func (p *pool) first() netip.Addr {
	if p.Gateway.IsValid() {
		return p.Gateway
	}
	return p.Subnet.Subnet.Addr().Next()
}

// take gives an address: the one that is asked for, else the next one after the
// last that was given, as the plugin host-local does.
func (p *pool) take(id, asked string) (netip.Addr, error) {
	subnet, between := p.Subnet.Subnet, p.Pools()
	given := func(a netip.Addr) bool {
		return a != p.first() && slices.ContainsFunc(between, func(in [2]netip.Addr) bool { return !a.Less(in[0]) && !in[1].Less(a) })
	}
	if asked != "" {
		a, err := netip.ParseAddr(asked)
		if err != nil || !subnet.Contains(a) {
			return a, fault.New(fault.Invalid, "no configured subnet contains IP address %s", asked).WithHint("the subnet is %s", subnet)
		}
		if p.used[a] != "" || !given(a) {
			return a, fault.New(fault.Conflict, "Address already in use: %s", asked)
		}
		p.used[a] = id
		return a, nil
	}
	a, start := p.last, between[0][0]
	// Each turn leaves an address behind that is taken, or an interval, but for the gateway.
	for range len(p.used) + len(between) + 2 {
		if a = a.Next(); !given(a) {
			// On to the interval that follows; after the last one, to the first.
			i := slices.IndexFunc(between, func(in [2]netip.Addr) bool { return a.Less(in[0]) })
			switch {
			case a == p.first() && given(a.Next()):
				a = a.Next()
			case i >= 0:
				a = between[i][0]
			default:
				a = start
			}
			if a == p.first() {
				a = a.Next()
			}
		}
		if p.used[a] == "" && given(a) {
			p.used[a], p.last = id, a
			return a, nil
		}
	}
	family := "IPv4"
	if !subnet.Addr().Is4() {
		family = "IPv6"
	}
	return a, fault.New(fault.Unavailable, "no available %s addresses in %s", family, subnet).WithHint("stop containers that are not needed")
}

// portKey is what can be taken once; addresses of it are looked at one by one,
// since 0.0.0.0 is all of them.
type portKey struct {
	proto string
	port  int
}

type portUser struct {
	ip string
	id string
}

func anyAddress(ip string) bool { return ip == "0.0.0.0" || ip == "" || ip == "::" }

// publish settles the host side of a container's ports. It is called with the
// lock held.
func (e *Engine) publish(b *box) error {
	first := b.spec.Networks[0]
	if first == "host" || first == "none" || strings.HasPrefix(first, "container:") {
		return nil
	}
	next := 49153 // docker's first, and IANA's second dynamic one
	for _, m := range b.spec.Ports {
		if m.HostIP == "" {
			m.HostIP = "0.0.0.0"
		}
		if m.Protocol == "" {
			m.Protocol = "tcp"
		}
		if m.ContainerPort < 1 || m.ContainerPort > 65535 || m.HostPort < 0 || m.HostPort > 65535 {
			return fault.New(fault.Invalid, "invalid port mapping %d:%d/%s", m.HostPort, m.ContainerPort, m.Protocol)
		}
		for m.HostPort == 0 {
			if next > 65535 {
				return fault.New(fault.Unavailable, "all ports are allocated")
			}
			if !e.promised(b, next, m.Protocol) {
				m.HostPort = next
			}
			next++
		}
		b.ports = append(b.ports, m)
	}
	return nil
}

// promised tells that a container has the port, be it running or not.
func (e *Engine) promised(b *box, port int, proto string) bool {
	has := func(o *box) bool {
		for _, m := range o.ports {
			if m.HostPort == port && m.Protocol == proto {
				return true
			}
		}
		return false
	}
	for _, o := range e.boxes {
		if has(o) {
			return true
		}
	}
	return has(b)
}

// connect takes the ports and addresses of a container. It is called with the
// lock held; after an error nothing has been taken.
func (e *Engine) connect(b *box) (err error) {
	defer func() {
		if err != nil {
			e.disconnect(b)
		}
	}()
	for _, m := range b.ports {
		k := portKey{m.Protocol, m.HostPort}
		for _, u := range e.ports[k] {
			if anyAddress(u.ip) || anyAddress(m.HostIP) || u.ip == m.HostIP {
				return container.PortInUse(m)
			}
		}
		e.ports[k] = append(e.ports[k], portUser{m.HostIP, b.id})
	}
	for i, name := range b.spec.Networks {
		if name == "host" || name == "none" {
			b.endpoints = append(b.endpoints, container.Endpoint{Network: name})
			continue
		}
		if other, ok := strings.CutPrefix(name, "container:"); ok {
			o, err := e.find(other)
			if err != nil {
				return err
			}
			if !o.alive() {
				return fault.New(fault.Conflict, "cannot join network namespace of a non running container: %s", o.id)
			}
			b.endpoints = append(b.endpoints, container.Endpoint{Network: "container:" + o.id})
			continue
		}
		ep, err := e.join(b, name, i)
		if err != nil {
			return err
		}
		b.endpoints = append(b.endpoints, ep)
	}
	return nil
}

// join gives a container its addresses of a network. It is called with the lock held.
func (e *Engine) join(b *box, name string, i int) (container.Endpoint, error) {
	ep := container.Endpoint{Network: name, Interface: fmt.Sprintf("eth%d", i)}
	w := e.nets[name]
	if w == nil {
		return ep, network.NotFound(name)
	}
	for _, p := range w.pools {
		is4 := p.Subnet.Subnet.Addr().Is4()
		asked := ""
		if i == 0 {
			if asked = b.spec.IP; !is4 {
				asked = b.spec.IP6
			}
		}
		a, err := p.take(b.id, asked)
		if err != nil {
			return ep, err
		}
		gateway := ""
		if !w.network.Internal {
			gateway = p.first().String()
		}
		if is4 {
			ep.IP, ep.PrefixLen, ep.Gateway = a.String(), p.Subnet.Subnet.Bits(), gateway
		} else {
			ep.IP6, ep.PrefixLen6, ep.Gateway6 = a.String(), p.Subnet.Subnet.Bits(), gateway
		}
		// Locally administered, and as unique as the address.
		raw := a.AsSlice()
		raw = raw[len(raw)-4:]
		ep.MAC = cmp.Or(ep.MAC, fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", raw[0], raw[1], raw[2], raw[3]))
	}
	if i == 0 && b.spec.MAC != "" {
		ep.MAC = b.spec.MAC
	}
	return ep, nil
}

// disconnect gives back what connect took. It is called with the lock held.
func (e *Engine) disconnect(b *box) {
	b.endpoints = nil
	for k, users := range e.ports {
		var left []portUser
		for _, u := range users {
			if u.id != b.id {
				left = append(left, u)
			}
		}
		if e.ports[k] = left; len(left) == 0 {
			delete(e.ports, k)
		}
	}
	for _, w := range e.nets {
		for _, p := range w.pools {
			maps.DeleteFunc(p.used, func(_ netip.Addr, id string) bool { return id == b.id })
		}
	}
}

// hosts is what /etc/hosts says in a container that runs.
func (b *box) hosts() string {
	var s strings.Builder
	s.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range b.spec.ExtraHosts {
		if name, ip, ok := strings.Cut(h, ":"); ok {
			if ip == "host-gateway" && len(b.endpoints) > 0 {
				ip = b.endpoints[0].Gateway
			}
			fmt.Fprintf(&s, "%s\t%s\n", ip, name)
		}
	}
	for _, ep := range b.endpoints {
		if ep.IP != "" {
			fmt.Fprintf(&s, "%s\t%s %s\n", ep.IP, b.spec.Hostname, b.name)
		}
	}
	return s.String()
}
