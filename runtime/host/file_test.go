package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	for _, l := range [][2]string{{"/etc/hostname", "out"}, {"nowhere", "dangling"}, {"sub", "in"}, {"loop", "loop"}} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"out", "/etc/hostname"},
		{"in/new/file", "DIR/sub/new/file"},
		{"in/../x", "DIR/x"},
		{"dangling", `conflict: find "DIR/dangling": DIR/dangling is a link that leads nowhere`},
		{"dangling/x", `conflict: find "DIR/dangling/x": DIR/dangling is a link that leads nowhere`},
		{"loop", `invalid: find "DIR/loop": its links lead round in a circle`},
		{"sub/../../../../../../../../../../proc/1/root/etc", `invalid: find "DIR/sub/../../../../../../../../../../proc/1/root/etc": it leads into the files of another process`},
		{"out/x", `not_found: find "DIR/out/x": a part of the path is no directory`},
		{"a\x00b", `invalid: "DIR/a\x00b" is no path`},
	} {
		got, err := Resolve(dir + "/" + tt.path)
		if err != nil {
			got = string(fault.KindOf(err)) + ": " + err.Error()
		}
		if want := strings.ReplaceAll(tt.want, "DIR", dir); got != want {
			t.Errorf("%s: got %s, want %s", tt.path, got, want)
		}
	}
	if got := must[string](t)(ResolveParent(filepath.Join(dir, "in/../dangling"))); got != dir+"/dangling" {
		t.Errorf("got %s", got)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/five", []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("five", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, want string
		max        int64
	}{
		{dir + "/five", "12345", 5},
		{dir + "/five", `invalid: read "DIR/five": it is longer than 4B`, 4},
		{dir + "/pipe", `invalid: read "DIR/pipe": it is a pipe, not a file`, 5},
		{dir, `invalid: read "DIR": it is a directory, not a file`, 5},
		{dir + "/none", `not_found: read "DIR/none": no such file or directory`, 5},
		{dir + "/five/x", `not_found: read "DIR/five/x": a part of the path is no directory`, 5},
		{"/dev/zero", `invalid: read "/dev/zero": it is a device, not a file`, 5},
		// A link that came after the path was resolved.
		{dir + "/link", `conflict: read "DIR/link": a link came into its way meanwhile`, 5},
	} {
		got, err := Read(tt.path, tt.max)
		if err != nil {
			got = string(fault.KindOf(err)) + ": " + err.Error()
		}
		if want := strings.ReplaceAll(tt.want, "DIR", dir); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	mode := func(m fs.FileMode) *fs.FileMode { return &m }
	file := dir + "/a/b/file"
	if _, err := Write(file, "x", WriteOptions{}); !fault.Is(err, fault.NotFound) || fault.HintOf(err) != "mkdir=True makes the directory" {
		t.Errorf("got %v", err)
	}
	for n, tt := range []struct {
		text    string
		o       WriteOptions
		changed bool
		mode    fs.FileMode
	}{
		{"one", WriteOptions{Mkdir: true}, true, 0o644},
		{"one", WriteOptions{}, false, 0o644},
		{"two", WriteOptions{Mode: mode(0o600)}, true, 0o600},
		{"two", WriteOptions{Mode: mode(0o600)}, false, 0o600},
		{"two", WriteOptions{Mode: mode(0o751)}, true, 0o751},
		{"six", WriteOptions{}, true, 0o751},
		{"six", WriteOptions{Mode: mode(0o755 | fs.ModeSetuid)}, true, 0o755 | fs.ModeSetuid},
		{"", WriteOptions{}, true, 0o755 | fs.ModeSetuid},
	} {
		changed, err := Write(file, tt.text, tt.o)
		if err != nil || changed != tt.changed {
			t.Fatalf("%d: got %v, %v", n, changed, err)
		}
		info := must[fs.FileInfo](t)(os.Stat(file))
		if text := must[[]byte](t)(os.ReadFile(file)); string(text) != tt.text || info.Mode() != tt.mode {
			t.Errorf("%d: got %q %s, want %q %s", n, text, info.Mode(), tt.text, tt.mode)
		}
	}
	if err := os.Chown(file, 12345, 54321); err != nil {
		t.Fatal(err)
	}
	attrs := unix.Setxattr(file, "user.nsh", []byte("kept"), 0) == nil
	if changed, err := Write(file, "again", WriteOptions{}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	st := must[fs.FileInfo](t)(os.Stat(file)).Sys().(*syscall.Stat_t)
	if st.Uid != 12345 || st.Gid != 54321 {
		t.Errorf("the owner is %d:%d", st.Uid, st.Gid)
	}
	if attrs {
		value := make([]byte, 10)
		if n, err := unix.Getxattr(file, "user.nsh", value); err != nil || string(value[:n]) != "kept" {
			t.Errorf("the attribute is %q, %v", value[:n], err)
		}
	}
	if names := must[[]string](t)(List(filepath.Dir(file))); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
	if err := os.Symlink("file", dir+"/a/b/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir+"/a/b/link", "x", WriteOptions{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("through a link that was not resolved: %v", err)
	}
	if _, err := Write(dir+"/a", "x", WriteOptions{}); err == nil || err.Error() != `write "`+dir+`/a": it is a directory, not a file` {
		t.Errorf("got %v", err)
	}
}

// A file that something is mounted on, as the resolv.conf of a container, cannot be
// replaced.
func TestWriteMounted(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	for _, name := range []string{"from", "on"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(dir+"/from", dir+"/on", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir+"/on", unix.MNT_DETACH) })
	if changed, err := Write(dir+"/on", "new", WriteOptions{}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if text := must[[]byte](t)(os.ReadFile(dir + "/from")); string(text) != "new" {
		t.Errorf("got %q", text)
	}
	if names := must[[]string](t)(List(dir)); len(names) != 2 {
		t.Errorf("left behind: %q", names)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	if err := os.MkdirAll(dir+"/d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/kept", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, dir+"/d/link"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path      string
		recursive bool
		want      string
	}{
		{dir + "/d", false, `conflict: remove "DIR/d": the directory is not empty`},
		{dir + "/d", true, "true"},
		{dir + "/d", true, "false"},
		{dir + "/kept/x", true, "false"},
		{"/", true, `invalid: remove "/": that is all there is`},
	} {
		changed, err := Remove(tt.path, tt.recursive)
		got := "false"
		if changed {
			got = "true"
		}
		if err != nil {
			got = string(fault.KindOf(err)) + ": " + err.Error()
		}
		if want := strings.ReplaceAll(tt.want, "DIR", dir); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if names := must[[]string](t)(List(dir)); len(names) != 1 || names[0] != "kept" {
		t.Errorf("got %q", names)
	}
}

func TestEnsureLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, line, match, want string }{
		{"", "a", "", "a\n"},
		{"a\nb\n", "b", "", "a\nb\n"},
		{"a\nb", "c", "", "a\nb\nc\n"},
		{"a\r\nb\r\n", "b", "", "a\r\nb\r\n"},
		{"#x=1\nx=2\ny\n", "x=3", "^#?x=", "#x=1\nx=3\ny\n"},
		{"x=2", "x=3", "^x=", "x=3"},
		{"x=3\nx=2\n", "x=3", "^x=", "x=3\nx=2\n"},
		{"y\n", "x=3", "^x=", "y\nx=3\n"},
		{"a\n", "", "", "a\n\n"},
		{"", "a\nb", "", `"a\nb" is more than one line`},
		{"", "a", "(", "match \"(\": error parsing regexp: missing closing ): `(`"},
	} {
		got, err := EnsureLine(tt.text, tt.line, tt.match)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q %q %q: got %q, want %q", tt.text, tt.line, tt.match, got, tt.want)
		}
	}
}
