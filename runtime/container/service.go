package container

import (
	"context"
	"errors"
	"io"
)

// Service is everything that can be done to containers.
//
// A ref names one container by its name, its full ID or a unique prefix of the
// ID, in that order. A ref that matches nothing is an error of kind not_found
// with docker's wording ("No such container: x"); a prefix of several is
// invalid. All methods are safe to call at once, and may be called for the same
// container at once: whoever comes second sees what the first one left. A
// method blocks until the change is made, or until ctx ends; after an error the
// container is as it was, or gone if the method was making it, unless the
// method says otherwise.
type Service interface {
	// List gives all containers, newest first. A container whose shim does
	// not answer within the deadline is listed as Unknown, never left out.
	List(ctx context.Context, opts ListOptions) ([]Container, error)

	// Get gives one container.
	Get(ctx context.Context, ref string) (Container, error)

	// Inspect gives one container with all that is recorded of it.
	Inspect(ctx context.Context, ref string, sizes bool) (Detail, error)

	// Create makes a container that is not started. It takes the name (kind
	// conflict when it is in use) and writes the record first, so that a
	// creation that is cut off can be listed and removed.
	Create(ctx context.Context, spec Spec) (Container, error)

	// Start runs the container's process. With streams it connects them
	// before the process can write, so that nothing is lost; the process
	// then goes on when the caller dies. Starting a running container is
	// no error; then streams are attached as Attach does.
	Start(ctx context.Context, ref string, streams *Streams) (Process, error)

	// Attach connects to the main process of a running container. Several
	// may be attached at once; each sees all output from then on.
	Attach(ctx context.Context, ref string, streams Streams) (Process, error)

	// Exec runs a further process. The container must be running.
	Exec(ctx context.Context, ref string, spec ExecSpec, streams Streams) (Process, error)

	// Stop asks the process to end and kills it after the timeout. Stopping a
	// container that does not run is no error. The network stays until
	// the process is gone.
	Stop(ctx context.Context, ref string, opts StopOptions) error

	// Kill sends a signal. The container must be running (conflict).
	Kill(ctx context.Context, ref string, signal string) error

	// Pause freezes all processes; Unpause thaws them. The container must be
	// in the other state (conflict).
	Pause(ctx context.Context, ref string) error
	Unpause(ctx context.Context, ref string) error

	// Rename gives a container another name; kind conflict when it is taken.
	Rename(ctx context.Context, ref, name string) error

	// Update changes limits of a container, also of one that runs, which goes on
	// meanwhile. A limit that the kernel does not take leaves all as they were.
	Update(ctx context.Context, ref string, update Update) error

	// Remove deletes a container and all that belongs to it: task, snapshot,
	// addresses, files, name. It takes what is half there, too. A running
	// container is a conflict unless forced.
	Remove(ctx context.Context, ref string, opts RemoveOptions) error

	// RemoveAtExit arranges that a container is removed when its process ends,
	// though nobody waits for that. Until release is called, or the caller dies, it
	// is the caller's business: he removes it himself, or calls release.
	RemoveAtExit(ctx context.Context, ref string) (release func(), err error)

	// Wait blocks until the container does not run, and tells how it ended.
	// For one that was never started it waits for the first end.
	Wait(ctx context.Context, ref string) (Exit, error)

	// Logs calls fn for each line that is asked for, oldest first. With
	// Follow it goes on until the container has ended and all that it wrote
	// has been seen, or until ctx ends, which then is no error.
	Logs(ctx context.Context, ref string, opts LogOptions, fn func(LogLine) error) error

	// Top lists the processes of a running container. args are those of
	// ps(1); the default is "-ef".
	Top(ctx context.Context, ref string, args []string) (Processes, error)
}

// Streams is what a process in the foreground is connected to. A nil Stdin is
// an input at its end; a nil Stdout or Stderr drops what comes.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// DetachKeys ends the connection, not the process, when they are read on
	// Stdin: Process.Wait returns ErrDetached. Empty: no such keys.
	DetachKeys []byte
	// Width and Height of the terminal at the start, when there is one.
	Width, Height int
}

// Process is a process in a container that this program is connected to.
type Process interface {
	// Pid on the host.
	Pid() int
	// Wait blocks until the process has ended and all its output has been
	// written to the streams. It returns ErrDetached when the user detached,
	// and ctx's error, with the process still running, when ctx ends. It may
	// be called once.
	Wait(ctx context.Context) (Exit, error)
	// Signal sends a signal by name or number.
	Signal(ctx context.Context, signal string) error
	// Resize tells the process the size of its terminal.
	Resize(ctx context.Context, width, height int) error
}

// ErrDetached is what Wait returns when the user typed the detach keys.
var ErrDetached = errors.New("detached")
