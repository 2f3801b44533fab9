package datastore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nsh/runtime/fault"
)

func TestAddressHash(t *testing.T) {
	t.Parallel()
	// nerdctl's, for the address that everybody has.
	if got := AddressHash("unix:///run/containerd/containerd.sock"); got != "1935db59" {
		t.Error(got)
	}
}

var always = func(string) (bool, error) { return true, nil }
var never = func(string) (bool, error) { return false, nil }

// TestTakeName: of many that want a name at once one gets it.
func TestTakeName(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir(), "/x", "default")
	var wg sync.WaitGroup
	var got atomic.Int32
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			n, err := s.TakeName("web", fmt.Sprintf("id%d", i), always)
			if err == nil {
				got.Add(1)
				n.Keep()
				return
			}
			if !fault.Is(err, fault.Conflict) || !strings.HasPrefix(err.Error(), `Conflict. The container name "/web" is already in use by container "id`) {
				t.Errorf("%v", err)
			}
		}()
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d have the name", got.Load())
	}
}

// TestStaleName: a name whose container does not exist is free once it is sure
// that nobody is making it.
func TestStaleName(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir(), "/x", "default")
	making, err := s.TakeName("web", "first", never)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TakeName("web", "second", never); !fault.Is(err, fault.Conflict) {
		t.Errorf("the name of a creation under way was given away: %v", err)
	}
	if busy, err := s.NameBusy("web", 0); err != nil || !busy {
		t.Errorf("busy: %v, %v", busy, err)
	}
	making.Keep() // as the end of the process does, without a container
	start := time.Now()
	n, err := s.TakeName("web", "third", never)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 2*settle {
		t.Errorf("it took %s", d)
	}
	if err := n.Release(); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Names(); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if err := s.ReleaseName("web"); err != nil {
		t.Errorf("a second release: %v", err)
	}
}

func TestDirs(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir(), "/x", "default")
	dir, err := s.MakeDir("abc")
	if err != nil {
		t.Fatal(err)
	}
	for d := dir; d != filepath.Dir(s.Root); d = filepath.Dir(d) {
		if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, st.Mode(), err)
		}
	}
	l := Lifecycle{StartedAt: time.Unix(1700000000, 5).UTC()}
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if got := ReadLifecycle(dir); !got.StartedAt.Equal(l.StartedAt) {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "lifecycle.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ReadLifecycle(dir); !got.StartedAt.IsZero() {
		t.Errorf("an empty file gives %+v", got)
	}
	if ids, err := s.IDs(); err != nil || len(ids) != 1 || ids[0] != "abc" {
		t.Errorf("%v, %v", ids, err)
	}
	for _, bad := range []string{"", "../abc", "a/b"} {
		if err := s.RemoveDir(bad); err == nil {
			t.Errorf("RemoveDir(%q)", bad)
		}
	}
	if err := s.RemoveDir("abc"); err != nil {
		t.Error(err)
	}
}
