package builtins

import (
	"fmt"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

type rmiParams struct {
	Images []ImageRef `arg:"IMAGE [IMAGE...]"`
	Async  bool       `flag:"async" doc:"Do not wait until the engine has removed the image's content"`
	Force  bool       `flag:"force,f" doc:"Force removal of the image"`
	// There is nothing that NoPrune could keep: images of containerd have no
	// parents, so that pruning them or not is the same.
	NoPrune  bool     `flag:"no-prune" script:"-" doc:"Do not delete untagged parents"`
	Platform NotBuilt `flag:"platform" type:"strings" doc:"Remove only the given platform variant.\nFormatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"`
}

// Removals are the names and images that rmi took away. It is a type of its
// own because an image may have given several.
type Removals []image.Removed

// RemoveImage takes names of images away, and the images with their last one.
var RemoveImage = Define(Verb{
	Paths:  []string{"rmi", "image rm", "image remove"},
	Short:  "Remove one or more images",
	Effect: Destroys,
	Example: `pull("nginx")
image("nginx").rm()`,
}, func(call *Call, p *rmiParams) (Removals, error) {
	var out Removals
	var errs []error
	// One after the other: of two names of one image it is the second that
	// deletes it.
	for _, ref := range p.Images {
		removed, err := call.Images.Remove(call.Context, string(ref), image.RemoveOptions{Force: p.Force, Async: p.Async})
		out = append(out, removed...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	err := joinErrors(errs)
	if p.Force && err != nil && !call.Script && allNotFound(errs) {
		for _, err := range errs {
			fmt.Fprintf(call.Stderr, "Error response from daemon: %s\n", err)
		}
		return out, nil
	}
	return out, err
}, func(call *Call, p *rmiParams, list Removals) error {
	for _, r := range list {
		line := "Untagged: " + r.Untagged
		if r.Deleted != "" {
			line = "Deleted: " + r.Deleted
		}
		if _, err := fmt.Fprintln(call.Stdout, line); err != nil {
			return err
		}
	}
	return nil
})

// allNotFound is when --force makes a success of it.
func allNotFound(errs []error) bool {
	for _, err := range errs {
		if !fault.Is(err, fault.NotFound) {
			return false
		}
	}
	return true
}

var _ = value(func(env *Env, r image.Removed) starlark.Value {
	if r.Deleted != "" {
		return starlark.String(r.Deleted)
	}
	return starlark.String(r.Untagged)
})
