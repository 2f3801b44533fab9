package image

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
)

// Base is the image that a recipe builds on, of one platform.
type Base struct {
	Manifest ocispec.Manifest
	Config   []byte // as stored
	// Layer opens a layer of the manifest, as stored.
	Layer func(desc ocispec.Descriptor) (io.ReadCloser, error)
}

// Assembly is an image that is known to the byte and not yet stored anywhere:
// an engine stores Config and Manifest, and the layer with [Assembly.WriteLayer]
// unless it has it. It is immutable; its methods are safe to call at once.
type Assembly struct {
	Name     string // in normal form
	Target   ocispec.Descriptor
	Manifest []byte
	Config   []byte
	// ConfigDesc and Layers are those in the manifest. The last of Layers is
	// the new one, when HasLayer.
	ConfigDesc ocispec.Descriptor
	Layers     []ocispec.Descriptor
	HasLayer   bool

	layer *layer
}

// createdBy is the line in the history of an assembled image.
const createdBy = "nsh image.assemble"

// Assemble works out the image that a recipe describes. It reads the files of
// the recipe once, to know their digest, and with a base also the headers of
// its layers; it stores nothing. base is nil for an image from nothing.
//
// The new layer is not compressed. A compressed one would differ between
// versions of the compressor, so that the same recipe would not give the same
// digest after an update; and an image that is made here is first of all run
// here, where compressing and decompressing only take time.
//
// A recipe that makes no sense is an error of kind invalid, whatever the host
// does not give one of the host's kind (not_found, denied).
func Assemble(ctx context.Context, recipe Recipe, base *Base) (*Assembly, error) {
	a, err := assemble(ctx, recipe, base)
	if err != nil {
		return nil, fault.Wrap(err, "assemble image", recipe.Name)
	}
	return a, nil
}

func assemble(ctx context.Context, recipe Recipe, base *Base) (*Assembly, error) {
	name, err := Normalize(recipe.Name)
	if err != nil {
		return nil, err
	}
	if strings.Contains(name, "@") {
		return nil, fault.New(fault.Invalid, "the name has a digest, which is only known when the image is made").
			WithHint("give a name with a tag, or without one")
	}
	if err := recipe.Config.check(); err != nil {
		return nil, err
	}
	created := recipe.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	created = created.Truncate(time.Second).UTC()
	if created.Unix() < 0 {
		return nil, fault.New(fault.Invalid, "created is before 1970")
	}

	a := &Assembly{Name: name}
	var config dockerspec.DockerOCIImage
	var under *tree
	if base != nil {
		if err := json.Unmarshal(base.Config, &config); err != nil {
			return nil, fault.New(fault.Invalid, "the config of the base image cannot be read").WithCause(err)
		}
		for _, l := range base.Manifest.Layers {
			l.MediaType = ociLayerType(l.MediaType)
			a.Layers = append(a.Layers, l)
		}
		if len(recipe.Files) > 0 {
			under, err = readTree(ctx, len(base.Manifest.Layers), func(i int) (io.ReadCloser, error) {
				return base.Layer(base.Manifest.Layers[i])
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if err := setPlatform(&config, recipe.Platform, base != nil); err != nil {
		return nil, err
	}

	if len(recipe.Files) > 0 {
		a.layer, err = newLayer(ctx, recipe.Files, under, created)
		if err != nil {
			return nil, err
		}
		var size countWriter
		digester := digest.Canonical.Digester()
		if err := a.layer.write(ctx, io.MultiWriter(digester.Hash(), &size)); err != nil {
			return nil, err
		}
		a.HasLayer = true
		a.Layers = append(a.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: int64(size),
		})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digester.Digest())
	}
	if len(config.RootFS.DiffIDs) != len(a.Layers) {
		return nil, fault.New(fault.Invalid, "the base image has %d layers and a config that tells of %d",
			len(a.Layers), len(config.RootFS.DiffIDs))
	}

	config.RootFS.Type = "layers"
	if config.RootFS.DiffIDs == nil {
		config.RootFS.DiffIDs = []digest.Digest{}
	}
	config.Created = &created
	if recipe.Author != "" {
		config.Author = recipe.Author
	}
	config.History = append(config.History, ocispec.History{
		Created: &created, CreatedBy: createdBy, Comment: recipe.Comment, Author: recipe.Author, EmptyLayer: !a.HasLayer,
	})
	recipe.Config.Over(configOf(config)).store(&config)

	if a.Config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	a.ConfigDesc = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(a.Config), Size: int64(len(a.Config)),
	}
	if a.Layers == nil {
		a.Layers = []ocispec.Descriptor{}
	}
	a.Manifest, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    a.ConfigDesc,
		Layers:    a.Layers,
	})
	if err != nil {
		return nil, err
	}
	a.Target = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(a.Manifest), Size: int64(len(a.Manifest)),
	}
	return a, nil
}

// WriteLayer writes the new layer's tar: the bytes that its digest in Layers
// stands for. A file of the host that was changed since is an error of kind
// conflict, or bytes with another digest: check it.
func (a *Assembly) WriteLayer(ctx context.Context, w io.Writer) error {
	return fault.Wrap(a.layer.write(ctx, w), "assemble image", Familiar(a.Name))
}

func setPlatform(config *dockerspec.DockerOCIImage, asked string, based bool) error {
	p := platforms.DefaultSpec()
	if asked != "" {
		var err error
		if p, err = platforms.Parse(asked); err != nil {
			return fault.New(fault.Invalid, "%q is not a platform", asked).WithHint("a platform is like linux/amd64 or linux/arm/v7")
		}
	}
	if based {
		if asked != "" && !platforms.OnlyStrict(p).Match(platforms.Normalize(config.Platform)) {
			return fault.New(fault.Invalid, "the base image is for %s, not for %s", platforms.Format(config.Platform), platforms.Format(p))
		}
		return nil
	}
	p = platforms.Normalize(p)
	config.Platform = ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	return nil
}

// ociLayerType gives the OCI name of a docker media type: one manifest does
// not mix the two (OCI image spec, media-types.md, "Compatibility Matrix").
func ociLayerType(mediaType string) string {
	switch mediaType {
	case "application/vnd.docker.image.rootfs.diff.tar":
		return ocispec.MediaTypeImageLayer
	case "application/vnd.docker.image.rootfs.diff.tar.gzip":
		return ocispec.MediaTypeImageLayerGzip
	case "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return ocispec.MediaTypeImageLayerZstd
	}
	return mediaType
}

type countWriter int64

func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}

func (c Config) check() error {
	for _, e := range c.Env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" {
			return fault.New(fault.Invalid, "env %q is not of the form name=value", e)
		}
	}
	for _, p := range c.ExposedPorts {
		number, proto, _ := strings.Cut(p, "/")
		if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 65535 || !slices.Contains([]string{"", "tcp", "udp", "sctp"}, proto) {
			return fault.New(fault.Invalid, "exposed port %q is not of the form 80 or 80/tcp", p)
		}
	}
	for _, v := range c.Volumes {
		if !path.IsAbs(v) {
			return fault.New(fault.Invalid, "volume %q is not an absolute path", v)
		}
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return fault.New(fault.Invalid, "working directory %q is not an absolute path", c.WorkingDir)
	}
	return nil
}

// Over lays c over the config of a base image, as the lines of a Dockerfile
// do: Env (by name), ExposedPorts, Volumes and Labels add; the rest replaces
// where it is given. An Entrypoint without a Cmd takes the base's Cmd away.
func (c Config) Over(base Config) Config {
	out := base
	out.Env = slices.Clone(base.Env)
	for _, e := range c.Env {
		k, _, _ := strings.Cut(e, "=")
		i := slices.IndexFunc(out.Env, func(b string) bool { return strings.HasPrefix(b, k+"=") })
		if i < 0 {
			out.Env = append(out.Env, e)
		} else {
			out.Env[i] = e
		}
	}
	out.ExposedPorts = union(base.ExposedPorts, c.ExposedPorts, func(p string) string {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		return p
	})
	out.Volumes = union(base.Volumes, c.Volumes, path.Clean)
	if len(c.Labels) > 0 {
		out.Labels = maps.Clone(base.Labels)
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		maps.Copy(out.Labels, c.Labels)
	}
	if c.Entrypoint != nil {
		out.Entrypoint, out.Cmd = c.Entrypoint, nil
	}
	if c.Cmd != nil {
		out.Cmd = c.Cmd
	}
	if c.Shell != nil {
		out.Shell = c.Shell
	}
	if c.OnBuild != nil {
		out.OnBuild = c.OnBuild
	}
	if c.Healthcheck != nil {
		out.Healthcheck = c.Healthcheck
	}
	for _, f := range []struct{ to, from *string }{
		{&out.User, &c.User}, {&out.WorkingDir, &c.WorkingDir}, {&out.StopSignal, &c.StopSignal},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return out
}

func union(a, b []string, form func(string) string) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		all = append(all, form(s))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
