package builtins

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"nsh/lang"
	"nsh/runtime/plan"
)

// answered runs a command line that is asked something.
func answered(t *testing.T, env *Env, line, answer string) string {
	t.Helper()
	var out bytes.Buffer
	code := Run(t.Context(), env, Stdio{In: strings.NewReader(answer), Out: &out, Err: &out}, strings.Fields(line))
	if code != 0 {
		fmt.Fprintf(&out, "[%d]\n", code)
	}
	return out.String()
}

func TestVolumeLines(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	const ask = "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] "
	for _, tt := range []struct{ line, answer, want string }{
		{"volume create --label tier=db data10", "", "data10\n"},
		{"volume create data10", "", "data10\n"},
		{"volume create data9", "", "data9\n"},
		{"volume create -d nfs x", "", "Error response from daemon: create x: error looking up volume plugin nfs: plugin \"nfs\" not found\nhint: there is the driver local\n[1]\n"},
		{"volume create a/b", "", "Error response from daemon: create a/b: \"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path\n[1]\n"},
		{"volume create -o type=nfs x", "", "create: --opt is not built yet\nhint: leave the flag out; Set driver specific options (default map[])\n[1]\n"},
		{"volume ls", "", "DRIVER    VOLUME NAME\nlocal     data9\nlocal     data10\n"},
		{"volume ls -q -f label=tier", "", "data10\n"},
		{"volume ls --format {{.Name}}:{{.Labels}}:{{.Size}}:{{.Scope}}", "", "data9::N/A:local\ndata10:tier=db:N/A:local\n"},
		{"volume ls --format json -f name=9$", "", `{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"","Links":"N/A","Mountpoint":"","Name":"data9","Scope":"local","Size":"N/A","Status":"N/A"}` + "\n"},
		{"volume ls -s -f size=0", "", "DRIVER    VOLUME NAME   SIZE\nlocal     data9         0B\nlocal     data10        0B\n"},
		{"volume ls -f nmae=x", "", "Error response from daemon: invalid filter 'nmae'\nhint: did you mean \"name\"?\n[1]\n"},
		{"volume ls -f dangling=maybe", "", "Error response from daemon: invalid filter 'dangling=[maybe]'\n[1]\n"},
		{"create --name web -v data9:/data -v /anon box:1 true", "", ""},
		{"volume ls -q -f dangling=true", "", "data10\n"},
		{"volume inspect -f {{.Name}}:{{.Driver}}:{{.Options}}:{{.Labels}} data10 nope", "", "data10:local:map[]:map[tier:db]\nError response from daemon: get nope: no such volume\nhint: volume ls shows those that are there\n[1]\n"},
		{"inspect --type volume -f {{.Name}} data10", "", "data10\n"},
		{"inspect -f {{.Name}} data10", "", "data10\n"},
		{"volume prune", "n\n", ask},
		{"volume prune", "", ask},
		{"volume prune", "y\n", ask + "Total reclaimed space: 0B\n"},
		{"volume rm nope", "", "Error response from daemon: get nope: no such volume\nhint: volume ls shows those that are there\n[1]\n"},
		{"volume rm -f nope data10", "", "nope\ndata10\n"},
		{"rm -f web", "", "web\n"},
		{"volume prune -a -f", "", ""},
	} {
		got := answered(t, env, tt.line, tt.answer)
		switch {
		case strings.HasPrefix(tt.line, "create"):
			if len(got) != 65 {
				t.Errorf("%s: %s", tt.line, got)
			}
		case tt.line == "volume prune -a -f":
			// One has a name that nobody can foresee.
			if !strings.HasPrefix(got, "Deleted Volumes:\n") || !strings.HasSuffix(got, "\ndata9\n\nTotal reclaimed space: 0B\n") && !strings.Contains(got, "\ndata9\n") {
				t.Errorf("%s: %s", tt.line, got)
			}
		case got != tt.want:
			t.Errorf("%s\ngot  %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestNetworkLines(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	const ask = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] "
	for _, tt := range []struct{ line, answer, want string }{
		{"network ls", "", "NETWORK ID     NAME      DRIVER    SCOPE\n17f29b073143   bridge    bridge    local\n4740ae6347b0   host      host      local\n140bedbf9c3f   none      null      local\n"},
		{"network create --subnet 10.9.0.0/24 --gateway 10.9.0.254 --ip-range 10.9.0.128/25 --aux-address printer=10.9.0.200 --label tier=web --opt mtu=1400 front", "", "f4b1b2b3ae4a1f76e8bf4b5a3d4a8fd3c5b6d2a3\n"},
		{"network create front", "", "Error response from daemon: network with name front already exists\nhint: network inspect front shows it\n[1]\n"},
		{"network create host", "", "Error response from daemon: operation is not permitted on predefined host network\n[1]\n"},
		{"network create -d overlay x", "", "Error response from daemon: could not find plugin overlay in v1 plugin registry: plugin not found\nhint: the drivers are bridge, macvlan and ipvlan\n[1]\n"},
		{"network create --subnet 10.9.0.0/16 x", "", "Error response from daemon: invalid pool request: Pool overlaps with other one on this address space\nhint: 10.9.0.0/16 overlaps 10.9.0.0/24 of network front: choose another --subnet, or none\n[1]\n"},
		{"network create --gateway 10.9.0.1 x", "", "Error response from daemon: every ip-range or gateway must have a corresponding subnet\n[1]\n"},
		{"network create --subnet 10.9.1.0/24,10.9.2.0/24 x", "", "Error response from daemon: a network with several subnets of one family is not built yet: 10.9.1.0/24 and 10.9.2.0/24\nhint: give one of IPv4 and one of IPv6\n[1]\n"},
		{"network create --internal back", "", ""},
		{"network ls -q -f type=custom --format {{.Name}}", "", "back\nfront\n"},
		{"network ls -f driver=null --format {{.Name}}:{{.IPv4}}:{{.IPv6}}:{{.Internal}}", "", "none:true:false:false\n"},
		{"network ls -f id=17f2 --no-trunc -q", "", "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121\n"},
		{"network ls -f type=x", "", "Error response from daemon: invalid filter: 'type'='x'\nhint: it is builtin or custom\n[1]\n"},
		{"network inspect -f {{.IPAM.Config}}{{.Internal}}{{.Options}}{{.Labels}} front", "", "[{10.9.0.0/24 10.9.0.128/25 10.9.0.254 map[printer:10.9.0.200]}]falsemap[com.docker.network.driver.mtu:1400]map[tier:web]\n"},
		{"network inspect nope", "", "[]\nError response from daemon: network nope not found\nhint: network ls shows those that are there\n[1]\n"},
		{"run -d --name web --network front box:1 sleep 60", "", ""},
		{"network inspect -f {{range.Containers}}{{.Name}}={{.IPv4Address}}{{end}} front", "", "web=10.9.0.128/24\n"},
		{"network rm front", "", ""},
		{"network rm nope bridge", "", "Error response from daemon: network nope not found\nhint: network ls shows those that are there\nError response from daemon: bridge is a pre-defined network and cannot be removed\n[1]\n"},
		{"network rm -f nope", "", ""},
		{"network prune", "N\n", ask},
		{"network prune", "y\n", ask + "Deleted Networks:\nback\n\n"},
		{"stop -t 0 web", "", "web\n"},
		{"network prune -f", "", ""},
		{"network rm front", "", "front\n"},
		{"start web", "", "Error response from daemon: network front not found\nhint: network ls shows those that are there\n[1]\n"},
	} {
		got := answered(t, env, tt.line, tt.answer)
		switch {
		case strings.HasPrefix(tt.line, "run"), tt.want != "" && strings.HasPrefix(tt.want, "f4b1"), tt.line == "network create --internal back":
			if len(got) != 65 {
				t.Errorf("%s: %s", tt.line, got)
			}
		case tt.line == "network rm front" && tt.want == "":
			if !strings.HasPrefix(got, "Error response from daemon: error while removing network: network front has active endpoints (name:\"web\" id:\"") {
				t.Errorf("%s: %s", tt.line, got)
			}
		case got != tt.want:
			t.Errorf("%s\ngot  %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

// TestVolumeNetworkValues: what scripts do with the two nouns.
func TestVolumeNetworkValues(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	got := script(t, env, `
v = volume.create("data", label = {"tier": "db"})
print(v, v.name, v.labels, v.anonymous, v.containers, v == volume("data"), volume("nope", missing = 7))
run("box:1", "sh", "-c", "echo kept > /d/file", name = "writer", volume = ["data:/d", "/own"])
print(run("alpine", "cat", "/d/file", volume = ["data:/d:ro"], rm = True).stdout)
print([m.name for m in container("writer").mounts][0], v.reload().containers == [container("writer").id])
print([x.name for x in volumes(dangling = False, name = ["^data"])], [x.anonymous for x in volumes()])
print(attempt(v.rm).error.message.startswith("remove data: volume is in use - ["))
rm("writer", volumes = True)
print(v.rm(), volumes())
n = network.create("front", subnet = ["10.9.0.0/24"], label = {"a": "b"})
print(n, n.driver, n.internal, n.ipv4, n.ipv6, n.subnets, n.subnets[0].gateway, n.subnets[0].range, n.short_id == n.id[:12])
c = run("box:1", "sleep", "60", name = "web", detach = True, network = [n], stop_timeout = 0)
print(c.networks[0].network, c.ip, n.reload().containers[0].name, [x.name for x in networks(custom = True)])
print(n.inspect()["Containers"][c.id]["IPv4Address"])
c.rm(force = True)
print(n.rm(), attempt(n.reload).error.message == "network %s not found" % n.id)
print(network.prune().deleted, volume.prune(all = True).deleted)
`)
	const want = `<volume data> data {"tier": "db"} False [] True 7
kept

data True
["data"] [True, False]
True
data []
<network front> bridge False True False [<subnet 10.9.0.0/24>] 10.9.0.1 None True
front 10.9.0.2 web ["front"]
10.9.0.2/24
front True
[] []
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEnsureVolumeNetwork(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	var notices bytes.Buffer
	env.Notices = &notices
	got := script(t, env, `
def v(**more):
    r = ensure.volume("data", **more)
    print(r.action, r.changed, r.volume.labels)
def n(**more):
    r = ensure.network("front", **more)
    print(r.action, r.changed, [x.subnet for x in r.network.subnets], r.network.internal, r.network.labels)
    return r.network
v()
v()
v(label = {"a": "1"})
v()
v(label = {"b": "2"})
n(subnet = ["10.9.0.0/24"])
n()
n(label = {"a": "1"})
n(internal = True)
n(internal = True)
n(internal = True, opt = {"mtu": "1400"}, ipv6 = True, subnet = ["10.9.1.0/24", "fd00:9::/64"])
n(internal = True, ipv6 = True, opt = {"com.docker.network.driver.mtu": "1400"})
print(attempt(ensure.network, "front", recreate = False).error)
c = run("box:1", "sleep", "60", name = "web", detach = True, network = ["front"], stop_timeout = 0)
print(attempt(n).error.kind, network("front").internal)
print(attempt(ensure.network, "bridge").error)
network.create("other", subnet = ["10.10.0.0/24"])
c.rm(force = True)
print(attempt(n, subnet = ["10.10.0.0/25"]).error)
print([x.subnet for x in network("front").subnets])
print([x.action for x in absent.network("front", "other", "front")], [x.action for x in absent.volume("data", "data")])
`)
	const want = `create True {}
none False {}
update True {"a": "1"}
none False {"a": "1"}
update True {"b": "2"}
create True ["10.9.0.0/24"] False {}
none False ["10.9.0.0/24"] False {}
recreate True ["10.9.0.0/24"] False {"a": "1"}
recreate True ["10.9.0.0/24"] True {"a": "1"}
none False ["10.9.0.0/24"] True {"a": "1"}
recreate True ["10.9.1.0/24", "fd00:9::/64"] True {"a": "1"}
none False ["10.9.1.0/24", "fd00:9::/64"] True {"a": "1"}
network front would have to be made anew: internal: true → not set; ipv6: true → not set
conflict True
operation is not permitted on predefined bridge network
replace network (the old one is back) "front": invalid pool request: Pool overlaps with other one on this address space
["10.9.1.0/24", "fd00:9::/64"]
["remove", "remove", "none"] ["remove", "none"]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const told = `volume data: created
volume data: unchanged
volume data: updated (label: a=1)
volume data: unchanged
volume data: updated (label: a=1 → not set; label: b=2)
network front: created
network front: unchanged
network front: recreated (label: a=1)
network front: recreated (internal: true)
network front: unchanged
network front: recreated (ipv6: true; subnet: 10.9.0.0/24 → 10.9.1.0/24; subnet: fd00:9::/64; opt: com.docker.network.driver.mtu=1400)
network front: unchanged
network front: removed
network other: removed
network front: unchanged
volume data: removed
volume data: unchanged
`
	if notices.String() != told {
		t.Errorf("told\n%s\nwant\n%s", &notices, told)
	}
}

// TestEnsureNetworkTwice: whatever is asked for, a second time nothing is done.
func TestEnsureNetworkTwice(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	r := rand.New(rand.NewPCG(7, 7))
	for n := range 120 {
		var args []string
		add := func(opts ...string) {
			for _, opt := range opts {
				if r.IntN(4) == 0 {
					args = append(args, opt)
				}
			}
		}
		noun, name := "network", fmt.Sprintf("n%d", n%4)
		if n%5 == 0 {
			noun = "volume"
			add("--label a=1", "--label b", "--label a=")
		} else {
			add("--internal", "--ipv6", "--label tier=web", "-o mtu=1400", fmt.Sprintf("-d %s", []string{"bridge", "macvlan", "ipvlan"}[r.IntN(3)]))
			if r.IntN(2) == 0 {
				args = append(args, fmt.Sprintf("--subnet 10.%d.0.0/24", 100+n%4))
				add(fmt.Sprintf("--gateway 10.%d.0.9", 100+n%4), fmt.Sprintf("--ip-range 10.%d.0.64/26", 100+n%4), fmt.Sprintf("--aux-address a=10.%d.0.70", 100+n%4))
			}
		}
		line := fmt.Sprintf("ensure %s %s %s", noun, strings.Join(args, " "), name)
		first := play(t, env, line)
		if !strings.HasPrefix(first, noun+" "+name+": ") {
			t.Fatalf("%s: %s", line, first)
		}
		if second := play(t, env, line); second != noun+" "+name+": unchanged\n" {
			t.Fatalf("%s: first %sthen %s", line, first, second)
		}
		if text, _ := playPlan(t, env, line); text != "No changes: all is as it is asked for.\n" {
			t.Fatalf("%s: %s", line, text)
		}
	}
}

// TestPlanVolumeNetwork: a plan sees the networks and volumes that it would make, and
// those that containers bring along.
func TestPlanVolumeNetwork(t *testing.T) {
	t.Parallel()
	env, lock := planned(t)
	for _, line := range []string{"volume create spare", "network create --subnet 10.9.0.0/24 old", "pull box:1"} {
		play(t, env, line)
	}
	lock()
	const src = `
n = ensure.network("front", internal = True).network
ensure.volume("data", label = {"a": "1"})
c = ensure.container("box:1", "serve", name = "web", network = ["front"], volume = ["data:/data", "more:/more"]).container
print(networks(custom = True), n.subnets, [v.name for v in volumes()], len(volume("more").containers))
print(attempt(network.rm, "front").error.kind, attempt(volume.rm, "data").error.kind, attempt(network.create, "x", subnet = ["10.9.0.0/30"]).error.kind)
run("box:1", "true", rm = True, volume = ["more:/m", "third:/t"])
ensure.network("old", subnet = ["10.8.0.0/24"])
absent.volume("spare")
absent.network("old", "nope")
volume.create("spare")
`
	got := planScript(t, env, src)
	const want = `[<network front>, <network old>] [] ["data", "more", "spare"] 1
conflict conflict conflict
+ network   front  create
    internal  true
+ volume    data  create
    label  a=1
+ container web  run
    image    box:1
    command  serve
    mount    data:/data, more:/more
    network  front
+ volume    more  create (for container web)
+ container (named after box:1)  run
    image    box:1
    command  true
    mount    more:/m, third:/t
    rm       true
+ volume    third  create (for container (named after box:1))
~ network   old  recreate
    subnet  10.9.0.0/24 → 10.8.0.0/24
- volume    spare  remove
- network   old  remove
+ volume    spare  create

Plan: 7 to add, 1 to change, 2 to remove. Nothing was touched.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p := &plan.Plan{}
	i := lang.New(lang.Options{Predeclared: Predeclared(env), Stdout: io.Discard})
	if err := i.ExecFile(plan.With(t.Context(), p), "test.star", []byte(src)); err != nil {
		t.Fatal(i.Report(err))
	}
	const docker = `docker network create --internal front
docker volume create --label 'a=1' data
docker run --network front --volume data:/data --volume more:/more --name web -d box:1 serve
docker run --rm --volume more:/m --volume third:/t box:1 true
docker network rm old && docker network create --subnet 10.8.0.0/24 old
docker volume rm spare
docker network rm old
docker volume create spare
`
	if got := plan.Docker(p.Changes()); got != docker {
		t.Errorf("got\n%s\nwant\n%s", got, docker)
	}
}

// TestGroupVolumeNetwork: what a group does to the two is undone.
func TestGroupVolumeNetwork(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), `
def state():
    return [v.name for v in volumes()], [(n.name, n.subnets[0].subnet) for n in networks(custom = True)], [c.name for c in containers(all = True)]

volume.create("old", label = {"a": "1"})
network.create("old", subnet = ["10.9.0.0/24"])
run("box:1", "sh", "-c", "echo kept > /d/f", name = "job", volume = ["old:/d"])

def steps():
    volume.create("new")
    ensure.volume("old", label = {"b": "2"})
    network.create("new", subnet = ["10.8.0.0/24"])
    rm("job")
    volume.rm("old")
    ensure.network("old", subnet = ["10.7.0.0/24"])
    print(state(), volume("old", missing = None), attempt(volume.create, "old").error.kind)

r = attempt(group, steps, lambda: fail("no"))
print(r.error.hint)
print(state(), volume("old").labels, run("alpine", "cat", "/d/f", volume = ["old:/d"], rm = True).stdout)
group(steps)
print(state())
`)
	const want = `(["new"], [("new", "10.8.0.0/24"), ("old", "10.7.0.0/24")], ["job-replaced-298c9"]) None conflict
undone: create network old, remove network old, rename container job to job-replaced-298c9, create network new, label volume old, create volume new
(["old"], [("old", "10.9.0.0/24")], ["job"]) {"a": "1"} kept

(["new"], [("new", "10.8.0.0/24"), ("old", "10.7.0.0/24")], ["job-replaced-298c9"]) None conflict
(["new"], [("new", "10.8.0.0/24"), ("old", "10.7.0.0/24")], [])
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestGroupHides: what a group removes is not to be had in it, nor in one within it.
func TestGroupHides(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), `
volume.create("data")
def inner():
    print(attempt(ensure.volume, "data").error.kind)
    print(attempt(run, "box:1", "true", volume = ["data:/d"]).error.message)
group(lambda: volume.rm("data"), lambda: group(inner))
print(volumes(), [c.name for c in containers(all = True)])
create("box:1", name = "job", volume = ["/own"])
group(lambda: rm("job", volumes = True), lambda: volume.prune())
print(volumes())
`)
	const want = `conflict
create volume data: the one of that name is removed at the end of this group
[] []
[]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestEnsureSame: what could be taken for a difference and is none.
func TestEnsureSame(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	for _, line := range []string{
		"ensure network --internal -o ip-masq=false a", "ensure network --subnet 10.9.0.0/24 --gateway 10.9.0.9 --ipv6 b", "ensure network --subnet 10.9.0.0/24 --ipv6 b",
		"ensure network --label x=y --subnet 10.9.0.0/24 --ipv6 b", "ensure network --subnet= c",
	} {
		play(t, env, line)
		if got := play(t, env, line); !strings.HasSuffix(got, ": unchanged\n") {
			t.Errorf("%s: %s", line, got)
		}
	}
	if got := play(t, env, "network inspect -f {{range.IPAM.Config}}{{.Gateway}},{{end}}{{.Labels}} b"); !strings.HasPrefix(got, "10.9.0.9,fd") || !strings.HasSuffix(got, "::1,map[x:y]\n") {
		t.Errorf("what is not asked for stays: %s", got)
	}
	if got := planScript(t, env, `
network.create("new", ipv6 = True)
print(ensure.network("new", ipv6 = True).changed, network("new").ipv4, network("new").ipv6)
`); got != "False True True\n+ network new  create\n    ipv6  true\n\nPlan: 1 to add. Nothing was touched.\n" {
		t.Error(got)
	}
	v := strings.TrimSpace(play(t, env, "volume create"))
	play(t, env, "ensure volume --label a=1 "+v)
	if got := play(t, env, "ensure volume --label a=1 "+v); got != "volume "+v+": unchanged\n" {
		t.Error(got)
	}
}
