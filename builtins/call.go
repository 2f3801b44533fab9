package builtins

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/spf13/pflag"

	"nsh/runtime/container"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/plan"
	"nsh/runtime/recorder"
	"nsh/runtime/system"
	"nsh/runtime/undo"
	"nsh/runtime/volume"
)

// Engine is what verbs act on: one interface a noun. Containerd implements
// them, and so does the in-memory engine; plan mode and audit wrap them.
type Engine struct {
	Containers container.Service
	Images     image.Service
	Volumes    volume.Service
	Networks   network.Service
	System     system.Service
	Close      func() error
}

// Env is what all calls of one session share. It is made once by the front end
// and safe to use at once.
type Env struct {
	// Program is the name that help and errors use: docker, nerdctl or nsh.
	Program  string
	Version  string
	Settings *engine.Settings
	// MaxSteps bounds a script or an entry; 0: no bound.
	MaxSteps uint64
	// Globals adds the flags that go with every command in their long form.
	Globals func(*pflag.FlagSet)
	// Connect finds or starts the engine. It is called at the first verb that
	// needs it, and again after it failed.
	Connect func(ctx context.Context) (*Engine, error)
	// Reach is Connect that starts nothing: (nil, nil) when no engine runs. Nil:
	// completion knows no names.
	Reach func(ctx context.Context) (*Engine, error)
	// Notices is where the warnings of calls from scripts go; nil drops them.
	Notices io.Writer
	// Interactive is set at a prompt: what a destructive verb may ask.
	Interactive bool

	mu      sync.Mutex
	engine  *Engine
	planOf  *plan.Plan
	planned *Engine
	proxies atomic.Int32
	known   known
}

// Proxying tells whether a process in the foreground gets this process's
// signals: then they are not for nsh itself.
func (e *Env) Proxying() bool { return e.proxies.Load() > 0 }

// Engine connects when that has not been done. A context with a plan gets the
// plan's recorders in front of the engine: this is the one switch of plan mode. One
// with a journal gets what remembers how to undo.
func (e *Env) Engine(ctx context.Context) (*Engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.engine == nil {
		eng, err := e.Connect(ctx)
		if err != nil {
			return nil, err
		}
		e.engine = eng
	}
	p := plan.From(ctx)
	if p == nil {
		if j := undo.From(ctx); j != nil {
			return &Engine{
				Containers: undo.WrapContainers(j, e.engine.Containers), Images: undo.WrapImages(j, e.engine.Images),
				Volumes: undo.WrapVolumes(j, e.engine.Volumes), Networks: undo.WrapNetworks(j, e.engine.Networks), System: e.engine.System,
			}, nil
		}
		return e.engine, nil
	}
	if e.planned == nil || e.planOf != p {
		r := recorder.Wrap(p, recorder.Services{Containers: e.engine.Containers, Images: e.engine.Images, Volumes: e.engine.Volumes, Networks: e.engine.Networks, System: e.engine.System})
		e.planOf, e.planned = p, &Engine{Containers: r.Containers, Images: r.Images, Volumes: r.Volumes, Networks: r.Networks, System: r.System}
	}
	return e.planned, nil
}

// reach is Engine for those who must not start one: nil when none runs.
func (e *Env) reach(ctx context.Context) *Engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.engine == nil && e.Reach != nil {
		e.engine, _ = e.Reach(ctx)
	}
	return e.engine
}

// Close lets go of the engine. Containers go on.
func (e *Env) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.engine == nil || e.engine.Close == nil {
		return nil
	}
	err := e.engine.Close()
	e.engine = nil
	return err
}

// Call is one call of a verb: who calls, and what it reads and writes. It
// belongs to the goroutine that runs the verb.
type Call struct {
	context.Context
	*Env
	*Engine
	Verb *Verb
	Path string // as the verb was called on a command line

	// Script is set when Starlark calls: then the verb gives its output as a
	// value instead of writing it.
	Script bool

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// TTY is the terminal behind the streams; nil when there is none.
	TTY TTY
}

// TTY is a terminal that a process in a container can be given.
type TTY interface {
	// Size in columns and rows.
	Size() (width, height int, err error)
	// Raw takes the terminal out of line mode until restore is called.
	Raw() (restore func(), err error)
	// OnResize calls fn after each change of size until stop is called.
	OnResize(fn func(width, height int)) (stop func())
	// IsInput and IsOutput tell which of the streams are the terminal.
	IsInput() bool
	IsOutput() bool
}

// usageError is a mistake in the command line itself: it is printed without
// naming the engine, and the help is pointed to.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// misuse makes the error for parameters that do not go together.
func misuse(format string, args ...any) error {
	return usageError{fault.New(fault.Invalid, format, args...)}
}

// wrong marks an error of a parser as a mistake in the command line.
func wrong(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		err = fault.New(fault.Invalid, "%s", err)
	}
	return usageError{err}
}

// eachLimit bounds how many containers or images one verb works on at once:
// docker's client uses 50 connections at the most, a machine with two cores
// gains nothing beyond this.
const eachLimit = 16

// each does fn for all items, eachLimit at once, and gives the results of those
// that went well, in the order of the items, and the errors joined. Every item
// is tried.
func each[T, R any](ctx context.Context, items []T, fn func(context.Context, T) (R, error)) ([]R, error) {
	results := make([]R, len(items))
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	limit := eachLimit
	if plan.From(ctx) != nil {
		limit = 1 // a plan reads in the order of what was asked for
	}
	slots := make(chan struct{}, limit)
	for i, item := range items {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				results[i], errs[i] = fn(ctx, item)
			}
		}()
	}
	wg.Wait()
	var ok []R
	for i := range items {
		if errs[i] == nil {
			ok = append(ok, results[i])
		}
	}
	return ok, joinErrors(errs)
}

// joinErrors is nil for no error, and the error itself for one.
func joinErrors(errs []error) error {
	var some []error
	for _, err := range errs {
		if err != nil {
			some = append(some, err)
		}
	}
	if len(some) == 1 {
		return some[0]
	}
	return errors.Join(some...)
}

func (e *Env) notices() io.Writer {
	if e.Notices == nil {
		return io.Discard
	}
	return e.Notices
}
