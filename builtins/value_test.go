package builtins

import (
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/runtime/container"
	"nsh/runtime/image"
)

func TestSnake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"ID", "id"}, {"ImageID", "image_id"}, {"IP6", "ip6"}, {"MAC", "mac"}, {"PrefixLen6", "prefix_len6"}, {"StartedAt", "started_at"},
		{"HostIP", "host_ip"}, {"RW", "rw"}, {"ShmSize", "shm_size"}, {"PortMapping", "port_mapping"},
	} {
		if got := snake(tt.in); got != tt.want {
			t.Errorf("snake(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	env := fakeEnv()
	other := web
	other.ID, other.Name = "ffff", "api"
	renamed := web
	renamed.Name = "www"
	names := starlark.StringDict{"c": &Container{env, web}, "d": &Container{env, other}, "same": &Container{env, renamed}, "i": &Image{env, alpine}}
	for name, v := range map[string]any{"ok": Result{Stdout: "hello\n"}, "bad": Result{Code: 3, Stderr: "no\n"}, "started": time.Unix(0, 0).UTC(), "never": time.Time{}, "wait": time.Second,
		"nothing": nil, "none": []string(nil), "map": map[string]string{"b": "2", "a": "1"}} {
		x, err := ToStarlark(env, v)
		if err != nil {
			t.Fatal(err)
		}
		names[name] = x
	}
	names["container"] = newGroup(env, "container")
	for _, tt := range []struct{ src, want string }{
		{`c`, "<container web running>"},
		{`type(c)`, "container"},
		{`c.id`, "0123456789abcdef"},
		{`c.short_id`, "0123456789ab"},
		{`c.status`, "running"},
		{`c.running`, "True"},
		{`c.ip`, "10.4.0.2"},
		{`c.ip6`, "None"},
		{`c.started_at`, "None"},
		{`c.labels`, `{"tier": "web"}`},
		{`c.labels.pop("tier")`, "internal: pop: cannot delete from frozen hash table"},
		{`c.ports`, "[<port 0.0.0.0:8080->80/tcp>]"},
		{`c.ports[0].host_port`, "8080"},
		{`c.ports[0] == d.ports[0]`, "True"},
		{`c.ports[0] in d.ports`, "True"},
		{`{c.ports[0]: 1}[d.ports[0]]`, "1"},
		{`c.networks[0].network`, "bridge"},
		{`c.size`, "None"},
		{`c.nme`, "internal: container has no .nme field or method (did you mean .name?)"},
		{`c == same, c != same, c == d`, "(True, False, False)"},
		{`len(set([c, same, d]))`, "2"},
		{`sorted([c, d])`, "[<container api running>, <container web running>]"},
		{`c in [d, same]`, "True"},
		{`same.reload().name`, "web"},
		{`d.reload()`, "not_found: No such container: ffff"},
		{`i`, "<image alpine:3.20>"},
		{`i.name, i.repository, i.tag_name, i.short_id, i.dangling`, `("alpine:3.20", "alpine", "3.20", "fedcba987654", False)`},
		{`i.size`, "7"},
		{`i.reload() == i`, "True"},
		{`ok, bad`, `(<result 0 "hello">, <result 3 "no">)`},
		{`ok.ok, bad.ok, bool(ok), bool(bad), bad.code, bad.stderr`, `(True, False, True, False, 3, "no\n")`},
		{`ok == ok, ok == bad`, "(True, False)"},
		{`started, never, wait, nothing, none, map`, `(1970-01-01 00:00:00 +0000 UTC, None, 1s, None, [], {"a": "1", "b": "2"})`},
		{`container("web")`, "<container web running>"},
		{`container(c) == c`, "True"},
		{`container("nope")`, "not_found: No such container: nope"},
		{`container("nope", missing = None)`, "None"},
		{`container(1)`, "invalid: container: got int, want container, or its name or ID"},
		{`container("web", mising = 1)`, `invalid: container: unexpected keyword "mising"`},
		{`container()`, "invalid: container: got 0 arguments, want 1"},
	} {
		if got := eval(names, tt.src); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

// A verb that takes a container is its method, without anything that says so.
func TestMethods(t *testing.T) {
	t.Parallel()
	env := fakeEnv()
	stop := newVerb(Verb{Paths: []string{"stop", "container stop"}}, func(_ *Call, p *struct {
		Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
		Timeout    *int           `flag:"timeout,t" doc:"Seconds to wait before killing the container"`
	}) ([]string, error) {
		var out []string
		for _, c := range p.Containers {
			out = append(out, string(c))
		}
		return out, nil
	}, nil)
	exec := newVerb(Verb{Paths: []string{"exec"}}, func(_ *Call, p *struct {
		Container ContainerRef `arg:"CONTAINER"`
		Command   Words        `arg:"COMMAND [ARG...]"`
	}) (string, error) {
		return string(p.Container) + " " + strings.Join(p.Command, " "), nil
	}, nil)
	c := &Container{env, container.Container{ID: "abc", Name: "web"}}
	table := &methodTable{noun: "container", once: func() map[string]*Verb { return map[string]*Verb{"stop": stop, "exec": exec} }}
	names := starlark.StringDict{"c": c, "stop": table.attr(env, c, "stop"), "exec": table.attr(env, c, "exec")}
	for _, tt := range []struct{ src, want string }{
		{`stop(timeout = 5)`, "abc"},
		{`stop("other")`, "invalid: container.stop: got 1 argument, want 0: the others have a name, as in name = value"},
		{`stop(tineout = 5)`, `invalid: container.stop: unexpected keyword "tineout" (did you mean "timeout"?)`},
		{`exec("ls", "-l")`, "abc ls -l"},
		{`exec(["ls", "-l"])`, "abc ls -l"},
		{`exec()`, `invalid: container.exec: missing argument "command"`},
	} {
		if got := eval(names, tt.src); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
	rmi := newVerb(Verb{Paths: []string{"rmi", "image rm", "image remove"}}, func(*Call, *struct {
		Images []ImageRef `arg:"IMAGE [IMAGE...]"`
	}) ([]image.Removed, error) {
		return nil, nil
	}, nil)
	if got := strings.Join(rmi.methodNames("image"), " "); got != "rm remove" {
		t.Errorf("rmi is the method %s", got)
	}
}
