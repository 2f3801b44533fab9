package builtins

import "nsh/runtime/image"

type tagParams struct {
	Source ImageRef `arg:"SOURCE_IMAGE[:TAG]"`
	Target string   `arg:"TARGET_IMAGE[:TAG]"`
}

// Tag gives an image a further name.
var Tag = Define(Verb{
	Paths:  []string{"tag", "image tag"},
	Short:  "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	Effect: Writes,
	Example: `pull("nginx")
image("nginx").tag("web:1")`,
	FlagsFirst: true,
}, func(call *Call, p *tagParams) (image.Image, error) {
	if err := call.Images.Tag(call.Context, string(p.Source), p.Target); err != nil {
		return image.Image{}, err
	}
	if !call.Script {
		return image.Image{}, nil
	}
	return call.Images.Get(call.Context, p.Target)
}, nil)
