package container

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"nsh/runtime/fault"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func hexID(start string) string { return start + strings.Repeat("0", 64-len(start)) }

func TestNewID(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{64}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if !form.MatchString(id) || seen[id] || !strings.ContainsAny(id[:12], "abcdef") {
			t.Fatalf("NewID() = %q", id)
		}
		seen[id] = true
	}
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, err string }{
		{"web", ""},
		{"a1", ""},
		{"My.web_1-x", ""},
		{"0web", ""},
		{"a", "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"", "Invalid container name (), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"-web", "Invalid container name (-web), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"a b", "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"web\n", "Invalid container name (web\n), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"a/b", "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"ünder", "Invalid container name (ünder), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	} {
		err := ValidateName(tt.name)
		if text(err) != tt.err || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("ValidateName(%q) = %q (%s), want %q", tt.name, text(err), fault.KindOf(err), tt.err)
		}
	}
}

func TestDefaultName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ image, want string }{
		{"docker.io/library/alpine:3.20", "alpine-abcde"},
		{"localhost:5000/me/app", "app-abcde"},
		{"ghcr.io/a/b@sha256:" + hexID("1"), "b-abcde"},
		{"alpine", "alpine-abcde"},
		{"", "untitled-abcde"},
	} {
		if got := DefaultName(tt.image, hexID("abcdef")); got != tt.want {
			t.Errorf("DefaultName(%q) = %q, want %q", tt.image, got, tt.want)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	all := []Container{
		{ID: hexID("abc1"), Name: "web"},
		{ID: hexID("abc2"), Name: "db"},
		{ID: hexID("d1"), Name: "abc1"},
		{ID: hexID("e1"), Name: hexID("abc2")},
	}
	for _, tt := range []struct {
		ref, want, err string
		kind           fault.Kind
	}{
		{ref: "web", want: hexID("abc1")},
		{ref: "/web", want: hexID("abc1")},
		{ref: hexID("abc1"), want: hexID("abc1")},
		{ref: "d", want: hexID("d1")},
		// A name comes before an ID and before a prefix, wherever it is in the list.
		{ref: "abc1", want: hexID("d1")},
		{ref: hexID("abc2"), want: hexID("e1")},
		{ref: "abc", err: "Multiple IDs found with provided prefix: abc", kind: fault.Invalid},
		{ref: "we", err: "No such container: we", kind: fault.NotFound},
		{ref: "nope", err: "No such container: nope", kind: fault.NotFound},
		{ref: "", err: "invalid container name or ID: value is empty", kind: fault.Invalid},
		{ref: "/", err: "invalid container name or ID: value is empty", kind: fault.Invalid},
	} {
		got, err := Resolve(all, tt.ref)
		if got.ID != tt.want || text(err) != tt.err || fault.KindOf(err) != tt.kind {
			t.Errorf("Resolve(%q) = %q, %q (%s); want %q, %q (%s)", tt.ref, got.ID, text(err), fault.KindOf(err), tt.want, tt.err, tt.kind)
		}
	}
}

func TestParseSignal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want syscall.Signal
		err  string
	}{
		{"TERM", syscall.SIGTERM, ""},
		{"SIGTERM", syscall.SIGTERM, ""},
		{"sigusr1", syscall.SIGUSR1, ""},
		{"9", syscall.SIGKILL, ""},
		{"RTMIN+3", 37, ""},
		{"", 0, "invalid signal: "},
		{"0", 0, "invalid signal: 0"},
		{"NOPE", 0, "invalid signal: NOPE"},
		{"-9", 0, "invalid signal: -9"},
		{"64", 64, ""},
		{"65", 0, "invalid signal: 65"},
	} {
		got, err := ParseSignal(tt.in)
		if got != tt.want || text(err) != tt.err {
			t.Errorf("ParseSignal(%q) = %d, %q; want %d, %q", tt.in, got, text(err), tt.want, tt.err)
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	id := hexID("abc")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{NameInUse("web", id), `Conflict. The container name "/web" is already in use by container "` + id + `". You have to remove (or rename) that container to be able to reuse that name.`},
		{NotRunning(id, "web"), "container " + id + " is not running"},
		{CannotKill("web", id), "cannot kill container: web: container " + id + " is not running"},
		{CannotRemove("web", Running), `cannot remove container "web": container is running: stop the container before removing or force remove`},
		{CannotRemove("web", Paused), `cannot remove container "web": container is paused and must be unpaused first`},
		{AlreadyPaused(id), "Container " + id + " is already paused"},
		{NotPaused(id), "Container " + id + " is not paused"},
		{PortInUse(PortMapping{HostPort: 80}), "driver failed programming external connectivity on endpoint: Bind for 0.0.0.0:80 failed: port is already allocated"},
		{PortInUse(PortMapping{HostIP: "127.0.0.1", HostPort: 80}), "driver failed programming external connectivity on endpoint: Bind for 127.0.0.1:80 failed: port is already allocated"},
	} {
		if tt.err.Error() != tt.want || !fault.Is(tt.err, fault.Conflict) {
			t.Errorf("%q (%s), want %q", tt.err, fault.KindOf(tt.err), tt.want)
		}
	}
}
