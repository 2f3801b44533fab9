package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"

	"nsh/runtime/container"
	"nsh/runtime/datastore"
	"nsh/runtime/fault"
	"nsh/runtime/logging"
)

// Logs reads the log where its writer put it. The writer's lock tells when all
// has been written.
func (s *Containers) Logs(ctx context.Context, ref string, opts container.LogOptions, fn func(container.LogLine) error) error {
	r, err := s.record(ctx, ref)
	if err != nil {
		return err
	}
	dir := stateDir(r)
	cfg, err := logging.ReadConfig(dir)
	if err != nil {
		// The label is the truth: the file is made from it.
		if raw := r.Labels[labelLogConfig]; raw != "" && json.Unmarshal([]byte(raw), &cfg) == nil {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if dir == "" || cfg.Driver != "" && cfg.Driver != logging.JSONFile {
		return fault.New(fault.Invalid, "configured logging driver does not support reading").WithHint("the log driver of this container is %q", cfg.Driver)
	}
	// A container that was never started has no log, and nobody will write one
	// before somebody starts it.
	if datastore.ReadLifecycle(dir).StartedAt.IsZero() {
		if t, err := s.task(ctx, r.ID); err == nil && t == nil {
			if !opts.Follow {
				return nil
			}
			if err := s.awaitStart(ctx, r); err != nil {
				return ignoreEnd(ctx, err)
			}
		}
	}
	return ignoreEnd(ctx, logging.Read(ctx, cfg.Path(dir, r.ID), opts, logging.Ended(dir), fn))
}

// ignoreEnd: that the caller has seen enough is no error.
func ignoreEnd(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// awaitStart blocks until the container has been started.
func (s *Containers) awaitStart(ctx context.Context, r containers.Container) error {
	// Subscribed before the first look, or a start in between would be missed.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, errs := s.c.Subscribe(ctx, fmt.Sprintf(`topic=="/tasks/start",event.container_id==%q`, r.ID), fmt.Sprintf(`topic=="/containers/delete",event.id==%q`, r.ID))
	if t, err := s.task(ctx, r.ID); err != nil || t != nil && t.Status != task.Status_CREATED {
		return err
	}
	select {
	case ev := <-events:
		if ev != nil && ev.Topic == "/containers/delete" {
			return container.NotFound(r.Labels[labelName])
		}
		return nil
	case err := <-errs:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
