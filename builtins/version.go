package builtins

import (
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"

	"github.com/docker/cli/cli/command/formatter/tabwriter"
	"github.com/docker/cli/templates"

	"nsh/runtime/system"
)

// Versions is what version shows: docker's fields, so that the templates that
// people have work.
type Versions struct {
	Client ClientVersion
	Server *ServerVersion
}

// ClientVersion is nsh's own.
type ClientVersion struct {
	Version           string `json:"Version,omitempty"`
	APIVersion        string `json:"ApiVersion,omitempty"`
	DefaultAPIVersion string `json:"DefaultAPIVersion,omitempty"`
	GitCommit         string `json:"GitCommit,omitempty"`
	GoVersion         string `json:"GoVersion,omitempty"`
	Os                string `json:"Os,omitempty"`
	Arch              string `json:"Arch,omitempty"`
	BuildTime         string `json:"BuildTime,omitempty"`
	Context           string `json:"Context"`
}

// ServerVersion is the engine's. Version is that of containerd, which scripts
// ask for as .Server.Version.
type ServerVersion struct {
	Platform   struct{ Name string }
	Components []ComponentVersion `json:",omitempty"`

	Version       string
	APIVersion    string `json:"ApiVersion,omitempty"`
	MinAPIVersion string `json:"MinAPIVersion,omitempty"`
	GitCommit     string `json:",omitempty"`
	GoVersion     string `json:",omitempty"`
	Os            string
	Arch          string
}

// ComponentVersion is that of one program of the engine.
type ComponentVersion struct {
	Name    string
	Version string
	Details map[string]string `json:",omitempty"`
}

// versionTemplate is docker's, less the API, which nsh does not serve.
const versionTemplate = `{{with .Client -}}
Client:
 Version:	{{.Version}}
 {{- if .GoVersion}}
 Go version:	{{.GoVersion}}
 {{- end}}
 {{- if .GitCommit}}
 Git commit:	{{.GitCommit}}
 {{- end}}
 OS/Arch:	{{.Os}}/{{.Arch}}
{{- end}}

{{- with .Server}}

Server:{{if ne .Platform.Name ""}} {{.Platform.Name}}{{end}}
 {{- range $component := .Components}}
 {{$component.Name}}:
  Version:	{{$component.Version}}
  {{- range $key := getDetailsOrder $component}}
  {{$key}}:	{{index $component.Details $key}}
  {{- end}}
 {{- end}}
{{- end}}`

type versionParams struct {
	Format string `flag:"format,f" script:"-" doc:"@inspect"`
}

// Version tells the versions of nsh and, when it answers, of the engine.
var Version = Define(Verb{
	Paths:    []string{"version"},
	Short:    "Show the Docker version information",
	Effect:   Reads,
	Example:  `print(version().client.version)`,
	NoEngine: true,
}, func(call *Call, p *versionParams) (*Versions, error) {
	if _, err := versionFormat(p.Format); err != nil {
		return nil, err
	}
	v := &Versions{Client: clientVersion(call.Env)}
	eng, err := call.Env.Engine(call.Context)
	if err != nil {
		return v, err
	}
	sv, err := eng.System.Version(call.Context)
	if err != nil {
		return v, err
	}
	v.Server = serverVersion(sv)
	return v, nil
}, func(call *Call, p *versionParams, v *Versions) error {
	tmpl, err := versionFormat(p.Format)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(call.Stdout, 20, 1, 1, ' ', 0)
	if err := tmpl.Execute(w, v); err != nil {
		return wrong(err)
	}
	if _, err := w.Write([]byte("\n")); err != nil {
		return err
	}
	return w.Flush()
})

func versionFormat(format string) (*template.Template, error) {
	switch format {
	case "":
		format = versionTemplate
	case "json":
		format = "{{json .}}"
	}
	order := func(c ComponentVersion) []string { return slices.Sorted(maps.Keys(c.Details)) }
	tmpl, err := templates.New("version").Funcs(template.FuncMap{"getDetailsOrder": order}).Parse(format)
	if err != nil {
		return nil, templateError(err)
	}
	return tmpl, nil
}

// clientVersion tells what the build has recorded.
func clientVersion(env *Env) ClientVersion {
	v := ClientVersion{Version: env.Version, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, Context: "default"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.GitCommit = s.Value[:min(len(s.Value), 7)]
			}
		}
	}
	return v
}

func serverVersion(sv system.Version) *ServerVersion {
	v := &ServerVersion{Version: strings.TrimPrefix(sv.Version, "v"), GitCommit: sv.Revision, Os: runtime.GOOS, Arch: runtime.GOARCH}
	for _, c := range sv.Components {
		v.Components = append(v.Components, ComponentVersion(c))
	}
	return v
}
