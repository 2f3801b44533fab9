package builtins

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// imagesParams are docker's flags and nerdctl's --names; a script has a keyword
// for each filter beside them.
type imagesParams struct {
	Repository string   `arg:"[REPOSITORY[:TAG]]"`
	All        bool     `flag:"all,a" doc:"Show all images (default hides intermediate images)"`
	Digests    bool     `flag:"digests" script:"-" doc:"Show digests"`
	Filter     Filters  `flag:"filter,f" type:"filter" doc:"Filter output based on conditions provided"`
	Format     string   `flag:"format" script:"-" doc:"@list"`
	Names      bool     `flag:"names" script:"-" doc:"Show image names"`
	NoTrunc    bool     `flag:"no-trunc" script:"-" doc:"Don't truncate output"`
	Quiet      bool     `flag:"quiet,q" script:"-" doc:"Only show image IDs"`
	Tree       NotBuilt `flag:"tree" type:"bool" doc:"List multi-platform images as a tree (EXPERIMENTAL)"`

	Reference []string   `flag:"reference" only:"script" doc:"Those with a name that matches one of these patterns"`
	Label     KeyValues  `flag:"label" only:"script" doc:"Those that have all these labels"`
	Dangling  *bool      `flag:"dangling" only:"script" doc:"True: those without a name; False: those with one"`
	Before    []ImageRef `flag:"before" only:"script" doc:"Those older than this one"`
	Since     []ImageRef `flag:"since" only:"script" doc:"Those younger than this one"`
	Until     []string   `flag:"until" only:"script" doc:"Those made before this time, or that long ago"`
}

// Images lists images.
var Images = Define(Verb{
	Paths:  []string{"images", "image ls", "image list"},
	Short:  "List images",
	Effect: Reads,
	Example: `pull("nginx")
print([i.name for i in images()])`,
}, func(call *Call, p *imagesParams) ([]image.Image, error) {
	return listImages(call, p.filters())
}, func(call *Call, p *imagesParams, list []image.Image) error {
	format := p.Format
	if format == "" && !p.Quiet {
		format = configFormat("imagesFormat")
	}
	out := make([]*imageRow, len(list))
	for i, img := range list {
		out[i] = newImageRow(img, !p.NoTrunc, p.Digests, strings.Contains(format, "{{.Digest}}"))
	}
	f := formatter.NewImageFormat(format, p.Quiet, p.Digests)
	switch {
	case format == "" && p.Names && !p.Quiet:
		f = imagesNames
	case format == "":
		f = formatter.NewImageFormat(formatter.TableFormatKey, p.Quiet, p.Digests)
	case format == "wide" && !p.Quiet:
		f = imagesWide
	}
	return rows(call.Stdout, f, "*formatter.imageContext", imageHeader, out)
})

// nerdctl's lists, with --names and with --format wide.
const (
	imagesNames = "table {{.Name}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Platform}}\t{{.Size}}\t{{.BlobSize}}"
	imagesWide  = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Platform}}\t{{.Size}}\t{{.BlobSize}}"
)

func (p *imagesParams) filters() []string {
	all := slices.Clone([]string(p.Filter))
	add := func(name string, values ...string) {
		for _, v := range values {
			all = append(all, name+"="+v)
		}
	}
	if p.Repository != "" {
		add("reference", p.Repository)
	}
	add("reference", p.Reference...)
	add("label", p.Label...)
	if p.Dangling != nil {
		add("dangling", strconv.FormatBool(*p.Dangling))
	}
	for _, i := range p.Before {
		add("before", string(i))
	}
	for _, i := range p.Since {
		add("since", string(i))
	}
	add("until", p.Until...)
	return all
}

// listImages keeps the images for which all filters hold. The rules are
// dockerd's with the containerd store (moby/moby@v28.2.2
// daemon/containerd/image_list.go): several references are alternatives, of
// everything else all must hold.
func listImages(call *Call, filters []string) ([]image.Image, error) {
	var tests []func(image.Image) bool
	var references []string
	for _, f := range filters {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "reference":
			references = append(references, value)
		case "dangling":
			want, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid filter 'dangling=[%s]'", value)
			}
			tests = append(tests, func(i image.Image) bool { return image.IsDangling(i.Name) == want })
		case "label", "label!":
			key, want, valued := strings.Cut(value, "=")
			tests = append(tests, func(i image.Image) bool {
				got, ok := i.Labels[key]
				return (ok && (!valued || got == want)) == (name == "label")
			})
		case "before", "since":
			other, err := call.Images.Get(call.Context, value)
			if err != nil {
				return nil, err
			}
			tests = append(tests, func(i image.Image) bool {
				if name == "before" {
					return i.Created.Before(other.Created)
				}
				return i.Created.After(other.Created)
			})
		case "until":
			until, err := logTime(value, time.Now())
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid filter 'until=%s': %s", value, err)
			}
			tests = append(tests, func(i image.Image) bool { return i.Created.Before(until) })
		default:
			e := fault.New(fault.Invalid, "invalid filter '%s'", name)
			if near := lang.Closest(name, []string{"reference", "dangling", "label", "before", "since", "until"}); near != "" {
				return nil, e.WithHint("did you mean %q?", near)
			}
			return nil, e
		}
	}
	if len(references) > 0 {
		tests = append(tests, func(i image.Image) bool {
			ref, err := reference.ParseNormalizedNamed(i.Name)
			return err == nil && !image.IsDangling(i.Name) && slices.ContainsFunc(references, func(pattern string) bool {
				ok, err := reference.FamiliarMatch(pattern, ref)
				return err == nil && ok
			})
		})
	}
	all, err := call.Images.List(call.Context)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i image.Image) bool {
		return slices.ContainsFunc(tests, func(test func(image.Image) bool) bool { return !test(i) })
	}), nil
}

// imageRow has what nerdctl shows beside docker's columns. In JSON there are
// docker's alone.
type imageRow struct {
	imageColumns
}

// MarshalJSON gives docker's columns.
func (r *imageRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(&r.imageColumns) }

// Name is the whole reference.
func (r *imageRow) Name() string { return image.Familiar(r.i.Name) }

// Platform is the one that is here.
func (r *imageRow) Platform() string { return r.i.Platform }

// BlobSize is what its blobs take in the store.
func (r *imageRow) BlobSize() string { return units.HumanSizeWithPrecision(float64(r.i.Content), 3) }

// imageColumns is one name of an image as docker's templates see it.
type imageColumns struct {
	formatter.HeaderContext
	i                 image.Image
	trunc             bool
	repo, tag, digest string
}

var imageHeader = &formatter.HeaderContext{Header: formatter.SubHeaderContext{
	"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
	"Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE",
	"Name": "NAME", "Platform": "PLATFORM", "BlobSize": "BLOB SIZE",
}}

// newImageRow fills in the digest as docker does: for a name by tag when the
// flag or the template asks for it, for a name by digest only with the flag.
func newImageRow(i image.Image, trunc, flag, template bool) *imageRow {
	r := &imageRow{imageColumns{i: i, trunc: trunc, repo: "<none>", tag: "<none>", digest: "<none>"}}
	name, ok := image.ParseName(i.Name)
	if !ok {
		return r
	}
	r.repo = name.Repository
	switch {
	case name.Tag == "" && !flag:
		r.digest = ""
	case flag || template:
		r.digest = i.ID
	}
	if name.Tag != "" {
		r.tag = name.Tag
	}
	return r
}

// ID is cut to 12 digits unless --no-trunc.
func (r *imageColumns) ID() string {
	if r.trunc {
		return formatter.TruncateID(r.i.ID)
	}
	return r.i.ID
}

// Repository is the name without tag, <none> for a dangling image.
func (r *imageColumns) Repository() string { return r.repo }

// Tag is <none> for a name by digest.
func (r *imageColumns) Tag() string { return r.tag }

// Digest is only known when it is asked for.
func (r *imageColumns) Digest() string { return r.digest }

// CreatedSince is the age.
func (r *imageColumns) CreatedSince() string { return age(r.i.Created) }

// CreatedAt is the absolute time, in the zone of the caller.
func (r *imageColumns) CreatedAt() string { return time.Unix(r.i.Created.Unix(), 0).String() }

// Size is that of the image unpacked.
func (r *imageColumns) Size() string { return units.HumanSizeWithPrecision(float64(r.i.Size), 3) }

// VirtualSize is Size with another rounding.
func (r *imageColumns) VirtualSize() string { return units.HumanSize(float64(r.i.Size)) }

// Containers, SharedSize and UniqueSize are only counted by system df.
func (r *imageColumns) Containers() string { return "N/A" }

// SharedSize see Containers.
func (r *imageColumns) SharedSize() string { return "N/A" }

// UniqueSize see Containers.
func (r *imageColumns) UniqueSize() string { return "N/A" }
