package enginetest_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/leases"

	"nsh/runtime/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

func TestNamespacesAreApart(t *testing.T) {
	t.Parallel()
	e := enginetest.Start(t)
	one, two := e.Namespace(t), e.Namespace(t)
	if _, err := e.Client(t, one).LeasesService().Create(t.Context(), leases.WithID("mine")); err != nil {
		t.Fatal(err)
	}
	if got, want := e.Left(t, one), []string{"lease mine"}; !slices.Equal(got, want) {
		t.Errorf("first namespace holds %q, want %q", got, want)
	}
	if got := e.Left(t, two); len(got) != 0 {
		t.Errorf("second namespace holds %q", got)
	}
}

// What a test left in its namespace goes when it ends, the namespace too.
func TestNamespaceIsCleared(t *testing.T) {
	e := enginetest.Start(t)
	var ns string
	t.Run("inner", func(t *testing.T) {
		ns = e.Namespace(t)
		if _, err := e.Client(t, ns).LeasesService().Create(t.Context(), leases.WithRandomID(), leases.WithExpiration(time.Hour)); err != nil {
			t.Fatal(err)
		}
	})
	all, err := e.Client(t, ns).NamespaceService().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(all, ns) {
		t.Errorf("namespace %s is still there", ns)
	}
}

// A killed engine comes back with its state, and leaves nothing when stopped.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	var root string
	t.Run("inner", func(t *testing.T) {
		e := enginetest.New(t)
		root = e.Root
		if _, err := e.Client(t, "x").LeasesService().Create(t.Context(), leases.WithID("kept")); err != nil {
			t.Fatal(err)
		}
		e.Kill()
		if err := e.Restart(); err != nil {
			t.Fatal(err)
		}
		if got, want := e.Left(t, "x"), []string{"lease kept"}; !slices.Equal(got, want) {
			t.Errorf("after the restart: %q, want %q", got, want)
		}
	})
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", root, err)
	}
}
