package builtins

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"runtime"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"golang.org/x/sys/unix"

	"nsh/lang"
	"nsh/runtime/host"
	"nsh/runtime/plan"
	"nsh/runtime/systemd"
)

// Each function of the modules says what it does in a line, documents each argument, and
// shows how in an example that runs.
func TestModuleDocs(t *testing.T) {
	t.Parallel()
	names := Predeclared(fakeEnv())
	n := 0
	for _, module := range []string{"host", "systemd", "net"} {
		for name, v := range names[module].(*lang.Module).Members {
			d := lang.DocOf(v)
			n++
			if d == nil || d.Name != module+"."+name || d.Short == "" || !strings.HasSuffix(d.Short, ".") || d.Example == "" {
				t.Errorf("%s.%s: %+v", module, name, d)
				continue
			}
			for _, p := range d.Params {
				if p.Doc == "" {
					t.Errorf("%s: nothing is said of %s", d.Name, p.Name)
				}
			}
			var out bytes.Buffer
			i := lang.New(lang.Options{Predeclared: names, Stdout: &out, Stderr: &out})
			if err := i.ExecFile(t.Context(), d.Name+".star", []byte(d.Example)); err != nil {
				t.Errorf("%s: %s", d.Name, i.Report(err))
			}
			if out.Len() == 0 && module != "systemd" {
				t.Errorf("%s: the example prints nothing", d.Name)
			}
		}
	}
	if n < 45 {
		t.Errorf("%d functions only", n)
	}
}

// The questions to the network, asked of a namespace that only has a loopback.
func TestNetScript(t *testing.T) {
	t.Parallel()
	done := make(chan string, 1)
	go func() {
		// The thread is in a namespace of its own and ends with the function.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err.Error()
			return
		}
		if out, err := host.Run(t.Context(), host.Command{Argv: []string{"sh", "-ec", "ip link set lo up; ip link add tun9 type veth peer name other; ip addr add 10.9.0.1/24 dev tun9; ip link set tun9 up; ip link set other up; ip route add 10.0.0.0/8 via 10.9.0.2; ip rule add from 10.9.0.0/24 table 77 priority 5; ip route add blackhole 192.0.2.0/24 table 77"}}); err != nil || out.Code != 0 {
			done <- out.Stderr
			return
		}
		l, err := net.Listen("tcp", "127.0.0.1:7777")
		if err != nil {
			done <- err.Error()
			return
		}
		defer l.Close()
		done <- hostScript(t, t.Context(), t.TempDir(), `
print([(i.name, i.mtu, i.kind, [a for a in i.addresses if not a.startswith("fe80")]) for i in net.interfaces() if i.name != "other"])
print([(r.destination, r.gateway, r.interface) for r in net.routes(family = 4)], [r.type for r in net.routes(77)], kind(net.routes, "x"), kind(net.routes, family = 5))
print([(r.priority, r.source, r.table) for r in net.rules(4)])
r = net.route_to("10.1.1.1")
print(r.gateway, r.interface, r.source, kind(net.route_to, "8.8.8.8"), kind(net.route_to, "10.9.0.3", source = "nonsense"))
a = net.dns("localhost")
print(a.code, a.addresses, a.records[0].value, kind(net.dns, "x", type = "TXT", server = "127.0.0.1:1"), kind(net.dns, "x", type = "NO"))
p = net.ping("127.0.0.1", count = 2)
print(p.ok, bool(p), p.sent, p.received, p == p, bool(net.ping("10.9.0.9", timeout = "50ms")), kind(net.ping, "127.0.0.1", count = 0))
m = net.mtu("10.9.0.1")
print(m.mtu, m.interface, m.answered, m.black_hole)
print(net.mss("127.0.0.1:7777").send > 1000, kind(net.mss, "127.0.0.1:1"), kind(net.mss, "nonsense"))
print([(l.protocol, l.address, l.port, l.pid > 0) for l in net.listening()])
print(type(net.firewall()), kind(net.resolvers) != None, net.tcp("127.0.0.1:7777"))
`)
	}()
	const want = `[("lo", 65536, "loopback", ["127.0.0.1/8", "::1/128"]), ("tun9", 1500, "veth", ["10.9.0.1/24"])]
[("10.0.0.0/8", "10.9.0.2", "tun9"), ("10.9.0.0/24", "", "tun9")] ["blackhole"] invalid invalid
[(0, "", 255), (5, "10.9.0.0/24", 77), (32766, "", 254), (32767, "", 253)]
10.9.0.2 tun9 10.9.0.1 unavailable invalid
NOERROR ["127.0.0.1"] 127.0.0.1 unavailable invalid
True True 2 2 True False invalid
65535 lo True False
True unavailable invalid
[("tcp", "127.0.0.1", 7777, True)]
firewall True True
`
	if got := <-done; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// fakeSystemd has one unit, web.service, that is stopped and enabled. It notes what
// changes something.
func fakeSystemd(calls *[]string) newManager {
	active := "inactive"
	return func(user bool) systemd.Manager {
		return systemd.Manager{User: user, Run: func(_ context.Context, c host.Command) (host.Output, error) {
			line := strings.Join(c.Argv, " ")
			unit := "Id=web.service\nDescription=Web\nLoadState=loaded\nActiveState=" + active + "\nSubState=dead\nUnitFileState=enabled\nMainPID=0\nActiveEnterTimestampMonotonic=0\n"
			switch {
			case strings.Contains(line, "-p Version"):
				return host.Output{Stdout: "Version=252.1\nSystemState=running\n"}, nil
			case strings.Contains(line, " show ") && strings.HasSuffix(line, " none.service"):
				return host.Output{Stdout: "Id=none.service\nLoadState=not-found\n"}, nil
			case strings.Contains(line, " show "):
				return host.Output{Stdout: unit}, nil
			case strings.HasPrefix(line, "journalctl"):
				return host.Output{Stdout: `{"MESSAGE":"hello","PRIORITY":"3","_PID":"7","__REALTIME_TIMESTAMP":"1000000"}`}, nil
			}
			*calls = append(*calls, strings.TrimPrefix(line, "systemctl --no-pager --no-ask-password "))
			switch {
			case strings.Contains(line, " start "):
				active = "active"
			case strings.Contains(line, " stop "):
				active = "inactive"
			}
			return host.Output{}, nil
		}}
	}
}

func systemdScript(t *testing.T, ctx context.Context, manager newManager, src string) string {
	t.Helper()
	env := fakeEnv()
	names := Predeclared(env)
	names["systemd"] = systemdModule(env, manager)
	var out bytes.Buffer
	i := lang.New(lang.Options{Predeclared: names, Stdout: &out, Stderr: &out})
	if err := i.ExecFile(ctx, "test.star", []byte("def kind(*args, **kwargs):\n    r = attempt(*args, **kwargs)\n    return r.error.kind if r.error else r.value\n"+src)); err != nil {
		out.WriteString(i.Report(err))
	}
	return out.String()
}

const systemdSource = `
print(systemd.available(), systemd.version().number, systemd.version().state)
print([u.name for u in systemd.units()], kind(systemd.status, "none"), kind(systemd.status, "a/b"))
u = systemd.status("web")
print(u.name, u.description, u.load_state, u.active, u.enabled, u.state, u.main_pid, u.since)
print(systemd.enable("web"), systemd.start("web"), kind(systemd.start, "none"), systemd.restart("web"), systemd.reload("web", user = True))
print(systemd.write_unit("web", "[Service]\n", user = True), systemd.write_unit("web", "[Service]\n", user = True), kind(systemd.write_unit, "../x", "x"))
systemd.daemon_reload()
print([(l.message, l.priority, l.unit, l.pid) for l in systemd.logs("web", lines = 1)], kind(systemd.logs, "web", lines = 0))
print(systemd.linger("no-such-user-here"), systemd.linger("no-such-user-here", enable = True), systemd.linger("no-such-user-here", enable = False))
`

func TestSystemdScript(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", realDir(t))
	var calls []string
	got := systemdScript(t, t.Context(), fakeSystemd(&calls), systemdSource+`
print(systemd.start("web"), systemd.stop("web"), systemd.stop("web"), systemd.disable("web"))
`)
	const want = `True 252 running
["web.service"] not_found invalid
web.service Web loaded inactive True enabled 0 None
False True not_found True True
True False invalid
[("hello", 3, "web.service", 7)] invalid
False True False
False True False True
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const wantCalls = `start -- web.service
restart -- web.service
--user reload -- web.service
--user daemon-reload
daemon-reload
loginctl --no-ask-password enable-linger -- no-such-user-here
stop -- web.service
disable -- web.service`
	if got := strings.Join(calls, "\n"); got != wantCalls {
		t.Errorf("got\n%s\nwant\n%s", got, wantCalls)
	}
}

// A plan changes no unit, and does not say what it cannot know.
func TestSystemdPlan(t *testing.T) {
	dir := realDir(t)
	t.Setenv("XDG_CONFIG_HOME", dir)
	var calls []string
	p := &plan.Plan{}
	got := systemdScript(t, plan.With(t.Context(), p), fakeSystemd(&calls), systemdSource+`
print([u.name for u in systemd.units("other*")])
print(systemd.status("web"))
`)
	const want = `True 252 running
["web.service"] not_found invalid
web.service Web loaded inactive True enabled 0 None
False True not_found True True
True False invalid
[("hello", 3, "web.service", 7)] invalid
False True True
["web.service"]
`
	if head, tail, _ := strings.Cut(got, "test.star:"); head != want || !strings.Contains(tail, "the status of web.service is known only once it has been done") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(calls) > 0 {
		t.Errorf("done: %q", calls)
	}
	var lines []string
	for _, c := range p.Changes() {
		b, _ := json.Marshal(c)
		lines = append(lines, strings.ReplaceAll(string(b), dir, "DIR"))
	}
	const wantChanges = `{"action":"start","kind":"unit","name":"web.service","fields":[{"name":"active","from":"inactive","to":"active"}],"command":"systemctl start web.service"}
{"action":"restart","kind":"unit","name":"web.service","command":"systemctl restart web.service"}
{"action":"reload","kind":"unit","name":"web.service","command":"systemctl --user reload web.service"}
{"action":"create","kind":"file","name":"DIR/systemd/user/web.service","fields":[{"name":"text","to":"[Service]"}]}
{"action":"reload","kind":"unit","name":"systemd","reason":"the file of web changes"}
{"action":"reload","kind":"unit","name":"systemd"}
{"action":"linger","kind":"host","name":"no-such-user-here","fields":[{"name":"linger","from":"disabled","to":"enabled"}],"command":"loginctl enable-linger no-such-user-here"}
{"action":"linger","kind":"host","name":"no-such-user-here","fields":[{"name":"linger","from":"enabled","to":"disabled"}],"command":"loginctl disable-linger no-such-user-here"}`
	if got := strings.Join(lines, "\n"); got != wantChanges {
		t.Errorf("got\n%s\nwant\n%s", got, wantChanges)
	}
}

var _ starlark.Comparable = (*okValue)(nil)
