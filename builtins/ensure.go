package builtins

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.starlark.net/starlark"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/plan"
	"nsh/runtime/recorder"
	"nsh/runtime/undo"
	"nsh/runtime/volume"
)

// Change is what ensure and absent have done: nothing, when all was as asked for.
type Change struct {
	Action  string // none, create, update, recreate, start, stop, unpause, remove, pull
	Changed bool
	Diff    []container.Difference // the settings that were not as asked for
	// Container is the one that is there now; nil when none is.
	Container *container.Container
	Image     *image.Image
	Volume    *volume.Volume
	Network   *network.Network

	kind, name string
}

func (c Change) text() string {
	text := map[string]string{
		"none": "unchanged", "create": "created", "update": "updated", "recreate": "recreated", "start": "started", "stop": "stopped",
		"unpause": "unpaused", "remove": "removed", "pull": "pulled",
	}[c.Action]
	if len(c.Diff) > 0 {
		parts := make([]string, len(c.Diff))
		for i, d := range c.Diff {
			parts[i] = differenceText(d)
		}
		text += " (" + strings.Join(parts, "; ") + ")"
	}
	return c.kind + " " + c.name + ": " + text
}

// differenceText is "memory: 64MiB → 128MiB".
func differenceText(d container.Difference) string {
	switch {
	case d.From == "":
		return d.Name + ": " + d.To
	case d.To == "":
		return d.Name + ": " + d.From + " → not set"
	}
	return d.Name + ": " + d.From + " → " + d.To
}

var _ = value(func(env *Env, d container.Difference) starlark.Value {
	return &record{env: env, v: reflect.ValueOf(d), kind: "difference", text: differenceText(d)}
})

// tell says what was done: a script that ensures things is read by what it changed.
func (c Change) tell(w io.Writer) { fmt.Fprintln(w, c.text()) }

func showChange[P any](call *Call, _ *P, c Change) error {
	_, err := fmt.Fprintln(call.Stdout, c.text())
	return err
}

// changed is the end of every ensure: on a command line the verb's show tells it.
func changed(call *Call, c Change) (Change, error) {
	c.Changed = c.Action != "none"
	if call.Script && plan.From(call.Context) == nil {
		c.tell(call.Stderr)
	}
	return c, nil
}

type ensureContainerParams struct {
	CreateOptions
	State    string `flag:"state" def:"running" doc:"What it is to be: running, stopped, or created (which leaves one that is there as it is)"`
	Recreate bool   `flag:"recreate" def:"true" doc:"Make a new one in its place where a setting cannot be changed otherwise"`
}

// EnsureContainer makes a container be there as described.
var EnsureContainer = Define(Verb{
	Paths: []string{"ensure container"},
	Short: "Make a container be there as described",
	Long: `Make a container be there as described: create it, change its limits, make a
new one in its place, or start it; nothing when all is as asked for. What is not
given is the default. The one that is replaced comes back when the new one does not start.`,
	Effect:     Writes,
	FlagsFirst: true,
	Failure:    125,

	NoShorthandHelp: true,
	Example: `image.assemble("app", file = ["/bin/true:/app"], cmd = ["/app"])
ensure.container("app", name = "web", env = {"TIER": "web"})
print(ensure.container("app", name = "web", env = {"TIER": "web"}).changed)`,
}, ensureContainer, showChange[ensureContainerParams])

func ensureContainer(call *Call, p *ensureContainerParams) (none Change, err error) {
	if p.Name == "" {
		return none, misuse("ensure container: --name is what it is known by: give one")
	}
	switch p.State {
	case "running", "stopped", "created":
	default:
		return none, misuse("invalid state %q: it is running, stopped or created", p.State)
	}
	spec, err := p.spec(call)
	if err != nil {
		return none, wrong(err)
	}
	if !p.Rootfs {
		if err := ensureImage(call, string(p.Image), p.Platform, p.Pull, p.Quiet || call.Script); err != nil {
			return none, err
		}
	}
	have, aside, err := current(call, p.Name)
	if err != nil {
		return none, err
	}
	out := Change{Action: "none", kind: "container", name: p.Name}
	var base container.Base
	if !p.Rootfs {
		base, err = baseOf(call, string(p.Image), p.Platform)
		if err != nil && !fault.Is(err, fault.NotKnown) {
			return none, err
		}
	}
	if have == nil {
		out.Action = "create"
		call.Context = plan.Fold(call.Context, plan.Change{Action: p.verb(), Kind: "container", Name: p.Name, Fields: spec.Settings(base), Command: p.docker()})
		c, err := makeContainer(call, spec, p.State)
		if err != nil {
			return none, err
		}
		out.Container = c
		return changed(call, out)
	}
	out.Diff = container.Differences(*have, spec, base)
	inPlace := true
	for _, d := range out.Diff {
		inPlace = inPlace && container.Updatable(d)
	}
	switch {
	case len(out.Diff) > 0 && inPlace:
		out.Action = "update"
		if err := call.Containers.Update(plan.WithCommand(call.Context, dockerUpdate(p.Name, out.Diff)), have.ID, container.Update{Resources: spec.Resources}); err != nil {
			return none, err
		}
	case len(out.Diff) > 0:
		if !p.Recreate {
			return none, wouldRecreate(p.Name, out.Diff)
		}
		out.Action = "recreate"
		fold := plan.Change{Action: "recreate", Kind: "container", Name: p.Name, Fields: out.Diff, Command: "docker rm -f " + p.Name + " && " + p.docker()}
		if out.Container, err = replace(call, *have, spec, p.State, fold); err != nil {
			return none, err
		}
	}
	if out.Action != "recreate" {
		action, c, err := settle(call, *have, p.State)
		if err != nil {
			return none, err
		}
		if out.Container = &c; out.Action == "none" {
			out.Action = action
		}
	}
	for _, c := range aside {
		if err := call.Containers.Remove(call.Context, c.ID, container.RemoveOptions{Force: true}); err != nil && !fault.Is(err, fault.NotFound) {
			return none, err
		}
	}
	return changed(call, out)
}

// verb is docker's word for making it.
func (p *ensureContainerParams) verb() string {
	if p.State == "running" {
		return "run"
	}
	return "create"
}

// docker is the line that makes it.
func (p *ensureContainerParams) docker() string {
	if p.State == "running" {
		return Run_.commandLine(reflect.ValueOf(&RunParams{CreateOptions: p.CreateOptions, Detach: true, SigProxy: true, Check: true}))
	}
	return Create.commandLine(reflect.ValueOf(&p.CreateOptions))
}

// dockerUpdate is the line that changes the limits.
func dockerUpdate(name string, diff []container.Difference) string {
	line := "docker update"
	for _, d := range diff {
		line += " --" + strings.ReplaceAll(d.Name, "_", "-") + " " + strings.ReplaceAll(strings.TrimSuffix(d.To, "iB"), " ", "")
	}
	return line + " " + name
}

func wouldRecreate(name string, diff []container.Difference) error {
	var fields []string
	for _, d := range diff {
		if !container.Updatable(d) {
			fields = append(fields, differenceText(d))
		}
	}
	return fault.New(fault.Conflict, "container %s would have to be made anew: %s", name, strings.Join(fields, "; ")).
		WithHint("recreate=True allows that")
}

// current gives the container of a name, and those that a replacement which was cut
// off has set aside. When only such a one is there, it gets its name back.
func current(call *Call, name string) (*container.Detail, []container.Container, error) {
	all, err := call.Containers.List(call.Context, container.ListOptions{All: true})
	if err != nil {
		return nil, nil, err
	}
	id := ""
	var aside []container.Container
	for _, c := range all {
		switch {
		case c.Name == name:
			id = c.ID
		case !c.Planned && c.Name == undo.SetAside(name, c.ID):
			aside = append(aside, c)
		}
	}
	if id == "" && len(aside) > 0 {
		id = aside[0].ID
		if err := call.Containers.Rename(call.Context, id, name); err != nil {
			return nil, nil, err
		}
		aside = aside[1:]
	}
	if id == "" {
		return nil, aside, nil
	}
	d, err := call.Containers.Inspect(call.Context, id, false)
	return &d, aside, err
}

// baseOf is what an image gives to its containers.
func baseOf(call *Call, ref, platform string) (container.Base, error) {
	d, err := call.Images.Inspect(call.Context, ref, platform)
	if err != nil {
		return container.Base{}, err
	}
	return recorder.Base(d), nil
}

// makeContainer creates one and brings it into its state; one that does not start goes again.
func makeContainer(call *Call, spec container.Spec, state string) (*container.Container, error) {
	c, err := call.Containers.Create(call.Context, spec)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(call.Stderr, "WARNING: %s\n", w)
	}
	if state == "running" {
		if _, err := call.Containers.Start(call.Context, c.ID, nil); err != nil {
			return nil, discard(call, c, true, err)
		}
		c, err = call.Containers.Get(call.Context, c.ID)
	}
	return &c, err
}

// replace makes a new container in the place of an old one, which comes back when
// that does not go well. Killed in between, the old one is there under the name of
// [undo.SetAside], and the next ensure goes on from there.
func replace(call *Call, old container.Detail, spec container.Spec, state string, planned plan.Change) (*container.Container, error) {
	sub := *call
	sub.Context = plan.Fold(call.Context, planned)
	spec.Inherit = anonymous(old)
	j := &undo.Journal{}
	eng := *call.Engine
	eng.Containers = undo.WrapContainers(j, call.Containers)
	sub.Engine = &eng
	c, err := func() (*container.Container, error) {
		// The process gets its time to end, which the removal would not give it.
		if err := sub.Containers.Stop(sub.Context, old.ID, container.StopOptions{}); err != nil {
			return nil, err
		}
		if err := sub.Containers.Remove(sub.Context, old.ID, container.RemoveOptions{Force: true}); err != nil {
			return nil, err
		}
		return makeContainer(&sub, spec, state)
	}()
	if err == nil {
		return c, j.Commit(sub.Context)
	}
	if _, rerr := j.Rollback(detachedContext(call)); rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	return nil, fault.Wrap(err, "replace container (the old one is back)", old.Name)
}

// anonymous are the volumes that a container has for itself, by their place: whoever
// takes its place goes on with them.
func anonymous(d container.Detail) map[string]string {
	named := map[string]bool{}
	for _, m := range d.Spec.Mounts {
		if m.Type != "volume" || m.Name != "" {
			named[m.Destination] = true
		}
	}
	out := map[string]string{}
	for _, m := range d.Mounts {
		if m.Type == "volume" && !named[m.Destination] {
			out[m.Destination] = m.Name
		}
	}
	return out
}

// settle brings a container into its state.
func settle(call *Call, d container.Detail, state string) (action string, c container.Container, err error) {
	action = "none"
	running := d.Status == container.Running
	switch {
	case state == "running" && d.Status == container.Paused:
		action, err = "unpause", call.Containers.Unpause(plan.WithCommand(call.Context, "docker unpause "+d.Name), d.ID)
	case state == "running" && !running:
		action = "start"
		_, err = call.Containers.Start(plan.WithCommand(call.Context, "docker start "+d.Name), d.ID, nil)
	case state == "stopped" && (running || d.Status == container.Paused):
		action, err = "stop", call.Containers.Stop(plan.WithCommand(call.Context, "docker stop "+d.Name), d.ID, container.StopOptions{})
	}
	if err != nil {
		return action, c, err
	}
	c, err = call.Containers.Get(call.Context, d.ID)
	return action, c, err
}

type ensureImageParams struct {
	Image    ImageRef `arg:"IMAGE"`
	Platform string   `flag:"platform" doc:"Set platform if server is multi-platform capable"`
	Pull     string   `flag:"pull" def:"missing" doc:"Pull it (\"always\", \"missing\", \"never\")"`
}

// EnsureImage makes an image be there.
var EnsureImage = Define(Verb{
	Paths:  []string{"ensure image"},
	Short:  "Make an image be there",
	Effect: Writes,
	Example: `image.assemble("app", file = ["/bin/true:/app"], cmd = ["/app"])
print(ensure.image("app").changed)`,
}, func(call *Call, p *ensureImageParams) (Change, error) {
	out := Change{Action: "none", kind: "image", name: string(p.Image)}
	before, errBefore := call.Images.Get(call.Context, string(p.Image))
	if err := ensureImage(call, string(p.Image), p.Platform, p.Pull, true); err != nil {
		return Change{}, err
	}
	now, err := call.Images.Get(call.Context, string(p.Image))
	if err != nil {
		return Change{}, err
	}
	if errBefore != nil || before.ID != now.ID {
		out.Action = "pull"
	}
	out.name = cmp.Or(familiar(now), out.name)
	out.Image = &now
	return changed(call, out)
}, showChange[ensureImageParams])

type absentParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
}

// AbsentContainer makes containers not be there.
var AbsentContainer = Define(Verb{
	Paths:   []string{"absent container"},
	Short:   "Make containers not be there; those that run are stopped first",
	Effect:  Destroys,
	Example: `print(absent.container("nobody")[0].changed)`,
}, func(call *Call, p *absentParams) ([]Change, error) {
	var out []Change
	for _, ref := range p.Containers {
		c := Change{Action: "none", kind: "container", name: string(ref)}
		have, err := call.Containers.Get(call.Context, string(ref))
		if fault.Is(err, fault.NotFound) {
			c, _ = changed(call, c)
			out = append(out, c)
			continue
		}
		if err != nil {
			return out, err
		}
		c.Action, c.name = "remove", cmp.Or(have.Name, have.ShortID())
		ctx := plan.Fold(call.Context, plan.Change{Action: "remove", Kind: "container", Name: c.name, Command: "docker rm -f " + c.name})
		if have.Status == container.Running {
			if err := call.Containers.Stop(ctx, have.ID, container.StopOptions{}); err != nil {
				return out, err
			}
		}
		if err := call.Containers.Remove(ctx, have.ID, container.RemoveOptions{Force: true}); err != nil && !fault.Is(err, fault.NotFound) {
			return out, err
		}
		c, _ = changed(call, c)
		out = append(out, c)
	}
	return out, nil
}, showChanges[absentParams])

type absentImageParams struct {
	Images []ImageRef `arg:"IMAGE [IMAGE...]"`
	Force  bool       `flag:"force,f" doc:"Also when a container uses it"`
}

// AbsentImage makes images not be there.
var AbsentImage = Define(Verb{
	Paths:   []string{"absent image"},
	Short:   "Make images not be there",
	Effect:  Destroys,
	Example: `absent.image("nobody/knows:it")`,
}, func(call *Call, p *absentImageParams) ([]Change, error) {
	var out []Change
	for _, ref := range p.Images {
		c := Change{Action: "none", kind: "image", name: string(ref)}
		_, err := call.Images.Remove(plan.WithCommand(call.Context, "docker rmi "+string(ref)), string(ref), image.RemoveOptions{Force: p.Force})
		switch {
		case err == nil:
			c.Action = "remove"
		case !fault.Is(err, fault.NotFound):
			return out, err
		}
		c, _ = changed(call, c)
		out = append(out, c)
	}
	return out, nil
}, showChanges[absentImageParams])

func showChanges[P any](call *Call, _ *P, list []Change) error {
	for _, c := range list {
		if _, err := fmt.Fprintln(call.Stdout, c.text()); err != nil {
			return err
		}
	}
	return nil
}
