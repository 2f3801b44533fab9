package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

// keep is a store of blobs in memory.
type keep map[string][]byte

func (k keep) put(_ context.Context, b image.Blob, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err == nil {
		k[b.Name] = data
	}
	return err
}

func TestReadArchive(t *testing.T) {
	t.Parallel()
	one, two := imagetest.Small("amd64", "one", "one:1", "localhost:5000/one:x"), imagetest.Small("amd64", "two", "two")
	arm := imagetest.Small("arm64", "arm", "arm:1")
	unnamed := imagetest.Small("amd64", "unnamed")
	packed := one
	packed.Compress = true
	tagOnly := imagetest.Small("amd64", "tag", "3.20")
	zw, _ := zstd.NewWriter(nil)

	for _, tt := range []struct {
		name    string
		archive []byte
		opts    image.LoadOptions
		want    string // names of each image, = its platforms
	}{
		{"docker", imagetest.Tar(imagetest.Docker(one, two)...), image.LoadOptions{},
			"docker.io/library/one:1 localhost:5000/one:x =linux/amd64, docker.io/library/two:latest =linux/amd64"},
		{"docker in gzip", imagetest.Gzip(imagetest.Tar(imagetest.Docker(packed)...)), image.LoadOptions{},
			"docker.io/library/one:1 localhost:5000/one:x =linux/amd64"},
		{"oci in zstd", zw.EncodeAll(imagetest.Tar(imagetest.OCI(one, unnamed)...), nil), image.LoadOptions{},
			"docker.io/library/one:1 localhost:5000/one:x =linux/amd64, =linux/amd64"},
		{"a tag is no name", imagetest.Tar(imagetest.OCI(tagOnly)...), image.LoadOptions{}, "=linux/amd64"},
		// As docker does since version 25.
		{"oci with docker's names", imagetest.Tar(append(imagetest.OCI(tagOnly), imagetest.Entry{Name: "manifest.json",
			Data: []byte(`[{"Config":"` + imagetest.BlobName(tagOnly.Config()) + `","RepoTags":["real:3.20"],"Layers":[]}]`)})...),
			image.LoadOptions{}, "docker.io/library/real:3.20 =linux/amd64"},
		{"another platform alone", imagetest.Tar(imagetest.OCI(arm)...), image.LoadOptions{}, "docker.io/library/arm:1 =linux/arm64"},
		{"an index, host's", imagetest.Tar(imagetest.OCIIndex("multi:1", 1, one, arm)...), image.LoadOptions{},
			"docker.io/library/multi:1 =linux/amd64"},
		{"an index, the second best missing", imagetest.Tar(imagetest.OCIIndex("multi:1", 1, one, imagetest.Small("386", "old"))...),
			image.LoadOptions{}, "docker.io/library/multi:1 =linux/amd64"},
		{"an index, all", imagetest.Tar(imagetest.OCIIndex("multi:1", 2, one, arm)...), image.LoadOptions{AllPlatforms: true},
			"docker.io/library/multi:1 =linux/amd64 linux/arm64"},
		{"an index, one", imagetest.Tar(imagetest.OCIIndex("multi:1", 2, one, arm)...), image.LoadOptions{Platforms: []string{"linux/arm64"}},
			"docker.io/library/multi:1 =linux/arm64"},
		{"an index, both, in another order", imagetest.Tar(imagetest.OCIIndex("multi:1", 2, one, arm)...),
			image.LoadOptions{Platforms: []string{"linux/arm64", "linux/amd64"}}, "docker.io/library/multi:1 =linux/arm64 linux/amd64"},
		{"linked layers", imagetest.Tar(linked(one)...), image.LoadOptions{}, "docker.io/library/one:1 localhost:5000/one:x =linux/amd64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			blobs := keep{}
			a, err := image.ReadArchive(t.Context(), bytes.NewReader(tt.archive), tt.opts, blobs.put)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(a); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// linked is docker's archive of old, where a layer that two images share is a
// symbolic link in one of them.
func linked(i imagetest.Image) []imagetest.Entry {
	entries := imagetest.Docker(i)
	for n, e := range entries {
		if strings.HasSuffix(e.Name, "/layer.tar") {
			entries[n].Name = "first/layer.tar"
			entries = append(entries, imagetest.Entry{Name: e.Name, Type: '2', Link: "../first/layer.tar"})
			break
		}
	}
	return entries
}

func describe(a image.Archive) string {
	var all []string
	for _, i := range a.Images {
		parts := append([]string{}, i.Names...)
		for n, m := range i.Manifests {
			p := m.Platform.OS + "/" + m.Platform.Architecture
			if n == 0 {
				p = "=" + p
			}
			parts = append(parts, p)
		}
		all = append(all, strings.Join(parts, " "))
	}
	return strings.Join(all, ", ")
}

func TestReadArchiveMissingPlatform(t *testing.T) {
	t.Parallel()
	archive := imagetest.Tar(imagetest.OCIIndex("multi:1", 1, imagetest.Small("arm64", "a"), imagetest.Small("riscv64", "r"))...)
	_, err := image.ReadArchive(t.Context(), bytes.NewReader(archive), image.LoadOptions{Platforms: []string{"linux/amd64"}}, keep{}.put)
	if !fault.Is(err, fault.NotFound) || fault.HintOf(err) != "the archive has it for linux/arm64, linux/riscv64" {
		t.Errorf("got %v (%s), hint %q", err, fault.KindOf(err), fault.HintOf(err))
	}
	_, err = image.ReadArchive(t.Context(), bytes.NewReader(archive), image.LoadOptions{Platforms: []string{"linux/riscv64"}}, keep{}.put)
	want := `load image archive: platform "linux/riscv64": manifest ` +
		digest.FromBytes(imagetest.Small("riscv64", "r").Manifest()).String() + " is not in the archive"
	if text(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadArchiveRefusesHostile(t *testing.T) {
	t.Parallel()
	for _, h := range imagetest.HostileArchives() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			_, err := image.ReadArchive(t.Context(), bytes.NewReader(h.Archive), image.LoadOptions{}, keep{}.put)
			if text(err) != h.Error {
				t.Errorf("got  %v\nwant %s", err, h.Error)
			}
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("kind %s", fault.KindOf(err))
			}
		})
	}
}

// A store that has a blob already does not read it; it is checked all the same.
func TestReadArchiveChecksWhatIsNotRead(t *testing.T) {
	t.Parallel()
	good, other := imagetest.Small("amd64", "hello", "evil:1"), imagetest.Small("amd64", "other")
	entries := imagetest.OCI(good)
	for i := range entries {
		if entries[i].Name == imagetest.BlobName(good.Layers[0]) {
			entries[i].Data = other.Layers[0]
		}
	}
	ignore := func(context.Context, image.Blob, io.Reader) error { return nil }
	_, err := image.ReadArchive(t.Context(), bytes.NewReader(imagetest.Tar(entries...)), image.LoadOptions{}, ignore)
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

// What the store says is not blamed on the archive.
func TestReadArchiveStoreError(t *testing.T) {
	t.Parallel()
	archive := imagetest.Tar(imagetest.OCI(imagetest.Small("amd64", "hello", "x:1"))...)
	full := func(context.Context, image.Blob, io.Reader) error { return syscall.ENOSPC }
	_, err := image.ReadArchive(t.Context(), bytes.NewReader(archive), image.LoadOptions{}, full)
	if !errors.Is(err, syscall.ENOSPC) || fault.Is(err, fault.Invalid) {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := image.ReadArchive(ctx, bytes.NewReader(archive), image.LoadOptions{}, keep{}.put); !fault.Is(err, fault.Cancelled) {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
}

// Whatever the bytes are, reading ends, and what is accepted is consistent.
func FuzzReadArchive(f *testing.F) {
	good := imagetest.Small("amd64", "hello", "x:1")
	f.Add(imagetest.Tar(imagetest.OCI(good)...))
	f.Add(imagetest.Tar(imagetest.Docker(good)...))
	f.Add(imagetest.Gzip(imagetest.Tar(imagetest.OCIIndex("m:1", 1, good, imagetest.Small("arm64", "x"))...)))
	for _, h := range imagetest.HostileArchives() {
		if len(h.Archive) < 64<<10 {
			f.Add(h.Archive)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		digests := map[digest.Digest]bool{}
		put := func(_ context.Context, b image.Blob, r io.Reader) error {
			d, err := digest.FromReader(r)
			if err == nil && b.Digest != "" && b.Digest != d {
				t.Errorf("%s was let through as %s", d, b.Digest)
			}
			digests[d] = true
			return err
		}
		a, err := image.ReadArchive(t.Context(), bytes.NewReader(data), image.LoadOptions{}, put)
		if err != nil {
			return
		}
		for _, i := range a.Images {
			if len(i.Manifests) == 0 {
				t.Error("an image without a manifest")
			}
			for _, m := range i.Manifests {
				if !digests[m.Digest] && a.Made[m.Digest] == nil {
					t.Errorf("manifest %s is nowhere", m.Digest)
				}
			}
		}
	})
}
