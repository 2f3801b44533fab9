package memory

import (
	"fmt"
	"net/netip"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// pool is the addresses of one network.
type pool struct {
	subnet netip.Prefix
	last   netip.Addr
	used   map[netip.Addr]string // by container
}

// newPools gives the default bridge the subnet that nerdctl gives it, and the
// others the ones after it.
func newPools(names []string) map[string]*pool {
	out := map[string]*pool{}
	for i, name := range append([]string{"bridge"}, names...) {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(4 + i/256), byte(i), 0}), 24)
		out[name] = &pool{subnet: subnet, last: subnet.Addr().Next(), used: map[netip.Addr]string{}}
	}
	return out
}

func (p *pool) gateway() netip.Addr { return p.subnet.Addr().Next() }

// take gives an address: the one that is asked for, else the next one after the
// last that was given, as the plugin host-local does.
func (p *pool) take(id, asked string) (netip.Addr, error) {
	if asked != "" {
		a, err := netip.ParseAddr(asked)
		if err != nil || !p.subnet.Contains(a) {
			return a, fault.New(fault.Invalid, "no configured subnet contains IP address %s", asked).WithHint("the subnet is %s", p.subnet)
		}
		if p.used[a] != "" || a == p.gateway() {
			return a, fault.New(fault.Conflict, "Address already in use: %s", asked)
		}
		p.used[a] = id
		return a, nil
	}
	a := p.last
	for range 256 {
		a = a.Next()
		if next := a.Next(); !p.subnet.Contains(next) { // the broadcast address
			a = p.gateway().Next()
		}
		if p.used[a] == "" {
			p.used[a], p.last = id, a
			return a, nil
		}
	}
	return a, fault.New(fault.Unavailable, "no available IPv4 addresses in %s", p.subnet).WithHint("stop containers that are not needed")
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
		p := e.nets[name]
		if p == nil {
			return fault.New(fault.NotFound, "network %s not found", name)
		}
		asked := ""
		if i == 0 {
			asked = b.spec.IP
		}
		a, err := p.take(b.id, asked)
		if err != nil {
			return err
		}
		// Locally administered, and as unique as the address.
		raw := a.As4()
		mac := fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", raw[0], raw[1], raw[2], raw[3])
		if i == 0 && b.spec.MAC != "" {
			mac = b.spec.MAC
		}
		b.endpoints = append(b.endpoints, container.Endpoint{
			Network: name, Interface: fmt.Sprintf("eth%d", i), IP: a.String(), PrefixLen: p.subnet.Bits(), Gateway: p.gateway().String(), MAC: mac,
		})
	}
	return nil
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
	for _, p := range e.nets {
		for a, id := range p.used {
			if id == b.id {
				delete(p.used, a)
			}
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
