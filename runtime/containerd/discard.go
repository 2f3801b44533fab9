package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/volume"
)

// Discard removes the namespace of the settings with all that it holds: containers are
// killed, images and what was half loaded go. It blocks until that has happened. What
// cannot be removed does not keep the rest from it. Of a namespace that does not exist
// there is nothing to remove.
func (e *Engine) Discard(ctx context.Context) error {
	var errs []error
	note := func(err error) {
		if err != nil && !errdefs.IsNotFound(err) && !fault.Is(err, fault.NotFound) {
			errs = append(errs, err)
		}
	}
	s := e.System.s
	ctx = namespaces.WithNamespace(ctx, s.Namespace)
	boxes, err := e.Containers.List(ctx, container.ListOptions{All: true})
	note(err)
	for _, c := range boxes {
		note(e.Containers.Remove(ctx, c.ID, container.RemoveOptions{Force: true, Volumes: true}))
	}
	volumes, err := e.Volumes.List(ctx, volume.ListOptions{})
	note(err)
	for _, v := range volumes {
		note(e.Volumes.Remove(ctx, v.Name))
	}
	// Those of the namespace alone: the others are not its own.
	for _, n := range e.Networks.cni.List(s.Namespace) {
		if filepath.Dir(n.File) == filepath.Join(s.CNINetconfPath, s.Namespace) {
			note(e.Networks.Remove(ctx, n.Name))
		}
	}
	images, err := e.Images.List(ctx)
	note(err)
	for _, i := range images {
		_, err := e.Images.Remove(ctx, i.ID, image.RemoveOptions{Force: true})
		note(err)
	}
	held, err := e.client.LeasesService().List(ctx)
	note(err)
	for _, l := range held {
		note(e.client.LeasesService().Delete(ctx, l))
	}
	// Deleting a lease collects what is unreferenced now, and waits for it: a namespace
	// that holds anything cannot be deleted.
	if l, err := e.client.LeasesService().Create(ctx, leases.WithRandomID()); err == nil {
		note(e.client.LeasesService().Delete(ctx, l, leases.SynchronousDelete))
	}
	note(e.client.NamespaceService().Delete(ctx, s.Namespace))
	for _, of := range []string{"names", "containers", "etchosts", "volumes"} {
		// One that is not empty has something that was in use just now.
		_ = os.Remove(filepath.Join(e.System.store.Root, of, s.Namespace))
	}
	return fault.Wrap(errors.Join(errs...), "remove namespace", s.Namespace)
}
