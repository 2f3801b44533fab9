package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
)

// networkConfig is where the published ports of a container are recorded. It is
// nerdctl's file.
const networkConfig = "network-config.json"

// portError is the file in the state directory that tells the hook why the
// container cannot be started.
const portError = "port-error"

// ports are the sockets that keep the published ports of a container, so that no
// other program of the host takes them while the kernel forwards what arrives
// there. Nothing is ever accepted on them.
type ports []int

// hold takes the ports of the container whose state directory is dir. The first
// that is in use is told to the hook; the others are held all the same.
func (p *ports) hold(dir string) error {
	file := filepath.Join(dir, portError)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, networkConfig))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var cfg struct {
		PortMappings []container.PortMapping `json:"portMappings"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &cfg)
	}
	if err != nil {
		return &os.PathError{Op: "read", Path: networkConfig, Err: err}
	}
	var reason string
	for _, m := range cfg.PortMappings {
		fd, err := bind(m)
		if err != nil && reason == "" {
			reason = bindError(m, err)
		}
		if fd >= 0 {
			*p = append(*p, fd)
		}
	}
	if reason == "" {
		return nil
	}
	return errors.Join(errors.New(reason), os.WriteFile(file, []byte(reason), 0o600))
}

// free gives the ports back. What was told to the hook is about this start only.
func (p *ports) free(dir string) {
	for _, fd := range *p {
		unix.Close(fd)
	}
	*p = nil
	_ = os.Remove(filepath.Join(dir, portError))
}

// bind takes one port. It does without package net, whose listeners come with a
// poller and with names to look up.
func bind(m container.PortMapping) (int, error) {
	ip := netip.IPv4Unspecified()
	if m.HostIP != "" {
		var err error
		if ip, err = netip.ParseAddr(m.HostIP); err != nil {
			return -1, errors.New("invalid address")
		}
	}
	if m.HostPort < 1 || m.HostPort > 65535 {
		return -1, errors.New("invalid port")
	}
	typ, proto := unix.SOCK_STREAM, unix.IPPROTO_TCP
	switch m.Protocol {
	case "", "tcp":
	case "udp":
		typ, proto = unix.SOCK_DGRAM, unix.IPPROTO_UDP
	case "sctp":
		proto = unix.IPPROTO_SCTP
	default:
		return -1, errors.New("invalid protocol")
	}
	family := unix.AF_INET
	var addr unix.Sockaddr
	if ip.Is4() {
		addr = &unix.SockaddrInet4{Port: m.HostPort, Addr: ip.As4()}
	} else {
		family = unix.AF_INET6
		addr = &unix.SockaddrInet6{Port: m.HostPort, Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, proto)
	if err == unix.EPROTONOSUPPORT || err == unix.EAFNOSUPPORT || err == unix.ESOCKTNOSUPPORT {
		// Nobody on this host can take it either.
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if typ == unix.SOCK_STREAM {
		// Connections that are still closing are no obstacle.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	err = unix.Bind(fd, addr)
	if err == nil && typ == unix.SOCK_STREAM {
		// With SO_REUSEADDR a port is one's own only once it is listened on.
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bindError is in docker's words.
func bindError(m container.PortMapping, err error) string {
	ip := m.HostIP
	if ip == "" {
		ip = "0.0.0.0"
	}
	if a, e := netip.ParseAddr(ip); e == nil && a.Is6() {
		ip = "[" + ip + "]"
	}
	text := err.Error()
	if err == unix.EADDRINUSE {
		text = "port is already allocated"
	}
	return "Bind for " + ip + ":" + strconv.Itoa(m.HostPort) + " failed: " + text
}
