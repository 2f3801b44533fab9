// Package imagetest makes image archives for tests, sound ones and a table of
// hostile ones, which every engine has to refuse in the same way.
package imagetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Entry is an entry of a tar. A Type of 0 is a regular file.
type Entry struct {
	Name string
	Data []byte
	Type byte
	Link string
	Mode int64
	Size int64             // of the header, where it is not that of Data
	PAX  map[string]string // further records
}

// Tar makes a tar of the entries, in their order.
func Tar(entries ...Entry) []byte {
	var buf bytes.Buffer
	for _, e := range entries {
		tw := tar.NewWriter(&buf)
		h := &tar.Header{Name: e.Name, Typeflag: e.Type, Linkname: e.Link, Mode: e.Mode, Size: int64(len(e.Data)),
			ModTime: time.Unix(0, 0), PAXRecords: e.PAX}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if e.Size != 0 {
			h.Size = e.Size
		}
		if err := tw.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := tw.Write(e.Data); err != nil {
			panic(err)
		}
		// Flush refuses what Size promises and Data does not give, which is
		// what such an entry is for.
		_ = tw.Flush()
	}
	buf.Write(make([]byte, 1024))
	return buf.Bytes()
}

// Gzip compresses.
func Gzip(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(data)
	_ = w.Close()
	return buf.Bytes()
}

// Image is an image of one platform to be put into an archive.
type Image struct {
	Names    []string // as they stand in the archive
	Platform ocispec.Platform
	Layers   [][]byte // tars
	Compress bool     // store the layers with gzip
	Cmd      []string
	DiffIDs  []string // what the config says, where that is not the truth
}

// Small gives an image of one file for a platform.
func Small(arch, content string, names ...string) Image {
	return Image{Names: names, Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Layers: [][]byte{Tar(Entry{Name: "file", Data: []byte(content)})}, Cmd: []string{"/file"}}
}

func (i Image) stored(n int) []byte {
	if i.Compress {
		return Gzip(i.Layers[n])
	}
	return i.Layers[n]
}

// Config is the config of the image.
func (i Image) Config() []byte {
	c := ocispec.Image{Platform: i.Platform, Config: ocispec.ImageConfig{Cmd: i.Cmd}}
	created := time.Unix(1700000000, 0).UTC()
	c.Created = &created
	c.RootFS.Type = "layers"
	for _, l := range i.Layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
	}
	if i.DiffIDs != nil {
		c.RootFS.DiffIDs = nil
		for _, id := range i.DiffIDs {
			c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.Digest(id))
		}
	}
	return document(c)
}

// Digest of a blob.
func Digest(data []byte) string { return digest.FromBytes(data).String() }

func document(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// BlobName is where an OCI layout has a blob.
func BlobName(data []byte) string {
	return "blobs/sha256/" + digest.FromBytes(data).Encoded()
}

// Manifest is the OCI manifest of the image.
func (i Image) Manifest() []byte {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, i.Config()), Layers: []ocispec.Descriptor{}}
	mediaType := ocispec.MediaTypeImageLayer
	if i.Compress {
		mediaType = ocispec.MediaTypeImageLayerGzip
	}
	for n := range i.Layers {
		m.Layers = append(m.Layers, descriptor(mediaType, i.stored(n)))
	}
	return document(m)
}

// Docker gives the entries of an archive as `docker save` made them before
// version 25.
func Docker(images ...Image) []Entry {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var list []entry
	files := map[string][]byte{}
	for _, i := range images {
		e := entry{Config: digest.FromBytes(i.Config()).Encoded() + ".json", RepoTags: i.Names}
		files[e.Config] = i.Config()
		for n := range i.Layers {
			name := digest.FromBytes(i.stored(n)).Encoded() + "/layer.tar"
			files[name] = i.stored(n)
			e.Layers = append(e.Layers, name)
		}
		list = append(list, e)
	}
	return append(sorted(files), Entry{Name: "manifest.json", Data: document(list)})
}

// OCI gives the entries of an OCI layout, each image a manifest of its own.
func OCI(images ...Image) []Entry {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
	files := map[string][]byte{}
	for _, i := range images {
		i.addTo(files)
		desc := descriptor(ocispec.MediaTypeImageManifest, i.Manifest())
		desc.Platform = &i.Platform
		index.Manifests = append(index.Manifests, named(desc, i.Names)...)
	}
	return layout(files, index)
}

// OCIIndex gives the entries of an OCI layout with one image of several
// platforms, of which only the first ones are here.
func OCIIndex(name string, here int, images ...Image) []Entry {
	inner := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	files := map[string][]byte{}
	for n, i := range images {
		desc := descriptor(ocispec.MediaTypeImageManifest, i.Manifest())
		desc.Platform = &i.Platform
		inner.Manifests = append(inner.Manifests, desc)
		if n < here {
			i.addTo(files)
		}
	}
	data := document(inner)
	files[BlobName(data)] = data
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		Manifests: named(descriptor(ocispec.MediaTypeImageIndex, data), []string{name})}
	return layout(files, index)
}

func (i Image) addTo(files map[string][]byte) {
	files[BlobName(i.Manifest())] = i.Manifest()
	files[BlobName(i.Config())] = i.Config()
	for n := range i.Layers {
		files[BlobName(i.stored(n))] = i.stored(n)
	}
}

func named(desc ocispec.Descriptor, names []string) []ocispec.Descriptor {
	if len(names) == 0 {
		return []ocispec.Descriptor{desc}
	}
	var all []ocispec.Descriptor
	for _, name := range names {
		d := desc
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		if strings.ContainsAny(name, "/:") {
			d.Annotations["io.containerd.image.name"] = name
		}
		all = append(all, d)
	}
	return all
}

func layout(files map[string][]byte, index ocispec.Index) []Entry {
	return append(sorted(files),
		Entry{Name: "index.json", Data: document(index)},
		Entry{Name: "oci-layout", Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)})
}

func sorted(files map[string][]byte) []Entry {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, Entry{Name: name, Data: files[name]})
	}
	return entries
}

// replace gives the entries with those named gone and others put in front.
func replace(entries []Entry, gone string, with ...Entry) []Entry {
	return append(with, slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Name == gone })...)
}
