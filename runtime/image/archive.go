package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
)

// Limits of an archive. What goes over one is refused (kind invalid).
const (
	// A layer, and the archive itself where it is compressed, may unpack to
	// ExpansionFloor bytes in any case, and to ExpansionRatio times the bytes
	// that are stored of it beyond; all layers of an archive share the
	// allowance. Layers of programs and text stay below 10; gzip reaches 1032
	// and zstd more with zeros only, and a sparse tar entry has no bound.
	ExpansionFloor = 4 << 30
	ExpansionRatio = 100

	maxArchiveEntries = 1 << 16
	maxDocument       = 8 << 20  // bytes of one index, manifest or config
	maxDocuments      = 64 << 20 // bytes of all of them: they are kept in memory
	maxIndexDepth     = 4
	maxManifests      = 1024
	maxLayers         = 512
)

// Archive is what an image archive holds.
type Archive struct {
	Images []ArchivedImage // in the order of the archive
	// Made are documents that the images need and the archive does not
	// have, since docker's older format has no manifests.
	Made map[digest.Digest][]byte
	// Documents are the indexes, manifests and configs by digest, Made ones too.
	Documents map[digest.Digest][]byte
}

// ArchivedImage is an image of an archive.
type ArchivedImage struct {
	Names     []string // in normal form; empty for one without a name
	Target    ocispec.Descriptor
	Manifests []ocispec.Descriptor // of the platforms that were asked for, complete in the archive
}

// Blob is a file of an archive as it comes along. Digest is empty where the
// archive does not name its files by digest.
type Blob struct {
	Name   string
	Digest digest.Digest
	Size   int64
}

// ReadArchive reads a docker or OCI archive, plain or compressed with gzip or
// zstd, and calls put for each blob in it. put must read r to its end: an
// error in place of io.EOF means that the blob is not to be kept. Memory is
// bounded, whatever the archive is.
//
// The archive is not trusted. It is refused, with an error of kind invalid,
// when a blob is not what its digest says, is truncated, or is not there; when
// a name leads out of the archive or a layer's out of its root; when an entry
// is neither a file, a directory nor a link within the archive; and when it
// goes over the limits above. The documents are checked against each other, so
// that what is returned can be unpacked, but for the digests of the
// uncompressed layers, which unpacking checks.
func ReadArchive(ctx context.Context, r io.Reader, opts LoadOptions, put func(ctx context.Context, b Blob, r io.Reader) error) (Archive, error) {
	rd := &archiveReader{
		ctx: ctx, put: put, limit: ExpansionFloor,
		explicit: len(opts.Platforms) > 0, single: !opts.AllPlatforms && len(opts.Platforms) < 2,
		blobs: map[string]stored{}, links: map[string]string{}, documents: map[digest.Digest][]byte{},
	}
	a, err := rd.read(r, opts)
	if err != nil {
		return Archive{}, refuse(err)
	}
	return a, nil
}

// refuse makes the one error of a bad archive. What is not the archive's
// fault (a full disk, a cancelled context) keeps its kind.
func refuse(err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		// The store's own words around it say nothing.
		err = known
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fault.New(fault.Invalid, "the archive is truncated")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, zstd.ErrCRCMismatch):
		err = fault.New(fault.Invalid, "the archive is damaged").WithCause(err)
	}
	return fault.Wrap(err, "load image archive", "")
}

func bad(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// stored is a blob that has been put.
type stored struct {
	ocispec.Descriptor
	layer       bool // has been read as a layer, and is in order
	compression string
}

type archiveReader struct {
	ctx   context.Context
	put   func(ctx context.Context, b Blob, r io.Reader) error
	limit int64 // ExpansionFloor, less in tests

	explicit bool // platforms were asked for by name
	single   bool // one platform is wanted: the best that matches

	blobs     map[string]stored // by name in the archive
	links     map[string]string
	documents map[digest.Digest][]byte

	layout, index, manifest []byte // the three files that say what the rest is

	documentBytes int64
	layerBytes    int64 // stored
	expandedBytes int64 // unpacked
}

func (a *archiveReader) read(r io.Reader, opts LoadOptions) (Archive, error) {
	want, err := Matcher(opts.Platforms, opts.AllPlatforms)
	if err != nil {
		return Archive{}, err
	}
	raw := &countReader{r: r}
	plain, err := Decompress(raw)
	if err != nil {
		return Archive{}, err
	}
	defer plain.Close()
	outer := &boundedReader{r: plain, max: func() int64 { return max(a.limit, raw.n*ExpansionRatio) }, what: "the archive"}
	tr := tar.NewReader(outer)
	entries := 0
	for {
		if err := a.ctx.Err(); err != nil {
			return Archive{}, err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Archive{}, err
		}
		if entries++; entries > maxArchiveEntries {
			return Archive{}, bad("the archive has more than %d entries", maxArchiveEntries)
		}
		if err := a.entry(tr, h); err != nil {
			return Archive{}, err
		}
	}
	// A pipe's writer is not done before the padding has been read, and a
	// checksum comes last.
	if _, err := io.Copy(io.Discard, outer); err != nil {
		return Archive{}, err
	}
	if entries == 0 {
		return Archive{}, bad("the archive is empty")
	}
	return a.resolve(want)
}

func (a *archiveReader) entry(tr *tar.Reader, h *tar.Header) error {
	name := path.Clean(h.Name)
	if path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") {
		return bad("entry %q leads out of the archive", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		target := path.Join(path.Dir(name), h.Linkname)
		if path.IsAbs(h.Linkname) || target == ".." || strings.HasPrefix(target, "../") {
			return bad("link %q leads out of the archive, to %q", h.Name, h.Linkname)
		}
		a.links[name] = target
		return nil
	case tar.TypeReg:
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return bad("entry %q is a sparse file", h.Name)
			}
		}
	default:
		return bad("entry %q is neither a file, a directory nor a symbolic link", h.Name)
	}
	switch name {
	case ocispec.ImageLayoutFile:
		return a.document(&a.layout, tr, h)
	case ocispec.ImageIndexFile:
		return a.document(&a.index, tr, h)
	case "manifest.json":
		return a.document(&a.manifest, tr, h)
	}
	return a.blob(tr, h, name)
}

func (a *archiveReader) document(to *[]byte, r io.Reader, h *tar.Header) error {
	if *to != nil {
		return bad("entry %q comes twice", h.Name)
	}
	if err := a.room(h.Name, h.Size); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	*to = data
	return err
}

// room accounts for a document that is to be kept in memory.
func (a *archiveReader) room(name string, size int64) error {
	if size > maxDocument {
		return bad("%q has %d bytes, more than the %d of a document", name, size, maxDocument)
	}
	if a.documentBytes += size; a.documentBytes > maxDocuments {
		return bad("the archive has more than %d bytes of manifests and configs", maxDocuments)
	}
	return nil
}

func (a *archiveReader) blob(tr io.Reader, h *tar.Header, name string) error {
	b := Blob{Name: name, Size: h.Size}
	if rest, ok := strings.CutPrefix(name, ocispec.ImageBlobsDir+"/"); ok {
		d := digest.Digest(strings.Replace(rest, "/", ":", 1))
		if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
			return bad("entry %q is not named by a digest that is known", h.Name)
		}
		b.Digest = d
	}
	br := bufio.NewReaderSize(tr, 256<<10)
	head, err := br.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}

	s := stored{Descriptor: ocispec.Descriptor{Size: h.Size}, compression: compressionOf(head)}
	digester := digest.Canonical.Digester()
	var r io.Reader = &checkedReader{r: br, name: name, want: b.Digest, digester: digester}
	var doc bytes.Buffer
	switch {
	case s.compression != "" || isTar(head):
		s.layer = true
		a.layerBytes += h.Size
		scan := a.scanLayer(name)
		r = &teeReader{r: r, w: scan}
		defer scan.Close()
	case len(bytes.TrimSpace(head)) > 0 && bytes.TrimSpace(head)[0] == '{' && h.Size <= maxDocument:
		if err := a.room(name, h.Size); err != nil {
			return err
		}
		r = io.TeeReader(r, &doc)
	}
	tail := &endReader{r: r}
	if err := a.put(a.ctx, b, tail); err != nil {
		return err
	}
	if !tail.ended {
		// A store that has the blob does not read it, but it is checked.
		if _, err := io.Copy(io.Discard, tail); err != nil {
			return err
		}
	}
	s.Digest = digester.Digest()
	if doc.Len() > 0 {
		a.documents[s.Digest] = doc.Bytes()
	}
	if old, ok := a.blobs[name]; ok && old.Digest != s.Digest {
		return bad("entry %q comes twice, with different contents", h.Name)
	}
	a.blobs[name] = s
	return nil
}

// layerScan is a goroutine that reads a layer while it is stored.
type layerScan struct {
	w    *io.PipeWriter
	done chan error
}

func (s *layerScan) Write(p []byte) (int, error) { return s.w.Write(p) }

// Finish tells that the layer is at its end and waits for the verdict.
func (s *layerScan) Finish() error {
	s.w.Close()
	err := <-s.done
	s.done <- err
	return err
}

// Close ends the goroutine, also in the middle.
func (s *layerScan) Close() {
	s.w.CloseWithError(io.ErrClosedPipe)
	<-s.done
}

func (a *archiveReader) scanLayer(name string) *layerScan {
	pr, pw := io.Pipe()
	s := &layerScan{w: pw, done: make(chan error, 1)}
	go func() {
		err := a.checkLayer(name, pr)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			err = bad("layer %s is truncated", name)
		case err != nil && fault.KindOf(err) == fault.Internal:
			err = bad("layer %s is damaged: %s", name, err)
		}
		// What is written from now on fails, so that storing ends too.
		pr.CloseWithError(err)
		s.done <- err
	}()
	return s
}

func (a *archiveReader) checkLayer(name string, r io.Reader) error {
	plain, err := Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	allowed := func() int64 { return max(a.limit, a.layerBytes*ExpansionRatio) - a.expandedBytes }
	counted := &boundedReader{r: plain, max: allowed, what: "layer " + name}
	tr := tar.NewReader(counted)
	var unpacked int64
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if leaves(h.Name) || h.Typeflag == tar.TypeLink && leaves(h.Linkname) {
			return bad("layer %s has an entry that leads out of its root: %q", name, h.Name)
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
			continue
		}
		// A sparse file is its holes, too, when it is unpacked.
		if unpacked += h.Size; unpacked > allowed() {
			return tooLarge("layer " + name)
		}
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return err
	}
	a.expandedBytes += max(counted.n, unpacked)
	return nil
}

// leaves reports whether a name in a layer leads out of its root. Absolute
// names are taken from the root, so that they do not.
func leaves(name string) bool {
	name = path.Clean(strings.TrimLeft(name, "/"))
	return name == ".." || strings.HasPrefix(name, "../")
}

func tooLarge(what string) error {
	return fault.New(fault.Invalid, "%s unpacks to more than %d times its size", what, ExpansionRatio).
		WithHint("archives are refused where they unpack to more than %d GiB and %d times their size", int64(ExpansionFloor)>>30, ExpansionRatio)
}

// Decompress gives the plain bytes of what is plain or compressed with gzip or
// zstd, which it tells from the first bytes. Memory is bounded.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := br.Peek(10)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch compressionOf(head) {
	case "gzip":
		return gzip.NewReader(br)
	case "zstd":
		// 128 MiB is the window of zstd --ultra --long, beyond which its own
		// command line asks too.
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return zr.IOReadCloser(), nil
	case "bzip2", "xz":
		return nil, fault.New(fault.Invalid, "compressed with %s", compressionOf(head)).
			WithHint("decompress it first: gzip, zstd and plain archives are read")
	}
	return io.NopCloser(br), nil
}

func compressionOf(head []byte) string {
	for _, m := range []struct{ magic, name string }{
		{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"}, {"\xfd7zXZ\x00", "xz"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.name
		}
	}
	return ""
}

// isTar reports whether head is the first block of a tar: a header with the
// right checksum, or the zeros that an empty one begins with.
func isTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	sum, zero := 0, true
	for i, b := range head[:512] {
		zero = zero && b == 0
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	if zero {
		return true
	}
	said, err := strconv.ParseInt(strings.Trim(string(head[148:156]), " \x00"), 8, 64)
	return err == nil && said == int64(sum)
}

// Matcher gives a matcher for the platforms that were asked for, best first:
// nil for all of them, the host's for none.
func Matcher(asked []string, all bool) (platforms.MatchComparer, error) {
	if all {
		return nil, nil
	}
	if len(asked) == 0 {
		return platforms.Default(), nil
	}
	var specs []ocispec.Platform
	for _, s := range asked {
		p, err := platforms.Parse(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a platform", s).WithHint("a platform is like linux/amd64 or linux/arm/v7")
		}
		specs = append(specs, p)
	}
	if len(specs) == 1 {
		return platforms.Only(specs[0]), nil
	}
	return platforms.Ordered(specs...), nil
}

// resolve finds the images that the documents describe.
func (a *archiveReader) resolve(want platforms.MatchComparer) (Archive, error) {
	out := Archive{Made: map[digest.Digest][]byte{}, Documents: a.documents}
	var err error
	switch {
	case a.layout != nil:
		out.Images, err = a.resolveOCI(want)
	case a.manifest != nil:
		out.Images, err = a.resolveDocker(want, out.Made)
	case a.index != nil:
		err = bad("the archive has an index.json, but no oci-layout")
	default:
		err = fault.New(fault.Invalid, "the archive has neither a manifest.json nor an index.json, it is not an image archive").
			WithHint("`import` makes an image from a tar of a root file system")
	}
	if err == nil && len(out.Images) == 0 {
		err = bad("the archive has no images")
	}
	return out, err
}

// dockerEntry is an element of docker's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archiveReader) dockerEntries() ([]dockerEntry, error) {
	if a.manifest == nil {
		return nil, nil
	}
	var entries []dockerEntry
	if err := json.Unmarshal(a.manifest, &entries); err != nil {
		return nil, bad("manifest.json cannot be read: %s", err)
	}
	return entries, nil
}

func (a *archiveReader) resolveOCI(want platforms.MatchComparer) ([]ArchivedImage, error) {
	var layout ocispec.ImageLayout
	if err := json.Unmarshal(a.layout, &layout); err != nil {
		return nil, bad("oci-layout cannot be read: %s", err)
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return nil, bad("the OCI layout is of version %q, which is not known", layout.Version)
	}
	if a.index == nil {
		return nil, bad("the archive has an oci-layout, but no index.json")
	}
	var index ocispec.Index
	if err := json.Unmarshal(a.index, &index); err != nil {
		return nil, bad("index.json cannot be read: %s", err)
	}
	entries, err := a.dockerEntries()
	if err != nil {
		return nil, err
	}
	var out []ArchivedImage
	for _, desc := range index.Manifests {
		// A referrer of another image (a signature, say) is no image.
		if desc.Annotations["io.containerd.manifest.subject"] != "" || desc.ArtifactType != "" {
			continue
		}
		if desc.MediaType == "" {
			return nil, bad("index.json has an image without a media type: %s", desc.Digest)
		}
		found, err := a.manifests(desc, want)
		if err != nil {
			return nil, err
		}
		names := ociNames(desc)
		if len(names) == 0 {
			names = a.namesOf(found, entries)
		}
		if i := slices.IndexFunc(out, func(o ArchivedImage) bool { return o.Target.Digest == desc.Digest }); i >= 0 {
			out[i].Names = append(out[i].Names, names...)
			continue
		}
		target := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
		out = append(out, ArchivedImage{Names: names, Target: target, Manifests: found})
	}
	return out, nil
}

// ociNames finds the name of an image in an OCI layout. The specification has
// the tag alone in ref.name (image-layout.md, "index.json file"), which is not
// a name; containerd, docker and BuildKit give the whole name in an annotation
// of their own, skopeo and podman in ref.name.
func ociNames(desc ocispec.Descriptor) []string {
	for _, key := range []string{"io.containerd.image.name", ocispec.AnnotationRefName} {
		value := desc.Annotations[key]
		if value == "" || key == ocispec.AnnotationRefName && !strings.ContainsAny(value, "/:@") {
			continue
		}
		if name, err := Normalize(value); err == nil && !IsDangling(value) {
			return []string{name}
		}
	}
	return nil
}

// namesOf finds the names that docker's manifest.json has for an image.
func (a *archiveReader) namesOf(manifests []ocispec.Descriptor, entries []dockerEntry) []string {
	var names []string
	for _, desc := range manifests {
		var m ocispec.Manifest
		if json.Unmarshal(a.documents[desc.Digest], &m) != nil {
			continue
		}
		for _, e := range entries {
			if a.blobs[path.Clean(e.Config)].Digest != m.Config.Digest {
				continue
			}
			for _, tag := range e.RepoTags {
				if name, err := Normalize(tag); err == nil && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// manifests gives those manifests of an image that were asked for, after
// checking that all they need is in the archive.
func (a *archiveReader) manifests(target ocispec.Descriptor, want platforms.MatchComparer) ([]ocispec.Descriptor, error) {
	if !isIndex(target.MediaType) {
		p, err := a.checkManifest(target)
		if err != nil {
			return nil, err
		}
		target.Platform = &p
		// One manifest alone is what there is, so that an image of another
		// platform can be loaded, as with docker.
		if a.explicit && want != nil && !want.Match(p) {
			return nil, notForPlatform(target, []string{platforms.Format(p)})
		}
		return []ocispec.Descriptor{target}, nil
	}
	var all []ocispec.Descriptor
	if err := a.flatten(target, 0, &all); err != nil {
		return nil, err
	}
	var found []ocispec.Descriptor
	var has []string
	for _, desc := range all {
		p := desc.Platform
		if p == nil {
			if _, here := a.documents[desc.Digest]; !here {
				continue
			}
			q, err := a.checkManifest(desc)
			if err != nil {
				return nil, err
			}
			p = &q
		}
		if p.OS == "unknown" {
			// BuildKit's attestations.
			continue
		}
		name := platforms.Format(platforms.Normalize(*p))
		if want != nil && !want.Match(*p) {
			has = append(has, name)
			continue
		}
		desc.Platform = p
		found = append(found, desc)
	}
	if len(found) == 0 {
		return nil, notForPlatform(target, has)
	}
	SortManifests(found, want)
	if a.single {
		found = found[:1]
	}
	for _, desc := range found {
		if _, err := a.checkManifest(desc); err != nil {
			return nil, fault.Wrap(err, "platform", platforms.Format(platforms.Normalize(*desc.Platform)))
		}
	}
	return found, nil
}

// SortManifests puts the manifests that a matcher prefers first: a processor of
// 64 bits also runs images for 32. All have a platform; a nil matcher keeps
// the order.
func SortManifests(all []ocispec.Descriptor, want platforms.MatchComparer) {
	if want == nil {
		return
	}
	slices.SortStableFunc(all, func(x, y ocispec.Descriptor) int {
		switch {
		case want.Less(*x.Platform, *y.Platform):
			return -1
		case want.Less(*y.Platform, *x.Platform):
			return 1
		}
		return 0
	})
}

func notForPlatform(target ocispec.Descriptor, has []string) error {
	e := fault.New(fault.NotFound, "image %s is not in the archive for the platform asked for", target.Digest)
	if len(has) > 0 {
		e = e.WithHint("the archive has it for %s", strings.Join(has, ", "))
	}
	return e
}

func (a *archiveReader) flatten(desc ocispec.Descriptor, depth int, out *[]ocispec.Descriptor) error {
	if depth > maxIndexDepth {
		return bad("index %s is nested too deeply", desc.Digest)
	}
	data, err := a.need(desc)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return bad("index %s cannot be read: %s", desc.Digest, err)
	}
	for _, m := range index.Manifests {
		if isIndex(m.MediaType) {
			// An index of other platforms need not be here.
			if _, ok := a.documents[m.Digest]; !ok {
				continue
			}
			if err := a.flatten(m, depth+1, out); err != nil {
				return err
			}
			continue
		}
		if *out = append(*out, m); len(*out) > maxManifests {
			return bad("the archive has an image with more than %d manifests", maxManifests)
		}
	}
	return nil
}

// need gives a document that a descriptor points to.
func (a *archiveReader) need(desc ocispec.Descriptor) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, bad("%q is not a digest", desc.Digest)
	}
	data, ok := a.documents[desc.Digest]
	if !ok {
		return nil, bad("%s %s is not in the archive", kindOf(desc.MediaType), desc.Digest)
	}
	if desc.Size != int64(len(data)) {
		return nil, bad("%s %s has %d bytes, not %d", kindOf(desc.MediaType), desc.Digest, len(data), desc.Size)
	}
	return data, nil
}

// checkManifest makes sure that all of an image is in the archive, and gives
// its platform.
func (a *archiveReader) checkManifest(desc ocispec.Descriptor) (ocispec.Platform, error) {
	var none ocispec.Platform
	data, err := a.need(desc)
	if err != nil {
		return none, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return none, bad("manifest %s cannot be read: %s", desc.Digest, err)
	}
	configData, err := a.need(m.Config)
	if err != nil {
		return none, err
	}
	var config ocispec.Image
	if err := json.Unmarshal(configData, &config); err != nil {
		return none, bad("config %s cannot be read: %s", m.Config.Digest, err)
	}
	if len(m.Layers) > maxLayers {
		return none, bad("image %s has %d layers, more than %d", desc.Digest, len(m.Layers), maxLayers)
	}
	if len(m.Layers) != len(config.RootFS.DiffIDs) {
		return none, bad("image %s has %d layers, and its config tells of %d", desc.Digest, len(m.Layers), len(config.RootFS.DiffIDs))
	}
	for _, id := range config.RootFS.DiffIDs {
		if id.Validate() != nil {
			return none, bad("config %s has %q as the digest of a layer", m.Config.Digest, id)
		}
	}
	for _, l := range m.Layers {
		if err := a.checkStored(l); err != nil {
			return none, err
		}
	}
	return platforms.Normalize(config.Platform), nil
}

func (a *archiveReader) checkStored(l ocispec.Descriptor) error {
	if err := l.Digest.Validate(); err != nil {
		return bad("%q is not a digest", l.Digest)
	}
	name := path.Join(ocispec.ImageBlobsDir, l.Digest.Algorithm().String(), l.Digest.Encoded())
	s, ok := a.blobs[name]
	if !ok {
		for _, other := range a.blobs {
			if other.Digest == l.Digest {
				s, ok = other, true
				break
			}
		}
	}
	switch {
	case !ok:
		return bad("layer %s is not in the archive", l.Digest)
	case s.Size != l.Size:
		return bad("layer %s has %d bytes, not %d", l.Digest, s.Size, l.Size)
	case !s.layer:
		return bad("layer %s is not a tar archive", l.Digest)
	}
	return nil
}

// dockerManifest has the fields in the order of containerd's own importer, so
// that an archive gives the same digest with ctr and nerdctl.
type dockerManifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        ocispec.Descriptor   `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
}

const (
	dockerManifestType  = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndexType     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfigType    = "application/vnd.docker.container.image.v1+json"
	dockerLayerType     = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzipType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerLayerZstdType = "application/vnd.docker.image.rootfs.diff.tar.zstd"
)

func (a *archiveReader) resolveDocker(want platforms.MatchComparer, made map[digest.Digest][]byte) ([]ArchivedImage, error) {
	entries, err := a.dockerEntries()
	if err != nil {
		return nil, err
	}
	var out []ArchivedImage
	for _, e := range entries {
		config, err := a.named(e.Config, "config")
		if err != nil {
			return nil, err
		}
		m := dockerManifest{SchemaVersion: 2, MediaType: dockerManifestType,
			Config: ocispec.Descriptor{MediaType: dockerConfigType, Digest: config.Digest, Size: config.Size},
			Layers: []ocispec.Descriptor{},
		}
		for _, name := range e.Layers {
			l, err := a.named(name, "layer")
			if err != nil {
				return nil, err
			}
			mediaType := map[string]string{"": dockerLayerType, "gzip": dockerLayerGzipType, "zstd": dockerLayerZstdType}[l.compression]
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: mediaType, Digest: l.Digest, Size: l.Size})
		}
		data, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		target := ocispec.Descriptor{MediaType: dockerManifestType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		a.documents[target.Digest], made[target.Digest] = data, data
		found, err := a.manifests(target, want)
		if err != nil {
			return nil, err
		}
		img := ArchivedImage{Target: target, Manifests: found}
		for _, tag := range e.RepoTags {
			name, err := Normalize(tag)
			if err != nil {
				return nil, bad("image name %q: %s", tag, err)
			}
			img.Names = append(img.Names, name)
		}
		out = append(out, img)
	}
	return out, nil
}

// named gives a blob by its name in the archive, over links.
func (a *archiveReader) named(name, what string) (stored, error) {
	clean := path.Clean(name)
	for range 8 {
		if s, ok := a.blobs[clean]; ok {
			return s, nil
		}
		target, ok := a.links[clean]
		if !ok {
			break
		}
		clean = target
	}
	return stored{}, bad("%s %q is not in the archive", what, name)
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerIndexType
}

func kindOf(mediaType string) string {
	switch {
	case isIndex(mediaType):
		return "index"
	case mediaType == ocispec.MediaTypeImageConfig, mediaType == dockerConfigType:
		return "config"
	}
	return "manifest"
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// boundedReader fails once more than max has been read.
type boundedReader struct {
	r    io.Reader
	max  func() int64
	what string
	n    int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n > b.max() {
		return n, tooLarge(b.what)
	}
	return n, err
}

// checkedReader gives an error in place of io.EOF when what was read is not
// what the digest says.
type checkedReader struct {
	r        io.Reader
	name     string
	want     digest.Digest
	digester digest.Digester
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.digester.Hash().Write(p[:n])
	if err == io.EOF && c.want != "" && c.digester.Digest() != c.want {
		return n, bad("%s has the digest %s", c.name, c.digester.Digest())
	}
	return n, err
}

// teeReader lets a scan see what is read, and gives its verdict at the end.
type teeReader struct {
	r io.Reader
	w *layerScan
}

func (t *teeReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 {
		if _, werr := t.w.Write(p[:n]); werr != nil {
			if verdict := t.w.Finish(); verdict != nil {
				werr = verdict
			}
			return n, werr
		}
	}
	if err == io.EOF {
		if verdict := t.w.Finish(); verdict != nil {
			return n, verdict
		}
	}
	return n, err
}

// endReader remembers that the end was reached.
type endReader struct {
	r     io.Reader
	ended bool
}

func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.ended = e.ended || err == io.EOF
	return n, err
}
