package image

import (
	"regexp"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"nsh/runtime/fault"
)

// Normalize gives the full form of a name as a user types it, under which the
// engine stores it: "alpine" is "docker.io/library/alpine:latest". A name with
// both a tag and a digest loses its tag, as with docker, since the digest
// decides. What is no name is an error of kind invalid in docker's wording.
func Normalize(name string) (string, error) {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fault.New(fault.Invalid, "%s", err)
	}
	return named.String(), nil
}

// Familiar gives the short form of a stored name, as docker prints it:
// "docker.io/library/alpine:3.20" is "alpine:3.20". What is no name in normal
// form is given as it stands.
func Familiar(stored string) string {
	named, err := reference.ParseDockerRef(stored)
	if err != nil || named.String() != stored {
		return stored
	}
	return reference.FamiliarString(named)
}

// Name is a stored name in the parts that docker's lists show.
type Name struct {
	Repository string // familiar: "alpine", "localhost:5000/x"
	Tag        string // empty for a name by digest
	Digest     string // empty for a name by tag
}

// ParseName takes a stored name apart. ok is false for a dangling image: its
// name is one that an engine made up because there was none.
func ParseName(stored string) (name Name, ok bool) {
	if IsDangling(stored) {
		return Name{}, false
	}
	repo, dgst, _ := strings.Cut(stored, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo, name.Tag = repo[:i], repo[i+1:]
	}
	name.Repository, name.Digest = repo, dgst
	if named, err := reference.ParseNormalizedNamed(repo); err == nil && named.Name() == repo {
		name.Repository = reference.FamiliarName(named)
	}
	return name, true
}

// DanglingName is the name under which an image without a name is stored: what
// nerdctl and ctr use, so that they list it the same.
func DanglingName(snapshotter, target string) string { return snapshotter + "@" + target }

// IsDangling reports whether a stored name is one that an engine made up for
// an image without a name: [DanglingName]'s form, dockerd's
// "moby-dangling@sha256:…" or the CRI plugin's bare "sha256:…". None of these
// is in normal form, so no name of a user's is taken for one.
func IsDangling(stored string) bool {
	repo, dgst, ok := strings.Cut(stored, "@")
	if !ok {
		repo, dgst = "", stored
	}
	if strings.ContainsAny(repo, "/.:") {
		return false
	}
	_, err := digest.Parse(dgst)
	return err == nil
}

// RepoTag gives what `image inspect` lists in RepoTags; empty for a name
// without a tag.
func RepoTag(stored string) string {
	if name, ok := ParseName(stored); ok && name.Digest == "" {
		return Familiar(stored)
	}
	return ""
}

// RepoDigest gives what `image inspect` lists in RepoDigests; empty for a
// dangling image.
func RepoDigest(stored, target string) string {
	name, ok := ParseName(stored)
	if !ok {
		return ""
	}
	return name.Repository + "@" + target
}

// ShortID truncates a digest to the 12 digits that docker prints.
func ShortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	if len(id) > 12 {
		id = id[:12]
	}
	return id
}

// idPrefix is compiled when it is needed: every command would wait for it.
var idPrefix = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(sha256:)?[0-9a-f]{1,64}$`) })

// NoSuchImage is the error for a ref that matches nothing, in docker's wording.
func NoSuchImage(ref string) error {
	shown := ref
	if any, err := reference.ParseAnyReference(ref); err == nil {
		if named, ok := any.(reference.Named); ok {
			any = reference.TagNameOnly(named)
		}
		shown = reference.FamiliarString(any)
	} else if !idPrefix().MatchString(ref) {
		return fault.New(fault.Invalid, "%s", err)
	}
	return fault.New(fault.NotFound, "No such image: %s", shown)
}

// Match is what a ref stands for: one record when it was a name, all records
// of one image when it was an ID.
type Match struct {
	Images []Image
	ByName bool
}

// Find looks a ref up among all the records of an engine: by the name as it is
// stored, by its normal form, by name and digest of any tag of the repository,
// then by ID or unique prefix of one, then the same with the digest of the
// config, which is the image ID that dockerd's older stores and Kubernetes
// know. An error is not_found, or invalid for a prefix of several.
func Find(ref string, all []Image) (Match, error) {
	for _, img := range all {
		if img.Name == ref {
			return Match{Images: []Image{img}, ByName: true}, nil
		}
	}
	if name, err := Normalize(ref); err == nil {
		for _, img := range all {
			if img.Name == name {
				return Match{Images: []Image{img}, ByName: true}, nil
			}
		}
		// host/x@sha256:… also finds the record that a tag made.
		if repo, dgst, ok := strings.Cut(name, "@"); ok {
			for _, img := range all {
				if img.ID == dgst && strings.HasPrefix(img.Name, repo+":") {
					return Match{Images: []Image{img}, ByName: true}, nil
				}
			}
		}
	}
	if !idPrefix().MatchString(ref) {
		return Match{}, NoSuchImage(ref)
	}
	prefix := "sha256:" + strings.TrimPrefix(ref, "sha256:")
	for _, key := range []func(Image) string{
		func(i Image) string { return i.ID },
		func(i Image) string { return i.ConfigDigest },
	} {
		var found Match
		for _, img := range all {
			if !strings.HasPrefix(key(img), prefix) {
				continue
			}
			if len(found.Images) > 0 && found.Images[0].ID != img.ID {
				return Match{}, fault.New(fault.Invalid, "multiple IDs found with provided prefix: %s", ref).
					WithHint("type more digits of the ID")
			}
			found.Images = append(found.Images, img)
		}
		if len(found.Images) > 0 {
			return found, nil
		}
	}
	return Match{}, NoSuchImage(ref)
}
