package lang

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"nsh/runtime/fault"
)

// Permission is one way out of a sandbox to the host.
type Permission string

// The permissions of design.md, section 3.
const (
	HostExec  Permission = "host.exec"  // run programs, and what amounts to it: privileged containers
	HostRead  Permission = "host.read"  // files, the environment, the state of the system
	HostWrite Permission = "host.write" // files, services, settings of the kernel
	HostNet   Permission = "host.net"   // connections from the host
)

var permissions = []Permission{HostExec, HostRead, HostWrite, HostNet}

// Sandbox is what a script may do to the host. A nil *Sandbox allows all; the zero
// value nothing. It is immutable once it is in a context.
type Sandbox struct {
	allowed map[Permission][]string // the values; "" is any
}

// Allow adds a permission as the flag --allow gives it: "host.exec" for any program,
// "host.exec=iptables", "host.read=/etc" for what lies below, "host.net=example.com"
// or "host.net=127.0.0.1:80". Several are separated by commas.
func (s *Sandbox) Allow(text string) error {
	for _, word := range strings.Split(text, ",") {
		name, value, given := strings.Cut(word, "=")
		p := Permission(name)
		if !slices.Contains(permissions, p) {
			e := fault.New(fault.Invalid, "--allow %s: no such permission", word)
			return e.WithHint("there are host.exec, host.read, host.write and host.net, each also with a value: host.read=/etc")
		}
		if given && value == "" {
			return fault.New(fault.Invalid, "--allow %s: nothing behind the =", word)
		}
		if given && (p == HostRead || p == HostWrite) {
			abs, err := filepath.Abs(value)
			if err != nil {
				return fault.Wrap(err, "allow", word)
			}
			// What is asked for comes with its links resolved.
			if real, err := filepath.EvalSymlinks(abs); err == nil {
				abs = real
			}
			value = abs
		}
		if s.allowed == nil {
			s.allowed = map[Permission][]string{}
		}
		s.allowed[p] = append(s.allowed[p], value)
	}
	return nil
}

func (s *Sandbox) allows(p Permission, what string) bool {
	for _, v := range s.allowed[p] {
		switch {
		case v == "" || v == what:
			return true
		case p == HostRead || p == HostWrite:
			if rel, err := filepath.Rel(v, what); err == nil && filepath.IsLocal(rel) {
				return true
			}
		case p == HostNet:
			if host, _, err := net.SplitHostPort(what); err == nil && host == v {
				return true
			}
		}
	}
	return false
}

type sandboxKey struct{}

// WithSandbox makes a context whose calls are held by s.
func WithSandbox(ctx context.Context, s *Sandbox) context.Context {
	return context.WithValue(ctx, sandboxKey{}, s)
}

// Sandboxed tells whether the calls of ctx are held by a sandbox.
func Sandboxed(ctx context.Context) bool {
	s, _ := ctx.Value(sandboxKey{}).(*Sandbox)
	return s != nil
}

// Require fails with kind denied when the sandbox of ctx, if it has one, does not
// allow p for what: a program as it was named, a path that is absolute and without
// links, or "host:port". operation is what the script called: "host.run". An empty
// what is allowed by the permission without a value only.
func Require(ctx context.Context, p Permission, operation, what string) error {
	s, _ := ctx.Value(sandboxKey{}).(*Sandbox)
	if s == nil || s.allows(p, what) {
		return nil
	}
	flag := string(p)
	if what != "" && !strings.ContainsAny(what, ", ") {
		flag += "=" + what
	}
	e := &fault.Error{Kind: fault.Denied, Op: operation, Subject: what, Message: "the sandbox does not allow " + string(p)}
	return e.WithHint("nsh --sandbox --allow %s … allows it, --allow %s for any", flag, p)
}
