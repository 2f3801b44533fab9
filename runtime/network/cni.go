package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/lock"
)

// CNI is an [Attacher] that runs CNI plugins.
type CNI struct {
	Plugins  string // directory of the plugins
	Conf     string // directory of the conflists
	BridgeIP string // CIDR of the default network; empty: the first free 10.4.N.0/24
	// Cache is libcni's: /var/lib/cni. Leases is the data directory of the
	// host-local plugin: /var/lib/cni/networks.
	Cache  string
	Leases string
}

var _ Attacher = (*CNI)(nil)

// New gives the plugins' network in the places that nerdctl uses.
func New(plugins, conf, bridgeIP string) *CNI {
	return &CNI{Plugins: plugins, Conf: conf, BridgeIP: bridgeIP, Cache: libcni.CacheDir, Leases: defaultLeases}
}

// defaultLeases is the plugin host-local's own choice.
const defaultLeases = "/var/lib/cni/networks"

func (c *CNI) lib() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir([]string{c.Plugins}, c.Cache, &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}})
}

func ifname(i int) string { return fmt.Sprintf("eth%d", i) }

func (c *CNI) runtimeConf(r Request, i int) *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: r.cniID(), NetNS: r.NetNS, IfName: ifname(i), CapabilityArgs: map[string]any{},
		Args: [][2]string{{"IgnoreUnknown", "1"}}}
	if i == 0 && len(r.Ports) > 0 {
		rt.CapabilityArgs["portMappings"] = portMappings(r.Ports)
	}
	if i == 0 {
		if r.IP != "" {
			rt.Args = append(rt.Args, [2]string{"IP", r.IP})
		}
		if r.MAC != "" {
			rt.Args = append(rt.Args, [2]string{"MAC", r.MAC})
		}
		if r.IP6 != "" {
			rt.CapabilityArgs["ips"] = []string{r.IP6}
		}
	}
	if r.Hostname != "" {
		rt.Args = append(rt.Args, [2]string{"NERDCTL_CNI_DHCP_HOSTNAME", r.Hostname})
	}
	return rt
}

// mapping is the portMappings capability of the CNI conventions.
type mapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

func portMappings(ports []container.PortMapping) []mapping {
	var out []mapping
	for _, p := range ports {
		ip := p.HostIP
		if ip == "0.0.0.0" {
			ip = "" // the plugin takes every address then, both of IPv4 and IPv6
		}
		out = append(out, mapping{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: p.Protocol, HostIP: ip})
	}
	return out
}

// Attach runs ADD of each network's plugins.
func (c *CNI) Attach(ctx context.Context, r Request) (_ []container.Endpoint, err error) {
	var out []container.Endpoint
	defer func() {
		if err != nil {
			_ = c.Detach(context.WithoutCancel(ctx), r)
		}
	}()
	for i, name := range r.Networks {
		ep, err := c.attach(ctx, r, name, i)
		if err != nil {
			return nil, err
		}
		out = append(out, ep)
	}
	return out, nil
}

func (c *CNI) attach(ctx context.Context, r Request, name string, i int) (container.Endpoint, error) {
	list, held, err := c.hold(ctx, r.Namespace, name)
	if err != nil {
		return container.Endpoint{}, err
	}
	defer held.Close()
	c.needed(list, len(r.Ports) > 0 && i == 0)
	res, err := c.lib().AddNetworkList(ctx, list, c.runtimeConf(r, i))
	if err != nil {
		return container.Endpoint{}, &fault.Error{Kind: fault.Internal, Op: "connect to network", Subject: name, Message: pluginError(err)}
	}
	return endpoint(name, ifname(i), res)
}

func pluginError(err error) string {
	var e *types.Error
	if errors.As(err, &e) && e.Details != "" {
		return e.Msg + "; " + e.Details
	}
	return err.Error()
}

// needed leaves out the plugins that have nothing to do for this container: each
// is a process, and most run iptables several times to find that out. portmap
// without ports only looks for old rules; tuning without settings only reads.
func (c *CNI) needed(list *libcni.NetworkConfigList, ports bool) {
	kept := list.Plugins[:0:0]
	for _, p := range list.Plugins {
		switch p.Network.Type {
		case "portmap":
			if !ports {
				continue
			}
		case "tuning":
			if !hasSettings(p.Bytes) {
				continue
			}
		}
		kept = append(kept, p)
	}
	list.Plugins = kept
}

func hasSettings(conf []byte) bool {
	var m map[string]any
	if json.Unmarshal(conf, &m) != nil {
		return true
	}
	for k := range m {
		switch k {
		case "type", "name", "cniVersion", "capabilities", "ipam", "dns":
		default:
			return true
		}
	}
	return false
}

func endpoint(network, ifname string, res types.Result) (container.Endpoint, error) {
	ep := container.Endpoint{Network: network, Interface: ifname}
	r, err := types100.GetResult(res)
	if err != nil {
		return ep, fault.Wrap(err, "read the result of network", network)
	}
	for _, in := range r.Interfaces {
		if in.Sandbox != "" && in.Name == ifname {
			ep.MAC = in.Mac
		}
	}
	// The plugin host-local tells a gateway where nobody routes by it, too.
	var out, out6 bool
	for _, rt := range r.Routes {
		if ones, bits := rt.Dst.Mask.Size(); ones == 0 {
			out, out6 = out || bits == 32, out6 || bits == 128
		}
	}
	for _, ip := range r.IPs {
		ones, _ := ip.Address.Mask.Size()
		if ip.Address.IP.To4() != nil {
			ep.IP, ep.PrefixLen = ip.Address.IP.String(), ones
			if ip.Gateway != nil && out {
				ep.Gateway = ip.Gateway.String()
			}
		} else {
			ep.IP6, ep.PrefixLen6 = ip.Address.IP.String(), ones
			if ip.Gateway != nil && out6 {
				ep.Gateway6 = ip.Gateway.String()
			}
		}
	}
	return ep, nil
}

// cached is a file of libcni's result cache (libcni/api.go, cachedInfo).
type cached struct {
	ContainerID string          `json:"containerId"`
	NetworkName string          `json:"networkName"`
	IfName      string          `json:"ifName"`
	Result      json.RawMessage `json:"result"`
}

func (c *CNI) results() string { return filepath.Join(c.Cache, "results") }

func (c *CNI) readCache(file string) (cached, bool) {
	var info cached
	data, err := os.ReadFile(filepath.Join(c.results(), file))
	if err != nil || json.Unmarshal(data, &info) != nil || info.ContainerID == "" {
		return info, false
	}
	return info, true
}

// Endpoints reads libcni's cache, which nerdctl's containers are in, too.
func (c *CNI) Endpoints(namespace, id string, networks []string) []container.Endpoint {
	var out []container.Endpoint
	for i, name := range networks {
		info, ok := c.readCache(name + "-" + namespace + "-" + id + "-" + ifname(i))
		if !ok {
			continue
		}
		var res types100.Result
		if json.Unmarshal(info.Result, &res) != nil {
			continue
		}
		if ep, err := endpoint(name, ifname(i), &res); err == nil {
			out = append(out, ep)
		}
	}
	return out
}

// Detach runs DEL of each network's plugins. The namespace is mostly gone by
// then: the plugins get an empty one, as the bridge plugin takes its rules away
// only where it is given a namespace, and finds those by the container's ID.
// An empty one is not the host's: that would lose its own eth0.
func (c *CNI) Detach(ctx context.Context, r Request) error {
	unlock, err := c.lock(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	for i, name := range r.Networks {
		if !c.attached(r, name, i) {
			continue
		}
		errs = append(errs, c.detach(ctx, r, name, i))
	}
	return errors.Join(errs...)
}

// attached tells from libcni's cache and from the leases whether there can be
// anything to take away, so that asking a second time costs nothing.
func (c *CNI) attached(r Request, name string, i int) bool {
	if _, err := os.Stat(filepath.Join(c.results(), name+"-"+r.cniID()+"-"+ifname(i))); err == nil {
		return true
	}
	for _, l := range c.leases(name) {
		if l.id == r.cniID() {
			return true
		}
	}
	return false
}

func (c *CNI) detach(ctx context.Context, r Request, name string, i int) error {
	// The default network is not made for this: that takes the lock which whoever
	// removes a network holds, while waiting for the one that is held here.
	if _, ok := c.find(r.Namespace, name); !ok {
		return nil // its network was removed, and took the bridge with it
	}
	list, err := c.list(ctx, r.Namespace, name)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	}
	c.needed(list, len(r.Ports) > 0 && i == 0)
	return withEmptyNetNS(func(path string) error {
		rt := c.runtimeConf(r, i)
		rt.NetNS = path
		err := c.lib().DelNetworkList(ctx, list, rt)
		if err != nil {
			return &fault.Error{Kind: fault.Internal, Op: "disconnect from network", Subject: name, Message: pluginError(err)}
		}
		return nil
	})
}

// withEmptyNetNS gives fn the path of a new network namespace, which is gone
// afterwards. A thread of its own holds it: a program that fn starts is started from
// another, in the namespace of this process.
func withEmptyNetNS(fn func(path string) error) error {
	type made struct {
		path string
		err  error
	}
	ready, done := make(chan made), make(chan struct{})
	go func() {
		// Not unlocked: the thread ends with this goroutine, and the namespace with it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- made{fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()), fault.Wrap(err, "make", "a network namespace")}
		<-done
	}()
	defer close(done)
	m := <-ready
	if m.err != nil {
		return m.err
	}
	return fn(m.path)
}

// lockDir holds one lock a container: an end that the helper notices and a
// removal by nsh come at the same moment.
const lockDir = "/run/nsh/net"

func (c *CNI) lock(ctx context.Context, r Request) (func(), error) {
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return nil, fault.Wrap(err, "make directory", lockDir)
	}
	path := filepath.Join(lockDir, r.cniID())
	f, err := lock.File(ctx, path, true)
	if err != nil {
		return nil, err
	}
	return func() { os.Remove(path); f.Close() }, nil
}

// lease is a file of the host-local plugin: its name is the address, its
// content the container's ID and the interface.
type lease struct {
	ip, id, ifname string
	young          bool // an ADD may be under way
}

// settled is how old a lease without a result must be before nobody is waiting
// for the plugins any more.
const settled = 10 * time.Second

// connected tells whether an attachment is still there: the host's end of the veth pair,
// or for an interface without one, as a macvlan has none, the namespace that it is in.
func connected(info cached) bool {
	var res types100.Result
	if json.Unmarshal(info.Result, &res) != nil {
		return false
	}
	var sandbox string
	veth := false
	for _, in := range res.Interfaces {
		if in.Sandbox != "" {
			sandbox = in.Sandbox
			continue
		}
		if strings.HasPrefix(in.Name, "veth") {
			veth = true
			if hasInterface(filepath.Base(in.Name)) {
				return true
			}
		}
	}
	if veth || sandbox == "" {
		return false
	}
	// The process of /proc/PID/ns/net may be another one by now, in the host's.
	there, err := os.Stat(sandbox)
	host, herr := os.Stat("/proc/self/ns/net")
	return err == nil && herr == nil && !os.SameFile(there, host)
}

func (c *CNI) leases(network string) []lease {
	dir := filepath.Join(c.Leases, network)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []lease
	for _, e := range entries {
		if net.ParseIP(e.Name()) == nil {
			continue // lock, last_reserved_ip.0
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		f := strings.Fields(string(data))
		if len(f) == 0 {
			continue
		}
		l := lease{ip: e.Name(), id: f[0], ifname: "eth0"}
		if st, err := e.Info(); err == nil {
			l.young = time.Since(st.ModTime()) < settled
		}
		if len(f) > 1 {
			l.ifname = f[1]
		}
		out = append(out, l)
	}
	return out
}

// GC goes by libcni's cache and by the leases, and takes away by DEL what has
// the namespace's prefix and no live container. A namespace of the same name may
// be another engine's on this host, so that is not enough: the host's end of the
// veth pair must be gone, too, which it is as soon as the container's namespace is.
//
// CNI's own GC verb is not used: it knows only one list of what is valid for a
// network that several tools, engines and namespaces share, and what is not on the
// list is lost.
func (c *CNI) GC(ctx context.Context, namespace string, live []string, dryRun bool) ([]Leftover, error) {
	ours := func(id string) (string, bool) {
		rest, ok := strings.CutPrefix(id, namespace+"-")
		// An ID has no dash, a namespace may: "a-b" is not namespace "a".
		if !ok || strings.Contains(rest, "-") || len(rest) != 64 {
			return "", false
		}
		return rest, !slices.Contains(live, rest)
	}
	found := map[string]Leftover{}
	used := map[string]bool{}
	files, _ := os.ReadDir(c.results())
	for _, f := range files {
		info, ok := c.readCache(f.Name())
		if !ok {
			continue
		}
		if id, stale := ours(info.ContainerID); stale {
			key := info.NetworkName + " " + id
			if connected(info) {
				used[key] = true
				continue
			}
			found[key] = Leftover{Network: info.NetworkName, ID: id, What: "attachment", Detail: info.IfName}
		}
	}
	nets, _ := os.ReadDir(c.Leases)
	for _, n := range nets {
		for _, l := range c.leases(n.Name()) {
			if id, stale := ours(l.id); stale && !l.young {
				key := n.Name() + " " + id
				if _, there := found[key]; !there && !used[key] {
					found[key] = Leftover{Network: n.Name(), ID: id, What: "address", Detail: l.ip}
				}
			}
		}
	}
	var out []Leftover
	var errs []error
	for _, l := range found {
		out = append(out, l)
		if dryRun {
			continue
		}
		// That ports were published is not known any more: portmap is asked, too.
		r := Request{Namespace: namespace, ID: l.ID, Networks: []string{l.Network}, Ports: anyPort}
		errs = append(errs, c.Detach(ctx, r))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, errors.Join(errs...)
}

func hasNFT() bool {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if st, err := os.Stat(filepath.Join(dir, "nft")); err == nil && st.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}
