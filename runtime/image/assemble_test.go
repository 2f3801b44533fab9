package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

// tree makes a directory of files, as the host might have it.
func hostTree(t *testing.T, umask int, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []struct {
		name, data string
		mode       os.FileMode
	}{{"bin/run", "#!/bin/sh\n", 0o777}, {"etc/conf", "key = 1\n", 0o666}, {"etc/a/b/deep", "x", 0o666}} {
		p := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(p), 0o777&^os.FileMode(umask)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(f.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, f.mode&^os.FileMode(umask)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(dir, "etc/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func layerLines(t *testing.T, a *image.Assembly) string {
	t.Helper()
	var buf bytes.Buffer
	if err := a.WriteLayer(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	var lines []string
	tr := tar.NewReader(&buf)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return strings.Join(lines, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(tr)
		line := fmt.Sprintf("%s %04o %d:%d %d", h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.Unix())
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(data) > 0 {
			line += " " + string(data)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
}

// The same recipe gives the same bytes, whatever the host's directory, times,
// umask and order of files are.
func TestAssembleIsReproducible(t *testing.T) {
	t.Parallel()
	recipe := func(dir string) image.Recipe {
		return image.Recipe{Name: "repro", Platform: "linux/amd64", Files: []image.File{
			{Path: "/", Source: dir},
			{Path: "/srv/data", Content: []byte("data"), Mode: 0o640, UID: 1000, GID: 100},
			{Path: "/srv/now", Link: "data"},
			{Path: "/tmp", Directory: true, Mode: 0o1777},
		}, Config: image.Config{Entrypoint: []string{"/bin/run"}, Env: []string{"A=1"}, Labels: map[string]string{"x": "1", "a": "2"}}}
	}
	one, err := image.Assemble(t.Context(), recipe(hostTree(t, 0o022, time.Unix(1e9, 5))), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := image.Assemble(t.Context(), recipe(hostTree(t, 0o077, time.Now())), nil)
	if err != nil {
		t.Fatal(err)
	}
	if one.Target.Digest != two.Target.Digest || !bytes.Equal(one.Manifest, two.Manifest) {
		t.Errorf("digests %s and %s", one.Target.Digest, two.Target.Digest)
	}
	// The value itself is part of the promise: it changes with nothing but a
	// deliberate change of the format.
	if got, want := one.Target.Digest.String(), "sha256:ecf54c68e0afc3df0e8072b0ac3d2872bac95f2d72aeea57a4b29149c89005ce"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	want := `bin/ 0755 0:0 0
bin/run 0755 0:0 0 #!/bin/sh
etc/ 0755 0:0 0
etc/a/ 0755 0:0 0
etc/a/b/ 0755 0:0 0
etc/a/b/deep 0644 0:0 0 x
etc/conf 0644 0:0 0 key = 1
etc/link 0777 0:0 0 -> /etc/shadow
srv/ 0755 0:0 0
srv/data 0640 1000:100 0 data
srv/now 0777 0:0 0 -> data
tmp/ 1777 0:0 0`
	if got := layerLines(t, one); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var config dockerspec.DockerOCIImage
	if err := json.Unmarshal(one.Config, &config); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(config.Platform.OS, "/", config.Platform.Architecture, " ", config.Config.Entrypoint, config.Config.Env, config.Created.Unix(), len(config.RootFS.DiffIDs)),
		"linux/amd64 [/bin/run] [A=1] 0 1"; got != want {
		t.Errorf("config %s, want %s", got, want)
	}
}

func TestAssembleOnBase(t *testing.T) {
	t.Parallel()
	dir := func(name string, mode int64) imagetest.Entry {
		return imagetest.Entry{Name: name + "/", Type: tar.TypeDir, Mode: mode}
	}
	link := func(name, to string) imagetest.Entry {
		return imagetest.Entry{Name: name, Type: tar.TypeSymlink, Link: to}
	}
	base := imagetest.Image{Compress: true, Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, Layers: [][]byte{
		imagetest.Tar(dir("usr", 0o755), dir("usr/bin", 0o711), link("bin", "usr/bin"), dir("tmp", 0o1777),
			dir("old", 0o700), dir("var", 0o755), link("var/run", "/run"), dir("run", 0o750), link("loop", "loop"), dir("opq", 0o700), dir("opq/in", 0o700)),
		imagetest.Tar(imagetest.Entry{Name: ".wh.old"}, dir("opq", 0o701), imagetest.Entry{Name: "opq/.wh..wh..opq"}),
	}, Cmd: []string{"sh"}}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(base.Manifest(), &manifest); err != nil {
		t.Fatal(err)
	}
	b := &image.Base{Manifest: manifest, Config: base.Config(), Layer: func(d ocispec.Descriptor) (io.ReadCloser, error) {
		i := slices.IndexFunc(manifest.Layers, func(l ocispec.Descriptor) bool { return l.Digest == d.Digest })
		return io.NopCloser(bytes.NewReader(imagetest.Gzip(base.Layers[i]))), nil
	}}
	a, err := image.Assemble(t.Context(), image.Recipe{Name: "on:1", Base: "base", Created: time.Unix(7, 0), Files: []image.File{
		{Path: "/bin/tool", Content: []byte("t")},
		{Path: "/tmp/x", Content: []byte("x")},
		{Path: "/old/y", Content: []byte("y")},
		{Path: "/opq/in/i", Content: []byte("i")},
		{Path: "/var/run/pid", Content: []byte("p")},
		{Path: "/loop/z", Content: []byte("z")},
		{Path: "/", Source: hostTree(t, 0o022, time.Now())},
		{Path: "/usr", Directory: true, Mode: 0o700},
	}, Config: image.Config{Env: []string{"B=2"}}}, b)
	if err != nil {
		t.Fatal(err)
	}
	// A link of the base stays one, a directory keeps its mode.
	want := `etc/ 0755 0:0 7
etc/a/ 0755 0:0 7
etc/a/b/ 0755 0:0 7
etc/a/b/deep 0644 0:0 7 x
etc/conf 0644 0:0 7 key = 1
etc/link 0777 0:0 7 -> /etc/shadow
loop/ 0755 0:0 7
loop/z 0644 0:0 7 z
old/ 0755 0:0 7
old/y 0644 0:0 7 y
opq/ 0701 0:0 7
opq/in/ 0755 0:0 7
opq/in/i 0644 0:0 7 i
run/ 0750 0:0 7
run/pid 0644 0:0 7 p
tmp/ 1777 0:0 7
tmp/x 0644 0:0 7 x
usr/ 0700 0:0 7
usr/bin/ 0711 0:0 7
usr/bin/run 0755 0:0 7 #!/bin/sh
usr/bin/tool 0644 0:0 7 t`
	if got := layerLines(t, a); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(a.Layers) != 3 || a.Layers[0].MediaType != ocispec.MediaTypeImageLayerGzip || a.Layers[2].MediaType != ocispec.MediaTypeImageLayer {
		t.Errorf("layers %+v", a.Layers)
	}
	d, err := image.ReadConfig(a.Config)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Layers) != 3 || !slices.Equal(d.Config.Cmd, []string{"sh"}) || !slices.Equal(d.Config.Env, []string{"B=2"}) {
		t.Errorf("config %+v", d)
	}
}

// An image without files is a config alone.
func TestAssembleNothing(t *testing.T) {
	t.Parallel()
	a, err := image.Assemble(t.Context(), image.Recipe{Name: "empty", Platform: "linux/arm64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.HasLayer || !bytes.Contains(a.Manifest, []byte(`"layers":[]`)) || !bytes.Contains(a.Config, []byte(`"empty_layer":true`)) {
		t.Errorf("%s\n%s", a.Manifest, a.Config)
	}
}

func TestAssembleRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	wh := t.TempDir()
	if err := os.WriteFile(filepath.Join(wh, ".wh.x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one := func(f image.File) image.Recipe { return image.Recipe{Name: "x", Files: []image.File{f}} }
	content := []byte("x")
	for _, tt := range []struct {
		name   string
		recipe image.Recipe
		want   string
		kind   fault.Kind
	}{
		{"no name", image.Recipe{}, `assemble image: invalid reference format`, fault.Invalid},
		{"upper case", image.Recipe{Name: "Foo"}, `assemble image "Foo": invalid reference format: repository name (library/Foo) must be lowercase`, fault.Invalid},
		{"digest", image.Recipe{Name: "x@sha256:" + strings.Repeat("a", 64)},
			`assemble image "x@sha256:` + strings.Repeat("a", 64) + `": the name has a digest, which is only known when the image is made`, fault.Invalid},
		{"platform", image.Recipe{Name: "x", Platform: "a/b/c/d"}, `assemble image "x": "a/b/c/d" is not a platform`, fault.Invalid},
		{"env", image.Recipe{Name: "x", Config: image.Config{Env: []string{"A"}}}, `assemble image "x": env "A" is not of the form name=value`, fault.Invalid},
		{"port", image.Recipe{Name: "x", Config: image.Config{ExposedPorts: []string{"http"}}}, `assemble image "x": exposed port "http" is not of the form 80 or 80/tcp`, fault.Invalid},
		{"two sources", one(image.File{Path: "/x", Content: content, Link: "y"}),
			`assemble image "x": file "/x": exactly one of source, content, link and directory must be given`, fault.Invalid},
		{"relative", one(image.File{Path: "x", Content: content}), `assemble image "x": file "x": the path in the image must be absolute`, fault.Invalid},
		{"escape", one(image.File{Path: "/a/../../x", Content: content}), `assemble image "x": file "/a/../../x": the path in the image must not contain ..`, fault.Invalid},
		{"root", one(image.File{Path: "/", Content: content}), `assemble image "x": file "/": the root can only be filled from a directory`, fault.Invalid},
		{"mode", one(image.File{Path: "/x", Content: content, Mode: 0o100644}), `assemble image "x": file "/x": mode 0100644 has more than permission bits`, fault.Invalid},
		{"whiteout", one(image.File{Path: "/.wh.x", Content: content}), `assemble image "x": file "/.wh.x": "/.wh.x": names that begin with .wh. mean a removed file in a layer`, fault.Invalid},
		{"whiteout below", one(image.File{Path: "/", Source: wh}), `assemble image "x": file "/": ".wh.x": names that begin with .wh. mean a removed file in a layer`, fault.Invalid},
		{"pipe", one(image.File{Path: "/", Source: dir}), `assemble image "x": file "/": ` + dir + `/pipe is a named pipe, not a file, directory or symbolic link`, fault.Invalid},
		{"device", one(image.File{Path: "/null", Source: "/dev/null"}), `assemble image "x": file "/null": /dev/null is a device, not a file, directory or symbolic link`, fault.Invalid},
		{"missing", one(image.File{Path: "/x", Source: "/no/such"}), `assemble image "x": file "/x": stat /no/such: no such file or directory`, fault.NotFound},
		{"file as directory", image.Recipe{Name: "x", Files: []image.File{{Path: "/a", Content: content}, {Path: "/a/b", Content: content}}},
			`assemble image "x": file "/a/b": /a is not a directory in this recipe`, fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := image.Assemble(t.Context(), tt.recipe, nil)
			if text(err) != tt.want || !fault.Is(err, tt.kind) {
				t.Errorf("got  %v (%s)\nwant %s (%s)", err, fault.KindOf(err), tt.want, tt.kind)
			}
		})
	}
}

// A file that grows or shrinks between the two readings is noticed.
func TestAssembleChangedFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	for _, now := range []string{"longer than it was", "s"} {
		if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := image.Assemble(t.Context(), image.Recipe{Name: "x", Files: []image.File{{Path: "/f", Source: file}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		err = a.WriteLayer(t.Context(), io.Discard)
		if want := `assemble image "x:latest": file "/f": ` + file + " was changed while it was read"; text(err) != want || !fault.Is(err, fault.Conflict) {
			t.Errorf("got  %v (%s)\nwant %s", err, fault.KindOf(err), want)
		}
	}
}

func TestConfigOver(t *testing.T) {
	t.Parallel()
	base := image.Config{Env: []string{"PATH=/bin", "A=1"}, Entrypoint: []string{"e"}, Cmd: []string{"c"}, ExposedPorts: []string{"80/tcp"},
		Labels: map[string]string{"a": "1"}, User: "root", WorkingDir: "/w", StopSignal: "SIGTERM"}
	for _, tt := range []struct {
		name string
		over image.Config
		want image.Config
	}{
		{"nothing", image.Config{}, base},
		{"entrypoint clears cmd", image.Config{Entrypoint: []string{"x"}}, func() image.Config {
			c := base
			c.Entrypoint, c.Cmd = []string{"x"}, nil
			return c
		}()},
		{"adds", image.Config{Env: []string{"A=2", "B=3"}, ExposedPorts: []string{"53/udp", "80"}, Labels: map[string]string{"b": "2"}, User: "me"}, func() image.Config {
			c := base
			c.Env, c.ExposedPorts, c.Labels, c.User = []string{"PATH=/bin", "A=2", "B=3"}, []string{"53/udp", "80/tcp"}, map[string]string{"a": "1", "b": "2"}, "me"
			return c
		}()},
	} {
		got, want := fmt.Sprintf("%+v", tt.over.Over(base)), fmt.Sprintf("%+v", tt.want)
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, want)
		}
	}
}
