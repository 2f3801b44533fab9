package containerd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"

	"nsh/runtime/engine"
	"nsh/runtime/enginetest"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

// imagesFor gives an image service in a namespace of the test's own.
func imagesFor(t testing.TB) (*Images, *enginetest.Engine, string) {
	t.Helper()
	e := enginetest.Start(t)
	ns := e.Namespace(t)
	return NewImages(e.Client(t, ns), engine.Settings{Address: e.Address, Namespace: ns, Snapshotter: "overlayfs"}), e, ns
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// collected runs the collector and lists what is left.
func collected(t testing.TB, e *enginetest.Engine, ns string) []string {
	t.Helper()
	c := e.Client(t, ns)
	ctx := namespaces.WithNamespace(t.Context(), ns)
	l, err := c.LeasesService().Create(ctx, leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LeasesService().Delete(ctx, l, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
	return e.Left(t, ns)
}

// leftIs compares what a namespace holds, but for blobs and snapshots of
// images that are there.
func leftIs(t testing.TB, e *enginetest.Engine, ns string, want ...string) {
	t.Helper()
	var got []string
	for _, line := range collected(t, e, ns) {
		if len(want) > 0 && (strings.HasPrefix(line, "blob ") || strings.HasPrefix(line, "snapshot ")) {
			continue
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("left:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func load(t testing.TB, m *Images, entries []imagetest.Entry, opts image.LoadOptions) []image.Image {
	t.Helper()
	out, err := m.Load(t.Context(), bytes.NewReader(imagetest.Tar(entries...)), opts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func names(all []image.Image) []string {
	var out []string
	for _, img := range all {
		out = append(out, img.Name)
	}
	return out
}

// container makes a record of a container on an image, with its snapshot.
func useImage(t testing.TB, c *client.Client, id, name string) {
	t.Helper()
	img, err := c.GetImage(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.NewContainer(t.Context(), id, client.WithImage(img), client.WithSnapshotter("overlayfs"),
		client.WithNewSnapshot(id, img), client.WithRuntime("io.containerd.runc.v2", nil)); err != nil {
		t.Fatal(err)
	}
}

func TestLoadAndList(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	one, two := imagetest.Small("amd64", "one", "one:1", "localhost:5000/one:x"), imagetest.Small("amd64", "two", "two:latest")
	two.Compress = true
	unnamed := imagetest.Small("amd64", "unnamed")
	got := load(t, m, imagetest.OCI(one, two, unnamed), image.LoadOptions{})
	dangling := "overlayfs@" + got[3].ID
	want := []string{"docker.io/library/one:1", "localhost:5000/one:x", "docker.io/library/two:latest", dangling}
	if !slices.Equal(names(got), want) {
		t.Fatalf("loaded %q, want %q", names(got), want)
	}
	for _, img := range got {
		if img.Size == 0 || img.Content == 0 || img.Platform != "linux/amd64" || img.Missing != "" || img.Created.Unix() != 1700000000 {
			t.Errorf("%+v", img)
		}
	}
	useImage(t, m.c, "c1", "docker.io/library/two:latest")

	all, err := m.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if !slices.Equal(names(all), want) {
		t.Errorf("list %q, want %q", names(all), want)
	}
	for _, img := range all {
		if used := img.Name == "docker.io/library/two:latest"; img.InUse != used {
			t.Errorf("%s: in use %v", img.Name, img.InUse)
		}
		one, err := m.Get(t.Context(), img.Name)
		if err != nil || one.ID != img.ID || one.Size != img.Size || one.Content != img.Content || one.InUse != img.InUse {
			t.Errorf("Get gives %+v, %v; List %+v", one, err, img)
		}
		if one, err = m.Get(t.Context(), image.ShortID(img.ID)); err != nil || one.ID != img.ID {
			t.Errorf("Get by ID gives %+v, %v", one, err)
		}
		if one, err = m.Get(t.Context(), image.ShortID(img.ConfigDigest)); err != nil || one.ID != img.ID {
			t.Errorf("Get by config gives %+v, %v", one, err)
		}
	}
	leftIs(t, e, ns, append([]string{"container c1"}, prefixed("image ", want)...)...)
}

func prefixed(p string, all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, p+s)
	}
	return out
}

func TestLoadDockerArchive(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	one := imagetest.Small("amd64", "one", "one:1")
	got, err := m.Load(t.Context(), bytes.NewReader(imagetest.Gzip(imagetest.Tar(imagetest.Docker(one)...))), image.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What ctr makes of the same archive.
	imported, err := m.c.Import(namespaces.WithNamespace(t.Context(), ns), bytes.NewReader(imagetest.Tar(imagetest.Docker(one)...)))
	if err != nil {
		t.Fatal(err)
	}
	if imported[0].Target.Digest.String() != got[0].ID || imported[0].Name != got[0].Name {
		t.Errorf("nsh makes %s %s, ctr %s %s", got[0].Name, got[0].ID, imported[0].Name, imported[0].Target.Digest)
	}
	leftIs(t, e, ns, "image docker.io/library/one:1")
}

func TestLoadHostile(t *testing.T) {
	t.Parallel()
	for _, h := range imagetest.HostileArchives() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			m, e, ns := imagesFor(t)
			_, err := m.Load(t.Context(), bytes.NewReader(h.Archive), image.LoadOptions{})
			if errText(err) != h.Error || !fault.Is(err, fault.Invalid) {
				t.Errorf("got  %v (%s)\nwant %s", err, fault.KindOf(err), h.Error)
			}
			// Not even the collector has to be asked.
			if left := e.Left(t, ns); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// A layer that is not what the config says is found by unpacking it.
func TestLoadWrongDiffID(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	img := imagetest.Small("amd64", "x", "x:1")
	img.DiffIDs = []string{"sha256:" + strings.Repeat("0", 64)}
	_, err := m.Load(t.Context(), bytes.NewReader(imagetest.Tar(imagetest.OCI(img)...)), image.LoadOptions{})
	if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(errText(err), "a layer is not what the image's config says: ") {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	leftIs(t, e, ns)
}

// A source that never ends does not keep a cancelled load.
func TestLoadCancelled(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	archive := imagetest.Tar(imagetest.OCI(imagetest.Small("amd64", strings.Repeat("x", 1<<20), "x:1"))...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	go func() { _, _ = w.Write(archive[:len(archive)/2]) }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = m.Load(ctx, r, image.LoadOptions{})
	if !fault.Is(err, fault.Timeout) || time.Since(start) > 5*time.Second {
		t.Errorf("got %v (%s) after %v", err, fault.KindOf(err), time.Since(start))
	}
	if left := e.Left(t, ns); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Only what was asked for of an image for several platforms has to be there.
func TestLoadPlatforms(t *testing.T) {
	t.Parallel()
	amd, arm := imagetest.Small("amd64", "a"), imagetest.Small("arm64", "b")
	for _, tt := range []struct {
		name     string
		here     int
		opts     image.LoadOptions
		platform string
		err      string
	}{
		{"host's", 1, image.LoadOptions{}, "linux/amd64", ""},
		{"both", 2, image.LoadOptions{AllPlatforms: true}, "linux/amd64", ""},
		{"the other", 2, image.LoadOptions{Platforms: []string{"linux/arm64"}}, "linux/amd64", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, e, ns := imagesFor(t)
			got := load(t, m, imagetest.OCIIndex("multi:1", tt.here, amd, arm), tt.opts)
			if got[0].Platform != tt.platform {
				t.Errorf("platform %s, want %s", got[0].Platform, tt.platform)
			}
			leftIs(t, e, ns, "image docker.io/library/multi:1")
		})
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	load(t, m, imagetest.OCIIndex("multi:1", 2, imagetest.Small("amd64", "a"), imagetest.Small("arm64", "bb")), image.LoadOptions{AllPlatforms: true})
	if err := m.Tag(t.Context(), "multi:1", "localhost:5000/other"); err != nil {
		t.Fatal(err)
	}
	d, err := m.Inspect(t.Context(), "multi:1", "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.RepoTags, []string{"multi:1", "localhost:5000/other:latest"}) ||
		!slices.Equal(d.RepoDigests, []string{"multi@" + d.ID, "localhost:5000/other@" + d.ID}) {
		t.Errorf("tags %q, digests %q", d.RepoTags, d.RepoDigests)
	}
	if d.Architecture != "amd64" || d.OS != "linux" || len(d.Layers) != 1 || !slices.Equal(d.Config.Cmd, []string{"/file"}) ||
		d.Target.MediaType != "application/vnd.oci.image.index.v1+json" || d.Native == nil {
		t.Errorf("%+v", d)
	}
	if d, err = m.Inspect(t.Context(), "multi:1", "linux/arm64"); err != nil || d.Architecture != "arm64" {
		t.Errorf("arm64: %+v, %v", d, err)
	}
	_, err = m.Inspect(t.Context(), "multi:1", "linux/s390x")
	if want := "image with reference multi:1 was found but does not provide the specified platform (linux/s390x)"; errText(err) != want || !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Inspect(t.Context(), "nope", ""); errText(err) != "No such image: nope:latest" || !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

// An image of which blobs are gone is a row that says so.
func TestListIncomplete(t *testing.T) {
	t.Parallel()
	m, _, ns := imagesFor(t)
	img := imagetest.Small("amd64", "a", "x:1")
	load(t, m, imagetest.OCI(img), image.LoadOptions{})
	ctx := namespaces.WithNamespace(t.Context(), ns)
	for _, step := range []struct{ gone, missing string }{
		{imagetest.Digest(img.Layers[0]), "linux/amd64: layer " + imagetest.Digest(img.Layers[0])},
		// Without its config nothing tells the platform.
		{imagetest.Digest(img.Config()), "config " + imagetest.Digest(img.Config())},
		{imagetest.Digest(img.Manifest()), "manifest " + imagetest.Digest(img.Manifest())},
	} {
		if err := m.c.ContentStore().Delete(ctx, parse(step.gone)); err != nil {
			t.Fatal(err)
		}
		all, err := m.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Missing != step.missing {
			t.Fatalf("%+v, %v; want missing %q", all, err, step.missing)
		}
		var buf bytes.Buffer
		err = m.Save(t.Context(), &buf, []string{"x:1"}, image.SaveOptions{})
		if !fault.Is(err, fault.NotFound) || !strings.Contains(errText(err), step.gone) || buf.Len() > 0 || fault.HintOf(err) == "" {
			t.Errorf("save: %v, %d bytes", err, buf.Len())
		}
	}
	if _, err := m.Inspect(t.Context(), "x:1", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("inspect: %v", err)
	}
	if removed, err := m.Remove(t.Context(), "x:1", image.RemoveOptions{}); err != nil || len(removed) != 2 {
		t.Errorf("remove: %v, %v", removed, err)
	}
}

func TestSaveRoundTrip(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	one, two := imagetest.Small("amd64", "one", "one:1"), imagetest.Small("amd64", "two", "two:2")
	unnamed := imagetest.Small("amd64", "u")
	multi := imagetest.OCIIndex("multi:1", 1, imagetest.Small("amd64", "m"), imagetest.Small("arm64", "n"))
	loaded := load(t, m, imagetest.OCI(one, two, unnamed), image.LoadOptions{})
	loaded = append(loaded, load(t, m, multi, image.LoadOptions{})...)
	var buf bytes.Buffer
	refs := []string{"one:1", "two:2", image.ShortID(loaded[2].ID), "multi:1"}
	if err := m.Save(t.Context(), &buf, refs, image.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	leftIs(t, e, ns, prefixed("image ", sorted(names(loaded)))...)

	again, _, _ := imagesFor(t)
	got, err := again.Load(t.Context(), &buf, image.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(loaded, func(a, b image.Image) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(got, func(a, b image.Image) int { return strings.Compare(a.Name, b.Name) })
	for i := range loaded {
		if i >= len(got) || got[i].Name != loaded[i].Name || got[i].ID != loaded[i].ID {
			t.Fatalf("got %q, want %q", names(got), names(loaded))
		}
	}
	err = m.Save(t.Context(), &buf, []string{"multi:1"}, image.SaveOptions{Platforms: []string{"linux/arm64"}})
	if !fault.Is(err, fault.NotFound) || !strings.HasPrefix(errText(err), "image multi:1 is not complete: linux/arm64: manifest sha256:") || buf.Len() > 0 {
		t.Errorf("got %v", err)
	}
	err = m.Save(t.Context(), &buf, []string{"one:1", "nope"}, image.SaveOptions{})
	if errText(err) != "No such image: nope:latest" || buf.Len() > 0 {
		t.Errorf("got %v", err)
	}
}

func sorted(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}

// Others read what is saved: here the library that crane, kaniko and ko use.
func TestSaveForOthers(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	one := imagetest.Small("amd64", "one", "one:1")
	one.Compress = true
	load(t, m, imagetest.OCI(one, imagetest.Small("amd64", "two", "two:2")), image.LoadOptions{})
	file := filepath.Join(t.TempDir(), "a.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), f, []string{"one:1", "two:2"}, image.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, ref := range []string{"one:1", "two:2"} {
		tag, err := name.NewTag(ref)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(file, &tag)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatal(len(layers), err)
		}
		r, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := digest.FromReader(r); err != nil || got.String() != config.RootFS.DiffIDs[0].String() {
			t.Errorf("%s: layer %s, %v; the config says %s", ref, got, err, config.RootFS.DiffIDs[0])
		}
	}
}

// A disk that is full is told as that, and nothing is left on it.
func TestLoadDiskFull(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", small)
	e := enginetest.New(t)
	m := NewImages(e.Client(t, "x"), engine.Settings{Snapshotter: "overlayfs"})
	_, err := m.Load(t.Context(), bytes.NewReader(archive50MB(false)), image.LoadOptions{})
	if !fault.Is(err, fault.Unavailable) || !strings.HasPrefix(fault.HintOf(err), "the disk of the engine is full") {
		t.Errorf("got %v (%s, hint %q)", err, fault.KindOf(err), fault.HintOf(err))
	}
	if left := e.Left(t, "x"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	got := load(t, m, imagetest.OCI(imagetest.Small("amd64", "a", "a:1"), imagetest.Small("amd64", "b", "b:1")), image.LoadOptions{})
	for _, tt := range []struct{ source, target, err string }{
		{"a:1", "new", ""},
		{image.ShortID(got[1].ID), "new:2", ""},
		{"b:1", "new", ""}, // moves over
		{"a:1", "Upper", "invalid reference format: repository name (library/Upper) must be lowercase"},
		{"a:1", "x@" + got[0].ID, "refusing to create a tag with a digest reference"},
		{"nope", "x", "No such image: nope:latest"},
	} {
		if err := m.Tag(t.Context(), tt.source, tt.target); errText(err) != tt.err {
			t.Errorf("tag %s %s: got %v, want %q", tt.source, tt.target, err, tt.err)
		}
	}
	for name, id := range map[string]string{"new": got[1].ID, "new:2": got[1].ID, "a:1": got[0].ID} {
		if img, err := m.Get(t.Context(), name); err != nil || img.ID != id {
			t.Errorf("%s is %s, %v; want %s", name, img.ID, err, id)
		}
	}
}
