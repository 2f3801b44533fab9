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
	Name    string // as stored: docker.io/library/alpine:3.20
	ID      string // digest of the target: of the index, or of the manifest
	Created time.Time
	Size    int64 // bytes unpacked, of the platform that is here
	Content int64 // bytes of its blobs in the store
	Labels  map[string]string

	Platform     string // linux/amd64
	ConfigDigest string
	InUse        bool // a container was made from it
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
	Layers       []string // diff IDs
	History      []History
	Native       any // the engine's own records, for inspect --mode native
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

	// Get gives one image, by the name it was asked for where it was a name.
	Get(ctx context.Context, ref string) (Image, error)

	// Inspect gives one image with its config. platform "" is the host's.
	Inspect(ctx context.Context, ref, platform string) (Detail, error)

	// Pull fetches an image and unpacks it. It blocks for the whole transfer.
	Pull(ctx context.Context, ref string, opts PullOptions) (Image, error)

	// Load reads a docker or OCI archive, compressed or not, and gives the
	// images it made. The archive is hostile: digests are checked, no entry
	// leaves its root, sizes are bounded by what the archive declares.
	Load(ctx context.Context, r io.Reader, opts LoadOptions) ([]Image, error)

	// Save writes an archive that docker and nerdctl load, OCI layout and
	// docker's manifest.json in one.
	Save(ctx context.Context, w io.Writer, refs []string, opts SaveOptions) error

	// Tag gives an image a further name. A name in use moves over.
	Tag(ctx context.Context, source, target string) error

	// Remove takes names away, and the image with its last one. An image that
	// a container was made from is a conflict unless forced.
	Remove(ctx context.Context, ref string, opts RemoveOptions) ([]Removed, error)

	// Assemble makes an image from files, see [Recipe].
	Assemble(ctx context.Context, recipe Recipe) (Image, error)
}

// PullOptions of [Service.Pull].
type PullOptions struct {
	Platforms    []string // empty: the host's
	AllPlatforms bool
	Unpack       *bool // nil: when exactly one platform is asked for
	Progress     func(Progress)
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
