// Package image holds what nsh knows of images: the values, [Service], the
// interface that every engine implements, and the making of images from local
// files ([Assemble]). Nothing in here talks to an engine.
package image

import (
	"context"
	"io"
	"time"
)

// Image is a snapshot of one image record: a name and what it points to. An
// image with two names is two records with the same ID.
type Image struct {
	Name    string    // as stored: docker.io/library/alpine:3.20
	ID      string    // digest of the target: of the index, or of the manifest
	Created time.Time // of the image, as its config says; of the record where that is not here
	Size    int64     // bytes unpacked, of the platform that is here; 0 when it is not unpacked
	Content int64     // bytes of its blobs in the store, of all platforms that are here
	Labels  map[string]string

	Platform     string // linux/amd64
	ConfigDigest string
	InUse        bool // a container was made from it

	// Missing says what of the image is not in the store, empty when all is
	// there: "linux/amd64: layer sha256:…". An image with something missing
	// is listed with what is known of it.
	Missing string
}

// Detail is all that `image inspect` shows.
type Detail struct {
	Image
	RepoTags     []string
	RepoDigests  []string
	Config       Config
	Author       string
	Comment      string
	Architecture string
	Variant      string
	OS           string
	OSVersion    string
	Layers       []string // diff IDs
	History      []History
	Target       Target
	Tagged       time.Time // when the name was last given to this image
	Native       any       // the engine's own records, for inspect --mode native
}

// Target is what an image record points to: docker's "Descriptor".
type Target struct {
	MediaType string
	Digest    string
	Size      int64
}

// Config is what an image says about running it: the OCI image config.
type Config struct {
	User         string
	ExposedPorts []string // "80/tcp"
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      []string
	WorkingDir   string
	Labels       map[string]string
	StopSignal   string
	Shell        []string
	OnBuild      []string
	Healthcheck  *Healthcheck // nil: none
}

// History is one line of `docker history`.
type History struct {
	Created    time.Time
	CreatedBy  string
	Comment    string
	EmptyLayer bool
}

// Service is everything that can be done to images.
//
// A ref is a name in any form that docker takes (alpine, alpine:3.20,
// host:5000/x@sha256:…), or an ID or a unique prefix of one. A ref that
// matches nothing is an error of kind not_found ("No such image: x"). All
// methods are safe to call at once. After an error no image record has been
// left half made; blobs that were written are for the engine's collector.
type Service interface {
	// List gives all image records, newest first, then by name.
	List(ctx context.Context) ([]Image, error)

	// Get gives one image: by the name it was asked for where it was a name,
	// else by the first of its names. How a ref is understood is [Find]'s.
	Get(ctx context.Context, ref string) (Image, error)

	// Inspect gives one image with its config. platform "" is the host's.
	Inspect(ctx context.Context, ref, platform string) (Detail, error)

	// Pull fetches an image and unpacks it. It blocks for the whole transfer;
	// a registry that does not answer, or stops sending, ends it within a
	// bounded time (unavailable). What the registry does not have is
	// not_found, what it does not give denied, in docker's wording.
	Pull(ctx context.Context, ref string, opts PullOptions) (Image, error)

	// Load reads a docker or OCI archive, compressed or not, unpacks the
	// images and gives them in the order of the archive, those without a
	// name under [DanglingName]. The archive is hostile, see [ReadArchive]; an
	// archive with anything wrong in it is an error of kind invalid, and
	// none of its images is made.
	Load(ctx context.Context, r io.Reader, opts LoadOptions) ([]Image, error)

	// Save writes an archive that docker and nerdctl load, OCI layout and
	// docker's manifest.json in one. That something of an image is not here
	// is an error (not_found) before the first byte is written.
	Save(ctx context.Context, w io.Writer, refs []string, opts SaveOptions) error

	// Tag gives an image a further name. A name in use moves over.
	Tag(ctx context.Context, source, target string) error

	// Remove takes a name away, and the image with its last one; by ID, all
	// names, which several must be forced. An image that a container was
	// made from is a conflict unless forced, and even then when the container
	// runs: by ID that is a conflict still, by name the image stays without
	// one. So is an image that is pinned for Kubernetes, unless forced.
	// What could be removed before an error is told along with it.
	Remove(ctx context.Context, ref string, opts RemoveOptions) ([]Removed, error)

	// Assemble makes an image from files, see [Recipe], and unpacks it. Where
	// the very same image is here already, only its name is set.
	Assemble(ctx context.Context, recipe Recipe) (Image, error)
}

// PullOptions of [Service.Pull].
type PullOptions struct {
	Platforms    []string // empty: the host's
	AllPlatforms bool
	Unpack       *bool          // nil: when exactly one platform is asked for
	Progress     func(Progress) // one call at a time; it must not block for long
}

// Progress tells how far one blob is. Total is 0 while it is not known.
type Progress struct {
	Digest string
	Status string // docker's words: "Downloading", "Extracting", "Pull complete", "Already exists"
	Done   int64
	Total  int64
}

// LoadOptions of [Service.Load].
type LoadOptions struct {
	Platforms    []string
	AllPlatforms bool
}

// SaveOptions of [Service.Save].
type SaveOptions struct {
	Platforms    []string
	AllPlatforms bool
}

// RemoveOptions of [Service.Remove].
type RemoveOptions struct {
	Force bool
	Async bool // do not wait until the blobs are gone
}

// Removed is one line of what `rmi` did: one of the two is set.
type Removed struct {
	Untagged string // familiar name
	Deleted  string // digest
}
