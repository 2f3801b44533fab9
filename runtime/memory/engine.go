// Package memory is an engine that keeps everything in memory: it implements
// [container.Service], [image.Service], [network.Service],
// [volume.Service] and [system.Service] without containerd,
// without root and without touching the machine. It ships inside nsh, so that
// people can test their scripts.
//
// What a script can see is what a real engine would show it: the same values,
// errors, orders and blocking. What is simulated is this.
//
// Images are real. Assemble makes the same bytes, and so the same digests, as
// on containerd; Save writes an archive that docker loads, and Load reads what
// docker saves. There is no registry: Pull finds what [Engine.Publish] put
// there, and with [Options].AnyImage makes up whatever is asked for.
//
// The files of a container are real as well, in memory: what the layers of its
// image hold, and what its processes write. Owners and permissions are kept
// but for the x bit not looked at.
//
// A process is a Go function, a [Program]. As on a real engine the image must
// hold an executable file of that name, or the start fails with exit status
// 127; but what the file does is decided by its base name alone:
//
//   - one that was given to [Engine.Register] is that function;
//   - one of the built-in programs does what POSIX says of it, in a small way:
//     true false echo printf cat head wc sleep sh (ash, bash, dash) env printenv
//     pwd id whoami hostname uname kill tail seq date ls mkdir touch rm cp test [
//     yes, and busybox with one of them as its first argument. The shell has the whole
//     POSIX syntax;
//   - a file that begins with #! is run by the program it names;
//   - anything else is a server: it writes nothing and runs until SIGTERM,
//     SIGINT or SIGQUIT, upon which it exits with status 0.
//
// Signals do what they do in a PID namespace: the main process is not ended by one
// that it does not catch, but for SIGKILL, unless the container has an init.
// A killed process is gone at once for everybody else; its function learns of it from
// its context, and nothing that it still writes is seen. A paused container's
// processes block when they next write, sleep or are sent a signal.
//
// Networks are pools of addresses, ports a table: both have the conflicts of
// real ones, and nothing listens. Volumes are files that their containers share. Limits,
// capabilities, devices, mounts of the host and all else that confines a container is recorded, shown by Inspect, and
// without effect. A terminal turns "\n" into "\r\n" and does nothing else: it
// does not echo.
package memory

import (
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nsh/runtime/container"
)

// Options of an [Engine]. The zero value is a useful engine with the bridge
// network, random IDs and the time of the machine.
type Options struct {
	// Seed makes IDs the same on each run, where what is created is created
	// in the same order. 0: random ones.
	Seed uint64
	// Clock is what time it is and how long sleeping takes; nil: the machine's.
	Clock Clock
	// Networks are the networks there are beside bridge, host and none.
	Networks []string
	// AnyImage makes Pull succeed for any name, with an image that holds all
	// programs and runs a server.
	AnyImage bool
}

// Engine is the state that the services share. It must be made by [New].
// All methods are safe to call at once.
type Engine struct {
	Containers *Containers
	Images     *Images
	Volumes    *Volumes
	Networks   *Networks
	System     *System

	opts  Options
	clock Clock
	pids  atomic.Int64

	stamps sync.Mutex // taken last, whatever else is held
	last   time.Time  // of the last stamp

	mu       sync.Mutex
	rand     *rand.Rand // nil: crypto/rand
	boxes    map[string]*box
	volumes  map[string]*store
	nets     map[string]*web
	ports    map[portKey][]portUser
	programs map[string]program
}

// firstPid is beyond the largest process ID of Linux (PID_MAX_LIMIT, 2^22), so
// that a script which takes one to the host finds nobody there.
const firstPid = 1<<22 + 1

// New makes an empty engine.
func New(opts Options) *Engine {
	e := &Engine{
		opts: opts, clock: opts.Clock, boxes: map[string]*box{}, volumes: map[string]*store{}, nets: map[string]*web{},
		ports: map[portKey][]portUser{}, programs: builtins(),
	}
	e.pids.Store(firstPid - 1)
	if e.clock == nil {
		e.clock = machineClock{}
	}
	if opts.Seed != 0 {
		e.rand = rand.New(rand.NewPCG(opts.Seed, 0))
	}
	e.Containers = &Containers{e: e}
	e.Images = newImages(e)
	e.Volumes = &Volumes{e: e}
	e.Networks = newNetworks(e, opts.Networks)
	e.System = &System{e: e}
	return e
}

// Register makes p what files of that base name do, in all containers that are
// started from now on. It replaces a built-in program of that name, and puts the file
// into the images that Pull makes up. The signals are caught from the very
// beginning; without them, one that is sent right after the start comes before p
// has called [Process.Catch].
func (e *Engine) Register(name string, p Program, catches ...syscall.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.programs[name] = program{p, catches}
}

// newID is called with the lock held.
func (e *Engine) newID() string {
	for e.rand != nil {
		var raw [32]byte
		for i := range raw {
			raw[i] = byte(e.rand.Uint32())
		}
		id := hex.EncodeToString(raw[:])
		if _, err := strconv.ParseInt(container.ShortID(id), 10, 64); err != nil {
			return id
		}
	}
	return container.NewID()
}

// stamp is the time, a different one at each call, so that what was made later
// is newer.
func (e *Engine) stamp() time.Time {
	e.stamps.Lock()
	defer e.stamps.Unlock()
	t := e.clock.Now().UTC().Round(0)
	if !t.After(e.last) {
		t = e.last.Add(1)
	}
	e.last = t
	return t
}

// now is the time, never before the last stamp.
func (e *Engine) now() time.Time {
	e.stamps.Lock()
	defer e.stamps.Unlock()
	if t := e.clock.Now().UTC().Round(0); t.After(e.last) {
		return t
	}
	return e.last
}

// takePid numbers the processes of all containers.
func (e *Engine) takePid() int { return int(e.pids.Add(1)) }
