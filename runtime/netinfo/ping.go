package netinfo

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Ping is what echo requests told.
type Ping struct {
	Host     string
	Address  string
	OK       bool // an answer came
	Sent     int
	Received int
	Min      time.Duration
	Avg      time.Duration
	Max      time.Duration
	// Error is what the kernel or a router said instead of an answer, "" for silence.
	Error string
}

// PingOptions say how.
type PingOptions struct {
	Count    int           // 0 is 1
	Timeout  time.Duration // for each answer; 0 is 1 s
	Interval time.Duration // between two requests
	Size     int           // of the whole IP packet in bytes; 0 is 64
	DF       bool          // routers must not cut the packet
}

// pinger is a socket for echo requests: one that every user may have
// (net.ipv4.ping_group_range), else a raw one.
type pinger struct {
	conn net.PacketConn
	to   netip.Addr
	raw  bool
	id   int
}

// overhead of an echo request: the headers of IP and ICMP.
func overhead(a netip.Addr) int {
	if a.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// newPinger opens it on the calling thread, in whose network namespace it stays.
func newPinger(to netip.Addr, df bool) (*pinger, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if !to.Is4() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	p := &pinger{to: to, id: os.Getpid() & 0xffff}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		p.raw = true
		fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		e := fault.New(fault.Denied, "this user may not send echo requests")
		return nil, e.WithHint("root may, and those whose group lies in host.sysctl(\"net.ipv4.ping_group_range\")")
	}
	if err != nil {
		return nil, fault.Wrap(err, "open a socket for", "echo requests")
	}
	f := os.NewFile(uintptr(fd), "ping")
	defer f.Close()
	discover := unix.IP_PMTUDISC_DONT
	if df {
		// The packet is marked, whatever the kernel believes of the path.
		discover = unix.IP_PMTUDISC_PROBE
	}
	if to.Is4() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover)
	}
	if err != nil {
		return nil, fault.Wrap(err, "set up a socket for", "echo requests")
	}
	if p.conn, err = net.FilePacketConn(f); err != nil {
		return nil, fault.Wrap(err, "open a socket for", "echo requests")
	}
	return p, nil
}

func (p *pinger) close() { p.conn.Close() }

// send sends a request of size bytes with the headers.
func (p *pinger) send(seq, size int) error {
	var kind icmp.Type = ipv4.ICMPTypeEcho
	if !p.to.Is4() {
		kind = ipv6.ICMPTypeEchoRequest
	}
	data := make([]byte, max(size-overhead(p.to), 8))
	binary.BigEndian.PutUint64(data, uint64(time.Now().UnixNano()))
	// The kernel makes the checksum of ICMPv6.
	b, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: data}}).Marshal(nil)
	if err != nil {
		return err
	}
	var to net.Addr = &net.UDPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}
	if p.raw {
		to = &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}
	}
	_, err = p.conn.WriteTo(b, to)
	return err
}

// receive waits for the answer to one of our requests.
func (p *pinger) receive(ctx context.Context, until time.Time) (seq int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	buf := make([]byte, 1<<16)
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		proto := 1
		if !p.to.Is4() {
			proto = 58
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		if !ok || p.raw && (echo.ID != p.id || !sameIP(from, p.to)) {
			continue
		}
		return echo.Seq, nil
	}
}

func sameIP(a net.Addr, b netip.Addr) bool {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		host = a.String()
	}
	x, err := netip.ParseAddr(host)
	return err == nil && x.Unmap().WithZone("") == b.WithZone("")
}

// resolve gives the first address of a host, IPv4 before IPv6.
func resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	var d *net.DNSError
	if errors.As(err, &d) && d.IsNotFound {
		return netip.Addr{}, fault.New(fault.NotFound, "No such host: %s", host)
	}
	if err != nil || len(list) == 0 {
		return netip.Addr{}, unanswered(ctx, err, host, "")
	}
	for _, a := range list {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	return list[0], nil
}

// SendPing asks a host for echoes. Silence is an answer, with OK false; that the name
// is not known or that we may not ask is an error.
func SendPing(ctx context.Context, host string, o PingOptions) (Ping, error) {
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Size == 0 {
		o.Size = 64
	}
	if o.Count < 1 || o.Count > 1000 {
		return Ping{}, fault.New(fault.Invalid, "count is a number from 1 to 1000, not %d", o.Count)
	}
	a, err := resolve(ctx, host)
	if err != nil {
		return Ping{}, err
	}
	if o.Size < overhead(a)+8 || o.Size > 65535 {
		return Ping{}, fault.New(fault.Invalid, "size is a number of bytes from %d to 65535, not %d", overhead(a)+8, o.Size)
	}
	p, err := newPinger(a, o.DF)
	if err != nil {
		return Ping{}, err
	}
	defer p.close()
	out := Ping{Host: host, Address: a.String()}
	var sum time.Duration
	for n := range o.Count {
		if n > 0 && o.Interval > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(o.Interval):
			}
		}
		start := time.Now()
		out.Sent++
		err := p.send(n+1, o.Size)
		for err == nil {
			var seq int
			if seq, err = p.receive(ctx, start.Add(o.Timeout)); seq == n+1 {
				break
			}
		}
		if ctx.Err() != nil {
			return Ping{}, fault.Wrap(ctx.Err(), "ping", host)
		}
		var timeout net.Error
		switch {
		case err == nil:
			took := time.Since(start)
			out.Received++
			sum += took
			if out.Min == 0 || took < out.Min {
				out.Min = took
			}
			out.Max = max(out.Max, took)
			out.Avg = sum / time.Duration(out.Received)
		case errors.As(err, &timeout) && timeout.Timeout():
		default:
			out.Error = reason(err)
		}
	}
	out.OK = out.Received > 0
	return out, nil
}

// reason is the kernel's word for an error of a socket.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
