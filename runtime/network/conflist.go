package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/vishvananda/netlink"

	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// DefaultName is the network of a container that names none.
const DefaultName = "bridge"

// conflist is a file that holds a network, as nsh and nerdctl write it (CNI
// specification, section 1; the keys that begin with nerdctl are nerdctl's).
type conflist struct {
	CNIVersion string            `json:"cniVersion"`
	Name       string            `json:"name"`
	ID         string            `json:"nerdctlID,omitempty"`
	Labels     map[string]string `json:"nerdctlLabels,omitempty"`
	Plugins    []plugin          `json:"plugins"`
}

// plugin is the part of all plugins' configurations that nsh writes, and reads.
type plugin struct {
	Type          string          `json:"type"`
	Bridge        string          `json:"bridge,omitempty"`
	Master        string          `json:"master,omitempty"`
	Mode          string          `json:"mode,omitempty"`
	MTU           int             `json:"mtu,omitempty"`
	IsGateway     bool            `json:"isGateway,omitempty"`
	IsDefault     bool            `json:"isDefaultGateway,omitempty"`
	IPMasq        bool            `json:"ipMasq,omitempty"`
	IPMasqBackend string          `json:"ipMasqBackend,omitempty"`
	HairpinMode   bool            `json:"hairpinMode,omitempty"`
	IPAM          *ipam           `json:"ipam,omitempty"`
	Capabilities  map[string]bool `json:"capabilities,omitempty"`
	Backend       string          `json:"backend,omitempty"`
	IngressPolicy string          `json:"ingressPolicy,omitempty"`
}

type ipam struct {
	Type    string      `json:"type"`
	Subnet  string      `json:"subnet,omitempty"` // the old form of one range
	Gateway string      `json:"gateway,omitempty"`
	Ranges  [][]pool    `json:"ranges,omitempty"`
	Routes  []ipamRoute `json:"routes,omitempty"`
	DataDir string      `json:"dataDir,omitempty"`
}

type ipamRoute struct {
	Dst string `json:"dst"`
}

// pool is a range of the plugin host-local. A subnet is several of them where addresses
// in its middle are kept.
type pool struct {
	Subnet     string `json:"subnet"`
	RangeStart string `json:"rangeStart,omitempty"`
	RangeEnd   string `json:"rangeEnd,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
	IPRange    string `json:"ipRange,omitempty"` // nerdctl's note of what was asked for
}

const (
	// labelAux is where nerdctl notes the addresses that are kept.
	labelAux = "nerdctl/network-aux-addresses"
	// LabelDefault is on the default network.
	LabelDefault = "nerdctl/default-network"
)

// maxFile bounds a conflist that is read.
const maxFile = 1 << 20

// file is a conflist on the disk.
type file struct {
	path string
	conf conflist
}

// readFile gives a conflist. A file that holds none, or is gone, is told by ok.
func readFile(path string) (_ file, ok bool) {
	f := file{path: path}
	r, err := os.Open(path)
	if err != nil {
		return f, false
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil || len(data) > maxFile {
		return f, false
	}
	// One value of another type, in somebody else's file, is no reason to give its
	// subnet to others.
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(data, &f.conf); err != nil && !errors.As(err, &mistyped) {
		return f, false
	}
	name := f.conf.Name
	return f, name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") && len(f.conf.Plugins) > 0
}

func (c *CNI) path(namespace, name string) string {
	return filepath.Join(c.Conf, namespace, "nerdctl-"+name+".conflist")
}

// dirs are where the networks of a namespace are: its own, then those that all share.
func (c *CNI) dirs(namespace string) []string {
	return []string{filepath.Join(c.Conf, namespace), c.Conf}
}

func glob(dir string) []string {
	files, _ := libcni.ConfFiles(dir, []string{".conflist"})
	return files
}

// files are the networks of a namespace. Of one name the namespace's own is taken.
func (c *CNI) files(namespace string) []file {
	var out []file
	seen := map[string]bool{}
	for _, dir := range c.dirs(namespace) {
		for _, path := range glob(dir) {
			if f, ok := readFile(path); ok && !seen[f.conf.Name] {
				seen[f.conf.Name] = true
				out = append(out, f)
			}
		}
	}
	return out
}

// all are the networks of all namespaces: bridges and subnets are the host's.
func (c *CNI) all() []file {
	var out []file
	dirs := []string{c.Conf}
	entries, _ := os.ReadDir(c.Conf)
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(c.Conf, e.Name()))
		}
	}
	for _, dir := range dirs {
		for _, path := range glob(dir) {
			if f, ok := readFile(path); ok {
				out = append(out, f)
			}
		}
	}
	return out
}

// find gives the file of a network by its name.
func (c *CNI) find(namespace, name string) (path string, ok bool) {
	for _, dir := range c.dirs(namespace) {
		// nerdctl's name for the file is tried first: one read instead of all.
		paths := glob(dir)
		if name != "" && validName(name) {
			paths = append([]string{filepath.Join(dir, "nerdctl-"+name+".conflist")}, paths...)
		}
		for _, path := range paths {
			if f, ok := readFile(path); ok && f.conf.Name == name {
				return path, true
			}
		}
	}
	return "", false
}

// list gives a network to libcni. The default one is made when it is not there.
func (c *CNI) list(ctx context.Context, namespace, name string) (*libcni.NetworkConfigList, error) {
	path, ok := c.find(namespace, name)
	if !ok {
		if name != DefaultName {
			return nil, NotFound(name)
		}
		var err error
		if path, err = c.makeDefault(ctx); err != nil {
			return nil, err
		}
	}
	l, err := libcni.ConfListFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound(name)
	}
	return l, fault.Wrap(err, "read network", path)
}

// locked runs fn while nobody else makes or removes a network. It is nerdctl's lock.
func (c *CNI) locked(ctx context.Context, fn func() error) error {
	if err := os.MkdirAll(c.Conf, 0o755); err != nil {
		return fault.Wrap(err, "make directory", c.Conf)
	}
	f, err := lock.File(ctx, filepath.Join(c.Conf, ".cni-concurrency.lock"), true)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn()
}

// makeDefault writes the default network as nerdctl does, unless it is there.
func (c *CNI) makeDefault(ctx context.Context) (path string, err error) {
	err = c.locked(ctx, func() error {
		path, err = c.writeDefault()
		return err
	})
	return path, err
}

// writeDefault is called with the lock held.
func (c *CNI) writeDefault() (string, error) {
	path := c.path("", DefaultName)
	if _, ok := readFile(path); ok {
		return path, nil
	}
	var sub Subnet
	if c.BridgeIP != "" {
		p, err := netip.ParsePrefix(c.BridgeIP)
		if err != nil {
			return "", fault.New(fault.Invalid, "--bridge-ip %q: %s", c.BridgeIP, err).WithHint("it is an address with a prefix length, such as 10.4.0.1/24")
		}
		sub = Subnet{Subnet: p.Masked(), Gateway: p.Addr()}
	} else {
		p, err := c.freeSubnet()
		if err != nil {
			return "", err
		}
		sub.Subnet = p
	}
	spec := Spec{Name: DefaultName, Driver: "bridge", Subnets: []Subnet{sub}, Labels: map[string]string{LabelDefault: "true"}}
	return path, c.write(path, c.conflist(spec, options{}, defaultBridge))
}

// defaultBridge is the default network's interface.
const defaultBridge = "nerdctl0"

// conflist gives the file of a network; the subnets are complete, iface is the bridge.
func (c *CNI) conflist(spec Spec, o options, iface string) conflist {
	out := conflist{CNIVersion: "1.0.0", Name: spec.Name, ID: ID(spec.Name), Labels: maps.Clone(spec.Labels)}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	first := plugin{Type: spec.Driver, MTU: o.mtu, IPAM: &ipam{Type: "host-local"}}
	if c.Leases != defaultLeases {
		first.IPAM.DataDir = c.Leases
	}
	aux := map[string]string{}
	for _, s := range spec.Subnets {
		if !s.Gateway.IsValid() && !spec.Internal {
			s.Gateway = s.Subnet.Addr().Next()
		}
		var set []pool
		for _, in := range s.Pools() {
			p := pool{Subnet: s.Subnet.String()}
			if s.Range.IsValid() || len(s.Aux) > 0 {
				p.RangeStart, p.RangeEnd = in[0].String(), in[1].String()
			}
			if s.Gateway.IsValid() {
				p.Gateway = s.Gateway.String()
			}
			if s.Range.IsValid() {
				p.IPRange = s.Range.String()
			}
			set = append(set, p)
		}
		first.IPAM.Ranges = append(first.IPAM.Ranges, set)
		for name, a := range s.Aux {
			aux[name] = a.String()
		}
		if !spec.Internal {
			dst := "0.0.0.0/0"
			if !s.Subnet.Addr().Is4() {
				dst = "::/0"
			}
			first.IPAM.Routes = append(first.IPAM.Routes, ipamRoute{dst})
		}
	}
	if len(aux) > 0 {
		text, _ := json.Marshal(aux) // strings always can
		out.Labels[labelAux] = string(text)
	}
	if spec.Driver != "bridge" {
		first.Master, first.Mode = o.parent, o.mode
		out.Plugins = []plugin{first, {Type: "tuning"}}
		return out
	}
	first.Bridge, first.HairpinMode = iface, true
	first.IsGateway, first.IPMasq = !spec.Internal, !spec.Internal && !o.noMasq
	portmap := plugin{Type: "portmap", Capabilities: map[string]bool{"portMappings": true}}
	if hasNFT() {
		// One nft transaction instead of a dozen runs of iptables.
		if first.IPMasq {
			first.IPMasqBackend = "nftables"
		}
		portmap.Backend = "nftables"
	}
	firewall := plugin{Type: "firewall", IngressPolicy: "same-bridge"}
	if o.isolated {
		firewall.IngressPolicy = "isolated"
	}
	out.Plugins = append(out.Plugins, first)
	if !spec.Internal {
		out.Plugins = append(out.Plugins, portmap)
	}
	out.Plugins = append(out.Plugins, firewall, plugin{Type: "tuning"})
	return out
}

// write makes the file at once. One that is there is a conflict. It is called with the
// lock held.
func (c *CNI) write(path string, conf conflist) error {
	data, err := json.MarshalIndent(conf, "", "  ")
	if err != nil {
		return err
	}
	if len(data) >= maxFile {
		return fault.New(fault.Invalid, "network %s has %d bytes of labels, addresses and options, which is more than %d", conf.Name, len(data), maxFile)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Wrap(err, "make directory", dir)
	}
	// Whoever holds the lock is alone here: what is half written is of one that was killed.
	halves, _ := filepath.Glob(filepath.Join(dir, ".nerdctl-*.half"))
	for _, h := range halves {
		_ = os.Remove(h)
	}
	f, err := os.CreateTemp(dir, ".nerdctl-*.half")
	if err != nil {
		return fault.Wrap(err, "write network", path)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		// link(2), unlike rename, does not replace the file of somebody who does not lock.
		err = os.Link(f.Name(), path)
	}
	return fault.Wrap(err, "write network", path)
}

// network is the value of a file.
func (f file) network() Network {
	n := Network{
		ID: f.conf.ID, Name: f.conf.Name, File: f.path, Foreign: f.conf.ID == "", IPAM: DefaultIPAM,
		Labels: map[string]string{}, Options: map[string]string{},
	}
	if len(n.ID) != 64 || strings.Trim(n.ID, "0123456789abcdef") != "" {
		n.ID = ID(n.Name) // whatever is there, IDs can be relied on
	}
	if st, err := os.Stat(f.path); err == nil {
		n.Created = st.ModTime()
	}
	aux := map[string]string{}
	for k, v := range f.conf.Labels {
		if k == labelAux {
			_ = json.Unmarshal([]byte(v), &aux)
			continue
		}
		n.Labels[k] = v
	}
	first := f.conf.Plugins[0]
	n.Driver, n.Interface = first.Type, first.Bridge
	o := options{mtu: first.MTU, mode: first.Mode}
	switch n.Driver {
	case "bridge":
		n.Internal = !first.IsGateway && !first.IsDefault
		o.noMasq = !n.Internal && !first.IPMasq
		if first.Bridge != defaultBridge && first.Bridge != chosenBridge(ID(n.Name)) && first.Bridge != chosenBridge(ID(filepath.Base(filepath.Dir(f.path))+"/"+n.Name)) {
			o.bridge = first.Bridge
		}
		for _, p := range f.conf.Plugins {
			o.isolated = o.isolated || p.IngressPolicy == "isolated"
		}
	case "macvlan", "ipvlan":
		n.Interface, o.parent = first.Master, first.Master
		n.Internal = first.IPAM != nil && len(first.IPAM.Ranges) > 0 && len(first.IPAM.Routes) == 0
	}
	if !n.Foreign {
		n.Options = o.values(n.Driver)
	}
	if first.IPAM == nil {
		return n
	}
	if first.IPAM.Type != "host-local" {
		n.IPAM = first.IPAM.Type
	}
	n.Subnets = first.IPAM.subnets(n.Internal)
	for name, text := range aux {
		a, err := netip.ParseAddr(text)
		for i, s := range n.Subnets {
			if err == nil && s.Subnet.Contains(a) {
				if s.Aux == nil {
					n.Subnets[i].Aux = map[string]netip.Addr{}
				}
				n.Subnets[i].Aux[name] = a
			}
		}
	}
	return n
}

func (i *ipam) subnets(internal bool) []Subnet {
	var out []Subnet
	sets := i.Ranges
	if i.Subnet != "" {
		sets = append([][]pool{{{Subnet: i.Subnet, Gateway: i.Gateway}}}, sets...)
	}
	for _, set := range sets {
		for _, p := range set {
			prefix, err := netip.ParsePrefix(p.Subnet)
			if err != nil || slices.ContainsFunc(out, func(s Subnet) bool { return s.Subnet == prefix.Masked() }) {
				continue
			}
			s := Subnet{Subnet: prefix.Masked()}
			s.Gateway, _ = netip.ParseAddr(p.Gateway)
			if !s.Gateway.IsValid() && !internal {
				s.Gateway = s.Subnet.Addr().Next() // the plugin's rule
			}
			if r, err := netip.ParsePrefix(p.IPRange); err == nil {
				s.Range = r.Masked()
			}
			out = append(out, s)
		}
	}
	return out
}

// freeSubnet is the first 10.4.N.0/24 that no network of any namespace has, and that no
// address and no route of any table of the host overlaps. A VPN's routes count: nerdctl
// looks at interfaces only, and shadows them.
func (c *CNI) freeSubnet() (netip.Prefix, error) {
	used, err := c.usedSubnets()
	if err != nil {
		return netip.Prefix{}, err
	}
	for n := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 4, byte(n), 0}), 24)
		if !slices.ContainsFunc(used, p.Overlaps) {
			return p, nil
		}
	}
	return netip.Prefix{}, fault.New(fault.Conflict, "no free subnet: every 10.4.N.0/24 overlaps a network, an address or a route of this host").
		WithHint("choose one with --subnet, for the default network with --bridge-ip, or bridge_ip in nerdctl.toml")
}

// dump asks again when the list changed while the kernel told it (netlink(7),
// NLM_F_DUMP_INTR), as it does where containers come and go. What is told after many
// times is better than nothing.
func dump[T any](list func() ([]T, error)) (out []T, err error) {
	for range 20 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, nil
}

func (c *CNI) usedSubnets() ([]netip.Prefix, error) {
	var out []netip.Prefix
	add := func(n *net.IPNet) {
		if n == nil {
			return
		}
		a, ok := netip.AddrFromSlice(n.IP)
		if ones, _ := n.Mask.Size(); ok && ones > 0 {
			out = append(out, netip.PrefixFrom(a.Unmap(), ones).Masked())
		}
	}
	// The bridge that an earlier default network has left is ours to take over.
	own := -1
	if l, err := netlink.LinkByName(defaultBridge); err == nil {
		own = l.Attrs().Index
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fault.Wrap(err, "list the addresses of", "the host")
	}
	for _, a := range addrs {
		if a.LinkIndex != own {
			add(a.IPNet)
		}
	}
	routes, err := dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 0}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fault.Wrap(err, "list the routes of", "the host")
	}
	for _, r := range routes {
		if r.LinkIndex != own {
			add(r.Dst)
		}
	}
	for _, f := range c.all() {
		for _, s := range f.network().Subnets {
			out = append(out, s.Subnet)
		}
	}
	return out, nil
}

// bridgeName is nerdctl's, from the ID, unless that one is somebody else's: two
// namespaces may each have a network of the name. It is called with the lock held.
func (c *CNI) bridgeName(namespace, name string) (string, error) {
	taken := map[string]string{}
	for _, f := range c.all() {
		taken[f.conf.Plugins[0].Bridge] = f.path
	}
	var why []string
	for _, id := range []string{ID(name), ID(namespace + "/" + name)} {
		br := chosenBridge(id)
		if path := taken[br]; path != "" {
			why = append(why, fmt.Sprintf("%s is the bridge of %s", br, path))
			continue
		}
		if hasInterface(br) {
			why = append(why, br+" is an interface of the host")
			continue
		}
		return br, nil
	}
	return "", fault.New(fault.Conflict, "no name for the bridge of network %s: %s", name, strings.Join(why, ", ")).WithHint("choose one with -o %s=NAME", optName)
}

// chosenBridge is nerdctl's name for the bridge of a network without one of its own.
func chosenBridge(id string) string { return "br-" + id[:12] }

func hasInterface(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name))
	return err == nil
}
