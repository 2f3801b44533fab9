package netinfo

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// Listener is a port that something waits on.
type Listener struct {
	Protocol string // tcp, tcp6, udp, udp6
	Address  string // 0.0.0.0 and :: are all addresses
	Port     int
	// PID and Process are who has it; 0 and "" when that may not be seen: those of
	// others are for root.
	PID     int
	Process string
	UID     int
}

// maxTable bounds a table of sockets that is read, in bytes.
const maxTable = 64 << 20

// Listening gives the ports of the network namespace, by number. proc is "/proc".
func Listening(proc string) ([]Listener, error) {
	var out []Listener
	inodes := map[string][]int{} // of a socket → places in out
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := host.Read(realPath(filepath.Join(proc, "thread-self/net", table)), maxTable)
		if fault.Is(err, fault.NotFound) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		for l := range strings.Lines(text) {
			l, inode, ok := parseSocket(l, table)
			if ok {
				inodes[inode] = append(inodes[inode], len(out))
				out = append(out, l)
			}
		}
	}
	owners(proc, inodes, out)
	slices.SortStableFunc(out, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Address, b.Address))
	})
	return out, nil
}

func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// parseSocket reads a line of /proc/net/tcp (proc(5)). Of TCP the state listen is
// taken, of UDP what is connected to nobody.
func parseSocket(line, table string) (l Listener, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return l, "", false
	}
	const listen, unconnected = "0A", "07"
	if want := map[bool]string{true: listen, false: unconnected}[strings.HasPrefix(table, "tcp")]; f[3] != want {
		return l, "", false
	}
	address, port, ok := parseAddress(f[1])
	if !ok {
		return l, "", false
	}
	l = Listener{Protocol: table, Address: address.String(), Port: port}
	l.UID, _ = strconv.Atoi(f[7])
	return l, f[9], true
}

// parseAddress reads "0100007F:1F90": words of the machine's byte order.
func parseAddress(s string) (netip.Addr, int, bool) {
	a, p, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(a)
	if !ok || err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	port, err := strconv.ParseUint(p, 16, 16)
	return addr, int(port), ok && err == nil
}

// owners finds the processes that have the sockets open.
func owners(proc string, inodes map[string][]int, out []Listener) {
	if len(inodes) == 0 {
		return
	}
	names, _ := os.ReadDir(proc)
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, n.Name())
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		for _, fd := range fds {
			link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(link, "socket:[")
			if !ok {
				continue
			}
			for _, at := range inodes[strings.TrimSuffix(inode, "]")] {
				if out[at].PID == 0 {
					out[at].PID = pid
					comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
					out[at].Process = strings.TrimSpace(string(comm))
				}
			}
		}
	}
}
