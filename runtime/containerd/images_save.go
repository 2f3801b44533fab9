package containerd

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Save implements [image.Service].
func (m *Images) Save(ctx context.Context, w io.Writer, refs []string, opts image.SaveOptions) error {
	return imageError(m.save(m.in(ctx), w, refs, opts), "save images", strings.Join(refs, " "))
}

func (m *Images) save(ctx context.Context, w io.Writer, refs []string, opts image.SaveOptions) error {
	if len(refs) == 0 {
		return fault.New(fault.Invalid, "no image to save")
	}
	want, err := image.Matcher(opts.Platforms, opts.AllPlatforms)
	if err != nil {
		return err
	}
	// Under the lease, an image that is removed meanwhile is still saved whole.
	hctx, done, err := m.hold(ctx)
	if err != nil {
		return err
	}
	defer done(false)
	id, _ := leases.FromContext(hctx)
	lease := leases.Lease{ID: id}

	store := m.c.ContentStore()
	export := []archive.ExportOpt{archive.WithSkipMissing(store), archive.WithSkipNonDistributableBlobs()}
	chosen := onlyPlatforms{}
	for _, ref := range refs {
		recs, byName, err := m.match(ctx, ref)
		if err != nil {
			return err
		}
		rec := recs[0]
		if err := m.c.LeasesService().AddResource(ctx, lease, leases.Resource{ID: rec.Target.Digest.String(), Type: "content"}); err != nil {
			return err
		}
		picked, err := m.pick(ctx, rec, ref, want, opts)
		if err != nil {
			return err
		}
		for _, p := range picked {
			chosen[platforms.Format(p)] = true
		}
		if byName && !image.IsDangling(rec.Name) {
			export = append(export, archive.WithManifest(rec.Target, rec.Name))
		} else {
			// By ID an image is saved without a name, as docker does.
			export = append(export, archive.WithManifest(rec.Target))
		}
	}
	export = append(export, archive.WithPlatform(chosen))
	return m.c.Export(ctx, w, export...)
}

// pick chooses the platforms of an image that are saved and makes sure that
// all of them is here.
func (m *Images) pick(ctx context.Context, rec images.Image, ref string, want platforms.MatchComparer, opts image.SaveOptions) ([]ocispec.Platform, error) {
	r := m.reader(m.sizeOf)
	manifests := []ocispec.Descriptor{rec.Target}
	if images.IsIndexType(rec.Target.MediaType) {
		data, err := r.read(ctx, rec.Target.Digest)
		if errdefs.IsNotFound(err) {
			return nil, notComplete(rec.Name, "index "+rec.Target.Digest.String())
		}
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		if err := json.Unmarshal(data, &index); err != nil {
			return nil, err
		}
		manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return !images.IsManifestType(d.MediaType) || d.Platform == nil || d.Platform.OS == "unknown"
		})
		if opts.AllPlatforms && len(manifests) == 0 {
			return nil, nil
		}
	}
	var matching []ocispec.Descriptor
	var missing string
	for _, desc := range manifests {
		p, gone, err := m.complete(ctx, r, desc)
		if err != nil {
			return nil, err
		}
		if want != nil && !want.Match(p) && (len(manifests) > 1 || len(opts.Platforms) > 0) {
			continue
		}
		if gone != "" {
			// The best one counts; a worse one that is not here does not.
			if opts.AllPlatforms || len(opts.Platforms) > 0 {
				return nil, notComplete(rec.Name, missingOf(p, gone))
			}
			if missing == "" {
				missing = missingOf(p, gone)
			}
			continue
		}
		desc.Platform = &p
		matching = append(matching, desc)
	}
	if len(matching) == 0 {
		if missing != "" {
			return nil, notComplete(rec.Name, missing)
		}
		asked := strings.Join(opts.Platforms, ", ")
		if asked == "" {
			asked = platforms.Format(platforms.DefaultSpec())
		}
		return nil, fault.New(fault.NotFound, "image with reference %s was found but does not provide the specified platform (%s)", ref, asked)
	}
	image.SortManifests(matching, want)
	if !opts.AllPlatforms && len(opts.Platforms) < 2 {
		matching = matching[:1]
	}
	var out []ocispec.Platform
	for _, desc := range matching {
		out = append(out, *desc.Platform)
	}
	return out, nil
}

// complete tells the platform of a manifest and what of it is not here.
func (m *Images) complete(ctx context.Context, r *blobReader, desc ocispec.Descriptor) (p ocispec.Platform, missing string, err error) {
	if desc.Platform != nil {
		p = platforms.Normalize(*desc.Platform)
	}
	data, err := r.read(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return p, "manifest " + desc.Digest.String(), nil
	}
	if err != nil {
		return p, "", err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return p, "", err
	}
	config, err := r.read(ctx, manifest.Config.Digest)
	if errdefs.IsNotFound(err) {
		return p, "config " + manifest.Config.Digest.String(), nil
	}
	if err != nil {
		return p, "", err
	}
	var spec ocispec.Image
	if desc.Platform == nil {
		if err := json.Unmarshal(config, &spec); err != nil {
			return p, "", err
		}
		p = platforms.Normalize(spec.Platform)
	}
	for _, l := range manifest.Layers {
		if images.IsNonDistributable(l.MediaType) {
			continue
		}
		if _, err := r.size(ctx, l.Digest); errdefs.IsNotFound(err) {
			return p, "layer " + l.Digest.String(), nil
		} else if err != nil {
			return p, "", err
		}
	}
	return p, "", nil
}

// onlyPlatforms matches the platforms in it, the host's before others.
type onlyPlatforms map[string]bool

func (o onlyPlatforms) Match(p ocispec.Platform) bool {
	return o[platforms.Format(platforms.Normalize(p))]
}

func (o onlyPlatforms) Less(a, b ocispec.Platform) bool { return platforms.Default().Less(a, b) }
