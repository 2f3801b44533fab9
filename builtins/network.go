package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli/command/formatter"
	docker "github.com/docker/docker/api/types/network"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
)

// NetworkOptions are what a network is made by; ensure has the same.
type NetworkOptions struct {
	Network    string    `arg:"NETWORK"`
	AuxAddress KeyValues `flag:"aux-address" type:"map" def:"map[]" doc:"Auxiliary IPv4 or IPv6 addresses used by Network driver"`
	Driver     string    `flag:"driver,d" def:"bridge" doc:"Driver to manage the Network"`
	Gateway    []string  `flag:"gateway" type:"strings" doc:"IPv4 or IPv6 Gateway for the master subnet"`
	Internal   bool      `flag:"internal" doc:"Restrict external access to the network"`
	IPRange    []string  `flag:"ip-range" type:"strings" doc:"Allocate container ip from a sub-range"`
	IPAMDriver string    `flag:"ipam-driver" def:"default" doc:"IP Address Management Driver"`
	IPv4       bool      `flag:"ipv4" def:"true" doc:"Enable or disable IPv4 address assignment"`
	IPv6       bool      `flag:"ipv6" doc:"Enable or disable IPv6 address assignment"`
	Label      KeyValues `flag:"label" doc:"Set metadata on a network"`
	Opt        KeyValues `flag:"opt,o" type:"map" def:"map[]" doc:"Set driver specific options"`
	Subnet     []string  `flag:"subnet" type:"strings" doc:"Subnet in CIDR format that represents a network segment"`

	Attachable NotBuilt `flag:"attachable" type:"bool" doc:"Enable manual container attachment"`
	ConfigFrom NotBuilt `flag:"config-from" doc:"The network from which to copy the configuration"`
	ConfigOnly NotBuilt `flag:"config-only" type:"bool" doc:"Create a configuration only network"`
	Ingress    NotBuilt `flag:"ingress" type:"bool" doc:"Create swarm routing-mesh network"`
	IPAMOpt    NotBuilt `flag:"ipam-opt" type:"map" doc:"Set IPAM driver specific options (default map[])"`
	Scope      NotBuilt `flag:"scope" doc:"Control the network's scope"`
}

// spec is the request, held to the rules that need no engine, and to those of a sandbox.
func (o *NetworkOptions) spec(call *Call) (network.Spec, error) {
	spec := network.Spec{
		Name: o.Network, Driver: o.Driver, Internal: o.Internal, NoIPv4: !o.IPv4, IPv6: o.IPv6,
	}
	var err error
	if spec.Labels, err = labelMap(nil, o.Label); err != nil {
		return spec, wrong(err)
	}
	if spec.Options, err = keyValueMap("opt", o.Opt); err != nil {
		return spec, wrong(err)
	}
	aux, err := keyValueMap("aux-address", o.AuxAddress)
	if err != nil {
		return spec, wrong(err)
	}
	if o.IPAMDriver != network.DefaultIPAM && o.IPAMDriver != "host-local" {
		return spec, fault.New(fault.Invalid, "network create: --ipam-driver %s is not built yet", o.IPAMDriver).WithHint("leave it out: addresses are given by the plugin host-local")
	}
	spec.Subnets, err = network.Subnets(commas(o.Subnet), commas(o.IPRange), commas(o.Gateway), aux)
	if err != nil {
		return spec, err
	}
	if err := spec.Check(); err != nil {
		return spec, err
	}
	return spec, sandboxedNetwork(call, spec)
}

// commas splits what docker's flags of the type strings take several in.
func commas(words []string) []string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, strings.Split(w, ",")...)
		}
	}
	return out
}

type networkCreateParams struct{ NetworkOptions }

// CreateNetwork makes a network.
var CreateNetwork = Define(Verb{
	Paths:   []string{"network create"},
	Short:   "Create a network",
	Effect:  Writes,
	Example: `print(network.create("front", subnet = ["10.5.0.0/24"]).subnets[0].gateway)`,
}, func(call *Call, p *networkCreateParams) (network.Network, error) {
	spec, err := p.spec(call)
	if err != nil {
		return network.Network{}, err
	}
	return call.Networks.Create(call.Context, spec)
}, func(call *Call, _ *networkCreateParams, n network.Network) error {
	_, err := fmt.Fprintln(call.Stdout, n.ID)
	return err
})

type networksParams struct {
	Filter  Filters `flag:"filter,f" type:"filter" doc:"Provide filter values (e.g. \"driver=bridge\")"`
	Format  string  `flag:"format" script:"-" doc:"@list"`
	NoTrunc bool    `flag:"no-trunc" script:"-" doc:"Do not truncate the output"`
	Quiet   bool    `flag:"quiet,q" script:"-" doc:"Only display network IDs"`

	Driver   []string  `flag:"driver" only:"script" doc:"Those of one of these drivers"`
	Label    KeyValues `flag:"label" only:"script" doc:"Those that have all these labels"`
	Name     []string  `flag:"name" only:"script" doc:"Those whose name matches one of these regular expressions"`
	Custom   *bool     `flag:"custom" only:"script" doc:"True: those that somebody has made; False: bridge, host and none"`
	Dangling *bool     `flag:"dangling" only:"script" doc:"True: those that no container is on; False: the others"`
}

// Networks lists networks.
var Networks = Define(Verb{
	Paths:  []string{"network ls", "network list"},
	Script: []string{"networks"},
	Short:  "List networks",
	Effect: Reads,
	Example: `network.create("front")
print([n.name for n in networks(custom = True)])`,
}, func(call *Call, p *networksParams) ([]network.Network, error) {
	filters := slices.Clone([]string(p.Filter))
	for _, d := range p.Driver {
		filters = append(filters, "driver="+d)
	}
	for _, l := range p.Label {
		filters = append(filters, "label="+l)
	}
	for _, n := range p.Name {
		filters = append(filters, "name="+n)
	}
	if p.Custom != nil {
		filters = append(filters, "type="+map[bool]string{true: "custom", false: "builtin"}[*p.Custom])
	}
	if p.Dangling != nil {
		filters = append(filters, "dangling="+strconv.FormatBool(*p.Dangling))
	}
	return listNetworks(call, filters)
}, func(call *Call, p *networksParams, list []network.Network) error {
	slices.SortStableFunc(list, func(a, b network.Network) int { return natural(a.Name, b.Name) })
	format := p.Format
	if format == "" && !p.Quiet {
		format = configFormat("networksFormat")
	}
	f := formatter.Format(format)
	switch {
	case format == formatter.RawFormatKey && p.Quiet:
		f = "network_id: {{.ID}}"
	case format == formatter.RawFormatKey:
		f = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
	case p.Quiet && (format == "" || format == formatter.TableFormatKey):
		f = "{{.ID}}"
	case format == "" || format == formatter.TableFormatKey:
		f = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
	}
	out := make([]*networkRow, len(list))
	for i, n := range list {
		out[i] = &networkRow{n: n, trunc: !p.NoTrunc}
	}
	return rows(call.Stdout, f, "*network.networkContext", networkHeader, out)
})

// listNetworks keeps the networks for which all filters hold (moby, daemon/network/filter.go).
func listNetworks(call *Call, filters []string) ([]network.Network, error) {
	var tests tests[network.Network]
	for _, f := range filters {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "dangling":
			want, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid filter 'dangling=[%s]'", value)
			}
			used, err := usedNetworks(call)
			if err != nil {
				return nil, err
			}
			tests.any(name, func(n network.Network) bool { return (!n.Predefined() && !used[n.Name]) == want })
		case "driver":
			tests.any(name, func(n network.Network) bool { return n.Driver == value })
		case "id":
			tests.any(name, func(n network.Network) bool { return container.Matches(value, n.ID) })
		case "name":
			tests.any(name, func(n network.Network) bool { return container.Matches(value, n.Name) })
		case "label", "label!":
			tests.all(func(n network.Network) bool { return hasLabel(n.Labels, value) == (name == "label") })
		case "scope":
			tests.any(name, func(network.Network) bool { return value == localDriver })
		case "type":
			if value != "builtin" && value != "custom" {
				return nil, fault.New(fault.Invalid, "invalid filter: 'type'='%s'", value).WithHint("it is builtin or custom")
			}
			tests.any(name, func(n network.Network) bool { return n.Predefined() == (value == "builtin") })
		case "until":
			until, err := logTime(value, time.Now())
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid filter 'until=%s': %s", value, err)
			}
			tests.all(func(n network.Network) bool { return n.Created.Before(until) })
		default:
			return nil, noFilter(name, "dangling", "driver", "id", "label", "name", "scope", "type", "until")
		}
	}
	list, err := call.Networks.List(call.Context, network.ListOptions{})
	if err != nil {
		return nil, err
	}
	return tests.keep(list), nil
}

// usedNetworks are those that a container is on, or will be on when it is started:
// without it, it could not be.
func usedNetworks(call *Call) (map[string]bool, error) {
	all, err := call.Containers.List(call.Context, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, c := range all {
		for _, ep := range c.Networks {
			used[ep.Network] = true
		}
	}
	return used, nil
}

// networkRow is a network as docker's templates see it.
type networkRow struct {
	formatter.HeaderContext
	n     network.Network
	trunc bool
}

var networkHeader = &formatter.HeaderContext{Header: formatter.SubHeaderContext{
	"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}}

// MarshalJSON gives docker's columns.
func (r *networkRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(r) }

// ID is cut to 12 digits unless --no-trunc.
func (r *networkRow) ID() string {
	if r.trunc {
		return container.ShortID(r.n.ID)
	}
	return r.n.ID
}

// Name of the network.
func (r *networkRow) Name() string { return r.n.Name }

// Driver is bridge, macvlan, ipvlan, host or null.
func (r *networkRow) Driver() string { return r.n.Driver }

// Scope is local.
func (r *networkRow) Scope() string { return localDriver }

// IPv4 tells whether containers get such an address.
func (r *networkRow) IPv4() string { return strconv.FormatBool(r.n.IPv4()) }

// IPv6 tells whether containers get such an address.
func (r *networkRow) IPv6() string { return strconv.FormatBool(r.n.IPv6()) }

// Internal tells that there is no way out.
func (r *networkRow) Internal() string { return strconv.FormatBool(r.n.Internal) }

// Labels are k=v, sorted.
func (r *networkRow) Labels() string { return labelText(r.n.Labels) }

// Label gives one of them.
func (r *networkRow) Label(name string) string { return r.n.Labels[name] }

// CreatedAt is the absolute time.
func (r *networkRow) CreatedAt() string { return r.n.Created.String() }

type networkInspectParams struct {
	Networks []NetworkRef `arg:"NETWORK [NETWORK...]"`
	Format   string       `flag:"format,f" script:"-" doc:"@inspect"`
	Mode     string       `flag:"mode" def:"dockercompat" doc:"Inspect mode, \"dockercompat\" for docker's output, \"native\" for the engine's own records"`
	// Verbose adds what a swarm knows of its services. A network that is in none, as all
	// are here, has nothing to add, in docker too.
	Verbose bool `flag:"verbose,v" script:"-" doc:"Verbose output for diagnostics"`
}

// InspectNetwork shows all that is known of networks.
var InspectNetwork = Define(Verb{
	Paths:   []string{"network inspect"},
	Short:   "Display detailed information on one or more networks",
	Effect:  Reads,
	Example: `print(network.inspect("bridge")[0]["Driver"])`,
}, func(call *Call, p *networkInspectParams) ([]Inspected, error) {
	return inspectAll(call, p.Format, p.Mode, p.Networks, func(ctx context.Context, ref string) (Inspected, error) {
		return inspectNetwork(ctx, call, ref, p.Mode == "native")
	})
}, func(call *Call, p *networkInspectParams, list []Inspected) error {
	return showInspected(call, p.Format, list)
})

func inspectNetwork(ctx context.Context, call *Call, ref string, native bool) (Inspected, error) {
	n, err := call.Networks.Get(ctx, ref)
	if err != nil {
		return Inspected{}, err
	}
	if native {
		return nativeNetwork(n)
	}
	out := docker.Inspect{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: localDriver, Driver: n.Driver, EnableIPv4: n.IPv4(), EnableIPv6: n.IPv6(), Internal: n.Internal,
		IPAM: docker.IPAM{Driver: n.IPAM, Options: map[string]string{}, Config: []docker.IPAMConfig{}}, Containers: map[string]docker.EndpointResource{},
		Options: orEmptyMap(n.Options), Labels: orEmptyMap(n.Labels),
	}
	for _, s := range n.Subnets {
		c := docker.IPAMConfig{Subnet: s.Subnet.String()}
		if s.Gateway.IsValid() {
			c.Gateway = s.Gateway.String()
		}
		if s.Range.IsValid() {
			c.IPRange = s.Range.String()
		}
		for name, a := range s.Aux {
			if c.AuxAddress == nil {
				c.AuxAddress = map[string]string{}
			}
			c.AuxAddress[name] = a.String()
		}
		out.IPAM.Config = append(out.IPAM.Config, c)
	}
	for _, m := range n.Containers {
		ep := m.Endpoint
		out.Containers[m.ID] = docker.EndpointResource{Name: m.Name, MacAddress: ep.MAC, IPv4Address: withPrefix(ep.IP, ep.PrefixLen), IPv6Address: withPrefix(ep.IP6, ep.PrefixLen6)}
	}
	return newInspected(out)
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func withPrefix(ip string, bits int) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	return netip.PrefixFrom(a, bits).String()
}

// nativeNetwork is nerdctl's: the conflist with where it is.
func nativeNetwork(n network.Network) (Inspected, error) {
	out := struct {
		CNI           json.RawMessage   `json:"CNI"`
		NerdctlID     string            `json:"NerdctlID"`
		NerdctlLabels map[string]string `json:"NerdctlLabels"`
		File          string            `json:"File"`
	}{json.RawMessage("{}"), n.ID, orEmptyMap(n.Labels), n.File}
	if n.File == "" {
		return newInspected(out)
	}
	f, err := os.Open(n.File)
	if err != nil {
		return Inspected{}, fault.Wrap(err, "read network", n.Name)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil || !json.Valid(data) {
		return Inspected{}, fault.New(fault.Invalid, "read network %q: %s is no JSON", n.Name, n.File)
	}
	out.CNI = data
	return newInspected(out)
}

type networkRmParams struct {
	Networks []NetworkRef `arg:"NETWORK [NETWORK...]"`
	Force    bool         `flag:"force,f" doc:"Do not error if the network does not exist"`
}

// RemoveNetwork deletes networks.
var RemoveNetwork = Define(Verb{
	Paths:  []string{"network rm", "network remove"},
	Short:  "Remove one or more networks",
	Effect: Destroys,

	BareUsage: true,
	Example: `network.create("front")
network("front").rm()`,
}, func(call *Call, p *networkRmParams) ([]string, error) {
	names, err := each(call.Context, p.Networks, func(ctx context.Context, ref NetworkRef) (string, error) {
		err := call.Networks.Remove(ctx, string(ref))
		if p.Force && fault.Is(err, fault.NotFound) {
			return "", nil
		}
		return string(ref), err
	})
	return slices.DeleteFunc(names, func(n string) bool { return n == "" }), err
}, showLines[networkRmParams])

type networkPruneParams struct {
	Filter Filters `flag:"filter" type:"filter" doc:"Provide filter values (e.g. \"until=<timestamp>\")"`
	Force  bool    `flag:"force,f" script:"-" doc:"Do not prompt for confirmation"`
}

// PruneNetworks deletes the networks that no container is on.
var PruneNetworks = Define(Verb{
	Paths:   []string{"network prune"},
	Short:   "Remove all unused networks",
	Effect:  Destroys,
	Example: `print(network.prune().deleted)`,
}, func(call *Call, p *networkPruneParams) (Pruned, error) {
	var out Pruned
	p.Filter = pruneFilters(p.Filter)
	for _, f := range p.Filter {
		switch name, _, _ := strings.Cut(f, "="); name {
		case "label", "label!", "until":
		default:
			return out, noFilter(name, "label", "label!", "until")
		}
	}
	if !p.Force {
		ok, err := confirm(call, "This will remove all custom networks not used by at least one container.")
		if err != nil || !ok {
			out.asked = true
			return out, err
		}
	}
	list, err := listNetworks(call, append(slices.Clone([]string(p.Filter)), "dangling=true"))
	if err != nil {
		return out, err
	}
	for _, n := range list {
		if n.Foreign || n.File != "" && call.Settings != nil && filepath.Base(filepath.Dir(n.File)) != call.Settings.Namespace {
			continue // another tool's, or one that other namespaces have, too
		}
		err := call.Networks.Remove(call.Context, n.Name)
		switch {
		case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict): // somebody was faster, or is on it by now
			continue
		case err != nil:
			return out, err
		}
		out.Deleted = append(out.Deleted, n.Name)
	}
	return out, nil
}, func(call *Call, _ *networkPruneParams, out Pruned) error {
	_, err := fmt.Fprint(call.Stdout, out.list("Networks"))
	return err
})
