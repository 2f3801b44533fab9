package image

import (
	"strings"
	"testing"

	"nsh/runtime/fault"
)

const hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want, err string }{
		{in: "alpine", want: "docker.io/library/alpine:latest"},
		{in: "alpine:3.20", want: "docker.io/library/alpine:3.20"},
		{in: "me/app", want: "docker.io/me/app:latest"},
		{in: "index.docker.io/me/app", want: "docker.io/me/app:latest"},
		{in: "localhost/app", want: "localhost/app:latest"},
		{in: "localhost:5000/app:v1", want: "localhost:5000/app:v1"},
		{in: "ghcr.io/a/b/c@sha256:" + hexA, want: "ghcr.io/a/b/c@sha256:" + hexA},
		{in: "alpine:3.20@sha256:" + hexA, want: "docker.io/library/alpine@sha256:" + hexA},
		{in: "", err: "invalid reference format"},
		{in: "a b", err: "invalid reference format"},
		{in: "-x", err: "invalid reference format"},
		{in: "alpine:", err: "invalid reference format"},
		{in: "alpine@sha256:12", err: "invalid reference format"},
		{in: "../etc/passwd", err: "invalid reference format"},
		{in: "Foo", err: "invalid reference format: repository name (library/Foo) must be lowercase"},
		{in: "localhost:5000/Foo:V1", err: "invalid reference format: repository name (Foo) must be lowercase"},
		{in: hexA, err: "invalid repository name (" + hexA + "), cannot specify 64-byte hexadecimal strings"},
	} {
		got, err := Normalize(tt.in)
		if got != tt.want || text(err) != tt.err {
			t.Errorf("Normalize(%q) = %q, %q; want %q, %q", tt.in, got, text(err), tt.want, tt.err)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("Normalize(%q) is of kind %s", tt.in, fault.KindOf(err))
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stored, familiar string
		name             Name
		dangling         bool
	}{
		{"docker.io/library/alpine:3.20", "alpine:3.20", Name{"alpine", "3.20", ""}, false},
		{"docker.io/me/app:latest", "me/app:latest", Name{"me/app", "latest", ""}, false},
		{"localhost:5000/app:v1", "localhost:5000/app:v1", Name{"localhost:5000/app", "v1", ""}, false},
		{"ghcr.io/a/b@sha256:" + hexA, "ghcr.io/a/b@sha256:" + hexA, Name{"ghcr.io/a/b", "", "sha256:" + hexA}, false},
		{"docker.io/library/alpine@sha256:" + hexA, "alpine@sha256:" + hexA, Name{"alpine", "", "sha256:" + hexA}, false},
		// Made by `ctr image tag`, which takes anything.
		{"mine", "mine", Name{"mine", "", ""}, false},
		{"mine:1", "mine:1", Name{"mine", "1", ""}, false},
		{"overlayfs@sha256:" + hexA, "overlayfs@sha256:" + hexA, Name{}, true},
		{"moby-dangling@sha256:" + hexA, "moby-dangling@sha256:" + hexA, Name{}, true},
		{"sha256:" + hexA, "sha256:" + hexA, Name{}, true},
	} {
		if got := Familiar(tt.stored); got != tt.familiar {
			t.Errorf("Familiar(%q) = %q, want %q", tt.stored, got, tt.familiar)
		}
		name, ok := ParseName(tt.stored)
		if name != tt.name || ok == tt.dangling {
			t.Errorf("ParseName(%q) = %+v, %v; want %+v, %v", tt.stored, name, ok, tt.name, !tt.dangling)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	id := func(start string) string { return "sha256:" + start + strings.Repeat("0", 64-len(start)) }
	all := []Image{
		{Name: "docker.io/library/alpine:latest", ID: id("abc1"), ConfigDigest: id("c1")},
		{Name: "docker.io/library/alpine:3.20", ID: id("abc1"), ConfigDigest: id("c1")},
		{Name: "docker.io/library/beef:latest", ID: id("abc2"), ConfigDigest: id("c2")},
		{Name: "ctrname", ID: id("d1")},
		{Name: "overlayfs@" + id("e1"), ID: id("e1")},
	}
	for _, tt := range []struct {
		ref    string
		names  string
		byName bool
		err    string
	}{
		{ref: "alpine", names: "docker.io/library/alpine:latest", byName: true},
		{ref: "docker.io/library/alpine:3.20", names: "docker.io/library/alpine:3.20", byName: true},
		{ref: "alpine@" + id("abc1"), names: "docker.io/library/alpine:latest", byName: true},
		{ref: "ctrname", names: "ctrname", byName: true},
		// A name wins over the prefix of an ID.
		{ref: "beef", names: "docker.io/library/beef:latest", byName: true},
		{ref: "abc1", names: "docker.io/library/alpine:latest docker.io/library/alpine:3.20"},
		{ref: "sha256:abc2", names: "docker.io/library/beef:latest"},
		{ref: id("e1"), names: "overlayfs@" + id("e1")},
		{ref: "c2", names: "docker.io/library/beef:latest"},
		{ref: "abc", err: "multiple IDs found with provided prefix: abc"},
		{ref: "nope", err: "No such image: nope:latest"},
		{ref: "ghcr.io/x/y:1", err: "No such image: ghcr.io/x/y:1"},
		{ref: "fff", err: "No such image: fff:latest"},
		{ref: id("f"), err: "No such image: " + id("f")},
		{ref: "sha256:ff", err: "No such image: sha256:ff"},
		{ref: "Foo", err: "invalid reference format: repository name (library/Foo) must be lowercase"},
		{ref: "", err: "invalid reference format"},
	} {
		m, err := Find(tt.ref, all)
		var names []string
		for _, img := range m.Images {
			names = append(names, img.Name)
		}
		if got := strings.Join(names, " "); got != tt.names || m.ByName != tt.byName || text(err) != tt.err {
			t.Errorf("Find(%q) = %q, by name %v, %q; want %q, %v, %q", tt.ref, got, m.ByName, text(err), tt.names, tt.byName, tt.err)
		}
	}
}

// A name that is in normal form stays as it is, and its parts put together
// again are what the user could have typed.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"alpine", "localhost:5000/a/b:c", "a@sha256:" + hexA, "A", "x:y@sha256:" + hexA, "docker.io/library/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Normalize(s)
		if err != nil {
			return
		}
		again, err := Normalize(name)
		if err != nil || again != name {
			t.Errorf("Normalize(%q) = %q, again %q, %v", s, name, again, err)
		}
		familiar, err := Normalize(Familiar(name))
		if err != nil || familiar != name {
			t.Errorf("%q is %q for people, which is %q, %v", name, Familiar(name), familiar, err)
		}
		if parts, ok := ParseName(name); !ok || (parts.Tag == "") == (parts.Digest == "") {
			t.Errorf("ParseName(%q) = %+v, %v", name, parts, ok)
		}
	})
}
