package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Images implements [image.Service] on containerd's image, content, snapshot
// and lease services. Registries are spoken to from this process, not from
// containerd's: with the proxy variables, certificates and credentials of the
// caller, and with every hosts directory, where the transfer service takes one.
type Images struct {
	c *client.Client
	s engine.Settings

	// How long a registry may take to name an image, and to send the next
	// bytes of one. Variables for the sake of tests.
	resolveWait time.Duration
	idleWait    time.Duration
}

var _ image.Service = (*Images)(nil)

// NewImages gives the image service on a client, whose default namespace is
// the one that all its calls are made in.
func NewImages(c *client.Client, s engine.Settings) *Images {
	return &Images{c: c, s: s, resolveWait: 30 * time.Second, idleWait: time.Minute}
}

// concurrentReads bounds the calls that a list makes at once.
const concurrentReads = 16

// maxDocument bounds an index, manifest or config that is read into memory, as
// containerd's own resolver does for manifests (4 MiB) with room for configs.
const maxDocument = 8 << 20

// in gives ctx the namespace of the client: calls carry it by themselves, but
// parts of the client look for it in the context. It also keeps the client from
// logging to standard error what it returns as an error anyway.
func (m *Images) in(ctx context.Context) context.Context {
	if !m.s.Debug {
		ctx = log.WithLogger(ctx, silent)
	}
	if _, ok := namespaces.Namespace(ctx); ok || m.c.DefaultNamespace() == "" {
		return ctx
	}
	return namespaces.WithNamespace(ctx, m.c.DefaultNamespace())
}

var silent = func() *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}()

// List implements [image.Service].
func (m *Images) List(ctx context.Context) ([]image.Image, error) {
	all, err := m.list(m.in(ctx))
	return all, fault.Wrap(err, "list images", "")
}

func (m *Images) list(ctx context.Context) ([]image.Image, error) {
	var recs []images.Image
	var users []user
	present := map[digest.Digest]int64{}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		recs, err = m.c.ImageService().List(gctx)
		return err
	})
	g.Go(func() (err error) {
		users, err = m.users(gctx)
		return err
	})
	g.Go(func() error {
		// One call for all blobs is faster than a call for each of a few.
		return m.c.ContentStore().Walk(gctx, func(info content.Info) error {
			present[info.Digest] = info.Size
			return nil
		})
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}

	r := m.reader(func(_ context.Context, d digest.Digest) (int64, error) {
		if size, ok := present[d]; ok {
			return size, nil
		}
		return 0, errdefs.ErrNotFound
	})
	targets := map[digest.Digest]*facts{}
	for _, rec := range recs {
		targets[rec.Target.Digest] = &facts{}
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(concurrentReads)
	done := map[digest.Digest]bool{}
	for _, rec := range recs {
		if done[rec.Target.Digest] {
			continue
		}
		done[rec.Target.Digest] = true
		g.Go(func() (err error) {
			*targets[rec.Target.Digest], err = r.facts(gctx, rec.Target, platforms.Default(), false)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	used, err := m.usedTargets(ctx, recs, users, targets)
	if err != nil {
		return nil, err
	}
	out := make([]image.Image, 0, len(recs))
	for _, rec := range recs {
		out = append(out, value(rec, *targets[rec.Target.Digest], used[rec.Target.Digest]))
	}
	slices.SortStableFunc(out, func(a, b image.Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

func value(rec images.Image, f facts, used bool) image.Image {
	img := image.Image{
		Name: rec.Name, ID: rec.Target.Digest.String(), Labels: f.labels, Created: f.created,
		Size: f.size, Content: f.content, Platform: f.platform, ConfigDigest: f.config.Digest.String(), InUse: used, Missing: f.missing,
	}
	if img.Created.IsZero() {
		img.Created = rec.CreatedAt.UTC()
	}
	return img
}

// Get implements [image.Service].
func (m *Images) Get(ctx context.Context, ref string) (image.Image, error) {
	ctx = m.in(ctx)
	rec, err := m.record(ctx, ref)
	if err != nil {
		return image.Image{}, err
	}
	img, err := m.describe(ctx, rec)
	return img, imageError(err, "look up image", ref)
}

func (m *Images) describe(ctx context.Context, rec images.Image) (image.Image, error) {
	var f facts
	var users []user
	var same []images.Image
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		f, err = m.reader(m.sizeOf).facts(gctx, rec.Target, platforms.Default(), false)
		return err
	})
	g.Go(func() (err error) {
		users, err = m.users(gctx)
		return err
	})
	g.Go(func() (err error) {
		same, err = m.sameTarget(gctx, rec.Target.Digest)
		return err
	})
	if err := g.Wait(); err != nil {
		return image.Image{}, err
	}
	used := slices.ContainsFunc(users, func(u user) bool {
		return slices.ContainsFunc(same, func(s images.Image) bool { return s.Name == u.image })
	})
	return value(rec, f, used), nil
}

// record finds the image record that a ref stands for, as cheaply as that can
// be done: one call for a name. For an ID it is the first of the names.
func (m *Images) record(ctx context.Context, ref string) (images.Image, error) {
	recs, _, err := m.match(m.in(ctx), ref)
	if err != nil {
		return images.Image{}, err
	}
	return recs[0], nil
}

// match is [image.Find] on the records of the engine: at least one record, all
// of one target.
func (m *Images) match(ctx context.Context, ref string) (recs []images.Image, byName bool, err error) {
	is := m.c.ImageService()
	for _, name := range []func() (string, error){
		func() (string, error) { return image.Normalize(ref) },
		func() (string, error) { return ref, nil },
	} {
		n, err := name()
		if err != nil || n == "" {
			continue
		}
		rec, err := is.Get(ctx, n)
		if err == nil {
			return []images.Image{rec}, true, nil
		}
		if !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			return nil, false, fault.Wrap(err, "look up image", ref)
		}
	}
	all, err := is.List(ctx)
	if err != nil {
		return nil, false, fault.Wrap(err, "look up image", ref)
	}
	values := make([]image.Image, len(all))
	for i, rec := range all {
		values[i] = image.Image{Name: rec.Name, ID: rec.Target.Digest.String()}
	}
	found, err := image.Find(ref, values)
	if fault.Is(err, fault.NotFound) {
		// The digest of a config is in no record.
		if values, err = m.list(ctx); err != nil {
			return nil, false, fault.Wrap(err, "look up image", ref)
		}
		found, err = image.Find(ref, values)
	}
	if err != nil {
		return nil, false, err
	}
	for _, img := range found.Images {
		if i := slices.IndexFunc(all, func(r images.Image) bool { return r.Name == img.Name }); i >= 0 {
			recs = append(recs, all[i])
		}
	}
	if len(recs) == 0 {
		return nil, false, image.NoSuchImage(ref)
	}
	return recs, found.ByName, nil
}

// sameTarget lists the records of one image, sorted by name.
func (m *Images) sameTarget(ctx context.Context, d digest.Digest) ([]images.Image, error) {
	recs, err := m.c.ImageService().List(ctx, "target.digest=="+d.String())
	slices.SortFunc(recs, func(a, b images.Image) int { return strings.Compare(a.Name, b.Name) })
	return recs, err
}

// facts is what the blobs of an image say of it, for the platform that is
// looked at.
type facts struct {
	platform string
	created  time.Time
	labels   map[string]string  // of the config
	manifest ocispec.Descriptor // empty when no manifest is here
	config   ocispec.Descriptor
	layers   []ocispec.Descriptor
	diffIDs  []digest.Digest
	raw      struct{ index, manifest, config []byte }
	missing  string
	size     int64
	content  int64
}

// blobReader reads the documents of images and the sizes of their snapshots,
// each once. It is safe for concurrent use.
type blobReader struct {
	api    contentapi.ContentClient
	sizeOf func(context.Context, digest.Digest) (int64, error) // not found when it is not here
	sn     snapshots.Snapshotter

	mu    sync.Mutex
	sizes map[digest.Digest]int64 // of blobs; -1 for one that is not here
	usage map[digest.Digest]int64 // of snapshots; -1 for one that is not here
}

func (m *Images) reader(sizeOf func(context.Context, digest.Digest) (int64, error)) *blobReader {
	return &blobReader{
		api: contentapi.NewContentClient(m.c.Conn().(grpc.ClientConnInterface)), sizeOf: sizeOf,
		sn: m.c.SnapshotService(m.s.Snapshotter), usage: map[digest.Digest]int64{}, sizes: map[digest.Digest]int64{},
	}
}

// size is sizeOf, asked once a blob.
func (r *blobReader) size(ctx context.Context, d digest.Digest) (int64, error) {
	r.mu.Lock()
	size, known := r.sizes[d]
	r.mu.Unlock()
	if !known {
		var err error
		size, err = r.sizeOf(ctx, d)
		if errdefs.IsNotFound(err) {
			size, err = -1, nil
		}
		if err != nil {
			return 0, err
		}
		r.mu.Lock()
		r.sizes[d] = size
		r.mu.Unlock()
	}
	if size < 0 {
		return 0, fmt.Errorf("content %s: %w", d, errdefs.ErrNotFound)
	}
	return size, nil
}

// warm asks for the sizes of several blobs at once.
func (r *blobReader) warm(ctx context.Context, all []ocispec.Descriptor) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentReads)
	for _, desc := range all {
		g.Go(func() error {
			if _, err := r.size(ctx, desc.Digest); !errdefs.IsNotFound(err) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

func (m *Images) sizeOf(ctx context.Context, d digest.Digest) (int64, error) {
	info, err := m.c.ContentStore().Info(ctx, d)
	return info.Size, err
}

// read gives a document in one call; the content store's reader needs two.
func (r *blobReader) read(ctx context.Context, d digest.Digest) ([]byte, error) {
	size, err := r.size(ctx, d)
	if err != nil {
		return nil, err
	}
	if size > maxDocument {
		return nil, fmt.Errorf("%s has %d bytes, too many for a manifest or config: %w", d, size, errdefs.ErrOutOfRange)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.api.Read(ctx, &contentapi.ReadContentRequest{Digest: d.String(), Size: size})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	data := make([]byte, 0, size)
	for {
		resp, err := stream.Recv()
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, errgrpc.ToNative(err)
		}
		data = append(data, resp.Data...)
	}
}

// facts looks at an image. What is not here is left out and told in missing;
// an error is one of the engine's. With exact only a manifest that matches
// want is looked at, else the best that is here.
func (r *blobReader) facts(ctx context.Context, target ocispec.Descriptor, want platforms.MatchComparer, exact bool) (facts, error) {
	var f facts
	counted := map[digest.Digest]bool{}
	count := func(d digest.Digest) (bool, error) {
		size, err := r.size(ctx, d)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		if err == nil && !counted[d] {
			counted[d] = true
			f.content += size
		}
		return err == nil, err
	}
	manifests := []ocispec.Descriptor{target}
	if images.IsIndexType(target.MediaType) {
		manifests = nil
		if here, err := count(target.Digest); err != nil || !here {
			f.missing = "index " + target.Digest.String()
			return f, err
		}
		data, err := r.read(ctx, target.Digest)
		if err != nil {
			return f, err
		}
		var index ocispec.Index
		if err := json.Unmarshal(data, &index); err != nil {
			f.missing = "index " + target.Digest.String() + ": " + err.Error()
			return f, nil
		}
		f.raw.index, manifests = data, index.Manifests
	}

	type candidate struct {
		desc     ocispec.Descriptor
		manifest ocispec.Manifest
		raw      []byte
		config   []byte
		spec     ocispec.Image
		missing  string
	}
	var best *candidate
	better := func(a, b *candidate) bool {
		am, bm := want.Match(a.spec.Platform), want.Match(b.spec.Platform)
		if am != bm {
			return am
		}
		if (a.missing == "") != (b.missing == "") {
			return a.missing == ""
		}
		return am && want.Less(a.spec.Platform, b.spec.Platform)
	}
	var absent string
	for _, desc := range manifests {
		if !images.IsManifestType(desc.MediaType) || (desc.Platform != nil && desc.Platform.OS == "unknown") {
			// An attestation of BuildKit's, or something that is no image.
			if _, err := count(desc.Digest); err != nil {
				return f, err
			}
			continue
		}
		here, err := count(desc.Digest)
		if err != nil {
			return f, err
		}
		if !here {
			if desc.Platform == nil || want.Match(*desc.Platform) || absent == "" {
				absent = "manifest " + desc.Digest.String()
			}
			continue
		}
		c := &candidate{desc: desc}
		if c.raw, err = r.read(ctx, desc.Digest); err != nil {
			return f, err
		}
		if err := json.Unmarshal(c.raw, &c.manifest); err != nil {
			absent = "manifest " + desc.Digest.String() + ": " + err.Error()
			continue
		}
		if desc.Platform != nil {
			c.spec.Platform = *desc.Platform
		}
		if here, err = count(c.manifest.Config.Digest); err != nil {
			return f, err
		}
		if here {
			if c.config, err = r.read(ctx, c.manifest.Config.Digest); err != nil {
				return f, err
			}
			if err := json.Unmarshal(c.config, &c.spec); err != nil {
				c.missing = "config " + c.manifest.Config.Digest.String() + ": " + err.Error()
			}
		} else {
			c.missing = "config " + c.manifest.Config.Digest.String()
		}
		if err := r.warm(ctx, c.manifest.Layers); err != nil {
			return f, err
		}
		for _, l := range c.manifest.Layers {
			here, err := count(l.Digest)
			if err != nil {
				return f, err
			}
			if !here && c.missing == "" {
				c.missing = "layer " + l.Digest.String()
			}
		}
		c.spec.Platform = platforms.Normalize(c.spec.Platform)
		if exact && !want.Match(c.spec.Platform) {
			continue
		}
		if best == nil || better(c, best) {
			best = c
		}
	}
	if best == nil {
		f.missing = absent
		return f, nil
	}
	f.platform = platformName(best.spec.Platform)
	f.manifest, f.config, f.layers = best.desc, best.manifest.Config, best.manifest.Layers
	f.diffIDs = best.spec.RootFS.DiffIDs
	f.raw.manifest, f.raw.config = best.raw, best.config
	f.labels = best.spec.Config.Labels
	if best.spec.Created != nil {
		f.created = best.spec.Created.UTC()
	}
	f.missing = missingOf(best.spec.Platform, best.missing)
	var err error
	f.size, err = r.unpacked(ctx, f.diffIDs)
	return f, err
}

// platformName is empty for an image whose config, which would tell, is gone.
func platformName(p ocispec.Platform) string {
	if p.Architecture == "" {
		return ""
	}
	return platforms.Format(p)
}

func missingOf(p ocispec.Platform, what string) string {
	if name := platformName(p); what != "" && name != "" {
		return name + ": " + what
	}
	return what
}

// unpacked gives the size of the snapshots of an image, 0 when it has not been
// unpacked.
func (r *blobReader) unpacked(ctx context.Context, diffIDs []digest.Digest) (int64, error) {
	chain := identity.ChainIDs(slices.Clone(diffIDs))
	sizes := make([]int64, len(chain))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentReads)
	for i, id := range chain {
		g.Go(func() error {
			r.mu.Lock()
			size, known := r.usage[id]
			r.mu.Unlock()
			if !known {
				u, err := r.sn.Usage(ctx, id.String())
				if errdefs.IsNotFound(err) {
					u.Size, err = -1, nil
				}
				if err != nil {
					return err
				}
				size = u.Size
				r.mu.Lock()
				r.usage[id] = size
				r.mu.Unlock()
			}
			sizes[i] = size
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	var sum int64
	for _, size := range sizes {
		if size < 0 {
			return 0, nil
		}
		sum += size
	}
	return sum, nil
}

// user is a container, as far as images care.
type user struct {
	id       string
	image    string
	snapshot string
	sn       string
}

func (m *Images) users(ctx context.Context) ([]user, error) {
	recs, err := m.c.ContainerService().List(ctx)
	if err != nil {
		return nil, err
	}
	var out []user
	for _, r := range recs {
		out = append(out, user{id: r.ID, image: r.Image, snapshot: r.SnapshotKey, sn: r.Snapshotter})
	}
	return out, nil
}

// usedTargets finds the images that a container was made from: by the name
// that the container has for its image, or, when that name is gone, by what its
// snapshot lies on.
func (m *Images) usedTargets(ctx context.Context, recs []images.Image, users []user, targets map[digest.Digest]*facts) (map[digest.Digest]bool, error) {
	byName := map[string]digest.Digest{}
	for _, r := range recs {
		byName[r.Name] = r.Target.Digest
	}
	used := map[digest.Digest]bool{}
	for _, u := range users {
		if d, ok := byName[u.image]; ok {
			used[d] = true
			continue
		}
		parent, err := m.parent(ctx, u)
		if err != nil {
			return nil, err
		}
		for d, f := range targets {
			if parent != "" && len(f.diffIDs) > 0 && identity.ChainID(f.diffIDs).String() == parent {
				used[d] = true
			}
		}
	}
	return used, nil
}

// parent gives the snapshot that a container's lies on; empty when there is none.
func (m *Images) parent(ctx context.Context, u user) (string, error) {
	if u.snapshot == "" || u.sn == "" {
		return "", nil
	}
	info, err := m.c.SnapshotService(u.sn).Stat(ctx, u.snapshot)
	if errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) {
		return "", nil
	}
	return info.Parent, err
}

// notComplete is the error for an image of which something is needed that is
// not here.
func notComplete(name, missing string) error {
	e := fault.New(fault.NotFound, "image %s is not complete: %s is not here", image.Familiar(name), missing)
	return e.WithHint("`pull` or `load` it again, with --platform where it is for another platform")
}

// imageError says what was being done when the engine failed. What has been
// worded already, often as docker does, stays as it is.
func imageError(err error, op, subject string) error {
	var worded *fault.Error
	switch {
	case err == nil:
		return nil
	case isDiskFull(err):
		return &fault.Error{Kind: fault.Unavailable, Op: op, Subject: subject, Cause: err,
			Hint: "the disk of the engine is full: `image prune` removes images that have no name"}
	case errors.As(err, &worded):
		return worded
	}
	return fault.Wrap(err, op, subject)
}

// isDiskFull looks at the words, since the engine's errors have no number.
func isDiskFull(err error) bool { return strings.Contains(err.Error(), syscall.ENOSPC.Error()) }
