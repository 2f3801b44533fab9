package containerd

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/image"
)

// Load implements [image.Service].
func (m *Images) Load(ctx context.Context, r io.Reader, opts image.LoadOptions) ([]image.Image, error) {
	ctx = m.in(ctx)
	recs, err := m.load(ctx, r, opts)
	if err != nil {
		return nil, imageError(err, "load image archive", "")
	}
	var out []image.Image
	for _, rec := range recs {
		img, err := m.describe(ctx, rec)
		if err != nil {
			return out, imageError(err, "load image archive", "")
		}
		out = append(out, img)
	}
	return out, nil
}

func (m *Images) load(ctx context.Context, r io.Reader, opts image.LoadOptions) (_ []images.Image, err error) {
	ctx, done, err := m.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { done(err != nil) }()

	ahead := readAhead(ctx, r)
	defer ahead.Close()
	archive, err := image.ReadArchive(ctx, ahead, opts, func(ctx context.Context, b image.Blob, r io.Reader) error {
		return m.store(ctx, b.Digest, b.Size, r)
	})
	if err != nil {
		return nil, err
	}
	for _, d := range slices.Sorted(maps.Keys(archive.Made)) {
		data := archive.Made[d]
		if err := m.store(ctx, d, int64(len(data)), strings.NewReader(string(data))); err != nil {
			return nil, err
		}
	}
	for _, img := range archive.Images {
		if err := m.adopt(ctx, img.Target, unpackable(img, opts)); err != nil {
			return nil, err
		}
	}
	var out []images.Image
	for _, img := range archive.Images {
		names := img.Names
		if len(names) == 0 {
			names = []string{image.DanglingName(m.s.Snapshotter, img.Target.Digest.String())}
		}
		for _, name := range names {
			rec, err := m.put(ctx, images.Image{Name: name, Target: img.Target})
			if err != nil {
				return nil, err
			}
			out = append(out, rec)
		}
	}
	return out, nil
}

// unpackable picks what of an image is unpacked: what was asked for by name,
// and of all platforms the host's.
func unpackable(img image.ArchivedImage, opts image.LoadOptions) []ocispec.Descriptor {
	if !opts.AllPlatforms {
		return img.Manifests
	}
	all := slices.Clone(img.Manifests)
	image.SortManifests(all, platforms.Default())
	if len(all) > 1 {
		all = all[:1]
	}
	return all
}

// aheadReader reads in a goroutine: the archive comes in while the store works,
// and a reader that blocks, such as a terminal, does not keep the caller from
// being cancelled. The goroutine then ends with the next byte that arrives.
type aheadReader struct {
	ctx    context.Context
	stop   context.CancelFunc
	chunks chan aheadChunk
	cur    []byte
	err    error
}

type aheadChunk struct {
	data []byte
	err  error
}

func readAhead(ctx context.Context, r io.Reader) *aheadReader {
	ctx, stop := context.WithCancel(ctx)
	a := &aheadReader{ctx: ctx, stop: stop, chunks: make(chan aheadChunk, 2)}
	go func() {
		for {
			buf := make([]byte, 1<<20)
			n, err := r.Read(buf)
			select {
			case a.chunks <- aheadChunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return a
}

func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		select {
		case c := <-a.chunks:
			a.cur, a.err = c.data, c.err
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		}
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

// Close lets the goroutine end.
func (a *aheadReader) Close() { a.stop() }
