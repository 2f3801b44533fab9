package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	runcopts "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"nsh/runtime/container"
	"nsh/runtime/datastore"
	"nsh/runtime/fault"
	"nsh/runtime/logging"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

// creation is one Create under way: what it has learnt so far, and how to take
// back what it has made.
type creation struct {
	*Containers
	id    string
	spec  container.Spec
	dir   string
	chain string // chain ID of the image's layers: the parent of the snapshot
	cfg   ocispec.ImageConfig
	image string // name of the image record
	rec   containers.Container
	// imageID is the digest of the image's target.
	imageID  string
	warnings []string
	// mountPoints are the mounts as asked for, volumes found, and those of the image.
	mountPoints []container.Mount
	// anonymous are the volumes among them that go with the container.
	anonymous []string
	undo      []func(context.Context)
}

// Create makes a container in this order: the name (a locked file), the files,
// the record, the snapshot. Killed after the record, it leaves a container in
// state created; killed before, a name that the next one takes over and a directory
// that Repair finds.
func (s *Containers) Create(ctx context.Context, spec container.Spec) (_ container.Container, err error) {
	c := &creation{Containers: s, id: container.NewID(), spec: spec}
	c.rec.Labels = map[string]string{}
	defer func() {
		if err != nil {
			// The caller may have been interrupted: cleaning up goes on all the same.
			ctx := context.WithoutCancel(ctx)
			for i := len(c.undo) - 1; i >= 0; i-- {
				c.undo[i](ctx)
			}
		}
	}()
	if spec.StopSignal != "" {
		if _, err := container.ParseSignal(spec.StopSignal); err != nil {
			return container.Container{}, err
		}
	}
	if cniNetwork(c.networks()) {
		c.spec.Networks = slices.Clone(c.networks())
		for i, ref := range c.spec.Networks {
			c.spec.Networks[i] = c.net.Resolve(c.store.Namespace, ref)
		}
	}
	if err := c.resolveImage(ctx); err != nil {
		return container.Container{}, err
	}
	name, err := c.takeName(ctx)
	if err != nil {
		return container.Container{}, err
	}
	c.undo = append(c.undo, func(context.Context) { _ = name.Release() })
	if err := c.files(ctx); err != nil {
		return container.Container{}, err
	}
	if err := c.resolveMounts(); err != nil {
		return container.Container{}, err
	}
	if err := c.write(ctx); err != nil {
		return container.Container{}, err
	}
	name.Keep()
	made := s.value(found{Container: c.rec})
	made.Warnings = c.warnings
	return made, nil
}

func (c *creation) resolveImage(ctx context.Context) error {
	if c.spec.Rootfs {
		st, err := os.Stat(c.spec.Image)
		if err != nil || !st.IsDir() {
			return fault.New(fault.NotFound, "no such rootfs directory: %s", c.spec.Image)
		}
		return nil
	}
	stored, err := c.images.record(ctx, c.spec.Image)
	if err != nil {
		return err
	}
	c.image = stored.Name
	match := platforms.Default()
	if c.spec.Platform != "" {
		p, err := platforms.Parse(c.spec.Platform)
		if err != nil {
			return fault.New(fault.Invalid, "invalid platform %q: %s", c.spec.Platform, err)
		}
		match = platforms.OnlyStrict(p)
	}
	ci := client.NewImageWithPlatform(c.c, stored, match)
	conf, err := ci.Spec(ctx)
	if err != nil {
		return fault.Wrap(err, "read the configuration of image", c.spec.Image)
	}
	c.cfg = conf.Config
	if c.spec.Platform == "" {
		c.spec.Platform = platforms.Format(platforms.Normalize(conf.Platform))
	}
	c.chain = identity.ChainID(conf.RootFS.DiffIDs).String()
	c.rec.Image = stored.Name
	if !c.unpacked(ctx) {
		if err := ci.Unpack(ctx, c.s.Snapshotter); err != nil && !errdefs.IsAlreadyExists(err) {
			return fault.Wrap(err, "unpack image", c.spec.Image)
		}
	}
	c.rec.Snapshotter = c.s.Snapshotter
	c.imageID = stored.Target.Digest.String()
	return nil
}

func (c *creation) unpacked(ctx context.Context) bool {
	if c.chain == "" {
		return true
	}
	_, err := c.c.SnapshotService(c.s.Snapshotter).Stat(ctx, c.chain)
	return err == nil
}

func (c *creation) takeName(ctx context.Context) (*datastore.Name, error) {
	if c.spec.Name == "" {
		base := c.image
		if c.spec.Rootfs {
			base = ""
		}
		// Five digits of an ID are few: another one is taken until they are new.
		for {
			c.spec.Name = container.DefaultName(base, c.id)
			name, err := c.store.TakeName(c.spec.Name, c.id, c.exists(ctx))
			if !fault.Is(err, fault.Conflict) || ctx.Err() != nil {
				return name, err
			}
			c.id = container.NewID()
		}
	} else if err := container.ValidateName(c.spec.Name); err != nil {
		return nil, err
	}
	return c.store.TakeName(c.spec.Name, c.id, c.exists(ctx))
}

// exists tells whether a container of this engine has the ID, in any of the
// namespaces' own view: names are per namespace, so this one's is right.
func (s *Containers) exists(ctx context.Context) func(string) (bool, error) {
	return func(id string) (bool, error) {
		_, err := s.c.ContainerService().Get(ctx, id)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}
}

// files writes all that the container's directory holds before its first start.
func (c *creation) files(ctx context.Context) error {
	dir, err := c.store.MakeDir(c.id)
	if err != nil {
		return err
	}
	c.dir = dir
	c.undo = append(c.undo, func(context.Context) { _ = c.store.RemoveDir(c.id) })

	if c.spec.Hostname == "" && c.spec.UTSMode != "host" {
		c.spec.Hostname = container.ShortID(c.id)
		if c.hostNetwork() {
			c.spec.Hostname, _ = os.Hostname()
		}
	}
	if err := datastore.WriteFile(filepath.Join(dir, "hostname"), []byte(c.spec.Hostname+"\n"), 0o644); err != nil {
		return err
	}
	conf, warning, err := network.ResolvConf(network.ResolvOptions{
		Host: c.hostNetwork(), Servers: or(c.spec.DNS, c.s.DNS), Search: or(c.spec.DNSSearch, c.s.DNSSearch), Options: or(c.spec.DNSOptions, c.s.DNSOptions),
	})
	if err != nil {
		return err
	}
	if warning != "" {
		c.warnings = append(c.warnings, warning)
	}
	if err := datastore.WriteFile(filepath.Join(dir, "resolv.conf"), conf, 0o644); err != nil {
		return err
	}
	if err := c.publish(); err != nil {
		return err
	}
	c.undo = append(c.undo, func(context.Context) { _ = c.hosts.Remove(c.id) })
	if err := c.hosts.Create(network.HostsEntry{
		ID: c.id, Name: c.spec.Name, Hostname: c.spec.Hostname, Domainname: c.spec.Domainname, ExtraHosts: c.extraHosts(), Networks: c.networks(),
	}); err != nil {
		return err
	}
	return c.logConfig().Write(dir)
}

func (c *creation) logConfig() logging.Config {
	return logging.Config{Driver: c.driver(), Opts: c.spec.LogOpts, Address: c.s.Address}
}

func (c *creation) driver() string {
	if c.spec.LogDriver == "" {
		return logging.JSONFile
	}
	return c.spec.LogDriver
}

func or(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func (c *creation) networks() []string {
	if len(c.spec.Networks) == 0 {
		return []string{"bridge"}
	}
	return c.spec.Networks
}

func (c *creation) hostNetwork() bool { return c.networks()[0] == "host" }

// cniNetwork tells whether the container gets a network of its own, which the
// hook connects.
func cniNetwork(networks []string) bool {
	n := networks[0]
	return n != "host" && n != "none" && !strings.HasPrefix(n, "container:") && !strings.HasPrefix(n, "ns:")
}

func (c *creation) extraHosts() []string {
	out := make([]string, 0, len(c.spec.ExtraHosts))
	for _, h := range c.spec.ExtraHosts {
		if name, ip, ok := strings.Cut(h, ":"); ok && ip == "host-gateway" {
			h = name + ":" + c.s.HostGatewayIP
		}
		out = append(out, h)
	}
	return out
}

// publish settles the host side of the ports and writes them where the hook and
// the helper look.
func (c *creation) publish() error {
	cfg := network.Config{Namespace: c.store.Namespace, ID: c.id, Networks: c.networks(), CNIPath: c.s.CNIPath, CNINetconfPath: c.s.CNINetconfPath}
	mappings := c.spec.Ports
	if c.spec.PublishAll {
		for _, e := range c.exposed() {
			port, proto, _ := strings.Cut(e, "/")
			n, err := strconv.Atoi(port)
			if err != nil {
				return fault.New(fault.Invalid, "invalid containerPort: %s", e)
			}
			mappings = append(mappings, container.PortMapping{HostIP: "0.0.0.0", ContainerPort: n, Protocol: protoOr(proto)})
		}
	}
	if cniNetwork(c.networks()) {
		for _, m := range mappings {
			if m.HostPort == 0 {
				p, err := network.FreePort(m)
				if err != nil {
					return err
				}
				m.HostPort = p
			}
			cfg.PortMappings = append(cfg.PortMappings, m)
		}
	}
	if !cniNetwork(c.networks()) {
		return nil
	}
	data, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	return datastore.WriteFile(filepath.Join(c.dir, network.ConfigFile), data, 0o600)
}

func protoOr(p string) string {
	if p == "" {
		return "tcp"
	}
	return p
}

func (c *creation) exposed() []string {
	seen := map[string]bool{}
	var out []string
	add := func(e string) {
		if !strings.Contains(e, "/") {
			e += "/tcp"
		}
		if !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	for e := range c.cfg.ExposedPorts {
		add(e)
	}
	for _, e := range c.spec.Expose {
		add(e)
	}
	return out
}

// write writes the record and makes the snapshot. The users and groups of the
// image must be known for the record; they are remembered by the image's chain
// of layers, so that only the first container of an image has to wait for its
// snapshot.
func (c *creation) write(ctx context.Context) error {
	args, err := c.spec.Args(c.cfg.Entrypoint, c.cfg.Cmd)
	if err != nil {
		return err
	}
	if err := c.labels(); err != nil {
		return err
	}
	rt, opts := runtimeOf(c.spec.Runtime, c.s.CgroupManager)
	c.rec.ID = c.id
	if !c.spec.Rootfs {
		c.rec.SnapshotKey = c.id
	}
	c.rec.Runtime = containers.RuntimeInfo{Name: rt, Options: opts}
	asked := c.spec
	asked.Env = append([]string(nil), c.spec.Env...)
	ext, err := json.Marshal(record{Spec: asked, Args: args, ImageID: c.imageID})
	if err != nil {
		return err
	}
	c.rec.Extensions = map[string]typeurl.Any{extension: &anypb.Any{TypeUrl: extension, Value: ext}}

	acc, known := c.cachedAccounts()
	put := func(oci *specs.Spec) error {
		any, err := typeurl.MarshalAny(oci)
		if err != nil {
			return err
		}
		c.rec.Spec = any
		return nil
	}
	oci, err := c.oci(ctx, args, acc, known)
	if err != nil {
		return err
	}
	if err := put(oci); err != nil {
		return err
	}
	// The record first: a snapshot that no record names yet is containerd's to collect, and
	// it does so at any moment that something else is removed.
	made, err := c.record(ctx)
	if err != nil {
		return fault.Wrap(err, "record container", c.spec.Name)
	}
	c.rec = made
	if c.spec.Rootfs {
		return c.populate(ctx, func(fn func(string) error) error { return fn(c.spec.Image) })
	}
	sn := c.c.SnapshotService(c.s.Snapshotter)
	mounts, err := sn.Prepare(ctx, c.id, c.chain)
	if err != nil {
		return fault.Wrap(err, "make the file system of container", c.spec.Name)
	}
	c.undo = append(c.undo, func(ctx context.Context) { _ = sn.Remove(ctx, c.id) })
	err = c.populate(ctx, func(fn func(string) error) error { return mount.WithReadonlyTempMount(ctx, mounts, fn) })
	if err != nil || known {
		return err
	}
	if acc, err = c.readAccounts(ctx, mounts); err != nil {
		return err
	}
	if oci, err = c.oci(ctx, args, acc, true); err != nil {
		return err
	}
	if err := put(oci); err != nil {
		return err
	}
	c.rec, err = c.c.ContainerService().Update(ctx, c.rec, "spec")
	return fault.Wrap(err, "record container", c.spec.Name)
}

// record writes the record and makes the volumes that it names. Meanwhile nobody can
// remove one of them: who would sees the record, or waits until it is there.
func (c *creation) record(ctx context.Context) (containers.Container, error) {
	names := volumeNames(c.mountPoints)
	if len(names) > 0 {
		unlock, err := c.volumes.Lock(ctx, false)
		if err != nil {
			return containers.Container{}, err
		}
		defer unlock()
	}
	made, err := c.c.ContainerService().Create(ctx, c.rec)
	if err != nil {
		return made, err
	}
	c.undo = append(c.undo, func(ctx context.Context) { _ = c.c.ContainerService().Delete(ctx, c.id) })
	for _, name := range names {
		spec := volume.Spec{Name: name}
		if slices.Contains(c.anonymous, name) {
			spec.Labels = map[string]string{volume.AnonymousLabel: ""}
			if _, inherited := c.inherits(name); !inherited {
				c.undo = append(c.undo, func(context.Context) { _ = c.volumes.Remove(name) })
			}
		}
		if _, err := c.volumes.Create(spec); err != nil {
			return made, err
		}
	}
	return made, nil
}

// runtimeOf takes docker's --runtime: a shim's name, or the name or path of an
// OCI runtime that runc's shim is to call.
func runtimeOf(name, cgroups string) (string, typeurl.Any) {
	opts := &runcopts.Options{SystemdCgroup: cgroups == "systemd"}
	shim := "io.containerd.runc.v2"
	switch {
	case name == "", name == shim, name == "runc":
	case strings.HasPrefix(name, "io.containerd."):
		shim = name
	default:
		opts.BinaryName = name
	}
	any, err := typeurl.MarshalAny(opts)
	if err != nil {
		panic(fmt.Sprintf("containerd: marshal runtime options: %v", err)) // a registered message always marshals
	}
	return shim, any
}

// maxLabel is what containerd takes for key and value together (pkg/labels).
const maxLabel = 4096

func reserved(label string) bool {
	return strings.HasPrefix(label, "nerdctl/") || strings.HasPrefix(label, "nsh/")
}

// labels writes nerdctl's labels: docs in nerdctl-inventory's words, one a fact.
func (c *creation) labels() error {
	l := c.rec.Labels
	for k, v := range c.cfg.Labels {
		// An image must not pass for one of ours, nor keep a container from being
		// made by what containerd cannot record.
		if !reserved(k) && len(k)+len(v) <= maxLabel {
			l[k] = v
		}
	}
	for k, v := range c.spec.Labels {
		if reserved(k) {
			prefix, _, _ := strings.Cut(k, "/")
			return fault.New(fault.Invalid, "label %q: the prefix %q is kept for the tool itself", k, prefix+"/")
		}
		l[k] = v
	}
	set := func(k, v string) {
		if v != "" {
			l[k] = v
		}
	}
	js := func(k string, v any) {
		data, _ := json.Marshal(v)
		l[k] = string(data)
	}
	set(labelNamespace, c.store.Namespace)
	set(labelName, c.spec.Name)
	set(labelHostname, c.spec.Hostname)
	set(labelDomainname, c.spec.Domainname)
	set(labelPlatform, c.spec.Platform)
	set(labelStateDir, c.dir)
	set(labelIP, c.spec.IP)
	set(labelIP6, c.spec.IP6)
	set(labelMAC, c.spec.MAC)
	set(labelPidFile, c.spec.PidFile)
	set(labelUser, c.spec.User)
	js(labelExtraHosts, c.extraHosts())
	js(labelNetworks, c.networks())
	js(labelLogConfig, c.logConfig())
	set(labelLogURI, c.logURI())
	for i, m := range c.mountPoints {
		js(labelMounts+strconv.Itoa(i), m)
	}
	if len(c.anonymous) > 0 {
		js(labelAnonymous, c.anonymous)
	}
	if c.spec.StopTimeout != nil {
		l[labelStopTimeout] = strconv.Itoa(*c.spec.StopTimeout)
	}
	sig := c.spec.StopSignal
	if sig == "" {
		sig = c.cfg.StopSignal
	}
	if sig == "" {
		sig = "SIGTERM"
	}
	l[labelStopSignal] = sig
	if c.spec.AutoRemove {
		l[labelAutoRemove] = "true"
	} else {
		l[labelAutoRemove] = "false"
	}
	if c.spec.Security.Privileged {
		l[labelPrivileged] = "true"
	}
	if strings.HasPrefix(c.spec.PidMode, "container:") {
		set(labelPIDOf, strings.TrimPrefix(c.spec.PidMode, "container:"))
	}
	set(labelIPC, c.spec.IPCMode)
	// containerd refuses a record whose labels are too long one by one
	// (pkg/labels: key and value together 4096 bytes); say which it is.
	for k, v := range l {
		if len(k)+len(v) > maxLabel {
			return fault.New(fault.Invalid, "label %q has %d bytes: containerd takes %d for key and value together", k, len(k)+len(v), maxLabel)
		}
	}
	return nil
}

// logURI is what containerd starts for the output of the container, also when
// its restart monitor starts it and no nsh is there.
func (c *creation) logURI() string {
	key := "log"
	if c.spec.TTY {
		key = "log-tty"
	}
	u := url.URL{Scheme: "binary", Path: c.s.Helper, RawQuery: url.Values{key: {c.dir}}.Encode()}
	return u.String()
}

// undoable errors of removing what may not be there.
func gone(err error) bool {
	return err == nil || errdefs.IsNotFound(err) || errors.Is(err, fs.ErrNotExist)
}
