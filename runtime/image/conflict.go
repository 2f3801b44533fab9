package image

import "nsh/runtime/fault"

// The errors of kind conflict that every engine gives in the same words: docker's
// (moby, daemon/containerd/image_delete.go). id is the short one.

// NameUsed is the error for taking the last name of an image that a container uses.
func NameUsed(ref, container, id string) error {
	return fault.New(fault.Conflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", ref, container, id)
}

// ManyNames is the error for removing an image with several names by its ID.
func ManyNames(id string) error {
	return fault.New(fault.Conflict, "conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", id)
}

// UsedByRunning is the error for removing by ID what a running container uses.
func UsedByRunning(id, container string) error {
	return fault.New(fault.Conflict, "conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", id, container).
		WithHint("stop the container first")
}

// UsedByStopped is the error for removing by ID what a container uses.
func UsedByStopped(id, container string) error {
	return fault.New(fault.Conflict, "conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", id, container)
}
