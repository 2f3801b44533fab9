package network

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"nsh/runtime/fault"
)

// The options of networks, by docker's names (docs.docker.com, network drivers).
const (
	optMTU    = "com.docker.network.driver.mtu"
	optMasq   = "com.docker.network.bridge.enable_ip_masquerade"
	optICC    = "com.docker.network.bridge.enable_icc"
	optName   = "com.docker.network.bridge.name"
	optParent = "parent"
	optMode   = "_mode" // after the driver's name
)

// options of a network, the zero value those of one that was made without any.
type options struct {
	mtu      int
	noMasq   bool
	isolated bool
	bridge   string // name of the interface
	parent   string
	mode     string
}

// The first is what the plugin takes when none is given.
var modes = map[string][]string{"macvlan": {"bridge", "private", "vepa", "passthru"}, "ipvlan": {"l2", "l3", "l3s"}}

// parseOptions takes nerdctl's short names as well as docker's.
func parseOptions(driver string, given map[string]string) (options, error) {
	var o options
	for _, key := range slices.Sorted(maps.Keys(given)) {
		val := given[key]
		bad := func(want string) error {
			return fault.New(fault.Invalid, "invalid value %q of the network option %s: it is not %s", val, key, want)
		}
		name := key
		switch key {
		case "mtu":
			name = optMTU
		case "mode":
			name = driver + optMode
		}
		if driver == "bridge" {
			switch key {
			case "ip-masq":
				name = optMasq
			case "icc":
				name = optICC
			}
		}
		switch {
		case name == optMTU:
			n, err := strconv.Atoi(val)
			if err != nil || n < 68 || n > 65535 { // RFC 791: 68 is the least that IP works with
				return o, bad("a number from 68 to 65535")
			}
			o.mtu = n
		case driver == "bridge" && (name == optMasq || name == optICC):
			on, err := strconv.ParseBool(val)
			if err != nil {
				return o, bad("true or false")
			}
			if name == optMasq {
				o.noMasq = !on
			} else {
				o.isolated = !on
			}
		case driver == "bridge" && name == optName:
			if !interfaceName(val) {
				return o, bad("the name of an interface, of at most 15 characters")
			}
			o.bridge = val
		case driver != "bridge" && name == optParent:
			if !interfaceName(val) {
				return o, bad("the name of an interface, of at most 15 characters")
			}
			o.parent = val
		case name == driver+optMode && modes[driver] != nil:
			if !slices.Contains(modes[driver], val) {
				return o, bad("one of " + strings.Join(modes[driver], ", "))
			}
			o.mode = val
		default:
			known := []string{optMTU, optMasq, optICC, optName}
			if driver != "bridge" {
				known = []string{optMTU, driver + optMode, optParent}
			}
			return o, fault.New(fault.Invalid, "unsupported option %s of a %s network", key, driver).WithHint("there are %s", strings.Join(known, ", "))
		}
	}
	if slices.Index(modes[driver], o.mode) == 0 {
		o.mode = ""
	}
	return o, nil
}

// values is the reverse of parseOptions: docker's names, and only what is not the default.
func (o options) values(driver string) map[string]string {
	out := map[string]string{}
	if o.mtu != 0 {
		out[optMTU] = strconv.Itoa(o.mtu)
	}
	if o.noMasq {
		out[optMasq] = "false"
	}
	if o.isolated {
		out[optICC] = "false"
	}
	if o.bridge != "" {
		out[optName] = o.bridge
	}
	if o.parent != "" {
		out[optParent] = o.parent
	}
	if o.mode != "" {
		out[driver+optMode] = o.mode
	}
	return out
}

// CanonicalOptions gives options as a [Network] shows them, so that two can be compared.
func CanonicalOptions(driver string, given map[string]string) (map[string]string, error) {
	o, err := parseOptions(driver, given)
	return o.values(driver), err
}

// interfaceName is the kernel's rule (net/core/dev.c, dev_valid_name), and no dash first.
func interfaceName(s string) bool {
	return s != "" && len(s) <= 15 && s != "." && s != ".." && s[0] != '-' && !strings.ContainsAny(s, "/: \t\n\r\v\f") && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
