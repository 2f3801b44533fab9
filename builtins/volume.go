package builtins

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"
	"github.com/fvbommel/sortorder"

	"nsh/lang"
	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
	"nsh/runtime/volume"
)

// localDriver is the one driver of volumes.
const localDriver = "local"

type volumeCreateParams struct {
	Volume string    `arg:"[VOLUME]"`
	Driver string    `flag:"driver,d" def:"local" doc:"Specify volume driver name"`
	Label  KeyValues `flag:"label" doc:"Set metadata for a volume"`

	Opt               NotBuilt `flag:"opt,o" type:"map" doc:"Set driver specific options (default map[])"`
	Availability      NotBuilt `flag:"availability" doc:"Cluster Volume availability (\"active\", \"pause\", \"drain\") (default \"active\")"`
	Group             NotBuilt `flag:"group" doc:"Cluster Volume group (cluster volumes)"`
	LimitBytes        NotBuilt `flag:"limit-bytes" type:"bytes" doc:"Minimum size of the Cluster Volume in bytes"`
	RequiredBytes     NotBuilt `flag:"required-bytes" type:"bytes" doc:"Maximum size of the Cluster Volume in bytes"`
	Scope             NotBuilt `flag:"scope" doc:"Cluster Volume access scope (\"single\", \"multi\") (default \"single\")"`
	Secret            NotBuilt `flag:"secret" type:"map" doc:"Cluster Volume secrets (default map[])"`
	Sharing           NotBuilt `flag:"sharing" doc:"Cluster Volume access sharing (\"none\", \"readonly\", \"onewriter\", \"all\") (default \"none\")"`
	TopologyPreferred NotBuilt `flag:"topology-preferred" type:"list" doc:"A topology that the Cluster Volume would be preferred in"`
	TopologyRequired  NotBuilt `flag:"topology-required" type:"list" doc:"A topology that the Cluster Volume must be accessible from"`
	Type              NotBuilt `flag:"type" doc:"Cluster Volume access type (\"mount\", \"block\") (default \"block\")"`
}

// CreateVolume makes a volume.
var CreateVolume = Define(Verb{
	Paths:   []string{"volume create"},
	Short:   "Create a volume",
	Effect:  Writes,
	Example: `print(volume.create("data", label = {"tier": "db"}).labels)`,
}, func(call *Call, p *volumeCreateParams) (volume.Volume, error) {
	if p.Driver != localDriver {
		return volume.Volume{}, fault.New(fault.NotFound, "create %s: error looking up volume plugin %s: plugin %q not found", p.Volume, p.Driver, p.Driver).WithHint("there is the driver local")
	}
	labels, err := labelMap(nil, p.Label)
	if err != nil {
		return volume.Volume{}, wrong(err)
	}
	return call.Volumes.Create(call.Context, volume.Spec{Name: p.Volume, Labels: labels})
}, func(call *Call, _ *volumeCreateParams, v volume.Volume) error {
	_, err := fmt.Fprintln(call.Stdout, v.Name)
	return err
})

type volumesParams struct {
	Cluster NotBuilt `flag:"cluster" type:"bool" doc:"Display only cluster volumes, and use cluster volume list formatting"`
	Filter  Filters  `flag:"filter,f" type:"filter" doc:"Provide filter values (e.g. \"dangling=true\")"`
	Format  string   `flag:"format" script:"-" doc:"@list"`
	Quiet   bool     `flag:"quiet,q" script:"-" doc:"Only display volume names"`
	Size    bool     `flag:"size,s" doc:"Display the disk usage of volumes, which reads all of their files"`

	Dangling *bool     `flag:"dangling" only:"script" doc:"True: those that no container mounts; False: the others"`
	Label    KeyValues `flag:"label" only:"script" doc:"Those that have all these labels"`
	Name     []string  `flag:"name" only:"script" doc:"Those whose name matches one of these regular expressions"`
}

// Volumes lists volumes.
var Volumes = Define(Verb{
	Paths:  []string{"volume ls", "volume list"},
	Script: []string{"volumes"},
	Short:  "List volumes",
	Effect: Reads,
	Example: `volume.create("data")
print([v.name for v in volumes()])`,
}, func(call *Call, p *volumesParams) ([]volume.Volume, error) {
	filters := slices.Clone([]string(p.Filter))
	if p.Dangling != nil {
		filters = append(filters, "dangling="+strconv.FormatBool(*p.Dangling))
	}
	for _, l := range p.Label {
		filters = append(filters, "label="+l)
	}
	for _, n := range p.Name {
		filters = append(filters, "name="+n)
	}
	return listVolumes(call, filters, volume.ListOptions{Sizes: p.Size})
}, func(call *Call, p *volumesParams, list []volume.Volume) error {
	slices.SortStableFunc(list, func(a, b volume.Volume) int { return natural(a.Name, b.Name) })
	format := p.Format
	if format == "" && !p.Quiet {
		format = configFormat("volumesFormat")
	}
	f := formatter.NewVolumeFormat(format, p.Quiet)
	if format == "" {
		f = formatter.NewVolumeFormat(formatter.TableFormatKey, p.Quiet)
		if p.Size && !p.Quiet {
			f = "table {{.Driver}}\t{{.Name}}\t{{.Size}}"
		}
	}
	out := make([]*volumeRow, len(list))
	for i, v := range list {
		out[i] = &volumeRow{v: v}
	}
	return rows(call.Stdout, f, "*formatter.volumeContext", volumeHeader, out)
})

// natural sorts numbers in names by what they are, as docker's client does.
func natural(a, b string) int {
	switch {
	case sortorder.NaturalLess(a, b):
		return -1
	case sortorder.NaturalLess(b, a):
		return 1
	}
	return 0
}

// listVolumes keeps the volumes for which all filters hold (moby, volume/service/service.go
// and convert.go): several of one name are alternatives, but all labels must be there.
// size is nerdctl's.
func listVolumes(call *Call, filters []string, opts volume.ListOptions) ([]volume.Volume, error) {
	var tests tests[volume.Volume]
	for _, f := range filters {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "dangling":
			want, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fault.New(fault.Invalid, "invalid filter 'dangling=[%s]'", value)
			}
			opts.Containers = true
			tests.any("dangling", func(v volume.Volume) bool { return (len(v.Containers) == 0) == want })
		case "driver":
			tests.any(name, func(volume.Volume) bool { return value == localDriver })
		case "name":
			tests.any(name, func(v volume.Volume) bool { return container.Matches(value, v.Name) })
		case "label", "label!":
			tests.all(func(v volume.Volume) bool { return hasLabel(v.Labels, value) == (name == "label") })
		case "size":
			test, err := sizeTest(value)
			if err != nil {
				return nil, err
			}
			opts.Sizes = true
			tests.all(func(v volume.Volume) bool { return v.Size != nil && test(*v.Size) })
		default:
			return nil, noFilter(name, "dangling", "driver", "label", "name", "size")
		}
	}
	list, err := call.Volumes.List(call.Context, opts)
	if err != nil {
		return nil, err
	}
	return tests.keep(list), nil
}

// tests are the conditions of a list.
type tests[T any] struct {
	every []func(T) bool
	some  map[string][]func(T) bool
}

// all adds one that must hold.
func (t *tests[T]) all(test func(T) bool) { t.every = append(t.every, test) }

// any adds one of which one of each name must hold.
func (t *tests[T]) any(name string, test func(T) bool) {
	if t.some == nil {
		t.some = map[string][]func(T) bool{}
	}
	t.some[name] = append(t.some[name], test)
}

func (t *tests[T]) keep(list []T) []T {
	return slices.DeleteFunc(list, func(x T) bool {
		holds := func(test func(T) bool) bool { return test(x) }
		for _, test := range t.every {
			if !test(x) {
				return true
			}
		}
		for _, some := range t.some {
			if !slices.ContainsFunc(some, holds) {
				return true
			}
		}
		return false
	})
}

func hasLabel(labels map[string]string, word string) bool {
	key, want, valued := strings.Cut(word, "=")
	got, ok := labels[key]
	return ok && (!valued || got == want)
}

func noFilter(name string, known ...string) error {
	e := fault.New(fault.Invalid, "invalid filter '%s'", name)
	if near := lang.Closest(name, known); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("there are %s", strings.Join(known, ", "))
}

// sizeTest is nerdctl's comparison of bytes: "=1024", ">1024", "<=1024"; = when there is none.
func sizeTest(text string) (func(int64) bool, error) {
	op := text[:len(text)-len(strings.TrimLeft(text, "<>="))]
	want, err := units.RAMInBytes(strings.TrimSpace(text[len(op):]))
	if err != nil {
		return nil, fault.New(fault.Invalid, "invalid filter 'size=%s': it is a number of bytes, with <, <=, > or >= in front", text)
	}
	switch op {
	case "", "=", "==":
		return func(n int64) bool { return n == want }, nil
	case "<":
		return func(n int64) bool { return n < want }, nil
	case "<=":
		return func(n int64) bool { return n <= want }, nil
	case ">":
		return func(n int64) bool { return n > want }, nil
	case ">=":
		return func(n int64) bool { return n >= want }, nil
	}
	return nil, fault.New(fault.Invalid, "invalid filter 'size=%s': there is no operator %s", text, op)
}

// volumeRow is a volume as docker's templates see it.
type volumeRow struct {
	formatter.HeaderContext
	v volume.Volume
}

var volumeHeader = &formatter.HeaderContext{Header: formatter.SubHeaderContext{
	"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Links": "LINKS", "Size": "SIZE",
	"Group": "GROUP", "Availability": "AVAILABILITY", "Status": "STATUS",
}}

// MarshalJSON gives docker's columns.
func (r *volumeRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(r) }

// Name of the volume.
func (r *volumeRow) Name() string { return r.v.Name }

// Driver is local.
func (r *volumeRow) Driver() string { return localDriver }

// Scope is local.
func (r *volumeRow) Scope() string { return localDriver }

// Mountpoint is the directory on the host.
func (r *volumeRow) Mountpoint() string { return r.v.Mountpoint }

// Labels are k=v, sorted.
func (r *volumeRow) Labels() string { return labelText(r.v.Labels) }

// Label gives one of them.
func (r *volumeRow) Label(name string) string { return r.v.Labels[name] }

// Links are only counted by system df.
func (r *volumeRow) Links() string { return "N/A" }

// Size is that of all files, with --size.
func (r *volumeRow) Size() string {
	if r.v.Size == nil {
		return "N/A"
	}
	return units.HumanSize(float64(*r.v.Size))
}

// Group is of volumes of a cluster, as are Availability and Status.
func (r *volumeRow) Group() string { return "N/A" }

// Availability see Group.
func (r *volumeRow) Availability() string { return "N/A" }

// Status see Group.
func (r *volumeRow) Status() string { return "N/A" }

func labelText(labels map[string]string) string {
	words := make([]string, 0, len(labels))
	for _, k := range sorted(labels) {
		words = append(words, k+"="+labels[k])
	}
	return strings.Join(words, ",")
}

type volumeInspectParams struct {
	Volumes []VolumeRef `arg:"VOLUME [VOLUME...]"`
	Format  string      `flag:"format,f" script:"-" doc:"@inspect"`
	Size    bool        `flag:"size,s" doc:"Display the disk usage of the volume"`
}

// InspectVolume shows all that is known of volumes.
var InspectVolume = Define(Verb{
	Paths:  []string{"volume inspect"},
	Short:  "Display detailed information on one or more volumes",
	Effect: Reads,
	Example: `volume.create("data")
print(volume.inspect("data")[0]["Driver"])`,
}, func(call *Call, p *volumeInspectParams) ([]Inspected, error) {
	return inspectAll(call, p.Format, "dockercompat", p.Volumes, func(ctx context.Context, ref string) (Inspected, error) {
		return inspectVolume(ctx, call, ref, p.Size)
	})
}, func(call *Call, p *volumeInspectParams, list []Inspected) error {
	return showInspected(call, p.Format, list)
})

// dockerVolume is a volume in docker's API 1.50. Docker's own type would bring all of
// swarm and its protocol buffers into the program.
type dockerVolume struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
	UsageData  *volumeUsage `json:",omitempty"`
}

type volumeUsage struct {
	RefCount int
	Size     int64
}

func inspectVolume(ctx context.Context, call *Call, name string, size bool) (Inspected, error) {
	v, err := call.Volumes.Get(ctx, name, size)
	if err != nil {
		return Inspected{}, err
	}
	out := dockerVolume{CreatedAt: v.Created.Format(time.RFC3339), Driver: localDriver, Mountpoint: v.Mountpoint, Name: v.Name, Scope: localDriver}
	if len(v.Labels) > 0 {
		out.Labels = v.Labels
	}
	if v.Size != nil {
		out.UsageData = &volumeUsage{Size: *v.Size, RefCount: len(v.Containers)}
	}
	return newInspected(out)
}

type volumeRmParams struct {
	Volumes []VolumeRef `arg:"VOLUME [VOLUME...]"`
	Force   bool        `flag:"force,f" doc:"Force the removal of one or more volumes"`
}

// RemoveVolume deletes volumes.
var RemoveVolume = Define(Verb{
	Paths:  []string{"volume rm", "volume remove"},
	Short:  "Remove one or more volumes",
	Long:   "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
	Effect: Destroys,
	Example: `volume.create("data")
volume("data").rm()`,
}, func(call *Call, p *volumeRmParams) ([]string, error) {
	return each(call.Context, p.Volumes, func(ctx context.Context, ref VolumeRef) (string, error) {
		err := call.Volumes.Remove(ctx, string(ref))
		if p.Force && fault.Is(err, fault.NotFound) {
			err = nil
		}
		return string(ref), err
	})
}, showLines[volumeRmParams])

// Pruned is what a prune has taken away.
type Pruned struct {
	Deleted        []string // names
	SpaceReclaimed int64    // bytes

	asked bool // and the answer was no
}

type volumePruneParams struct {
	All    bool    `flag:"all,a" doc:"Remove all unused volumes, not just anonymous ones"`
	Filter Filters `flag:"filter" type:"filter" doc:"Provide filter values (e.g. \"label=<label>\")"`
	Force  bool    `flag:"force,f" script:"-" doc:"Do not prompt for confirmation"`
}

// PruneVolumes deletes the volumes that nobody mounts.
var PruneVolumes = Define(Verb{
	Paths:   []string{"volume prune"},
	Short:   "Remove unused local volumes",
	Effect:  Destroys,
	Example: `print(volume.prune().deleted)`,
}, func(call *Call, p *volumePruneParams) (Pruned, error) {
	var out Pruned
	all := p.All
	var filters []string
	for _, f := range pruneFilters(p.Filter) {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "all":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return out, fault.New(fault.Invalid, "invalid filter 'all=[%s]'", value)
			}
			if p.All {
				return out, misuse("conflicting options: cannot specify both --all and --filter all=1")
			}
			all = on
		case "label", "label!":
			filters = append(filters, f)
		default:
			return out, noFilter(name, "all", "label", "label!")
		}
	}
	what := "anonymous local volumes"
	if all {
		what = "all local volumes"
	}
	if !p.Force {
		ok, err := confirm(call, "This will remove "+what+" not used by at least one container.")
		if err != nil || !ok {
			out.asked = true
			return out, err
		}
	}
	list, err := listVolumes(call, append(filters, "dangling=true"), volume.ListOptions{Sizes: true})
	if err != nil {
		return out, err
	}
	for _, v := range list {
		if !all && !v.Anonymous {
			continue
		}
		err := call.Volumes.Remove(call.Context, v.Name)
		switch {
		case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict): // somebody was faster, or mounts it by now
			continue
		case err != nil:
			return out, err
		}
		out.Deleted = append(out.Deleted, v.Name)
		if v.Size != nil {
			out.SpaceReclaimed += *v.Size
		}
	}
	return out, nil
}, func(call *Call, _ *volumePruneParams, out Pruned) error {
	if out.asked {
		return nil
	}
	_, err := fmt.Fprintf(call.Stdout, "%sTotal reclaimed space: %s\n", out.list("Volumes"), units.HumanSize(float64(out.SpaceReclaimed)))
	return err
})

// pruneFilters adds those of docker's config.json, but for those that the command line
// says the opposite of (docker/cli, command/utils.go, PruneFilters).
func pruneFilters(given Filters) Filters {
	out := slices.Clone(given)
	for _, f := range configStrings("pruneFilters") {
		name, value, _ := strings.Cut(f, "=")
		opposite := map[string]string{"label": "label!=", "label!": "label="}[name]
		if opposite == "" || !slices.Contains(given, opposite+value) {
			out = append(out, f)
		}
	}
	return out
}

// list is empty for nothing, else it ends in an empty line, as docker's does.
func (p Pruned) list(what string) string {
	if len(p.Deleted) == 0 {
		return ""
	}
	return "Deleted " + what + ":\n" + strings.Join(p.Deleted, "\n") + "\n\n"
}

// confirm asks as docker does: what is not y is no. A script and a plan are not asked.
func confirm(call *Call, warning string) (bool, error) {
	if call.Script || plan.From(call.Context) != nil {
		return true, nil
	}
	if _, err := fmt.Fprintf(call.Stdout, "WARNING! %s\nAre you sure you want to continue? [y/N] ", warning); err != nil {
		return false, err
	}
	in, cancel := cancellable(call.Stdin)
	defer cancel()
	defer context.AfterFunc(call.Context, cancel)()
	var answer []byte
	for one := make([]byte, 1); len(answer) < 64; {
		// Byte by byte: what follows the line is for the next one who reads.
		n, err := in.Read(one)
		if n == 0 && err != nil || n > 0 && one[0] == '\n' {
			break
		}
		answer = append(answer, one[:n]...)
	}
	if err := call.Context.Err(); err != nil {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(string(answer)), "y"), nil
}
