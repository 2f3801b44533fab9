package netinfo

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Route is one entry of a routing table; a route over several gateways is one each.
type Route struct {
	// Destination is a CIDR; 0.0.0.0/0 and ::/0 are the default.
	Destination string
	Gateway     string
	Interface   string
	Source      string // the address that packets get
	Metric      int
	Table       int
	TableName   string // main, local, default, or the number
	Scope       string // global, link, host
	Type        string // unicast, blackhole, unreachable, local, …
	Protocol    string // who made it: kernel, boot, static, dhcp, …
	MTU         int    // 0 when the route has none of its own
	Family      int    // 4 or 6
	Default     bool
}

// Rule is one of the rules that say which table a packet's route is looked up in.
type Rule struct {
	Priority int
	Source   string // CIDR that the packet comes from; "" is any
	To       string
	Table    int
	// TableName is main, local, default, or the number.
	TableName string
	Mark      int // 0 is any
	Mask      int
	Input     string // interface that it came in by
	Output    string
	Invert    bool
	// SuppressPrefix is set when routes of that prefix length or shorter are not
	// taken, as wg-quick does with 0; else -1.
	SuppressPrefix int
	Action         string // table, goto, or drop for blackhole, unreachable and prohibit
	UIDs           string // "1000-2000"; "" is any
	Family         int    // 4 or 6
}

// AllTables asks [Routes] for every table.
const AllTables = unix.RT_TABLE_UNSPEC

// Table gives the number of a table by its name: main, local, default, all.
func Table(name string) (int, error) {
	switch name {
	case "", "main":
		return unix.RT_TABLE_MAIN, nil
	case "local":
		return unix.RT_TABLE_LOCAL, nil
	case "default":
		return unix.RT_TABLE_DEFAULT, nil
	case "all":
		return AllTables, nil
	}
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || n == 0 {
		return 0, fault.New(fault.Invalid, "%q is no routing table", name).WithHint("it is main, local, default, all, or a number")
	}
	return int(n), nil
}

func tableName(n int) string {
	switch n {
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_LOCAL:
		return "local"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return strconv.Itoa(n)
}

// families gives netlink's numbers for 4, 6, or both with 0.
func families(family int) ([]int, error) {
	switch family {
	case 0:
		return []int{unix.AF_INET, unix.AF_INET6}, nil
	case 4:
		return []int{unix.AF_INET}, nil
	case 6:
		return []int{unix.AF_INET6}, nil
	}
	return nil, fault.New(fault.Invalid, "family is 4, 6, or 0 for both, not %d", family)
}

func version(family int) int {
	if family == unix.AF_INET6 {
		return 6
	}
	return 4
}

// Routes gives those of a table, IPv4 first, in the order of the tables and of the
// kernel. family is 4, 6, or 0 for both.
func Routes(table, family int) ([]Route, error) {
	fs, err := families(family)
	if err != nil {
		return nil, err
	}
	names := linkNames()
	var out []Route
	for _, f := range fs {
		list, err := again(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(f, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		})
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENOENT) {
			continue // a kernel without IPv6, a table without routes
		}
		if err != nil {
			return nil, fault.Wrap(err, "list", "routes")
		}
		for _, r := range list {
			out = append(out, routes(r, f, names)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table)) })
	return out, nil
}

func linkNames() map[int]string {
	names := map[int]string{}
	links, _ := again(func() ([]netlink.Link, error) { return netlink.LinkList() })
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names
}

func routes(r netlink.Route, family int, names map[int]string) []Route {
	one := Route{Metric: r.Priority, Table: r.Table, TableName: tableName(r.Table), Scope: r.Scope.String(), Type: typeName(r.Type), Protocol: r.Protocol.String(),
		MTU: r.MTU, Family: version(family), Source: ip(r.Src), Gateway: gateway(r.Gw, r.Via), Interface: names[r.LinkIndex]}
	if r.Scope == netlink.SCOPE_UNIVERSE {
		one.Scope = "global"
	}
	any := "0.0.0.0/0"
	if family == unix.AF_INET6 {
		any = "::/0"
	}
	one.Destination = any
	if r.Dst != nil {
		one.Destination = r.Dst.String()
	}
	one.Default = one.Destination == any
	if len(r.MultiPath) == 0 {
		return []Route{one}
	}
	var out []Route
	for _, hop := range r.MultiPath {
		h := one
		h.Gateway, h.Interface = gateway(hop.Gw, hop.Via), names[hop.LinkIndex]
		out = append(out, h)
	}
	return out
}

func ip(a net.IP) string {
	if a == nil {
		return ""
	}
	return a.String()
}

func gateway(gw net.IP, via netlink.Destination) string {
	if gw == nil {
		if v, ok := via.(*netlink.Via); ok && v != nil {
			return ip(v.Addr)
		}
	}
	return ip(gw)
}

func typeName(t int) string {
	names := [...]string{unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
		unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw"}
	if t > 0 && t < len(names) {
		return names[t]
	}
	return strconv.Itoa(t)
}

// Rules gives them in the order in which they are tried, IPv4 first.
func Rules(family int) ([]Rule, error) {
	fs, err := families(family)
	if err != nil {
		return nil, err
	}
	var out []Rule
	for _, f := range fs {
		list, err := again(func() ([]netlink.Rule, error) { return netlink.RuleList(f) })
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(err, "list", "rules")
		}
		var some []Rule
		for _, r := range list {
			rule := Rule{Priority: max(r.Priority, 0), Table: r.Table, TableName: tableName(r.Table), Mark: int(r.Mark), Input: r.IifName, Output: r.OifName,
				Invert: r.Invert, SuppressPrefix: r.SuppressPrefixlen, Family: version(f), Action: "table"}
			if r.Mask != nil {
				rule.Mask = int(*r.Mask)
			}
			if r.Src != nil {
				rule.Source = r.Src.String()
			}
			if r.Dst != nil {
				rule.To = r.Dst.String()
			}
			if r.UIDRange != nil {
				rule.UIDs = strconv.FormatUint(uint64(r.UIDRange.Start), 10) + "-" + strconv.FormatUint(uint64(r.UIDRange.End), 10)
			}
			switch {
			case r.Goto > 0:
				rule.Action = "goto"
			case r.Table == 0:
				// Blackhole, unreachable or prohibit: netlink does not give which.
				rule.Action, rule.TableName = "drop", ""
			}
			some = append(some, rule)
		}
		slices.SortStableFunc(some, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		out = append(out, some...)
	}
	return out, nil
}

// RouteOptions are what the choice of a route may hang on, besides its destination.
type RouteOptions struct {
	Mark      int
	Source    string // address
	Interface string // that the packet came in by, as from a bridge of containers
}

// RouteTo gives the route that the kernel would take, after all rules. That there is
// none is unavailable.
func RouteTo(address string, o RouteOptions) (Route, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return Route{}, fault.New(fault.Invalid, "%q is no IP address", address).WithHint("net.dns(name).addresses are those of a name")
	}
	opts := &netlink.RouteGetOptions{Mark: uint32(o.Mark), Iif: o.Interface}
	if o.Source != "" {
		src, err := netip.ParseAddr(o.Source)
		if err != nil {
			return Route{}, fault.New(fault.Invalid, "source %q is no IP address", o.Source)
		}
		opts.SrcAddr = src.AsSlice()
	}
	list, err := netlink.RouteGetWithOptions(a.Unmap().WithZone("").AsSlice(), opts)
	family := unix.AF_INET
	if !a.Unmap().Is4() {
		family = unix.AF_INET6
	}
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
		return Route{}, fault.New(fault.NotFound, "No such interface: %s", o.Interface)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES), err == nil && len(list) == 0:
		why := "there is no route to it"
		switch {
		case errors.Is(err, unix.EACCES):
			why = "a route or rule prohibits it"
		case errors.Is(err, unix.EINVAL):
			why = "a route or rule drops it, or it is no source of ours"
		case errors.Is(err, unix.EHOSTUNREACH):
			why = "a route or rule calls it unreachable"
		}
		e := &fault.Error{Kind: fault.Unavailable, Op: "find the route to", Subject: address, Message: why}
		return Route{}, e.WithHint("net.routes(table=\"all\") and net.rules() show what is there")
	case err != nil:
		return Route{}, fault.Wrap(err, "find the route to", address)
	}
	return routes(list[0], family, linkNames())[0], nil
}
