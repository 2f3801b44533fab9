package network

import (
	"net"
	"testing"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

func TestParsePort(t *testing.T) {
	t.Parallel()
	m := func(ip string, host, ctr int, proto string) container.PortMapping {
		return container.PortMapping{HostIP: ip, HostPort: host, ContainerPort: ctr, Protocol: proto}
	}
	for _, tt := range []struct {
		word string
		want []container.PortMapping
		err  string
	}{
		{"80", []container.PortMapping{m("0.0.0.0", 0, 80, "tcp")}, ""},
		{"8080:80", []container.PortMapping{m("0.0.0.0", 8080, 80, "tcp")}, ""},
		{"8080:80/udp", []container.PortMapping{m("0.0.0.0", 8080, 80, "udp")}, ""},
		{"8080:80/SCTP", []container.PortMapping{m("0.0.0.0", 8080, 80, "sctp")}, ""},
		{"127.0.0.1:8080:80", []container.PortMapping{m("127.0.0.1", 8080, 80, "tcp")}, ""},
		{"127.0.0.1::80", []container.PortMapping{m("127.0.0.1", 0, 80, "tcp")}, ""},
		{"[::1]:8080:80", []container.PortMapping{m("::1", 8080, 80, "tcp")}, ""},
		{"7000-7001:80-81", []container.PortMapping{m("0.0.0.0", 7000, 80, "tcp"), m("0.0.0.0", 7001, 81, "tcp")}, ""},
		{"80-81", []container.PortMapping{m("0.0.0.0", 0, 80, "tcp"), m("0.0.0.0", 0, 81, "tcp")}, ""},
		{"7000-7001:80-82", nil, "invalid ranges specified for container and host Ports: 80-82 and 7000-7001"},
		{"", nil, "no port specified: <empty>"},
		{"8080:", nil, "no port specified: 8080:<empty>"},
		{"x", nil, "invalid containerPort: x"},
		{"0", nil, "invalid containerPort: 0"},
		{"65536", nil, "invalid containerPort: 65536"},
		{"81-80", nil, "invalid containerPort: 81-80"},
		{"x:80", nil, "invalid hostPort: x"},
		{"a:8080:80", nil, "invalid IP address: a"},
		{"1.2.3.4.5:8080:80", nil, "invalid IP address: 1.2.3.4.5"},
		{"80/icmp", nil, "invalid proto: icmp"},
	} {
		got, err := ParsePort(tt.word)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err || !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: error %v, want %s", tt.word, err, tt.err)
			}
			continue
		}
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%q: %v, %v", tt.word, got, err)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%q: %+v, want %+v", tt.word, got[i], tt.want[i])
			}
		}
	}
}

// TestChoice: of a range of host ports for one container port a free one is taken.
func TestChoice(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	taken := container.PortMapping{HostIP: "127.0.0.1", HostPort: port, ContainerPort: 80, Protocol: "tcp"}
	if err := Available(taken); !fault.Is(err, fault.Conflict) {
		t.Errorf("a port in use: %v", err)
	}
	free, err := FreePort(taken)
	if err != nil || free == 0 || free == port {
		t.Errorf("FreePort gives %d, %v", free, err)
	}
}

func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"80", "1.2.3.4:5-6:7-8/udp", "[::1]::9", ":::", "0-65535:0-65535"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		list, err := ParsePort(word)
		if err != nil {
			return
		}
		for _, m := range list {
			if m.ContainerPort < 1 || m.ContainerPort > 65535 || m.HostPort < 0 || m.HostPort > 65535 || m.HostIP == "" {
				t.Fatalf("%q gives %+v", word, m)
			}
		}
	})
}
