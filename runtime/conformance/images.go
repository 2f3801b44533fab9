package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// recipe is a small image that is like no other.
func recipe(name, content string) image.Recipe {
	return image.Recipe{
		Name: name, Created: time.Unix(1_700_000_000, 0),
		Files:  []image.File{{Path: "/content", Content: []byte(content)}},
		Config: image.Config{Entrypoint: []string{"/content"}, Env: []string{"A=1"}, Labels: map[string]string{"k": "v"}, ExposedPorts: []string{"80/tcp"}},
	}
}

func (s *suite) assemble(name, content string) image.Image {
	s.Helper()
	img, err := s.Images.Assemble(s.ctx, recipe(name, content))
	s.ok(err)
	return img
}

// names lists the images but the one that the instance came with.
func (s *suite) names() string {
	s.Helper()
	all, err := s.Images.List(s.ctx)
	s.ok(err)
	base, err := s.Images.Get(s.ctx, s.Image)
	s.ok(err)
	var out []string
	for _, img := range all {
		if img.ID != base.ID {
			out = append(out, image.Familiar(img.Name))
		}
	}
	return strings.Join(out, " ")
}

func removed(all []image.Removed) string {
	var out []string
	for _, r := range all {
		if r.Untagged != "" {
			out = append(out, "untagged "+r.Untagged)
		} else {
			out = append(out, "deleted "+r.Deleted)
		}
	}
	return strings.Join(out, ", ")
}

var images = []promise{
	{"the same recipe twice is the same image", func(s *suite) {
		a := s.assemble("one", "x")
		b := s.assemble("one", "x")
		c := s.assemble("two", "x")
		d := s.assemble("three", "y")
		is(s, "the ID the second time", b.ID, a.ID)
		is(s, "the ID under another name", c.ID, a.ID)
		if d.ID == a.ID {
			s.Error("another content has the same ID")
		}
		is(s, "the name", a.Name, "docker.io/library/one:latest")
		is(s, "what is missing", a.Missing, "")
		is(s, "when it was created", a.Created.Unix(), 1_700_000_000)
	}},
	{"a list is the newest first, then by name", func(s *suite) {
		for i, name := range []string{"b", "c", "a"} {
			r := recipe(name, "x")
			r.Created = time.Unix(1_700_000_000+int64(i%2), 0)
			_, err := s.Images.Assemble(s.ctx, r)
			s.ok(err)
		}
		is(s, "the list", s.names(), "c:latest a:latest b:latest")
	}},
	{"a ref is a name in any form, an ID, or a prefix of one", func(s *suite) {
		img := s.assemble("me/app:v1", "x")
		for _, ref := range []string{"me/app:v1", "docker.io/me/app:v1", "index.docker.io/me/app:v1", "me/app@" + img.ID, img.ID, img.ID[:19], strings.TrimPrefix(img.ID, "sha256:")[:12]} {
			got, err := s.Images.Get(s.ctx, ref)
			s.ok(err)
			is(s, "the image "+ref, got.Name+" "+got.ID, "docker.io/me/app:v1 "+img.ID)
		}
	}},
	{"a ref that matches nothing is not_found", func(s *suite) {
		svc, ctx := s.Images, s.ctx
		for name, do := range map[string]func() error{
			"Get":     func() error { _, err := svc.Get(ctx, "nope"); return err },
			"Inspect": func() error { _, err := svc.Inspect(ctx, "nope", ""); return err },
			"Tag":     func() error { return svc.Tag(ctx, "nope", "other") },
			"Remove":  func() error { _, err := svc.Remove(ctx, "nope", image.RemoveOptions{}); return err },
			"Create":  func() error { _, err := s.Containers.Create(ctx, container.Spec{Image: "nope"}); return err },
		} {
			if err := do(); fault.KindOf(err) != fault.NotFound || err.Error() != "No such image: nope:latest" {
				s.Errorf("%s: %v (%s)", name, err, fault.KindOf(err))
			}
		}
		var b bytes.Buffer
		err := svc.Save(ctx, &b, []string{s.Image, "nope"}, image.SaveOptions{})
		if fault.KindOf(err) != fault.NotFound || !strings.HasSuffix(err.Error(), "No such image: nope:latest") || b.Len() > 0 {
			s.Errorf("Save: %v (%s), %d bytes written", err, fault.KindOf(err), b.Len())
		}
		_, err = svc.Assemble(ctx, image.Recipe{Name: "x", Base: "nope"})
		if fault.KindOf(err) != fault.NotFound || !strings.HasSuffix(err.Error(), "No such image: nope:latest") {
			s.Errorf("Assemble: %v (%s)", err, fault.KindOf(err))
		}
	}},
	{"a ref that is no name is invalid", func(s *suite) {
		for ref, want := range map[string]string{
			"":    "invalid reference format",
			"a b": "invalid reference format",
			"Foo": "invalid reference format: repository name (library/Foo) must be lowercase",
		} {
			_, err := s.Images.Get(s.ctx, ref)
			s.refuses(err, fault.Invalid, want)
		}
	}},
	{"a tag is a further name", func(s *suite) {
		img := s.assemble("one", "x")
		s.ok(s.Images.Tag(s.ctx, "one", "other/name:2"))
		s.ok(s.Images.Tag(s.ctx, img.ID, "third"))
		is(s, "the list", s.names(), "one:latest third:latest other/name:2")
		got, err := s.Images.Get(s.ctx, "other/name:2")
		s.ok(err)
		is(s, "the image of the tag", got.ID, img.ID)
	}},
	{"a tag with a digest is invalid", func(s *suite) {
		img := s.assemble("one", "x")
		s.refuses(s.Images.Tag(s.ctx, "one", "two@"+img.ID), fault.Invalid, "refusing to create a tag with a digest reference")
		s.refuses(s.Images.Tag(s.ctx, "one", "a b"), fault.Invalid, "invalid reference format")
		is(s, "the list", s.names(), "one:latest")
	}},
	{"a name in use moves over", func(s *suite) {
		s.assemble("one", "x")
		two := s.assemble("two", "y")
		s.ok(s.Images.Tag(s.ctx, "two", "one"))
		got, err := s.Images.Get(s.ctx, "one")
		s.ok(err)
		is(s, "the image of the name", got.ID, two.ID)
	}},
	{"inspect tells the config and all names", func(s *suite) {
		img := s.assemble("one", "x")
		s.ok(s.Images.Tag(s.ctx, "one", "two:2"))
		d, err := s.Images.Inspect(s.ctx, "one", "")
		s.ok(err)
		is(s, "the names", strings.Join(d.RepoTags, " "), "one:latest two:2")
		is(s, "the names by digest", strings.Join(d.RepoDigests, " "), "one@"+img.ID+" two@"+img.ID)
		is(s, "the entrypoint", strings.Join(d.Config.Entrypoint, " "), "/content")
		is(s, "the environment", strings.Join(d.Config.Env, " "), "A=1")
		is(s, "the label", d.Config.Labels["k"], "v")
		is(s, "the port", strings.Join(d.Config.ExposedPorts, " "), "80/tcp")
		is(s, "the number of layers", len(d.Layers), 1)
		is(s, "the number of lines in its history", len(d.History), 1)
		is(s, "the target", d.Target.Digest, img.ID)
		_, err = s.Images.Inspect(s.ctx, "one", "linux/s390x")
		s.refuses(err, fault.NotFound, "image with reference one was found but does not provide the specified platform (linux/s390x)")
	}},
	{"remove by one of several names takes the name", func(s *suite) {
		s.assemble("one", "x")
		s.ok(s.Images.Tag(s.ctx, "one", "two"))
		got, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{})
		s.ok(err)
		is(s, "what was removed", removed(got), "untagged one:latest")
		is(s, "the list", s.names(), "two:latest")
	}},
	{"remove by the last name takes the image", func(s *suite) {
		img := s.assemble("one", "x")
		got, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{})
		s.ok(err)
		is(s, "what was removed", removed(got), "untagged one:latest, deleted "+img.ID)
		is(s, "the list", s.names(), "")
	}},
	{"remove by ID takes all names, several by force", func(s *suite) {
		img := s.assemble("one", "x")
		s.ok(s.Images.Tag(s.ctx, "one", "two"))
		_, err := s.Images.Remove(s.ctx, img.ID, image.RemoveOptions{})
		s.refuses(withoutOp(err), fault.Conflict, "conflict: unable to delete "+image.ShortID(img.ID)+" (must be forced) - image is referenced in multiple repositories")
		got, err := s.Images.Remove(s.ctx, img.ID, image.RemoveOptions{Force: true})
		s.ok(err)
		is(s, "what was removed", removed(got), "untagged one:latest, untagged two:latest, deleted "+img.ID)
	}},
	{"remove of what a container was made from must be forced", func(s *suite) {
		img := s.assemble("one", "x")
		c := s.create(container.Spec{Image: "one", Networks: []string{"none"}})
		_, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{})
		s.refuses(withoutOp(err), fault.Conflict, fmt.Sprintf(`conflict: unable to remove repository reference "one" (must force) - container %s is using its referenced image %s`, c.ID[:12], image.ShortID(img.ID)))
		_, err = s.Images.Remove(s.ctx, img.ID, image.RemoveOptions{})
		s.refuses(withoutOp(err), fault.Conflict, fmt.Sprintf("conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", image.ShortID(img.ID), c.ID[:12]))
		one, err := s.Images.Get(s.ctx, "one")
		s.ok(err)
		is(s, "in use", one.InUse, true)
		_, err = s.Images.Remove(s.ctx, "one", image.RemoveOptions{Force: true})
		s.ok(err)
		is(s, "the list", s.names(), "")
	}},
	{"remove of what a running container was made from is a conflict by ID", func(s *suite) {
		s.derive("one", image.Config{Cmd: []string{"sleep", "1000"}}, image.File{Path: "/more", Content: []byte("x")})
		one, err := s.Images.Get(s.ctx, "one")
		s.ok(err)
		c := s.start(container.Spec{Image: "one", Networks: []string{"none"}})
		_, err = s.Images.Remove(s.ctx, one.ID, image.RemoveOptions{Force: true})
		s.refuses(withoutOp(err), fault.Conflict, fmt.Sprintf("conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", image.ShortID(one.ID), c.ID[:12]))
		got, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{Force: true})
		s.ok(err)
		is(s, "what was removed by name", removed(got), "untagged one:latest")
		is(s, "the status of the container", s.get(c.ID).Status, container.Running)
		all, err := s.Images.List(s.ctx)
		s.ok(err)
		if !slices.ContainsFunc(all, func(i image.Image) bool { return i.ID == one.ID && image.IsDangling(i.Name) }) {
			s.Errorf("the image is gone")
		}
	}},
	{"save and load keep name, ID and content", func(s *suite) {
		s.derive("one", image.Config{Cmd: []string{"cat", "/more"}}, image.File{Path: "/more", Content: []byte("saved\n")})
		two := s.assemble("two", "y")
		one, err := s.Images.Get(s.ctx, "one")
		s.ok(err)
		var archive bytes.Buffer
		s.ok(s.Images.Save(s.ctx, &archive, []string{"one", "two"}, image.SaveOptions{}))
		for _, name := range []string{"one", "two"} {
			_, err := s.Images.Remove(s.ctx, name, image.RemoveOptions{})
			s.ok(err)
		}
		got, err := s.Images.Load(s.ctx, &archive, image.LoadOptions{})
		s.ok(err)
		var names []string
		for _, img := range got {
			names = append(names, image.Familiar(img.Name)+" "+img.ID)
		}
		is(s, "what was loaded", strings.Join(names, ", "), "one:latest "+one.ID+", two:latest "+two.ID)
		is(s, "the content", s.foreground(container.Spec{Image: "one", Networks: []string{"none"}}, nil), output{stdout: "saved\n"})
	}},
	{"what is saved by ID is loaded without a name", func(s *suite) {
		img := s.assemble("one", "x")
		var archive bytes.Buffer
		s.ok(s.Images.Save(s.ctx, &archive, []string{img.ID}, image.SaveOptions{}))
		_, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{})
		s.ok(err)
		got, err := s.Images.Load(s.ctx, &archive, image.LoadOptions{})
		s.ok(err)
		if len(got) != 1 || !image.IsDangling(got[0].Name) || got[0].ID != img.ID {
			s.Fatalf("loaded are %+v", got)
		}
		again, err := s.Images.Get(s.ctx, img.ID)
		s.ok(err)
		is(s, "the name of the ID", again.Name, got[0].Name)
		removed, err := s.Images.Remove(s.ctx, img.ID, image.RemoveOptions{})
		s.ok(err)
		is(s, "the number of lines of its removal", len(removed), 1)
		is(s, "the list", s.names(), "")
	}},
	{"load of what is no archive is invalid, and makes nothing", func(s *suite) {
		var archive bytes.Buffer
		s.assemble("one", "x")
		s.ok(s.Images.Save(s.ctx, &archive, []string{"one"}, image.SaveOptions{}))
		_, err := s.Images.Remove(s.ctx, "one", image.RemoveOptions{})
		s.ok(err)
		for name, data := range map[string][]byte{
			"nothing":        nil,
			"text":           []byte("this is not an archive"),
			"half":           archive.Bytes()[:archive.Len()/2],
			"another digest": bytes.Replace(archive.Bytes(), []byte("/content"), []byte("/CONTENT"), 1),
		} {
			_, err := s.Images.Load(s.ctx, bytes.NewReader(data), image.LoadOptions{})
			if fault.KindOf(err) != fault.Invalid {
				s.Errorf("%s: %v of kind %s", name, err, fault.KindOf(err))
			}
		}
		is(s, "the list", s.names(), "")
	}},
	{"a file on top of a base is in the container", func(s *suite) {
		s.derive("over", image.Config{}, image.File{Path: "/etc/over", Content: []byte("over\n")}, image.File{Path: "/bin/script", Content: []byte("#!/bin/sh\necho script $1\n"), Mode: 0o755})
		is(s, "the file", s.foreground(container.Spec{Image: "over", Command: []string{"cat", "/etc/over"}, Networks: []string{"none"}}, nil), output{stdout: "over\n"})
		is(s, "the script", s.foreground(container.Spec{Image: "over", Command: []string{"script", "1"}, Networks: []string{"none"}}, nil), output{stdout: "script 1\n"})
	}},
}

// withoutOp takes off what a front end does not need to compare: some errors of
// images carry the operation, some do not.
func withoutOp(err error) error {
	f, ok := err.(*fault.Error)
	if !ok || f.Op == "" {
		return err
	}
	c := *f
	c.Op, c.Subject = "", ""
	return &c
}
