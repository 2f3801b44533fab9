package containerd

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs/pkg/errgrpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Native is what `inspect --mode native` shows: containerd's record as it is,
// with the OCI spec decoded, and the task.
type Native struct {
	ID          string
	Labels      map[string]string
	Image       string
	Runtime     map[string]any
	Spec        *specs.Spec
	SnapshotKey string
	Snapshotter string
	CreatedAt   string
	UpdatedAt   string
	Process     *NativeProcess `json:",omitempty"`
}

// NativeProcess is the task in a Native.
type NativeProcess struct {
	Pid    int
	Status map[string]any
	NetNS  string `json:",omitempty"`
}

// Inspect gives one container with all that is recorded of it. What a
// container that nerdctl made was asked to be is read back from its OCI spec.
func (s *Containers) Inspect(ctx context.Context, ref string, sizes bool) (container.Detail, error) {
	f, err := s.find(ctx, ref)
	if err != nil {
		return container.Detail{}, err
	}
	spec, err := ociSpec(f.Container)
	if err != nil {
		return container.Detail{}, err
	}
	d := container.Detail{Container: s.value(f), StateDir: stateDir(f.Container)}
	if rec, ok := ours(f.Container); ok {
		d.Spec, d.Recorded = rec.Spec, true
	}
	asRun(&d, spec)
	d.Spec.Name = d.Name
	if d.StateDir != "" {
		d.ResolvConf = filepath.Join(d.StateDir, "resolv.conf")
		d.Hostname = filepath.Join(d.StateDir, "hostname")
		d.LogPath = filepath.Join(d.StateDir, d.ID+"-json.log")
		d.HostsPath = s.hosts.Path(d.ID)
	}
	if d.Pid > 0 {
		d.NetNS = fmt.Sprintf("/proc/%d/ns/net", d.Pid)
	}
	if sizes {
		d.Size = s.size(ctx, d.Container)
	}
	n := Native{
		ID: f.ID, Labels: f.Labels, Image: f.Image, Spec: spec, SnapshotKey: f.SnapshotKey, Snapshotter: f.Snapshotter,
		Runtime:   map[string]any{"Name": f.Runtime.Name},
		CreatedAt: f.CreatedAt.Format("2006-01-02T15:04:05.999999999Z07:00"), UpdatedAt: f.UpdatedAt.Format("2006-01-02T15:04:05.999999999Z07:00"),
	}
	if f.task != nil {
		n.Process = &NativeProcess{Pid: int(f.task.Pid), Status: map[string]any{"Status": strings.ToLower(f.task.Status.String()), "ExitStatus": f.task.ExitStatus}, NetNS: d.NetNS}
	}
	d.Native = n
	return d, nil
}

// asRun fills what the OCI spec knows better than the request: the image's
// parts are merged in there.
func asRun(d *container.Detail, spec *specs.Spec) {
	d.Spec.Image = d.Image
	if spec.Process == nil {
		return
	}
	d.Args = spec.Process.Args
	d.Spec.Env = spec.Process.Env
	d.Spec.WorkDir = spec.Process.Cwd
	d.Spec.TTY = spec.Process.Terminal
	if d.Spec.Hostname == "" {
		d.Spec.Hostname = spec.Hostname
	}
	if spec.Root != nil {
		d.Spec.ReadOnly = spec.Root.Readonly
	}
}

// Top runs ps on the host and keeps the rows of the container's processes, as
// dockerd does.
func (s *Containers) Top(ctx context.Context, ref string, args []string) (container.Processes, error) {
	var out container.Processes
	f, err := s.find(ctx, ref)
	if err != nil {
		return out, err
	}
	if f.task == nil || f.task.Status != task.Status_RUNNING && f.task.Status != task.Status_PAUSED {
		return out, fault.New(fault.Conflict, "container %s is not running", f.ID)
	}
	resp, err := s.c.TaskService().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: f.ID})
	if err != nil {
		return out, fault.Wrap(errgrpc.ToNative(err), "list the processes of container", ref)
	}
	var pids []string
	for _, p := range resp.Processes {
		pids = append(pids, strconv.Itoa(int(p.Pid)))
	}
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	text, err := exec.CommandContext(ctx, "ps", args...).Output()
	if err != nil {
		if ee, ok := err.(*exec.ExitError); ok {
			return out, fault.New(fault.Invalid, "ps: %s", strings.TrimSpace(string(ee.Stderr))).WithHint("the arguments are those of ps(1) on the host")
		}
		return out, fault.Wrap(err, "run", "ps")
	}
	return parsePS(string(text), pids)
}

// parsePS keeps the rows of pids. The last column takes the rest of its line: a
// command has blanks.
func parsePS(text string, pids []string) (out container.Processes, err error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	out.Titles = strings.Fields(lines[0])
	col := slices.Index(out.Titles, "PID")
	if col < 0 {
		return out, fault.New(fault.Invalid, "Couldn't find PID field in ps output").WithHint("ask ps for the column pid, too")
	}
	for _, l := range lines[1:] {
		fields := strings.Fields(l)
		if len(fields) <= col || !slices.Contains(pids, fields[col]) {
			continue
		}
		n := len(out.Titles)
		if len(fields) > n {
			fields = append(fields[:n-1:n-1], strings.Join(fields[n-1:], " "))
		}
		out.Rows = append(out.Rows, fields)
	}
	return out, nil
}
