package builtins

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsh/lang"
	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/memory"
	"nsh/runtime/network"
	"nsh/runtime/plan"
	"nsh/runtime/system"
	"nsh/runtime/volume"
)

// readOnly is an engine whose writes fail the test. Each method is written out: one
// that is added to an interface has to be put on one of the two sides.
type readOnly struct {
	t *testing.T
	c container.Service
	i image.Service
	v volume.Service
	n network.Service
	s system.Service
}

func (r readOnly) wrote(what string) error {
	r.t.Errorf("a plan has written: %s", what)
	return fault.New(fault.Denied, "a plan has written: %s", what)
}

type readContainers struct{ readOnly }

func (r readContainers) List(ctx context.Context, o container.ListOptions) ([]container.Container, error) {
	return r.c.List(ctx, o)
}
func (r readContainers) Get(ctx context.Context, ref string) (container.Container, error) {
	return r.c.Get(ctx, ref)
}
func (r readContainers) Inspect(ctx context.Context, ref string, s bool) (container.Detail, error) {
	return r.c.Inspect(ctx, ref, s)
}
func (r readContainers) Wait(ctx context.Context, ref string) (container.Exit, error) {
	return r.c.Wait(ctx, ref)
}
func (r readContainers) Logs(ctx context.Context, ref string, o container.LogOptions, fn func(container.LogLine) error) error {
	return r.c.Logs(ctx, ref, o, fn)
}
func (r readContainers) Top(ctx context.Context, ref string, args []string) (container.Processes, error) {
	return r.c.Top(ctx, ref, args)
}
func (r readContainers) Create(_ context.Context, s container.Spec) (container.Container, error) {
	return container.Container{}, r.wrote("create " + s.Name)
}
func (r readContainers) Start(_ context.Context, ref string, _ *container.Streams) (container.Process, error) {
	return nil, r.wrote("start " + ref)
}
func (r readContainers) Attach(_ context.Context, ref string, _ container.Streams) (container.Process, error) {
	return nil, r.wrote("attach " + ref)
}
func (r readContainers) Exec(_ context.Context, ref string, _ container.ExecSpec, _ container.Streams) (container.Process, error) {
	return nil, r.wrote("exec " + ref)
}
func (r readContainers) Stop(_ context.Context, ref string, _ container.StopOptions) error {
	return r.wrote("stop " + ref)
}
func (r readContainers) Kill(_ context.Context, ref, _ string) error { return r.wrote("kill " + ref) }
func (r readContainers) Pause(_ context.Context, ref string) error   { return r.wrote("pause " + ref) }
func (r readContainers) Unpause(_ context.Context, ref string) error {
	return r.wrote("unpause " + ref)
}
func (r readContainers) Rename(_ context.Context, ref, _ string) error {
	return r.wrote("rename " + ref)
}
func (r readContainers) Update(_ context.Context, ref string, _ container.Update) error {
	return r.wrote("update " + ref)
}
func (r readContainers) Remove(_ context.Context, ref string, _ container.RemoveOptions) error {
	return r.wrote("remove " + ref)
}
func (r readContainers) RemoveAtExit(_ context.Context, ref string) (func(), error) {
	return nil, r.wrote("remove at exit " + ref)
}

type readImages struct{ readOnly }

func (r readImages) List(ctx context.Context) ([]image.Image, error) { return r.i.List(ctx) }
func (r readImages) Get(ctx context.Context, ref string) (image.Image, error) {
	return r.i.Get(ctx, ref)
}
func (r readImages) Inspect(ctx context.Context, ref, p string) (image.Detail, error) {
	return r.i.Inspect(ctx, ref, p)
}
func (r readImages) Save(ctx context.Context, w io.Writer, refs []string, o image.SaveOptions) error {
	return r.i.Save(ctx, w, refs, o)
}
func (r readImages) Pull(_ context.Context, ref string, _ image.PullOptions) (image.Image, error) {
	return image.Image{}, r.wrote("pull " + ref)
}
func (r readImages) Load(context.Context, io.Reader, image.LoadOptions) ([]image.Image, error) {
	return nil, r.wrote("load")
}
func (r readImages) Tag(_ context.Context, _, target string) error { return r.wrote("tag " + target) }
func (r readImages) Remove(_ context.Context, ref string, _ image.RemoveOptions) ([]image.Removed, error) {
	return nil, r.wrote("rmi " + ref)
}
func (r readImages) Assemble(_ context.Context, recipe image.Recipe) (image.Image, error) {
	return image.Image{}, r.wrote("assemble " + recipe.Name)
}

type readVolumes struct{ readOnly }

func (r readVolumes) List(ctx context.Context, o volume.ListOptions) ([]volume.Volume, error) {
	return r.v.List(ctx, o)
}
func (r readVolumes) Get(ctx context.Context, name string, size bool) (volume.Volume, error) {
	return r.v.Get(ctx, name, size)
}
func (r readVolumes) Create(_ context.Context, s volume.Spec) (volume.Volume, error) {
	return volume.Volume{}, r.wrote("volume create " + s.Name)
}
func (r readVolumes) Label(_ context.Context, name string, _ map[string]string) error {
	return r.wrote("volume label " + name)
}
func (r readVolumes) Remove(_ context.Context, name string) error {
	return r.wrote("volume rm " + name)
}

type readNetworks struct{ readOnly }

func (r readNetworks) List(ctx context.Context, o network.ListOptions) ([]network.Network, error) {
	return r.n.List(ctx, o)
}
func (r readNetworks) Get(ctx context.Context, ref string) (network.Network, error) {
	return r.n.Get(ctx, ref)
}
func (r readNetworks) Create(_ context.Context, s network.Spec) (network.Network, error) {
	return network.Network{}, r.wrote("network create " + s.Name)
}
func (r readNetworks) Remove(_ context.Context, ref string) error {
	return r.wrote("network rm " + ref)
}

type readSystem struct{ readOnly }

func (r readSystem) Version(ctx context.Context) (system.Version, error) { return r.s.Version(ctx) }
func (r readSystem) Info(ctx context.Context) (system.Info, error)       { return r.s.Info(ctx) }
func (r readSystem) Repair(ctx context.Context, dry bool) ([]system.Leftover, error) {
	if !dry {
		return nil, r.wrote("repair")
	}
	return r.s.Repair(ctx, true)
}

// planned is an environment whose engine can be made read-only.
func planned(t *testing.T) (env *Env, lock func()) {
	t.Helper()
	e := memory.New(memory.Options{Seed: 1, AnyImage: true})
	eng := &Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System}
	env = &Env{Program: "docker", Connect: func(context.Context) (*Engine, error) { return eng, nil }}
	return env, func() {
		r := readOnly{t, e.Containers, e.Images, e.Volumes, e.Networks, e.System}
		eng.Containers, eng.Images, eng.System = readContainers{r}, readImages{r}, readSystem{r}
		eng.Volumes, eng.Networks = readVolumes{r}, readNetworks{r}
	}
}

// playPlan runs a command line in a plan and gives what that says.
func playPlan(t *testing.T, env *Env, line string) (text string, code int) {
	t.Helper()
	p := &plan.Plan{}
	var errs bytes.Buffer
	code = Run(plan.With(t.Context(), p), env, Stdio{In: strings.NewReader(""), Out: io.Discard, Err: &errs}, strings.Fields(line))
	return errs.String() + plan.Text(p.Changes()), code
}

// TestPlanWrites calls every verb that changes something in a plan, on an engine that
// refuses to be changed.
func TestPlanWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, lock := planned(t)
	archive := filepath.Join(dir, "box.tar")
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"image assemble -f " + file + ":/bin/sleep --cmd /bin/sleep box:1", "save -o " + archive + " box:1", "tag box:1 box:spare", "tag box:1 spare:2",
		"run -d --name web -m 64m box:1 sleep 60", "create --name made box:1", "run -d --name frozen box:1 sleep 60", "pause frozen",
		"volume create spare", "network create spare-net",
	} {
		if got := play(t, env, line); strings.Contains(got, "rror") {
			t.Fatalf("%s: %s", line, got)
		}
	}
	lock()
	lines := map[string][]string{
		"attach":           nil, // connects to what runs: the process sees its terminal, and that is all
		"create":           {"create --name new --cidfile " + dir + "/cid -v " + dir + "/vol:/v -v data:/data box:1", "create nobody/has:this"},
		"run":              {"run -d --name new box:1", "run --rm box:1 true", "run -d --rm box:1", "run --pull always box:1"},
		"start":            {"start made", "start -a made"},
		"stop":             {"stop web"},
		"restart":          {"restart web"},
		"kill":             {"kill web"},
		"pause":            {"pause web"},
		"unpause":          {"unpause frozen"},
		"update":           {"update -m 128m web"},
		"rename":           {"rename web www"},
		"rm":               {"rm made", "rm -f web"},
		"exec":             {"exec web true", "exec -d web true"},
		"pull":             {"pull box:1", "pull nobody/has:this"},
		"tag":              {"tag box:1 box:2"},
		"rmi":              {"rmi spare:2", "rmi -f box:1"},
		"load":             {"load -i " + archive},
		"image assemble":   {"image assemble -f " + file + ":/f box:1", "image assemble -f " + file + ":/f --base box:1 box:3"},
		"repair":           {"repair"},
		"engine start":     {"engine start"},
		"engine stop":      {"engine stop"},
		"volume create":    {"volume create new", "volume create"},
		"volume rm":        {"volume rm spare"},
		"volume prune":     {"volume prune -a -f", "volume prune --all"},
		"network create":   {"network create new"},
		"network rm":       {"network rm spare-net"},
		"network prune":    {"network prune"},
		"ensure volume":    {"ensure volume new", "ensure volume --label a=1 spare"},
		"ensure network":   {"ensure network new", "ensure network --internal spare-net"},
		"absent volume":    {"absent volume spare nobody"},
		"absent network":   {"absent network spare-net nobody"},
		"ensure container": {"ensure container --name web box:1", "ensure container --name new box:1", "ensure container --name made --recreate box:1", "ensure container --name web -m 128m box:1 sleep 60"},
		"ensure image":     {"ensure image box:1", "ensure image nobody/has:this", "ensure image --pull always box:1"},
		"absent container": {"absent container web made nobody"},
		"absent image":     {"absent image spare:2 nobody"},
	}
	for _, v := range Verbs() {
		if v.Effect == Reads {
			continue
		}
		all, ok := lines[v.Paths[0]]
		if !ok {
			t.Errorf("%s changes something and is not tried", v.Paths[0])
		}
		for _, line := range all {
			if text, code := playPlan(t, env, line); code != 0 || strings.Contains(text, "No changes") && line != "ensure image box:1" && line != "load -i "+archive && line != "repair" {
				t.Errorf("%s: status %d\n%s", line, code, text)
			}
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the plans have left %v, %v", entries, err)
	}
	// Through scripts, too, and save to a file, which writes none.
	got := planScript(t, env, `
c = container("web")
c.exec("true")
image("box:1").save(output = "`+dir+`/out.tar")
c.rm(force = True)
`)
	if want := "> container web  exec\n    command  true\n+ file      " + dir + "/out.tar  write\n- container web  remove\n\nPlan: 1 to add, 1 to remove, 1 to do. Nothing was touched.\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func planScript(t *testing.T, env *Env, src string) string {
	t.Helper()
	p := &plan.Plan{}
	var out bytes.Buffer
	i := lang.New(lang.Options{Predeclared: Predeclared(env), Stdout: &out, Stderr: &out})
	if err := i.ExecFile(plan.With(t.Context(), p), "test.star", []byte(src)); err != nil {
		out.WriteString(i.Report(err))
	}
	return out.String() + plan.Text(p.Changes())
}

// TestPlanSees: what comes after a change finds what the change would have made.
func TestPlanSees(t *testing.T) {
	t.Parallel()
	env, lock := planned(t)
	play(t, env, "run -d --name old box:1")
	lock()
	got := planScript(t, env, `
defer(lambda: container("www").rm(force = True)) # the plan does not come to it
c = run("box:1", "serve", name = "web", detach = True, publish = ["8080:80", "81"], env = {"A": "1", "DB_PASSWORD": "hush"})
print(c.name, c.status, [x.name for x in containers()], c.ports[0].host_port)
print(attempt(run, "box:1", name = "web").error.kind)
old = container("old")
old.stop()
print(old.reload().status, attempt(old.exec, "true").error.message == "container %s is not running" % old.id)
old.rm()
print(container("old", missing = "gone"))
c.stop().rename("www")
r = run("box:1", "make", rm = True)
print(r.ok, r.code)
print(c.ports[1].host_port)
print("not reached")
`)
	const want = `web running ["web", "old"] 8080
conflict
exited True
gone
True 0
test.star:14:17: the host port of 0.0.0.0:0->81/tcp is known only once it has been done
    print(c.ports[1].host_port)
                    ^
hint: the plan goes as far as this
+ container web  run
    image            box:1
    command          serve
    env A            1
    env DB_PASSWORD  (hidden)
    publish          8080:80, 81
~ container old  stop
- container old  remove
~ container web  stop
~ container web  rename
    name  web → www
+ container (named after box:1)  run
    image    box:1
    command  make
    rm       true

Plan: 2 to add, 3 to change, 1 to remove. Nothing was touched.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPlanAsDocker(t *testing.T) {
	t.Parallel()
	env, lock := planned(t)
	play(t, env, "run -d --name old -m 64m box:1")
	lock()
	p := &plan.Plan{}
	i := lang.New(lang.Options{Predeclared: Predeclared(env)})
	err := i.ExecFile(plan.With(t.Context(), p), "test.star", []byte(`
run("box:1", "sh", "-c", "echo $A; sleep 1", name = "web", detach = True, publish = ["8080:80"], env = {"A": "b c"}, entrypoint = ["/bin/x", "-y"], memory = "64m", stop_timeout = 3)
c = create("box:1", name = "made")
c.start()
stop("web", "made", time = 2)
image("box:1").tag("box:2")
ensure.container("box:1", name = "old", memory = "128m")
ensure.container("box:1", name = "old", memory = "128m", env = {"A": "1"})
ensure.container("box:1", name = "new")
absent.container("old")
pull("alpine:3.20")
`))
	if err != nil {
		t.Fatal(i.Report(err))
	}
	const want = `docker run --stop-timeout 3 --publish 8080:80 --memory 64m --entrypoint /bin/x --env 'A=b c' --name web -d box:1 -y sh -c 'echo $A; sleep 1'
docker create --name made box:1
docker start made
docker stop --timeout 2 web made
docker tag box:1 box:2
docker update --memory 128M old
docker rm -f old && docker run --memory 128m --env 'A=1' --name old -d box:1
docker run --name new -d box:1
docker rm -f old
docker pull alpine:3.20
`
	if got := plan.Docker(p.Changes()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	var notices bytes.Buffer
	env.Notices = &notices
	got := script(t, env, `
def web(**more):
    r = ensure.container("box:1", "sleep", "60", name = "web", stop_timeout = 0, **more)
    print(r.action, r.changed, len(r.diff), r.container.status)
    return r.container

a = web()
b = web()
print(a == b)
c = web(memory = "64m")
print(b == c)
c = web(memory = "128m", cpus = 0.5)
print(b == c)
d = web(memory = "128m", cpus = 0.5, env = {"A": "1"})
print(c == d, [x.name for x in containers(all = True)])
d.stop(timeout = 0)
web(memory = "128m", cpus = 0.5, env = {"A": "1"})
d.pause()
web(memory = "128m", cpus = 0.5, env = {"A": "1"})
print(attempt(ensure.container, "box:1", name = "web", recreate = False).error)
r = ensure.container("box:1", "sleep", "60", name = "web", stop_timeout = 0, state = "stopped", memory = "128m", cpus = 0.5, env = {"A": "1"})
print(r.action, r.container.status)
print(absent.container("web", "nobody")[0].action, absent.container("web")[0].action, containers(all = True))
print(ensure.image("box:1").action, ensure.image("redis:7").action, ensure.image("redis:7").action)
print(attempt(ensure.container, "box:1").error)
# A replacement was cut off: before the new one was made, and after.
c = run("box:1", "sleep", "60", name = "cut", detach = True, stop_timeout = 0)
c.stop().rename("cut-replaced-" + c.id[:5])
r = ensure.container("box:1", "sleep", "60", name = "cut", stop_timeout = 0)
print(r.action, r.container == c, [x.name for x in containers(all = True)])
c.rename("cut-replaced-" + c.id[:5])
run("box:1", "sleep", "60", name = "cut", detach = True, stop_timeout = 0)
r = ensure.container("box:1", "sleep", "60", name = "cut", stop_timeout = 0)
print(r.action, r.container == c, [x.name for x in containers(all = True)])
`)
	const want = `create True 0 running
none False 0 running
True
update True 1 running
True
update True 2 running
True
recreate True 1 running
False ["web"]
start True 0 running
unpause True 0 running
container web would have to be made anew: command: sleep 60 → sh; cpus: 0.5 → not set; env A: 1 → not set; memory: 128MiB → not set; stop_timeout: 0 → not set
stop exited
remove none []
none pull none
ensure container: --name is what it is known by: give one
start True ["cut"]
none False ["cut"]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const told = `container web: created
container web: unchanged
container web: updated (memory: 64MiB)
container web: updated (cpus: 0.5; memory: 64MiB → 128MiB)
container web: recreated (env A: 1)
container web: started
container web: unpaused
container web: stopped
container web: removed
container nobody: unchanged
container web: unchanged
image box:1: unchanged
image redis:7: pulled
image redis:7: unchanged
container cut: started
container cut: unchanged
`
	if notices.String() != told {
		t.Errorf("told\n%s\nwant\n%s", &notices, told)
	}
}

// TestEnsureTwice: whatever is asked for, a second time nothing is done.
func TestEnsureTwice(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	r := rand.New(rand.NewPCG(7, 7))
	for n := range 60 {
		var args []string
		for _, opt := range []string{
			"-e A=1", "-e A=", "--label tier=web", "-p 80", fmt.Sprintf("-p 127.0.0.1:%d:80/udp", 8080+n%5), "-m 64m", "--cpus 1.5", "-w /tmp", "-u 1:1", "--read-only", "--hostname h", "--dns 192.0.2.1",
			"--add-host a:192.0.2.1", "--cap-add net_admin", "--cap-drop ALL", "--ulimit nofile=10:20", "--tmpfs /t:size=1m", "-v /tmp:/host:ro", "-v data:/data", "-v /own", "--mount type=volume,src=data,dst=/more,volume-nocopy", "-v data:/ro:ro,nocopy", "--stop-signal SIGINT",
			"--log-opt max-size=1m", "--pids-limit 5", "--shm-size 1m", "--security-opt no-new-privileges", "-P", "--restart no", "--network none", "--state created", "-t", "-i", "--sysctl net.core.x=1",
		} {
			if r.IntN(6) == 0 {
				args = append(args, opt)
			}
		}
		words := strings.Join(args, " ")
		if strings.Contains(words, "--network none") && strings.Contains(words, "-p ") {
			continue
		}
		line := fmt.Sprintf("ensure container --name c%d --stop-timeout 0 %s box:1 sleep 60", n%5, words)
		first := play(t, env, line)
		if !strings.HasPrefix(first, "container c") {
			t.Fatalf("%s: %s", line, first)
		}
		if second := play(t, env, line); second != fmt.Sprintf("container c%d: unchanged\n", n%5) {
			t.Fatalf("%s: first %sthen %s", line, first, second)
		}
		if text, _ := playPlan(t, env, line); text != "No changes: all is as it is asked for.\n" {
			t.Fatalf("%s: %s", line, text)
		}
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), `
def names():
    return [(c.name, c.status) for c in sorted(containers(all = True))]

run("box:1", "sleep", "60", name = "old", detach = True)
run("box:1", "sleep", "60", name = "other", detach = True)

def steps():
    run("box:1", "sleep", "60", name = "new", detach = True)
    container("old").rm(force = True)
    container("other").stop(timeout = 0).rename("another")
    image("box:1").tag("box:2")
    update("another", memory = "64m")
    print(names(), images())

r = attempt(group, steps, lambda: fail("no", hint = "try"), lambda: print("not called"))
print(r.error.message)
print(r.error.hint)
print(names(), images())

print(group(steps, lambda: 7))
print(names())

r = attempt(group, lambda: run("box:1", name = "kept"), lambda: fail("no"), on_error = "stop")
print(r.ok, [n for n, _ in names()])
r = attempt(group, lambda: fail("one"), lambda: container("kept").rm(), lambda: fail("three"), on_error = "continue")
print(r.error.message, [n for n, _ in names()])
print(attempt(group, 3).error, attempt(group, on_error = "x").error)
rm("another", "new", force = True)
run("box:1", "sleep", "60", name = "old", detach = True)
inner = lambda: group(lambda: rm("old", force = True), lambda: run("box:1", "sleep", "60", name = "in", detach = True))
print(attempt(group, inner, lambda: fail("after the inner one")).error.message, names())
group(inner)
print(names())
`)
	const want = `[("another", "exited"), ("new", "running"), ("old-replaced-298c9", "exited")] [<image box:1>, <image box:2>]
group: step 2 of 3: no
try; undone: update container another, tag image box:2, rename container other to another, stop container other, rename container old to old-replaced-298c9, stop container old, create container new
[("old", "running"), ("other", "running")] [<image box:1>]
[("another", "exited"), ("new", "running"), ("old-replaced-298c9", "exited")] [<image box:1>, <image box:2>]
[None, 7]
[("another", "exited"), ("new", "running")]
False ["another", "kept", "new"]
group: step 1 of 3: one ["another", "new"]
group: step 1: got int, want function group: on_error is "rollback", "stop" or "continue", not "x"
group: step 2 of 2: after the inner one [("old", "running")]
[("in", "running")]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
