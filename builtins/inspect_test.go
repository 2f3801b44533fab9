package builtins

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/image"
)

var update = flag.Bool("update", false, "write the golden files of inspect anew")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	i, err := newInspected(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := showInspected(&Call{Stdout: &b}, "", []Inspected{i}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ptr[T any](v T) *T { return &v }

var detail = container.Detail{
	Container: container.Container{
		ID: "0123456789abcdef", Name: "web", Image: "nginx:1.27", ImageID: "sha256:11", Created: time.Unix(1700000000, 5).UTC(), Status: container.Running, Pid: 42,
		StartedAt: time.Unix(1700000001, 0).UTC(), Restarts: 2, Args: []string{"/entry", "nginx", "-g", "daemon off;"}, Labels: map[string]string{"tier": "<web>"},
		Networks: []container.Endpoint{{Network: "bridge", Interface: "eth0", IP: "10.4.0.2", PrefixLen: 24, Gateway: "10.4.0.1", MAC: "aa:bb:cc:dd:ee:ff"}},
		Ports: []container.PortMapping{
			{HostIP: "0.0.0.0", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
			{HostIP: "::", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
			{ContainerPort: 443, Protocol: "tcp"},
		},
		Mounts:  []container.Mount{{Type: "volume", Name: "data", Source: "/v/data/_data", Destination: "/data", RW: true}, {Type: "bind", Source: "/srv", Destination: "/srv", Mode: "ro", Propagation: "rprivate"}},
		Runtime: "io.containerd.runc.v2", Snapshotter: "overlayfs", Platform: "linux/amd64", Size: &container.Size{Writable: 5, Virtual: 100},
	},
	Spec: container.Spec{
		Command: []string{"nginx", "-g", "daemon off;"}, Env: []string{"A=1"}, User: "33", StopTimeout: ptr(3), Hostname: "web", Expose: []string{"443"},
		Ports:  []container.PortMapping{{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"}},
		Mounts: []container.Mount{{Type: "volume", Name: "data", Destination: "/data"}, {Type: "bind", Source: "/srv", Destination: "/srv", Mode: "ro"}, {Type: "tmpfs", Destination: "/tmp", Mode: "size=1m"}},
		Resources: container.Resources{
			CPUs: 1.5, Memory: 64 << 20, PidsLimit: 100, OOMScoreAdj: ptr(10), BlkioWeightDevice: []string{"/dev/sda:100"}, DeviceReadBps: []string{"/dev/sda:1mb"},
			Devices: []container.Device{{Host: "/dev/fuse", Container: "/dev/fuse", Permissions: "rwm"}},
		},
		Security: container.Security{CapAdd: []string{"NET_ADMIN"}, Seccomp: "unconfined", NoNewPrivileges: true},
		Init:     true, Sysctls: map[string]string{"net.ipv4.ip_forward": "1"}, Ulimits: []container.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}},
	},
	ResolvConf: "/state/resolv.conf", HostsPath: "/etchosts/hosts", Hostname: "/state/hostname", LogPath: "/state/log.json", NetNS: "/proc/42/ns/net",
}

// The JSON is checked in, so that a change of it is a change that one sees. A
// null where docker has one, and a list where it has a list, is on purpose.
func TestInspectContainerJSON(t *testing.T) {
	t.Parallel()
	golden(t, "inspect-container.json", indented(t, dockerContainer(detail, &image.Config{
		Entrypoint: []string{"/entry"}, Cmd: []string{"default"}, Env: []string{"A=0", "PATH=/bin"}, ExposedPorts: []string{"80/tcp"}, Volumes: []string{"/data"},
		Labels: map[string]string{"tier": "image", "maintainer": "me"}, WorkingDir: "/srv", StopSignal: "SIGQUIT",
	})))
	// Nothing but defaults, the image gone, never started.
	golden(t, "inspect-created.json", indented(t, dockerContainer(container.Detail{Container: container.Container{
		ID: "fedcba9876543210", Name: "plain", Image: "alpine", Created: time.Unix(1700000000, 0).UTC(), Status: container.Created, Args: []string{"sh"}, Platform: "linux/amd64",
		Networks: []container.Endpoint{{Network: "none"}}, Snapshotter: "overlayfs", Runtime: "io.containerd.runc.v2",
	}}, nil)))
}

func TestInspectImageJSON(t *testing.T) {
	t.Parallel()
	golden(t, "inspect-image.json", indented(t, dockerImage(image.Detail{
		Image:    image.Image{ID: "sha256:11", Created: time.Unix(1700000000, 0), Size: 77},
		RepoTags: []string{"alpine:3.20"}, RepoDigests: []string{"alpine@sha256:11"}, Author: "me", Comment: "made", Architecture: "amd64", OS: "linux", Layers: []string{"sha256:22"},
		Config: image.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}, ExposedPorts: []string{"80/tcp"}, Labels: map[string]string{"a": "b"}, Healthcheck: &image.Healthcheck{Test: []string{"NONE"}}},
		Target: image.Target{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: "sha256:11", Size: 500}, Tagged: time.Unix(1700000002, 0).UTC(),
	}, "overlayfs")))
}
