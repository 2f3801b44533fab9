package builtins

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/shlex"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/lang"
)

var convertLines = []string{
	"run nginx", "run -d --name web -p 8080:80 -p 443:443/udp nginx", "run --rm -it alpine sh -c 'echo \"$HOME\" a\\b'", "run -e A=1 -e B -e A=2 x", "run -e 'A=b c' --label a.b/c=d x",
	"run -m 64m --memory-swap -1 --cpus 1.5 --pids-limit 10 --shm-size 1g x", "run --entrypoint '' x y", "run --entrypoint sh x -c true", "run -v /a:/b:ro --tmpfs /t:size=1m --mount type=bind,src=/tmp,dst=/x x",
	"run --stop-timeout 3 --stop-signal SIGINT --restart no x", "run --sig-proxy=false -a stdout x", "run --ulimit nofile=1:2 --sysctl a=b --log-opt max-size=10m x",
	"create --name x y", "stop a b", "volume create --label a=b data", "network create --subnet 10.9.0.0/24 --internal -o mtu=1400 --aux-address a=10.9.0.9 front", "network rm -f front", "volume prune -a -f --filter label=x", "stop -t 0 a", "kill -s HUP a", "rm -fv a b", "rmi -f a", "tag a b:c", "pull -q alpine", "pull --platform linux/arm64 alpine", "ps -aq --no-trunc",
	"ps --filter status=exited --filter name=x", "images --digests x", "logs --tail 5 --since 1h web", "exec -u 1 -w /x -e A=1 web ls -l /", "inspect --type container a", "update --cpus 2 -m 1g a",
	"image assemble -f /a:/b:0755 -f /c:/d --env A=1 --cmd x --expose 80 app:1", "ensure container --name web -p 80:80 nginx", "absent image a b", "save -o x.tar a b", "image load -i x.tar", "rename a b", "wait a", "top a -ef", "container ls -l",
}

// TestConvert: a line and the call that it becomes ask for the same, and so does the line
// that is made of that again.
func TestConvert(t *testing.T) {
	t.Parallel()
	for _, line := range convertLines {
		words, err := shlex.Split(line)
		if err != nil {
			t.Fatal(err)
		}
		v, want, err := parseWords(words)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		call, err := Convert(words)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := asked(t, v, call); !sameRequest(v, got, want) {
			t.Errorf("%s\n%s\ngives %+v\n not %+v", line, call, got.Elem(), want.Elem())
		}
		again := v.commandLine(want)
		if again == "" {
			continue
		}
		words, err = shlex.Split(again)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := parseWords(words[1:]); err != nil || !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s\n%s\ngives %+v (%v)\n not %+v", line, again, got.Elem(), err, want.Elem())
		}
	}
}

// asked gives the parameters that a call in Starlark asks for.
func asked(t *testing.T, v *Verb, call string) reflect.Value {
	t.Helper()
	p := v.make()
	v.defaults(p)
	names := starlark.StringDict{}
	fn := starlark.NewBuiltin(v.scriptName(), func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return starlark.None, v.unpack(p, b.Name(), args, kwargs)
	})
	name, _, _ := strings.Cut(call, "(")
	if group, member, ok := strings.Cut(name, "."); ok {
		names[group] = lang.NewModule(group, "")
		names[group].(*lang.Module).Members = starlark.StringDict{member: fn}
	} else {
		names[name] = fn
	}
	if _, err := starlark.EvalOptions(&syntax.FileOptions{}, &starlark.Thread{}, "call", call, names); err != nil {
		t.Errorf("%s: %v", call, err)
	}
	return p
}

// sameRequest leaves out what only a command line has.
func sameRequest(v *Verb, a, b reflect.Value) bool {
	for i := range v.params() {
		q := &v.params()[i]
		x, y := a.Elem().FieldByIndex(q.index), b.Elem().FieldByIndex(q.index)
		if !q.noScript && !reflect.DeepEqual(x.Interface(), y.Interface()) && !(x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0) {
			return false
		}
	}
	return true
}

// FuzzConvert: whatever a command line is, the call is Starlark.
func FuzzConvert(f *testing.F) {
	for _, l := range convertLines {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := shlex.Split(line)
		if err != nil || len(words) == 0 {
			return
		}
		call, err := Convert(words)
		if err != nil {
			return
		}
		if _, err := (&syntax.FileOptions{}).ParseExpr("", call, 0); err != nil {
			t.Errorf("%q becomes %s: %v", words, call, err)
		}
	})
}

// TestConvertEnsure: what makes a thing becomes what makes it be there.
func TestConvertEnsure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"network create --internal front", `ensure.network("front", internal = True)`},
		{"volume create --label a=b data", `ensure.volume("data", label = {"a": "b"})`},
		{"volume create", `volume.create()`},
		{"pull alpine", `ensure.image("alpine")`},
		{"run -d --name web -v data:/d --network front app", `ensure.container("app", network = ["front"], volume = ["data:/d"], name = "web")`},
		{"volume rm data", `volume.rm("data")`},
	} {
		got, err := ConvertEnsure(strings.Fields(tt.line))
		if err != nil || got != tt.want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", tt.line, got, err, tt.want)
		}
	}
}
