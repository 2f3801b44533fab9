package netinfo

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsh/runtime/fault"
)

// dnsServer answers for corp.example, over UDP and TCP, and gives its address.
func dnsServer(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		add := func(text string) {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		switch name := q.Question[0].Name; {
		case name == "silent.example.":
			return
		case name == "www.corp.example.":
			add("www.corp.example. 60 IN CNAME git.corp.example.")
			add("git.corp.example. 60 IN A 10.1.2.3")
		case name == "corp.example." && q.Question[0].Qtype == dns.TypeMX:
			add("corp.example. 300 IN MX 10 mail.corp.example.")
		case name == "3.2.1.10.in-addr.arpa.":
			add("3.2.1.10.in-addr.arpa. 60 IN PTR git.corp.example.")
		case name == "large.example.":
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncated = true
			} else {
				add(`large.example. 1 IN TXT "it came over TCP"`)
			}
		default:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return pc.LocalAddr().String()
}

func TestLookup(t *testing.T) {
	t.Parallel()
	server := dnsServer(t)
	for _, tt := range []struct{ name, typ, server, want string }{
		{"www.corp.example", "a", server, "A NOERROR [{www.corp.example. CNAME 60 git.corp.example.} {git.corp.example. A 60 10.1.2.3}] [10.1.2.3]"},
		{"corp.example", "MX", server, "MX NOERROR [{corp.example. MX 300 10 mail.corp.example.}] []"},
		{"10.1.2.3", "PTR", server, "PTR NOERROR [{3.2.1.10.in-addr.arpa. PTR 60 git.corp.example.}] []"},
		{"large.example", "TXT", server, `TXT NOERROR [{large.example. TXT 1 "it came over TCP"}] []`},
		{"none.example", "A", server, "A NXDOMAIN [] []"},
		{"localhost", "A", "", "A NOERROR [{localhost A 0 127.0.0.1}] [127.0.0.1]"},
		{"silent.example", "A", server, `timeout: look up "silent.example": no answer from ` + server + ": "},
		{"x", "A", "127.0.0.1:1", `unavailable: look up "x": no answer from 127.0.0.1:1: `},
		{"x", "NONSENSE", server, `invalid: type "NONSENSE" is no type of record`},
		{"x", "AXFR", server, `invalid: type "AXFR" is no type of record`},
		{"", "A", server, `invalid: "" is no name`},
		{"a..b", "A", server, `invalid: "a..b" is no name`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		a, err := Lookup(ctx, tt.name, tt.typ, tt.server)
		cancel()
		got := fmt.Sprint(a.Type, " ", a.Code, " ", a.Records, " ", a.Addresses)
		if err != nil {
			// What the library says behind it has ports in it.
			got = fmt.Sprintf("%s: %s", fault.KindOf(err), err)
			got = got[:min(len(got), len(tt.want))]
		}
		if got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.name, tt.typ, got, tt.want)
		}
	}
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"run/systemd/resolve/stub-resolv.conf": "# made\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch a.example\nsearch corp.example lan\n",
		"run/systemd/resolve/resolv.conf":      "nameserver 10.8.0.1\nnameserver 192.168.1.1\n",
		"etc/hosts":                            "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := GetResolvers(t.Context(), root); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	r, err := GetResolvers(t.Context(), root)
	r.Links = nil // of the machine that tests
	want := fmt.Sprintf("{Path:%s/run/systemd/resolve/stub-resolv.conf Nameservers:[127.0.0.53] Search:[corp.example lan] Options:[edns0 trust-ad] Stub:true Upstream:[10.8.0.1 192.168.1.1] Links:[]}", root)
	if got := fmt.Sprintf("%+v", r); err != nil || got != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	links := parseResolvectl("Global:\nLink 2 (eth0): 192.168.1.1\n               fe80::1\nLink 3 (tun0): 10.8.0.1\n", "Global: lan\nLink 2 (eth0):\nLink 3 (tun0): ~corp.example ~.\n")
	if got, want := fmt.Sprintf("%+v", links), "[{Interface:eth0 Nameservers:[192.168.1.1 fe80::1] Domains:[]} {Interface:tun0 Nameservers:[10.8.0.1] Domains:[~corp.example ~.]} {Interface: Nameservers:[] Domains:[lan]}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
