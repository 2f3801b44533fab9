package containerd

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/go-digest"

	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

func parse(d string) digest.Digest { return digest.Digest(d) }

func lines(removed []image.Removed) string {
	var out []string
	for _, r := range removed {
		if r.Untagged != "" {
			out = append(out, "Untagged: "+r.Untagged)
		}
		if r.Deleted != "" {
			out = append(out, "Deleted: "+r.Deleted)
		}
	}
	return strings.Join(out, "\n")
}

// ID, SHORT and CONFIG stand for the digests of the image.
func TestRemove(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		tags   []string // further names
		used   bool     // by a stopped container
		pinned bool
		ref    string
		opts   image.RemoveOptions
		want   string
		err    string
		left   []string // names
	}{
		{name: "last name", ref: "x:1", want: "Untagged: x:1\nDeleted: ID"},
		{name: "async", ref: "x:1", opts: image.RemoveOptions{Async: true}, want: "Untagged: x:1\nDeleted: ID"},
		{name: "one of two", tags: []string{"y:1"}, ref: "x:1", want: "Untagged: x:1", left: []string{"docker.io/library/y:1"}},
		{name: "by ID", ref: "SHORT", want: "Untagged: x:1\nDeleted: ID"},
		{name: "by ID, two names", tags: []string{"y:1"}, ref: "SHORT",
			err:  "conflict: unable to delete SHORT (must be forced) - image is referenced in multiple repositories",
			left: []string{"docker.io/library/x:1", "docker.io/library/y:1"}},
		{name: "by ID, two names, forced", tags: []string{"y:1"}, ref: "SHORT", opts: image.RemoveOptions{Force: true},
			want: "Untagged: x:1\nUntagged: y:1\nDeleted: ID"},
		{name: "used", used: true, ref: "x:1",
			err:  `conflict: unable to remove repository reference "x:1" (must force) - container c1 is using its referenced image SHORT`,
			left: []string{"docker.io/library/x:1"}},
		{name: "used, by ID", used: true, ref: "SHORT",
			err:  "conflict: unable to delete SHORT (must be forced) - image is being used by stopped container c1",
			left: []string{"docker.io/library/x:1"}},
		{name: "used, one of two", used: true, tags: []string{"y:1"}, ref: "x:1", want: "Untagged: x:1", left: []string{"docker.io/library/y:1"}},
		{name: "used, forced", used: true, ref: "x:1", opts: image.RemoveOptions{Force: true}, want: "Untagged: x:1\nDeleted: ID"},
		{name: "pinned", pinned: true, ref: "x:1", err: "conflict: unable to delete x:1 (must be forced) - image is pinned for Kubernetes",
			left: []string{"docker.io/library/x:1"}},
		{name: "pinned, forced", pinned: true, ref: "x:1", opts: image.RemoveOptions{Force: true}, want: "Untagged: x:1\nDeleted: ID"},
		// As the CRI plugin stores them.
		{name: "last tag of three records", tags: []string{"docker.io/library/x@ID", "CONFIG"}, ref: "x:1",
			want: "Untagged: x:1\nUntagged: x@ID\nDeleted: ID"},
		{name: "missing", ref: "nope", err: "No such image: nope:latest", left: []string{"docker.io/library/x:1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, e, ns := imagesFor(t)
			img := load(t, m, imagetest.OCI(imagetest.Small("amd64", "x", "x:1")), image.LoadOptions{})[0]
			full := strings.NewReplacer("ID", img.ID, "SHORT", image.ShortID(img.ID), "CONFIG", img.ConfigDigest).Replace
			ctx := namespaces.WithNamespace(t.Context(), ns)
			rec, err := m.c.ImageService().Get(ctx, img.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range tt.tags {
				name := full(tag)
				if !strings.Contains(name, "sha256:") {
					name, _ = image.Normalize(name)
				}
				if _, err := m.c.ImageService().Create(ctx, images.Image{Name: name, Target: rec.Target}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.used {
				useImage(t, m.c, "c1", img.Name)
			}
			if tt.pinned {
				rec.Labels = map[string]string{labelPinned: "pinned"}
				if _, err := m.c.ImageService().Update(ctx, rec); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := m.Remove(t.Context(), full(tt.ref), tt.opts)
			if got := lines(removed); got != full(tt.want) || errText(err) != full(tt.err) {
				t.Errorf("got\n%s\n%v\nwant\n%s\n%s", got, err, full(tt.want), full(tt.err))
			}
			if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
				t.Errorf("kind %s", fault.KindOf(err))
			}
			var left []string
			for _, line := range collected(t, e, ns) {
				if name, ok := strings.CutPrefix(line, "image "); ok {
					left = append(left, name)
				} else if strings.HasPrefix(line, "blob ") && len(tt.left) == 0 {
					t.Errorf("left: %s", line)
				}
			}
			if !slices.Equal(left, tt.left) {
				t.Errorf("left %q, want %q", left, tt.left)
			}
		})
	}
}

// A container goes on to count as a user of its image when the name that it
// was made with has moved on.
func TestRemoveAfterNameMoved(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	got := load(t, m, imagetest.OCI(imagetest.Small("amd64", "x", "x:1")), image.LoadOptions{})
	useImage(t, m.c, "c1", got[0].Name)
	if err := m.Tag(t.Context(), "x:1", "kept:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Remove(t.Context(), "x:1", image.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := m.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].InUse {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = m.Remove(t.Context(), "kept:1", image.RemoveOptions{})
	want := `conflict: unable to remove repository reference "kept:1" (must force) - container c1 is using its referenced image ` + image.ShortID(got[0].ID)
	if errText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What a running container was made from cannot go: by name it stays without
// one, by ID nothing happens.
func TestRemoveRunning(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	// Any static program will do: the task is created, which counts.
	img, err := m.Assemble(t.Context(), image.Recipe{Name: "x:1", Files: []image.File{{Path: "/prog", Source: filepath.Join(e.Libexec, "cni", "host-local")}},
		Config: image.Config{Entrypoint: []string{"/prog"}}})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := m.c.GetImage(t.Context(), img.Name)
	if err != nil {
		t.Fatal(err)
	}
	con, err := m.c.NewContainer(t.Context(), "c1", client.WithImage(stored), client.WithSnapshotter("overlayfs"), client.WithNewSnapshot("c1", stored),
		client.WithRuntime("io.containerd.runc.v2", nil), client.WithNewSpec(oci.WithImageConfig(stored)))
	if err != nil {
		t.Fatal(err)
	}
	task, err := con.NewTask(t.Context(), cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = task.Delete(context.WithoutCancel(t.Context()), client.WithProcessKill) }()

	short := image.ShortID(img.ID)
	for _, force := range []bool{false, true} {
		_, err = m.Remove(t.Context(), short, image.RemoveOptions{Force: force})
		want := "conflict: unable to delete " + short + " (cannot be forced) - image is being used by running container c1"
		if errText(err) != want || !fault.Is(err, fault.Conflict) {
			t.Errorf("by ID, force %v: got %v", force, err)
		}
	}
	removed, err := m.Remove(t.Context(), "x:1", image.RemoveOptions{Force: true})
	if err != nil || lines(removed) != "Untagged: x:1" {
		t.Errorf("by name, forced: %q, %v", lines(removed), err)
	}
	leftIs(t, e, ns, "container c1", "image overlayfs@"+img.ID)
	all, err := m.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].InUse || !image.IsDangling(all[0].Name) {
		t.Errorf("%+v, %v", all, err)
	}
}
