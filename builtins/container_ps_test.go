package builtins

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

func namesOf(t *testing.T, line string) string {
	t.Helper()
	return strings.Join(strings.Fields(play(t, newCanned().env(), line+" --format '{{.Names}}'")), " ")
}

func TestContainerFilters(t *testing.T) {
	t.Parallel()
	const long = "a-very-long-name-for-a-container-that-somebody-made-up"
	for _, tt := range []struct{ flags, want string }{
		{"", "web " + long},
		{"-a -f id=cccc", "job"},
		{"-a -f id=c", "job"},
		{"-a -f name=we", "web weiß"},
		{"-a -f name=^web$", "web"},
		{"-a -f name=^/web$", "web"},
		{"-a -f name=web -f name=job", "web job"},
		{"-a -f name=[", ""},
		{"-a -f label=tier", "web"},
		{"-a -f label=tier=web -f label=app", "web"},
		{"-a -f label=tier=web -f label=a", ""},
		{"-f label=a", ""},
		{"-f status=exited", "job weiß"},
		{"-f status=stopped", "job weiß"},
		{"-f status=created -f status=paused", long + " fresh"},
		{"-a -f exited=3", "job"},
		{"-a -f exited=3 -f exited=137", "job weiß"},
		{"-f exited=3", ""},
		{"-f status=exited -f name=job", "job"},
		{"-a -f ancestor=alpine", "job fresh weiß"},
		{"-a -f ancestor=nope", ""},
		{"-a -f volume=data", long},
		{"-a -f volume=/data", long},
		{"-a -f volume=/usr/share/nginx/html", "web"},
		{"-a -f network=none", "job"},
		{"-a -f network=none -f network=host", "job fresh"},
		{"-a -f publish=8080", "web"},
		{"-a -f publish=3000-3010/tcp", long},
		{"-a -f expose=443/tcp", "web"},
		{"-a -f expose=443/udp", ""},
		{"-a -f before=job", "fresh weiß"},
		{"-a -f since=" + long, "web"},
		{"-n 1 -f name=job", "job"},
		{"-n 1 -f status=exited", "job"},
		{"-f ''", "web " + long},
	} {
		if got := namesOf(t, "ps "+tt.flags); got != tt.want {
			t.Errorf("ps %s: got %s, want %s", tt.flags, got, tt.want)
		}
	}
}

func TestListErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"ps -f foo=bar", "! Error response from daemon: invalid filter 'foo'\n! hint: there are ancestor, before, exited, expose, id, label, name, network, publish, since, status, volume\n[exit 1]\n"},
		{"ps --format '{{.Name}}'", "! failed to execute template: template: :1:2: executing \"\" at <.Name>: can't evaluate field Name in type *formatter.ContainerContext\n! hint: did you mean .Names?\n[exit 1]\n"},
		{"images --format '{{.Repo.X}}'", "! template parsing error: template: :1:7: executing \"\" at <.Repo.X>: can't evaluate field Repo in type *formatter.imageContext\n[exit 1]\n"},
		{"ps -f labl=bar", "! Error response from daemon: invalid filter 'labl'\n! hint: there are ancestor, before, exited, expose, id, label, name, network, publish, since, status, volume\n[exit 1]\n"},
		{"ps -f status=dancing", "! Error response from daemon: invalid filter 'status=dancing': invalid value for state (dancing): must be one of created, running, paused, restarting, removing, exited, dead\n[exit 1]\n"},
		{"ps -f exited=x", "! Error response from daemon: invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax\n[exit 1]\n"},
		{"ps -f before=nope", "! Error response from daemon: No such container: nope\n[exit 1]\n"},
		{"images -f foo=bar", "! Error response from daemon: invalid filter 'foo'\n[exit 1]\n"},
		{"images -f dangling=maybe", "! Error response from daemon: invalid filter 'dangling=[maybe]'\n[exit 1]\n"},
		{"images -f since=nope", "! Error response from daemon: No such image: nope:latest\n[exit 1]\n"},
	} {
		if got := play(t, newCanned().env(), tt.line); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.line, got, tt.want)
		}
	}
}

func TestImageFilters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ flags, want string }{
		{"nginx", "nginx:1.27"},
		{"nginx:1.28", ""},
		{"'ng*'", "nginx:1.27"},
		{"-f reference=nginx -f reference=alpine", "nginx:1.27 alpine:latest"},
		{"-f 'reference=*/*/service*:2024*'", "localhost:5000/team/service-with-a-long-name:2024-11-05"},
		{"-f dangling=true", "<none>:<none>"},
		{"-f dangling=true nginx", ""},
		{"-f label=a", "alpine:latest"},
		{"-f label=a=c", ""},
		{"-f before=alpine", "localhost:5000/team/service-with-a-long-name:2024-11-05 made:latest"},
		{"-f since=nginx:1.27", "<none>:<none> busybox:<none>"},
		{"-f until=480h", "nginx:1.27 alpine:latest localhost:5000/team/service-with-a-long-name:2024-11-05 made:latest"},
	} {
		if got := strings.Join(strings.Fields(play(t, newCanned().env(), "images "+tt.flags+" --format '{{.Repository}}:{{.Tag}}'")), " "); got != tt.want {
			t.Errorf("images %s: got %s, want %s", tt.flags, got, tt.want)
		}
	}
}

// What nerdctl shows beside docker's columns.
func TestNerdctlColumns(t *testing.T) {
	t.Parallel()
	c := newCanned()
	c.containers, c.images = c.containers[2:3], c.images[1:2]
	c.containers[0].Runtime = "io.containerd.runc.v2"
	c.images[0].Platform, c.images[0].Content = "linux/amd64", 3500000
	for _, tt := range []struct{ line, want string }{
		{"ps -a --format wide", `CONTAINER ID   IMAGE     COMMAND            CREATED       STATUS                   PORTS     NAMES     RUNTIME                 PLATFORM      SIZE
cccccccccccc   alpine    "sh -c 'exit 3'"   2 weeks ago   Exited (3) 4 hours ago             job       io.containerd.runc.v2   linux/amd64   1.23MB (virtual 9MB)
`},
		{"images --names", `NAME            IMAGE ID       CREATED        PLATFORM      SIZE      BLOB SIZE
alpine:latest   333333333333   3 months ago   linux/amd64   7.83MB    3.5MB
`},
		{"images --format '{{.Platform}} {{.BlobSize}}'", "linux/amd64 3.5MB\n"},
		{"images --format wide", `REPOSITORY   TAG       DIGEST    IMAGE ID       CREATED        PLATFORM      SIZE      BLOB SIZE
alpine       latest    <none>    333333333333   3 months ago   linux/amd64   7.83MB    3.5MB
`},
	} {
		if got := play(t, c.env(), tt.line); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

// The same lists from a script: values, with a keyword for each filter.
func TestScriptLists(t *testing.T) {
	t.Parallel()
	names := Predeclared(newCanned().env())
	for _, tt := range []struct{ src, want string }{
		{`containers()[0]`, "<container web running>"},
		{`[c.name for c in containers(all = True, label = "tier=web")]`, `["web"]`},
		{`[c.name for c in containers(label = {"tier": "web"})]`, `["web"]`},
		{`[c.name for c in containers(status = "exited")]`, `["job", "weiß"]`},
		{`[c.name for c in containers(status = ["created", "exited"], network = "host")]`, `["fresh"]`},
		{`[c.name for c in containers(all = True, exited = [3])]`, `["job"]`},
		{`[c.name for c in containers(all = True, ancestor = image("alpine"))]`, `["job", "fresh", "weiß"]`},
		{`[c.name for c in containers(all = True, before = container("job"), name = "^w")]`, `["weiß"]`},
		{`[c.name for c in ps(filter = {"status": ["created", "exited"], "name": "f"})]`, `["fresh"]`},
		{`[c.name for c in containers(all = True, exited = 3)]`, `["job"]`},
		{`container.ls(True)`, `invalid: container.ls: got 1 argument, want at most 0: the others have a name, as in all = True`},
		{`containers(lable = "x")`, `invalid: containers: unexpected keyword "lable" (did you mean "label"?)`},
		{`containers(status = "dancing")`, "invalid: invalid filter 'status=dancing': invalid value for state (dancing): must be one of created, running, paused, restarting, removing, exited, dead"},
		{`containers(size = True)[0].size.virtual`, "187000000"},
		{`images("nginx")`, "[<image nginx:1.27>]"},
		{`images(dangling = True)[0]`, "<image 444444444444>"},
		{`images(reference = ["alpine", "nginx"], label = "a")`, "[<image alpine:latest>]"},
		{`sorted(images())[-1]`, "<image 444444444444>"},
		{`inspect("web")[0]["Name"], container("web").inspect()["State"]["Status"]`, `("/web", "running")`},
		{`list(inspect("web")[0].keys())[:4]`, `["Id", "Created", "Path", "Args"]`},
		{`inspect("nope")`, "not_found: No such object: nope"},
		{`image("nginx:1.27").inspect()["RepoTags"]`, `["nginx:1.27"]`},
		{`container("web").port("80")`, "[<port 0.0.0.0:8080->80/tcp>, <port [::]:8080->80/tcp>]"},
		{`container("web").port("81")`, "not_found: No public port '81' published for " + strings.Repeat("a", 64)},
		{`container("web").top().rows[1][0]`, "systemd+"},
		{`image("nginx:1.27").rm()`, `["nginx:1.27", "sha256:1111111111111111111111111111111111111111111111111111111111111111"]`},
		{`image("nginx:1.27").tag("alpine")`, "<image alpine:latest>"},
		{`image.load_(input = "testdata/docker/load.txt")`, "[<image nginx:1.27>, <image alpine:latest>]"},
		{`image.load_()`, `invalid: image.load_: missing argument "input"`},
		{`pull("alpine:3.20")`, "<image alpine:3.20>"},
		{`version().server.version`, "2.4.2"},
		{`info()["Driver"]`, "overlayfs"},
		{`image.nope`, "internal: group has no .nope field or method"},
		{`type(image), image`, `("group", <image commands>)`},
	} {
		if got := eval(names, tt.src); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

// Every verb can be called from a script, or says why not, and no keyword of a
// verb hides another.
func TestEveryVerbHasOneMeaning(t *testing.T) {
	t.Parallel()
	names := Predeclared(&Env{Program: "nsh"})
	for _, v := range Verbs() {
		seen := map[string]string{}
		for i := range v.params() {
			p := &v.params()[i]
			for _, n := range append([]string{p.name()}, p.alias...) {
				n = strings.ReplaceAll(n, "-", "_")
				if seen[n] != "" {
					t.Errorf("%s: %s and %s are both called %s in a script", v.Paths[0], seen[n], p.flag+p.arg, n)
				}
				seen[n] = p.flag + p.arg
				if reserved[n] {
					t.Errorf("%s: %s is a word of the language", v.Paths[0], n)
				}
			}
		}
		noun, attr, ok := strings.Cut(v.scriptName(), ".")
		x := names[noun]
		if g, isGroup := x.(*group); ok && isGroup {
			x = g.members[attr]
		}
		if _, ok := x.(starlark.Callable); !ok {
			t.Errorf("%s cannot be called in a script", v.scriptName())
		}
		if ScriptVerb(v.scriptName()) != v {
			t.Errorf("%s has no help", v.scriptName())
		}
		if v.Short == "" {
			t.Errorf("%s says nothing of itself", v.Paths[0])
		}
	}
}
