// Package netinfo tells what the network namespace of the calling thread has and
// does: interfaces, routes, rules, names, listeners, and how large a packet gets
// through.
//
// It changes nothing. What it asks of the kernel comes over netlink; only [Lookup],
// [Ping], [PathMTU] and [MSS] send anything, and block until an answer, a timeout or
// the end of their context.
package netinfo

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"nsh/runtime/fault"
)

// Interface is one of the network namespace.
type Interface struct {
	Name     string
	Index    int
	MTU      int
	Up       bool // it was switched on
	Running  bool // and has a carrier
	Loopback bool
	MAC      string
	// Kind is what it is: veth, bridge, tun (which tap is too), wireguard, vlan, …;
	// device for a network card, loopback.
	Kind      string
	Addresses []string // as CIDR: 10.4.0.1/24
	// Peer is the other end of a point-to-point link, as VPNs have it.
	Peer   string
	Flags  []string
	Master string // the bridge or bond it belongs to
}

// Interfaces gives all of them, by index.
func Interfaces() ([]Interface, error) {
	links, err := again(func() ([]netlink.Link, error) { return netlink.LinkList() })
	if err != nil {
		return nil, fault.Wrap(err, "list", "interfaces")
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addresses, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fault.Wrap(err, "list", "addresses")
	}
	out := make([]Interface, len(links))
	for n, l := range links {
		a := l.Attrs()
		i := Interface{Name: a.Name, Index: a.Index, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Loopback: a.Flags&net.FlagLoopback != 0,
			MAC: a.HardwareAddr.String(), Kind: l.Type(), Master: names[a.MasterIndex]}
		i.Running = i.Up && (a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown)
		switch {
		case i.Loopback:
			i.Kind = "loopback"
		case i.Kind == "tuntap":
			i.Kind = "tun"
		}
		if a.Flags != 0 {
			i.Flags = strings.Split(a.Flags.String(), "|")
		}
		for _, addr := range addresses {
			if addr.LinkIndex != a.Index || addr.IPNet == nil {
				continue
			}
			i.Addresses = append(i.Addresses, addr.IPNet.String())
			if addr.Peer != nil && addr.Peer.String() != addr.IPNet.String() {
				i.Peer = addr.Peer.IP.String()
			}
		}
		out[n] = i
	}
	slices.SortFunc(out, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// again asks once more when the kernel's tables changed while they were read.
func again[T any](ask func() ([]T, error)) ([]T, error) {
	for n := 0; ; n++ {
		list, err := ask()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || n == 5 {
			return list, err
		}
	}
}
