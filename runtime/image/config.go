package image

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"nsh/runtime/fault"
)

// ReadConfig takes an image config as stored apart, into the fields of a
// Detail that come from it: Config, Author, Comment, Architecture, Variant,
// OS, Layers, History, and Created and Platform of its Image.
func ReadConfig(data []byte) (Detail, error) {
	var c dockerspec.DockerOCIImage
	if err := json.Unmarshal(data, &c); err != nil {
		return Detail{}, fault.New(fault.Invalid, "the image config cannot be read").WithCause(err)
	}
	d := Detail{
		Config:       configOf(c),
		Author:       c.Author,
		Architecture: c.Architecture,
		Variant:      c.Variant,
		OS:           c.OS,
		OSVersion:    c.OSVersion,
	}
	d.Platform = platforms.Format(platforms.Normalize(c.Platform))
	if c.Created != nil {
		d.Created = c.Created.UTC()
	}
	for _, id := range c.RootFS.DiffIDs {
		d.Layers = append(d.Layers, id.String())
	}
	for _, h := range c.History {
		line := History{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			line.Created = h.Created.UTC()
		}
		d.History = append(d.History, line)
	}
	// docker shows the comment of the last line as the image's.
	if n := len(d.History); n > 0 {
		d.Comment = d.History[n-1].Comment
	}
	return d, nil
}

func configOf(c dockerspec.DockerOCIImage) Config {
	out := Config{
		User:         c.Config.User,
		ExposedPorts: keys(c.Config.ExposedPorts),
		Env:          c.Config.Env,
		Entrypoint:   c.Config.Entrypoint,
		Cmd:          c.Config.Cmd,
		Volumes:      keys(c.Config.Volumes),
		WorkingDir:   c.Config.WorkingDir,
		Labels:       c.Config.Labels,
		StopSignal:   c.Config.StopSignal,
		Shell:        c.Config.Shell,
		OnBuild:      c.Config.OnBuild,
	}
	if h := c.Config.Healthcheck; h != nil {
		out.Healthcheck = &Healthcheck{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout,
			StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
	return out
}

func (c Config) store(to *dockerspec.DockerOCIImage) {
	to.Config.User = c.User
	to.Config.ExposedPorts = set(c.ExposedPorts)
	to.Config.Env = c.Env
	to.Config.Entrypoint = c.Entrypoint
	to.Config.Cmd = c.Cmd
	to.Config.Volumes = set(c.Volumes)
	to.Config.WorkingDir = c.WorkingDir
	to.Config.Labels = c.Labels
	to.Config.StopSignal = c.StopSignal
	to.Config.Shell = c.Shell
	to.Config.OnBuild = c.OnBuild
	to.Config.Healthcheck = nil
	if h := c.Healthcheck; h != nil {
		to.Config.Healthcheck = &dockerspec.HealthcheckConfig{
			Test: h.Test, Interval: h.Interval, Timeout: h.Timeout,
			StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
		}
	}
}

func keys(m map[string]struct{}) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func set(all []string) map[string]struct{} {
	if len(all) == 0 {
		return nil
	}
	m := map[string]struct{}{}
	for _, k := range all {
		m[k] = struct{}{}
	}
	return m
}

// Healthcheck is how an image says to find out whether it is well. Zero times
// mean docker's defaults.
type Healthcheck struct {
	Test          []string // {"NONE"}, {"CMD", args…} or {"CMD-SHELL", line}
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}
