package builtins

import (
	"context"
	"time"

	docker "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/storage"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/image"
)

type imageInspectParams struct {
	Images   []ImageRef `arg:"IMAGE [IMAGE...]"`
	Format   string     `flag:"format,f" script:"-" doc:"@inspect"`
	Mode     string     `flag:"mode" def:"dockercompat" doc:"Inspect mode, \"dockercompat\" for docker's output, \"native\" for the engine's own records"`
	Platform string     `flag:"platform" doc:"Inspect a specific platform of the multi-platform image.\nIf the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"`
}

// InspectImage shows all that is known of images.
var InspectImage = Define(Verb{
	Paths:  []string{"image inspect"},
	Short:  "Display detailed information on one or more images",
	Effect: Reads,
	Example: `pull("nginx")
print(image.inspect("nginx")[0]["RepoTags"])`,
}, func(call *Call, p *imageInspectParams) ([]Inspected, error) {
	return inspectAll(call, p.Format, p.Mode, p.Images, func(_ context.Context, ref string) (Inspected, error) {
		return inspectImage(call, ref, p.Platform, p.Mode == "native")
	})
}, func(call *Call, p *imageInspectParams, list []Inspected) error {
	return showInspected(call, p.Format, list)
})

func inspectImage(call *Call, ref, platform string, native bool) (Inspected, error) {
	d, err := call.Images.Inspect(call.Context, ref, platform)
	if err != nil {
		return Inspected{}, err
	}
	if native {
		return newInspected(d.Native)
	}
	driver := ""
	if call.Settings != nil {
		driver = call.Settings.Snapshotter
	}
	return newInspected(dockerImage(d, driver))
}

// dockerImage gives an image the shape of docker's API 1.50, as a dockerd with
// the containerd store fills it.
func dockerImage(d image.Detail, snapshotter string) docker.InspectResponse {
	r := docker.InspectResponse{
		ID:           d.ID,
		RepoTags:     orEmpty(d.RepoTags),
		RepoDigests:  orEmpty(d.RepoDigests),
		Comment:      d.Comment,
		Author:       d.Author,
		Config:       dockerImageConfig(d.Config),
		Architecture: d.Architecture,
		Variant:      d.Variant,
		Os:           d.OS,
		OsVersion:    d.OSVersion,
		Size:         d.Size,
		GraphDriver:  storage.DriverData{Name: snapshotter},
		RootFS:       docker.RootFS{Type: "layers", Layers: d.Layers},
		Metadata:     docker.Metadata{LastTagTime: d.Tagged},
	}
	if !d.Created.IsZero() {
		r.Created = d.Created.UTC().Format(time.RFC3339Nano)
	}
	if d.Target.Digest != "" {
		r.Descriptor = &ocispec.Descriptor{MediaType: d.Target.MediaType, Digest: digest.Digest(d.Target.Digest), Size: d.Target.Size}
	}
	return r
}

func dockerImageConfig(c image.Config) *dockerspec.DockerOCIImageConfig {
	out := &dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
			ExposedPorts: wordSet(c.ExposedPorts), Volumes: wordSet(c.Volumes),
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{OnBuild: c.OnBuild, Shell: c.Shell},
	}
	if h := c.Healthcheck; h != nil {
		out.Healthcheck = &dockerspec.HealthcheckConfig{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	return out
}

func wordSet(words []string) map[string]struct{} {
	if len(words) == 0 {
		return nil
	}
	out := map[string]struct{}{}
	for _, w := range words {
		out[w] = struct{}{}
	}
	return out
}
