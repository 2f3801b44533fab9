package lang

import (
	"bytes"
	"context"
	"testing"

	"go.starlark.net/starlark"
)

func TestDocOf(t *testing.T) {
	t.Parallel()
	i := New(Options{Session: true})
	if _, err := i.Chunk(context.Background(), `def f(a, b = 1, *c, d, e = "x", **g):
    """Does it.

    More of it,
    on two lines.

    Args:
      a: the first,
        which goes on
      e: the last
    Returns:
      a number
    Example:
      if True:
          f(1, d = 2)
    """
`); err != nil {
		t.Fatal(i.Report(err))
	}
	const want = `f(a, b=1, *c, d, e="x", **g)

Does it.

More of it,
on two lines.

Returns a number

  a  the first, which goes on
  e  the last

Example:
    if True:
        f(1, d = 2)
`
	if got := i.Help("f"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestExamples runs the example of each function of the language.
func TestExamples(t *testing.T) {
	t.Parallel()
	for name, v := range New(Options{}).names {
		d := DocOf(v)
		if d == nil {
			continue
		}
		if d.Short == "" || d.Name != name && v != nil && d.Name == "" {
			t.Errorf("%s: nothing is said of it", name)
		}
		// Those with containers are run where there are some.
		if d.Example == "" || name == "sh" || name == "attempt" || name == "poll" {
			continue
		}
		var b bytes.Buffer
		i := New(Options{Stdout: &b, Stderr: &b})
		if err := i.ExecFile(context.Background(), name+".star", []byte(d.Example)); err != nil {
			t.Errorf("%s: %s", name, i.Report(err))
		}
	}
	var _ starlark.Callable = &Builtin{}
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	s := &Sandbox{}
	for _, a := range []string{"host.exec=iptables", "host.read=/etc,host.net=127.0.0.1", "host.write"} {
		if err := s.Allow(a); err != nil {
			t.Fatal(err)
		}
	}
	ctx := WithSandbox(context.Background(), s)
	for _, tt := range []struct {
		p    Permission
		what string
		want string
	}{
		{HostExec, "iptables", ""},
		{HostExec, "iptables-save", `op "iptables-save": the sandbox does not allow host.exec`},
		{HostExec, "", `op: the sandbox does not allow host.exec`},
		{HostRead, "/etc/passwd", ""},
		{HostRead, "/etc", ""},
		{HostRead, "/etcetera", `op "/etcetera": the sandbox does not allow host.read`},
		{HostNet, "127.0.0.1:80", ""},
		{HostNet, "127.0.0.2:80", `op "127.0.0.2:80": the sandbox does not allow host.net`},
		{HostWrite, "/anything", ""},
	} {
		got := ""
		if err := Require(ctx, tt.p, "op", tt.what); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.p, tt.what, got, tt.want)
		}
	}
	if err := Require(context.Background(), HostExec, "op", "x"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"host.sing", "host.read=", ""} {
		if err := (&Sandbox{}).Allow(bad); err == nil {
			t.Errorf("--allow %q is taken", bad)
		}
	}
}
