package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSubnets(t *testing.T) {
	t.Parallel()
	list := func(s ...string) []string { return s }
	for _, c := range []struct {
		subnets, ranges, gateways []string
		aux                       map[string]string
		want                      string
	}{
		{nil, nil, nil, nil, "[]"},
		{list("10.1.0.0/16"), list("10.1.5.0/24"), list("10.1.0.9"), map[string]string{"r": "10.1.0.3"}, "[{10.1.0.0/16 10.1.0.9 10.1.5.0/24 map[r:10.1.0.3]}]"},
		{list("10.1.0.0/16", "fd00::/64"), list("fd00::8000/113"), list("fd00::1"), nil, "[{10.1.0.0/16 invalid IP invalid Prefix map[]} {fd00::/64 fd00::1 fd00::8000/113 map[]}]"},
		{list("10.1.0.0"), nil, nil, nil, "invalid subnet 10.1.0.0: invalid CIDR block notation"},
		{list("10.1.0.1/16"), nil, nil, nil, "invalid subnet 10.1.0.1/16: it should be 10.1.0.0/16"},
		{list("10.1.0.0/16", "10.1.2.0/24"), nil, nil, nil, "multiple overlapping subnet configuration is not supported"},
		{nil, list("10.1.0.0/24"), nil, nil, "every ip-range or gateway must have a corresponding subnet"},
		{nil, nil, list("10.1.0.1"), nil, "every ip-range or gateway must have a corresponding subnet"},
		{list("10.1.0.0/16"), list("10.2.0.0/24"), nil, nil, "no matching subnet for range 10.2.0.0/24"},
		{list("10.1.0.0/16"), list("10.1.0.0/8"), nil, nil, "invalid ip-range 10.1.0.0/8: it should be 10.0.0.0/8"},
		{list("10.0.0.0/16"), list("10.0.0.0/8"), nil, nil, "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.0.0.0/16"},
		{list("10.1.0.0/16"), nil, list("x"), nil, "invalid gateway x: invalid address"},
		{list("10.1.0.0/16"), nil, list("10.2.0.1"), nil, "no matching subnet for gateway 10.2.0.1"},
		{list("10.1.0.0/16"), nil, nil, map[string]string{"r": "10.2.0.3"}, "no matching subnet for aux-address 10.2.0.3"},
	} {
		out, err := Subnets(c.subnets, c.ranges, c.gateways, c.aux)
		got := fmt.Sprint(out)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Subnets(%v, %v, %v, %v)\n     %s\nwant %s", c.subnets, c.ranges, c.gateways, c.aux, got, c.want)
		}
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subnet, ipRange string
		aux             []string
		want            string
	}{
		{"10.1.0.0/24", "", nil, "[[10.1.0.1 10.1.0.254]]"},
		{"10.1.0.0/30", "", nil, "[[10.1.0.1 10.1.0.2]]"},
		{"10.1.0.0/24", "10.1.0.0/25", nil, "[[10.1.0.1 10.1.0.127]]"},
		{"10.1.0.0/24", "10.1.0.128/25", nil, "[[10.1.0.128 10.1.0.254]]"},
		{"10.1.0.0/24", "10.1.0.8/30", []string{"10.1.0.10", "10.1.0.99"}, "[[10.1.0.8 10.1.0.9] [10.1.0.11 10.1.0.11]]"},
		{"10.1.0.0/24", "10.1.0.8/30", []string{"10.1.0.8", "10.1.0.11"}, "[[10.1.0.9 10.1.0.10]]"},
		{"10.1.0.0/24", "10.1.0.8/32", []string{"10.1.0.8"}, "[]"},
		{"fd00::/64", "", nil, "[[fd00::1 fd00::ffff:ffff:ffff:ffff]]"},
	} {
		s := Subnet{Subnet: netip.MustParsePrefix(c.subnet), Aux: map[string]netip.Addr{}}
		if c.ipRange != "" {
			s.Range = netip.MustParsePrefix(c.ipRange)
		}
		for _, a := range c.aux {
			s.Aux[a] = netip.MustParseAddr(a)
		}
		if got := fmt.Sprint(s.Pools()); got != c.want {
			t.Errorf("%s %s %v: %s, want %s", c.subnet, c.ipRange, c.aux, got, c.want)
		}
	}
}

// TestForeignConflist shows a network that neither nsh nor nerdctl has made.
func TestForeignConflist(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "10-podman.conflist")
	if err := os.WriteFile(path, []byte(`{"cniVersion":"0.4.0","name":"podman","plugins":[{"type":"bridge","bridge":"cni-podman0","isGateway":true,"ipMasq":true,
		"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.88.0.0/16","gateway":"10.88.0.1"}]]}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := Find((&CNI{Conf: dir}).List("default"), "podman")
	if err != nil {
		t.Fatal(err)
	}
	n.Created = n.Created.UTC()
	got := fmt.Sprint(n.Name, n.Driver, n.Foreign, n.Internal, n.Subnets, n.Interface, n.Options, n.ID == ID("podman"), NotRemovable(n))
	want := "podmanbridgetrue false [{10.88.0.0/16 10.88.0.1 invalid Prefix map[]}]cni-podman0map[] true network podman is managed outside nsh and cannot be removed"
	if strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(want), "") {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// FuzzConflist reads what may be in the directory of networks. Nothing there is trusted.
// What nsh writes of a network that it has read is read as the same.
func FuzzConflist(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"x","nerdctlID":"00","plugins":[{"type":"bridge","bridge":"br-000000000000","isGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.4.0.0/24","gateway":"10.4.0.1","ipRange":"10.4.0.8/29"}]]}}]}`))
	f.Add([]byte(`{"name":"x","nerdctlLabels":{"nerdctl/network-aux-addresses":"{\"a\":\"10.1.0.3\"}"},"plugins":[{"type":"macvlan","master":"eth0","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}]}`))
	f.Add([]byte(`{"name":"x","plugins":[{"type":"ipvlan","ipam":{"type":"dhcp"}}]}`))
	f.Add([]byte(`{"name":"x","plugins":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.conflist")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, ok := readFile(path)
		if !ok {
			return
		}
		n := in.network()
		spec := Spec{Name: n.Name, Driver: n.Driver, Internal: n.Internal, NoIPv4: !n.IPv4(), IPv6: n.IPv6(), Subnets: n.Subnets, Options: n.Options, Labels: n.Labels}
		if n.Driver == "" || spec.Check() != nil || n.IPAM != DefaultIPAM || n.Foreign || len(n.Subnets) == 0 {
			return
		}
		o, err := parseOptions(spec.Driver, spec.Options)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal((&CNI{}).conflist(spec, o, InterfaceOf(n)))
		if err != nil {
			t.Fatal(err)
		}
		again := file{path: path}
		if err := json.Unmarshal(text, &again.conf); err != nil {
			t.Fatal(err)
		}
		m := again.network()
		m.ID, m.Interface, n.Interface = n.ID, "", ""
		if fmt.Sprint(m) != fmt.Sprint(n) && !reflect.DeepEqual(m, n) {
			t.Errorf("read\n%+v\nwritten and read\n%+v", n, m)
		}
	})
}
