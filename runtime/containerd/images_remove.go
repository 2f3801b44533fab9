package containerd

import (
	"context"
	"slices"
	"strings"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// labelPinned marks an image that Kubernetes must not lose, such as that of
// the pause container (containerd, internal/cri/labels).
const labelPinned = "io.cri-containerd.pinned"

// Tag implements [image.Service].
func (m *Images) Tag(ctx context.Context, source, target string) error {
	ctx = m.in(ctx)
	name, err := image.Normalize(target)
	if err != nil {
		return err
	}
	if strings.Contains(name, "@") {
		return fault.New(fault.Invalid, "refusing to create a tag with a digest reference")
	}
	src, err := m.record(ctx, source)
	if err != nil {
		return err
	}
	rec := images.Image{Name: name, Target: src.Target, Labels: map[string]string{}}
	for k, v := range src.Labels {
		// Who pinned one name did not pin all that come after.
		if k != labelPinned {
			rec.Labels[k] = v
		}
	}
	_, err = m.put(ctx, rec)
	return imageError(err, "tag image", source)
}

// put creates a record or moves it to another target.
func (m *Images) put(ctx context.Context, rec images.Image) (images.Image, error) {
	is := m.c.ImageService()
	for {
		out, err := is.Create(ctx, rec)
		if !errdefs.IsAlreadyExists(err) {
			return out, err
		}
		if out, err = is.Update(ctx, rec); !errdefs.IsNotFound(err) {
			return out, err
		}
		// Removed in between.
	}
}

// Remove implements [image.Service], with the rules of docker's engine
// (moby, daemon/containerd/image_delete.go) and one of Kubernetes'.
func (m *Images) Remove(ctx context.Context, ref string, opts image.RemoveOptions) ([]image.Removed, error) {
	ctx = m.in(ctx)
	recs, byName, err := m.match(ctx, ref)
	if err != nil {
		return nil, err
	}
	out, err := m.remove(ctx, ref, recs, byName, opts)
	return out, imageError(err, "remove image", ref)
}

func (m *Images) remove(ctx context.Context, ref string, recs []images.Image, byName bool, opts image.RemoveOptions) ([]image.Removed, error) {
	target := recs[0].Target
	id := image.ShortID(target.Digest.String())
	all, err := m.sameTarget(ctx, target.Digest)
	if err != nil {
		return nil, err
	}
	gone := recs
	if byName {
		gone = append(gone, m.orphaned(recs[0], all)...)
	}
	last := len(gone) >= len(all)

	if !opts.Force {
		if !byName && tagged(recs) > 1 {
			return nil, image.ManyNames(id)
		}
		for _, rec := range gone {
			if rec.Labels[labelPinned] != "" {
				return nil, fault.New(fault.Conflict, "conflict: unable to delete %s (must be forced) - image is pinned for Kubernetes", image.Familiar(rec.Name))
			}
		}
	}
	var running bool
	if last {
		users, err := m.usersOf(ctx, all)
		if err != nil {
			return nil, err
		}
		var stopped, busy string
		for _, u := range users {
			if u.running {
				busy = container.ShortID(u.id)
			} else {
				stopped = container.ShortID(u.id)
			}
		}
		running = busy != ""
		switch {
		case byName && !opts.Force && len(users) > 0:
			return nil, image.NameUsed(ref, container.ShortID(users[0].id), id)
		case !byName && running:
			return nil, image.UsedByRunning(id, busy)
		case !byName && !opts.Force && stopped != "":
			return nil, image.UsedByStopped(id, stopped)
		}
	}

	is := m.c.ImageService()
	if last && running {
		// What a running container was made from stays, without a name.
		rec := images.Image{Name: image.DanglingName(m.s.Snapshotter, target.Digest.String()), Target: target}
		if _, err := m.put(ctx, rec); err != nil {
			return nil, err
		}
		gone = slices.DeleteFunc(slices.Clone(gone), func(r images.Image) bool { return r.Name == rec.Name })
		last = false
	}
	var out []image.Removed
	for i, rec := range gone {
		var del []images.DeleteOpt
		if i == len(gone)-1 && last && !opts.Async {
			del = append(del, images.SynchronousDelete())
		}
		// The target guards a name that was moved to another image meanwhile.
		del = append(del, images.DeleteTarget(&target))
		if err := is.Delete(ctx, rec.Name, del...); err != nil && !errdefs.IsNotFound(err) {
			return out, err
		}
		if !image.IsDangling(rec.Name) {
			out = append(out, image.Removed{Untagged: image.Familiar(rec.Name)})
		}
	}
	if last {
		out = append(out, image.Removed{Deleted: target.Digest.String()})
	}
	return out, nil
}

// tagged counts the names that a user gave.
func tagged(recs []images.Image) int {
	n := 0
	for _, rec := range recs {
		if image.RepoTag(rec.Name) != "" {
			n++
		}
	}
	return n
}

// orphaned finds the records that go along with the last tag of an image: its
// names by digest and those without a name, which Kubernetes has for each
// image. Left alone they would keep an image that nothing shows any more.
func (m *Images) orphaned(rec images.Image, all []images.Image) []images.Image {
	if image.RepoTag(rec.Name) == "" {
		return nil
	}
	var others []images.Image
	for _, o := range all {
		if o.Name == rec.Name {
			continue
		}
		if image.RepoTag(o.Name) != "" {
			return nil
		}
		others = append(others, o)
	}
	return others
}

// imageUser is a container that was made from an image.
type imageUser struct {
	id      string
	running bool
}

func (m *Images) usersOf(ctx context.Context, recs []images.Image) ([]imageUser, error) {
	users, err := m.users(ctx)
	if err != nil {
		return nil, err
	}
	var chain string
	var out []imageUser
	for _, u := range users {
		uses := slices.ContainsFunc(recs, func(r images.Image) bool { return r.Name == u.image })
		if !uses {
			if _, err := m.c.ImageService().Get(ctx, u.image); err == nil || !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
				continue
			}
			// Its image has lost that name: what is its snapshot made from?
			parent, err := m.parent(ctx, u)
			if err != nil {
				return nil, err
			}
			if chain == "" {
				f, err := m.reader(m.sizeOf).facts(ctx, recs[0].Target, platforms.Default(), false)
				if err != nil {
					return nil, err
				}
				if chain = "-"; len(f.diffIDs) > 0 {
					chain = identity.ChainID(f.diffIDs).String()
				}
			}
			uses = parent != "" && parent == chain
		}
		if uses {
			out = append(out, imageUser{id: u.id})
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	resp, err := m.c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, err
	}
	for _, t := range resp.Tasks {
		i := slices.IndexFunc(out, func(u imageUser) bool { return u.id == t.ID })
		if i >= 0 && t.Status != task.Status_STOPPED {
			out[i].running = true
		}
	}
	return out, nil
}
