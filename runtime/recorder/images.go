package recorder

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/plan"
)

// Images is an [image.Service] that notes what would be done instead of doing it.
// What is planned is seen by what comes after. Safe to call at once.
type Images struct {
	plan *plan.Plan
	real image.Service
	// containers tell whether an image is in use; set by Wrap.
	containers *Containers

	mu      sync.Mutex
	planned []image.Detail  // names that are not there yet, or are another image's now
	gone    map[string]bool // names
}

var _ image.Service = (*Images)(nil)

// WrapImages makes the recorder in front of real.
func WrapImages(p *plan.Plan, real image.Service) *Images {
	return &Images{plan: p, real: real, gone: map[string]bool{}}
}

// List gives what there would be by now.
func (s *Images) List(ctx context.Context) ([]image.Image, error) {
	real, err := s.real.List(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []image.Image
	for i := len(s.planned) - 1; i >= 0; i-- {
		out = append(out, s.planned[i].Image)
	}
	for _, img := range real {
		if !s.gone[img.Name] {
			out = append(out, img)
		}
	}
	return out, nil
}

// Get gives one image as it would be by now.
func (s *Images) Get(ctx context.Context, ref string) (image.Image, error) {
	all, err := s.List(ctx)
	if err != nil {
		return image.Image{}, err
	}
	m, err := image.Find(ref, all)
	if err != nil {
		return image.Image{}, err
	}
	return m.Images[0], nil
}

// Inspect passes for an image that is there. Of one that is planned it knows what the
// plan does: nothing of one that would be pulled.
func (s *Images) Inspect(ctx context.Context, ref, platform string) (image.Detail, error) {
	img, err := s.Get(ctx, ref)
	if err != nil {
		return image.Detail{}, err
	}
	s.mu.Lock()
	for _, d := range s.planned {
		if d.Name == img.Name {
			s.mu.Unlock()
			if d.ID == "" {
				return d, plan.NotKnown("what image " + image.Familiar(d.Name) + " holds")
			}
			return d, nil
		}
	}
	s.mu.Unlock()
	return s.real.Inspect(ctx, img.Name, platform)
}

// add puts a name into the plan's copy, over one that is there.
func (s *Images) add(d image.Detail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned = slices.DeleteFunc(s.planned, func(o image.Detail) bool { return o.Name == d.Name })
	s.planned = append(s.planned, d)
	s.gone[d.Name] = true
}

// Pull notes it. A registry is not asked: the image may be the one that is here.
func (s *Images) Pull(ctx context.Context, ref string, opts image.PullOptions) (image.Image, error) {
	name, err := image.Normalize(ref)
	if err != nil {
		return image.Image{}, err
	}
	c := plan.Change{Action: "pull", Kind: "image", Name: image.Familiar(name), Command: "docker pull " + image.Familiar(name)}
	if len(opts.Platforms) > 0 {
		c.Fields = []plan.Field{{Name: "platform", To: strings.Join(opts.Platforms, ", ")}}
	}
	if img, err := s.Get(ctx, name); err == nil && img.ID != "" {
		c.Reason = "the registry may have another one by that name"
		s.plan.Note(ctx, c)
		return img, nil
	}
	s.plan.Note(ctx, c)
	d := image.Detail{Image: image.Image{Name: name}}
	s.add(d)
	return d.Image, nil
}

// Load reads the archive and notes the images in it.
func (s *Images) Load(ctx context.Context, r io.Reader, opts image.LoadOptions) ([]image.Image, error) {
	a, err := image.ReadArchive(ctx, r, opts, func(_ context.Context, _ image.Blob, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, "load", "archive")
	}
	var out []image.Image
	for _, img := range a.Images {
		id := img.Target.Digest.String()
		names := img.Names
		if len(names) == 0 {
			names = []string{image.DanglingName("planned", id)}
		}
		for _, name := range names {
			have, err := s.Get(ctx, name)
			if err == nil && have.ID == id {
				out = append(out, have)
				continue
			}
			c := plan.Change{Action: "load", Kind: "image", Name: image.Familiar(name), Fields: []plan.Field{{Name: "id", From: have.ID, To: id}}}
			s.plan.Note(ctx, c)
			d := image.Detail{Image: image.Image{Name: name, ID: id}}
			s.add(d)
			out = append(out, d.Image)
		}
	}
	return out, nil
}

// Save passes: it reads. Where the archive goes is the caller's business.
func (s *Images) Save(ctx context.Context, w io.Writer, refs []string, opts image.SaveOptions) error {
	for _, ref := range refs {
		if _, err := s.Inspect(ctx, ref, ""); err != nil {
			return err
		}
	}
	return s.real.Save(ctx, w, refs, opts)
}

// Tag notes a further name, unless that is the image's already.
func (s *Images) Tag(ctx context.Context, source, target string) error {
	img, err := s.Get(ctx, source)
	if err != nil {
		return err
	}
	name, err := image.Normalize(target)
	if err != nil {
		return err
	}
	have, err := s.Get(ctx, name)
	if err == nil && have.ID == img.ID && img.ID != "" {
		return nil
	}
	s.plan.Note(ctx, plan.Change{Action: "tag", Kind: "image", Name: image.Familiar(name), Fields: []plan.Field{{Name: "id", From: have.ID, To: img.ID}}})
	d := image.Detail{Image: img}
	d.Name = name
	s.add(d)
	return nil
}

// Remove notes that a name goes, and with the last one the image.
func (s *Images) Remove(ctx context.Context, ref string, opts image.RemoveOptions) ([]image.Removed, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	m, err := image.Find(ref, all)
	if err != nil {
		return nil, err
	}
	id := m.Images[0].ID
	names := 0
	for _, img := range all {
		if img.ID == id && !image.IsDangling(img.Name) {
			names++
		}
	}
	last := names <= len(m.Images)
	if !opts.Force {
		if !m.ByName && names > 1 {
			return nil, image.ManyNames(image.ShortID(id))
		}
		if last {
			cs, err := s.containers.all(ctx, false)
			if err != nil {
				return nil, err
			}
			for _, c := range cs {
				if c.ImageID != id || id == "" {
					continue
				}
				switch {
				case m.ByName:
					return nil, image.NameUsed(ref, c.ShortID(), image.ShortID(id))
				case c.Status == container.Running || c.Status == container.Paused:
					return nil, image.UsedByRunning(image.ShortID(id), c.ShortID())
				}
				return nil, image.UsedByStopped(image.ShortID(id), c.ShortID())
			}
		}
	}
	var out []image.Removed
	s.mu.Lock()
	for _, img := range m.Images {
		s.planned = slices.DeleteFunc(s.planned, func(o image.Detail) bool { return o.Name == img.Name })
		s.gone[img.Name] = true
		out = append(out, image.Removed{Untagged: image.Familiar(img.Name)})
	}
	s.mu.Unlock()
	for _, img := range m.Images {
		c := plan.Change{Action: "remove", Kind: "image", Name: image.Familiar(img.Name)}
		if !last {
			c.Action, c.Reason = "untag", "the image has other names"
		}
		s.plan.Note(ctx, c)
	}
	if last {
		out = append(out, image.Removed{Deleted: id})
	}
	return out, nil
}

// Assemble notes the image, unless the very same one is there: from files alone its
// digest is known without making it.
func (s *Images) Assemble(ctx context.Context, recipe image.Recipe) (image.Image, error) {
	name, err := image.Normalize(recipe.Name)
	if err != nil {
		return image.Image{}, err
	}
	d := image.Detail{Image: image.Image{Name: name}, Config: recipe.Config}
	if recipe.Base == "" {
		a, err := image.Assemble(ctx, recipe, nil)
		if err != nil {
			return image.Image{}, err
		}
		d.ID = a.Target.Digest.String()
	} else if _, err := s.Get(ctx, recipe.Base); err != nil {
		return image.Image{}, err
	}
	have, err := s.Get(ctx, name)
	if err == nil && d.ID != "" && have.ID == d.ID {
		return have, nil
	}
	s.plan.Note(ctx, plan.Change{Action: "assemble", Kind: "image", Name: image.Familiar(name), Fields: []plan.Field{{Name: "id", From: have.ID, To: d.ID}}})
	s.add(d)
	return d.Image, nil
}

// Base is what an image gives to the containers that are made from it.
func Base(d image.Detail) container.Base {
	c := d.Config
	return container.Base{ID: d.ID, Env: c.Env, Entrypoint: c.Entrypoint, Command: c.Cmd, WorkDir: c.WorkingDir, User: c.User, Labels: c.Labels}
}
