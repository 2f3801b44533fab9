package netinfo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// PathMTU is how large a packet gets to a host and back.
type PathMTU struct {
	Host    string
	Address string
	// MTU is the largest IP packet in bytes that was answered; without any answer it is
	// what the kernel believes.
	MTU int
	// Route is what the kernel believes of the path, as routers told it.
	Route        int
	Interface    string
	InterfaceMTU int
	// Answered is false when the host answers no echo request at all.
	Answered bool
	// BlackHole is set when larger packets vanish on the way and no router says so:
	// connections hang then with the first full packet.
	BlackHole bool
}

// probes is how many sizes are tried at once.
const probes = 24

// Largest tried: more than loopback has nobody.
const largest = 65535

// FindMTU sends echo requests that must not be cut, of many sizes at once, in rounds
// that close in on the largest that is answered. timeout is how long a round waits for
// answers that may never come; there are three or four.
func FindMTU(ctx context.Context, host string, timeout time.Duration) (PathMTU, error) {
	a, err := resolve(ctx, host)
	if err != nil {
		return PathMTU{}, err
	}
	route, err := RouteTo(a.WithZone("").String(), RouteOptions{})
	if err != nil {
		return PathMTU{}, err
	}
	out := PathMTU{Host: host, Address: a.String(), Interface: route.Interface}
	list, err := Interfaces()
	if err != nil {
		return PathMTU{}, err
	}
	for _, i := range list {
		if i.Name == route.Interface {
			out.InterfaceMTU = i.MTU
		}
	}
	p, err := newPinger(a, true)
	if err != nil {
		return PathMTU{}, err
	}
	defer p.close()
	low, high := 576, min(out.InterfaceMTU, largest)
	if !a.Is4() {
		low = 1280 // RFC 8200: every link takes that
	}
	if high < low {
		low = max(high, overhead(a)+8)
	}
	best := 0
	for seq := 0; low <= high; {
		sizes := ladder(low, high)
		answered, err := p.round(ctx, seq, sizes, timeout)
		if err != nil {
			return PathMTU{}, fault.Wrap(err, "probe the path to", host)
		}
		seq += len(sizes)
		if answered < 0 {
			if best == 0 {
				break // nothing came, not even of the smallest
			}
			high = sizes[0] - 1
			if best >= high {
				break
			}
			continue
		}
		best = sizes[answered]
		if answered == len(sizes)-1 {
			break
		}
		low, high = best+1, sizes[answered+1]-1
	}
	out.Answered = best > 0
	if out.Route, err = routeMTU(a); err != nil {
		return PathMTU{}, fault.Wrap(err, "ask the kernel for the path to", host)
	}
	out.MTU = best
	if !out.Answered {
		out.MTU = out.Route
	}
	out.BlackHole = out.Answered && best < min(out.Route, largest)
	return out, nil
}

// usual are the sizes that paths have: Ethernet, PPPoE, tunnels, VPNs, the least of
// IPv6 and IPv4. Most searches end in the first round with them.
var usual = [...]int{576, 1280, 1320, 1360, 1380, 1400, 1412, 1420, 1440, 1450, 1460, 1472, 1480, 1492, 1500, 8900, 8950, 9000, 65520}

// ladder gives sizes from low to high, both included, the usual ones among them when
// there are any.
func ladder(low, high int) []int {
	out := []int{low, high}
	for _, u := range usual {
		for _, s := range []int{u, u + 1} {
			if s > low && s < high && len(out) < 2*probes {
				out = append(out, s)
			}
		}
	}
	if len(out) == 2 {
		step := max((high-low)/probes, 1)
		for s := low + step; s < high; s += step {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// round sends each size twice, as packets may be lost, and gives the greatest index
// that was answered, -1 for none. It ends early when the greatest was.
func (p *pinger) round(ctx context.Context, seq int, sizes []int, timeout time.Duration) (int, error) {
	best := -1
	base := seq % 30000
	for try := range 2 {
		until := time.Now().Add(timeout / 2)
		// The largest first: what comes after may find our buffer full.
		for i := len(sizes) - 1; i > best; i-- {
			// Too large for the interface, or a router has just said so.
			if err := p.send(base+i+1, sizes[i]); err != nil && !errors.Is(err, unix.EMSGSIZE) && try == 1 && best < 0 && i == 0 {
				return -1, errors.New(reason(err))
			}
		}
		for {
			got, err := p.receive(ctx, until)
			if ctx.Err() != nil {
				return -1, ctx.Err()
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil {
				continue // what a router said of one of the sizes
			}
			if i := got - base - 1; i >= 0 && i < len(sizes) {
				best = max(best, i)
			}
			if best == len(sizes)-1 {
				return best, nil
			}
		}
	}
	return best, nil
}

// routeMTU is what the kernel believes of the path: a socket that is connected without
// sending anything tells.
func routeMTU(a netip.Addr) (int, error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU
	var to unix.Sockaddr
	if a.Is4() {
		to = &unix.SockaddrInet4{Port: 9, Addr: a.As4()}
	} else {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU
		six := &unix.SockaddrInet6{Port: 9, Addr: a.As16()}
		if i, err := net.InterfaceByName(a.Zone()); err == nil {
			six.ZoneId = uint32(i.Index)
		}
		to = six
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, to); err != nil {
		return 0, err
	}
	return unix.GetsockoptInt(fd, level, option)
}

// MSS is what a TCP connection to a host agreed on.
type MSS struct {
	Address string
	Send    int // bytes of a segment that we may send
	Receive int // that we told the other end of
	PathMTU int
	Took    time.Duration // to connect
}

// ConnectMSS connects to "host:port" and asks the kernel about it.
func ConnectMSS(ctx context.Context, address string) (MSS, error) {
	start := time.Now()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		e := &fault.Error{Kind: fault.Unavailable, Op: "connect to", Subject: address, Message: reason(err)}
		switch k := fault.KindOf(ctx.Err()); k {
		case fault.Cancelled, fault.Timeout:
			e.Kind = k
		}
		return MSS{}, e
	}
	defer c.Close()
	out := MSS{Address: address, Took: time.Since(start)}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return MSS{}, fault.Wrap(err, "ask about", address)
	}
	var info *unix.TCPInfo
	var ierr error
	if err := raw.Control(func(fd uintptr) { info, ierr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || ierr != nil {
		return MSS{}, fault.Wrap(errors.Join(err, ierr), "ask about", address)
	}
	out.Send, out.Receive, out.PathMTU = int(info.Snd_mss), int(info.Advmss), int(info.Pmtu)
	return out, nil
}
