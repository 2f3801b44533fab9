package network

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"nsh/runtime/fault"
)

// ResolvOptions say what a container's resolv.conf is to hold. Empty lists are
// the host's.
type ResolvOptions struct {
	Host    bool // the container has the host's network: its loopback servers can be reached
	Servers []string
	Search  []string
	Options []string
}

// resolvedConf is where systemd-resolved lists the servers behind its stub
// (systemd-resolved.service(8)).
const resolvedConf = "/run/systemd/resolve/resolv.conf"

// maxResolv bounds the host's file.
const maxResolv = 1 << 20

// ResolvConf makes a container's resolv.conf of the host's. Servers on the
// host's loopback cannot be reached from a container: those behind
// systemd-resolved's stub take their place, else Google's as docker has it, and
// the warning says so.
func ResolvConf(o ResolvOptions) (conf []byte, warning string, err error) {
	host, err := readResolv("/etc/resolv.conf")
	if err != nil {
		return nil, "", err
	}
	servers, search, options := parseResolv(host)
	if !o.Host {
		if local(servers) {
			if real, err := readResolv(resolvedConf); err == nil && len(real) > 0 {
				servers, search, options = parseResolv(real)
			}
		}
		var kept []string
		for _, s := range servers {
			if a, err := netip.ParseAddr(strings.Split(s, "%")[0]); err != nil || !a.IsLoopback() {
				kept = append(kept, s)
			}
		}
		if len(kept) == 0 && len(o.Servers) == 0 {
			kept = []string{"8.8.8.8", "8.8.4.4"}
			if len(servers) > 0 {
				warning = "the host's DNS servers are on its loopback, which a container cannot reach: 8.8.8.8 and 8.8.4.4 take their place; choose others with --dns"
			}
		}
		servers = kept
	}
	if len(o.Servers) > 0 {
		servers = nil
		for _, s := range o.Servers {
			if _, err := netip.ParseAddr(s); err != nil {
				return nil, "", fault.New(fault.Invalid, "%s is not an ip address", s)
			}
			servers = append(servers, s)
		}
	}
	if len(o.Search) > 0 {
		search = o.Search
		if len(search) == 1 && search[0] == "." {
			search = nil // docker's word for none
		}
	}
	if len(o.Options) > 0 {
		options = o.Options
	}
	var b bytes.Buffer
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.Bytes(), warning, nil
}

func readResolv(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && st.Size() > maxResolv {
		err = fmt.Errorf("it has %d bytes", st.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	return data, fault.Wrap(err, "read", path)
}

func local(servers []string) bool {
	for _, s := range servers {
		if a, err := netip.ParseAddr(s); err != nil || !a.IsLoopback() {
			return false
		}
	}
	return len(servers) > 0
}

// parseResolv reads resolv.conf(5): the last search or domain line counts.
func parseResolv(data []byte) (servers, search, options []string) {
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, ";")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			servers = append(servers, f[1])
		case "search", "domain":
			search = f[1:]
		case "options":
			options = append(options, f[1:]...)
		}
	}
	return servers, search, options
}
