package containerd

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/stdio"
)

// process is a main process or an exec that this program may be connected to.
type process struct {
	s    *Containers
	id   string
	exec string // "" for the main process
	pid  int
	tty  bool

	exit     <-chan exited
	output   <-chan error  // closed or sent to when all output has been written
	detached chan struct{} // closed when the detach keys were typed
	closers  []io.Closer
	cleanup  func()
}

// Attach connects to the main process.
func (s *Containers) Attach(ctx context.Context, ref string, streams container.Streams) (container.Process, error) {
	f, err := s.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	if f.task == nil || f.task.Status == task.Status_STOPPED || f.task.Status == task.Status_CREATED {
		return nil, fault.New(fault.Conflict, "container %s is not running", f.ID).WithHint("start it with 'start -a %s'", ref)
	}
	if f.task.Status == task.Status_PAUSED {
		return nil, fault.New(fault.Conflict, "container %s is paused, unpause the container before attach", f.ID)
	}
	return s.attach(ctx, f, streams)
}

func (s *Containers) attach(ctx context.Context, f found, streams container.Streams) (container.Process, error) {
	spec, err := ociSpec(f.Container)
	if err != nil {
		return nil, err
	}
	rec, _ := ours(f.Container)
	p := &process{s: s, id: f.ID, pid: int(f.task.Pid), tty: spec.Process != nil && spec.Process.Terminal}
	if err := p.connect(stateDir(f.Container), streams, rec.Spec.OpenStdin); err != nil {
		return nil, err
	}
	p.watch(ctx)
	if p.tty && streams.Width > 0 {
		// A change of size makes full-screen programs draw themselves anew.
		_ = p.Resize(ctx, streams.Width, streams.Height+1)
		_ = p.Resize(ctx, streams.Width, streams.Height)
	}
	return p, nil
}

// connect joins the helper's socket for the output, and opens the fifo for the
// input when there is one.
func (p *process) connect(dir string, streams container.Streams, in bool) error {
	conn, err := stdio.Dial(dir)
	if err != nil {
		return fault.Wrap(err, "connect to the output of container", container.ShortID(p.id))
	}
	p.closers = append(p.closers, conn)
	done := make(chan error, 1)
	p.output = done
	go func() { done <- conn.Copy(orDiscard(streams.Stdout), orDiscard(streams.Stderr)) }()
	if !in || streams.Stdin == nil {
		return nil
	}
	w, err := openStdin(filepath.Join(dir, "stdin"))
	if err != nil {
		return fault.Wrap(err, "connect to the input of container", container.ShortID(p.id))
	}
	p.closers = append(p.closers, w)
	p.feed(w, streams)
	return nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// openStdin opens the fifo for writing. Without a reader, which is when the
// process was started without its input, that would block for ever.
func openStdin(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// feed passes the input on until its end, or until the detach keys.
func (p *process) feed(w io.WriteCloser, streams container.Streams) {
	p.detached = make(chan struct{})
	go func() {
		in := streams.Stdin
		if p.tty && len(streams.DetachKeys) > 0 {
			in = container.DetachReader(in, streams.DetachKeys)
		}
		_, err := io.Copy(w, in)
		if errors.Is(err, container.ErrDetached) {
			close(p.detached)
			return
		}
		w.Close()
		if !p.tty {
			// The shim holds the fifo open, too: only it can end the input.
			_, _ = p.s.c.TaskService().CloseIO(context.Background(), &tasks.CloseIORequest{ContainerID: p.id, ExecID: p.exec, Stdin: true})
		}
	}()
}

// watch asks for the exit before the process can have one.
func (p *process) watch(ctx context.Context) {
	p.exit = p.s.waiter(context.WithoutCancel(ctx), p.id, p.exec)
}

func (p *process) Pid() int { return p.pid }

// outputDeadline is how long output may keep coming after the process has
// ended: the helper passes on what is in the pipes and then says so.
const outputDeadline = 30 * time.Second

func (p *process) Wait(ctx context.Context) (container.Exit, error) {
	if p.exit == nil {
		p.watch(ctx)
	}
	defer p.close()
	select {
	case e := <-p.exit:
		if e.err != nil {
			return container.Exit{}, fault.Wrap(e.err, "wait for", container.ShortID(p.id))
		}
		if p.output != nil {
			select {
			case <-p.output:
			case <-time.After(outputDeadline):
			case <-ctx.Done():
			}
		}
		if p.cleanup != nil {
			p.cleanup()
		}
		return e.Exit, nil
	case <-p.detached:
		return container.Exit{}, container.ErrDetached
	case <-ctx.Done():
		return container.Exit{}, ctx.Err()
	}
}

func (p *process) close() {
	for _, c := range p.closers {
		c.Close()
	}
}

func (p *process) Signal(ctx context.Context, sig string) error {
	n, err := container.ParseSignal(sig)
	if err != nil {
		return err
	}
	if err := p.s.signal(ctx, p.id, p.exec, n, false); err != nil && !gone(err) {
		return fault.Wrap(err, "signal", container.ShortID(p.id))
	}
	return nil
}

func (p *process) Resize(ctx context.Context, width, height int) error {
	_, err := p.s.c.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{ContainerID: p.id, ExecID: p.exec, Width: uint32(width), Height: uint32(height)})
	return errgrpc.ToNative(err)
}
