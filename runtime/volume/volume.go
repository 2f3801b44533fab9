// Package volume holds what nsh knows of volumes: the value, the errors, and
// [Service], the interface that every engine implements. [Store] is the directory of
// volumes that an engine on this host has.
package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"nsh/runtime/fault"
)

// Volume is a directory that outlives the containers which mount it: an immutable
// snapshot. Callers must not change its maps and slices.
type Volume struct {
	Name       string
	Mountpoint string // the directory on the host; empty where there is none
	Created    time.Time
	Labels     map[string]string

	// Anonymous is set for one that was made for a container, or without a name.
	Anonymous bool

	// Containers are the IDs of those that mount it, running or not, sorted. A list
	// has them only when it was asked for them.
	Containers []string

	// Size of all files in bytes; nil unless it was asked for.
	Size *int64

	// Planned is set where only a plan knows of the volume.
	Planned bool
}

// Spec is what is asked for. The zero value asks for an anonymous volume.
type Spec struct {
	Name   string
	Labels map[string]string
}

// ListOptions of [Service.List].
type ListOptions struct {
	Sizes      bool // count the bytes, which reads every directory
	Containers bool // tell who uses them, which reads all containers
}

// Service is everything that can be done to volumes. All methods are safe to call at
// once, from several processes too, and block until what they do is done.
//
// A container that is created makes the volumes that it names and that are not there,
// and an anonymous one for each directory that it, or its image, wants one for. Into
// an empty volume goes what the image has at that place.
type Service interface {
	// List gives all volumes, sorted by name.
	List(ctx context.Context, opts ListOptions) ([]Volume, error)

	// Get gives one volume by its whole name, with the containers that use it; kind
	// not_found when there is none ("get x: no such volume").
	Get(ctx context.Context, name string, size bool) (Volume, error)

	// Create makes a volume. The one that is there by that name is given as it is.
	Create(ctx context.Context, spec Spec) (Volume, error)

	// Label replaces the labels of a volume.
	Label(ctx context.Context, name string, labels map[string]string) error

	// Remove deletes a volume with all that is in it. One that a container mounts,
	// running or not, is a conflict.
	Remove(ctx context.Context, name string) error
}

// AnonymousLabel is docker's mark of a volume that was made without a name
// (moby, volume/service/service.go).
const AnonymousLabel = "com.docker.volume.anonymous"

// NewName makes a name for an anonymous volume: docker's 64 hex digits.
func NewName() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails, crypto/rand
	return hex.EncodeToString(raw[:])
}

const (
	alnum     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	nameChars = alnum + "_.-"
)

// ValidateName holds a name to docker's rule, in docker's words (moby,
// volume/local/local.go).
func ValidateName(name string) error {
	switch {
	case len(name) == 1 && strings.Contains(alnum, name):
		return fault.New(fault.Invalid, "create %s: volume name is too short, names should be at least two alphanumeric characters", name)
	case name == "", len(name) > 255, !strings.ContainsRune(alnum, rune(name[0])), strings.Trim(name, nameChars) != "":
		return fault.New(fault.Invalid, "create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", name, name)
	}
	return nil
}

// NotFound is docker's error for a volume that is not there.
func NotFound(name string) error {
	return fault.New(fault.NotFound, "get %s: no such volume", name).WithHint("volume ls shows those that are there")
}

// InUse is docker's error for removing a volume that containers mount; ids are theirs.
func InUse(name string, ids []string) error {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = id[:min(12, len(id))]
	}
	return fault.New(fault.Conflict, "remove %s: volume is in use - [%s]", name, strings.Join(ids, ", ")).
		WithHint("remove the containers first: rm -f %s", strings.Join(short, " "))
}
