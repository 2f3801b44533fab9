package builtins

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// everyParam has a parameter of each type.
type everyParam struct {
	Image    ImageRef     `arg:"IMAGE"`
	Command  Words        `arg:"[COMMAND] [ARG...]"`
	Name     string       `flag:"name" doc:"Assign a name to the container"`
	Detach   bool         `flag:"detach,d" doc:"Run container in background and print container ID"`
	Publish  []string     `flag:"publish,p" doc:"Publish a container's port(s) to the host"`
	Network  []string     `flag:"network" alias:"net" def:"bridge" doc:"Connect a container to a network"`
	Label    KeyValues    `flag:"label,l" doc:"Set meta data on a container"`
	Memory   Bytes        `flag:"memory,m" doc:"Memory limit"`
	Interval Duration     `flag:"health-interval" doc:"Time between running the check"`
	Timeout  *int         `flag:"stop-timeout" doc:"Timeout (in seconds) to stop a container"`
	CPUs     float64      `flag:"cpus" doc:"Number of CPUs"`
	Pull     string       `flag:"pull" def:"missing" doc:"Pull image before running"`
	Join     ContainerRef `flag:"pid-of" doc:"Join a container"`
	Weight   uint16       `flag:"blkio-weight" doc:"Block IO"`
	Format   string       `flag:"format" script:"-" doc:"Format output"`
	Check    bool         `flag:"check" only:"script" def:"true" doc:"Fail when the code is not 0"`
	Later    NotBuilt     `flag:"storage-opt" doc:"Storage driver options for the container"`
}

// echo tells what it was called with.
func echo(c *Call, p *everyParam) (string, error) {
	timeout := "none"
	if p.Timeout != nil {
		timeout = fmt.Sprint(*p.Timeout)
	}
	return fmt.Sprintf("%s %q name=%s detach=%v publish=%q network=%q label=%q memory=%d interval=%s timeout=%s cpus=%v pull=%s join=%s weight=%d check=%v",
		p.Image, []string(p.Command), p.Name, p.Detach, p.Publish, p.Network, []string(p.Label), p.Memory, time.Duration(p.Interval), timeout, p.CPUs, p.Pull, p.Join, p.Weight, p.Check), nil
}

var (
	web    = container.Container{ID: "0123456789abcdef", Name: "web", Status: container.Running, Ports: []container.PortMapping{{HostIP: "0.0.0.0", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}, Labels: map[string]string{"tier": "web"}, Networks: []container.Endpoint{{Network: "bridge", IP: "10.4.0.2"}}}
	alpine = image.Image{ID: "sha256:fedcba9876543210", Name: "docker.io/library/alpine:3.20", Size: 7}
)

type fakeContainers struct{ container.Service }

func (fakeContainers) Get(_ context.Context, ref string) (container.Container, error) {
	if ref == "web" || ref == web.ID {
		return web, nil
	}
	return container.Container{}, fault.New(fault.NotFound, "No such container: %s", ref)
}

type fakeImages struct{ image.Service }

func (fakeImages) Get(_ context.Context, ref string) (image.Image, error) {
	m, err := image.Find(ref, []image.Image{alpine})
	if err != nil {
		return image.Image{}, err
	}
	return m.Images[0], nil
}

func fakeEnv() *Env {
	return &Env{Program: "docker", Connect: func(context.Context) (*Engine, error) {
		return &Engine{Containers: fakeContainers{}, Images: fakeImages{}}, nil
	}}
}

// eval gives what an expression prints, or the error with its kind.
func eval(predeclared starlark.StringDict, src string) string {
	v, err := starlark.EvalOptions(&syntax.FileOptions{Set: true}, new(starlark.Thread), "test.star", src, predeclared)
	if err != nil {
		return fmt.Sprintf("%s: %s", fault.KindOf(err), strings.TrimSpace(err.Error()))
	}
	if s, ok := starlark.AsString(v); ok {
		return s
	}
	return v.String()
}

func TestScriptArguments(t *testing.T) {
	t.Parallel()
	env := fakeEnv()
	run := newVerb(Verb{Paths: []string{"run"}}, echo, nil)
	names := starlark.StringDict{"run": run.Builtin(env), "c": &Container{env, web}, "i": &Image{env, alpine}}
	const rest = " name= detach=false publish=[] network=[] label=[] memory=0 interval=0s timeout=none cpus=0 pull=missing join= weight=0 check=true"
	changed := func(pairs ...string) string { return "x []" + strings.NewReplacer(pairs...).Replace(rest) }
	for _, tt := range []struct{ src, want string }{
		{`run("x")`, "x []" + rest},
		{`run("x", "ls", "-l")`, `x ["ls" "-l"]` + rest},
		{`run("x", ["ls", "-l"])`, `x ["ls" "-l"]` + rest},
		{`run("x", ("sleep", 5))`, `x ["sleep" "5"]` + rest},
		{`run("x", "sleep", 5)`, `x ["sleep" "5"]` + rest},
		{`run(image = "x", command = ["ls"])`, `x ["ls"]` + rest},
		{`run("x", command = "ls")`, `x ["ls"]` + rest},
		{`run(i)`, "alpine:3.20 []" + rest},
		{`run("x", name = "web", detach = True)`, changed("name=", "name=web", "detach=false", "detach=true")},
		{`run("x", name = None, detach = None, stop_timeout = None)`, "x []" + rest},
		{`run("x", publish = ["80:80", 8080])`, changed("publish=[]", `publish=["80:80" "8080"]`)},
		{`run("x", publish = "80:80")`, changed("publish=[]", `publish=["80:80"]`)},
		{`run("x", network = ["a"])`, changed("network=[]", `network=["a"]`)},
		{`run("x", net = ["a"])`, changed("network=[]", `network=["a"]`)},
		{`run("x", label = {"a": "1", "b": 2})`, changed("label=[]", `label=["a=1" "b=2"]`)},
		{`run("x", label = ["a=1", "b"])`, changed("label=[]", `label=["a=1" "b"]`)},
		{`run("x", label = "a=1")`, changed("label=[]", `label=["a=1"]`)},
		{`run("x", memory = "64m")`, changed("memory=0", "memory=67108864")},
		{`run("x", memory = 64 << 20)`, changed("memory=0", "memory=67108864")},
		{`run("x", health_interval = 90)`, changed("interval=0s", "interval=1m30s")},
		{`run("x", health_interval = 0.5)`, changed("interval=0s", "interval=500ms")},
		{`run("x", health_interval = "1m30s")`, changed("interval=0s", "interval=1m30s")},
		{`run("x", stop_timeout = 0)`, changed("timeout=none", "timeout=0")},
		{`run("x", cpus = 1)`, changed("cpus=0", "cpus=1")},
		{`run("x", cpus = 1.5)`, changed("cpus=0", "cpus=1.5")},
		{`run("x", pid_of = c)`, changed("join=", "join=0123456789abcdef")},
		{`run("x", check = False)`, changed("check=true", "check=false")},
		{`run("x", storage_opt = None)`, "x []" + rest},
		{`run("x", storage_opt = False)`, "x []" + rest},

		{`run()`, `invalid: run: missing argument "image"`},
		{`run(None)`, `invalid: run: for parameter "image": got NoneType, want image, or its name or ID`},
		{`run(c)`, `invalid: run: for parameter "image": got container, want image, or its name or ID`},
		{`run("x", publis = [])`, `invalid: run: unexpected keyword "publis" (did you mean "publish"?)`},
		{`run("x", zzz = 1)`, `invalid: run: unexpected keyword "zzz"`},
		{`run("x", format = "json")`, `invalid: run: keyword "format" is for command lines only`},
		{`run("x", image = "y")`, `invalid: run: got multiple values for parameter "image"`},
		{`run("x", net = ["a"], network = ["b"])`, `invalid: run: got multiple values for parameter "network"`},
		{`run("x", name = 1)`, `invalid: run: for parameter "name": got int, want string`},
		{`run("x", detach = 1)`, `invalid: run: for parameter "detach": got int, want bool`},
		{`run("x", detach = "yes")`, `invalid: run: for parameter "detach": got string, want bool`},
		{`run("x", publish = 80)`, `invalid: run: for parameter "publish": got int, want list`},
		{`run("x", publish = [80.5])`, `invalid: run: for parameter "publish": at index 0: got float, want string`},
		{`run("x", publish = {"a": "b"})`, `invalid: run: for parameter "publish": got dict, want list`},
		{`run("x", "a", ["b"])`, `invalid: run: for parameter "command": got list, want string`},
		{`run("x", label = 1)`, `invalid: run: for parameter "label": got int, want dict or list`},
		{`run("x", label = {"a": True})`, `invalid: run: for parameter "label": for key "a": got bool, want string`},
		{`run("x", label = {1: "a"})`, `invalid: run: for parameter "label": in a key: got int, want string`},
		{`run("x", memory = "64q")`, `invalid: run: for parameter "memory": invalid size: '64q'`},
		{`run("x", memory = 1.5)`, `invalid: run: for parameter "memory": got float, want int, or a size like "64m"`},
		{`run("x", health_interval = "soon")`, `invalid: run: for parameter "health_interval": "soon" is no duration: write it as "1m30s", or as a number of seconds`},
		{`run("x", stop_timeout = 1.5)`, `invalid: run: for parameter "stop_timeout": got float, want int`},
		{`run("x", stop_timeout = 1 << 70)`, `invalid: run: for parameter "stop_timeout": 1180591620717411303424 is out of range`},
		{`run("x", blkio_weight = 70000)`, `invalid: run: for parameter "blkio_weight": 70000 is out of range`},
		{`run("x", blkio_weight = -1)`, `invalid: run: for parameter "blkio_weight": -1 is out of range`},
		{`run("x", storage_opt = "a=b")`, `invalid: run: --storage-opt is not built yet`},
	} {
		if got := eval(names, tt.src); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

func TestScriptNoPositionals(t *testing.T) {
	t.Parallel()
	ps := newVerb(Verb{Paths: []string{"ps"}}, func(*Call, *struct {
		All bool `flag:"all,a" doc:"Show all containers"`
	}) ([]container.Container, error) {
		return nil, nil
	}, nil)
	names := starlark.StringDict{"ps": ps.Builtin(fakeEnv())}
	for _, tt := range []struct{ src, want string }{
		{`ps()`, "[]"},
		{`ps(True)`, "invalid: ps: got 1 argument, want at most 0: the others have a name, as in all = True"},
		{`ps(all = True, all_ = 1)`, `invalid: ps: unexpected keyword "all_" (did you mean "all"?)`},
	} {
		if got := eval(names, tt.src); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	run := newVerb(Verb{Paths: []string{"run", "container run"}, Short: "Create and run a new container from an image"}, echo, nil)
	want := `run(image, *command, name=None, detach=False, publish=[], network=[], label=[], memory=None, health_interval=None, stop_timeout=None, cpus=None, pull="missing", pid_of=None, blkio_weight=None, check=True)`
	if got := run.Signature(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := newVerb(Verb{Paths: []string{"load", "image load"}}, echo, nil).scriptName(); got != "image.load_" {
		t.Errorf("load is called %s", got)
	}
}

func TestErrorsAreFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		kind fault.Kind
		text string
		hint string
	}{
		{fault.New(fault.NotFound, "No such container: x").WithHint("look"), fault.NotFound, "No such container: x", "look"},
		{misuse("conflicting options"), fault.Invalid, "conflicting options", ""},
		{exitStatus(3), fault.Exit, "exit status 3", ""},
		{Result{Code: 3, Stderr: "one\ntwo\n"}.Err("run", "alpine"), fault.Exit, `run "alpine": exit status 3: two`, "with check=False the result is returned, whatever the code"},
		{joined(fault.New(fault.NotFound, "No such container: x").WithHint("look"), fault.New(fault.Conflict, "in use")), fault.NotFound, "No such container: x\nin use", "look"},
	} {
		v := newVerb(Verb{Paths: []string{"x"}}, func(*Call, *struct{}) (string, error) { return "", tt.err }, nil)
		_, err := starlark.Call(new(starlark.Thread), v.Builtin(fakeEnv()), nil, nil)
		if fault.KindOf(err) != tt.kind || fault.HintOf(err) != tt.hint || !strings.HasSuffix(err.Error(), tt.text) {
			t.Errorf("%v: got %s %q, hint %q", tt.err, fault.KindOf(err), err, fault.HintOf(err))
		}
	}
}

func joined(errs ...error) error {
	_, err := each(context.Background(), errs, func(_ context.Context, e error) (int, error) { return 0, e })
	return err
}
