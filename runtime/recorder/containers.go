// Package recorder puts a plan between the verbs and an engine: reads pass, writes are
// noted as [plan.Change] and made in a copy of the state that only the plan sees, so that
// what comes after finds what it expects.
package recorder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/image"
	"nsh/runtime/plan"
)

// Containers is a [container.Service] that notes what would be done instead of doing
// it. What is planned is seen by what comes after: a container that would be created
// is listed, one that would be removed is not. Safe to call at once.
type Containers struct {
	plan   *plan.Plan
	real   container.Service
	images *Images
	// volumes are made by containers, too; set by Wrap.
	volumes *Volumes

	mu sync.Mutex
	// state is how planned or changed containers look, by ID, newest last; that of
	// a removed one is nil.
	state map[string]*container.Detail
	order []string // the IDs of planned ones
}

var _ container.Service = (*Containers)(nil)

// WrapContainers makes the recorder in front of real.
func WrapContainers(p *plan.Plan, real container.Service, images *Images) *Containers {
	return &Containers{plan: p, real: real, images: images, state: map[string]*container.Detail{}}
}

// List gives what there would be by now.
func (s *Containers) List(ctx context.Context, opts container.ListOptions) ([]container.Container, error) {
	all, err := s.all(ctx, opts.Sizes)
	if err != nil || opts.All {
		return all, err
	}
	return slices.DeleteFunc(all, func(c container.Container) bool {
		return c.Status != container.Running && c.Status != container.Paused && c.Status != container.Restarting && c.Status != container.Unknown
	}), nil
}

func (s *Containers) all(ctx context.Context, sizes bool) ([]container.Container, error) {
	real, err := s.real.List(ctx, container.ListOptions{All: true, Sizes: sizes})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []container.Container
	for i := len(s.order) - 1; i >= 0; i-- {
		if d := s.state[s.order[i]]; d != nil {
			out = append(out, d.Container)
		}
	}
	for _, c := range real {
		if d, changed := s.state[c.ID]; !changed {
			out = append(out, c)
		} else if d != nil {
			out = append(out, d.Container)
		}
	}
	return out, nil
}

// Get gives one container as it would be by now.
func (s *Containers) Get(ctx context.Context, ref string) (container.Container, error) {
	all, err := s.all(ctx, false)
	if err != nil {
		return container.Container{}, err
	}
	return container.Resolve(all, ref)
}

// Inspect gives one container as it would be by now.
func (s *Containers) Inspect(ctx context.Context, ref string, sizes bool) (container.Detail, error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return container.Detail{}, err
	}
	s.mu.Lock()
	d := s.state[c.ID]
	s.mu.Unlock()
	if d != nil {
		return *d, nil
	}
	return s.real.Inspect(ctx, c.ID, sizes)
}

// change notes what is done to one container, and how it looks then; a nil fn removes it.
func (s *Containers) change(ctx context.Context, ref string, c plan.Change, fn func(*container.Detail) error) error {
	d, err := s.Inspect(ctx, ref, false)
	if err != nil {
		return err
	}
	c.Kind, c.Name, c.ID = "container", planName(d.Name, d.Spec.Image), d.ID
	if fn != nil {
		if err := fn(&d); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if fn == nil {
		s.state[d.ID] = nil
	} else {
		s.state[d.ID] = &d
	}
	s.mu.Unlock()
	if c.Action != "" {
		s.plan.Note(ctx, c)
	}
	return nil
}

// Create notes a new container with all that is asked for.
func (s *Containers) Create(ctx context.Context, spec container.Spec) (container.Container, error) {
	all, err := s.all(ctx, false)
	if err != nil {
		return container.Container{}, err
	}
	if spec.Name != "" {
		if err := container.ValidateName(spec.Name); err != nil {
			return container.Container{}, err
		}
		for _, c := range all {
			if c.Name == spec.Name {
				return container.Container{}, container.NameInUse(spec.Name, c.ID)
			}
		}
	}
	if err := spec.Resources.Check(); err != nil {
		return container.Container{}, err
	}
	d := container.Detail{Spec: spec, Recorded: true}
	d.Planned, d.Status, d.Labels, d.Created = true, container.Created, spec.Labels, time.Now()
	var base container.Base
	if !spec.Rootfs {
		// Of an image that would be pulled nothing is known.
		if d, err := s.images.Inspect(ctx, spec.Image, spec.Platform); err == nil {
			base = Base(d)
		}
		img, err := s.images.Get(ctx, spec.Image)
		if err != nil {
			return container.Container{}, err
		}
		d.ImageID, d.Platform = img.ID, img.Platform
		if !image.IsDangling(img.Name) {
			d.Image = image.Familiar(img.Name)
		}
	}
	s.mu.Lock()
	sum := sha256.Sum256(fmt.Appendf(nil, "planned container %d", len(s.order)))
	d.ID = hex.EncodeToString(sum[:])
	d.Name = spec.Name // one that the engine chooses is not known
	d.Args, d.Ports, d.Mounts = spec.Command, spec.Ports, spec.Mounts
	networks := spec.Networks
	if len(networks) == 0 {
		networks = []string{"bridge"}
	}
	for _, n := range networks {
		d.Networks = append(d.Networks, container.Endpoint{Network: n})
	}
	s.state[d.ID] = &d
	s.order = append(s.order, d.ID)
	s.mu.Unlock()
	name := planName(spec.Name, spec.Image)
	s.plan.Note(ctx, plan.Change{Action: "create", Kind: "container", Name: name, Fields: spec.Settings(base)})
	return d.Container, s.volumes.implied(ctx, name, spec.Mounts)
}

// planName is what a change calls a container.
func planName(name, image string) string { return cmp.Or(name, "(named after "+image+")") }

// Start notes the start of a container that does not run. With streams the process is
// one that ends well, and of which nothing is known.
func (s *Containers) Start(ctx context.Context, ref string, streams *container.Streams) (container.Process, error) {
	d, err := s.Inspect(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	action := "start"
	if d.Status == container.Running || s.plan.Started(planName(d.Name, d.Spec.Image)) {
		action = ""
	}
	return process{}, s.change(ctx, d.ID, plan.Change{Action: action}, func(d *container.Detail) error {
		if d.Status = container.Running; streams != nil {
			d.Status = container.Exited
		}
		return nil
	})
}

// Attach passes for a container that runs; what a planned one writes nobody knows.
func (s *Containers) Attach(ctx context.Context, ref string, streams container.Streams) (container.Process, error) {
	c, err := s.untouched(ctx, ref, "what container %s writes")
	if err != nil {
		return nil, err
	}
	return s.real.Attach(ctx, c.ID, streams)
}

// Exec notes a process.
func (s *Containers) Exec(ctx context.Context, ref string, spec container.ExecSpec, _ container.Streams) (container.Process, error) {
	return process{}, s.change(ctx, ref, plan.Change{Action: "exec", Fields: []plan.Field{{Name: "command", To: strings.Join(spec.Command, " ")}}}, func(d *container.Detail) error {
		if d.Status != container.Running {
			return container.NotRunning(d.ID, ref)
		}
		return nil
	})
}

// Stop notes the end of a container that runs.
func (s *Containers) Stop(ctx context.Context, ref string, _ container.StopOptions) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	action := "stop"
	if c.Status != container.Running && c.Status != container.Paused && c.Status != container.Unknown {
		return nil
	}
	return s.change(ctx, c.ID, plan.Change{Action: action}, ended)
}

func ended(d *container.Detail) error {
	d.Status, d.Pid = container.Exited, 0
	for i := range d.Networks {
		d.Networks[i].IP, d.Networks[i].IP6 = "", ""
	}
	return nil
}

// Kill notes a signal. What it does to the process nobody knows; SIGKILL ends it.
func (s *Containers) Kill(ctx context.Context, ref, signal string) error {
	n, err := container.ParseSignal(cmp.Or(signal, "SIGKILL"))
	if err != nil {
		return err
	}
	return s.change(ctx, ref, plan.Change{Action: "kill", Fields: []plan.Field{{Name: "signal", To: cmp.Or(signal, "SIGKILL")}}}, func(d *container.Detail) error {
		if d.Status != container.Running && d.Status != container.Paused {
			return container.CannotKill(ref, d.ID)
		}
		if n == 9 {
			return ended(d)
		}
		return nil
	})
}

// Pause notes it.
func (s *Containers) Pause(ctx context.Context, ref string) error {
	return s.change(ctx, ref, plan.Change{Action: "pause"}, func(d *container.Detail) error {
		switch d.Status {
		case container.Running:
			d.Status = container.Paused
			return nil
		case container.Paused:
			return container.AlreadyPaused(d.ID)
		}
		return container.NotRunning(d.ID, ref)
	})
}

// Unpause notes it.
func (s *Containers) Unpause(ctx context.Context, ref string) error {
	return s.change(ctx, ref, plan.Change{Action: "unpause"}, func(d *container.Detail) error {
		if d.Status != container.Paused {
			return container.NotPaused(d.ID)
		}
		d.Status = container.Running
		return nil
	})
}

// Rename notes a new name.
func (s *Containers) Rename(ctx context.Context, ref, name string) error {
	if err := container.ValidateName(name); err != nil {
		return err
	}
	all, err := s.all(ctx, false)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Name == name {
			return container.NameInUse(name, c.ID)
		}
	}
	c, err := container.Resolve(all, ref)
	if err != nil {
		return err
	}
	return s.change(ctx, c.ID, plan.Change{Action: "rename", Fields: []plan.Field{{Name: "name", From: c.Name, To: name}}}, func(d *container.Detail) error {
		d.Name, d.Spec.Name = name, name
		return nil
	})
}

// Update notes other limits.
func (s *Containers) Update(ctx context.Context, ref string, update container.Update) error {
	d, err := s.Inspect(ctx, ref, false)
	if err != nil {
		return err
	}
	if d.Pod != "" {
		return container.OfPod("update", ref, d.Pod)
	}
	before := d.Spec
	after := before
	update.Apply(&after.Resources)
	if err := after.Resources.Check(); err != nil {
		return err
	}
	fields := container.ResourceDifferences(before.Resources, after.Resources)
	action := "update"
	if len(fields) == 0 {
		action = ""
	}
	return s.change(ctx, d.ID, plan.Change{Action: action, Fields: fields}, func(d *container.Detail) error {
		d.Spec = after
		return nil
	})
}

// Remove notes that a container goes.
func (s *Containers) Remove(ctx context.Context, ref string, opts container.RemoveOptions) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if !opts.Force && (c.Status == container.Running || c.Status == container.Paused || c.Status == container.Restarting) {
		return container.CannotRemove(ref, c.Status)
	}
	if c.Pod != "" && !opts.Force {
		return container.OfPod("remove", ref, c.Pod)
	}
	return s.change(ctx, c.ID, plan.Change{Action: "remove"}, nil)
}

// RemoveAtExit is part of a run that is planned.
func (s *Containers) RemoveAtExit(ctx context.Context, ref string) (func(), error) {
	_, err := s.Get(ctx, ref)
	return func() {}, err
}

// Wait passes for a container that no change is planned for.
func (s *Containers) Wait(ctx context.Context, ref string) (container.Exit, error) {
	c, err := s.untouched(ctx, ref, "how container %s ends")
	if err != nil {
		return container.Exit{}, err
	}
	return s.real.Wait(ctx, c.ID)
}

// Logs passes for a container that is there.
func (s *Containers) Logs(ctx context.Context, ref string, opts container.LogOptions, fn func(container.LogLine) error) error {
	c, err := s.untouched(ctx, ref, "what container %s writes")
	if err != nil {
		return err
	}
	return s.real.Logs(ctx, c.ID, opts, fn)
}

// Top passes for a container that no change is planned for.
func (s *Containers) Top(ctx context.Context, ref string, args []string) (container.Processes, error) {
	c, err := s.untouched(ctx, ref, "which processes container %s has")
	if err != nil {
		return container.Processes{}, err
	}
	return s.real.Top(ctx, c.ID, args)
}

// untouched gives a container that is as the engine has it.
func (s *Containers) untouched(ctx context.Context, ref, what string) (container.Container, error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, changed := s.state[c.ID]; changed {
		return c, plan.NotKnown(fmt.Sprintf(what, c.Name))
	}
	return c, nil
}

// process is one that is not run.
type process struct{}

// Planned tells a process that is not run from one that is.
func Planned(p container.Process) bool { _, ok := p.(process); return ok }

func (process) Pid() int                                     { return 0 }
func (process) Wait(context.Context) (container.Exit, error) { return container.Exit{}, nil }
func (process) Signal(context.Context, string) error         { return nil }
func (process) Resize(context.Context, int, int) error       { return nil }
