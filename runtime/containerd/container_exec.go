package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/fifo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Exec runs a further process. Its streams are fifos between the shim and this
// program; the process goes on when this program dies, and blocks or gets an error
// when it then writes, as one under any terminal does.
func (s *Containers) Exec(ctx context.Context, ref string, es container.ExecSpec, streams container.Streams) (container.Process, error) {
	f, err := s.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	switch {
	case f.task == nil || f.task.Status == task.Status_STOPPED || f.task.Status == task.Status_CREATED:
		return nil, fault.New(fault.Conflict, "container %s is not running", f.ID).WithHint("start it with 'start %s'", ref)
	case f.task.Status == task.Status_PAUSED:
		return nil, container.PausedExec(ref)
	}
	spec, err := ociSpec(f.Container)
	if err != nil {
		return nil, err
	}
	proc, err := execProcess(spec, int(f.task.Pid), es)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(proc)
	if err != nil {
		return nil, err
	}
	p := &process{s: s, id: f.ID, exec: container.NewID(), tty: es.TTY}
	req := &tasks.ExecProcessRequest{
		ContainerID: f.ID, ExecID: p.exec, Terminal: es.TTY,
		Spec: &anypb.Any{TypeUrl: fmt.Sprintf("types.containerd.io/opencontainers/runtime-spec/%d/Process", specs.VersionMajor), Value: raw},
	}
	if !es.Detach {
		if err := p.pipes(stateDir(f.Container), streams, req); err != nil {
			return nil, err
		}
	}
	fail := func(err error) (container.Process, error) {
		p.close()
		if p.cleanup != nil {
			p.cleanup()
		}
		return nil, startError(f.Container, err)
	}
	if _, err := s.c.TaskService().Exec(ctx, req); err != nil {
		return fail(errgrpc.ToNative(err))
	}
	p.watch(ctx)
	resp, err := s.c.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: f.ID, ExecID: p.exec})
	if err != nil {
		s.deleteExec(context.WithoutCancel(ctx), p)
		return fail(execError(errgrpc.ToNative(err)))
	}
	p.pid = int(resp.Pid)
	if es.TTY && streams.Width > 0 {
		_ = p.Resize(ctx, streams.Width, streams.Height)
	}
	rm := p.cleanup
	p.cleanup = func() {
		s.deleteExec(context.WithoutCancel(ctx), p)
		if rm != nil {
			rm()
		}
	}
	return p, nil
}

// execError drops the layers that add nothing between docker's sentence and
// what the runtime said.
func execError(err error) error {
	text := err.Error()
	if i := strings.Index(text, "OCI runtime exec failed"); i >= 0 {
		return fault.New(fault.Invalid, "%s", text[i:])
	}
	return err
}

func (s *Containers) deleteExec(ctx context.Context, p *process) {
	_, _ = s.c.TaskService().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: p.id, ExecID: p.exec})
}

// execProcess is the container's own process with what the exec changes. Users
// are looked up in the running container's root.
func execProcess(spec *specs.Spec, pid int, es container.ExecSpec) (*specs.Process, error) {
	p := *spec.Process
	p.Args = es.Command
	p.Terminal = es.TTY
	p.Env = container.MergeEnv(p.Env, es.Env)
	if es.TTY {
		p.Env = container.MergeEnv([]string{"TERM=xterm"}, p.Env)
	}
	if es.WorkDir != "" {
		p.Cwd = es.WorkDir
	}
	if es.User != "" {
		acc, err := accountsIn(fmt.Sprintf("/proc/%d/root", pid))
		if err != nil {
			return nil, err
		}
		if p.User, err = acc.user(es.User, nil); err != nil {
			return nil, err
		}
	}
	if es.Privileged {
		all, err := cap.Current()
		if err != nil {
			return nil, fault.Wrap(err, "read the capabilities of", "nsh")
		}
		p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		p.ApparmorProfile = ""
	}
	return &p, nil
}

// pipes makes the fifos of an exec and connects the streams. The fifos lie in
// the container's directory, so that they go with it at the latest.
func (p *process) pipes(dir string, streams container.Streams, req *tasks.ExecProcessRequest) error {
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "nsh-exec-"+p.id)
	}
	dir = filepath.Join(dir, "exec", p.exec[:16])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, "make directory", dir)
	}
	p.cleanup = func() { os.RemoveAll(dir) }
	ctx := context.Background()
	open := func(name string, flags int) (io.ReadWriteCloser, string, error) {
		path := filepath.Join(dir, name)
		f, err := fifo.OpenFifo(ctx, path, flags|unix.O_CREAT|unix.O_NONBLOCK, 0o600)
		return f, path, fault.Wrap(err, "open fifo", path)
	}
	var outputs sync.WaitGroup
	take := func(name string, to io.Writer) (string, error) {
		f, path, err := open(name, unix.O_RDONLY)
		if err != nil {
			return "", err
		}
		p.closers = append(p.closers, f)
		outputs.Add(1)
		go func() {
			defer outputs.Done()
			_, _ = io.Copy(orDiscard(to), f)
		}()
		return path, nil
	}
	var err error
	if req.Stdout, err = take("stdout", streams.Stdout); err != nil {
		return err
	}
	if !p.tty {
		if req.Stderr, err = take("stderr", streams.Stderr); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	p.output = done
	go func() { outputs.Wait(); done <- nil }()
	if streams.Stdin == nil {
		return nil
	}
	f, path, err := open("stdin", unix.O_WRONLY)
	if err != nil {
		return err
	}
	req.Stdin = path
	p.closers = append(p.closers, f)
	p.feed(f, streams)
	return nil
}
