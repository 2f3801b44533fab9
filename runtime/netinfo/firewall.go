package netinfo

import (
	"context"
	"encoding/json"
	"strings"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// Firewall is a summary of what filters packets that are forwarded, as those of
// containers are.
type Firewall struct {
	// Iptables is how iptables keeps its rules: nf_tables or legacy; "" without
	// iptables.
	Iptables string
	Nft      bool // the program nft is there
	// Firewalld and UFW tell whether these look after the rules now.
	Firewalld bool
	UFW       bool
	// Forward and Forward6 are what becomes of a packet no rule of iptables speaks
	// about: ACCEPT or DROP; "" when it cannot be told.
	Forward  string
	Forward6 string
	// Chains are all of nftables that packets come through, those of iptables-nft too.
	Chains []Chain
	// Forwarding is the kernel's switch for IPv4.
	Forwarding bool
	// Problems are what could not be asked, and why.
	Problems []string
}

// Chain is a chain of nftables that packets come through.
type Chain struct {
	Family string // ip, ip6, inet, bridge, …
	Table  string
	Name   string
	Type   string // filter, nat, route
	Hook   string // forward, input, …
	Policy string // accept or drop
}

// GetFirewall runs iptables and nft with run, nil is [host.Run]. Both need root: what
// they refuse to tell is a problem in the result, not an error.
func GetFirewall(ctx context.Context, run func(context.Context, host.Command) (host.Output, error)) (Firewall, error) {
	if run == nil {
		run = host.Run
	}
	var f Firewall
	ask := func(argv ...string) (string, bool) {
		out, err := run(ctx, host.Command{Argv: argv})
		switch {
		case fault.Is(err, fault.NotFound):
			return "", false
		case err != nil:
			f.Problems = append(f.Problems, err.Error())
		case out.Code != 0:
			line, _, _ := strings.Cut(strings.TrimSpace(out.Stderr), "\n")
			f.Problems = append(f.Problems, strings.Join(argv, " ")+": "+line)
		default:
			return out.Stdout, true
		}
		return "", true
	}
	if text, ok := ask("iptables", "-V"); ok {
		f.Iptables = "legacy"
		if strings.Contains(text, "nf_tables") {
			f.Iptables = "nf_tables"
		}
		rules, _ := ask("iptables", "-w", "5", "-S", "FORWARD")
		f.Forward = policy(rules)
		if rules, ok := ask("ip6tables", "-w", "5", "-S", "FORWARD"); ok {
			f.Forward6 = policy(rules)
		}
	}
	text, ok := ask("nft", "-j", "list", "chains")
	f.Nft = ok
	chains, err := parseChains(text)
	if err != nil {
		f.Problems = append(f.Problems, err.Error())
	}
	f.Chains = chains
	f.Firewalld, _ = host.Exists("/run/firewalld")
	conf, _ := host.Read("/etc/ufw/ufw.conf", 1<<20)
	f.UFW = strings.Contains("\n"+conf, "\nENABLED=yes")
	forward, _ := host.Tree("/").Sysctl("net.ipv4.ip_forward")
	f.Forwarding = forward == "1"
	return f, ctx.Err()
}

// policy reads "-P FORWARD DROP".
func policy(rules string) string {
	for l := range strings.Lines(rules) {
		if p, ok := strings.CutPrefix(l, "-P FORWARD "); ok {
			p, _, _ = strings.Cut(strings.TrimSpace(p), " ")
			return p
		}
	}
	return ""
}

// parseChains reads what nft -j list chains prints, and takes those with a hook.
func parseChains(text string) ([]Chain, error) {
	if text == "" {
		return nil, nil
	}
	var all struct {
		Nftables []struct {
			Chain *struct {
				Family, Table, Name, Type, Hook, Policy string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fault.New(fault.Internal, "nft printed what is no JSON: %s", err)
	}
	var out []Chain
	for _, n := range all.Nftables {
		if c := n.Chain; c != nil && c.Hook != "" {
			out = append(out, Chain(*c))
		}
	}
	return out, nil
}
