package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/vishvananda/netlink"

	"nsh/runtime/fault"
)

// DefaultName is the network of a container that names none.
const DefaultName = "bridge"

// list finds a conflist by the name of its network: in the namespace's own
// directory first, then among those that all namespaces share. The default
// network is made when it is not there.
func (c *CNI) list(namespace, name string) (*libcni.NetworkConfigList, error) {
	for _, dir := range []string{filepath.Join(c.Conf, namespace), c.Conf} {
		// nerdctl's name for the file is tried first: one read instead of all.
		for _, path := range append([]string{filepath.Join(dir, "nerdctl-"+name+".conflist")}, glob(dir)...) {
			l, err := libcni.ConfListFromFile(path)
			if err == nil && l.Name == name {
				return l, nil
			}
		}
	}
	if name != DefaultName {
		return nil, fault.New(fault.NotFound, "network %s not found", name).WithHint("networks are the conflists in %s", c.Conf)
	}
	path, err := c.makeDefault()
	if err != nil {
		return nil, err
	}
	l, err := libcni.ConfListFromFile(path)
	if err != nil {
		return nil, fault.Wrap(err, "read network", path)
	}
	return l, nil
}

// Names are the networks that a namespace can join, sorted; conf is the directory of
// the conflists. A file that cannot be read has none.
func Names(conf, namespace string) []string {
	names := []string{DefaultName}
	for _, dir := range []string{filepath.Join(conf, namespace), conf} {
		for _, path := range glob(dir) {
			if l, err := libcni.ConfListFromFile(path); err == nil {
				names = append(names, l.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func glob(dir string) []string {
	files, _ := libcni.ConfFiles(dir, []string{".conflist"})
	return files
}

// Exists tells whether a network can be joined, so that a typing error is found
// before anything has been made.
func (c *CNI) Exists(namespace, name string) error {
	if name == DefaultName {
		return nil
	}
	_, err := c.list(namespace, name)
	return err
}

// makeDefault writes the default network as nerdctl does. Of several makers at
// once the first one wins, and all use its file.
func (c *CNI) makeDefault() (string, error) {
	path := filepath.Join(c.Conf, "nerdctl-"+DefaultName+".conflist")
	if err := os.MkdirAll(c.Conf, 0o755); err != nil {
		return "", fault.Wrap(err, "make directory", c.Conf)
	}
	gateway, subnet, err := c.subnet()
	if err != nil {
		return "", err
	}
	masq := map[string]any{
		"type": "bridge", "bridge": "nerdctl0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
		"ipam": map[string]any{
			"type":   "host-local",
			"ranges": [][]map[string]string{{{"gateway": gateway, "subnet": subnet}}},
			"routes": []map[string]string{{"dst": "0.0.0.0/0"}},
		},
	}
	portmap := map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}
	if hasNFT() {
		// One nft transaction instead of a dozen runs of iptables.
		masq["ipMasqBackend"] = "nftables"
		portmap["backend"] = "nftables"
	}
	if c.Leases != "/var/lib/cni/networks" {
		masq["ipam"].(map[string]any)["dataDir"] = c.Leases
	}
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0", "name": DefaultName, "nerdctlID": networkID(DefaultName),
		"nerdctlLabels": map[string]string{"nerdctl/default-network": "true"},
		"plugins": []any{masq, portmap,
			map[string]any{"type": "firewall", "ingressPolicy": "same-bridge"},
			map[string]any{"type": "tuning"},
		},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(c.Conf, ".nerdctl-bridge-*")
	if err != nil {
		return "", fault.Wrap(err, "write network", path)
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
		// link(2), unlike rename, does not replace the file of a faster one.
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return path, fault.Wrap(err, "write network", path)
}

// subnet chooses the default network's: what was asked for, or the first
// 10.4.N.0/24 that no interface and no route of any table overlaps. A VPN's routes
// count: nerdctl looks at interfaces only, and shadows them.
func (c *CNI) subnet() (gateway, subnet string, err error) {
	if c.BridgeIP != "" {
		ip, n, err := net.ParseCIDR(c.BridgeIP)
		if err != nil {
			return "", "", fault.New(fault.Invalid, "--bridge-ip %q: %s", c.BridgeIP, err).WithHint("it is an address with a prefix length, such as 10.4.0.1/24")
		}
		return ip.String(), n.String(), nil
	}
	used, err := usedNetworks()
	if err != nil {
		return "", "", err
	}
next:
	for n := range 256 {
		_, s, _ := net.ParseCIDR(fmt.Sprintf("10.4.%d.0/24", n))
		for _, u := range used {
			if u.Contains(s.IP) || s.Contains(u.IP) {
				continue next
			}
		}
		return fmt.Sprintf("10.4.%d.1", n), s.String(), nil
	}
	return "", "", fault.New(fault.Conflict, "no free subnet for the default network: every 10.4.N.0/24 overlaps an address or a route of this host").
		WithHint("choose one with --bridge-ip, or bridge_ip in nerdctl.toml")
}

func usedNetworks() ([]*net.IPNet, error) {
	var out []*net.IPNet
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fault.Wrap(err, "list the addresses of", "the host")
	}
	for _, a := range addrs {
		// The bridge of an earlier default network is ours to take over.
		if !strings.HasPrefix(a.Label, "nerdctl0") {
			out = append(out, a.IPNet)
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 0}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fault.Wrap(err, "list the routes of", "the host")
	}
	own := -1
	if l, err := netlink.LinkByName("nerdctl0"); err == nil {
		own = l.Attrs().Index
	}
	for _, r := range routes {
		if r.Dst == nil || r.LinkIndex == own {
			continue
		}
		if ones, _ := r.Dst.Mask.Size(); ones > 0 {
			out = append(out, r.Dst)
		}
	}
	return out, nil
}
