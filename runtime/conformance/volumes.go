package conformance

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/volume"
)

// volumes checks that there are these volumes and no others.
func (s *suite) volumes(names ...string) {
	s.Helper()
	all, err := s.Volumes.List(s.ctx, volume.ListOptions{})
	s.ok(err)
	var got []string
	for _, v := range all {
		got = append(got, v.Name)
	}
	is(s, "the list of volumes", strings.Join(got, " "), strings.Join(names, " "))
}

// mounted is a container with one volume.
func (s *suite) mounted(m container.Mount, command ...string) container.Spec {
	spec := s.spec(command...)
	m.Type = "volume"
	spec.Mounts = []container.Mount{m}
	return spec
}

// data is the volume of most promises.
var data = container.Mount{Name: "data", Destination: "/data", RW: true}

// seeded is an image with files in /data, and a volume there.
func (s *suite) seeded() string {
	s.derive("seeded:1", image.Config{Volumes: []string{"/data"}},
		image.File{Path: "/data", Directory: true, Mode: 0o750},
		image.File{Path: "/data/seed", Content: []byte("of the image\n"), Mode: 0o640},
		image.File{Path: "/data/dir/below", Content: []byte("below\n")},
		image.File{Path: "/data/link", Link: "seed"},
	)
	return "seeded:1"
}

var volumePromises = []promise{
	{"makes one of a name once", func(s *suite) {
		a, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "data", Labels: map[string]string{"tier": "db"}})
		s.ok(err)
		b, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "data", Labels: map[string]string{"tier": "web"}})
		s.ok(err)
		c, err := s.Volumes.Get(s.ctx, "data", false)
		s.ok(err)
		for _, v := range []volume.Volume{a, b, c} {
			if v.Name != "data" || v.Labels["tier"] != "db" || len(v.Labels) != 1 || v.Anonymous || v.Created.IsZero() || !v.Created.Equal(a.Created) || v.Size != nil || v.Containers != nil {
				s.Errorf("%+v", v)
			}
		}
		s.volumes("data")
	}},
	{"makes an anonymous one without a name", func(s *suite) {
		v, err := s.Volumes.Create(s.ctx, volume.Spec{})
		s.ok(err)
		w, err := s.Volumes.Create(s.ctx, volume.Spec{Labels: map[string]string{"a": "b"}})
		s.ok(err)
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(v.Name) || !v.Anonymous || !w.Anonymous || v.Name == w.Name {
			s.Errorf("%+v, %+v", v, w)
		}
		is(s, "the labels", fmt.Sprint(v.Labels, w.Labels), "map[com.docker.volume.anonymous:] map[a:b com.docker.volume.anonymous:]")
	}},
	{"lists them by name, with their bytes and users where asked for", func(s *suite) {
		for _, name := range []string{"b1", "a1", "c-d.e_f"} {
			_, err := s.Volumes.Create(s.ctx, volume.Spec{Name: name})
			s.ok(err)
		}
		s.volumes("a1", "b1", "c-d.e_f")
		m := data
		m.Name = "b1"
		c := s.create(s.mounted(m, "sh", "-c", "echo 12345 > /data/f"))
		s.startForeground(c.ID, nil)
		all, err := s.Volumes.List(s.ctx, volume.ListOptions{Sizes: true, Containers: true})
		s.ok(err)
		is(s, "the users", fmt.Sprint(all[0].Containers, all[1].Containers), fmt.Sprint([]string{}, []string{c.ID}))
		is(s, "the bytes", fmt.Sprint(*all[0].Size, *all[1].Size), "0 6")
		v, err := s.Volumes.Get(s.ctx, "b1", true)
		s.ok(err)
		is(s, "the users of one", fmt.Sprint(v.Containers), fmt.Sprint([]string{c.ID}))
		is(s, "its bytes", *v.Size, *all[1].Size)
	}},
	{"refuses what is no name", func(s *suite) {
		for _, name := range []string{"a/b", "../x", ".hidden", "-x", "ä1", "a b", strings.Repeat("x", 256)} {
			_, err := s.Volumes.Create(s.ctx, volume.Spec{Name: name})
			s.refuses(err, fault.Invalid, fmt.Sprintf("create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", name, name))
			_, err = s.Volumes.Get(s.ctx, name, false)
			s.refuses(err, fault.NotFound, "get "+name+": no such volume")
			s.refuses(s.Volumes.Remove(s.ctx, name), fault.NotFound, "get "+name+": no such volume")
			m := data
			m.Name = name
			_, err = s.Containers.Create(s.ctx, s.mounted(m, "true"))
			is(s, "the kind of error", fault.KindOf(err), fault.Invalid)
		}
		_, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "x"})
		s.refuses(err, fault.Invalid, "create x: volume name is too short, names should be at least two alphanumeric characters")
		s.volumes()
		s.leaves()
	}},
	{"knows one by its whole name alone", func(s *suite) {
		_, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "data"})
		s.ok(err)
		_, err = s.Volumes.Get(s.ctx, "dat", false)
		s.refuses(err, fault.NotFound, "get dat: no such volume")
		s.refuses(s.Volumes.Remove(s.ctx, "dat"), fault.NotFound, "get dat: no such volume")
		s.refuses(s.Volumes.Label(s.ctx, "dat", nil), fault.NotFound, "get dat: no such volume")
	}},
	{"replaces labels", func(s *suite) {
		made, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "data", Labels: map[string]string{"a": "1", "b": "2"}})
		s.ok(err)
		s.ok(s.Volumes.Label(s.ctx, "data", map[string]string{"b": "3", "c": ""}))
		v, err := s.Volumes.Get(s.ctx, "data", false)
		s.ok(err)
		is(s, "the labels", fmt.Sprint(v.Labels), "map[b:3 c:]")
		is(s, "the time", v.Created.Equal(made.Created), true)
		s.ok(s.Volumes.Label(s.ctx, "data", nil))
		v, err = s.Volumes.Get(s.ctx, "data", false)
		s.ok(err)
		is(s, "the labels", fmt.Sprint(v.Labels), "map[]")
	}},
	{"is made by the container that names it, and keeps what is written", func(s *suite) {
		s.foreground(s.mounted(data, "sh", "-c", "echo kept > /data/file"), nil)
		s.volumes("data")
		is(s, "what the next one reads", s.foreground(s.mounted(data, "cat", "/data/file"), nil), output{stdout: "kept\n"})
		v, err := s.Volumes.Get(s.ctx, "data", false)
		s.ok(err)
		is(s, "anonymous", v.Anonymous, false)
	}},
	{"is shared by containers that run", func(s *suite) {
		a, b := s.start(s.mounted(data, "sleep", "1000")), s.start(s.mounted(data, "sleep", "1000"))
		s.execute(a.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo from a > /data/file"}}, nil)
		is(s, "what the other reads", s.execute(b.ID, container.ExecSpec{Command: []string{"cat", "/data/file"}}, nil), output{stdout: "from a\n"})
	}},
	{"is told by the container", func(s *suite) {
		c := s.create(s.mounted(data, "true"))
		v, err := s.Volumes.Get(s.ctx, "data", false)
		s.ok(err)
		is(s, "the mount", fmt.Sprintf("%+v", c.Mounts), fmt.Sprintf("%+v", []container.Mount{{Type: "volume", Name: "data", Source: v.Mountpoint, Destination: "/data", RW: true}}))
		d, err := s.Containers.Inspect(s.ctx, c.ID, false)
		s.ok(err)
		is(s, "what was asked for", fmt.Sprintf("%+v", d.Spec.Mounts), fmt.Sprintf("%+v", []container.Mount{{Type: "volume", Name: "data", Destination: "/data", RW: true}}))
	}},
	{"can be mounted read-only", func(s *suite) {
		s.foreground(s.mounted(data, "sh", "-c", "echo kept > /data/file"), nil)
		m := data
		m.RW = false
		out := s.foreground(s.mounted(m, "sh", "-c", "cat /data/file; echo no > /data/file"), nil)
		if out.stdout != "kept\n" || out.code == 0 || !strings.Contains(strings.ToLower(out.stderr), "read-only file system") {
			s.Errorf("%+v", out)
		}
		is(s, "what is in it", s.foreground(s.mounted(data, "cat", "/data/file"), nil), output{stdout: "kept\n"})
	}},
	{"that is empty gets what the image has there", func(s *suite) {
		spec := s.mounted(data, "sh", "-c", "cat /data/seed /data/dir/below /data/link; echo mine > /data/seed")
		spec.Image = s.seeded()
		is(s, "what the image has", s.foreground(spec, nil), output{stdout: "of the image\nbelow\nof the image\n"})
		// It is not empty now.
		spec.Command = []string{"sh", "-c", "cat /data/seed; rm -r /data/seed /data/dir /data/link"}
		is(s, "what was written", s.foreground(spec, nil), output{stdout: "mine\n"})
		spec.Command = []string{"sh", "-c", "cat /data/seed"}
		is(s, "what is there when it was emptied", s.foreground(spec, nil), output{stdout: "of the image\n"})
		s.volumes("data")
	}},
	{"with nocopy stays empty", func(s *suite) {
		m := data
		m.Mode = "nocopy"
		spec := s.mounted(m, "ls", "/data")
		spec.Image = s.seeded()
		is(s, "what is there", s.foreground(spec, nil), output{})
	}},
	{"is filled once, by however many at once", func(s *suite) {
		spec := s.mounted(data, "true")
		spec.Image = s.seeded()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = s.Containers.Create(s.ctx, spec) })
		}
		wg.Wait()
		s.ok(errors.Join(errs...))
		is(s, "what is there", s.foreground(s.mounted(data, "sh", "-c", "ls /data; cat /data/seed"), nil), output{stdout: "dir\nlink\nseed\nof the image\n"})
	}},
	{"that the image wants is an anonymous one for each container", func(s *suite) {
		spec := s.spec("sh", "-c", "cat /data/seed; echo mine > /data/seed")
		spec.Image = s.seeded()
		a, b := s.create(spec), s.create(spec)
		for _, c := range []container.Container{a, b} {
			if len(c.Mounts) != 1 || c.Mounts[0].Type != "volume" || c.Mounts[0].Destination != "/data" || len(c.Mounts[0].Name) != 64 || !c.Mounts[0].RW {
				s.Fatalf("%+v", c.Mounts)
			}
			is(s, "the output", s.startForeground(c.ID, nil), output{stdout: "of the image\n"})
		}
		is(s, "one for both", a.Mounts[0].Name == b.Mounts[0].Name, false)
		names := []string{a.Mounts[0].Name, b.Mounts[0].Name}
		slices.Sort(names)
		s.volumes(names...)
		v, err := s.Volumes.Get(s.ctx, names[0], false)
		s.ok(err)
		is(s, "anonymous", v.Anonymous, true)

		spec.Mounts = []container.Mount{{Type: "tmpfs", Destination: "/data", RW: true}}
		is(s, "the mounts where something else is mounted there", len(s.create(spec).Mounts), 1)
		s.volumes(names...)
	}},
	{"that the image wants in no directory is refused", func(s *suite) {
		s.derive("broken:1", image.Config{Volumes: []string{"/"}})
		spec := s.spec("true")
		spec.Image = "broken:1"
		_, err := s.Containers.Create(s.ctx, spec)
		s.refuses(err, fault.Invalid, `the image's volume "/" is no absolute path below /`)
		s.leaves()
		s.volumes()
	}},
	{"goes with its container only where it is anonymous, and that is asked for", func(s *suite) {
		spec := s.mounted(data, "true")
		spec.Mounts = append(spec.Mounts, container.Mount{Type: "volume", Destination: "/more", RW: true})
		a, b := s.create(spec), s.create(spec)
		kept := a.Mounts[1].Name
		s.ok(s.Containers.Remove(s.ctx, a.ID, container.RemoveOptions{}))
		s.ok(s.Containers.Remove(s.ctx, b.ID, container.RemoveOptions{Volumes: true}))
		names := []string{"data", kept}
		slices.Sort(names)
		s.volumes(names...)
	}},
	{"that another container mounts does not go with the first", func(s *suite) {
		a := s.create(s.mounted(container.Mount{Destination: "/data", RW: true}, "true"))
		m := a.Mounts[0]
		b := s.create(s.mounted(container.Mount{Name: m.Name, Destination: "/from", RW: true}, "true"))
		s.ok(s.Containers.Remove(s.ctx, a.ID, container.RemoveOptions{Volumes: true}))
		s.volumes(m.Name)
		s.ok(s.Containers.Remove(s.ctx, b.ID, container.RemoveOptions{Volumes: true}))
		s.volumes(m.Name) // it was never b's own
	}},
	{"is taken over by the container that takes the place of another", func(s *suite) {
		a := s.create(s.mounted(container.Mount{Destination: "/data", RW: true}, "sh", "-c", "echo kept > /data/file"))
		s.startForeground(a.ID, nil)
		spec := s.mounted(container.Mount{Destination: "/data", RW: true}, "cat", "/data/file")
		spec.Inherit = map[string]string{"/data": a.Mounts[0].Name, "/other": "unused"}
		b := s.create(spec)
		is(s, "the volume", b.Mounts[0].Name, a.Mounts[0].Name)
		is(s, "what is there", s.startForeground(b.ID, nil), output{stdout: "kept\n"})
		s.ok(s.Containers.Remove(s.ctx, a.ID, container.RemoveOptions{Volumes: true}))
		s.volumes(b.Mounts[0].Name)
		d, err := s.Containers.Inspect(s.ctx, b.ID, false)
		s.ok(err)
		spec.Inherit = nil
		is(s, "the differences", len(container.Differences(d, spec, s.base())), 0)
		s.ok(s.Containers.Remove(s.ctx, b.ID, container.RemoveOptions{Volumes: true}))
		s.volumes()
	}},
	{"that a container mounts cannot be removed", func(s *suite) {
		made, running := s.create(s.mounted(data, "true")), s.start(s.mounted(data, "sleep", "1000"))
		ids := []string{made.ID, running.ID}
		slices.Sort(ids)
		s.refuses(s.Volumes.Remove(s.ctx, "data"), fault.Conflict, "remove data: volume is in use - ["+strings.Join(ids, ", ")+"]")
		s.ok(s.Containers.Remove(s.ctx, made.ID, container.RemoveOptions{}))
		s.refuses(s.Volumes.Remove(s.ctx, "data"), fault.Conflict, "remove data: volume is in use - ["+running.ID+"]")
		s.ok(s.Containers.Remove(s.ctx, running.ID, container.RemoveOptions{Force: true}))
		s.ok(s.Volumes.Remove(s.ctx, "data"))
		s.refuses(s.Volumes.Remove(s.ctx, "data"), fault.NotFound, "get data: no such volume")
		s.volumes()
	}},
	{"is not lost when it is removed and mounted at once", func(s *suite) {
		// Whoever wins: a container that was made has its volume.
		for range 10 {
			var made container.Container
			var errs [2]error
			_, err := s.Volumes.Create(s.ctx, volume.Spec{Name: "data"})
			s.ok(err)
			var both sync.WaitGroup
			both.Go(func() { made, errs[0] = s.Containers.Create(s.ctx, s.mounted(data, "true")) })
			both.Go(func() { errs[1] = s.Volumes.Remove(s.ctx, "data") })
			both.Wait()
			s.ok(errs[0])
			if errs[1] != nil && !fault.Is(errs[1], fault.Conflict) {
				s.ok(errs[1])
			}
			s.volumes("data")
			s.ok(s.Containers.Remove(s.ctx, made.ID, container.RemoveOptions{}))
		}
	}},
	{"of a container that could not be made is not left", func(s *suite) {
		first := s.spec("true")
		first.Name = "taken"
		s.create(first)
		spec := s.mounted(container.Mount{Destination: "/data", RW: true}, "true")
		spec.Name = "taken"
		_, err := s.Containers.Create(s.ctx, spec)
		is(s, "the kind of error", fault.KindOf(err), fault.Conflict)
		spec.Name, spec.User = "", "nobody-knows"
		_, err = s.Containers.Create(s.ctx, spec)
		is(s, "the kind of error", fault.KindOf(err), fault.Invalid)
		s.volumes()
	}},
}
