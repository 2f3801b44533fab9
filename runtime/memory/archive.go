package memory

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Load implements [image.Service].
func (m *Images) Load(ctx context.Context, r io.Reader, opts image.LoadOptions) ([]image.Image, error) {
	blobs := map[digest.Digest][]byte{}
	a, err := image.ReadArchive(ctx, contextReader{ctx, r}, opts, func(_ context.Context, _ image.Blob, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err == nil {
			blobs[digest.FromBytes(data)] = data
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	used := m.used()
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.blobs, blobs)
	maps.Copy(m.blobs, a.Made)
	// All of them are there before a name keeps any.
	var recs []record
	for _, img := range a.Images {
		names := img.Names
		if len(names) == 0 {
			names = []string{image.DanglingName(snapshotter, img.Target.Digest.String())}
		}
		for _, name := range names {
			recs = append(recs, record{name: name, target: img.Target})
		}
	}
	for _, rec := range recs {
		m.records[rec.name] = rec
	}
	var out []image.Image
	for _, rec := range recs {
		out = append(out, m.value(m.put(rec.name, rec.target), used))
	}
	return out, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Save implements [image.Service].
func (m *Images) Save(ctx context.Context, w io.Writer, refs []string, opts image.SaveOptions) error {
	files, err := m.archive(refs, opts)
	if err != nil {
		return fault.Wrap(err, "save images", strings.Join(refs, " "))
	}
	tw := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		err := ctx.Err()
		if err == nil {
			err = tw.WriteHeader(&tar.Header{Name: name, Mode: 0o444, Size: int64(len(data)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)})
		}
		if err == nil {
			_, err = tw.Write(data)
		}
		if err != nil {
			return fault.Wrap(err, "save images", strings.Join(refs, " "))
		}
	}
	return fault.Wrap(tw.Close(), "save images", strings.Join(refs, " "))
}

// dockerManifest is an entry of manifest.json (docker image spec v1.2,
// "Combined Image JSON + Filesystem Changeset Format").
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// archive gives the files of an archive: an OCI layout, and docker's
// manifest.json that names the same blobs.
func (m *Images) archive(refs []string, opts image.SaveOptions) (map[string][]byte, error) {
	if len(refs) == 0 {
		return nil, fault.New(fault.Invalid, "no image to save")
	}
	want, err := image.Matcher(opts.Platforms, opts.AllPlatforms)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string][]byte{}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var docker []dockerManifest
	add := func(d digest.Digest) string {
		path := ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
		files[path] = m.blobs[d]
		return path
	}
	for _, ref := range refs {
		recs, byName, err := m.find(ref)
		if err != nil {
			return nil, err
		}
		rec := recs[0]
		picked, err := m.pick(rec, ref, want, opts)
		if err != nil {
			return nil, err
		}
		desc := rec.target
		add(desc.Digest)
		named := byName && !image.IsDangling(rec.name)
		if named {
			// The names that containerd and docker look for.
			name, _ := image.ParseName(rec.name)
			desc.Annotations = map[string]string{"io.containerd.image.name": rec.name, ocispec.AnnotationRefName: name.Tag}
		}
		index.Manifests = append(index.Manifests, desc)
		for i, f := range picked {
			add(f.manifest.Digest)
			dm := dockerManifest{Config: add(f.config)}
			for _, l := range f.layers {
				dm.Layers = append(dm.Layers, add(l.Digest))
			}
			// The older format has one platform only.
			if i > 0 {
				continue
			}
			if named {
				dm.RepoTags = []string{image.Familiar(rec.name)}
			}
			docker = append(docker, dm)
		}
	}
	for name, doc := range map[string]any{
		ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
		ocispec.ImageIndexFile:  index,
		"manifest.json":         docker,
	} {
		if files[name], err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// pick chooses the platforms that are saved, all of which must be here, the
// best one first. It is called with the lock held.
func (m *Images) pick(rec record, ref string, want platforms.MatchComparer, opts image.SaveOptions) ([]facts, error) {
	all := m.manifests(rec.target)
	image.SortManifests(all, want)
	var out []facts
	for _, desc := range all {
		f := m.look(desc, platforms.All, false)
		explicit := len(opts.Platforms) > 0
		if want != nil && (!f.found || !want.Match(f.image.Platform)) && (len(all) > 1 || explicit) {
			continue
		}
		if !f.found {
			return nil, notComplete(rec.name, "manifest "+desc.Digest.String())
		}
		if f.missing != "" {
			return nil, notComplete(rec.name, f.missing)
		}
		if out = append(out, f); !opts.AllPlatforms && len(opts.Platforms) < 2 {
			break
		}
	}
	if len(out) == 0 {
		return nil, noPlatform(ref, strings.Join(opts.Platforms, ", "))
	}
	return out, nil
}
