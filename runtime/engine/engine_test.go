package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestResolve: flag over environment over file over default.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nerdctl.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, kv := range []string{"CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE", "CONTAINERD_SNAPSHOTTER", "CNI_PATH", "NETCONFPATH", "NERDCTL_EXPERIMENTAL", "NERDCTL_HOST_GATEWAY_IP", "NERDCTL_BRIDGE_IP"} {
		t.Setenv(kv, "")
	}
	t.Setenv("NERDCTL_TOML", path)
	resolve := func(args ...string) (Settings, error) {
		t.Helper()
		var f Flags
		set := pflag.NewFlagSet("nsh", pflag.ContinueOnError)
		f.Register(set, true)
		if err := set.Parse(args); err != nil {
			return Settings{}, err
		}
		return Resolve(f)
	}
	s, err := resolve()
	if err != nil || s.Namespace != "default" || s.Snapshotter != "overlayfs" || !s.Experimental || s.DataRoot != "/var/lib/nerdctl" || strings.Join(s.HostsDir, ",") != "/etc/containerd/certs.d,/etc/docker/certs.d" {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	write("namespace = \"file\"\nsnapshotter = \"native\"\nhosts_dir = [\"/a\", \"/b\"]\ndebug = true\n")
	if s, err = resolve(); err != nil || s.Namespace != "file" || s.Snapshotter != "native" || !s.Debug || strings.Join(s.HostsDir, ",") != "/a,/b" {
		t.Errorf("file: %+v, %v", s, err)
	}
	t.Setenv("CONTAINERD_NAMESPACE", "env")
	if s, err = resolve(); err != nil || s.Namespace != "env" || s.Snapshotter != "native" {
		t.Errorf("environment: %+v, %v", s, err)
	}
	if s, err = resolve("-n", "flag", "-H", "unix:///x/y", "--hosts-dir", "/c", "--hosts-dir=/d", "--debug=false"); err != nil || s.Namespace != "flag" || s.Address != "/x/y" || strings.Join(s.HostsDir, ",") != "/c,/d" || s.Debug {
		t.Errorf("flags: %+v, %v", s, err)
	}
	for _, tt := range []struct {
		toml string
		args []string
		want string
	}{
		{"nmespace = \"x\"\n", nil, path + `: unknown key "nmespace"`},
		{"debug = \"maybe\"\n", nil, path + `: debug: "maybe" is neither true nor false`},
		{"", []string{"--namespace", "a/b"}, `invalid argument "a/b" for "-n, --namespace" flag: "a/b" is no name of a namespace: it becomes the name of a directory`},
		{"", []string{"-a", "tcp://1.2.3.4:5"}, `invalid argument "tcp://1.2.3.4:5" for "-a, --address" flag: "tcp://1.2.3.4:5" is no address of containerd: only unix:// sockets are`},
		{"", []string{"--cgroup-manager", "x"}, `invalid argument "x" for "--cgroup-manager" flag: "x" is no cgroup manager: they are cgroupfs, systemd and none`},
	} {
		write(tt.toml)
		if _, err := resolve(tt.args...); err == nil || err.Error() != tt.want {
			t.Errorf("%q %v: %v, want %s", tt.toml, tt.args, err, tt.want)
		}
	}
}

// TestPid: a pid file whose process is another one by now names nobody.
func TestPid(t *testing.T) {
	t.Parallel()
	l := Layout{Root: t.TempDir(), State: t.TempDir()}
	if l.pid() != 0 {
		t.Error("no file")
	}
	if err := l.writePid(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if l.pid() != os.Getpid() {
		t.Error("this process")
	}
	if err := os.WriteFile(l.pidPath(), []byte("1 12345\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.pid() != 0 {
		t.Error("pid 1")
	}
	if err := os.WriteFile(l.pidPath(), []byte("2 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.pid() != 0 {
		t.Error("another process's start time")
	}
	if st := l.Status(); st.Running || st.Pid != 0 {
		t.Errorf("%+v", st)
	}
}
