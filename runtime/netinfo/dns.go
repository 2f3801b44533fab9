package netinfo

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// Resolvers is what programs of the host ask names of.
type Resolvers struct {
	// Path is the file that /etc/resolv.conf leads to.
	Path        string
	Nameservers []string
	Search      []string
	Options     []string
	// Stub is set when the server is systemd-resolved on the loopback. Upstream are the
	// servers behind it, which do not say what resolved asks whom: Links do.
	Stub     bool
	Upstream []string
	Links    []LinkDNS
}

// LinkDNS is what systemd-resolved asks over one interface.
type LinkDNS struct {
	Interface   string // "" is for all
	Nameservers []string
	// Domains that names are searched in; one with ~ in front is only routed there, and
	// ~. takes all names.
	Domains []string
}

// GetResolvers reads them below root, and asks resolvectl of resolved's links when the
// stub is in use.
func GetResolvers(ctx context.Context, root string) (Resolvers, error) {
	path := filepath.Join(root, "etc/resolv.conf")
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return Resolvers{}, fault.New(fault.NotFound, "there is no %s, or it leads nowhere", path).WithHint("names cannot be resolved before something writes it")
	}
	if err != nil {
		return Resolvers{}, fault.Wrap(err, "read", path)
	}
	text, err := host.Read(real, 1<<20)
	if err != nil {
		return Resolvers{}, err
	}
	r := Resolvers{Path: real}
	r.Nameservers, r.Search, r.Options = parseResolv(text)
	for _, s := range r.Nameservers {
		r.Stub = r.Stub || s == "127.0.0.53" || s == "127.0.0.54"
	}
	if !r.Stub {
		return r, nil
	}
	if text, err := host.Read(filepath.Join(root, "run/systemd/resolve/resolv.conf"), 1<<20); err == nil {
		r.Upstream, _, _ = parseResolv(text)
	}
	asking, cancel := context.WithTimeout(ctx, 3*time.Second) // a resolved that does not start takes 25
	defer cancel()
	servers, err := host.Run(asking, host.Command{Argv: []string{"resolvectl", "dns"}})
	if err != nil || servers.Code != 0 {
		return r, ctx.Err() // it is a convenience that not every machine has
	}
	domains, err := host.Run(asking, host.Command{Argv: []string{"resolvectl", "domain"}})
	if err == nil && domains.Code == 0 {
		r.Links = parseResolvectl(servers.Stdout, domains.Stdout)
	}
	return r, ctx.Err()
}

// parseResolv reads resolv.conf(5): the last search or domain counts.
func parseResolv(text string) (servers, search, options []string) {
	s := bufio.NewScanner(strings.NewReader(text))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			servers = append(servers, f[1])
		case "search", "domain":
			search = f[1:]
		case "options":
			options = append(options, f[1:]...)
		}
	}
	return servers, search, options
}

// parseResolvectl reads lines as "Link 3 (tun0): 10.8.0.1", and "Global: …".
func parseResolvectl(servers, domains string) []LinkDNS {
	var out []LinkDNS
	at := func(name string) *LinkDNS {
		for i := range out {
			if out[i].Interface == name {
				return &out[i]
			}
		}
		out = append(out, LinkDNS{Interface: name})
		return &out[len(out)-1]
	}
	for n, text := range []string{servers, domains} {
		last := ""
		for l := range strings.Lines(text) {
			l = strings.TrimRight(l, "\n")
			who, what, ok := strings.Cut(l, ":")
			switch {
			case ok && who == "Global":
				last = ""
			case ok && strings.HasPrefix(who, "Link ") && strings.HasSuffix(who, ")"):
				_, name, _ := strings.Cut(who, "(")
				last = strings.TrimSuffix(name, ")")
			default:
				what = l // a long list goes on
			}
			words := strings.Fields(what)
			if len(words) == 0 {
				continue
			}
			link := at(last)
			if n == 0 {
				link.Nameservers = append(link.Nameservers, words...)
			} else {
				link.Domains = append(link.Domains, words...)
			}
		}
	}
	return out
}

// Answer is what was learned of a name.
type Answer struct {
	Name string
	Type string
	// Server that answered; "" when it was the system's resolver, hosts file included.
	Server string
	// Code is NOERROR, NXDOMAIN, SERVFAIL, REFUSED, …
	Code    string
	Records []Record
	// Addresses are those of the A and AAAA records.
	Addresses []string
	Took      time.Duration
}

// Record is one that a server gave.
type Record struct {
	Name  string
	Type  string
	TTL   int
	Value string // as in a zone file
}

// Lookup asks for a name. Without a server A and AAAA are looked up as programs do it,
// with the hosts file and the search domains; any other type asks the first server of
// resolv.conf that answers. That there is no such name is an answer; that nobody answers is
// a timeout or unavailable.
func Lookup(ctx context.Context, name, typ, server string) (Answer, error) {
	typ = strings.ToUpper(typ)
	code, ok := dns.StringToType[typ]
	if _, valid := dns.IsDomainName(name); !ok || !valid || name == "" || code == dns.TypeAXFR || code == dns.TypeIXFR {
		if !ok || code == dns.TypeAXFR || code == dns.TypeIXFR {
			return Answer{}, fault.New(fault.Invalid, "type %q is no type of record", typ).WithHint("A, AAAA, CNAME, MX, NS, PTR, SOA, SRV and TXT are some")
		}
		return Answer{}, fault.New(fault.Invalid, "%q is no name", name)
	}
	start := time.Now()
	if a, err := netip.ParseAddr(name); err == nil && code == dns.TypePTR {
		name, _ = dns.ReverseAddr(a.Unmap().String())
	}
	if server == "" && (code == dns.TypeA || code == dns.TypeAAAA) {
		return system(ctx, name, typ, start)
	}
	servers := []string{server}
	if server == "" {
		r, err := GetResolvers(ctx, "/")
		if err != nil {
			return Answer{}, err
		}
		if servers = r.Nameservers; len(servers) == 0 {
			servers = []string{"127.0.0.1"} // resolv.conf(5)
		}
	}
	var first error
	for _, s := range servers {
		a, err := ask(ctx, name, code, s)
		if err == nil {
			a.Type, a.Took = typ, time.Since(start)
			return a, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return Answer{}, first
}

func system(ctx context.Context, name, typ string, start time.Time) (Answer, error) {
	network := "ip4"
	if typ == "AAAA" {
		network = "ip6"
	}
	out := Answer{Name: name, Type: typ, Code: "NOERROR"}
	list, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		// The library does not tell NXDOMAIN from a name without such records.
		out.Code = "NXDOMAIN"
	case err != nil:
		return Answer{}, unanswered(ctx, err, name, "")
	}
	for _, a := range list {
		text := a.Unmap().String()
		out.Addresses = append(out.Addresses, text)
		out.Records = append(out.Records, Record{Name: name, Type: typ, Value: text})
	}
	out.Took = time.Since(start)
	return out, nil
}

func unanswered(ctx context.Context, err error, name, server string) error {
	e := &fault.Error{Kind: fault.Unavailable, Op: "look up", Subject: name, Message: err.Error()}
	if server != "" {
		e.Message = "no answer from " + server + ": " + err.Error()
	}
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = fault.Cancelled
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = fault.Timeout
		e.Hint = "net.resolvers() tells who is asked, net.route_to(address) by which way"
	}
	return e
}

// ask sends one question over UDP, and again over TCP when the answer was cut.
func ask(ctx context.Context, name string, typ uint16, server string) (Answer, error) {
	address := server
	if _, _, err := net.SplitHostPort(server); err != nil {
		address = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(1232, false) // fits every path
	var reply *dns.Msg
	var err error
	for n, network := range []string{"udp", "udp", "tcp"} {
		// A lost packet is not worth the whole time.
		c := dns.Client{Net: network, Timeout: 2 * time.Second}
		if deadline, ok := ctx.Deadline(); ok {
			c.Timeout = min(max(time.Until(deadline)/2, 50*time.Millisecond), 10*time.Second)
		}
		reply, _, err = c.ExchangeContext(ctx, m, address)
		if err == nil && !reply.Truncated || ctx.Err() != nil {
			break
		}
		if err != nil && n == 1 {
			break
		}
	}
	if err != nil {
		return Answer{}, unanswered(ctx, err, name, address)
	}
	out := Answer{Name: name, Server: address, Code: dns.RcodeToString[reply.Rcode]}
	for _, rr := range reply.Answer {
		h := rr.Header()
		value := strings.TrimPrefix(rr.String(), h.String())
		out.Records = append(out.Records, Record{Name: h.Name, Type: dns.TypeToString[h.Rrtype], TTL: int(h.Ttl), Value: value})
		if h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA {
			out.Addresses = append(out.Addresses, value)
		}
	}
	return out, nil
}
