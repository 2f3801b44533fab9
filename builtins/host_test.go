package builtins

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsh/lang"
	"nsh/runtime/plan"
)

// hostScript runs a script with DIR as a directory of its own, and gives what it
// printed with the directory cut out.
func hostScript(t *testing.T, ctx context.Context, dir, src string) string {
	t.Helper()
	var out bytes.Buffer
	i := lang.New(lang.Options{Predeclared: Predeclared(fakeEnv()), Stdout: &out, Stderr: &out})
	if err := i.ExecFile(ctx, "test.star", []byte("DIR = "+quote(dir)+"\ndef kind(*args, **kwargs):\n    r = attempt(*args, **kwargs)\n    return r.error.kind if r.error else r.value\n"+src)); err != nil {
		out.WriteString(i.Report(err))
	}
	return strings.ReplaceAll(out.String(), dir, "DIR")
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHostScript(t *testing.T) {
	t.Parallel()
	const src = `
f = DIR + "/a/f"
print(kind(host.write, f, "x"), host.write(f, "one\n", mkdir = True), host.write(f, "one\n"), host.write(f, b"two\n", mode = 0o600))
print(host.read(f), kind(host.read, f, max = 3), host.exists(f), host.exists(DIR + "/none"), host.list(DIR))
print(host.ensure_line(f, "x=1"), host.ensure_line(f, "x=1"), host.ensure_line(f, "x=2", match = "^x="), repr(host.read(f)))
s = host.stat(f)
print(s.type, s.size, "%o" % s.mode, s.uid, s.setuid, s.target == "")
print(kind(host.remove, DIR + "/a"), host.remove(DIR + "/a", recursive = True), host.remove(DIR + "/a"))
r = host.run("sh", "-c", "cat; echo $A >&2; pwd; exit 3", stdin = "in ", env = {"A": "b"}, cwd = DIR, check = False)
print(r, r.ok, r.code, bool(r), host.run(["true"]).ok)
e = attempt(host.run, "sh", "-c", "echo no >&2; exit 4").error
print(e.kind, e.exit_code, e.message, e.hint)
print(kind(host.run, "sleep", 10, timeout = "50ms"), kind(host.run, "no-such-program"), kind(host.run), kind(host.run, "true", env = ["HOME"]))
print(host.which("sh")[-3:], host.which("no-such-program"), host.env("NO_SUCH"), host.env("NO_SUCH", "d"))
print(host.sysctl("kernel.ostype"), kind(host.sysctl, "no.such"), kind(host.sysctl, "../x"), kind(host.sysctl, "a.b", persist = True))
u = host.user(0)
print(u.name, u.uid, u.home, u.groups[0], host.user().uid == u.uid, kind(host.user, "no-such-user"))
print(type(host.subids()), type(host.subids().uids), host.subids("root").user)
i = host.info()
print(i.kernel == host.sysctl("kernel.osrelease"), i.cpus > 0, i.memory > 0, i.cgroup.version in (1, 2))
print([m.type for m in host.mounts() if m.target == "/proc"], type(host.modules()), host.processes()[0].pid > 0, host.disk(DIR).size > 0)
print(kind(host.write, f, 3), kind(host.write, f, "x", mode = 1 << 20), kind(host.read, DIR), kind(host.reed) if hasattr(host, "reed") else "no reed")
`
	const want = `not_found True False True
two
 invalid True False ["a"]
True False True "two\nx=2\n"
file 8 600 0 False True
conflict True False
<result 3 "in DIR" "b"> False 3 False True
exit 4 run "sh -c 'echo no >&2; exit 4'": exit status 4: no with check=False the result is returned, whatever the code
timeout not_found invalid invalid
/sh None None d
Linux not_found invalid invalid
root 0 /root root True not_found
sub_ids list root
True True True True
["proc"] list True True
invalid invalid invalid no reed
`
	if got := hostScript(t, t.Context(), realDir(t), src); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A plan notes all, makes nothing, and what comes after finds what it expects.
func TestHostPlan(t *testing.T) {
	t.Parallel()
	dir := realDir(t)
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("a\nb\nc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{}
	got := hostScript(t, plan.With(t.Context(), p), dir, `
f = DIR + "/new/f"
print(kind(host.write, f, "x"), host.write(f, "text\n", mkdir = True), host.write(f, "text\n"), host.read(f), host.exists(DIR + "/new"), host.list(DIR))
print(host.ensure_line(DIR + "/old", "B", match = "^b$"), host.ensure_line(DIR + "/old", "B"), repr(host.read(DIR + "/old")))
print(kind(host.remove, DIR + "/new"), host.remove(DIR + "/new", recursive = True), host.exists(f), kind(host.read, f), host.list(DIR))
print(host.remove(DIR + "/old"), host.remove(DIR + "/old"), kind(host.read, DIR + "/old"), host.list(DIR))
print(host.sysctl("kernel.hostname", "planned"), host.sysctl("kernel.hostname", "planned"), host.sysctl("kernel.hostname"))
r = host.run("rm", "-rf", DIR + "/a b")
print(r.ok, r.code, bool(r), host.run("echo", "read", reads = True))
print(r.stdout)
`)
	const want = `not_found True False text
 True ["new", "old"]
True False "a\nB\nc\n"
conflict True False not_found ["old"]
True False not_found []
True False planned
True 0 True <result 0 "read">
`
	if head, tail, _ := strings.Cut(got, "test.star:"); head != want || !strings.Contains(tail, "what rm -rf 'DIR/a b' writes is known only once it has been done") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	data, err := os.ReadFile(old)
	if err != nil || string(data) != "a\nb\nc\n" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("made: %v", names)
	}
	var lines []string
	for _, c := range p.Changes() {
		for i := range c.Fields {
			if c.Name == "kernel.hostname" {
				c.Fields[i].From = "" // of the machine that tests
			}
		}
		b, _ := json.Marshal(c)
		lines = append(lines, strings.ReplaceAll(string(b), dir, "DIR"))
	}
	const wantChanges = `{"action":"create","kind":"file","name":"DIR/new/f","fields":[{"name":"text","to":"text"}]}
{"action":"update","kind":"file","name":"DIR/old","fields":[{"name":"text","from":"b","to":"B"}]}
{"action":"remove","kind":"file","name":"DIR/new"}
{"action":"remove","kind":"file","name":"DIR/old"}
{"action":"set","kind":"host","name":"kernel.hostname","fields":[{"name":"value","to":"planned"}]}
{"action":"run","kind":"host","name":"rm -rf 'DIR/a b'","command":"rm -rf 'DIR/a b'"}`
	if got := strings.Join(lines, "\n"); got != wantChanges {
		t.Errorf("got\n%s\nwant\n%s", got, wantChanges)
	}
}

// A sandbox is asked for where a path leads, and for the program by its name.
func TestHostSandbox(t *testing.T) {
	t.Parallel()
	dir := realDir(t)
	for _, d := range []string{"in", "out"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "out/secret"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"in/link": "../out/secret", "in/dir": "../out", "in/new": "../out/none"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := &lang.Sandbox{}
	if err := s.Allow("host.read=" + dir + "/in,host.write=" + dir + "/in,host.exec=echo"); err != nil {
		t.Fatal(err)
	}
	got := hostScript(t, lang.WithSandbox(t.Context(), s), dir, `
print(host.write(DIR + "/in/f", "x"), host.read(DIR + "/in/f"), host.list(DIR + "/in"), host.remove(DIR + "/in/f"))
print([kind(host.read, DIR + p) for p in ["/in/link", "/in/dir/secret", "/out/secret", "/in/../out/secret", "/out/none"]])
print([kind(host.write, DIR + p, "y") for p in ["/in/link", "/in/dir/secret", "/out/secret", "/in/new"]])
print(kind(host.remove, DIR + "/in/dir/secret"), host.remove(DIR + "/in/link"))
print(host.run("echo", "hi").stdout.strip(), kind(host.run, "sh", "-c", "id"), kind(host.run, "echo", env = {"PATH": DIR}), kind(host.run, "./echo", cwd = DIR))
print([kind(f) for f in [host.info, host.mounts, host.processes, host.modules, host.user, host.subids]], kind(host.env, "HOME"), kind(host.sysctl, "kernel.ostype"), kind(host.which, "sh"))
print([kind(f) for f in [net.interfaces, net.routes, net.rules, net.resolvers, net.listening, net.firewall, systemd.available, systemd.units]])
print([kind(f, "127.0.0.1") for f in [net.dns, net.ping, net.mtu]], kind(net.mss, "127.0.0.1:1"), kind(systemd.start, "web"), kind(systemd.logs, "web"))
`)
	const want = `True x ["dir", "f", "link", "new"] True
["denied", "denied", "denied", "denied", "denied"]
["denied", "denied", "denied", "conflict"]
denied True
hi denied denied denied
["denied", "denied", "denied", "denied", "denied", "denied"] denied denied denied
["denied", "denied", "denied", "denied", "denied", "denied", "denied", "denied"]
["denied", "denied", "denied"] denied denied denied
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "out/secret")); string(data) != "x" {
		t.Errorf("the secret is %q", data)
	}
}
