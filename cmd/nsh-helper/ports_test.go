package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
)

// freePort finds a port that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func mapping(ip string, port int, proto string) string {
	return fmt.Sprintf(`{"HostPort":%d,"ContainerPort":80,"Protocol":%q,"HostIP":%q}`, port, proto, ip)
}

// The ports of a container are taken while its process lives, longer than its
// output, and free when the helper is gone.
func TestHoldsPorts(t *testing.T) {
	t.Parallel()
	tcp, udp := freePort(t), freePort(t)
	s := newShim(t)
	s.write("network-config.json", `{"portMappings":[`+mapping("127.0.0.1", tcp, "tcp")+","+mapping("127.0.0.1", udp, "udp")+`]}`)
	s.write("port-error", "of the last time")
	s.start("log")
	if _, err := os.Stat(filepath.Join(s.dir, "port-error")); !os.IsNotExist(err) {
		t.Errorf("port-error: %v", err)
	}
	c := s.run("exec >&- 2>&-; sleep 60")
	s.close()
	time.Sleep(50 * time.Millisecond)
	taken := func() (tcpErr, udpErr error) {
		l, tcpErr := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", tcp))
		if tcpErr == nil {
			l.Close()
		}
		p, udpErr := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", udp))
		if udpErr == nil {
			p.Close()
		}
		return tcpErr, udpErr
	}
	if a, b := taken(); a == nil || b == nil {
		t.Errorf("while it runs: %v, %v", a, b)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	s.ended(5 * time.Second)
	if a, b := taken(); a != nil || b != nil {
		t.Errorf("afterwards: %v, %v", a, b)
	}
}

// A port that is in use is told to the hook, and the output is taken all the same.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	s := newShim(t)
	s.write("network-config.json", `{"portMappings":[`+mapping("", port, "")+`]}`).start("log")
	raw, err := os.ReadFile(filepath.Join(s.dir, "port-error"))
	want := fmt.Sprintf("Bind for 0.0.0.0:%d failed: port is already allocated", port)
	if err != nil || string(raw) != want {
		t.Errorf("port-error is %q, %v, want %q", raw, err, want)
	}
	_ = s.run("echo x").Wait()
	s.ended(5 * time.Second)
	s.wantLog("x\n", "")
	if _, err := os.Stat(filepath.Join(s.dir, "port-error")); !os.IsNotExist(err) {
		t.Errorf("port-error stays: %v", err)
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		m    container.PortMapping
		want string
	}{
		{container.PortMapping{HostIP: "192.0.2.1", HostPort: 8080, Protocol: "tcp"}, "Bind for 192.0.2.1:8080 failed: cannot assign requested address"},
		{container.PortMapping{HostIP: "2001:db8::1", HostPort: 8080, Protocol: "udp"}, "Bind for [2001:db8::1]:8080 failed: cannot assign requested address"},
		{container.PortMapping{HostIP: "nonsense", HostPort: 8080}, "Bind for nonsense:8080 failed: invalid address"},
		{container.PortMapping{HostPort: 0}, "Bind for 0.0.0.0:0 failed: invalid port"},
		{container.PortMapping{HostPort: 65536}, "Bind for 0.0.0.0:65536 failed: invalid port"},
		{container.PortMapping{HostPort: 80, Protocol: "icmp"}, "Bind for 0.0.0.0:80 failed: invalid protocol"},
	}
	for _, tt := range tests {
		fd, err := bind(tt.m)
		if err == nil {
			unix.Close(fd)
			t.Errorf("%+v is taken", tt.m)
			continue
		}
		if got := bindError(tt.m, err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestBrokenNetworkConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "network-config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var p ports
	err := p.hold(dir)
	if want := "read network-config.json: unexpected end of JSON input"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
