package builtins

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/plan"
	"nsh/runtime/volume"
)

type ensureVolumeParams struct {
	Volume string    `arg:"VOLUME"`
	Label  KeyValues `flag:"label" doc:"The labels it is to have; those of one that is there are left alone when none is given"`
}

// EnsureVolume makes a volume be there. It never touches what is in one.
var EnsureVolume = Define(Verb{
	Paths:  []string{"ensure volume"},
	Short:  "Make a volume be there, with these labels",
	Effect: Writes,
	Example: `ensure.volume("data", label = {"tier": "db"})
print(ensure.volume("data").changed)`,
}, func(call *Call, p *ensureVolumeParams) (Change, error) {
	labels, err := labelMap(nil, p.Label)
	if err != nil {
		return Change{}, wrong(err)
	}
	out := Change{Action: "none", kind: "volume", name: p.Volume}
	have, err := call.Volumes.Get(call.Context, p.Volume, false)
	switch {
	case fault.Is(err, fault.NotFound):
		out.Action = "create"
		create := CreateVolume.commandLine(reflect.ValueOf(&volumeCreateParams{Volume: p.Volume, Driver: localDriver, Label: p.Label}))
		if have, err = call.Volumes.Create(plan.WithCommand(call.Context, create), volume.Spec{Name: p.Volume, Labels: labels}); err != nil {
			return Change{}, err
		}
	case err != nil:
		return Change{}, err
	}
	// Also after creating: somebody else may have been faster.
	old := maps.Clone(have.Labels)
	delete(old, volume.AnonymousLabel) // stays, whatever the others are
	if out.Diff = plan.MapFields("label", old, labels); len(labels) > 0 && len(out.Diff) > 0 {
		if out.Action == "none" {
			out.Action = "update"
		}
		if err := call.Volumes.Label(call.Context, p.Volume, labels); err != nil {
			return Change{}, err
		}
		have.Labels = labels
	} else {
		out.Diff = nil
	}
	out.Volume = &have
	return changed(call, out)
}, showChange[ensureVolumeParams])

type ensureNetworkParams struct {
	NetworkOptions
	Recreate bool `flag:"recreate" def:"true" doc:"Make a new one in its place where a setting is not as asked for"`
}

// EnsureNetwork makes a network be there as described.
var EnsureNetwork = Define(Verb{
	Paths: []string{"ensure network"},
	Short: "Make a network be there as described",
	Long: `Make a network be there as described: create it, or make a new one in its
place; nothing when all is as asked for. Subnets, options and labels are only
compared where some are given. One that containers are on is not replaced.`,
	Effect: Writes,
	Example: `ensure.network("front", subnet = ["10.5.0.0/24"])
print(ensure.network("front").changed)`,
}, ensureNetwork, showChange[ensureNetworkParams])

func ensureNetwork(call *Call, p *ensureNetworkParams) (none Change, err error) {
	spec, err := p.spec(call)
	if err != nil {
		return none, err
	}
	out := Change{Action: "none", kind: "network", name: spec.Name}
	create := CreateNetwork.commandLine(reflect.ValueOf(&networkCreateParams{p.NetworkOptions}))
	all, err := call.Networks.List(call.Context, network.ListOptions{})
	if err != nil {
		return none, err
	}
	// By its name alone: it is not made where an ID happens to begin so.
	var have network.Network
	for _, n := range all {
		if n.Name == spec.Name {
			have = n
		}
	}
	if have.Name == "" {
		out.Action = "create"
		n, err := call.Networks.Create(plan.WithCommand(call.Context, create), spec)
		if err != nil {
			return none, err
		}
		out.Network = &n
		return changed(call, out)
	}
	if out.Diff = network.Differences(have, spec); len(out.Diff) == 0 {
		out.Network = &have
		return changed(call, out)
	}
	out.Action = "recreate"
	if !p.Recreate {
		var fields []string
		for _, d := range out.Diff {
			fields = append(fields, differenceText(d))
		}
		return none, fault.New(fault.Conflict, "network %s would have to be made anew: %s", spec.Name, strings.Join(fields, "; ")).WithHint("recreate=True allows that")
	}
	if _, err := have.Remake(); err != nil {
		return none, fault.Wrap(err, "replace network", spec.Name)
	}
	// What is not asked for stays as it was.
	spec.Subnets = keepSubnets(spec, have)
	if len(spec.Labels) == 0 {
		spec.Labels = have.Labels
	}
	if len(spec.Options) == 0 && spec.Driver == have.Driver {
		spec.Options = have.Options
	}
	if err := spec.Check(); err != nil {
		return none, err
	}
	ctx := plan.Fold(call.Context, plan.Change{Action: "recreate", Kind: "network", Name: spec.Name, Fields: out.Diff, Command: "docker network rm " + spec.Name + " && " + create})
	if err := call.Networks.Remove(ctx, have.Name); err != nil {
		return none, fault.Wrap(err, "replace network", spec.Name)
	}
	n, err := call.Networks.Create(ctx, spec)
	if err != nil {
		if _, rerr := call.Networks.Create(detachedContext(call), have.Spec()); rerr != nil {
			return none, joinErrors([]error{err, rerr})
		}
		return none, fault.Wrap(err, "replace network (the old one is back)", spec.Name)
	}
	out.Network = &n
	return changed(call, out)
}

// keepSubnets adds what a network has to what is asked for: a family's subnet where none
// is given, and the gateway, range and addresses of one that is the same.
func keepSubnets(spec network.Spec, have network.Network) []network.Subnet {
	out := slices.Clone(spec.Subnets)
	for _, s := range have.Subnets {
		is4 := s.Subnet.Addr().Is4()
		if is4 && spec.NoIPv4 || !is4 && !spec.IPv6 {
			continue
		}
		if spec.Internal {
			s.Gateway = netip.Addr{} // there is no way out
		}
		i := slices.IndexFunc(out, func(o network.Subnet) bool { return o.Subnet.Addr().Is4() == is4 })
		switch {
		case i < 0:
			out = append(out, s)
		case out[i].Subnet == s.Subnet:
			if !out[i].Gateway.IsValid() {
				out[i].Gateway = s.Gateway
			}
			if !out[i].Range.IsValid() {
				out[i].Range = s.Range
			}
			if len(out[i].Aux) == 0 {
				out[i].Aux = s.Aux
			}
		}
	}
	return out
}

// absent is the work of the verbs that make things not be there; what is not is no error.
func absent[R ~string](call *Call, kind string, refs []R, remove func(*Call, string) error) ([]Change, error) {
	var out []Change
	for _, ref := range refs {
		c := Change{Action: "none", kind: kind, name: string(ref)}
		err := remove(call, string(ref))
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
}

type absentVolumeParams struct {
	Volumes []VolumeRef `arg:"VOLUME [VOLUME...]"`
}

// AbsentVolume makes volumes not be there.
var AbsentVolume = Define(Verb{
	Paths:   []string{"absent volume"},
	Short:   "Make volumes not be there, with all that is in them",
	Effect:  Destroys,
	Example: `print(absent.volume("nothing")[0].changed)`,
}, func(call *Call, p *absentVolumeParams) ([]Change, error) {
	return absent(call, "volume", p.Volumes, func(call *Call, name string) error {
		return call.Volumes.Remove(plan.WithCommand(call.Context, "docker volume rm "+name), name)
	})
}, showChanges[absentVolumeParams])

type absentNetworkParams struct {
	Networks []NetworkRef `arg:"NETWORK [NETWORK...]"`
}

// AbsentNetwork makes networks not be there.
var AbsentNetwork = Define(Verb{
	Paths:   []string{"absent network"},
	Short:   "Make networks not be there; one that containers are on stays, with an error",
	Effect:  Destroys,
	Example: `print(absent.network("nowhere")[0].changed)`,
}, func(call *Call, p *absentNetworkParams) ([]Change, error) {
	return absent(call, "network", p.Networks, func(call *Call, name string) error {
		return call.Networks.Remove(plan.WithCommand(call.Context, "docker network rm "+name), name)
	})
}, showChanges[absentNetworkParams])
