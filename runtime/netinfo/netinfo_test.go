package netinfo

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// inNamespace runs fn on a thread in a new network namespace, in which a shell has run
// setup. The thread ends with it.
func inNamespace(t *testing.T, setup string, fn func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		// A child is in the namespace of the thread that starts it.
		out, err := exec.Command("sh", "-ec", setup).CombinedOutput()
		if err != nil {
			done <- fmt.Errorf("%w: %s", err, out)
			return
		}
		defer close(done)
		fn()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

const setup = `
ip link set lo up
ip link add br0 type bridge
ip link add va type veth peer name vb
ip link set va master br0 mtu 1400 address 02:00:00:00:00:01
ip addr add 10.4.0.1/24 dev br0
ip -6 addr add fd00::1/64 dev br0 nodad
ip link set br0 up; ip link set va up; ip link set vb up
ip tuntap add tun0 mode tun
ip link set tun0 mtu 1420
ip addr add 10.8.0.2 peer 10.8.0.1 dev tun0
ip link set tun0 up
ip route add default via 10.4.0.254
ip route add 10.0.0.0/8 via 10.8.0.1 metric 50 mtu 1300
ip route add 0.0.0.0/0 dev tun0 table 51820
ip route add blackhole 192.0.2.0/24
ip route add 198.51.100.0/24 nexthop via 10.4.0.2 nexthop via 10.8.0.1
ip rule add not fwmark 51820 table 51820 priority 100
ip rule add table main suppress_prefixlength 0 priority 90
ip rule add from 10.4.0.0/24 to 203.0.113.0/24 iif br0 prohibit priority 80
`

func TestNamespace(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	inNamespace(t, setup, func() {
		list, err := Interfaces()
		if err != nil {
			t.Error(err)
		}
		for _, i := range list {
			// Indexes and MACs are the kernel's choice but for one.
			mac := map[bool]string{true: i.MAC}[i.Name == "va"]
			fmt.Fprintf(&got, "%s %d %v %s [%s] peer=%s master=%s %s %s\n", i.Name, i.MTU, i.Up, i.Kind, strings.Join(v4(i.Addresses), " "), i.Peer, i.Master, mac, strings.Join(i.Flags, ","))
		}
		for _, table := range []string{"main", "51820"} {
			n, err := Table(table)
			if err != nil {
				t.Error(err)
			}
			routes, err := Routes(n, 4)
			if err != nil {
				t.Error(err)
			}
			for _, r := range routes {
				fmt.Fprintf(&got, "%s: %s via=%s dev=%s src=%s metric=%d %s %s %s mtu=%d default=%v\n", r.TableName, r.Destination, r.Gateway, r.Interface, r.Source, r.Metric, r.Scope, r.Type, r.Protocol, r.MTU, r.Default)
			}
		}
		rules, err := Rules(4)
		if err != nil {
			t.Error(err)
		}
		for _, r := range rules {
			fmt.Fprintf(&got, "%d: from=%s to=%s %s mark=%d iif=%s not=%v suppress=%d %s\n", r.Priority, r.Source, r.To, r.TableName, r.Mark, r.Input, r.Invert, r.SuppressPrefix, r.Action)
		}
		for _, q := range []struct {
			to string
			o  RouteOptions
		}{
			{"1.2.3.4", RouteOptions{}},
			{"1.2.3.4", RouteOptions{Mark: 51820}},
			{"10.1.1.1", RouteOptions{}},
			{"192.0.2.1", RouteOptions{}},
			{"203.0.113.9", RouteOptions{Source: "10.4.0.7", Interface: "br0"}},
			{"2001:db8::1", RouteOptions{}},
			{"1.2.3.4", RouteOptions{Interface: "none"}},
			{"name", RouteOptions{}},
		} {
			r, err := RouteTo(q.to, q.o)
			if err != nil {
				fmt.Fprintf(&got, "%s: %s\n", fault.KindOf(err), err)
				continue
			}
			fmt.Fprintf(&got, "%s via=%s dev=%s src=%s table=%s\n", r.Destination, r.Gateway, r.Interface, r.Source, r.TableName)
		}
		all, err := Routes(AllTables, 0)
		tables := map[string]bool{}
		for _, r := range all {
			tables[fmt.Sprint(r.Family, r.TableName)] = true
		}
		fmt.Fprintln(&got, err, tables)
	})
	const want = `lo 65536 true loopback [127.0.0.1/8 ::1/128] peer= master=  up,loopback,running
br0 1400 true bridge [10.4.0.1/24 fd00::1/64] peer= master=  up,broadcast,multicast,running
vb 1500 true veth [] peer= master=  up,broadcast,multicast,running
va 1400 true veth [] peer= master=br0 02:00:00:00:00:01 up,broadcast,multicast,running
tun0 1420 true tun [10.8.0.2/32] peer=10.8.0.1 master=  up,pointtopoint,multicast
main: 0.0.0.0/0 via=10.4.0.254 dev=br0 src= metric=0 global unicast boot mtu=0 default=true
main: 10.0.0.0/8 via=10.8.0.1 dev=tun0 src= metric=50 global unicast boot mtu=1300 default=false
main: 10.4.0.0/24 via= dev=br0 src=10.4.0.1 metric=0 link unicast kernel mtu=0 default=false
main: 10.8.0.1/32 via= dev=tun0 src=10.8.0.2 metric=0 link unicast kernel mtu=0 default=false
main: 192.0.2.0/24 via= dev= src= metric=0 global blackhole boot mtu=0 default=false
main: 198.51.100.0/24 via=10.4.0.2 dev=br0 src= metric=0 global unicast boot mtu=0 default=false
main: 198.51.100.0/24 via=10.8.0.1 dev=tun0 src= metric=0 global unicast boot mtu=0 default=false
51820: 0.0.0.0/0 via= dev=tun0 src= metric=0 link unicast boot mtu=0 default=true
0: from= to= local mark=0 iif= not=false suppress=-1 table
80: from=10.4.0.0/24 to=203.0.113.0/24  mark=0 iif=br0 not=false suppress=-1 drop
90: from= to= main mark=0 iif= not=false suppress=0 table
100: from= to= 51820 mark=51820 iif= not=true suppress=-1 table
32766: from= to= main mark=0 iif= not=false suppress=-1 table
32767: from= to= default mark=0 iif= not=false suppress=-1 table
1.2.3.4/32 via= dev=tun0 src=10.8.0.2 table=51820
1.2.3.4/32 via=10.4.0.254 dev=br0 src=10.4.0.1 table=main
10.1.1.1/32 via=10.8.0.1 dev=tun0 src=10.8.0.2 table=main
unavailable: find the route to "192.0.2.1": a route or rule drops it, or it is no source of ours
unavailable: find the route to "203.0.113.9": a route or rule prohibits it
unavailable: find the route to "2001:db8::1": there is no route to it
not_found: No such interface: none
invalid: "name" is no IP address
<nil> map[451820:true 4local:true 4main:true 6local:true 6main:true]
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// v4 leaves out the link-local addresses, which come when they like.
func v4(list []string) []string {
	var out []string
	for _, a := range list {
		if !strings.HasPrefix(a, "fe80:") {
			out = append(out, a)
		}
	}
	return out
}

// A path of three machines whose second link takes 1280 bytes. With the router's word
// dropped it is a black hole.
const path = `
ip link set lo up
ip netns add R$$; ip netns add S$$
trap 'ip netns del R$$; ip netns del S$$' EXIT
ip link add c0 type veth peer name r0 netns R$$
ip -n R$$ link add r1 type veth peer name s1 netns S$$
ip addr add 10.1.0.1/24 dev c0; ip link set c0 up
ip -n R$$ addr add 10.1.0.2/24 dev r0; ip -n R$$ link set r0 up
ip -n R$$ addr add 10.2.0.2/24 dev r1; ip -n R$$ link set r1 mtu 1280 up
ip -n S$$ addr add 10.2.0.3/24 dev s1; ip -n S$$ link set s1 mtu 1280 up
ip -n S$$ link set lo up
ip route add default via 10.1.0.2; ip -n S$$ route add default via 10.2.0.2
ip netns exec R$$ sysctl -qw net.ipv4.ip_forward=1
ip netns exec S$$ sh -c 'sleep 60 >/dev/null 2>&1 & echo $! > "$HOLD.s"' 
ip netns exec R$$ sh -c 'sleep 60 >/dev/null 2>&1 & echo $! > "$HOLD.r"' 
`

func TestPathMTU(t *testing.T) {
	for _, tt := range []struct{ name, more, host, want string }{
		{"told", "", "10.2.0.3", "mtu=1280 route=1280 c0 1500 answered=true hole=false"},
		{"black hole", "ip netns exec R$$ nft 'add table ip f; add chain ip f o {type filter hook output priority 0;}; add rule ip f o icmp type destination-unreachable drop'", "10.2.0.3", "mtu=1280 route=1500 c0 1500 answered=true hole=true"},
		{"silent", "ip netns exec S$$ sysctl -qw net.ipv4.icmp_echo_ignore_all=1", "10.2.0.3", "mtu=1280 route=1280 c0 1500 answered=false hole=false"},
		{"near", "", "10.1.0.2", "mtu=1500 route=1500 c0 1500 answered=true hole=false"},
		{"odd", "ip -n R$$ link set r1 mtu 1337; ip -n S$$ link set s1 mtu 1337", "10.2.0.3", "mtu=1337 route=1337 c0 1500 answered=true hole=false"},
		{"self", "", "127.0.0.1", "mtu=65535 route=65535 lo 65536 answered=true hole=false"},
		{"six", "", "::1", "mtu=65535 route=65536 lo 65536 answered=true hole=false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hold := t.TempDir() + "/pid"
			t.Cleanup(func() {
				for _, end := range []string{".s", ".r"} {
					data, _ := os.ReadFile(hold + end)
					exec.Command("kill", strings.TrimSpace(string(data))).Run()
				}
			})
			inNamespace(t, "HOLD="+hold+"; export HOLD\n"+path+tt.more, func() {
				m, err := FindMTU(t.Context(), tt.host, time.Second)
				if err != nil {
					t.Error(err)
				}
				got := fmt.Sprintf("mtu=%d route=%d %s %d answered=%v hole=%v", m.MTU, m.Route, m.Interface, m.InterfaceMTU, m.Answered, m.BlackHole)
				if got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	inNamespace(t, "ip link set lo up; sysctl -qw net.ipv4.ping_group_range='1 0'; ip -6 addr add fd00::7/128 dev lo nodad; ip addr add 10.9.0.1/24 dev lo; ip link add vd type veth peer name ve; ip addr add 10.7.0.1/24 dev vd; ip link set vd up; ip link set ve up", func() {
		for _, tt := range []struct {
			host  string
			o     PingOptions
			group string
			want  string
		}{
			{"127.0.0.1", PingOptions{Count: 3}, "", "true 3 3 "},
			{"127.0.0.1", PingOptions{Count: 2}, "0 10", "true 2 2 "},
			{"fd00::7", PingOptions{Size: 1000, DF: true}, "", "true 1 1 "},
			{"10.7.0.9", PingOptions{Timeout: 100 * time.Millisecond}, "", "false 1 0 "},
			{"10.7.0.9", PingOptions{Size: 2000, DF: true}, "", "false 1 0 message too long"},
			{"8.8.8.8", PingOptions{}, "", "false 1 0 network is unreachable"},
			{"127.0.0.1", PingOptions{Count: -1}, "", "invalid: count is a number from 1 to 1000, not -1"},
			{"127.0.0.1", PingOptions{Size: 30}, "", "invalid: size is a number of bytes from 36 to 65535, not 30"},
		} {
			if tt.group != "" {
				if _, err := host.Run(t.Context(), host.Command{Argv: []string{"sysctl", "-qw", "net.ipv4.ping_group_range=" + tt.group}}); err != nil {
					t.Error(err)
				}
			}
			p, err := SendPing(t.Context(), tt.host, tt.o)
			got := fmt.Sprintf("%v %d %d %s", p.OK, p.Sent, p.Received, p.Error)
			if err != nil {
				got = fmt.Sprintf("%s: %s", fault.KindOf(err), err)
			}
			if got != tt.want || p.OK && (p.Min <= 0 || p.Avg < p.Min || p.Max < p.Avg) {
				t.Errorf("%s %+v: got %s, want %s (%+v)", tt.host, tt.o, got, tt.want, p)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := SendPing(ctx, "10.7.0.9", PingOptions{Timeout: time.Minute}); !fault.Is(err, fault.Timeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestListening(t *testing.T) {
	t.Parallel()
	inNamespace(t, "ip link set lo up", func() {
		tcp, err := net.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Error(err)
			return
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", "[::1]:5353")
		if err != nil {
			t.Error(err)
			return
		}
		defer udp.Close()
		list, err := Listening("/proc")
		name, _ := os.ReadFile("/proc/self/comm")
		want := fmt.Sprintf("[{Protocol:udp6 Address:::1 Port:5353 PID:%[1]d Process:%[2]s UID:0} {Protocol:tcp Address:127.0.0.1 Port:8080 PID:%[1]d Process:%[2]s UID:0}]", os.Getpid(), strings.TrimSpace(string(name)))
		if got := fmt.Sprintf("%+v", list); err != nil || got != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
		m, err := ConnectMSS(t.Context(), "127.0.0.1:8080")
		if err != nil || m.Send < 20000 || m.PathMTU != 65536 && m.PathMTU != 65535 {
			t.Errorf("got %+v, %v", m, err)
		}
		if _, err := ConnectMSS(t.Context(), "127.0.0.1:1"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFirewall(t *testing.T) {
	t.Parallel()
	inNamespace(t, "ip link set lo up; sysctl -qw net.ipv4.ip_forward=0; nft 'add table inet f; add chain inet f onward {type filter hook forward priority 0; policy drop;}; add chain inet f plain'", func() {
		f, err := GetFirewall(t.Context(), nil)
		if err != nil || f.Iptables == "" || !f.Nft || f.Forward != "ACCEPT" || f.Forwarding || len(f.Problems) > 0 ||
			!strings.Contains(fmt.Sprintf("%+v", f.Chains), "{Family:inet Table:f Name:onward Type:filter Hook:forward Policy:drop}") || strings.Contains(fmt.Sprint(f.Chains), "plain") {
			t.Errorf("got %+v, %v", f, err)
		}
	})
	// A plain user is refused, and there is no nft.
	f, err := GetFirewall(t.Context(), func(_ context.Context, c host.Command) (host.Output, error) {
		switch {
		case c.Argv[0] == "nft":
			return host.Output{}, fault.New(fault.NotFound, "no nft")
		case c.Argv[1] == "-V":
			return host.Output{Stdout: "iptables v1.8.9 (legacy)\n"}, nil
		}
		return host.Output{Code: 4, Stderr: "iptables v1.8.9 (legacy): can't initialize iptables table `filter': Permission denied (you must be root)\nPerhaps\n"}, nil
	})
	f.Firewalld, f.UFW, f.Forwarding = false, false, false
	const want = "{Iptables:legacy Nft:false Firewalld:false UFW:false Forward: Forward6: Chains:[] Forwarding:false Problems:[iptables -w 5 -S FORWARD: iptables v1.8.9 (legacy): can't initialize iptables table `filter': Permission denied (you must be root) ip6tables -w 5 -S FORWARD: iptables v1.8.9 (legacy): can't initialize iptables table `filter': Permission denied (you must be root)]}"
	if got := fmt.Sprintf("%+v", f); err != nil || got != want {
		t.Errorf("got\n%s, %v\nwant\n%s", got, err, want)
	}
}
