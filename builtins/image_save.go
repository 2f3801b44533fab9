package builtins

import (
	"os"
	"path/filepath"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

type saveParams struct {
	Images       []ImageRef `arg:"IMAGE [IMAGE...]"`
	AllPlatforms bool       `flag:"all-platforms" doc:"Export content for all platforms"`
	Output       string     `flag:"output,o" doc:"Write to a file, instead of STDOUT"`
	Platform     []string   `flag:"platform" type:"string" doc:"Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"`
	Quiet        bool       `flag:"quiet,q" script:"-" doc:"Suppress the output"`
}

// Save writes images into an archive. The file appears when it is whole.
var Save = Define(Verb{
	Paths:  []string{"save", "image save"},
	Short:  "Save one or more images to a tar archive (streamed to STDOUT by default)",
	Effect: Reads,
	Example: `pull("nginx")
image("nginx").save(output = "nginx.tar")`,
}, func(call *Call, p *saveParams) (string, error) {
	opts := image.SaveOptions{Platforms: p.Platform, AllPlatforms: p.AllPlatforms}
	refs := make([]string, len(p.Images))
	for i, r := range p.Images {
		refs[i] = string(r)
	}
	if p.Output == "" {
		if call.Script {
			return "", fault.New(fault.Invalid, "%s: missing argument \"output\"", call.Verb.scriptName()).WithHint("give the path of the archive to write")
		}
		if call.TTY != nil && call.TTY.IsOutput() {
			return "", misuse("cowardly refusing to save to a terminal. Use the -o flag or redirect")
		}
		return "", call.Images.Save(call.Context, call.Stdout, refs, opts)
	}
	if err := requirePath(call, lang.HostWrite, p.Output); err != nil {
		return "", err
	}
	dir := filepath.Dir(p.Output)
	if _, err := os.Stat(dir); err != nil {
		return "", wrong(fault.New(fault.KindOf(err), "failed to save image: invalid output path: %s", err))
	}
	if st, err := os.Stat(p.Output); err == nil && !st.Mode().IsRegular() {
		return "", misuse("failed to save image: cannot write to a directory or a device: %s", p.Output)
	}
	if planFile(call, "write", p.Output) {
		return p.Output, nil
	}
	f, err := os.CreateTemp(dir, ".nsh-save-")
	if err != nil {
		return "", fault.Wrap(err, "save to", p.Output)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := call.Images.Save(call.Context, f, refs, opts); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", fault.Wrap(err, "save to", p.Output)
	}
	if err := os.Rename(f.Name(), p.Output); err != nil {
		return "", fault.Wrap(err, "save to", p.Output)
	}
	return p.Output, nil
}, nil)
