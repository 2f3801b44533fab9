package containerd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/go-digest"

	"nsh/runtime/engine"
)

const killedLoadEnv = "NSH_TEST_KILLED_LOAD"

// TestKilledLoad is a load that is killed in the middle: this test runs itself
// as that process.
func TestKilledLoad(t *testing.T) {
	if address := os.Getenv(killedLoadEnv); address != "" {
		killedLoad(t, address)
		return
	}
	t.Parallel()
	m, e, ns := imagesFor(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledLoad$")
	cmd.Env = append(os.Environ(), killedLoadEnv+"="+e.Address+" "+ns)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the load was not killed: %v\n%s", err, out)
	}
	// One at work is not touched.
	_, done, err := m.hold(m.in(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer done(false)
	if left := e.Left(t, ns); len(left) != 3 {
		t.Errorf("before: %q, want two leases and a blob", left)
	}
	for i, want := range []int{1, 1, 0} {
		found, err := m.Leftovers(t.Context(), i == 0)
		if err != nil || len(found) != want {
			t.Errorf("call %d: %+v, %v; want %d", i, found, err, want)
		}
	}
	if left := e.Left(t, ns); len(left) != 1 {
		t.Errorf("after: %q, want one lease", left)
	}
}

func killedLoad(t *testing.T, where string) {
	address, ns, _ := strings.Cut(where, " ")
	c, err := client.New(address, client.WithDefaultNamespace(ns))
	if err != nil {
		t.Fatal(err)
	}
	m := NewImages(c, engine.Settings{Namespace: ns, Snapshotter: "overlayfs"})
	ctx, _, err := m.hold(m.in(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("half an image")
	if err := m.store(ctx, digest.FromBytes(data), int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	self, _ := os.FindProcess(os.Getpid())
	_ = self.Kill()
	select {}
}

func TestAbandoned(t *testing.T) {
	t.Parallel()
	own := holder(os.Getpid())
	ns, rest, _ := strings.Cut(own, " ")
	_, start, _ := strings.Cut(rest, " ")
	for label, want := range map[string]bool{
		own:                       false,
		"":                        false,
		"nonsense":                false,
		ns + " 4194303 1":         true,
		ns + " 1 " + start + "99": true, // PID 1 is there, with another start time
		"pid:[1] 4194303 1":       false,
	} {
		if got := abandoned(label); got != want {
			t.Errorf("%q: %v, want %v", label, got, want)
		}
	}
}
