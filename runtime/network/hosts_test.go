package network

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"nsh/runtime/container"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestHosts: a container's file follows those that share a network with it, in
// place, and leaves alone what is not between the marks.
func TestHosts(t *testing.T) {
	t.Parallel()
	h := Hosts{Root: t.TempDir(), Namespace: "default"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.Create(HostsEntry{ID: "aa", Name: "web", Hostname: "web-host", Domainname: "example.org", ExtraHosts: []string{"db:10.0.0.9"}, Networks: []string{"blue"}}))
	must(h.Create(HostsEntry{ID: "bb", Name: "api", Hostname: "api-host", Networks: []string{"blue"}}))
	must(h.Create(HostsEntry{ID: "cc", Name: "far", Hostname: "far-host", Networks: []string{"red"}}))
	const alone = "# <nerdctl>\n127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n# </nerdctl>\n"
	if got := read(t, h.Path("bb")); got != alone {
		t.Errorf("before anything runs:\n%s", got)
	}
	own := "# mine\n" + alone + "10.9.9.9\tmine\n"
	must(os.WriteFile(h.Path("bb"), []byte(own), 0o644))
	before, err := os.Stat(h.Path("bb"))
	must(err)

	must(h.SetEndpoints("aa", []container.Endpoint{{Network: "blue", IP: "10.4.1.2"}}))
	must(h.SetEndpoints("bb", []container.Endpoint{{Network: "blue", IP: "10.4.1.3", IP6: "fd00::3"}}))
	want := "# mine\n# <nerdctl>\n127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n" +
		"10.4.1.2\tweb-host.example.org web-host web web.blue\n10.4.1.3\tapi-host api api.blue\nfd00::3\tapi-host api api.blue\n# </nerdctl>\n10.9.9.9\tmine\n"
	if got := read(t, h.Path("bb")); got != want {
		t.Errorf("with both:\n%swant\n%s", got, want)
	}
	after, err := os.Stat(h.Path("bb"))
	must(err)
	if !os.SameFile(before, after) {
		t.Error("the file was replaced: a bind mount shows the old one")
	}
	if got := read(t, h.Path("cc")); got != alone {
		t.Errorf("another network's:\n%s", got)
	}
	must(h.Rename("aa", "www"))
	must(h.SetEndpoints("bb", nil))
	want = "# mine\n# <nerdctl>\n127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n10.4.1.2\tweb-host.example.org web-host www www.blue\n# </nerdctl>\n10.9.9.9\tmine\n"
	if got := read(t, h.Path("bb")); got != want {
		t.Errorf("after a rename:\n%swant\n%s", got, want)
	}
	must(h.Remove("aa"))
	must(h.Remove("aa"))
	if got := read(t, h.Path("bb")); got != own {
		t.Errorf("alone again:\n%s", got)
	}
	// A broken neighbour is no reason to fail.
	must(os.WriteFile(h.metaPath("cc"), []byte("{"), 0o600))
	must(h.SetEndpoints("bb", []container.Endpoint{{Network: "blue", IP: "10.4.1.4"}}))
}

func TestHostsAtOnce(t *testing.T) {
	t.Parallel()
	h := Hosts{Root: t.TempDir(), Namespace: "default"}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			id := string(rune('a' + i))
			if err := h.Create(HostsEntry{ID: id, Name: "n" + id, Hostname: "h" + id, Networks: []string{"x"}}); err != nil {
				t.Error(err)
			}
			if err := h.SetEndpoints(id, []container.Endpoint{{Network: "x", IP: "10.0.0." + id}}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	first := read(t, h.Path("a"))
	for i := range 20 {
		if got := read(t, h.Path(string(rune('a'+i)))); got != first {
			t.Errorf("%s\nis not\n%s", got, first)
		}
	}
}

func TestResolvConf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    ResolvOptions
		want string
		err  string
	}{
		{ResolvOptions{Servers: []string{"10.0.0.1", "fd00::1"}, Search: []string{"a.example", "b.example"}, Options: []string{"ndots:2"}}, "search a.example b.example\nnameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:2\n", ""},
		{ResolvOptions{Servers: []string{"10.0.0.1"}, Search: []string{"."}, Options: []string{"rotate"}}, "nameserver 10.0.0.1\noptions rotate\n", ""},
		{ResolvOptions{Servers: []string{"nope"}}, "", "nope is not an ip address"},
	} {
		got, _, err := ResolvConf(tt.o)
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || string(got) != tt.want {
			t.Errorf("%+v: %q, %v", tt.o, got, err)
		}
	}
	servers, search, options := parseResolv([]byte("# c\nnameserver 1.1.1.1 ; x\ndomain old\nsearch a b\noptions x\noptions y z\nnameserver\n"))
	if len(servers) != 1 || servers[0] != "1.1.1.1" || len(search) != 2 || search[0] != "a" || len(options) != 3 {
		t.Errorf("%v %v %v", servers, search, options)
	}
	if !local([]string{"127.0.0.53"}) || local([]string{"127.0.0.53", "1.1.1.1"}) || local(nil) {
		t.Error("local")
	}
}

// TestDefaultNetwork: many makers at once write one file, a list of nerdctl's form.
func TestDefaultNetwork(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "net.d")
	c := &CNI{Conf: dir, BridgeIP: "10.213.7.1/24", Leases: "/var/lib/cni/networks"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l, err := c.list(t.Context(), "default", "bridge")
			if err != nil || l.Name != "bridge" || len(l.Plugins) != 4 {
				t.Errorf("%+v, %v", l, err)
			}
		}()
	}
	wg.Wait()
	if files, _ := os.ReadDir(dir); fmt.Sprint(files) != "[- .cni-concurrency.lock - nerdctl-bridge.conflist]" {
		t.Errorf("%v", files)
	}
	if _, err := c.list(t.Context(), "default", "nosuch"); err == nil || err.Error() != "network nosuch not found" {
		t.Error(err)
	}
	l, err := c.list(t.Context(), "default", "bridge")
	if err != nil {
		t.Fatal(err)
	}
	c.needed(l, false)
	var kinds []string
	for _, p := range l.Plugins {
		kinds = append(kinds, p.Network.Type)
	}
	if len(kinds) != 2 || kinds[0] != "bridge" || kinds[1] != "firewall" {
		t.Errorf("without ports %v do the work", kinds)
	}
}
