package builtins

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// psParams are docker's flags; a script has a keyword for each filter beside
// them.
type psParams struct {
	All     bool    `flag:"all,a" doc:"Show all containers (default shows just running)"`
	Filter  Filters `flag:"filter,f" type:"filter" doc:"Filter output based on conditions provided"`
	Format  string  `flag:"format" script:"-" doc:"@list"`
	Last    int     `flag:"last,n" def:"-1" doc:"Show n last created containers (includes all states)"`
	Latest  bool    `flag:"latest,l" doc:"Show the latest created container (includes all states)"`
	NoTrunc bool    `flag:"no-trunc" script:"-" doc:"Don't truncate output"`
	Quiet   bool    `flag:"quiet,q" script:"-" doc:"Only display container IDs"`
	Size    bool    `flag:"size,s" doc:"Display total file sizes"`

	Name     []string       `flag:"name" only:"script" doc:"Those with a name that matches one of these regular expressions"`
	ID       []string       `flag:"id" only:"script" doc:"Those with an ID that starts so"`
	Label    KeyValues      `flag:"label" only:"script" doc:"Those that have all these labels"`
	Status   []string       `flag:"status" only:"script" doc:"Those in one of these states, whether they run or not"`
	Exited   []int          `flag:"exited" only:"script" doc:"Those that ended with one of these codes"`
	Ancestor []ImageRef     `flag:"ancestor" only:"script" doc:"Those made from one of these images"`
	Volume   []string       `flag:"volume" only:"script" doc:"Those with one of these volumes, or a mount there"`
	Network  []NetworkRef   `flag:"network" only:"script" doc:"Those on one of these networks"`
	Publish  []string       `flag:"publish" only:"script" doc:"Those that publish one of these ports"`
	Expose   []string       `flag:"expose" only:"script" doc:"Those that have one of these ports open"`
	Before   []ContainerRef `flag:"before" only:"script" doc:"Those older than this one"`
	Since    []ContainerRef `flag:"since" only:"script" doc:"Those younger than this one"`
}

// List lists containers.
var List = Define(Verb{
	Paths:  []string{"ps", "container ls", "container list", "container ps"},
	Script: []string{"containers"},
	Short:  "List containers",
	Effect: Reads,
	Example: `run("nginx", name = "web", detach = True, label = {"tier": "web"})
print([c.name for c in containers(label = "tier=web")])`,
}, func(call *Call, p *psParams) ([]container.Container, error) {
	if err := p.check(call); err != nil {
		return nil, err
	}
	limit := p.Last
	if p.Latest && limit == -1 {
		limit = 1
	}
	words := p.filters()
	filters, err := container.ParseFilters(words)
	if err != nil {
		return nil, err
	}
	images, err := ancestors(call, filters.Values("ancestor"))
	if err != nil {
		return nil, err
	}
	all, err := call.Containers.List(call.Context, container.ListOptions{All: p.All || limit > 0 || len(words) > 0, Sizes: p.Size})
	if err != nil {
		return nil, err
	}
	return filters.Select(all, container.SelectOptions{All: p.All, Limit: limit, Images: images})
}, func(call *Call, p *psParams, list []container.Container) error {
	out := make([]*psRow, len(list))
	for i, c := range list {
		out[i] = &psRow{psColumns{c: c, trunc: !p.NoTrunc}}
	}
	format := formatter.NewContainerFormat(p.Format, p.Quiet, p.Size)
	if p.Format == "wide" && !p.Quiet {
		format = psWide
	}
	return rows(call.Stdout, format, psKind, psHeader, out)
})

// psKind is what docker calls the type of a row.
const psKind = "*formatter.ContainerContext"

// psWide is nerdctl's --format wide.
const psWide = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Runtime}}\t{{.Platform}}\t{{.Size}}"

// ancestors are the IDs of the images that a filter names; one that is not here
// has none.
func ancestors(call *Call, refs []string) ([]string, error) {
	var ids []string
	for _, ref := range refs {
		i, err := call.Images.Get(call.Context, ref)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, i.ID)
	}
	return ids, nil
}

// check validates the template, and asks for sizes when it shows them.
func (p *psParams) check(call *Call) error {
	if p.Format == "" && !p.Quiet && !call.Script {
		p.Format = configFormat("psFormat")
	}
	switch p.Format {
	case "":
		return nil
	case "wide":
		p.Size = !p.Quiet
		return nil
	}
	if p.Quiet {
		fmt.Fprintln(call.Stderr, "WARNING: Ignoring custom format, because both --format and --quiet are set.")
	}
	sample := &psRow{}
	if err := tryTemplate(p.Format, psKind, sample); err != nil {
		return err
	}
	if !p.Quiet && sample.asksSize {
		p.Size = true
	}
	return nil
}

// filters are the keywords of a script beside those of --filter.
func (p *psParams) filters() []string {
	all := slices.Clone([]string(p.Filter))
	add := func(name string, values ...string) {
		for _, v := range values {
			all = append(all, name+"="+v)
		}
	}
	add("name", p.Name...)
	add("id", p.ID...)
	add("label", p.Label...)
	add("status", p.Status...)
	for _, code := range p.Exited {
		add("exited", strconv.Itoa(code))
	}
	for _, i := range p.Ancestor {
		add("ancestor", string(i))
	}
	add("volume", p.Volume...)
	add("network", texts(p.Network)...)
	add("publish", p.Publish...)
	add("expose", p.Expose...)
	for _, c := range p.Before {
		add("before", string(c))
	}
	for _, c := range p.Since {
		add("since", string(c))
	}
	return all
}

// psColumns is one container as docker's templates see it: a method a column.
// It is not the formatter's own, whose columns are those of docker 29: all of
// them are in the JSON.
type psColumns struct {
	formatter.HeaderContext
	c        container.Container
	trunc    bool
	asksSize bool
}

var psHeader = &formatter.HeaderContext{Header: formatter.SubHeaderContext{
	"ID": "CONTAINER ID", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Ports": "PORTS",
	"State": "STATE", "Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM", "Runtime": "RUNTIME",
}}

// psRow has what nerdctl shows beside docker's columns. In JSON there are
// docker's alone.
type psRow struct {
	psColumns
}

// MarshalJSON gives docker's columns.
func (r *psRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(&r.psColumns) }

// Runtime is the runtime's name, or the path of its program.
func (r *psRow) Runtime() string { return r.c.Runtime }

// ID is cut to 12 digits unless --no-trunc.
func (r *psColumns) ID() string {
	if r.trunc {
		return r.c.ShortID()
	}
	return r.c.ID
}

// Names is one name: docker's lists had further ones for --link.
func (r *psColumns) Names() string { return r.c.Name }

// Image is the reference as it was asked for, without its digest when cut.
func (r *psColumns) Image() string {
	image := r.c.Image
	switch {
	case image == "":
		return "<no image>"
	case !r.trunc:
		return image
	}
	if id := formatter.TruncateID(r.c.ImageID); id == formatter.TruncateID(image) {
		return id
	}
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image
	}
	if _, ok := ref.(reference.Digested); ok {
		name := reference.TrimNamed(ref)
		if t, ok := ref.(reference.Tagged); ok {
			if tagged, err := reference.WithTag(name, t.Tag()); err == nil {
				name = tagged
			}
		}
		return reference.FamiliarString(name)
	}
	return image
}

// Command is what runs, quoted.
func (r *psColumns) Command() string {
	cmd := strings.Join(quoteWords(r.c.Args), " ")
	if r.trunc {
		cmd = formatter.Ellipsis(cmd, 20)
	}
	return strconv.Quote(cmd)
}

// quoteWords puts arguments with blanks in single quotes, as dockerd does it
// for its list (moby/moby@v28.2.2 container/view.go).
func quoteWords(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if i > 0 && strings.Contains(w, " ") {
			w = "'" + w + "'"
		}
		out[i] = w
	}
	return out
}

// CreatedAt is the absolute time, in the zone of the caller.
func (r *psColumns) CreatedAt() string { return time.Unix(r.c.Created.Unix(), 0).String() }

// RunningFor is the age.
func (r *psColumns) RunningFor() string { return age(r.c.Created) }

// Platform is that of the image.
func (r *psColumns) Platform() *formatter.Platform {
	p, err := platforms.Parse(r.c.Platform)
	if err != nil {
		return nil
	}
	return &formatter.Platform{Platform: p}
}

// Ports are those that are open now.
func (r *psColumns) Ports() string { return portsText(openPorts(r.c)) }

// State is one of docker's words.
func (r *psColumns) State() string { return string(r.c.Status) }

// Status is the state with its age, in docker's words.
func (r *psColumns) Status() string { return statusText(r.c) }

// Size of the container's own layer, and with the image.
func (r *psColumns) Size() string {
	r.asksSize = true
	if r.c.Size == nil {
		return "0B"
	}
	s := units.HumanSizeWithPrecision(float64(r.c.Size.Writable), 3)
	if r.c.Size.Virtual > 0 {
		s = fmt.Sprintf("%s (virtual %s)", s, units.HumanSizeWithPrecision(float64(r.c.Size.Virtual), 3))
	}
	return s
}

// Labels are sorted.
func (r *psColumns) Labels() string {
	var all []string
	for k, v := range r.c.Labels {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Label is that of one label.
func (r *psColumns) Label(name string) string { return r.c.Labels[name] }

// Mounts are volumes by name, others by source.
func (r *psColumns) Mounts() string {
	var all []string
	for _, m := range r.c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if r.trunc {
			name = formatter.Ellipsis(name, 15)
		}
		all = append(all, name)
	}
	return strings.Join(all, ",")
}

// LocalVolumes is how many volumes it has.
func (r *psColumns) LocalVolumes() string {
	n := 0
	for _, m := range r.c.Mounts {
		if m.Type == "volume" {
			n++
		}
	}
	return strconv.Itoa(n)
}

// Networks are in the order they were asked for.
func (r *psColumns) Networks() string {
	var all []string
	for _, e := range r.c.Networks {
		all = append(all, e.Network)
	}
	return strings.Join(all, ",")
}

// age is "3 days ago".
func age(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

// statusText is what dockerd says in STATUS (moby/moby@v28.2.2 container/state.go),
// and for a container whose shim does not answer, that and why.
func statusText(c container.Container) string {
	since := func(t time.Time) string { return units.HumanDuration(time.Since(t)) }
	switch c.Status {
	case container.Running:
		return "Up " + since(c.StartedAt)
	case container.Paused:
		return "Up " + since(c.StartedAt) + " (Paused)"
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", c.ExitCode, since(c.FinishedAt))
	case container.Created:
		return "Created"
	case container.Exited:
		if c.FinishedAt.IsZero() {
			return fmt.Sprintf("Exited (%d)", c.ExitCode)
		}
		return fmt.Sprintf("Exited (%d) %s ago", c.ExitCode, since(c.FinishedAt))
	case container.Unknown:
		if c.Error != "" {
			return "Unknown (" + c.Error + ")"
		}
		return "Unknown"
	}
	return string(c.Status)
}

// portsText is docker's PORTS: neighbours that are published under their own
// numbers as one range, the others after them. The rules are those of the
// formatter's DisplayablePorts, which takes types of the API.
func portsText(ports []container.PortMapping) string {
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, comparePorts)
	type span struct {
		key, ip, proto string
		first, last    int
	}
	var closed, others []string
	var open []*span
	text := func(s *span) string {
		r := strconv.Itoa(s.first)
		if s.last != s.first {
			r += "-" + strconv.Itoa(s.last)
		}
		if s.ip != "" {
			r = net.JoinHostPort(s.ip, r) + "->" + r
		}
		return r + "/" + s.proto
	}
next:
	for _, p := range sorted {
		ip := ""
		if p.HostPort > 0 {
			ip = hostIP(p.HostIP)
			if p.HostPort != p.ContainerPort {
				others = append(others, portText(p))
				continue
			}
		}
		key := ip + "/" + p.Protocol
		for _, s := range open {
			if s.key != key {
				continue
			}
			if p.ContainerPort == s.last+1 {
				s.last = p.ContainerPort
			} else {
				closed = append(closed, text(s))
				s.first, s.last = p.ContainerPort, p.ContainerPort
			}
			continue next
		}
		open = append(open, &span{key, ip, p.Protocol, p.ContainerPort, p.ContainerPort})
	}
	for _, s := range open {
		closed = append(closed, text(s))
	}
	return strings.Join(append(closed, others...), ", ")
}

// openPorts are the ports of a container while it has a network: docker shows
// none of one that does not run, though it will have them again.
func openPorts(c container.Container) []container.PortMapping {
	switch c.Status {
	case container.Running, container.Paused, container.Restarting, container.Unknown:
		return c.Ports
	}
	return nil
}

// hostIP is the address that a port without one is bound to.
func hostIP(ip string) string {
	if ip == "" {
		return "0.0.0.0"
	}
	return ip
}

// comparePorts sorts by port of the container, address, port of the host and
// protocol. IPv4 comes before IPv6.
func comparePorts(a, b container.PortMapping) int {
	if a.ContainerPort != b.ContainerPort {
		return a.ContainerPort - b.ContainerPort
	}
	ipA, _ := netip.ParseAddr(a.HostIP)
	ipB, _ := netip.ParseAddr(b.HostIP)
	if c := ipA.Compare(ipB); c != 0 {
		return c
	}
	if a.HostPort != b.HostPort {
		return a.HostPort - b.HostPort
	}
	return strings.Compare(a.Protocol, b.Protocol)
}
