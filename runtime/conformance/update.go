package conformance

import (
	"fmt"
	"math/rand/v2"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

var update = []promise{
	{"changes the limits that are given, also of what runs", func(s *suite) {
		spec := s.spec("sleep", "60")
		spec.Resources.Memory = 64 << 20
		c := s.start(spec)
		s.ok(s.Containers.Update(s.ctx, c.ID, container.Update{Resources: container.Resources{CPUs: 0.5, Memory: 128 << 20}}))
		r := s.resources(c.ID)
		is(s, "the memory", r.Memory, 128<<20)
		is(s, "the processors", r.CPUs, 0.5)
		is(s, "the status", s.get(c.ID).Status, container.Running)
		s.ok(s.Containers.Update(s.ctx, c.ID, container.Update{Resources: container.Resources{CPUPeriod: 50000, CPUQuota: 10000}}))
		r = s.resources(c.ID)
		is(s, "the limits", fmt.Sprint(r.CPUs, r.CPUPeriod, r.CPUQuota, r.Memory), fmt.Sprint(0, 50000, 10000, 128<<20))
	}},
	{"refuses what does not go together and leaves all as it was", func(s *suite) {
		spec := s.spec("true")
		spec.Resources.Memory = 64 << 20
		c := s.create(spec)
		err := s.Containers.Update(s.ctx, c.ID, container.Update{Resources: container.Resources{Memory: 1 << 20}})
		s.refuses(err, fault.Invalid, "Minimum memory limit allowed is 6MB")
		is(s, "the memory", s.resources(c.ID).Memory, 64<<20)
	}},
}

func (s *suite) resources(ref string) container.Resources {
	s.Helper()
	d, err := s.Containers.Inspect(s.ctx, ref, false)
	s.ok(err)
	return d.Spec.Resources
}

// settings are what ensure goes by.
var settings = []promise{
	{"differ in nothing from what a container was made from", func(s *suite) {
		base := s.base()
		for n := range 12 {
			seed := rand.New(rand.NewPCG(uint64(n), 1))
			spec := s.random(seed)
			c := s.create(spec)
			if n%3 == 0 {
				_, err := s.Containers.Start(s.ctx, c.ID, nil)
				s.ok(err)
			}
			d, err := s.Containers.Inspect(s.ctx, c.ID, false)
			s.ok(err)
			if diff := container.Differences(d, spec, base); len(diff) > 0 {
				s.Errorf("%+v\ndiffers in %v", spec, diff)
			}
			// Of two that differ each setting is told, and no other.
			other := s.random(seed)
			want := map[string]bool{}
			a, b := map[string]string{}, map[string]string{}
			for _, x := range spec.Settings(container.Base{}) {
				a[x.Name] = x.To
			}
			for _, x := range other.Settings(container.Base{}) {
				b[x.Name] = x.To
				want[x.Name] = a[x.Name] != x.To
			}
			for name := range a {
				want[name] = a[name] != b[name]
			}
			for _, x := range container.Differences(d, other, base) {
				if !want[x.Name] {
					s.Errorf("%s: %q, %q is no difference of\n%+v and\n%+v", x.Name, x.From, x.To, spec, other)
				}
				delete(want, x.Name)
			}
			for name, differs := range want {
				if differs {
					s.Errorf("that %s differs is not told", name)
				}
			}
		}
	}},
}

// base is what the image gives.
func (s *suite) base() container.Base {
	s.Helper()
	d, err := s.Images.Inspect(s.ctx, s.Image, "")
	s.ok(err)
	return container.Base{ID: d.ID, Env: d.Config.Env, Entrypoint: d.Config.Entrypoint, Command: d.Config.Cmd, WorkDir: d.Config.WorkingDir, User: d.Config.User, Labels: d.Config.Labels}
}

// random is a request of settings that any machine takes.
func (s *suite) random(r *rand.Rand) container.Spec {
	spec := s.spec("sleep", fmt.Sprint(60+r.IntN(3)))
	some := func() bool { return r.IntN(2) == 0 }
	if some() {
		spec.Env = []string{"A=" + fmt.Sprint(r.IntN(2)), "EMPTY="}
	}
	if some() {
		spec.WorkDir = "/tmp"
	}
	if some() {
		spec.User = "65534:65534"
	}
	if some() {
		spec.Labels = map[string]string{"tier": fmt.Sprint(r.IntN(2))}
	}
	if some() {
		spec.Hostname = "host" + fmt.Sprint(r.IntN(2))
	}
	if some() {
		spec.DNS, spec.DNSSearch = []string{"192.0.2.1"}, []string{"example.com"}
	}
	if some() {
		spec.ExtraHosts = []string{"b:192.0.2.2", "a:192.0.2.1"}
	}
	if some() {
		spec.ReadOnly = true
	}
	if some() {
		spec.ShmSize = 32 << 20
	}
	if some() {
		spec.Resources.Memory = int64(64+r.IntN(2)) << 20
	}
	if some() {
		spec.Resources.PidsLimit = 100
	}
	if some() {
		spec.Resources.CPUs = 0.5
	}
	if some() {
		spec.Security.CapAdd, spec.Security.CapDrop = []string{"NET_ADMIN"}, []string{"CAP_CHOWN", "cap_kill"}
	}
	if some() {
		spec.Ulimits = []container.Ulimit{{Name: "nofile", Soft: 512, Hard: 1024}}
	}
	if some() {
		n := r.IntN(20)
		spec.StopSignal, spec.StopTimeout = "SIGINT", &n
	}
	if some() {
		spec.LogDriver, spec.LogOpts = "json-file", map[string]string{"max-size": "1m"}
	}
	if some() {
		spec.Mounts = append(spec.Mounts, container.Mount{Type: "volume", Name: fmt.Sprintf("v%d", r.IntN(2)), Destination: "/v", RW: some()}, container.Mount{Type: "volume", Destination: "/anonymous", RW: true})
	}
	if some() {
		spec.Mounts = []container.Mount{{Type: "tmpfs", Destination: "/t", Mode: "size=1048576", RW: true}, {Type: "bind", Source: "/usr", Destination: "/host", Propagation: "rprivate"}}
	}
	return spec
}
