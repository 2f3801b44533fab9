package containerd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// storeChunk is how much is handed to the content store at once. Each chunk
// waits for its answer; the store takes messages up to 16 MiB.
const storeChunk = 1 << 20

// store writes a blob, of which the digest may not be known (""). A blob that
// is here already is kept without reading r. The lease of ctx has it then.
func (m *Images) store(ctx context.Context, d digest.Digest, size int64, r io.Reader) error {
	return m.storeFrom(ctx, d, size, func(w io.Writer) error {
		buf := make([]byte, storeChunk)
		for {
			// Not io.ReadFull, which words a short last chunk in the same way
			// as a reader that has been cut off.
			var n int
			var err error
			for n < len(buf) && err == nil {
				var more int
				more, err = r.Read(buf[n:])
				n += more
			}
			if n > 0 && (err == nil || err == io.EOF) {
				if _, werr := w.Write(buf[:n]); werr != nil {
					return werr
				}
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// storeFrom is store for what writes rather than is read. Small writes are
// gathered.
func (m *Images) storeFrom(ctx context.Context, d digest.Digest, size int64, fill func(io.Writer) error) error {
	cs := m.c.ContentStore()
	// A name of its own, so that two who write the same blob do not wait for
	// each other: the second one's is dropped at the end.
	ref := fmt.Sprintf("nsh-%016x", rand.Uint64())
	w, err := cs.Writer(ctx, content.WithRef(ref), content.WithDescriptor(ocispec.Descriptor{Digest: d, Size: size}))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	status, err := w.Status()
	if err != nil {
		return err
	}
	// At its end from the beginning: another namespace has it.
	if status.Offset != size || size == 0 {
		bw := bufio.NewWriterSize(w, storeChunk)
		err := fill(bw)
		if err == nil {
			err = bw.Flush()
		}
		if err != nil {
			_ = cs.Abort(context.WithoutCancel(ctx), ref)
			return err
		}
	}
	if err := w.Commit(ctx, size, d); err != nil && !errdefs.IsAlreadyExists(err) {
		_ = cs.Abort(context.WithoutCancel(ctx), ref)
		return err
	}
	return nil
}

// adopt labels what is stored so that an image record keeps all of it, and
// unpacks the manifests in unpacks. Content that is not here is passed over.
func (m *Images) adopt(ctx context.Context, target ocispec.Descriptor, unpacks []ocispec.Descriptor) error {
	cs := m.c.ContentStore()
	children := images.SetChildrenMappedLabels(cs, tolerant(cs), nil)
	if err := images.Walk(ctx, children, target); err != nil {
		return err
	}
	for _, desc := range unpacks {
		if err := m.unpack(ctx, desc); err != nil {
			return err
		}
	}
	return nil
}

// tolerant lists the children of what is here, and none of what is not.
func tolerant(cs content.Provider) images.HandlerFunc {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := images.Children(ctx, cs, desc)
		if errdefs.IsNotFound(err) {
			return nil, images.ErrSkipDesc
		}
		return children, err
	}
}

// unpack makes the snapshots of a manifest, all of which is stored.
func (m *Images) unpack(ctx context.Context, manifest ocispec.Descriptor) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cs := m.c.ContentStore()
	unpacker, err := m.unpacker(ctx, cs)
	if err != nil {
		return err
	}
	err = images.Dispatch(ctx, unpacker.Unpack(images.ChildrenHandler(cs)), nil, manifest)
	if err != nil {
		stop()
	}
	if _, uerr := unpacker.Wait(); err == nil {
		err = uerr
	}
	if err != nil && (strings.Contains(err.Error(), "wrong diff id") || strings.Contains(err.Error(), "unpacked layer digest")) {
		return fault.New(fault.Invalid, "a layer is not what the image's config says").WithCause(err)
	}
	if err != nil {
		return &fault.Error{Kind: fault.KindOf(err), Op: "unpack image", Subject: manifest.Digest.String(), Cause: err}
	}
	return nil
}

// here reports whether an image is complete and unpacked.
func (m *Images) here(ctx context.Context, target ocispec.Descriptor) (bool, error) {
	f, err := m.reader(m.sizeOf).facts(ctx, target, platforms.Default(), false)
	if err != nil || f.missing != "" || f.raw.config == nil {
		return false, err
	}
	if len(f.diffIDs) == 0 {
		return true, nil
	}
	_, err = m.c.SnapshotService(m.s.Snapshotter).Stat(ctx, identity.ChainID(f.diffIDs).String())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Assemble implements [image.Service].
func (m *Images) Assemble(ctx context.Context, recipe image.Recipe) (image.Image, error) {
	ctx = m.in(ctx)
	var base *image.Base
	if recipe.Base != "" {
		var err error
		if base, err = m.base(ctx, recipe); err != nil {
			return image.Image{}, imageError(err, "assemble image", recipe.Name)
		}
	}
	a, err := image.Assemble(ctx, recipe, base)
	if err != nil {
		return image.Image{}, err
	}
	rec, err := m.assemble(ctx, a)
	if err != nil {
		return image.Image{}, imageError(err, "assemble image", recipe.Name)
	}
	return m.describe(ctx, rec)
}

func (m *Images) base(ctx context.Context, recipe image.Recipe) (*image.Base, error) {
	rec, err := m.record(ctx, recipe.Base)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "%s", err).WithHint("the base must be here: `pull`, `load` or assemble it first")
	}
	if err != nil {
		return nil, err
	}
	want, exact := platforms.Default(), recipe.Platform != ""
	if exact {
		if want, err = image.Matcher([]string{recipe.Platform}, false); err != nil {
			return nil, err
		}
	}
	f, err := m.reader(m.sizeOf).facts(ctx, rec.Target, want, exact)
	if err != nil {
		return nil, err
	}
	if f.missing != "" || f.raw.config == nil {
		if exact && f.missing == "" {
			f.missing = "platform " + recipe.Platform
		}
		return nil, notComplete(rec.Name, f.missing)
	}
	return &image.Base{
		Manifest: ocispec.Manifest{Config: f.config, Layers: f.layers},
		Config:   f.raw.config,
		Layer: func(desc ocispec.Descriptor) (io.ReadCloser, error) {
			ra, err := m.c.ContentStore().ReaderAt(ctx, desc)
			if err != nil {
				return nil, err
			}
			return struct {
				io.Reader
				io.Closer
			}{content.NewReader(ra), ra}, nil
		},
	}, nil
}

func (m *Images) assemble(ctx context.Context, a *image.Assembly) (_ images.Image, err error) {
	if here, err := m.here(ctx, a.Target); err != nil {
		return images.Image{}, err
	} else if here {
		rec, err := m.c.ImageService().Get(ctx, a.Name)
		if err == nil && rec.Target.Digest == a.Target.Digest {
			return rec, nil
		}
	}
	ctx, done, err := m.hold(ctx)
	if err != nil {
		return images.Image{}, err
	}
	defer func() { done(err != nil) }()
	if a.HasLayer {
		l := a.Layers[len(a.Layers)-1]
		err := m.storeFrom(ctx, l.Digest, l.Size, func(w io.Writer) error {
			return a.WriteLayer(ctx, w)
		})
		if errdefs.IsFailedPrecondition(err) {
			return images.Image{}, fault.New(fault.Conflict, "a file was changed while the image was made").WithCause(err)
		}
		if err != nil {
			return images.Image{}, err
		}
	}
	for _, doc := range []struct {
		desc ocispec.Descriptor
		data []byte
	}{{a.ConfigDesc, a.Config}, {a.Target, a.Manifest}} {
		if err := m.store(ctx, doc.desc.Digest, doc.desc.Size, strings.NewReader(string(doc.data))); err != nil {
			return images.Image{}, err
		}
	}
	if err := m.adopt(ctx, a.Target, []ocispec.Descriptor{a.Target}); err != nil {
		return images.Image{}, err
	}
	return m.put(ctx, images.Image{Name: a.Name, Target: a.Target})
}
