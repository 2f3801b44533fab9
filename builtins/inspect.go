package builtins

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker/cli/templates"
	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// Inspected is one object as docker's API gives it: in Go for templates, and
// as JSON. In a script it is a dict with docker's keys.
type Inspected struct {
	typed any
	raw   []byte
}

func newInspected(v any) (Inspected, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as dockerd does
	if err := enc.Encode(v); err != nil {
		return Inspected{}, fault.Wrap(err, "encode", "the object")
	}
	return Inspected{v, bytes.TrimSpace(b.Bytes())}, nil
}

// The dict keeps docker's order of keys, which a Go map would lose.
var _ = value(func(_ *Env, i Inspected) starlark.Value {
	v, err := starlark.Call(new(starlark.Thread), starjson.Module.Members["decode"], starlark.Tuple{starlark.String(i.raw)}, nil)
	if err != nil {
		return starlark.None // not reached: raw was made by json.Marshal
	}
	v.Freeze()
	return v
})

type inspectParams struct {
	Names  []ObjectRef `arg:"NAME|ID [NAME|ID...]"`
	Format string      `flag:"format,f" script:"-" doc:"@inspect"`
	Mode   string      `flag:"mode" def:"dockercompat" doc:"Inspect mode, \"dockercompat\" for docker's output, \"native\" for the engine's own records"`
	Size   bool        `flag:"size,s" doc:"Display total file sizes if the type is container"`
	Type   *string     `flag:"type" doc:"Only inspect objects of the given type"`
}

// objectTypes are docker's.
var objectTypes = []string{"config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"}

// Inspect shows all that is known of containers, images, networks and volumes.
var Inspect = Define(Verb{
	Paths:  []string{"inspect"},
	Short:  "Return low-level information on Docker objects",
	Effect: Reads,
	Example: `run("nginx", name = "web", detach = True)
print(inspect("web")[0]["Name"])`,
}, func(call *Call, p *inspectParams) ([]Inspected, error) {
	look, err := p.lookup(call)
	if err != nil {
		return nil, err
	}
	return inspectAll(call, p.Format, p.Mode, p.Names, look)
}, func(call *Call, p *inspectParams, list []Inspected) error {
	return showInspected(call, p.Format, list)
})

// lookup chooses by --type; without it, containers come before images, networks
// and volumes, as in docker.
func (p *inspectParams) lookup(call *Call) (func(context.Context, string) (Inspected, error), error) {
	kind := ""
	if p.Type != nil {
		kind = *p.Type
		if kind == "" {
			return nil, misuse("type is empty: must be one of %s", quoted(objectTypes))
		}
	}
	ofContainer := func(ctx context.Context, ref string) (Inspected, error) {
		return inspectContainer(call, ref, p.Size, p.Mode == "native")
	}
	ofImage := func(ctx context.Context, ref string) (Inspected, error) {
		return inspectImage(call, ref, "", p.Mode == "native")
	}
	ofNetwork := func(ctx context.Context, ref string) (Inspected, error) {
		return inspectNetwork(ctx, call, ref, p.Mode == "native")
	}
	ofVolume := func(ctx context.Context, ref string) (Inspected, error) { return inspectVolume(ctx, call, ref, false) }
	switch {
	case kind == "container":
		return ofContainer, nil
	case kind == "image":
		return ofImage, nil
	case kind == "network":
		return ofNetwork, nil
	case kind == "volume":
		return ofVolume, nil
	case kind == "":
		return func(ctx context.Context, ref string) (Inspected, error) {
			i, err := ofContainer(ctx, ref)
			if !fault.Is(err, fault.NotFound) {
				return i, err
			}
			// What is no name of an image at all names nothing, either.
			if i, err = ofImage(ctx, ref); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
				return i, err
			}
			if i, err = ofNetwork(ctx, ref); !fault.Is(err, fault.NotFound) {
				return i, err
			}
			if i, err = ofVolume(ctx, ref); !fault.Is(err, fault.NotFound) {
				return i, err
			}
			if call.Script {
				return i, fault.New(fault.NotFound, "No such object: %s", ref)
			}
			return i, wrong(fault.New(fault.NotFound, "Error: No such object: %s", ref))
		}, nil
	case slices.Contains(objectTypes, kind):
		return nil, misuse("inspect of type %q is not built yet", kind)
	}
	return nil, misuse("unknown type: %q: must be one of %s", kind, quoted(objectTypes))
}

func quoted(words []string) string { return `"` + strings.Join(words, `", "`) + `"` }

// inspectAll looks up all refs, whether others fail or not. The list is nil only
// when the request itself was wrong: then nothing is printed.
func inspectAll[R ~string](call *Call, format, mode string, refs []R, look func(context.Context, string) (Inspected, error)) ([]Inspected, error) {
	if mode != "dockercompat" && mode != "native" {
		return nil, misuse("unknown mode %q: must be one of \"dockercompat\", \"native\"", mode)
	}
	if format != "" && format != "json" {
		if _, err := templates.Parse(format); err != nil {
			return nil, templateError(err)
		}
	}
	list, err := each(call.Context, refs, func(ctx context.Context, ref R) (Inspected, error) { return look(ctx, string(ref)) })
	if list == nil {
		list = []Inspected{}
	}
	return list, err
}

// showInspected prints as docker's client does: a JSON array, indented or with
// --format json on one line, or a template for each. The template runs on Go's
// types first and, when that fails, on the decoded JSON, so that both .ID and
// .Id can be asked for.
func showInspected(call *Call, format string, list []Inspected) error {
	if list == nil {
		return nil
	}
	var b bytes.Buffer
	switch format {
	case "", "json":
		raws := make([][]byte, len(list))
		for i := range list {
			raws[i] = list[i].raw
		}
		all := append(append([]byte("["), bytes.Join(raws, []byte(","))...), ']')
		var err error
		if format == "" {
			err = json.Indent(&b, all, "", "    ")
		} else {
			err = json.Compact(&b, all)
		}
		if err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err = call.Stdout.Write(b.Bytes())
		return err
	}
	tmpl, err := templates.Parse(format)
	if err != nil {
		return templateError(err)
	}
	var errs []error
	for _, i := range list {
		var one bytes.Buffer
		if tmpl.Execute(&one, i.typed) != nil {
			one.Reset()
			var v any
			dec := json.NewDecoder(bytes.NewReader(i.raw))
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				return err
			}
			strict, err := tmpl.Clone()
			if err != nil {
				return err
			}
			if err := strict.Option("missingkey=error").Execute(&one, v); err != nil {
				errs = append(errs, wrong(fmt.Errorf("template parsing error: %w", err)))
				continue
			}
		}
		b.Write(one.Bytes())
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		b.WriteByte('\n')
	}
	if _, err := io.Copy(call.Stdout, &b); err != nil {
		return err
	}
	return joinErrors(errs)
}
