package conformance

import (
	"regexp"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

var fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)

var create = []promise{
	{"gives a container that is not started", func(s *suite) {
		before := time.Now().Add(-time.Second)
		spec := s.spec("sleep", "1000")
		spec.Name, spec.Labels = "made", map[string]string{"tier": "web", "empty": ""}
		c := s.create(spec)
		img, err := s.Images.Get(s.ctx, s.Image)
		s.ok(err)
		if !fullID.MatchString(c.ID) {
			s.Errorf("the ID is %q", c.ID)
		}
		is(s, "the name", c.Name, "made")
		is(s, "the image", c.Image, s.Image)
		is(s, "the image's ID", c.ImageID, img.ID)
		is(s, "the status", c.Status, container.Created)
		is(s, "the pid", c.Pid, 0)
		is(s, "the command", strings.Join(c.Args, " "), "sleep 1000")
		is(s, "the label", c.Labels["tier"], "web")
		if v, ok := c.Labels["empty"]; v != "" || !ok {
			s.Errorf("the label without a value is lost: %v", c.Labels)
		}
		if c.Created.Before(before) || c.Created.After(time.Now().Add(time.Second)) || !c.StartedAt.IsZero() {
			s.Errorf("created at %s, started at %s", c.Created, c.StartedAt)
		}
		is(s, "the status that Get gives", s.get("made").Status, container.Created)
	}},
	{"names a container after its image and ID", func(s *suite) {
		c := s.create(s.spec("true"))
		img, err := s.Images.Get(s.ctx, s.Image)
		s.ok(err)
		is(s, "the name", c.Name, container.DefaultName(img.Name, c.ID))
	}},
	{"shows the image as it was asked for", func(s *suite) {
		s.derive("me/app:v1", image.Config{})
		for _, ref := range []string{"me/app:v1", "docker.io/me/app:v1"} {
			spec := s.spec("true")
			spec.Image = ref
			is(s, "the image", s.get(s.create(spec).ID).Image, ref)
		}
	}},
	{"without the image is not_found", func(s *suite) {
		_, err := s.Containers.Create(s.ctx, container.Spec{Image: "no-such-image", Name: "taken-by-nobody"})
		s.refuses(err, fault.NotFound, "No such image: no-such-image:latest")
		s.leaves()
	}},
	{"with an invalid name is invalid", func(s *suite) {
		for _, name := range []string{"a", "-web", "a b", "a/b", "web\n"} {
			spec := s.spec("true")
			spec.Name = name
			_, err := s.Containers.Create(s.ctx, spec)
			s.refuses(err, fault.Invalid, "Invalid container name ("+name+"), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
		}
		s.leaves()
	}},
	{"with a name in use is a conflict that names the holder", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "web"
		c := s.create(spec)
		_, err := s.Containers.Create(s.ctx, spec)
		s.refuses(err, fault.Conflict, inUse("web", c.ID))
		s.leaves(c.ID)
	}},
	{"fifty times with one name succeeds once", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "one"
		errs := every(50, func(int) error { _, err := s.Containers.Create(s.ctx, spec); return err })
		c := s.get("one")
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			s.refuses(err, fault.Conflict, inUse("one", c.ID))
		}
		is(s, "how many were made", made, 1)
		s.leaves(c.ID)
	}},
	{"many times without a name gives each its own", func(s *suite) {
		made := make([]container.Container, 20)
		for _, err := range every(20, func(i int) (err error) { made[i], err = s.Containers.Create(s.ctx, s.spec("true")); return err }) {
			s.ok(err)
		}
		seen := map[string]bool{}
		for _, c := range made {
			if seen[c.ID] || seen[c.Name] {
				s.Errorf("%s, %s comes twice", c.Name, c.ID)
			}
			seen[c.ID], seen[c.Name] = true, true
		}
	}},
	{"takes a name that another namespace has", func(s *suite) {
		other := &suite{T: s.T, Instance: s.factory(s.T), ctx: s.ctx}
		for _, where := range []*suite{s, other} {
			spec := where.spec("true")
			spec.Name = "web"
			c := where.create(spec)
			where.leaves(c.ID)
		}
	}},
	{"that failed gives its name back", func(s *suite) {
		spec := s.spec("true")
		spec.Name, spec.StopSignal = "again", "NOPE"
		_, err := s.Containers.Create(s.ctx, spec)
		s.refuses(err, fault.Invalid, "invalid signal: NOPE")
		s.leaves()
		spec.StopSignal = ""
		s.create(spec)
	}},
	{"without any command is invalid", func(s *suite) {
		_, err := s.Images.Assemble(s.ctx, image.Recipe{Name: "bare", Files: []image.File{{Path: "/x", Content: []byte("x")}}})
		s.ok(err)
		_, err = s.Containers.Create(s.ctx, container.Spec{Image: "bare", Networks: []string{"none"}})
		s.refuses(err, fault.Invalid, "no command specified")
		s.leaves()
	}},
	{"takes command, environment, directory and user of the image", func(s *suite) {
		s.derive("derived", image.Config{
			Entrypoint: []string{"sh", "-c"}, Cmd: []string{`echo "$A $B $(pwd) $(id -u)"`}, Env: []string{"A=1", "B=2"}, WorkingDir: "/tmp", User: "1000",
		})
		spec := container.Spec{Image: "derived", Networks: []string{"none"}}
		is(s, "what it says", s.foreground(spec, nil), output{stdout: "1 2 /tmp 1000\n"})
		spec.Env, spec.WorkDir, spec.User = []string{"B=3", "C=4"}, "/", "0"
		spec.Command = []string{`echo "$A $B $C $(pwd) $(id -u)"`}
		is(s, "what it says when told otherwise", s.foreground(spec, nil), output{stdout: "1 3 4 / 0\n"})
		spec.Entrypoint, spec.Command = &[]string{"echo", "x"}, nil
		is(s, "what it says with another entrypoint", s.foreground(spec, nil), output{stdout: "x\n"})
	}},
	{"does not pass the caller's environment on", func(s *suite) {
		s.secret()
		out := s.foreground(s.spec("sh", "-c", `echo "[$NSH_CONFORMANCE_SECRET]"`), nil)
		is(s, "the output", out, output{stdout: "[]\n"})
	}},
	{"whose context has ended makes nothing", func(s *suite) {
		ctx, cancel := contextThatHasEnded(s)
		defer cancel()
		_, err := s.Containers.Create(ctx, s.spec("true"))
		is(s, "the kind of error", fault.KindOf(err), fault.Cancelled)
		s.leaves()
	}},
}

func inUse(name, holder string) string {
	return `Conflict. The container name "/` + name + `" is already in use by container "` + holder + `". You have to remove (or rename) that container to be able to reuse that name.`
}

// leaves checks that there are these containers and no others.
func (s *suite) leaves(ids ...string) {
	s.Helper()
	all, err := s.Containers.List(s.ctx, container.ListOptions{All: true})
	s.ok(err)
	var got []string
	for _, c := range all {
		got = append(got, c.ID)
	}
	is(s, "the list of containers", strings.Join(got, " "), strings.Join(ids, " "))
}

// derive makes an image of the instance's with another config.
func (s *suite) derive(name string, config image.Config, files ...image.File) {
	s.Helper()
	_, err := s.Images.Assemble(s.ctx, image.Recipe{Name: name, Base: s.Image, Config: config, Files: files})
	s.ok(err)
}

var refs = []promise{
	{"are a name, a full ID, a unique prefix, a name with a slash", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "web"
		c := s.create(spec)
		for _, ref := range []string{"web", c.ID, c.ID[:12], c.ID[:1], "/web"} {
			is(s, "the container "+ref, s.get(ref).ID, c.ID)
		}
	}},
	{"that match nothing are not_found, in every operation", func(s *suite) {
		const want = "No such container: nope"
		svc, ctx := s.Containers, s.ctx
		for name, do := range map[string]func() error{
			"Get":     func() error { _, err := svc.Get(ctx, "nope"); return err },
			"Inspect": func() error { _, err := svc.Inspect(ctx, "nope", false); return err },
			"Start":   func() error { _, err := svc.Start(ctx, "nope", nil); return err },
			"Attach":  func() error { _, err := svc.Attach(ctx, "nope", container.Streams{}); return err },
			"Exec": func() error {
				_, err := svc.Exec(ctx, "nope", container.ExecSpec{Command: []string{"true"}}, container.Streams{})
				return err
			},
			"Stop":    func() error { return svc.Stop(ctx, "nope", container.StopOptions{}) },
			"Kill":    func() error { return svc.Kill(ctx, "nope", "KILL") },
			"Pause":   func() error { return svc.Pause(ctx, "nope") },
			"Unpause": func() error { return svc.Unpause(ctx, "nope") },
			"Rename":  func() error { return svc.Rename(ctx, "nope", "other") },
			"Update":  func() error { return svc.Update(ctx, "nope", container.Update{}) },
			"Remove":  func() error { return svc.Remove(ctx, "nope", container.RemoveOptions{}) },
			"Remove by force": func() error {
				return svc.Remove(ctx, "nope", container.RemoveOptions{Force: true})
			},
			"Wait": func() error { _, err := svc.Wait(ctx, "nope"); return err },
			"Logs": func() error { return svc.Logs(ctx, "nope", container.LogOptions{}, nil) },
			"Top":  func() error { _, err := svc.Top(ctx, "nope", nil); return err },
		} {
			if err := do(); err == nil || fault.KindOf(err) != fault.NotFound || err.Error() != want {
				s.Errorf("%s: %v (%s), want %s", name, err, fault.KindOf(err), want)
			}
		}
	}},
	{"that are a prefix of several are invalid", func(s *suite) {
		// Of seventeen IDs two begin with the same digit.
		first := map[string]string{}
		for range 17 {
			c := s.create(s.spec("true"))
			digit := c.ID[:1]
			if first[digit] == "" {
				first[digit] = c.ID
				continue
			}
			_, err := s.Containers.Get(s.ctx, digit)
			s.refuses(err, fault.Invalid, "Multiple IDs found with provided prefix: "+digit)
			err = s.Containers.Remove(s.ctx, digit, container.RemoveOptions{Force: true})
			s.refuses(err, fault.Invalid, "Multiple IDs found with provided prefix: "+digit)
			is(s, "the container of the full ID", s.get(c.ID).ID, c.ID)
			return
		}
		s.Error("seventeen IDs begin with seventeen different hex digits")
	}},
	{"are a name before an ID and before a prefix", func(s *suite) {
		a := s.create(s.spec("true"))
		spec := s.spec("true")
		spec.Name = a.ID[:12]
		b := s.create(spec)
		is(s, "the container of the prefix", s.get(a.ID[:12]).ID, b.ID)
		spec.Name = a.ID
		c := s.create(spec)
		is(s, "the container of the ID", s.get(a.ID).ID, c.ID)
	}},
	{"that are empty or odd are refused", func(s *suite) {
		s.create(s.spec("true"))
		for _, ref := range []string{"", "/"} {
			_, err := s.Containers.Get(s.ctx, ref)
			s.refuses(err, fault.Invalid, "invalid container name or ID: value is empty")
		}
		for _, ref := range []string{"a b", `"`, "^", ".*", "$(x)", "ä", "a,b", "labels.x"} {
			_, err := s.Containers.Get(s.ctx, ref)
			s.refuses(err, fault.NotFound, "No such container: "+ref)
		}
	}},
}

var list = []promise{
	{"is empty at first", func(s *suite) {
		all, err := s.Containers.List(s.ctx, container.ListOptions{All: true})
		s.ok(err)
		is(s, "the number of containers", len(all), 0)
	}},
	{"is the newest first", func(s *suite) {
		var want string
		for range 5 {
			want = s.create(s.spec("true")).ID + " " + want
		}
		s.leaves(strings.Fields(want)...)
	}},
	{"without All has those that run and are paused", func(s *suite) {
		s.create(s.spec("true"))
		ended := s.start(s.spec("true"))
		s.exits(ended.ID, 0)
		running, paused := s.idle(), s.idle()
		s.ok(s.Containers.Pause(s.ctx, paused.ID))
		got, err := s.Containers.List(s.ctx, container.ListOptions{})
		s.ok(err)
		var ids []string
		for _, c := range got {
			ids = append(ids, c.ID+" "+string(c.Status))
		}
		is(s, "the list", strings.Join(ids, ", "), paused.ID+" paused, "+running.ID+" running")
	}},
	{"says what Get says", func(s *suite) {
		c := s.idle()
		all, err := s.Containers.List(s.ctx, container.ListOptions{All: true})
		s.ok(err)
		if len(all) != 1 {
			s.Fatalf("%d containers", len(all))
		}
		got, want := all[0], s.get(c.ID)
		if got.ID != want.ID || got.Name != want.Name || got.Status != want.Status || got.Pid != want.Pid || !got.StartedAt.Equal(want.StartedAt) ||
			got.Image != want.Image || got.ImageID != want.ImageID || strings.Join(got.Args, " ") != strings.Join(want.Args, " ") {
			s.Errorf("List gives\n%+v, Get\n%+v", got, want)
		}
	}},
	{"has sizes when asked, and only then", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "echo 0123456789 > /tmp/file"))
		s.exits(c.ID, 0)
		all, err := s.Containers.List(s.ctx, container.ListOptions{All: true, Sizes: true})
		s.ok(err)
		if size := all[0].Size; size == nil || size.Writable <= 0 || size.Virtual < size.Writable {
			s.Errorf("the size is %+v", size)
		}
		all, err = s.Containers.List(s.ctx, container.ListOptions{All: true})
		s.ok(err)
		if all[0].Size != nil {
			s.Errorf("the size is %+v though nobody asked", all[0].Size)
		}
	}},
}
