package builtins

import (
	"strings"
	"testing"
)

func TestScriptHelp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, want string }{
		{"tag", `tag(source_image, target_image)

Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
`},
		{"image.rm", `rmi(*image, async_=False, force=False)

Remove one or more images

  async_  Do not wait until the engine has removed the image's content
  force   Force removal of the image
`},
	} {
		if got, ok := ScriptHelp(tt.name); !ok || got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	got, _ := ScriptHelp("image")
	for _, want := range []string{
		"Manage images\n\nFunctions:\n", "\n  image.load_     Load an image", "\nimage(ref, missing=…) gets one by its name or ID, images(…) lists them.\n", "\nEach has:\n  config_digest content created", "\nMethods:\n", "\n  .rm       Remove one or more images\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got, ok := ScriptHelp("nope"); ok {
		t.Errorf("help for nope: %s", got)
	}
}
