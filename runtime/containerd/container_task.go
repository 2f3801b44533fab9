package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/datastore"
	"nsh/runtime/fault"
	"nsh/runtime/logging"
	"nsh/runtime/network"
	"nsh/runtime/network/hook"
)

// Start runs the container's process.
func (s *Containers) Start(ctx context.Context, ref string, streams *container.Streams) (container.Process, error) {
	r, err := s.record(ctx, ref)
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx, r)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// What it is, is asked when nobody else can be starting it.
	f, err := s.again(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if f.silent != nil {
		return nil, fault.Wrap(f.silent, "start container", ref)
	}
	if f.task != nil {
		switch f.task.Status {
		case task.Status_RUNNING:
			if streams != nil {
				return s.attach(ctx, f, *streams)
			}
			return &process{s: s, id: f.ID, pid: int(f.task.Pid)}, nil
		case task.Status_PAUSED, task.Status_PAUSING:
			return nil, fault.New(fault.Conflict, "cannot start a paused container, try unpause instead")
		default:
			if err := s.deleteTask(ctx, f.ID); err != nil {
				return nil, fault.Wrap(err, "take away the ended process of container", ref)
			}
		}
	}
	p, err := s.start(ctx, f.Container, streams)
	if err != nil {
		// Whatever the runtime has made goes, so that the next start begins anew.
		ctx := context.WithoutCancel(ctx)
		_ = s.kill9(ctx, f.ID)
		_ = s.deleteTask(ctx, f.ID)
		_ = s.disconnect(ctx, f.Container)
		err = startError(f.Container, err)
		s.note(ctx, f.Container, err.Error())
		return nil, err
	}
	if f.Labels[labelError] != "" {
		s.note(ctx, f.Container, "")
	}
	return p, nil
}

// note records why the last start failed, for ps and inspect. That it cannot be
// recorded changes nothing.
func (s *Containers) note(ctx context.Context, r containers.Container, text string) {
	const limit = 4000 // of containerd's 4096 for key and value
	r.Labels[labelError] = text[:min(len(text), limit)]
	_, _ = s.c.ContainerService().Update(ctx, r, "labels."+labelError)
}

// lock keeps others from starting or removing the container: it is held for as
// long as that takes, and by nobody who waits for a process to end.
func (s *Containers) lock(ctx context.Context, r containers.Container) (unlock func(), err error) {
	dir := stateDir(r)
	if dir == "" {
		dir = s.store.Dir(r.ID)
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil // made by another tool, or half removed
	}
	if err != nil {
		return nil, fault.Wrap(err, "lock container", container.ShortID(r.ID))
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, fault.Wrap(err, "lock", dir)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			f.Close()
			return nil, fault.Wrap(ctx.Err(), "wait for who starts or removes container", container.ShortID(r.ID))
		}
	}
}

func (s *Containers) start(ctx context.Context, r containers.Container, streams *container.Streams) (_ *process, err error) {
	dir := stateDir(r)
	spec, err := ociSpec(r)
	if err != nil {
		return nil, err
	}
	rec, _ := ours(r)
	for _, m := range ports(dir) {
		if err := network.Available(m); err != nil {
			return nil, err
		}
	}
	req := &tasks.CreateTaskRequest{ContainerID: r.ID, Options: nil}
	tty := spec.Process != nil && spec.Process.Terminal
	in := dir != "" && rec.Spec.OpenStdin
	if uri := r.Labels[labelLogURI]; uri != "" {
		req.Stdout, req.Stderr = uri, uri
	}
	req.Terminal = tty
	if in {
		req.Stdin = filepath.Join(dir, "stdin")
		if err := mkfifo(req.Stdin); err != nil {
			return nil, err
		}
		if !tty {
			// The shim passes stdin on only when all three are fifos, so the
			// helper is started from here and reads the other two.
			req.Stdout, req.Stderr = filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr")
			stop, err := s.logFifos(ctx, r, dir, req.Stdout, req.Stderr)
			if err != nil {
				return nil, err
			}
			defer func() {
				if err != nil {
					stop()
				}
			}()
		}
	}
	if r.SnapshotKey != "" {
		mounts, err := s.c.SnapshotService(r.Snapshotter).Mounts(ctx, r.SnapshotKey)
		if err != nil {
			return nil, fault.Wrap(err, "find the file system of container", r.Labels[labelName])
		}
		for _, m := range mounts {
			req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
		}
	}
	for _, f := range []string{portError, "init.pid"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, "remove", filepath.Join(dir, f))
		}
	}
	resp, err := s.c.TaskService().Create(ctx, req)
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	if in && !tty {
		// The log writer of fifos does not run in the bundle, where runc leaves this.
		if err := datastore.WriteFile(filepath.Join(dir, "init.pid"), []byte(strconv.Itoa(int(resp.Pid))), 0o600); err != nil {
			return nil, err
		}
	}
	// With a terminal the log writer, which takes the ports, is started after the
	// hook has looked for its complaint.
	if text, err := os.ReadFile(filepath.Join(dir, portError)); err == nil {
		return nil, fault.New(fault.Conflict, "driver failed programming external connectivity on endpoint: %s", strings.TrimSpace(string(text)))
	}
	p := &process{s: s, id: r.ID, pid: int(resp.Pid), tty: tty}
	if streams != nil {
		if err := p.connect(dir, *streams, in); err != nil {
			return nil, err
		}
		if tty && streams.Width > 0 {
			_ = p.Resize(ctx, streams.Width, streams.Height)
		}
		p.watch(ctx)
	}
	if err := (datastore.Lifecycle{StartedAt: time.Now()}).Write(dir); err != nil {
		return nil, err
	}
	if _, err := s.c.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: r.ID}); err != nil {
		return nil, errgrpc.ToNative(err)
	}
	return p, nil
}

// portError is where the log writer says that a port is taken.
const portError = "port-error"

// mkfifo makes a named pipe, or leaves the one that is there.
func mkfifo(path string) error {
	err := unix.Mkfifo(path, 0o600)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fault.Wrap(err, "make fifo", path)
	}
	return nil
}

// logFifos starts the helper for a container with an open stdin and no terminal,
// and returns when it is ready. It is nobody's child afterwards.
func (s *Containers) logFifos(ctx context.Context, r containers.Container, dir string, paths ...string) (stop func(), err error) {
	for _, p := range paths {
		if err := mkfifo(p); err != nil {
			return nil, err
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fault.Wrap(err, "open", os.DevNull)
	}
	defer null.Close()
	ready, w, err := os.Pipe()
	if err != nil {
		return nil, fault.Wrap(err, "make", "pipe")
	}
	defer ready.Close()
	cmd := exec.Command(s.s.Helper, "log-fifo", dir)
	cmd.Dir = dir
	cmd.Env = []string{"CONTAINER_ID=" + r.ID, "CONTAINER_NAMESPACE=" + r.Labels[labelNamespace]}
	cmd.ExtraFiles = []*os.File{null, null, w} // 3, 4 and 5, as containerd numbers them
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fault.Wrap(err, "start the log writer", s.s.Helper)
	}
	w.Close()
	go cmd.Wait()
	buf := make([]byte, 1)
	_, _ = ready.Read(buf)
	return func() { _ = cmd.Process.Kill() }, nil
}

// startError puts what the runtime said into docker's words, with the exit
// status that docker gives: 127 when the program is not there, 126 when it
// cannot be run (docker/cli, cli/command/container/run.go, toStatusError).
func startError(r containers.Container, err error) error {
	text := err.Error()
	// Only a text comes through the runtime: the kind of the hook's error is known by it.
	if _, said, ok := strings.Cut(text, "createRuntime hook #0: exit status 1, stdout: , stderr: "); ok {
		said = strings.TrimSpace(said)
		for _, ep := range networksOf(r) {
			if missing := network.NotFound(ep); said == missing.Error() {
				return missing
			}
		}
	}
	out := fault.New(fault.KindOf(err), "%s", text)
	if i := strings.Index(text, "OCI runtime create failed"); i >= 0 {
		text = strings.TrimPrefix(text[i:], "")
		out = fault.New(fault.Invalid, "failed to create task for container: failed to create shim task: %s", text)
	}
	out.Cause = nil
	for _, c := range []struct {
		part string
		code int
		hint string
	}{
		{"executable file not found", 127, "the image has no such program: check the command, or the PATH of the image"},
		{"no such file or directory", 127, "the program, or the interpreter that it names, is not in the image"},
		{"permission denied", 126, "the file is not executable for the user of the container"},
		{"is a directory", 126, "name a program, not a directory"},
	} {
		if strings.Contains(text, c.part) && strings.Contains(text, "exec") {
			out.Code, out.Hint = c.code, c.hint
			break
		}
	}
	if inner := fault.HintOf(err); inner != "" {
		out.Hint = inner
	}
	if out.Kind == fault.Internal {
		out.Kind = fault.Invalid
	}
	return out
}

// Stop asks the process to end, and kills it when it does not.
func (s *Containers) Stop(ctx context.Context, ref string, opts container.StopOptions) error {
	f, err := s.find(ctx, ref)
	if err != nil {
		return err
	}
	if f.task == nil && f.silent != nil {
		return fault.Wrap(f.silent, "stop container", ref)
	}
	if f.task == nil || f.task.Status == task.Status_STOPPED || f.task.Status == task.Status_CREATED {
		return nil
	}
	sig := opts.Signal
	if sig == "" {
		sig = f.Labels[labelStopSignal]
	}
	if sig == "" {
		sig = "SIGTERM"
	}
	n, err := container.ParseSignal(sig)
	if err != nil {
		return err
	}
	timeout := 10 * time.Second
	if secs, err := strconv.Atoi(f.Labels[labelStopTimeout]); err == nil {
		timeout = time.Duration(secs) * time.Second
	}
	if opts.Timeout != nil {
		timeout = *opts.Timeout
	}
	exit := s.waiter(ctx, f.ID, "")
	if f.task.Status == task.Status_PAUSED || f.task.Status == task.Status_PAUSING {
		if _, err := s.c.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: f.ID}); err != nil {
			return fault.Wrap(errgrpc.ToNative(err), "resume container", ref)
		}
	}
	if timeout != 0 {
		if err := s.signal(ctx, f.ID, "", n, false); err != nil && !gone(err) {
			return fault.Wrap(err, "stop container", ref)
		}
		var timer <-chan time.Time
		if timeout > 0 {
			t := time.NewTimer(timeout)
			defer t.Stop()
			timer = t.C
		}
		select {
		case e := <-exit:
			if e.err != nil && !gone(e.err) {
				return fault.Wrap(e.err, "stop container", ref)
			}
			return s.disconnect(ctx, f.Container)
		case <-timer:
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), "stop container", ref)
		}
	}
	if err := s.signal(ctx, f.ID, "", syscall.SIGKILL, true); err != nil && !gone(err) {
		return fault.Wrap(err, "kill container", ref)
	}
	select {
	case e := <-exit:
		if e.err != nil && !gone(e.err) {
			return fault.Wrap(e.err, "stop container", ref)
		}
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), "stop container", ref)
	}
	return s.disconnect(ctx, f.Container)
}

// disconnect frees the addresses and ports of a container whose process is
// gone. The helper does the same when a process ends by itself; both may.
func (s *Containers) disconnect(ctx context.Context, r containers.Container) error {
	nets := networksOf(r)
	if len(nets) == 0 || !cniNetwork(nets) {
		return nil
	}
	// The helper holds the ports until it has disconnected the container; one that
	// was killed holds nothing.
	ended := logging.Ended(stateDir(r))
	for end := time.Now().Add(helperDeadline); !ended() && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(2 * time.Millisecond)
	}
	return hook.Disconnect(ctx, s.net, s.hosts, s.request(r, nets))
}

func (s *Containers) request(r containers.Container, nets []string) network.Request {
	return network.Request{Namespace: r.Labels[labelNamespace], ID: r.ID, Networks: nets, Ports: ports(stateDir(r)), IP: r.Labels[labelIP], IP6: r.Labels[labelIP6], MAC: r.Labels[labelMAC]}
}

func (s *Containers) signal(ctx context.Context, id, exec string, sig syscall.Signal, all bool) error {
	_, err := s.c.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, ExecID: exec, Signal: uint32(sig), All: all})
	return errgrpc.ToNative(err)
}

// waiter gives the exit of a process. It asks at once, so that an exit right
// after is not missed.
func (s *Containers) waiter(ctx context.Context, id, exec string) <-chan exited {
	ch := make(chan exited, 1)
	go func() {
		resp, err := s.c.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: exec})
		if err != nil {
			ch <- exited{err: errgrpc.ToNative(err)}
			return
		}
		e := exited{Exit: container.Exit{Code: int(resp.ExitStatus)}}
		if resp.ExitedAt != nil {
			e.At = resp.ExitedAt.AsTime()
		}
		ch <- e
	}()
	return ch
}

type exited struct {
	container.Exit
	err error
}

// kill9 ends a task whatever state it is in and waits until it is dead.
func (s *Containers) kill9(ctx context.Context, id string) error {
	exit := s.waiter(ctx, id, "")
	err := s.signal(ctx, id, "", syscall.SIGKILL, true)
	if gone(err) && err != nil {
		return nil
	}
	select {
	case e := <-exit:
		if e.err != nil && !gone(e.err) {
			return e.err
		}
		return nil
	case <-time.After(killDeadline):
		return fault.New(fault.Timeout, "the process did not end within %s of SIGKILL: it hangs in the kernel, or its shim does not answer", killDeadline)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// helperDeadline is how long the helper may take to finish when a process has ended.
const helperDeadline = 10 * time.Second

// killDeadline is how long a process may take to die of SIGKILL: only one in
// uninterruptible sleep takes longer, and then nobody can tell how long.
const killDeadline = 10 * time.Second

// deleteTask removes an ended task; none is no error.
func (s *Containers) deleteTask(ctx context.Context, id string) error {
	_, err := s.c.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err = errgrpc.ToNative(err); gone(err) {
		return nil
	}
	return err
}

// Kill sends a signal to the main process.
func (s *Containers) Kill(ctx context.Context, ref, sig string) error {
	if sig == "" {
		sig = "SIGKILL"
	}
	n, err := container.ParseSignal(sig)
	if err != nil {
		return err
	}
	f, err := s.find(ctx, ref)
	if err != nil {
		return err
	}
	if f.task == nil || f.task.Status != task.Status_RUNNING && f.task.Status != task.Status_PAUSED {
		return container.CannotKill(ref, f.ID)
	}
	exit := s.waiter(ctx, f.ID, "")
	if err := s.signal(ctx, f.ID, "", n, n == syscall.SIGKILL); err != nil {
		return fault.Wrap(err, "kill container", ref)
	}
	if n == syscall.SIGKILL {
		select {
		case e := <-exit:
			if e.err != nil && !gone(e.err) {
				return fault.Wrap(e.err, "kill container", ref)
			}
			return s.disconnect(ctx, f.Container)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Pause freezes the container.
func (s *Containers) Pause(ctx context.Context, ref string) error {
	f, err := s.find(ctx, ref)
	if err != nil {
		return err
	}
	switch {
	case f.task == nil || f.task.Status == task.Status_STOPPED || f.task.Status == task.Status_CREATED:
		return fault.New(fault.Conflict, "container %s is not running", f.ID)
	case f.task.Status == task.Status_PAUSED:
		return container.AlreadyPaused(f.ID)
	}
	_, err = s.c.TaskService().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: f.ID})
	return fault.Wrap(errgrpc.ToNative(err), "pause container", ref)
}

// Unpause thaws it.
func (s *Containers) Unpause(ctx context.Context, ref string) error {
	f, err := s.find(ctx, ref)
	if err != nil {
		return err
	}
	if f.task == nil || f.task.Status != task.Status_PAUSED {
		return container.NotPaused(f.ID)
	}
	_, err = s.c.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: f.ID})
	return fault.Wrap(errgrpc.ToNative(err), "unpause container", ref)
}

// Wait blocks until the container does not run.
func (s *Containers) Wait(ctx context.Context, ref string) (container.Exit, error) {
	r, err := s.record(ctx, ref)
	if err != nil {
		return container.Exit{}, err
	}
	// Subscribed before the first look, or a start in between would be missed.
	events, _ := s.c.Subscribe(ctx, fmt.Sprintf(`topic=="/tasks/start",event.container_id==%q`, r.ID), fmt.Sprintf(`topic=="/containers/delete",event.id==%q`, r.ID))
	for {
		t, err := s.task(ctx, r.ID)
		switch {
		case err != nil:
			return container.Exit{}, fault.Wrap(ended(ctx, err), "wait for container", ref)
		case t != nil && t.Status == task.Status_STOPPED:
			return container.Exit{Code: int(t.ExitStatus), At: t.ExitedAt.AsTime()}, nil
		case t != nil && t.Status != task.Status_CREATED:
			e := <-s.waiter(ctx, r.ID, "")
			if e.err != nil && ctx.Err() == nil && gone(e.err) {
				return container.Exit{}, container.NotFound(ref)
			}
			return e.Exit, fault.Wrap(ended(ctx, e.err), "wait for container", ref)
		case t == nil && !datastore.ReadLifecycle(stateDir(r)).StartedAt.IsZero():
			return container.Exit{Code: 255}, nil
		}
		select {
		case ev := <-events:
			if ev != nil && ev.Topic == "/containers/delete" {
				return container.Exit{}, container.NotFound(ref)
			}
		case <-ctx.Done():
			return container.Exit{}, fault.Wrap(ctx.Err(), "wait for container", ref)
		}
	}
}

// ended gives the context's own error when a call failed because of its end: what
// gRPC makes of that depends on how far the call was.
func ended(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	// The deadline has passed, and the context's timer is still to notice.
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return err
}

// Rename takes the new name before it lets go of the old one.
func (s *Containers) Rename(ctx context.Context, ref, name string) error {
	r, err := s.record(ctx, ref)
	if err != nil {
		return err
	}
	name = strings.TrimPrefix(name, "/")
	if err := container.ValidateName(name); err != nil {
		return err
	}
	old := r.Labels[labelName]
	if old == name {
		return fault.New(fault.Invalid, "Renaming a container with the same name as its current name")
	}
	taken, err := s.store.TakeName(name, r.ID, s.exists(ctx))
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "Error when allocating new name: %s", err).WithHint("%s", fault.HintOf(err))
	}
	if err != nil {
		return err
	}
	r.Labels[labelName] = name
	if _, err := s.c.ContainerService().Update(ctx, r, "labels."+labelName); err != nil {
		_ = taken.Release()
		return fault.Wrap(err, "rename container", ref)
	}
	taken.Keep()
	if err := s.hosts.Rename(r.ID, name); err != nil {
		return err
	}
	return s.store.ReleaseName(old)
}

// Remove deletes a container. Each step takes it that another has done it
// before; the record goes when only name and files are left, so that a removal
// which is cut off can be done again.
func (s *Containers) Remove(ctx context.Context, ref string, opts container.RemoveOptions) error {
	r, err := s.record(ctx, ref)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := s.again(ctx, r.ID)
	if err != nil {
		return err
	}
	c := s.value(f)
	if alive(c.Status) && !opts.Force {
		return container.CannotRemove(cmp.Or(c.Name, c.ID), c.Status)
	}
	if c.Pod != "" && !opts.Force {
		return container.OfPod("remove", ref, c.Pod)
	}
	if f.task != nil {
		if alive(c.Status) || f.task.Status == task.Status_CREATED {
			if c.Status == container.Paused {
				_, _ = s.c.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: f.ID})
			}
			if err := s.kill9(ctx, f.ID); err != nil {
				return fault.Wrap(err, "kill container", ref)
			}
		}
		// Also with force: a process whose record is gone could not be found again.
		if err := s.deleteTask(ctx, f.ID); err != nil {
			return fault.Wrap(err, "remove the process of container", ref)
		}
	}
	if err := s.disconnect(ctx, f.Container); err != nil && !opts.Force {
		return fault.Wrap(err, "disconnect container", ref)
	}
	var kept error // a volume that cannot be removed does not keep the container
	if opts.Volumes {
		// Before the record goes: it is what tells which they are.
		kept = fault.Wrap(s.removeAnonymous(ctx, f.Container), "remove the anonymous volumes of container", ref)
	}
	// Both at once: a snapshot that stays without its record is collected by containerd.
	var both errgroup.Group
	if f.SnapshotKey != "" {
		both.Go(func() error {
			if err := s.c.SnapshotService(f.Snapshotter).Remove(ctx, f.SnapshotKey); err != nil && !gone(err) && !opts.Force {
				return fault.Wrap(err, "remove the file system of container", ref)
			}
			return nil
		})
	}
	both.Go(func() error {
		if err := s.c.ContainerService().Delete(ctx, f.ID); err != nil && !gone(err) {
			return fault.Wrap(err, "remove container", ref)
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		return err
	}
	// Nothing of what follows is found through the record: it is tried to the end.
	return errors.Join(
		kept,
		s.hosts.Remove(f.ID),
		s.store.ReleaseName(f.Labels[labelName]),
		s.store.RemoveDir(f.ID),
	)
}
