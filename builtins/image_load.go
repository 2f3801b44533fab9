package builtins

import (
	"fmt"
	"io"
	"os"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

type loadParams struct {
	Input        string   `flag:"input,i" doc:"Read from tar archive file, instead of STDIN"`
	AllPlatforms bool     `flag:"all-platforms" doc:"Import content for all platforms"`
	Platform     []string `flag:"platform" type:"string" doc:"Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"`
	Quiet        bool     `flag:"quiet,q" script:"-" doc:"Suppress the load output"`
}

// Load reads images from an archive.
var Load = Define(Verb{
	Paths:  []string{"load", "image load"},
	Short:  "Load an image from a tar archive or STDIN",
	Effect: Writes,
	Example: `pull("nginx")
image("nginx").save(output = "nginx.tar")
print(image.load_(input = "nginx.tar"))`,
}, func(call *Call, p *loadParams) ([]image.Image, error) {
	in := call.Stdin
	switch {
	case p.Input != "":
		if err := requirePath(call, lang.HostRead, p.Input); err != nil {
			return nil, err
		}
		f, err := os.Open(p.Input)
		if err != nil {
			return nil, wrong(fault.New(fault.KindOf(err), "%s", err))
		}
		defer f.Close()
		in = f
	case call.Script:
		return nil, fault.New(fault.Invalid, "%s: missing argument \"input\"", call.Verb.scriptName()).WithHint("give the path of an archive")
	case call.TTY != nil && call.TTY.IsInput():
		return nil, misuse("requested load from stdin, but stdin is empty")
	}
	return call.Images.Load(call.Context, in, image.LoadOptions{Platforms: p.Platform, AllPlatforms: p.AllPlatforms})
}, func(call *Call, _ *loadParams, list []image.Image) error {
	return showLoaded(call.Stdout, list)
})

// showLoaded says what came out of an archive, in dockerd's words. It is said
// with --quiet, too, which only suppresses docker's progress bars.
func showLoaded(w io.Writer, list []image.Image) error {
	for _, i := range list {
		line := "Loaded image: " + familiar(i)
		if familiar(i) == "" {
			line = "Loaded image ID: " + i.ID
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
