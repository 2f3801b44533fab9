package containerd

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// nativeImage is what `image inspect --mode native` shows.
type nativeImage struct {
	Image        images.Image
	Index        json.RawMessage `json:"Index,omitempty"`
	ManifestDesc any             `json:"ManifestDesc,omitempty"`
	Manifest     json.RawMessage `json:"Manifest,omitempty"`
	ConfigDesc   any             `json:"ImageConfigDesc,omitempty"`
	Config       json.RawMessage `json:"ImageConfig,omitempty"`
}

// Inspect implements [image.Service].
func (m *Images) Inspect(ctx context.Context, ref, platform string) (image.Detail, error) {
	ctx = m.in(ctx)
	recs, _, err := m.match(ctx, ref)
	if err != nil {
		return image.Detail{}, err
	}
	d, err := m.inspect(ctx, recs[0], ref, platform)
	return d, imageError(err, "inspect image", ref)
}

func (m *Images) inspect(ctx context.Context, rec images.Image, ref, platform string) (image.Detail, error) {
	want, exact := platforms.Default(), platform != ""
	if exact {
		p, err := platforms.Parse(platform)
		if err != nil {
			return image.Detail{}, fault.New(fault.Invalid, "%q is not a platform", platform).WithHint("a platform is like linux/amd64 or linux/arm/v7")
		}
		want = platforms.Only(p)
	}
	f, err := m.reader(m.sizeOf).facts(ctx, rec.Target, want, exact)
	if err != nil {
		return image.Detail{}, err
	}
	if f.raw.config == nil {
		if exact {
			return image.Detail{}, fault.New(fault.NotFound, "image with reference %s was found but does not provide the specified platform (%s)", ref, platform)
		}
		return image.Detail{}, notComplete(rec.Name, f.missing)
	}
	d, err := image.ReadConfig(f.raw.config)
	if err != nil {
		return image.Detail{}, err
	}
	img, err := m.describe(ctx, rec)
	if err != nil {
		return image.Detail{}, err
	}
	// Of the platform that was asked for, where that is not the host's.
	img.Platform, img.ConfigDigest, img.Size, img.Missing = f.platform, f.config.Digest.String(), f.size, f.missing
	if !d.Created.IsZero() {
		img.Created = d.Created
	}
	d.Image = img
	d.Target = image.Target{MediaType: rec.Target.MediaType, Digest: rec.Target.Digest.String(), Size: rec.Target.Size}
	d.Tagged = rec.UpdatedAt.UTC()

	same, err := m.sameTarget(ctx, rec.Target.Digest)
	if err != nil {
		return image.Detail{}, err
	}
	seen := map[string]bool{}
	for _, s := range same {
		if t := image.RepoTag(s.Name); t != "" {
			d.RepoTags = append(d.RepoTags, t)
		}
		if r := image.RepoDigest(s.Name, rec.Target.Digest.String()); r != "" && !seen[r] {
			seen[r] = true
			d.RepoDigests = append(d.RepoDigests, r)
		}
	}
	n := nativeImage{Image: rec, Index: f.raw.index, Manifest: f.raw.manifest, Config: f.raw.config, ConfigDesc: f.config}
	if f.manifest.Digest != "" {
		n.ManifestDesc = f.manifest
	}
	d.Native = n
	return d, nil
}
