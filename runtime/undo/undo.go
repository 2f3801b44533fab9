// Package undo takes back what was done to containers, images, volumes and networks when a later step
// fails: the rollback of a group.
//
// [Wrap] stands in front of an engine and remembers how each write is undone. What
// would be lost by a write is kept until the end: a container that is removed is
// stopped and set aside under another name, and goes when the group has succeeded.
// A process that has been run, a signal and the content of a container's files cannot
// be taken back.
package undo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Journal is what a group has done. Safe to use at once.
type Journal struct {
	// Outer is that of the group around this one.
	Outer *Journal

	mu      sync.Mutex
	steps   []step
	made    map[string]bool // IDs: with their removal all else is undone
	leaving map[string]bool // IDs of containers, and names of volumes, that go with the commit
	commits []func(context.Context) error
}

type step struct {
	what string
	undo func(context.Context) error
}

func (j *Journal) add(what string, undo func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, step{what, undo})
}

// Rollback undoes all, the last first. Each step gets its turn whatever the others
// do. It gives what was undone, and why the rest was not.
func (j *Journal) Rollback(ctx context.Context) (undone []string, err error) {
	j.mu.Lock()
	steps := j.steps
	j.steps, j.commits, j.leaving = nil, nil, nil
	j.mu.Unlock()
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if e := steps[i].undo(ctx); e != nil {
			errs = append(errs, fault.Wrap(e, "undo", steps[i].what))
			continue
		}
		undone = append(undone, steps[i].what)
	}
	return undone, errors.Join(errs...)
}

// Commit lets go of what was kept for a rollback.
func (j *Journal) Commit(ctx context.Context) error {
	j.mu.Lock()
	commits := j.commits
	j.steps, j.commits, j.leaving = nil, nil, nil
	j.mu.Unlock()
	var errs []error
	for _, fn := range commits {
		errs = append(errs, fn(ctx))
	}
	return errors.Join(errs...)
}

// Adopt takes over what another journal has done: a group within this one, which went
// well and is undone with it.
func (j *Journal) Adopt(inner *Journal) {
	inner.mu.Lock()
	steps, commits, made, leaving := inner.steps, inner.commits, inner.made, inner.leaving
	inner.steps, inner.commits, inner.made, inner.leaving = nil, nil, nil, nil
	inner.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps, j.commits = append(j.steps, steps...), append(j.commits, commits...)
	for _, m := range []struct {
		to   *map[string]bool
		from map[string]bool
	}{{&j.made, made}, {&j.leaving, leaving}} {
		if *m.to == nil {
			*m.to = map[string]bool{}
		}
		maps.Copy(*m.to, m.from)
	}
}

// leave keeps something for the commit to remove.
func (j *Journal) leave(key string, remove func(context.Context) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.leaving == nil {
		j.leaving = map[string]bool{}
	}
	j.leaving[key] = true
	j.commits = append(j.commits, remove)
}

func (j *Journal) leaves(key string) bool {
	if j.Outer != nil && j.Outer.leaves(key) {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.leaving[key]
}

type journalKey struct{}

// With makes a context whose calls are remembered in j.
func With(ctx context.Context, j *Journal) context.Context {
	return context.WithValue(ctx, journalKey{}, j)
}

// From gives the journal of ctx, nil when it has none.
func From(ctx context.Context) *Journal {
	j, _ := ctx.Value(journalKey{}).(*Journal)
	return j
}

// SetAside is the name that a container has while it is kept for a rollback.
func SetAside(name, id string) string {
	suffix := "-replaced-" + container.ShortID(id)[:5]
	return strings.TrimSuffix(name, suffix) + suffix
}

// Containers remembers how what is done to containers is undone.
type Containers struct {
	container.Service
	j *Journal
}

// WrapContainers stands in front of real. What it does not name passes: it reads, or
// cannot be undone.
func WrapContainers(j *Journal, real container.Service) *Containers { return &Containers{real, j} }

// Create is undone by removing.
func (s *Containers) Create(ctx context.Context, spec container.Spec) (container.Container, error) {
	for _, m := range spec.Mounts {
		if m.Type == "volume" && m.Name != "" && s.j.leaves(volumeKey(m.Name)) {
			return container.Container{}, leaving(m.Name)
		}
	}
	c, err := s.Service.Create(ctx, spec)
	if err == nil {
		s.j.mu.Lock()
		if s.j.made == nil {
			s.j.made = map[string]bool{}
		}
		s.j.made[c.ID] = true
		s.j.mu.Unlock()
		s.j.add("create container "+c.Name, func(ctx context.Context) error {
			err := s.Service.Remove(ctx, c.ID, container.RemoveOptions{Force: true, Volumes: true})
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			return err
		})
	}
	return c, err
}

// Start is undone by stopping.
func (s *Containers) Start(ctx context.Context, ref string, streams *container.Streams) (container.Process, error) {
	before, err := s.Service.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	p, err := s.Service.Start(ctx, ref, streams)
	s.j.mu.Lock()
	made := s.j.made[before.ID]
	s.j.mu.Unlock()
	if err == nil && before.Status != container.Running && !made {
		s.j.add("start container "+before.Name, func(ctx context.Context) error {
			return s.Service.Stop(ctx, before.ID, container.StopOptions{})
		})
	}
	return p, err
}

// Stop is undone by starting.
func (s *Containers) Stop(ctx context.Context, ref string, opts container.StopOptions) error {
	before, err := s.Service.Get(ctx, ref)
	if err != nil {
		return err
	}
	err = s.Service.Stop(ctx, ref, opts)
	if before.Status == container.Running {
		s.j.add("stop container "+before.Name, func(ctx context.Context) error {
			_, err := s.Service.Start(ctx, before.ID, nil)
			return err
		})
	}
	return err
}

// Pause is undone by thawing.
func (s *Containers) Pause(ctx context.Context, ref string) error {
	err := s.Service.Pause(ctx, ref)
	if err == nil {
		s.j.add("pause container "+ref, func(ctx context.Context) error { return s.Service.Unpause(ctx, ref) })
	}
	return err
}

// Unpause is undone by freezing.
func (s *Containers) Unpause(ctx context.Context, ref string) error {
	err := s.Service.Unpause(ctx, ref)
	if err == nil {
		s.j.add("unpause container "+ref, func(ctx context.Context) error { return s.Service.Pause(ctx, ref) })
	}
	return err
}

// Rename is undone by renaming.
func (s *Containers) Rename(ctx context.Context, ref, name string) error {
	before, err := s.Service.Get(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.Service.Rename(ctx, ref, name); err != nil {
		return err
	}
	s.j.add(fmt.Sprintf("rename container %s to %s", before.Name, name), func(ctx context.Context) error {
		return s.Service.Rename(ctx, before.ID, before.Name)
	})
	return nil
}

// Update is undone by setting the old limits. One that was not set before cannot be
// taken away again.
func (s *Containers) Update(ctx context.Context, ref string, u container.Update) error {
	before, err := s.Service.Inspect(ctx, ref, false)
	if err != nil {
		return err
	}
	if err := s.Service.Update(ctx, ref, u); err != nil {
		return err
	}
	s.j.add("update container "+before.Name, func(ctx context.Context) error {
		return s.Service.Update(ctx, before.ID, container.Update{Resources: before.Spec.Resources})
	})
	return nil
}

// Remove sets the container aside; it goes with the commit.
func (s *Containers) Remove(ctx context.Context, ref string, opts container.RemoveOptions) error {
	c, err := s.Service.Get(ctx, ref)
	if err != nil {
		return err
	}
	running := c.Status == container.Running || c.Status == container.Paused || c.Status == container.Restarting
	if running && !opts.Force {
		return container.CannotRemove(ref, c.Status)
	}
	aside := SetAside(c.Name, c.ID)
	if running {
		var now time.Duration
		if err := s.Stop(ctx, c.ID, container.StopOptions{Timeout: &now}); err != nil {
			return err
		}
	}
	if c.Name != aside {
		err := s.Rename(ctx, c.ID, aside)
		if fault.Is(err, fault.NotFound) {
			return nil // it was one of --rm, and went with its end
		}
		if err != nil {
			return err
		}
	}
	s.j.leave(c.ID, func(ctx context.Context) error {
		err := s.Service.Remove(ctx, c.ID, opts)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
	return nil
}

// Images remembers how names of images are taken back.
type Images struct {
	image.Service
	j *Journal
}

// WrapImages stands in front of real.
func WrapImages(j *Journal, real image.Service) *Images { return &Images{real, j} }

// named remembers a name that was given, or moved from another image.
func (s *Images) named(ctx context.Context, what, name string, do func() error) error {
	before, errBefore := s.Service.Get(ctx, name)
	if err := do(); err != nil {
		return err
	}
	after, err := s.Service.Get(ctx, name)
	if err != nil || errBefore == nil && after.ID == before.ID {
		return nil
	}
	s.j.add(what+" image "+image.Familiar(name), func(ctx context.Context) error {
		if errBefore == nil {
			return s.Service.Tag(ctx, before.ID, name)
		}
		_, err := s.Service.Remove(ctx, name, image.RemoveOptions{})
		return err
	})
	return nil
}

// Pull is undone by giving the name back.
func (s *Images) Pull(ctx context.Context, ref string, opts image.PullOptions) (img image.Image, err error) {
	err = s.named(ctx, "pull", ref, func() error { img, err = s.Service.Pull(ctx, ref, opts); return err })
	return img, err
}

// Tag is undone by giving the name back.
func (s *Images) Tag(ctx context.Context, source, target string) error {
	return s.named(ctx, "tag", target, func() error { return s.Service.Tag(ctx, source, target) })
}

// Assemble is undone by giving the name back.
func (s *Images) Assemble(ctx context.Context, r image.Recipe) (img image.Image, err error) {
	err = s.named(ctx, "assemble", r.Name, func() error { img, err = s.Service.Assemble(ctx, r); return err })
	return img, err
}

// Load is undone by taking the names away that were not there.
func (s *Images) Load(ctx context.Context, r io.Reader, opts image.LoadOptions) ([]image.Image, error) {
	before, err := s.Service.List(ctx)
	if err != nil {
		return nil, err
	}
	had := map[string]bool{}
	for _, i := range before {
		had[i.Name] = true
	}
	out, err := s.Service.Load(ctx, r, opts)
	for _, i := range out {
		if !had[i.Name] {
			s.j.add("load image "+image.Familiar(i.Name), func(ctx context.Context) error {
				_, err := s.Service.Remove(ctx, i.Name, image.RemoveOptions{})
				return err
			})
		}
	}
	return out, err
}
