package builtins

import (
	"context"
	"reflect"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/netinfo"
)

// An answer of ping is true in a condition when something answered.
var _ = value(func(env *Env, p netinfo.Ping) starlark.Value {
	return &okValue{record{env: env, v: reflect.ValueOf(p)}, p.OK}
})

// okValue is a record that is as true as its field ok.
type okValue struct {
	record
	ok bool
}

func (o *okValue) Truth() starlark.Bool { return starlark.Bool(o.ok) }

// CompareSameType is by all fields.
func (o *okValue) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return o.equal(op, &y.(*okValue).record, true)
}

// netQuestions are those that package netinfo answers.
func netQuestions(env *Env) []*lang.Builtin {
	f := func(signature, doc string, fn hostFunc) *lang.Builtin { return moduleFunc(env, signature, doc, fn) }
	return []*lang.Builtin{
		f(`net.interfaces() -> list`, `Lists the interfaces: name, index, mtu, up, running, loopback, mac, kind, addresses, peer, flags, master.

kind is veth, bridge, tun, wireguard, …, and device for a network card.

Example:
  print([i.mtu for i in net.interfaces() if i.loopback])`, asking(netinfo.Interfaces)),
		f(`net.routes(table="main", family=0) -> list`, `Lists the routes of a table: destination, gateway, interface, source, metric, table, table_name, scope, type, protocol, mtu, family, default.

Args:
  table: main, local, default, all, or a number
  family: 4, 6, or 0 for both
Example:
  print([r.interface for r in net.routes() if r.default and r.family == 6])`, netRoutes),
		f(`net.rules(family=0) -> list`, `Lists the rules that choose a routing table, in their order: priority, source, to, table, table_name, mark, mask, input, output, invert, suppress_prefix, action, uids, family.

VPNs route with them.

Args:
  family: 4, 6, or 0 for both
Example:
  print([r.table_name for r in net.rules(4)])`, netRules),
		f(`net.route_to(address, mark=0, source="", interface="") -> route`, `Gives the route that the kernel would take to an address, after all rules.

That there is none is a failure of kind unavailable.

Args:
  address: an IP address
  mark: the packet has that firewall mark
  source: the packet comes from that address
  interface: and came in by that, as from the bridge of containers
Example:
  print(net.route_to("127.0.0.1").interface)`, netRouteTo),
		f(`net.dns(name, type="A", server="", timeout="5s") -> answer`, `Looks a name up: code, records (each with name, type, ttl, value), addresses, server, took.

That there is no such name is an answer, with code NXDOMAIN; that nobody answers is a failure. Without a server A and AAAA are looked up as programs do it, with the hosts file.

Args:
  name: "example.com"; for PTR also an address
  type: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, …
  server: "10.8.0.1" or "10.8.0.1:53"; "": the system's
  timeout: for the whole of it
Example:
  print(net.dns("localhost").addresses)`, netDNS),
		f(`net.resolvers() -> resolvers`, `Tells who is asked for names: path, nameservers, search, options, stub, upstream, links.

stub is True for systemd-resolved on the loopback; links then tell which servers and domains belong to which interface, as with the split DNS of a VPN.

Example:
  r = attempt(net.resolvers)
  print(r.ok)`, netResolvers),
		f(`net.ping(host, count=1, timeout="1s", size=64, df=False) -> ping`, `Asks a host for echoes: ok, address, sent, received, min, avg, max, error. It is true when one came.

Silence is an answer. It needs root or a group in net.ipv4.ping_group_range.

Args:
  host: a name or an address
  count: how many
  timeout: how long to wait for each
  size: of the whole IP packet, in bytes
  df: routers must not cut the packet
Example:
  r = attempt(net.ping, "127.0.0.1")
  print(r.ok)`, netPing),
		f(`net.mtu(host, timeout="1s") -> path_mtu`, `Finds the largest packet that gets to a host and back: mtu, route, interface, interface_mtu, answered, black_hole.

route is what the kernel believes. black_hole is True when larger packets vanish and no router says so: connections hang then. It needs what ping needs.

Args:
  host: a name or an address
  timeout: how long to wait for answers, in each of some rounds
Example:
  r = attempt(net.mtu, "127.0.0.1")
  print(r.ok)`, netMTU),
		f(`net.mss(address, timeout="5s") -> mss`, `Connects, and gives how large the segments of TCP are: send, receive, path_mtu, took.

Args:
  address: "host:port"
  timeout: for the connection
Example:
  print(attempt(net.mss, "127.0.0.1:1").error.kind)`, netMSS),
		f(`net.listening() -> list`, `Lists the ports that something waits on: protocol, address, port, pid, process, uid.

Example:
  print([l.process for l in net.listening() if l.port == 1])`, asking(func() ([]netinfo.Listener, error) { return netinfo.Listening("/proc") })),
		f(`net.firewall() -> firewall`, `Sums up what filters forwarded packets: iptables, nft, firewalld, ufw, forward, forward6, chains, forwarding, problems.

forward is the policy of iptables: DROP there cuts containers off that no rule lets through. Without root problems tell what could not be asked.

Example:
  print(type(net.firewall().chains))`, netFirewall),
	}
}

func netRoutes(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var table starlark.Value = starlark.String("main")
	family := 0
	if err := lang.UnpackArgs(name, args, kwargs, "table?", &table, "family?", &family); err != nil {
		return nil, err
	}
	text, ok := starlark.AsString(table)
	if n, isInt := table.(starlark.Int); isInt {
		text, ok = n.String(), true
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "%s: for parameter \"table\": %v", name, wants(table, "string or int"))
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	n, err := netinfo.Table(text)
	if err != nil {
		return nil, err
	}
	return netinfo.Routes(n, family)
}

func netRules(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	family := 0
	if err := lang.UnpackArgs(name, args, kwargs, "family?", &family); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	return netinfo.Rules(family)
}

func netRouteTo(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var address string
	var o netinfo.RouteOptions
	if err := lang.UnpackArgs(name, args, kwargs, "address", &address, "mark?", &o.Mark, "source?", &o.Source, "interface?", &o.Interface); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	return netinfo.RouteTo(address, o)
}

func netDNS(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var what, server string
	typ := "A"
	timeout := lang.Duration(5 * time.Second)
	if err := lang.UnpackArgs(name, args, kwargs, "name", &what, "type?", &typ, "server?", &server, "timeout?", &timeout); err != nil {
		return nil, err
	}
	// A question may carry data out by itself: whose name it is about does not matter.
	if err := lang.Require(ctx, lang.HostNet, name, server); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeout))
	defer cancel()
	return netinfo.Lookup(ctx, what, typ, server)
}

func netResolvers(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	return asking(func() (netinfo.Resolvers, error) { return netinfo.GetResolvers(ctx, "/") })(ctx, name, args, kwargs)
}

func netFirewall(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	return asking(func() (netinfo.Firewall, error) { return netinfo.GetFirewall(ctx, nil) })(ctx, name, args, kwargs)
}

func netPing(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var who string
	o := netinfo.PingOptions{Count: 1, Interval: 200 * time.Millisecond, Size: 64}
	timeout := lang.Duration(time.Second)
	if err := lang.UnpackArgs(name, args, kwargs, "host", &who, "count?", &o.Count, "timeout?", &timeout, "size?", &o.Size, "df?", &o.DF); err != nil {
		return nil, err
	}
	if o.Count < 1 || o.Size < 1 || timeout == 0 {
		return nil, fault.New(fault.Invalid, "%s: count, size and timeout are more than 0", name)
	}
	o.Timeout = time.Duration(timeout)
	if err := lang.Require(ctx, lang.HostNet, name, who); err != nil {
		return nil, err
	}
	return netinfo.SendPing(ctx, who, o)
}

func netMTU(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var who string
	timeout := lang.Duration(time.Second)
	if err := lang.UnpackArgs(name, args, kwargs, "host", &who, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostNet, name, who); err != nil {
		return nil, err
	}
	return netinfo.FindMTU(ctx, who, time.Duration(timeout))
}

func netMSS(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var address string
	timeout := lang.Duration(5 * time.Second)
	if err := lang.UnpackArgs(name, args, kwargs, "address", &address, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if !strings.Contains(address, ":") {
		return nil, fault.New(fault.Invalid, "%s: %q has no port", name, address).WithHint(`an address is "host:port"`)
	}
	if err := lang.Require(ctx, lang.HostNet, name, address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeout))
	defer cancel()
	return netinfo.ConnectMSS(ctx, address)
}
