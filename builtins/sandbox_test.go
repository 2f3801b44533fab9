package builtins

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsh/lang"
)

// TestSandbox: a script in a sandbox gets containers and no way to the host.
func TestSandbox(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "env")
	if err := os.WriteFile(secretFile, []byte("A=hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(open, "out")); err != nil {
		t.Fatal(err)
	}
	play(t, env, "run -d --name web box:1 sleep 60")
	play(t, env, "run -d --name mighty --privileged box:1 sleep 60")
	play(t, env, "run -d --name mounted -v "+open+":/host box:1 sleep 60")
	play(t, env, "run -d --name onhost --network host box:1 sleep 60")
	run := func(allow, src string) string {
		t.Helper()
		box := &lang.Sandbox{}
		if allow != "" {
			if err := box.Allow(allow); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		i := lang.New(lang.Options{Predeclared: Predeclared(env), Stdout: &out, Stderr: &out})
		if err := i.ExecFile(lang.WithSandbox(t.Context(), box), "t.star", []byte(src)); err != nil {
			return strings.TrimPrefix(strings.Split(i.Report(err), "\n")[0], "t.star:")
		}
		return out.String()
	}
	if got := run("", `
c = run("box:1", "sleep", "60", name = "in", detach = True, tmpfs = ["/t"], memory = "64m", publish = ["8080:80"])
print(c.exec("echo", "hello").stdout, [x.name for x in sorted(containers())])
c.rm(force = True)
`); got != "hello\n [\"in\", \"mighty\", \"mounted\", \"onhost\", \"web\"]\n" {
		t.Errorf("a sandbox has no containers: %s", got)
	}
	for _, tt := range []struct{ call, allow, want string }{
		{`run("box:1", volume = ["` + dir + `:/host"])`, "", `run "` + dir + `": the sandbox does not allow host.write`},
		{`run("box:1", volume = ["` + dir + `:/host:ro"])`, "", `run "` + dir + `": the sandbox does not allow host.read`},
		{`run("box:1", volume = ["` + dir + `/new:/host"])`, "", `run "` + dir + `/new": the sandbox does not allow host.write`},
		{`run("box:1", volume = ["` + open + `/out/env:/host"])`, "host.write=" + open, `run "` + secretFile + `": the sandbox does not allow host.write`},
		{`run("box:1", network = [network("host").id])`, "", `network 4740ae6347b0172c01254ff55bae5aff5199f4446e7f6d643d40185b3f475145 not found`},
		{`network.create("lan", driver = "macvlan", opt = {"parent": "eth0"})`, "", `network.create: the sandbox does not allow host.net`},
		{`ensure.network("lan", driver = "ipvlan")`, "", `ensure.network: the sandbox does not allow host.net`},
		{`run("box:1", mount = ["type=bind,src=` + dir + `,dst=/host"])`, "", `run "` + dir + `": the sandbox does not allow host.write`},
		{`run("box:1", env_file = ["` + secretFile + `"])`, "", `run "` + secretFile + `": the sandbox does not allow host.read`},
		{`run("box:1", env = ["HOME"])`, "", `run "$HOME": the sandbox does not allow host.read`},
		{`run("box:1", cidfile = "` + dir + `/cid")`, "", `run "` + dir + `/cid": the sandbox does not allow host.write`},
		{`run("box:1", privileged = True)`, "", `run "privileged": the sandbox does not allow host.exec`},
		{`run("box:1", cap_add = ["SYS_ADMIN"])`, "", `run "cap_add": the sandbox does not allow host.exec`},
		{`run("box:1", device = ["/dev/null"])`, "", `run "device": the sandbox does not allow host.exec`},
		{`run("box:1", pid = "host")`, "", `run "pid": the sandbox does not allow host.exec`},
		{`run("box:1", security_opt = ["seccomp=unconfined"])`, "", `run "security_opt": the sandbox does not allow host.exec`},
		{`run("box:1", network = "host")`, "", `run: the sandbox does not allow host.net`},
		{`run("box:1", log_opt = {"log-path": "` + dir + `/log"})`, "", `run "` + dir + `/log": the sandbox does not allow host.write`},
		{`ensure.container("box:1", name = "new", privileged = True)`, "", `ensure.container "privileged": the sandbox does not allow host.exec`},
		{`image("box:1").save(output = "` + dir + `/a.tar")`, "", `save "` + dir + `/a.tar": the sandbox does not allow host.write`},
		{`image.load_(input = "` + secretFile + `")`, "", `image.load_ "` + secretFile + `": the sandbox does not allow host.read`},
		{`image.assemble("x", file = ["` + secretFile + `:/f"])`, "", `image.assemble "` + secretFile + `": the sandbox does not allow host.read`},
		{`container("web").exec("true", env_file = ["` + secretFile + `"])`, "", `exec "` + secretFile + `": the sandbox does not allow host.read`},
		{`container("web").exec("true", privileged = True)`, "", `exec "privileged": the sandbox does not allow host.exec`},
		{`exec("mighty", "true")`, "", `exec "privileged": the sandbox does not allow host.exec`},
		{`exec("mounted", "true")`, "", `exec "` + open + `": the sandbox does not allow host.write`},
		{`exec("onhost", "true")`, "", `exec: the sandbox does not allow host.net`},
		{`run("box:1", network = "container:onhost")`, "", `run: the sandbox does not allow host.net`},
		{`run("box:1", volumes_from = ["mounted"])`, "", `run "` + open + `": the sandbox does not allow host.write`},
		{`run("box:1", ipc = "container:web")`, "", `run "ipc": the sandbox does not allow host.exec`},
		{`net.tcp("127.0.0.1:1")`, "", `net.tcp "127.0.0.1:1": the sandbox does not allow host.net`},
		{`net.http("http://127.0.0.1:1/")`, "", `net.http "127.0.0.1:1": the sandbox does not allow host.net`},
		{`engine.stop()`, "", `engine.stop "engine": the sandbox does not allow host.write`},
	} {
		got := run(tt.allow, tt.call)
		if _, after, _ := strings.Cut(got, ": "); after != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.call, after, tt.want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the host has %v, %v", entries, err)
	}
	if got := run("host.read="+dir, `run("box:1", "true", rm = True, env_file = ["`+secretFile+`"])`); strings.Contains(got, "allow") {
		t.Errorf("what is allowed is refused: %s", got)
	}
}
