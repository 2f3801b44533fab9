package builtins

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nsh/runtime/container"
)

// shown writes choices as "prefix now | later +files", with what docs there are.
func shown(c Choices, docs bool) string {
	var b strings.Builder
	if c.Prefix > 0 {
		b.WriteString(strings.Repeat(".", c.Prefix) + " ")
	}
	write := func(list []Choice) {
		for i, x := range list {
			if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString(x.Text)
			if docs && x.Doc != "" {
				b.WriteString("(" + x.Doc + ")")
			}
		}
	}
	write(c.Now)
	if c.Later != nil {
		b.WriteString("|")
		write(c.Later(context.Background()))
	}
	if c.Files {
		b.WriteString("+files")
	}
	return b.String()
}

func TestCompleteWords(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	for _, line := range []string{"run -d --name web --network none box:1 sleep 1000", "create --name idle box:1 true", "tag box:1 other:2", "volume create data", "network create front"} {
		play(t, env, line)
	}
	for _, tt := range []struct{ line, want string }{
		{"stop |", "|web"},
		{"start |", "|idle"},
		{"rm |", "|idle web"},
		{"rm web |", "|idle"},
		{"container rm |", "|idle web"},
		{"exec |", "|web"},
		{"exec -it |", "|web"},
		{"exec web |", ""},
		{"exec web ls -|", ""},
		{"logs |", "|idle web"},
		{"rename idle |", ""},
		{"rmi |", "|box:1 other:2"},
		{"run |", "|box:1 other:2"},
		{"run --rm -v /x:/y --network host |", "|box:1 other:2"},
		{"run -it box:1 |", ""},
		{"inspect |", "|idle web box:1 other:2 data bridge front host none"},
		{"tag box:1 |", "|box:1 other:2"},
		{"run --pull |", "always missing never"},
		{"run --pull=|", "....... always missing never"},
		{"run --network=container:|", ".................... |web"},
		{"run --network |", "host none container:|bridge front"},
		{"run -v |", "|data+files"},
		{"run -v/|", ".. +files"},
		{"run -v /a:|", ""},
		{"run --env-file |", "+files"},
		{"run --nonsense=|", ""},
		{"run --volumes-from |", "|idle web"},
		{"stop -t 3 -s |", "SIGTERM SIGKILL SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGSTOP SIGCONT SIGWINCH SIGABRT SIGALRM SIGPIPE SIGCHLD"},
		{"ps --filter status=|", "....... created running paused restarting exited"},
		{"ps -f ancestor=|", "......... |box:1 other:2"},
		{"ps --last 3 |", "--all --filter --format --help --last --latest --no-trunc --quiet --size"},
		{"ps -|", "--all --filter --format --help --last --latest --no-trunc --quiet --size -a -f -n -l -q -s"},
		{"ps -a|", "-a -af -al -an -aq -as"},
		{"ps -ax|", "--all --filter --format --help --last --latest --no-trunc --quiet --size"},
		{"stop -- -|", "|web"},
		{"load -i |", "+files"},
		{"image |", "assemble inspect list load ls pull remove rm save tag"},
		{"nothing |", ""},
		{"volume |", "create inspect list ls prune remove rm"},
		{"volume rm |", "|data"},
		{"network rm front |", "|bridge host none"},
		{"network ls -f driver=|", "....... bridge macvlan ipvlan host null"},
		{"ps -f network=|", "........ |bridge front host none"},
		{"ps -f volume=|", "....... |data"},
	} {
		words := strings.Split(strings.TrimSuffix(tt.line, "|"), " ")
		env.known = known{}
		if got := shown(Complete(env, words), false); got != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.line, got, tt.want)
		}
	}
	env.known = known{}
	if got := shown(Complete(env, []string{"rm", ""}), true); got != "|idle(Created, box:1) web(Up Less than a second, box:1)" {
		t.Error(got)
	}
	if got := shown(Complete(env, []string{"rm", ""}), false); got != "idle web" {
		t.Errorf("what has been asked for is known: %s", got)
	}
	for _, tt := range []struct {
		function string
		n        int
		keyword  string
		want     string
	}{
		{"container", 0, "", "|idle web"}, {"container", 1, "", ""}, {"image", 0, "", "|box:1 other:2"}, {"image", 0, "missing", ""},
		{"run", 0, "", "|box:1 other:2"}, {"run", 1, "", ""}, {"run", 3, "", ""}, {"run", 1, "pull", "always missing never"},
		{"stop", 2, "", "|web"}, {"image.save", 0, "", "|box:1 other:2"}, {"image.load_", 0, "input", "+files"}, {"containers", 0, "ancestor", "|box:1 other:2"},
		{"nothing", 0, "", ""},
	} {
		env.known = known{}
		if got := shown(CompleteArgument(env, tt.function, tt.n, tt.keyword), false); got != tt.want {
			t.Errorf("%s(%d %s)\ngot  %s\nwant %s", tt.function, tt.n, tt.keyword, got, tt.want)
		}
	}
}

// slow is an engine that answers late, and then not at all.
type slow struct {
	container.Service
	calls atomic.Int32
}

func (s *slow) List(ctx context.Context, _ container.ListOptions) ([]container.Container, error) {
	if s.calls.Add(1) == 1 {
		return []container.Container{{Name: "web", Status: container.Running, Image: "box:1"}}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestCompleteSlow: names come late or not at all, nothing is started for them, and
// what was known is better than nothing.
func TestCompleteSlow(t *testing.T) {
	t.Parallel()
	env := &Env{Program: "nsh", Connect: func(context.Context) (*Engine, error) {
		t.Error("a Tab started an engine")
		return nil, errors.New("no")
	}}
	words := []string{"rm", ""}
	if got := shown(Complete(env, words), false); got != "|" {
		t.Errorf("without an engine: %s", got)
	}
	env.Reach = func(context.Context) (*Engine, error) { return nil, nil }
	if got := shown(Complete(env, words), false); got != "|" {
		t.Errorf("with one that does not run: %s", got)
	}
	s := &slow{}
	env.Reach = func(context.Context) (*Engine, error) { return &Engine{Containers: s}, nil }
	if got := shown(Complete(env, words), false); got != "|web" {
		t.Errorf("at first: %s", got)
	}
	env.known.containers.at = time.Time{}
	began := time.Now()
	c := Complete(env, words)
	if d := time.Since(began); d > 100*time.Millisecond {
		t.Errorf("the key waited for %s", d)
	}
	if got := shown(c, false); got != "|web" {
		t.Errorf("when it does not answer: %s", got)
	}
	if d := time.Since(began); d > 3*askFor {
		t.Errorf("it took %s", d)
	}
}
