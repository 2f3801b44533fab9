package conformance

import (
	"nsh/runtime/container"
)

var engine = []promise{
	{"tells its name and version", func(s *suite) {
		v, err := s.System.Version(s.ctx)
		s.ok(err)
		if v.Engine == "" || v.Version == "" || len(v.Components) == 0 {
			s.Errorf("%+v", v)
		}
	}},
	{"counts containers and images", func(s *suite) {
		s.create(s.spec("true"))
		ended, _, paused := s.start(s.spec("true")), s.idle(), s.idle()
		s.exits(ended.ID, 0)
		s.ok(s.Containers.Pause(s.ctx, paused.ID))
		info, err := s.System.Info(s.ctx)
		s.ok(err)
		is(s, "the number of containers", info.Containers, 4)
		is(s, "the number of running ones", info.Running, 1)
		is(s, "the number of paused ones", info.Paused, 1)
		is(s, "the number of stopped ones", info.Stopped, 2)
		is(s, "the number of images", info.Images, 1)
		if info.Driver == "" || info.OSType != "linux" || info.Architecture == "" || info.ServerVersion == "" || info.NCPU < 1 || info.MemTotal < 1 {
			s.Errorf("%+v", info)
		}
	}},
	{"repairs nothing that belongs to a container", func(s *suite) {
		spec := s.bridged(container.PortMapping{HostIP: "127.0.0.1", ContainerPort: 80, Protocol: "tcp"})
		spec.Name = "healthy"
		running := s.start(spec)
		made := s.create(s.spec("echo", "made"))
		for _, dry := range []bool{true, false} {
			_, err := s.System.Repair(s.ctx, dry)
			s.ok(err)
		}
		now := s.get("healthy")
		is(s, "the status", now.Status, container.Running)
		is(s, "the address", now.Networks[0], running.Networks[0])
		is(s, "the output", s.execute(running.ID, container.ExecSpec{Command: []string{"echo", "well"}}, nil), output{stdout: "well\n"})
		is(s, "the output of the other", s.startForeground(made.ID, nil), output{stdout: "made\n"})
		s.ok(s.Containers.Remove(s.ctx, running.ID, container.RemoveOptions{Force: true}))
		_, err := s.System.Repair(s.ctx, false)
		s.ok(err)
		s.leaves(made.ID)
	}},
}
