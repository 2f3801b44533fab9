package network

import (
	"maps"
	"net/netip"
	"strconv"

	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// Spec is what a network like this one is made by.
func (n Network) Spec() Spec {
	return Spec{Name: n.Name, Driver: n.Driver, Internal: n.Internal, NoIPv4: !n.IPv4(), IPv6: n.IPv6(), Subnets: n.Subnets, Options: n.Options, Labels: n.Labels}
}

// Remake is Spec, for a network that is to be made again: an error for one that would
// come back as another, so that it is not removed in the first place.
func (n Network) Remake() (Spec, error) {
	spec := n.Spec()
	err := NotRemovable(n)
	if err == nil && n.IPAM != DefaultIPAM {
		err = fault.New(fault.Invalid, "its addresses are given by %s", n.IPAM)
	}
	if err == nil {
		err = spec.Check()
	}
	if err != nil {
		return spec, fault.New(fault.Invalid, "network %s cannot be made again as it is: %s", n.Name, err).WithHint("remove it by itself: network rm %s", n.Name)
	}
	return spec, nil
}

// Differences are the settings of a network that are not as asked for. Subnets, labels
// and options are compared where some are asked for: those that are not are whatever
// somebody has chosen. The specification has been checked.
func Differences(have Network, want Spec) []plan.Field {
	var out []plan.Field
	add := func(name, from, to string) {
		if from != to {
			out = append(out, plan.Field{Name: name, From: from, To: to})
		}
	}
	flag := func(name string, from, to bool) { add(name, yes(from), yes(to)) }
	add("driver", have.Driver, want.Driver)
	flag("internal", have.Internal, want.Internal)
	if have.IPv4() != !want.NoIPv4 {
		out = append(out, plan.Field{Name: "ipv4", From: strconv.FormatBool(have.IPv4()), To: strconv.FormatBool(!want.NoIPv4)})
	}
	flag("ipv6", have.IPv6(), want.IPv6)
	for _, s := range want.Subnets {
		var old Subnet
		for _, o := range have.Subnets {
			if o.Subnet.Addr().Is4() == s.Subnet.Addr().Is4() {
				old = o
			}
		}
		add("subnet", prefix(old.Subnet), prefix(s.Subnet))
		if s.Gateway.IsValid() {
			add("gateway", addr(old.Gateway), addr(s.Gateway))
		}
		if s.Range.IsValid() {
			add("ip_range", prefix(old.Range), prefix(s.Range))
		}
		if len(s.Aux) > 0 {
			out = append(out, plan.MapFields("aux_address", texts(old.Aux), texts(s.Aux))...)
		}
	}
	if len(want.Options) > 0 {
		options, _ := CanonicalOptions(want.Driver, want.Options)
		old := maps.Clone(have.Options)
		if want.Internal { // masquerades nothing, whatever is asked for
			delete(options, optMasq)
			delete(old, optMasq)
		}
		out = append(out, plan.MapFields("opt", old, options)...)
	}
	if len(want.Labels) > 0 {
		out = append(out, plan.MapFields("label", have.Labels, want.Labels)...)
	}
	return out
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func prefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func texts(m map[string]netip.Addr) map[string]string {
	out := map[string]string{}
	for k, a := range m {
		out[k] = a.String()
	}
	return out
}
