package network

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// maxRange bounds how many ports one word may publish: all there are.
const maxRange = 65536

// ParsePort takes docker's -p: [hostIP:][hostPort[-range]]:ctrPort[-range][/proto]
// or ctrPort[-range][/proto]. A host port that is not given is 0. The errors are
// docker's (docker/go-connections, nat): that library is not used as it draws its
// own types through everything for eighty lines.
func ParsePort(word string) ([]container.PortMapping, error) {
	rest, proto, hasProto := strings.Cut(word, "/")
	if !hasProto {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	switch proto {
	case "tcp", "udp", "sctp":
	default:
		return nil, fault.New(fault.Invalid, "invalid proto: %s", proto)
	}
	ip, host, ctr := "", "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, ctr = rest[:i], rest[i+1:]
		if j := strings.LastIndexByte(host, ':'); j >= 0 {
			ip, host = host[:j], host[j+1:]
		}
	}
	if ctr == "" {
		return nil, fault.New(fault.Invalid, "no port specified: %s<empty>", word)
	}
	if ip != "" {
		bare := ip
		if strings.HasPrefix(ip, "[") && strings.HasSuffix(ip, "]") {
			bare = ip[1 : len(ip)-1]
		}
		a, err := netip.ParseAddr(bare)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid IP address: %s", bare)
		}
		ip = a.String()
	} else {
		ip = "0.0.0.0"
	}
	cFrom, cTo, err := portRange(ctr)
	if err != nil || cFrom == 0 {
		return nil, fault.New(fault.Invalid, "invalid containerPort: %s", ctr)
	}
	hFrom, hTo := 0, 0
	if host != "" {
		if hFrom, hTo, err = portRange(host); err != nil {
			return nil, fault.New(fault.Invalid, "invalid hostPort: %s", host)
		}
	}
	if host != "" && hTo-hFrom != cTo-cFrom {
		// docker takes a range of host ports for one container port as a choice.
		if cTo != cFrom {
			return nil, fault.New(fault.Invalid, "invalid ranges specified for container and host Ports: %s and %s", ctr, host)
		}
		for p := hFrom; p <= hTo; p++ {
			m := container.PortMapping{HostIP: ip, HostPort: p, ContainerPort: cFrom, Protocol: proto}
			if Available(m) == nil || p == hTo {
				return []container.PortMapping{m}, nil
			}
		}
	}
	var out []container.PortMapping
	for i := range cTo - cFrom + 1 {
		m := container.PortMapping{HostIP: ip, ContainerPort: cFrom + i, Protocol: proto}
		if hFrom > 0 {
			m.HostPort = hFrom + i
		}
		out = append(out, m)
	}
	return out, nil
}

func portRange(s string) (from, to int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if from, err = portNumber(a); err != nil || !isRange {
		return from, from, err
	}
	if to, err = portNumber(b); err == nil && (to < from || to-from >= maxRange) {
		err = fmt.Errorf("invalid range: %s", s)
	}
	return from, to, err
}

func portNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err
}

// Available tells whether the host's side of a mapping can be had at this
// moment, by taking it for a moment. The helper takes it for good.
func Available(m container.PortMapping) error {
	if m.HostPort == 0 {
		return nil
	}
	_, err := bind(m)
	if err != nil {
		return container.PortInUse(m)
	}
	return nil
}

// FreePort finds a free port of the host for a mapping.
func FreePort(m container.PortMapping) (int, error) {
	m.HostPort = 0
	p, err := bind(m)
	return p, fault.Wrap(err, "find a free port for", fmt.Sprintf("%d/%s", m.ContainerPort, m.Protocol))
}

func bind(m container.PortMapping) (int, error) {
	// A process that is forked meanwhile would hold the socket until it execs, and
	// with it the port.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return listen(m)
}

func listen(m container.PortMapping) (int, error) {
	addr := net.JoinHostPort(m.HostIP, strconv.Itoa(m.HostPort))
	switch m.Protocol {
	case "udp":
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	case "sctp":
		if m.HostPort == 0 {
			m.Protocol = "tcp" // no socket to ask with: any number that tcp has free
			return listen(m)
		}
		return m.HostPort, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
