package container

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nsh/runtime/fault"
)

// Sort puts containers in the order of lists: newest first, those of the same
// moment by name.
func Sort(all []Container) {
	slices.SortStableFunc(all, func(a, b Container) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Filters are the conditions of `ps --filter`, checked. Their meaning is
// dockerd's (moby, daemon/list.go): values of one name are alternatives, but
// those of label, before and since must all hold, and so must what different
// names ask for, but for publish and expose, which are alternatives. The zero
// value lets everything through.
type Filters struct {
	values map[string][]string
	ports  []portRange // of publish and expose
}

type portRange struct {
	published   bool
	first, last int
	proto       string
}

// The names that a filter may have. Those that are nil are looked at in
// Select, as they need more than one container.
var filterTests = map[string]func(c Container, value string) bool{
	"id":       nil,
	"before":   nil,
	"since":    nil,
	"ancestor": nil,
	"publish":  nil,
	"expose":   nil,
	"name":     func(c Container, v string) bool { return Matches(v, "/"+c.Name) || Matches(v, c.Name) },
	"label": func(c Container, v string) bool {
		key, want, valued := strings.Cut(v, "=")
		got, ok := c.Labels[key]
		return ok && (!valued || got == want)
	},
	"status": func(c Container, v string) bool {
		return string(c.Status) == v || v == "stopped" && c.Status == Exited // nerdctl's word
	},
	"exited": func(c Container, v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && c.Status == Exited && c.ExitCode == n
	},
	"volume": func(c Container, v string) bool {
		return slices.ContainsFunc(c.Mounts, func(m Mount) bool {
			return v == m.Destination || v == m.Name || m.Name == "" && v == m.Source
		})
	},
	"network": func(c Container, v string) bool {
		return slices.ContainsFunc(c.Networks, func(e Endpoint) bool { return e.Network == v })
	},
}

// Matches is docker's: the text itself, or a regular expression anywhere in
// it. What is no regular expression matches nothing else.
func Matches(pattern, text string) bool {
	if pattern == text {
		return true
	}
	re, err := regexp.Compile(pattern)
	return err == nil && re.MatchString(text)
}

// dockerStates are what dockerd takes for a status, though containerd has no
// counterpart for two of them.
var dockerStates = []string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}

// ParseFilters checks filters of the form name=value. What cannot mean anything
// is an error of kind invalid in docker's words.
func ParseFilters(args []string) (Filters, error) {
	f := Filters{values: map[string][]string{}}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return Filters{}, fault.New(fault.Invalid, "bad format of filter (expected name=value)")
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if err := f.add(name, value); err != nil {
			return Filters{}, err
		}
	}
	return f, nil
}

func (f *Filters) add(name, value string) error {
	switch name {
	case "health", "isolation", "is-task":
		return fault.New(fault.Invalid, "filter %q is not supported", name).
			WithHint("there are %s", strings.Join(slices.Sorted(maps.Keys(filterTests)), ", "))
	case "status":
		if !slices.Contains(dockerStates, value) && value != "stopped" && value != string(Unknown) {
			return fault.New(fault.Invalid, "invalid filter 'status=%s': invalid value for state (%s): must be one of %s", value, value, strings.Join(dockerStates, ", "))
		}
	case "exited":
		if _, err := strconv.Atoi(value); err != nil {
			return fault.New(fault.Invalid, "invalid filter 'exited=%s': %s", value, err)
		}
	case "publish", "expose":
		r, err := parsePortRange(name, value)
		if err != nil {
			return err
		}
		f.ports = append(f.ports, r)
	default:
		if _, ok := filterTests[name]; !ok {
			return fault.New(fault.Invalid, "invalid filter '%s'", name).
				WithHint("there are %s", strings.Join(slices.Sorted(maps.Keys(filterTests)), ", "))
		}
	}
	f.values[name] = append(f.values[name], value)
	return nil
}

// parsePortRange takes PORT[-PORT][/PROTO].
func parsePortRange(name, value string) (portRange, error) {
	if strings.Contains(value, ":") {
		return portRange{}, fault.New(fault.Invalid, "filter for '%s' should not contain ':': %s", name, value)
	}
	span, proto, ok := strings.Cut(value, "/")
	if !ok || proto == "" {
		proto = "tcp"
	}
	r := portRange{published: name == "publish", proto: strings.ToLower(proto)}
	bad := func(why string) (portRange, error) {
		return portRange{}, fault.New(fault.Invalid, "error while looking up for %s %s: %s", name, value, why).
			WithHint("a port is like 80, 80-90 or 53/udp")
	}
	first, last, ranged := strings.Cut(span, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	switch {
	case span == "":
		return bad("empty string specified for ports")
	case errA != nil || errB != nil || b < a:
		return bad("invalid range specified for port: " + span)
	case !slices.Contains([]string{"tcp", "udp", "sctp"}, r.proto):
		return bad("invalid proto: " + proto)
	}
	r.first, r.last = int(a), int(b)
	return r, nil
}

// Values gives what a filter was asked for, in order.
func (f Filters) Values(name string) []string { return slices.Clone(f.values[name]) }

// All tells that the filters ask for containers that do not run, too.
func (f Filters) All() bool { return len(f.values["status"]) > 0 }

// SelectOptions of [Filters.Select].
type SelectOptions struct {
	All   bool // not only the running ones; Limit and Filters.All mean it, too
	Limit int  // of the newest that the filters let through; <= 0: no limit
	// Images are the IDs of the images that the values of ancestor stand for.
	// One that is not here stands for none, as with dockerd.
	Images []string
}

// Select gives those of all that the filters let through, in the order of
// [Sort]. all must have every container, also those that do not run: before
// and since may name them, and a prefix is only unique among all. That before or
// since name nothing is the error of [Resolve].
func (f Filters) Select(all []Container, opts SelectOptions) ([]Container, error) {
	sorted := slices.Clone(all)
	Sort(sorted)
	// dockerd goes by the place in the list, so that two of the same moment
	// are apart.
	from, to := 0, len(sorted)
	place := func(ref string) (int, error) {
		c, err := Resolve(all, ref)
		return slices.IndexFunc(sorted, func(o Container) bool { return o.ID == c.ID }), err
	}
	for _, ref := range f.values["before"] {
		i, err := place(ref)
		if err != nil {
			return nil, err
		}
		from = max(from, i+1)
	}
	for _, ref := range f.values["since"] {
		i, err := place(ref)
		if err != nil {
			return nil, err
		}
		to = min(to, i)
	}
	out := []Container{}
	for i := from; i < to; i++ {
		c := sorted[i]
		if opts.Limit > 0 && len(out) == opts.Limit {
			break
		}
		running := c.Status != Created && c.Status != Exited
		if (running || opts.All || opts.Limit > 0 || f.All()) && f.match(c, sorted, opts.Images) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (f Filters) match(c Container, all []Container, images []string) bool {
	for name, values := range f.values {
		var holds bool
		test := func(v string) bool { return filterTests[name](c, v) }
		switch name {
		case "before", "since":
			continue
		case "id":
			holds = slices.ContainsFunc(values, func(v string) bool { return uniquePrefix(all, c, v) })
		case "ancestor":
			holds = c.ImageID != "" && slices.Contains(images, c.ImageID)
		case "publish", "expose":
			holds = slices.ContainsFunc(f.ports, func(r portRange) bool { return r.in(c.Ports) })
		case "label":
			holds = !slices.ContainsFunc(values, func(v string) bool { return !test(v) })
		default:
			holds = slices.ContainsFunc(values, test)
		}
		if !holds {
			return false
		}
	}
	return true
}

// uniquePrefix tells that v is c's ID, or the beginning of it and of no other:
// dockerd looks a filter of id up as it does an argument.
func uniquePrefix(all []Container, c Container, v string) bool {
	if c.ID == v {
		return true
	}
	if v == "" || !strings.HasPrefix(c.ID, v) {
		return false
	}
	return !slices.ContainsFunc(all, func(o Container) bool { return o.ID != c.ID && strings.HasPrefix(o.ID, v) })
}

func (r portRange) in(ports []PortMapping) bool {
	return slices.ContainsFunc(ports, func(p PortMapping) bool {
		n := p.ContainerPort
		if r.published {
			n = p.HostPort
		}
		return p.Protocol == r.proto && n >= r.first && n <= r.last
	})
}
