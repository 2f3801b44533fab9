package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Images implements [image.Service]. It is part of an [Engine].
type Images struct {
	e *Engine

	mu        sync.Mutex
	records   map[string]record // by stored name
	blobs     map[digest.Digest][]byte
	roots     map[digest.Digest]unpacked // by manifest
	published map[string]image.Recipe    // by stored name
}

var _ image.Service = (*Images)(nil)

type record struct {
	name    string
	target  ocispec.Descriptor
	created time.Time
	tagged  time.Time
}

// unpacked is the file system of an image; it is never changed.
type unpacked struct {
	files *Files
	size  int64
}

func newImages(e *Engine) *Images {
	return &Images{
		e: e, records: map[string]record{}, blobs: map[digest.Digest][]byte{}, roots: map[digest.Digest]unpacked{}, published: map[string]image.Recipe{},
	}
}

// Publish makes an image one that Pull finds under the recipe's name. Without
// Files and Base it holds all programs there are, each as a file in /bin, and whatever
// its Entrypoint and Cmd name. Base is an image that is here when it is pulled.
func (e *Engine) Publish(recipe image.Recipe) error {
	name, err := image.Normalize(recipe.Name)
	if err != nil {
		return err
	}
	e.Images.mu.Lock()
	defer e.Images.mu.Unlock()
	e.Images.published[name] = recipe
	return nil
}

// madeUp gives the files of a published image that has none.
func (e *Engine) madeUp(recipe image.Recipe) image.Recipe {
	if recipe.Base != "" || len(recipe.Files) > 0 {
		return recipe
	}
	e.mu.Lock()
	names := slices.Sorted(maps.Keys(e.programs))
	e.mu.Unlock()
	paths := []string{}
	for _, n := range names {
		paths = append(paths, "/bin/"+n)
	}
	for _, list := range [][]string{recipe.Config.Entrypoint, recipe.Config.Cmd} {
		if len(list) == 0 {
			continue
		}
		p := list[0]
		if !strings.Contains(p, "/") {
			p = "/bin/" + p
		}
		if strings.HasPrefix(p, "/") && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		recipe.Files = append(recipe.Files, image.File{Path: p, Content: []byte("simulated\n"), Mode: 0o755})
	}
	recipe.Files = append(recipe.Files,
		image.File{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		image.File{Path: "/tmp", Directory: true, Mode: 0o1777})
	return recipe
}

// read gives a document. It is called with the lock held.
func (m *Images) read(d digest.Digest, v any) (missing bool, err error) {
	data, ok := m.blobs[d]
	if !ok {
		return true, nil
	}
	return false, json.Unmarshal(data, v)
}

// facts is what the blobs of an image say of it for one platform.
type facts struct {
	manifest ocispec.Descriptor
	layers   []ocispec.Descriptor
	config   digest.Digest
	platform string
	missing  string
	content  int64
	image    ocispec.Image
	found    bool
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

// manifests lists those of an image that are here. It is called with the lock held.
func (m *Images) manifests(target ocispec.Descriptor) []ocispec.Descriptor {
	if !isIndex(target.MediaType) {
		return []ocispec.Descriptor{target}
	}
	var index ocispec.Index
	_, _ = m.read(target.Digest, &index)
	var out []ocispec.Descriptor
	for _, d := range index.Manifests {
		out = append(out, m.manifests(d)...)
	}
	return out
}

// look gathers the facts for the best platform that want matches; exact: for no
// other one. It is called with the lock held.
func (m *Images) look(target ocispec.Descriptor, want platforms.MatchComparer, exact bool) facts {
	var best facts
	var content int64
	seen := map[digest.Digest]bool{}
	count := func(d digest.Digest) bool {
		data, ok := m.blobs[d]
		if ok && !seen[d] {
			seen[d] = true
			content += int64(len(data))
		}
		return ok
	}
	count(target.Digest)
	for _, desc := range m.manifests(target) {
		f := facts{manifest: desc, found: true}
		var manifest ocispec.Manifest
		if !count(desc.Digest) {
			continue
		}
		if _, err := m.read(desc.Digest, &manifest); err != nil {
			continue
		}
		f.layers, f.config = manifest.Layers, manifest.Config.Digest
		if !count(f.config) {
			f.missing = "config " + f.config.String()
		} else if _, err := m.read(f.config, &f.image); err != nil {
			f.missing = "config " + f.config.String()
		}
		for _, l := range manifest.Layers {
			if !count(l.Digest) && f.missing == "" {
				f.missing = "layer " + l.Digest.String()
			}
		}
		p := f.image.Platform
		if desc.Platform != nil {
			p = *desc.Platform
		}
		p = platforms.Normalize(p)
		f.platform = platforms.Format(p)
		f.image.Platform = p
		if f.missing != "" {
			f.missing = f.platform + ": " + f.missing
		}
		if exact && !want.Match(p) {
			continue
		}
		better := !best.found || want.Less(p, best.image.Platform) && (f.missing == "" || best.missing != "") || f.missing == "" && best.missing != ""
		if better {
			best = f
		}
	}
	best.content = content
	return best
}

// value makes what callers see. It is called with the lock held. used are the
// names and IDs of the images of containers.
func (m *Images) value(r record, used map[string]bool) image.Image {
	f := m.look(r.target, platforms.Default(), false)
	img := image.Image{
		Name: r.name, ID: r.target.Digest.String(), Created: r.created, Content: f.content,
		Platform: f.platform, ConfigDigest: f.config.String(), Missing: f.missing, InUse: used[r.target.Digest.String()],
	}
	if f.image.Created != nil {
		img.Created = f.image.Created.UTC()
	}
	if u, ok := m.roots[f.manifest.Digest]; ok {
		img.Size = u.size
	}
	return img
}

// used is called without locks.
func (m *Images) used() map[string]bool {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	out := map[string]bool{}
	for _, b := range m.e.boxes {
		out[b.imageID] = true
	}
	return out
}

// all is called with the lock held.
func (m *Images) all(used map[string]bool) []image.Image {
	out := []image.Image{}
	for _, r := range m.records {
		out = append(out, m.value(r, used))
	}
	slices.SortFunc(out, func(a, b image.Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// List implements [image.Service].
func (m *Images) List(ctx context.Context) ([]image.Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "list images", "")
	}
	used := m.used()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all(used), nil
}

// find resolves a ref: the records it stands for, all of one image, sorted by
// name. It is called with the lock held.
func (m *Images) find(ref string) (recs []record, byName bool, err error) {
	match, err := image.Find(ref, m.all(nil))
	if err != nil {
		return nil, false, err
	}
	for _, img := range match.Images {
		recs = append(recs, m.records[img.Name])
	}
	slices.SortFunc(recs, func(a, b record) int { return strings.Compare(a.name, b.name) })
	return recs, match.ByName, nil
}

// Get implements [image.Service].
func (m *Images) Get(ctx context.Context, ref string) (image.Image, error) {
	if err := ctx.Err(); err != nil {
		return image.Image{}, fault.Wrap(err, "look up image", ref)
	}
	used := m.used()
	m.mu.Lock()
	defer m.mu.Unlock()
	recs, _, err := m.find(ref)
	if err != nil {
		return image.Image{}, err
	}
	return m.value(recs[0], used), nil
}

// choose gives a matcher for one platform, the host's for "".
func choose(platform string) (want platforms.MatchComparer, exact bool, err error) {
	if platform == "" {
		return platforms.Default(), false, nil
	}
	want, err = image.Matcher([]string{platform}, false)
	return want, true, err
}

// Inspect implements [image.Service].
func (m *Images) Inspect(ctx context.Context, ref, platform string) (image.Detail, error) {
	if err := ctx.Err(); err != nil {
		return image.Detail{}, fault.Wrap(err, "inspect image", ref)
	}
	want, exact, err := choose(platform)
	if err != nil {
		return image.Detail{}, err
	}
	used := m.used()
	m.mu.Lock()
	defer m.mu.Unlock()
	recs, _, err := m.find(ref)
	if err != nil {
		return image.Detail{}, err
	}
	r := recs[0]
	f := m.look(r.target, want, exact)
	if !f.found {
		return image.Detail{}, noPlatform(ref, platform)
	}
	raw, ok := m.blobs[f.config]
	if !ok {
		return image.Detail{}, notComplete(r.name, f.missing)
	}
	d, err := image.ReadConfig(raw)
	if err != nil {
		return image.Detail{}, err
	}
	created := d.Created
	d.Image = m.value(r, used)
	d.Platform, d.ConfigDigest, d.Missing = f.platform, f.config.String(), f.missing
	d.Size = m.roots[f.manifest.Digest].size
	if !created.IsZero() {
		d.Created = created
	}
	d.Target = image.Target{MediaType: r.target.MediaType, Digest: r.target.Digest.String(), Size: r.target.Size}
	d.Tagged = r.tagged
	for _, name := range slices.Sorted(maps.Keys(m.records)) {
		if m.records[name].target.Digest != r.target.Digest {
			continue
		}
		if t := image.RepoTag(name); t != "" {
			d.RepoTags = append(d.RepoTags, t)
		}
		if t := image.RepoDigest(name, r.target.Digest.String()); t != "" && !slices.Contains(d.RepoDigests, t) {
			d.RepoDigests = append(d.RepoDigests, t)
		}
	}
	d.Native = map[string]any{"Name": r.name, "Target": r.target, "Manifest": json.RawMessage(m.blobs[f.manifest.Digest]), "Config": json.RawMessage(raw)}
	return d, nil
}

func noPlatform(ref, platform string) error {
	if platform == "" {
		platform = platforms.Format(platforms.DefaultSpec())
	}
	return fault.New(fault.NotFound, "image with reference %s was found but does not provide the specified platform (%s)", ref, platform)
}

func notComplete(name, missing string) error {
	return fault.New(fault.NotFound, "image %s is not complete: %s is not here", image.Familiar(name), missing).
		WithHint("`pull %s` fetches what is missing", image.Familiar(name))
}

// root gives a copy of the file system of an image.
func (m *Images) root(ref, platform string) (*Files, error) {
	want, exact, err := choose(platform)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	recs, _, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	f := m.look(recs[0].target, want, exact)
	switch {
	case !f.found:
		return nil, noPlatform(ref, platform)
	case f.missing != "":
		return nil, notComplete(recs[0].name, f.missing)
	}
	u, err := m.unpack(f)
	if err != nil {
		return nil, err
	}
	return u.files.clone(), nil
}

// unpack is called with the lock held.
func (m *Images) unpack(f facts) (unpacked, error) {
	if u, ok := m.roots[f.manifest.Digest]; ok {
		return u, nil
	}
	u := unpacked{files: newFiles()}
	for _, l := range f.layers {
		n, err := u.files.addLayer(bytes.NewReader(m.blobs[l.Digest]))
		if err != nil {
			return unpacked{}, fault.New(fault.Invalid, "layer %s is damaged", l.Digest).WithCause(err)
		}
		u.size += n
	}
	m.roots[f.manifest.Digest] = u
	return u, nil
}

// put sets a name. It is called with the lock held.
func (m *Images) put(name string, target ocispec.Descriptor) record {
	now := m.e.stamp()
	r := record{name: name, target: target, created: now, tagged: now}
	if old, ok := m.records[name]; ok {
		r.created = old.created
	}
	m.records[name] = r
	if f := m.look(target, platforms.Default(), false); f.found && f.missing == "" {
		// What cannot be unpacked is told when a container is made from it.
		_, _ = m.unpack(f)
	}
	m.collect()
	return r
}

// collect forgets what no image needs. It is called with the lock held.
func (m *Images) collect() {
	keep := map[digest.Digest]bool{}
	for _, r := range m.records {
		m.mark(r.target, keep)
	}
	maps.DeleteFunc(m.blobs, func(d digest.Digest, _ []byte) bool { return !keep[d] })
	maps.DeleteFunc(m.roots, func(d digest.Digest, _ unpacked) bool { return !keep[d] })
}

func (m *Images) mark(desc ocispec.Descriptor, keep map[digest.Digest]bool) {
	keep[desc.Digest] = true
	if isIndex(desc.MediaType) {
		var index ocispec.Index
		_, _ = m.read(desc.Digest, &index)
		for _, d := range index.Manifests {
			m.mark(d, keep)
		}
		return
	}
	var manifest ocispec.Manifest
	_, _ = m.read(desc.Digest, &manifest)
	keep[manifest.Config.Digest] = true
	for _, l := range manifest.Layers {
		keep[l.Digest] = true
	}
}

// Assemble implements [image.Service].
func (m *Images) Assemble(ctx context.Context, recipe image.Recipe) (image.Image, error) {
	a, layer, err := m.assembly(ctx, recipe)
	if err != nil {
		return image.Image{}, err
	}
	used := m.used()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[a.Target.Digest] = a.Manifest
	m.blobs[a.ConfigDesc.Digest] = a.Config
	if a.HasLayer {
		m.blobs[a.Layers[len(a.Layers)-1].Digest] = layer
	}
	return m.value(m.put(a.Name, a.Target), used), nil
}

func (m *Images) assembly(ctx context.Context, recipe image.Recipe) (*image.Assembly, []byte, error) {
	base, err := m.base(recipe)
	if err != nil {
		return nil, nil, fault.Wrap(err, "assemble image", recipe.Name)
	}
	a, err := image.Assemble(ctx, recipe, base)
	if err != nil {
		return nil, nil, err
	}
	var layer bytes.Buffer
	if a.HasLayer {
		if err := a.WriteLayer(ctx, &layer); err != nil {
			return nil, nil, err
		}
		if d := a.Layers[len(a.Layers)-1].Digest; digest.FromBytes(layer.Bytes()) != d {
			return nil, nil, fault.New(fault.Conflict, "assemble image %q: a file was changed meanwhile", recipe.Name)
		}
	}
	return a, layer.Bytes(), nil
}

func (m *Images) base(recipe image.Recipe) (*image.Base, error) {
	if recipe.Base == "" {
		return nil, nil
	}
	want, exact, err := choose(recipe.Platform)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	recs, _, err := m.find(recipe.Base)
	if err != nil {
		return nil, err
	}
	f := m.look(recs[0].target, want, exact)
	switch {
	case !f.found:
		return nil, noPlatform(recipe.Base, recipe.Platform)
	case f.missing != "":
		return nil, notComplete(recs[0].name, f.missing)
	}
	b := &image.Base{Config: m.blobs[f.config]}
	if _, err := m.read(f.manifest.Digest, &b.Manifest); err != nil {
		return nil, err
	}
	// The layers are taken along: the image may be removed meanwhile.
	layers := map[digest.Digest][]byte{}
	for _, l := range f.layers {
		layers[l.Digest] = m.blobs[l.Digest]
	}
	b.Layer = func(d ocispec.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layers[d.Digest])), nil
	}
	return b, nil
}

// Pull implements [image.Service].
func (m *Images) Pull(ctx context.Context, ref string, opts image.PullOptions) (image.Image, error) {
	name, err := image.Normalize(ref)
	if err != nil {
		return image.Image{}, err
	}
	if err := ctx.Err(); err != nil {
		return image.Image{}, fault.Wrap(err, "pull", image.Familiar(name))
	}
	if _, err := image.Matcher(opts.Platforms, opts.AllPlatforms); err != nil {
		return image.Image{}, err
	}
	m.mu.Lock()
	recipe, ok := m.published[name]
	repository, _, _ := strings.Cut(strings.TrimSuffix(image.Familiar(name), ":latest"), "@")
	tags := false
	for other := range m.published {
		a, _ := image.ParseName(other)
		b, _ := image.ParseName(name)
		if tags = tags || a.Repository == b.Repository; tags {
			repository = b.Repository
		}
	}
	m.mu.Unlock()
	switch {
	case ok:
	case m.e.opts.AnyImage && !strings.Contains(name, "@"):
		recipe = image.Recipe{Config: image.Config{Cmd: []string{"/bin/server"}}}
	case tags:
		return image.Image{}, fault.New(fault.NotFound, "manifest for %s not found: manifest unknown: manifest unknown", image.Familiar(name)).
			WithHint("look at the name and the tag")
	default:
		if n, ok := image.ParseName(name); ok {
			repository = n.Repository
		}
		return image.Image{}, fault.New(fault.Denied, "pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", repository).
			WithHint("the engine in memory only has what was published to it")
	}
	recipe.Name = name
	if len(opts.Platforms) == 1 && recipe.Platform == "" && recipe.Base == "" {
		recipe.Platform = opts.Platforms[0]
	}
	img, err := m.Assemble(ctx, m.e.madeUp(recipe))
	if err != nil {
		return image.Image{}, fault.Wrap(err, "pull", image.Familiar(name))
	}
	if opts.Progress != nil {
		for _, status := range []string{"Downloading", "Extracting", "Pull complete"} {
			opts.Progress(image.Progress{Digest: img.ID, Status: status, Done: img.Content, Total: img.Content})
		}
	}
	return img, nil
}

// Tag implements [image.Service].
func (m *Images) Tag(ctx context.Context, source, target string) error {
	name, err := image.Normalize(target)
	if err != nil {
		return err
	}
	if strings.Contains(name, "@") {
		return fault.New(fault.Invalid, "refusing to create a tag with a digest reference")
	}
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "tag image", source)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	recs, _, err := m.find(source)
	if err != nil {
		return err
	}
	m.put(name, recs[0].target)
	return nil
}

// snapshotter is what stands before the digest in the names that nobody gave.
const snapshotter = "memory"

// Remove implements [image.Service], with docker's rules (moby,
// daemon/containerd/image_delete.go).
func (m *Images) Remove(ctx context.Context, ref string, opts image.RemoveOptions) ([]image.Removed, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "remove image", ref)
	}
	m.e.mu.Lock()
	type user struct {
		id, image string
		running   bool
	}
	var users []user
	for _, b := range m.e.boxes {
		users = append(users, user{b.id, b.imageID, b.alive()})
	}
	m.e.mu.Unlock()
	slices.SortFunc(users, func(a, b user) int { return strings.Compare(a.id, b.id) })

	m.mu.Lock()
	defer m.mu.Unlock()
	gone, byName, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	target := gone[0].target
	id := image.ShortID(target.Digest.String())
	var all []record
	tagged := 0
	for _, name := range slices.Sorted(maps.Keys(m.records)) {
		if r := m.records[name]; r.target.Digest == target.Digest {
			all = append(all, r)
			if image.RepoTag(name) != "" {
				tagged++
			}
		}
	}
	// With the last tag go the names that nobody gave, and those by digest.
	if byName && tagged == 1 && image.RepoTag(gone[0].name) != "" {
		gone = all
	}
	if !byName && !opts.Force && tagged > 1 {
		return nil, image.ManyNames(id)
	}
	last := len(gone) == len(all)
	var stopped, running, first string
	for _, u := range users {
		if u.image != target.Digest.String() {
			continue
		}
		if first == "" {
			first = container.ShortID(u.id)
		}
		if u.running {
			running = container.ShortID(u.id)
		} else {
			stopped = container.ShortID(u.id)
		}
	}
	if last {
		switch {
		case byName && !opts.Force && first != "":
			return nil, image.NameUsed(ref, first, id)
		case !byName && running != "":
			return nil, image.UsedByRunning(id, running)
		case !byName && !opts.Force && stopped != "":
			return nil, image.UsedByStopped(id, stopped)
		}
	}
	if last && running != "" {
		name := image.DanglingName(snapshotter, target.Digest.String())
		m.put(name, target)
		gone = slices.DeleteFunc(slices.Clone(gone), func(r record) bool { return r.name == name })
		last = false
	}
	var out []image.Removed
	for _, r := range gone {
		delete(m.records, r.name)
		if !image.IsDangling(r.name) {
			out = append(out, image.Removed{Untagged: image.Familiar(r.name)})
		}
	}
	if last {
		out = append(out, image.Removed{Deleted: target.Digest.String()})
	}
	m.collect()
	return out, nil
}
