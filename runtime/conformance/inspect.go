package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

var top = []promise{
	{"lists the processes of a container", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "echo ready; sleep 1000; true"))
		s.says(c.ID, "ready\n")
		var got container.Processes
		s.until("both processes run", func() bool {
			var err error
			got, err = s.Containers.Top(s.ctx, c.ID, nil)
			s.ok(err)
			return len(got.Rows) == 2
		})
		is(s, "the titles", strings.Join(got.Titles, " "), "UID PID PPID C STIME TTY TIME CMD")
		is(s, "the PID", got.Rows[0][1], fmt.Sprint(c.Pid))
		is(s, "the user", got.Rows[0][0], "root")
		is(s, "the command", got.Rows[0][7], "sh -c echo ready; sleep 1000; true")
		is(s, "the command of the child", got.Rows[1][7], "sleep 1000")
	}},
	{"takes the arguments of ps", func(s *suite) {
		c := s.idle()
		got, err := s.Containers.Top(s.ctx, c.ID, []string{"-o", "pid,args"})
		s.ok(err)
		is(s, "the answer", fmt.Sprint(got.Titles, got.Rows), fmt.Sprintf("[PID COMMAND] [[%d sleep 1000]]", c.Pid))
		_, err = s.Containers.Top(s.ctx, c.ID, []string{"-o", "args"})
		s.refuses(err, fault.Invalid, "Couldn't find PID field in ps output")
	}},
	{"of what does not run is a conflict", func(s *suite) {
		c := s.create(s.spec("true"))
		_, err := s.Containers.Top(s.ctx, c.ID, nil)
		s.refuses(err, fault.Conflict, "container "+c.ID+" is not running")
	}},
}

// bridged is a container on the default network.
func (s *suite) bridged(ports ...container.PortMapping) container.Spec {
	return container.Spec{Image: s.Image, Command: []string{"sleep", "1000"}, Ports: ports}
}

var endpoints = []promise{
	{"gives a running container an address of its own", func(s *suite) {
		a, b := s.start(s.bridged()), s.start(s.bridged())
		seen := map[string]bool{}
		for _, c := range []container.Container{a, b} {
			if len(c.Networks) != 1 {
				s.Fatalf("the networks are %+v", c.Networks)
			}
			e := c.Networks[0]
			ip, err := netip.ParseAddr(e.IP)
			s.ok(err)
			gateway, err := netip.ParseAddr(e.Gateway)
			s.ok(err)
			if e.Network != "bridge" || e.Interface != "eth0" || e.MAC == "" || !netip.PrefixFrom(ip, e.PrefixLen).Masked().Contains(gateway) || seen[e.IP] {
				s.Errorf("the endpoint is %+v", e)
			}
			seen[e.IP] = true
		}
	}},
	{"takes the address away at the end", func(s *suite) {
		c := s.start(s.bridged())
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		is(s, "the endpoints", fmt.Sprintf("%+v", s.get(c.ID).Networks), fmt.Sprintf("%+v", []container.Endpoint{{Network: "bridge"}}))
	}},
	{"none gives no address", func(s *suite) {
		is(s, "the endpoints", fmt.Sprintf("%+v", s.idle().Networks), fmt.Sprintf("%+v", []container.Endpoint{{Network: "none"}}))
	}},
	{"publishes a port that is free where none is given", func(s *suite) {
		c := s.start(s.bridged(container.PortMapping{HostIP: "127.0.0.1", ContainerPort: 80, Protocol: "tcp"}, container.PortMapping{HostIP: "127.0.0.1", ContainerPort: 81, Protocol: "tcp"}))
		if len(c.Ports) != 2 || c.Ports[0].HostPort == c.Ports[1].HostPort {
			s.Fatalf("the ports are %+v", c.Ports)
		}
		for i, p := range c.Ports {
			is(s, "the port", p, container.PortMapping{HostIP: "127.0.0.1", HostPort: p.HostPort, ContainerPort: 80 + i, Protocol: "tcp"})
			if p.HostPort < 1024 || p.HostPort > 65535 {
				s.Errorf("the host's port is %d", p.HostPort)
			}
		}
	}},
	{"has a port in use as a conflict until it is free", func(s *suite) {
		first := s.start(s.bridged(container.PortMapping{HostIP: "0.0.0.0", ContainerPort: 80, Protocol: "tcp"}))
		port := first.Ports[0].HostPort
		second := s.create(s.bridged(container.PortMapping{HostIP: "0.0.0.0", HostPort: port, ContainerPort: 80, Protocol: "tcp"}))
		_, err := s.Containers.Start(s.ctx, second.ID, nil)
		// The layer that found out may say so first.
		want := fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated", port)
		if err == nil || fault.KindOf(err) != fault.Conflict || !strings.HasSuffix(err.Error(), want) {
			s.Errorf("error of kind %s: %v\nwant one of kind conflict that ends with: %s", fault.KindOf(err), err, want)
		} else {
			now := s.get(second.ID)
			is(s, "the status", now.Status, container.Created)
			is(s, "the error that the container shows", now.Error, err.Error())
		}
		s.ok(s.Containers.Kill(s.ctx, first.ID, "KILL"))
		_, err = s.Containers.Start(s.ctx, second.ID, nil)
		s.ok(err)
		is(s, "the error after a good start", s.get(second.ID).Error, "")
	}},
	{"keeps ports of different protocols apart", func(s *suite) {
		first := s.start(s.bridged(container.PortMapping{HostIP: "127.0.0.1", ContainerPort: 80, Protocol: "tcp"}))
		s.start(s.bridged(container.PortMapping{HostIP: "127.0.0.1", HostPort: first.Ports[0].HostPort, ContainerPort: 80, Protocol: "udp"}))
	}},
	{"gives many at once different addresses and ports", func(s *suite) {
		made := make([]container.Container, 8)
		for _, err := range every(len(made), func(i int) error {
			c, err := s.Containers.Create(s.ctx, s.bridged(container.PortMapping{HostIP: "0.0.0.0", ContainerPort: 80, Protocol: "tcp"}))
			if err != nil {
				return err
			}
			if _, err = s.Containers.Start(s.ctx, c.ID, nil); err != nil {
				return err
			}
			made[i], err = s.Containers.Get(s.ctx, c.ID)
			return err
		}) {
			s.ok(err)
		}
		seen := map[string]bool{}
		for _, c := range made {
			if len(c.Networks) != 1 || len(c.Ports) != 1 {
				s.Fatalf("%+v, %+v", c.Networks, c.Ports)
			}
			for _, key := range []string{c.Networks[0].IP, c.Networks[0].MAC, fmt.Sprint(c.Ports[0].HostPort)} {
				if seen[key] || key == "" || key == "0" {
					s.Errorf("%q comes twice, or is nothing", key)
				}
				seen[key] = true
			}
		}
	}},
}

var inspect = []promise{
	{"tells what was asked for", func(s *suite) {
		seconds := 3
		spec := s.spec("sleep", "1000")
		spec.Name, spec.Env, spec.WorkDir, spec.Hostname, spec.Labels = "asked", []string{"A=1"}, "/tmp", "host", map[string]string{"k": "v"}
		spec.StopSignal, spec.StopTimeout, spec.AutoRemove, spec.OpenStdin = "SIGINT", &seconds, true, true
		spec.Resources.Memory = 64 << 20
		c := s.create(spec)
		d, err := s.Containers.Inspect(s.ctx, "asked", false)
		s.ok(err)
		is(s, "the ID", d.ID, c.ID)
		is(s, "the name", d.Spec.Name, "asked")
		is(s, "the image", d.Spec.Image, c.Image)
		is(s, "the command", strings.Join(d.Spec.Command, " "), "sleep 1000")
		is(s, "the directory", d.Spec.WorkDir, "/tmp")
		is(s, "the host name", d.Spec.Hostname, "host")
		is(s, "the label", d.Labels["k"], "v")
		is(s, "the stop signal", d.Spec.StopSignal, "SIGINT")
		is(s, "the memory", d.Spec.Resources.Memory, 64<<20)
		is(s, "to be removed", d.Spec.AutoRemove, true)
		is(s, "the open input", d.Spec.OpenStdin, true)
		is(s, "the networks", strings.Join(d.Spec.Networks, " "), "none")
		if d.Spec.StopTimeout == nil || *d.Spec.StopTimeout != 3 {
			s.Errorf("the stop timeout is %v", d.Spec.StopTimeout)
		}
		if !slices.Contains(d.Spec.Env, "A=1") || !slices.ContainsFunc(d.Spec.Env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
			s.Errorf("the environment is %q", d.Spec.Env)
		}
		if d.Size != nil || d.Native == nil {
			s.Errorf("the size is %v, the native record %v", d.Size, d.Native)
		}
	}},
	{"tells the name and the image as they are now", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "old"
		c := s.create(spec)
		s.ok(s.Containers.Rename(s.ctx, "old", "new"))
		d, err := s.Containers.Inspect(s.ctx, c.ID, false)
		s.ok(err)
		is(s, "the name", d.Name+" "+d.Spec.Name, "new new")
	}},
	{"has sizes when asked", func(s *suite) {
		c := s.create(s.spec("true"))
		d, err := s.Containers.Inspect(s.ctx, c.ID, true)
		s.ok(err)
		if d.Size == nil || d.Size.Virtual <= 0 {
			s.Errorf("the size is %+v", d.Size)
		}
	}},
	{"does not show the caller's environment", func(s *suite) {
		s.secret()
		c := s.create(s.spec("true"))
		d, err := s.Containers.Inspect(s.ctx, c.ID, false)
		s.ok(err)
		if text := fmt.Sprintf("%+v", d); strings.Contains(text, "NSH_CONFORMANCE_SECRET") {
			s.Errorf("it does: %s", text)
		}
	}},
	{"labels of the tool itself cannot be set", func(s *suite) {
		spec := s.spec("true")
		spec.Labels = map[string]string{"nerdctl/name": "x"}
		_, err := s.Containers.Create(s.ctx, spec)
		s.refuses(err, fault.Invalid, `label "nerdctl/name": the prefix "nerdctl/" is kept for the tool itself`)
		s.leaves()
	}},
}
