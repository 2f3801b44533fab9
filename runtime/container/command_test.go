package container

import (
	"slices"
	"testing"
)

func TestArgs(t *testing.T) {
	t.Parallel()
	list := func(s ...string) *[]string { return &s }
	for _, tt := range []struct {
		name       string
		entrypoint *[]string
		command    []string
		entry, cmd []string
		want       []string
		err        string
	}{
		{name: "the image's", entry: []string{"e"}, cmd: []string{"c"}, want: []string{"e", "c"}},
		{name: "another command", command: []string{"x", "y"}, entry: []string{"e"}, cmd: []string{"c"}, want: []string{"e", "x", "y"}},
		{name: "another entrypoint drops the command", entrypoint: list("z"), entry: []string{"e"}, cmd: []string{"c"}, want: []string{"z"}},
		{name: "both", entrypoint: list("z", "1"), command: []string{"x"}, entry: []string{"e"}, cmd: []string{"c"}, want: []string{"z", "1", "x"}},
		{name: "no entrypoint", entrypoint: list(), command: []string{"x"}, entry: []string{"e"}, want: []string{"x"}},
		{name: "the empty entrypoint", entrypoint: list(""), command: []string{"x"}, entry: []string{"e"}, want: []string{"x"}},
		{name: "nothing", entrypoint: list(""), cmd: []string{"c"}, err: "no command specified"},
	} {
		got, err := Spec{Entrypoint: tt.entrypoint, Command: tt.command}.Args(tt.entry, tt.cmd)
		if !slices.Equal(got, tt.want) || text(err) != tt.err {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, got, text(err), tt.want, tt.err)
		}
	}
}

func TestMergeEnv(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ base, over, want []string }{
		{[]string{"A=1", "B=2"}, []string{"B=3", "C=4"}, []string{"A=1", "B=3", "C=4"}},
		{[]string{"A=1", "B=2"}, []string{"A"}, []string{"B=2"}},
		{nil, []string{"A=", "A=x=y"}, []string{"A=x=y"}},
		{[]string{"AB=1"}, []string{"A=2"}, []string{"AB=1", "A=2"}},
	} {
		if got := MergeEnv(tt.base, tt.over); !slices.Equal(got, tt.want) {
			t.Errorf("MergeEnv(%q, %q) = %q, want %q", tt.base, tt.over, got, tt.want)
		}
	}
}
