package builtins

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsh/lang"
	"nsh/runtime/memory"
)

// inMemory is an environment with an engine of its own that has the image
// "box" with a shell in it.
func inMemory(t *testing.T) *Env {
	t.Helper()
	e := memory.New(memory.Options{Seed: 1, AnyImage: true})
	env := &Env{Program: "docker", Connect: func(context.Context) (*Engine, error) {
		return &Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System}, nil
	}}
	dir := t.TempDir()
	box := filepath.Join(dir, "busybox")
	if err := os.WriteFile(box, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	line := "image assemble -f " + box + ":/bin/busybox -f " + box + ":/bin/sh -f " + box + ":/bin/sleep -f " + box + ":/bin/echo --cmd sh --label from=test --expose 80 box:1"
	if got := play(t, env, line); !strings.HasPrefix(got, "sha256:") {
		t.Fatalf("image assemble: %s", got)
	}
	return env
}

// script runs a whole script and gives what it printed.
func script(t *testing.T, env *Env, src string) string {
	t.Helper()
	var out bytes.Buffer
	i := lang.New(lang.Options{Predeclared: Predeclared(env), Stdout: &out, Stderr: &out})
	if err := i.ExecFile(t.Context(), "test.star", []byte(src)); err != nil {
		out.WriteString(i.Report(err))
	}
	return out.String()
}

var hexID = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b`)

func TestLifeFromScript(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), `
c = run("box:1", "sleep", 1000, name = "web", detach = True, label = {"tier": "web"}, network = "none")
print(c, c.running, c.labels["tier"], c in containers(label = "tier=web"))
print(c.exec("echo", "hello", "you"))
r = c.exec(["sh", "-c", "echo out; echo err >&2; exit 3"], check = False)
print(r, r.code, repr(r.stdout), repr(r.stderr), bool(r))
e = attempt(c.exec, "sh", "-c", "exit 4").error
print(e.kind, e.exit_code)
print(c.inspect()["Config"]["Cmd"], c.inspect()["State"]["Running"])
print(c.pause().status, c.unpause().status)
print(c.rename("www").name, c.reload().name, c.name)
print(attempt(rm, c).error.kind)
print(c.stop(timeout = 0).status, c.status)
print(containers(), containers(all = True), containers(status = "exited"))
print(c.wait())
print(c.start().status)
c.rm(force = True)
print(container(c, missing = "gone"), attempt(c.reload).error.kind)
print(run("box:1", "sh", "-c", "echo $A", env = {"A": 1}, rm = True, network = "none").stdout)
img = image("box:1")
print(img.tag("box:2"), sorted(images()), images("box", before = img))
print(img.rm(), images())
`)
	want := `<container web running> True web True
<result 0 "hello you">
<result 3 "out" "err"> 3 "out\n" "err\n" False
exit 4
["sleep", "1000"] True
paused running
www www web
conflict
exited running
[] [<container www exited>] [<container www exited>]
137
running
gone not_found
1

<image box:2> [<image box:1>, <image box:2>] []
["box:1"] [<image box:2>]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An error in a script names the line, and what to do.
func TestErrorFromScript(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), `
def deploy(tag):
    return run("box:" + tag, detach = True, publis = ["80"])

deploy("1")
`)
	if !strings.Contains(got, `run: unexpected keyword "publis" (did you mean "publish"?)`) || !strings.Contains(got, `    return run("box:" + tag`) || strings.Contains(got, "hint:") {
		t.Errorf("got\n%s", got)
	}
}

func TestHintOfManyKeywords(t *testing.T) {
	t.Parallel()
	got := script(t, inMemory(t), "run(\"box:1\", name = 1)\n")
	if want := "\nhint: run(image, *command, …); run? lists the keywords\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The same on command lines.
func TestLifeFromCommandLines(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	for _, tt := range []struct{ line, want string }{
		{"run -d --name web --network none -l tier=web box:1 sleep 1000", "<id>\n"},
		{"ps --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Labels}}'", "web box:1 \"sleep 1000\" running from=test,tier=web\n"},
		{"inspect -f '{{.State.Status}} {{.Config.Image}} {{.HostConfig.NetworkMode}} {{json .Config.ExposedPorts}}' web", "running box:1 none {\"80/tcp\":{}}\n"},
		{"exec web echo hi", "hi\n"},
		{"exec web sh -c 'exit 7'", "[exit 7]\n"},
		{"port web", ""},
		{"rmi box:1", "! Error response from daemon: conflict: unable to remove repository reference \"box:1\" (must force) - container <id> is using its referenced image <id>\n[exit 1]\n"},
		{"stop -t 0 web", "web\n"},
		{"ps", "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"},
		{"ps -a --format '{{.Status}}'", "Exited (137) Less than a second ago\n"},
		{"rm web", "web\n"},
		{"rm web", "! Error response from daemon: No such container: web\n[exit 1]\n"},
		{"images --format '{{.Repository}} {{.Tag}} {{.CreatedSince}}'", "box 1 56 years ago\n"},
		{"rmi box:1", "Untagged: box:1\nDeleted: sha256:<id>\n"},
		{"images -q", ""},
		{"pull -q alpine", "docker.io/library/alpine:latest\n"},
		{"image inspect -f '{{.RepoTags}} {{.Os}}' alpine", "[alpine:latest] linux\n"},
	} {
		if got := hexID.ReplaceAllString(play(t, env, tt.line), "<id>"); got != tt.want {
			t.Errorf("$ %s\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}
