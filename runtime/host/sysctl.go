package host

import (
	"path/filepath"
	"strings"

	"nsh/runtime/fault"
)

// SysctlPath gives the file of a setting of the kernel below proc/sys. A name is
// written as sysctl(8) takes it: parts with dots, where a dot of an interface is a
// slash (net.ipv4.conf.eth0/100.forwarding), or the other way round when a slash comes
// first.
func SysctlPath(name string) (string, error) {
	parts := name
	if dot, slash := strings.IndexByte(name, '.'), strings.IndexByte(name, '/'); dot >= 0 && (slash < 0 || dot < slash) {
		parts = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, name)
	}
	if name == "" || !filepath.IsLocal(parts) || filepath.Clean(parts) != parts || strings.ContainsAny(parts, "\x00\n") {
		return "", fault.New(fault.Invalid, "%q is no setting of the kernel", name).WithHint(`a name is as "net.ipv4.ip_forward"`)
	}
	return "proc/sys/" + parts, nil
}

// Sysctl gives a setting of the kernel, without the newline at its end.
func (t Tree) Sysctl(name string) (string, error) {
	path, err := SysctlPath(name)
	if err != nil {
		return "", err
	}
	text, err := Read(t.path(path), 1<<20)
	if fault.Is(err, fault.NotFound) {
		e := &fault.Error{Kind: fault.NotFound, Op: "read sysctl", Subject: name, Message: "this kernel has no such setting"}
		return "", e.WithHint("the module that brings it may not be loaded, or this network namespace does not have it")
	}
	if err != nil {
		return "", fault.Wrap(err, "read sysctl", name)
	}
	return strings.TrimRight(text, "\n"), nil
}

// SetSysctl changes a setting until the next boot, and tells whether that changed
// anything. Tabs and blanks between numbers are the same.
func (t Tree) SetSysctl(name, value string) (changed bool, err error) {
	old, err := t.Sysctl(name)
	if err != nil && !fault.Is(err, fault.Denied) { // some can be written only
		return false, err
	}
	if err == nil && SameSetting(old, value) {
		return false, nil
	}
	path, err := SysctlPath(name)
	if err != nil {
		return false, err
	}
	if err := writeInPlace(t.path(path), value+"\n", 0); err != nil {
		return false, fault.Wrap(err, "set sysctl", name)
	}
	return true, nil
}

// SameSetting tells whether two values are the same to the kernel.
func SameSetting(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}

// SysctlFile is where settings of nsh for each boot are kept (sysctl.d(5)). They come
// late, so that they win over those of the distribution.
const SysctlFile = "/etc/sysctl.d/99-nsh.conf"

// PersistSysctl gives the text of [SysctlFile] with a setting in it.
func PersistSysctl(text, name, value string) string {
	path, err := SysctlPath(name)
	if err != nil {
		return text
	}
	// The form with slashes has no second meaning.
	key := strings.TrimPrefix(path, "proc/sys/")
	if !strings.Contains(key, ".") {
		key = strings.ReplaceAll(key, "/", ".")
	}
	line := key + " = " + value
	var out strings.Builder
	done := false
	for l := range strings.Lines(text) {
		if k, _, ok := strings.Cut(l, "="); ok && strings.TrimSpace(k) == key {
			if done {
				continue
			}
			l, done = line+"\n", true
		}
		out.WriteString(l)
	}
	if !done {
		if text != "" && !strings.HasSuffix(text, "\n") {
			out.WriteByte('\n')
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}
