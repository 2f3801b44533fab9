// Package containerd implements the services of nsh on a containerd.
//
// One value of each service belongs to one client and one containerd
// namespace, which is the client's default. They keep no state of their own:
// what is true is what containerd has recorded, so several nsh, nerdctl and ctr
// can work side by side.
//
// A change is ordered so that it can be cut off anywhere. The record of a
// container is the first thing that is made and the last but for its name and
// its files to go; whatever else exists is found from it, or is nobody's and collected by
// containerd, by the next user of a name, or by Repair.
package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/datastore"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

// The labels that nsh shares with nerdctl, and containerd's own.
const (
	labelNamespace   = "nerdctl/namespace"
	labelName        = "nerdctl/name"
	labelHostname    = "nerdctl/hostname"
	labelDomainname  = "nerdctl/domainname"
	labelPlatform    = "nerdctl/platform"
	labelExtraHosts  = "nerdctl/extraHosts"
	labelStateDir    = "nerdctl/state-dir"
	labelNetworks    = "nerdctl/networks"
	labelIP          = "nerdctl/ip"
	labelIP6         = "nerdctl/ip6"
	labelMAC         = "nerdctl/mac-address"
	labelLogURI      = "nerdctl/log-uri"
	labelLogConfig   = "nerdctl/log-config"
	labelPidFile     = "nerdctl/pid-file"
	labelMounts      = "nerdctl/mounts."
	labelAnonymous   = "nerdctl/anonymous-volumes"
	labelStopTimeout = "nerdctl/stop-timeout"
	labelError       = "nerdctl/error"
	labelAutoRemove  = "nerdctl/auto-remove"
	labelUser        = "nerdctl/user"
	labelPrivileged  = "nerdctl/privileged"
	labelIPC         = "nerdctl/ipc"
	labelPIDOf       = "nerdctl/pid-container"
	labelStopSignal  = "io.containerd.image.config.stop-signal"
	labelRestarts    = "containerd.io/restart.count"
	labelPodNS       = "io.kubernetes.pod.namespace"
	labelPodName     = "io.kubernetes.pod.name"
	labelPodCtr      = "io.kubernetes.container.name"
)

// extension holds our own record of what was asked for.
const extension = "nsh/spec"

// Containers is container.Service on containerd.
type Containers struct {
	c      *client.Client
	s      engine.Settings
	store  *datastore.Store
	images *Images
	net    network.Attacher
	hosts  network.Hosts

	volumes volume.Store
}

var _ container.Service = (*Containers)(nil)

// record is what the extension holds: the request, and what it was resolved to.
type record struct {
	Spec    container.Spec `json:"spec"`
	Args    []string       `json:"args"`
	ImageID string         `json:"imageID"`
}

// found is one container as containerd has it: its record and its task, which
// is nil when there is none.
type found struct {
	containers.Container
	task *task.Process
	// silent is why the task could not be asked.
	silent error
}

// List gives the containers of the namespace.
func (s *Containers) List(ctx context.Context, opts container.ListOptions) ([]container.Container, error) {
	type answer struct {
		tasks map[string]*task.Process
		err   error
	}
	ch := make(chan answer, 1)
	go func() {
		m, err := s.tasks(ctx)
		ch <- answer{m, err}
	}()
	recs, err := s.c.ContainerService().List(ctx)
	if err != nil {
		return nil, fault.Wrap(err, "list containers", "")
	}
	// What the records and the files say is read while the shims are being asked.
	described := make([]description, len(recs))
	for i, r := range recs {
		described[i] = s.describe(r)
	}
	a := <-ch
	out := make([]container.Container, 0, len(recs))
	silent := s.silent(ctx, recs, a.tasks)
	for i, r := range recs {
		f := found{Container: r, task: a.tasks[r.ID], silent: a.err}
		if f.silent == nil {
			f.silent = silent[r.ID]
		}
		c := s.complete(described[i], f)
		if !opts.All && !alive(c.Status) {
			continue
		}
		out = append(out, c)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Created.After(out[j].Created) })
	if opts.Sizes {
		for i := range out {
			out[i].Size = s.size(ctx, out[i])
		}
	}
	return out, nil
}

// silent tells of the containers whose shim does not answer: containerd leaves
// those out of the list of tasks. Who has been started and has no task in it is
// asked alone, all at the same time. It is none in the usual case.
func (s *Containers) silent(ctx context.Context, recs []containers.Container, tasks map[string]*task.Process) map[string]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]error{}
	for _, r := range recs {
		if tasks[r.ID] != nil || datastore.ReadLifecycle(stateDir(r)).StartedAt.IsZero() {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			t, err := s.task(ctx, r.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out[r.ID] = err
			} else if t != nil && tasks != nil {
				tasks[r.ID] = t // it answers now
			}
		}()
	}
	wg.Wait()
	return out
}

func alive(st container.Status) bool {
	return st != container.Created && st != container.Exited
}

// listDeadline bounds what the shims may take together: containerd asks one
// after the other and gives each 2 s (io.containerd.timeout.task.state).
const listDeadline = 10 * time.Second

func (s *Containers) tasks(ctx context.Context) (map[string]*task.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	resp, err := s.c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	m := make(map[string]*task.Process, len(resp.Tasks))
	for _, t := range resp.Tasks {
		m[t.ID] = t
	}
	return m, nil
}

// isHex tells what can be a prefix of an ID.
func isHex(s string) bool { return len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == "" }

// find resolves a ref and asks for the container's task.
func (s *Containers) find(ctx context.Context, ref string) (found, error) {
	r, err := s.record(ctx, ref)
	if err != nil {
		return found{}, err
	}
	f := found{Container: r}
	f.task, f.silent = s.task(ctx, r.ID)
	return f, nil
}

// again looks at a container whose ID is known, and at its task, in one go.
func (s *Containers) again(ctx context.Context, id string) (found, error) {
	var f found
	var both errgroup.Group
	both.Go(func() (err error) {
		f.Container, err = s.c.ContainerService().Get(ctx, id)
		if errdefs.IsNotFound(err) {
			return container.NotFound(id)
		}
		return fault.Wrap(err, "look up container", id)
	})
	both.Go(func() error {
		f.task, f.silent = s.task(ctx, id)
		return nil
	})
	return f, both.Wait()
}

// record resolves a ref without asking for the task.
func (s *Containers) record(ctx context.Context, ref string) (containers.Container, error) {
	ref = strings.TrimPrefix(ref, "/")
	if ref == "" {
		return containers.Container{}, fault.New(fault.Invalid, "invalid container name or ID: value is empty")
	}
	// A filter is a regular expression in part, and its string is quoted Go:
	// a ref is checked before it is put into one.
	filters := []string{fmt.Sprintf("labels.%q==%s", labelName, strconv.Quote(ref))}
	if isHex(ref) {
		filters = append(filters, "id~=^"+ref)
	} else {
		filters = append(filters, "id=="+strconv.Quote(ref))
	}
	recs, err := s.c.ContainerService().List(ctx, filters...)
	if err != nil {
		return containers.Container{}, fault.Wrap(err, "look up container", ref)
	}
	var prefixed []containers.Container
	for _, r := range recs {
		if r.Labels[labelName] == ref {
			return r, nil
		}
	}
	for _, r := range recs {
		if r.ID == ref {
			return r, nil
		}
		if strings.HasPrefix(r.ID, ref) {
			prefixed = append(prefixed, r)
		}
	}
	switch len(prefixed) {
	case 0:
		return containers.Container{}, container.NotFound(ref)
	case 1:
		return prefixed[0], nil
	}
	return containers.Container{}, container.Ambiguous(ref)
}

// task gives the task of a container, nil when there is none.
func (s *Containers) task(ctx context.Context, id string) (*task.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	resp, err := s.c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		err = errgrpc.ToNative(err)
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	return resp.Process, nil
}

// Get gives one container.
func (s *Containers) Get(ctx context.Context, ref string) (container.Container, error) {
	f, err := s.find(ctx, ref)
	if err != nil {
		return container.Container{}, err
	}
	return s.value(f), nil
}

// ours reads the extension. Containers that nerdctl or ctr made have none:
// then what matters is read from the OCI spec.
func ours(c containers.Container) (record, bool) {
	var r record
	ext := c.Extensions[extension]
	if ext == nil || json.Unmarshal(ext.GetValue(), &r) != nil {
		return record{}, false
	}
	return r, true
}

func stateDir(c containers.Container) string { return c.Labels[labelStateDir] }

// value makes the snapshot that callers see.
func (s *Containers) value(f found) container.Container {
	return s.complete(s.describe(f.Container), f)
}

// description is what is known of a container without its task.
type description struct {
	container.Container
	life datastore.Lifecycle
}

func (s *Containers) describe(f containers.Container) description {
	l := f.Labels
	c := container.Container{
		ID: f.ID, Name: l[labelName], Image: image.Familiar(f.Image), Created: f.CreatedAt,
		Labels: userLabels(l), Runtime: f.Runtime.Name, Snapshotter: f.Snapshotter, SnapshotKey: f.SnapshotKey,
		Platform: l[labelPlatform], Error: l[labelError],
	}
	if l[labelPodName] != "" {
		c.Pod = l[labelPodNS] + "/" + l[labelPodName]
		if n := l[labelPodCtr]; n != "" {
			c.Pod += "/" + n
		}
		if c.Name == "" {
			c.Name = "k8s://" + c.Pod
		}
	}
	c.Restarts, _ = strconv.Atoi(l[labelRestarts])
	rec, mine := ours(f)
	if mine {
		c.Args, c.ImageID = rec.Args, rec.ImageID
		for k, v := range rec.Spec.Labels {
			if v == "" {
				c.Labels[k] = "" // containerd keeps no label without a value
			}
		}
		if !rec.Spec.Rootfs {
			c.Image = rec.Spec.Image // as it was typed, as docker shows it
		}
	} else if spec, err := ociSpec(f); err == nil && spec.Process != nil {
		c.Args = spec.Process.Args
	}
	dir := stateDir(f)
	if dir == "" {
		dir = s.store.Dir(f.ID)
	}
	c.Ports = ports(dir)
	c.Mounts = mountPoints(l)
	return description{c, datastore.ReadLifecycle(dir)}
}

// complete adds what the task tells.
func (s *Containers) complete(d description, f found) container.Container {
	c := d.Container
	s.status(&c, f, d.life)
	c.Networks = s.endpoints(f.Container, alive(c.Status))
	return c
}

// startSlack is between what we write down at a start and what the kernel says.
const startSlack = 2 * time.Second

func (s *Containers) status(c *container.Container, f found, life datastore.Lifecycle) {
	c.StartedAt = life.StartedAt
	switch {
	case f.silent != nil && f.task == nil:
		c.Status, c.Error = container.Unknown, "the shim does not answer: "+f.silent.Error()
		return
	case f.task == nil && life.StartedAt.IsZero():
		c.Status = container.Created
		return
	case f.task == nil:
		// It ran, and its task went with the host or the engine's state: docker
		// gives 255 for what was running when the host went down.
		c.Status, c.ExitCode = container.Exited, 255
		return
	}
	c.Pid = int(f.task.Pid)
	switch f.task.Status {
	case task.Status_RUNNING:
		c.Status = container.Running
	case task.Status_PAUSED, task.Status_PAUSING:
		c.Status = container.Paused
	case task.Status_CREATED:
		c.Status, c.Pid = container.Created, 0
	case task.Status_STOPPED:
		c.Status, c.Pid = container.Exited, 0
		c.ExitCode = int(f.task.ExitStatus)
		if f.task.ExitedAt != nil {
			c.FinishedAt = f.task.ExitedAt.AsTime()
		}
	default:
		c.Status, c.Error = container.Unknown, "the shim does not answer"
	}
	if c.Pid > 0 {
		// Another tool, or the restart monitor, may have started it since.
		if t, err := processStart(c.Pid); err == nil && t.Sub(c.StartedAt).Abs() > startSlack {
			c.StartedAt = t
		}
	}
}

// ownPrefixes are the labels that belong to the tools, not to the user.
var ownPrefixes = []string{"nerdctl/", "nsh/", "io.containerd.", "containerd.io/"}

func userLabels(all map[string]string) map[string]string {
	out := map[string]string{}
next:
	for k, v := range all {
		for _, p := range ownPrefixes {
			if strings.HasPrefix(k, p) {
				continue next
			}
		}
		out[k] = v
	}
	return out
}

// ports reads the published ports of a container.
func ports(dir string) []container.PortMapping {
	var cfg network.Config
	data, err := os.ReadFile(filepath.Join(dir, network.ConfigFile))
	if err != nil || json.Unmarshal(data, &cfg) != nil {
		return nil
	}
	return cfg.PortMappings
}

func networksOf(c containers.Container) []string {
	var nets []string
	_ = json.Unmarshal([]byte(c.Labels[labelNetworks]), &nets)
	return nets
}

func (s *Containers) endpoints(c containers.Container, running bool) []container.Endpoint {
	nets := networksOf(c)
	if running {
		if eps := s.net.Endpoints(c.Labels[labelNamespace], c.ID, nets); len(eps) > 0 {
			return eps
		}
	}
	eps := make([]container.Endpoint, 0, len(nets))
	for _, n := range nets {
		eps = append(eps, container.Endpoint{Network: n})
	}
	return eps
}

func mountPoints(labels map[string]string) []container.Mount {
	var out []container.Mount
	for i := 0; ; i++ {
		raw, ok := labels[labelMounts+strconv.Itoa(i)]
		if !ok {
			return out
		}
		var m container.Mount
		if json.Unmarshal([]byte(raw), &m) == nil {
			out = append(out, m)
		}
	}
}

func (s *Containers) size(ctx context.Context, c container.Container) *container.Size {
	sn := s.c.SnapshotService(c.Snapshotter)
	use, err := sn.Usage(ctx, c.SnapshotKey)
	if err != nil {
		return &container.Size{}
	}
	total := use.Size
	info, err := sn.Stat(ctx, c.SnapshotKey)
	for err == nil && info.Parent != "" {
		u, uerr := sn.Usage(ctx, info.Parent)
		if uerr != nil {
			break
		}
		total += u.Size
		info, err = sn.Stat(ctx, info.Parent)
	}
	return &container.Size{Writable: use.Size, Virtual: total}
}

// processStart tells when a process began, from /proc/PID/stat's starttime
// (proc_pid_stat(5), field 22, in ticks of 1/100 s since boot). It is right
// whoever started the container. Boot is counted back from now: btime in
// /proc/stat is only good to a second.
func processStart(pid int) (time.Time, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	i := strings.LastIndexByte(string(data), ')')
	fields := strings.Fields(string(data[i+1:]))
	if i < 0 || len(fields) < 20 {
		return time.Time{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(time.Duration(ticks)*(time.Second/100) - time.Duration(up.Nano())), nil
}
