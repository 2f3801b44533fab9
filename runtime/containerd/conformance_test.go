package containerd

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"nsh/runtime/conformance"
	"nsh/runtime/container"
	"nsh/runtime/engine"
	"nsh/runtime/enginetest"
	"nsh/runtime/image"
	"nsh/runtime/network"
)

// applets of busybox that the suite uses.
var applets = []string{"sh", "ash", "echo", "cat", "sleep", "kill", "id", "true", "false", "ls", "wc", "env", "pwd", "test", "seq", "head", "tail", "ps", "touch", "rm", "mkdir", "hostname", "stty", "tr", "dd", "printf", "grep", "sed", "sort", "date", "stat", "tee", "yes", "nproc", "ip", "nc", "httpd", "wget"}

// TestConformance holds containerd to what every engine promises.
func TestConformance(t *testing.T) {
	t.Parallel()
	e := enginetest.Start(t)
	conformance.Run(t, func(t *testing.T) conformance.Instance {
		s := engine.Settings{
			Address: e.Address, Namespace: e.Namespace(t), Snapshotter: "overlayfs", CgroupManager: "cgroupfs", DataRoot: t.TempDir(),
			CNIPath: filepath.Join(e.Libexec, "cni"), CNINetconfPath: "/etc/cni/net.d", Helper: filepath.Join(e.Libexec, "nsh-helper"),
		}
		eng, err := Open(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			all, err := eng.Containers.List(ctx, container.ListOptions{All: true})
			if err != nil {
				t.Error(err)
			}
			for _, c := range all {
				if err := eng.Containers.Remove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
					t.Errorf("remove %s: %v", c.Name, err)
				}
			}
			nets, err := eng.Networks.List(ctx, network.ListOptions{})
			if err != nil {
				t.Error(err)
			}
			for _, n := range nets {
				if !n.Predefined() {
					if err := eng.Networks.Remove(ctx, n.Name); err != nil {
						t.Errorf("remove %s: %v", n.Name, err)
					}
				}
			}
			if err := eng.Close(); err != nil {
				t.Error(err)
			}
		})
		recipe := image.Recipe{
			Name: "busybox:conformance",
			Files: []image.File{
				{Path: "/bin/busybox", Source: "/bin/busybox", Mode: 0o755},
				{Path: "/tmp", Directory: true, Mode: 0o1777},
				{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
				{Path: "/etc/group", Content: []byte("root:x:0:\nnogroup:x:65534:\n")},
			},
			Config: image.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}},
		}
		for _, a := range applets {
			recipe.Files = append(recipe.Files, image.File{Path: "/bin/" + a, Link: "busybox"})
		}
		img, err := eng.Images.Assemble(t.Context(), recipe)
		if err != nil {
			t.Fatal(err)
		}
		return conformance.Instance{Containers: eng.Containers, Images: eng.Images, Volumes: eng.Volumes, Networks: eng.Networks, System: eng.System, Image: img.Name}
	})
}
