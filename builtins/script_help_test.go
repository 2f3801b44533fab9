package builtins

import (
	"strings"
	"testing"

	"nsh/lang"
)

func TestScriptHelp(t *testing.T) {
	t.Parallel()
	i := lang.New(lang.Options{Predeclared: Predeclared(&Env{})})
	for _, tt := range []struct{ name, want string }{
		{"tag", `tag(source_image, target_image)

Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE

Docker:
    docker tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]

Example:
    pull("nginx")
    image("nginx").tag("web:1")
`},
		{"image.rm", `rmi(*image, async_=False, force=False)

Remove one or more images

  async_  Do not wait until the engine has removed the image's content
  force   Force removal of the image

Docker:
    docker rmi [OPTIONS] IMAGE [IMAGE...]

Example:
    pull("nginx")
    image("nginx").rm()
`},
	} {
		if got := i.Help(tt.name); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	got := i.Help("image")
	for _, want := range []string{
		"Manage images\n\nFunctions:\n", "\n  image.load_     Load an image", "\nimage(ref, missing=…) gets one by its name or ID, images(…) lists them.\n", "\nEach has:\n  config_digest content created", "\nMethods:\n", "\n  .rm       Remove one or more images\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got := i.Help("nope"); got != "" {
		t.Errorf("help for nope: %s", got)
	}
}
