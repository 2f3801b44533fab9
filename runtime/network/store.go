package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/shlex"
	"github.com/vishvananda/netlink"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// List gives the networks of a namespace, sorted by name, without who is connected.
// The default network, host and none are always among them; before its first use the
// default one has no file yet.
func (c *CNI) List(namespace string) []Network {
	out := []Network{Host(), None()}
	for _, f := range c.files(namespace) {
		if n := f.network(); n.Name != "host" && n.Name != "none" {
			out = append(out, n)
		}
	}
	if !slices.ContainsFunc(out, func(n Network) bool { return n.Name == DefaultName }) {
		out = append(out, Network{Name: DefaultName, ID: ID(DefaultName), Driver: "bridge", IPAM: DefaultIPAM, Interface: defaultBridge,
			Labels: map[string]string{LabelDefault: "true"}, Options: map[string]string{}})
	}
	slices.SortFunc(out, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Resolve implements [Attacher].
func (c *CNI) Resolve(namespace, ref string) string {
	if ref == DefaultName {
		return ref
	}
	if _, ok := c.find(namespace, ref); ok {
		return ref
	}
	// The host's network has one name alone: what looks at a request for it looks for that.
	if n, err := Find(c.List(namespace), ref); err == nil && n.Driver != "host" && n.Driver != "null" {
		return n.Name
	}
	return ref
}

// Create makes a network for one namespace. Its bridge comes with the first container.
func (c *CNI) Create(ctx context.Context, namespace string, spec Spec) (n Network, err error) {
	if err := spec.Check(); err != nil {
		return n, err
	}
	o, err := parseOptions(spec.Driver, spec.Options)
	if err != nil {
		return n, err
	}
	err = c.locked(ctx, func() error {
		if _, there := c.find(namespace, spec.Name); there {
			return Exists(spec.Name)
		}
		// First come, first served: the default network is to have the first subnet.
		if _, there := c.find(namespace, DefaultName); !there {
			if _, err := c.writeDefault(); err != nil {
				return err
			}
		}
		if err := c.overlap(spec.Subnets); err != nil {
			return err
		}
		if err := spec.Complete(c.freeSubnet); err != nil {
			return err
		}
		var iface string
		switch {
		case spec.Driver != "bridge":
			if o.parent != "" && !hasInterface(o.parent) {
				return fault.New(fault.Invalid, "invalid subinterface vlan name or missing parent: interface %s not found", o.parent).
					WithHint("a VLAN's is made by: ip link add link eth0 name eth0.10 type vlan id 10")
			}
		case o.bridge != "":
			for _, f := range c.all() {
				if f.conf.Plugins[0].Bridge == o.bridge {
					return fault.New(fault.Conflict, "bridge %s is used by network %s already", o.bridge, f.conf.Name)
				}
			}
			if hasInterface(o.bridge) {
				return fault.New(fault.Conflict, "the host has an interface %s already", o.bridge).WithHint("choose another name with -o %s", optName)
			}
			iface = o.bridge
		default:
			if iface, err = c.bridgeName(namespace, spec.Name); err != nil {
				return err
			}
		}
		path := c.path(namespace, spec.Name)
		if err := c.write(path, c.conflist(spec, o, iface)); err != nil {
			return err
		}
		f, ok := readFile(path)
		if !ok {
			return fault.New(fault.Internal, "read network %q: the file that was just written is no conflist", path)
		}
		n = f.network()
		return nil
	})
	return n, err
}

// overlap refuses a subnet that is another network's. It is called with the lock held.
func (c *CNI) overlap(subnets []Subnet) error {
	for _, f := range c.all() {
		for _, theirs := range f.network().Subnets {
			for _, s := range subnets {
				if s.Subnet.Overlaps(theirs.Subnet) {
					return Overlap(s.Subnet, f.conf.Name, theirs.Subnet)
				}
			}
		}
	}
	return nil
}

// Remove deletes a network of a namespace, with the bridge, the addresses and the rules
// that it has. members tells who is known to be connected; whoever else is, such as a
// container of another engine on this host, is found by what it has on the host.
//
// The file goes last: killed before that, the network is there, and the next container
// gets its bridge made again.
func (c *CNI) Remove(ctx context.Context, namespace string, n Network, members func() ([]Member, error)) error {
	if err := NotRemovable(n); err != nil {
		return err
	}
	return c.locked(ctx, func() error {
		// Who connects a container holds it shared.
		held, err := lock.Path(ctx, n.File, true)
		if errors.Is(err, fs.ErrNotExist) {
			return NotFound(n.Name)
		}
		if err != nil {
			return err
		}
		defer held.Close()
		// It may be another one by now than the caller has seen.
		f, ok := readFile(n.File)
		if !ok || f.conf.Name != n.Name {
			return NotFound(n.Name)
		}
		n = f.network()
		if err := NotRemovable(n); err != nil {
			return err
		}
		active, err := members()
		if err != nil {
			return err
		}
		stale, others := c.attachments(namespace, n, active)
		if active = append(active, others...); len(active) > 0 {
			return InUse(n.Name, active)
		}
		for _, r := range stale {
			// An address or a rule that stays is no reason to keep the network.
			_ = c.Detach(ctx, r)
		}
		// nerdctl names the bridge after the network alone: one of that name in another
		// namespace has the same.
		twin := slices.ContainsFunc(c.all(), func(o file) bool { return o.path != n.File && o.conf.Plugins[0].Bridge == n.Interface })
		if n.Driver == "bridge" && !twin {
			if err := removeBridge(ctx, n.Interface); err != nil {
				return fault.Wrap(err, "remove the bridge of network", n.Name)
			}
		}
		c.removeLeases(n)
		if err := os.Remove(n.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(err, "remove network", n.Name)
		}
		// One that is not empty stays.
		_ = os.Remove(filepath.Dir(n.File))
		return nil
	})
}

// attachments are the entries of libcni's cache for a network: the requests of those
// whose container is gone, and the others, but for those that are known.
func (c *CNI) attachments(namespace string, n Network, known []Member) (stale []Request, others []Member) {
	shared := filepath.Dir(n.File) == filepath.Clean(c.Conf)
	files, _ := os.ReadDir(c.results())
	for _, f := range files {
		info, ok := c.readCache(f.Name())
		i := len(info.ContainerID) - 64
		if !ok || info.NetworkName != n.Name || i < 2 || info.ContainerID[i-1] != '-' {
			continue
		}
		ns, id := info.ContainerID[:i-1], info.ContainerID[i:]
		if ns != namespace && !shared || slices.ContainsFunc(known, func(m Member) bool { return m.ID == id }) {
			continue
		}
		if connected(info) {
			others = append(others, Member{ID: id})
			continue
		}
		stale = append(stale, Request{Namespace: ns, ID: id, Networks: []string{n.Name}, Ports: anyPort})
	}
	return stale, others
}

// anyPort asks for what published ports may have left where they are not known any more.
var anyPort = []container.PortMapping{{HostPort: 1, ContainerPort: 1, Protocol: "tcp"}}

// removeLeases forgets the addresses of a network. The directory may be shared with a
// network of the same name in another namespace.
func (c *CNI) removeLeases(n Network) {
	dir := filepath.Join(c.Leases, n.Name)
	for _, l := range c.leases(n.Name) {
		a, err := netip.ParseAddr(l.ip)
		if err == nil && slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Subnet.Contains(a) }) {
			_ = os.Remove(filepath.Join(dir, l.ip))
		}
	}
	if len(c.leases(n.Name)) > 0 {
		return
	}
	reserved, _ := filepath.Glob(filepath.Join(dir, "last_reserved_ip.*"))
	for _, f := range reserved {
		_ = os.Remove(f)
	}
	_ = os.Remove(filepath.Join(dir, "lock"))
	_ = os.Remove(dir)
}

// removeBridge deletes a bridge with the rules of the firewall plugin that name it,
// which no DEL does. One that is not there is no error.
func removeBridge(ctx context.Context, name string) error {
	if l, err := netlink.LinkByName(name); err == nil && l.Type() == "bridge" {
		if ports, _ := os.ReadDir(filepath.Join("/sys/class/net", name, "brif")); len(ports) > 0 {
			return nil // somebody else's, who has put something on it
		}
		if err := netlink.LinkDel(l); err != nil {
			return err
		}
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, chain := range []string{"CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"} {
			if err := removeRules(ctx, family, chain, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeRules deletes the rules of a chain that name an interface. That there is no such
// chain, or no such tool, means that there is nothing.
func removeRules(ctx context.Context, tool, chain, iface string) error {
	text, err := exec.CommandContext(ctx, tool, "-w", "-S", chain).Output()
	if err != nil {
		return ctx.Err()
	}
	for line := range strings.Lines(string(text)) {
		words, err := shlex.Split(line)
		if err != nil || len(words) < 2 || words[0] != "-A" || !names(words, iface) {
			continue
		}
		words[0] = "-D"
		if out, err := exec.CommandContext(ctx, tool, append([]string{"-w"}, words...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %s", tool, strings.Join(words, " "), strings.TrimSpace(string(out)))
		}
	}
	return nil
}

func names(rule []string, iface string) bool {
	for i, w := range rule[:len(rule)-1] {
		if (w == "-i" || w == "-o") && rule[i+1] == iface {
			return true
		}
	}
	return false
}

// hold opens a network for connecting a container: it is not removed until the file is
// closed.
func (c *CNI) hold(ctx context.Context, namespace, name string) (*libcni.NetworkConfigList, *os.File, error) {
	for {
		if _, ok := c.find(namespace, name); !ok && name == DefaultName {
			if _, err := c.makeDefault(ctx); err != nil {
				return nil, nil, err
			}
		}
		path, ok := c.find(namespace, name)
		if !ok {
			return nil, nil, NotFound(name)
		}
		held, err := lock.Path(ctx, path, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		l, err := libcni.ConfListFromFile(path)
		// It may have been removed, and made again, before it was locked.
		now, serr := os.Stat(path)
		locked, lerr := held.Stat()
		same := serr == nil && lerr == nil && os.SameFile(now, locked)
		if err == nil && l.Name == name && same {
			return l, held, nil
		}
		held.Close()
		if err == nil && same {
			return nil, nil, fault.New(fault.Invalid, "read network %q: %s calls it %q, too", name, path, l.Name).WithHint("the file is broken: it has two keys for the name")
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, fault.Wrap(err, "connect to network", name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fault.Wrap(err, "read network", path)
		}
	}
}
