package containerd

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// registryHandler is an empty registry in memory.
func registryHandler() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// serve runs a registry, changed by wrap, and gives its host:port.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func randomImage(t *testing.T, arch string, layers int) v1.Image {
	t.Helper()
	img, err := random.Image(64<<10, int64(layers))
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

func push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
}

func pushIndex(t *testing.T, ref string, archs ...string) {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, arch := range archs {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: randomImage(t, arch, 2),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(r, index); err != nil {
		t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	host := serve(t, registryHandler())
	img := randomImage(t, "amd64", 3)
	push(t, host+"/dir/app:1", img)

	var told []string
	opts := image.PullOptions{Progress: func(p image.Progress) {
		if len(told) == 0 || told[len(told)-1] != p.Status {
			told = append(told, p.Status)
		}
		if p.Done > p.Total || p.Total == 0 {
			t.Errorf("progress %+v", p)
		}
	}}
	got, err := m.Pull(t.Context(), host+"/dir/app:1", opts)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	if got.ID != want.String() || got.Name != host+"/dir/app:1" || got.Size == 0 || got.Missing != "" {
		t.Errorf("%+v", got)
	}
	for _, status := range []string{"Pulling fs layer", "Downloading", "Download complete", "Pull complete"} {
		if !slices.Contains(told, status) {
			t.Errorf("not told: %s of %q", status, told)
		}
	}
	told = nil
	if _, err := m.Pull(t.Context(), host+"/dir/app:1", opts); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(told, "Downloading") || !slices.Contains(told, "Already exists") {
		t.Errorf("second time: %q", told)
	}
	// All of it is here, so that it can be saved.
	if err := m.Save(t.Context(), io.Discard, []string{host + "/dir/app:1"}, image.SaveOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := m.Pull(t.Context(), host+"/dir/app@"+want.String(), image.PullOptions{}); err != nil {
		t.Error(err)
	}
	leftIs(t, e, ns, "image "+host+"/dir/app:1", "image "+host+"/dir/app@"+want.String())
}

// Whoever removed the blobs but not the snapshots still gets a whole image.
func TestPullAgainAfterLostBlobs(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	host := serve(t, registryHandler())
	img := randomImage(t, "amd64", 2)
	push(t, host+"/app:1", img)
	if _, err := m.Pull(t.Context(), host+"/app:1", image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	layers, _ := img.Layers()
	d, _ := layers[0].Digest()
	if err := m.c.ContentStore().Delete(m.in(t.Context()), parse(d.String())); err != nil {
		t.Fatal(err)
	}
	got, err := m.Pull(t.Context(), host+"/app:1", image.PullOptions{})
	if err != nil || got.Missing != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPullPlatforms(t *testing.T) {
	t.Parallel()
	host := serve(t, registryHandler())
	pushIndex(t, host+"/multi:1", "arm64", "amd64", "386")
	pushIndex(t, host+"/foreign:1", "arm64")
	yes := true
	for _, tt := range []struct {
		name     string
		ref      string
		opts     image.PullOptions
		here     []string
		unpacked []string
		err      string
	}{
		{"host's", "multi", image.PullOptions{}, []string{"linux/amd64"}, []string{"linux/amd64"}, ""},
		{"one", "multi", image.PullOptions{Platforms: []string{"linux/arm64"}}, []string{"linux/arm64"}, []string{"linux/arm64"}, ""},
		{"two", "multi", image.PullOptions{Platforms: []string{"linux/arm64", "linux/386"}}, []string{"linux/arm64", "linux/386"}, nil, ""},
		{"all, unpacked", "multi", image.PullOptions{AllPlatforms: true, Unpack: &yes}, []string{"linux/amd64", "linux/arm64", "linux/386"},
			[]string{"linux/amd64", "linux/arm64", "linux/386"}, ""},
		{"none", "foreign", image.PullOptions{}, nil, nil,
			"no matching manifest for the platform asked for in the manifest list entries of HOST/foreign:1"},
		{"nonsense", "multi", image.PullOptions{Platforms: []string{"a/b/c/d"}}, nil, nil, `pull "HOST/multi:1": "a/b/c/d" is not a platform`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, e, ns := imagesFor(t)
			ref := host + "/" + tt.ref + ":1"
			_, err := m.Pull(t.Context(), ref, tt.opts)
			if want := strings.ReplaceAll(tt.err, "HOST", host); errText(err) != want {
				t.Fatalf("got %v, want %s", err, want)
			}
			if err != nil {
				leftIs(t, e, ns)
				return
			}
			for _, p := range []string{"linux/amd64", "linux/arm64", "linux/386"} {
				d, err := m.Inspect(t.Context(), ref, p)
				here := err == nil && d.Platform == p
				if here != slices.Contains(tt.here, p) || here && d.Missing != "" {
					t.Errorf("%s is here: %v (%v, %q)", p, here, err, d.Missing)
				}
				if here && (d.Size > 0) != slices.Contains(tt.unpacked, p) {
					t.Errorf("%s has %d bytes unpacked", p, d.Size)
				}
			}
		})
	}
}

// Every failure has its kind, docker's words where docker has them, a hint, an
// end in bounded time, and leaves nothing.
func TestPullErrors(t *testing.T) {
	t.Parallel()
	good := registryHandler()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	status := func(code int) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	}
	done := make(chan struct{})
	silent := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	stalling := registryHandler()
	stalled := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			stalling.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		stalling.ServeHTTP(rec, r)
		w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		w.(http.Flusher).Flush()
		<-done
	}))
	t.Cleanup(func() { close(done) })
	push(t, stalled+"/app:1", randomImage(t, "amd64", 1))
	wrong := registryHandler()
	wrongHost := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			wrong.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		wrong.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		body[len(body)/2] ^= 1
		_, _ = w.Write(body)
	}))
	push(t, wrongHost+"/app:1", randomImage(t, "amd64", 1))
	host := serve(t, good)
	push(t, host+"/app:1", randomImage(t, "amd64", 1))

	for _, tt := range []struct {
		name, ref string
		kind      fault.Kind
		want      string // prefix
		hint      string
	}{
		{"no repository", host + "/nope:1", fault.NotFound, "manifest for REF not found: manifest unknown: manifest unknown", "look at the name and the tag: HOST does not have it"},
		{"no tag", host + "/app:2", fault.NotFound, "manifest for REF not found: manifest unknown: manifest unknown", "look at the name and the tag: HOST does not have it"},
		{"401", status(401) + "/app:1", fault.Denied, "pull access denied for NAME, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", "`login HOST` if the image is there"},
		{"403", status(403) + "/app:1", fault.Denied, "pull access denied for NAME, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", "`login HOST` if the image is there"},
		{"429", status(429) + "/app:1", fault.Unavailable, `pull "REF": `, "HOST limits how much may be pulled: wait, or `login HOST`"},
		{"500", status(500) + "/app:1", fault.Unavailable, `pull "REF": `, "HOST has a problem of its own: try again later"},
		{"dead", closed.Addr().String() + "/app:1", fault.Unavailable, `pull "REF": `, "HOST cannot be reached: look at the name, the network and the proxy variables"},
		{"silent", silent + "/app:1", fault.Unavailable, `pull "REF": the registry does not answer`, "HOST cannot be reached: look at the name, the network and the proxy variables"},
		{"stalled", stalled + "/app:1", fault.Unavailable, `pull "REF": `, "HOST cannot be reached: look at the name, the network and the proxy variables"},
		{"wrong bytes", wrongHost + "/app:1", fault.Unavailable, `pull "REF": `, "HOST, or a proxy before it, has sent other bytes than it had promised"},
		{"bad name", "Foo", fault.Invalid, "invalid reference format: repository name (library/Foo) must be lowercase", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, e, ns := imagesFor(t)
			m.resolveWait, m.idleWait = time.Second, time.Second
			start := time.Now()
			_, err := m.Pull(t.Context(), tt.ref, image.PullOptions{})
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
			reg, _, _ := strings.Cut(tt.ref, "/")
			full := strings.NewReplacer("REF", tt.ref, "HOST", reg, "NAME", reg+"/app").Replace
			if !strings.HasPrefix(errText(err), full(tt.want)) || !fault.Is(err, tt.kind) || fault.HintOf(err) != full(tt.hint) {
				t.Errorf("got %v\n(%s, hint %q)\nwant %s\n(%s, hint %q)", err, fault.KindOf(err), fault.HintOf(err), full(tt.want), tt.kind, full(tt.hint))
			}
			if left := e.Left(t, ns); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestPullCancelled(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	inner := registryHandler()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w.Header().Set("Content-Length", "70000")
			_, _ = w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			cancel()
			<-done
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(done) })
	push(t, host+"/app:1", randomImage(t, "amd64", 2))
	if _, err := m.Pull(ctx, host+"/app:1", image.PullOptions{}); !fault.Is(err, fault.Cancelled) {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	if left := e.Left(t, ns); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestPullAtOnce(t *testing.T) {
	t.Parallel()
	m, _, _ := imagesFor(t)
	host := serve(t, registryHandler())
	push(t, host+"/app:1", randomImage(t, "amd64", 4))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if img, err := m.Pull(t.Context(), host+"/app:1", image.PullOptions{}); err != nil || img.Size == 0 {
				t.Errorf("%+v, %v", img, err)
			}
		})
	}
	wg.Wait()
}

// Credentials come from config.json itself, and from a helper that it names.
func TestPullCredentials(t *testing.T) {
	t.Parallel()
	guarded := func(user, password string) string {
		inner := registryHandler()
		var open bool // while the image is pushed
		open = true
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, p, _ := r.BasicAuth()
			if !open && (u != user || p != password) {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		push(t, host+"/app:1", randomImage(t, "amd64", 1))
		open = false
		return host
	}
	stored, helped, unknown, broken := guarded("me", "secret"), guarded("helper", "s3"), guarded("a", "b"), guarded("a", "b")
	bin := filepath.Join(dockerConfig, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"%s\",\"Username\":\"helper\",\"Secret\":\"s3\"}'\n", helped)
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-nshtest"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":"bWU6c2VjcmV0"}},"credHelpers":{%q:"nshtest",%q:"nosuchhelper"}}`, stored, helped, broken)
	if err := os.WriteFile(filepath.Join(dockerConfig, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host string
		kind fault.Kind
		hint string
	}{
		{stored, "", ""}, {helped, "", ""},
		{unknown, fault.Denied, "`login " + unknown + "` if the image is there"},
		{broken, fault.Denied, "config.json names a credential helper that fails"},
	} {
		m, _, _ := imagesFor(t)
		_, err := m.Pull(t.Context(), tt.host+"/app:1", image.PullOptions{})
		if fault.KindOf(err) != tt.kind || fault.HintOf(err) != tt.hint {
			t.Errorf("%s: got %v (%s, hint %q), want %s, %q", tt.host, err, fault.KindOf(err), fault.HintOf(err), tt.kind, tt.hint)
		}
	}
}

// The hosts directories say where a registry is and whom to trust.
func TestPullHostsDirectories(t *testing.T) {
	t.Parallel()
	inner := registryHandler()
	host := serve(t, inner)
	push(t, host+"/app:1", randomImage(t, "amd64", 1))
	secure := httptest.NewUnstartedServer(inner)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)

	first, second := t.TempDir(), t.TempDir()
	write := func(dir, host, file, text string) {
		if err := os.MkdirAll(filepath.Join(dir, host), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, host, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	write(second, "mirror.invalid", "hosts.toml", fmt.Sprintf("server = \"http://%s\"\n", host))
	write(first, "trusted.invalid", "hosts.toml", fmt.Sprintf("server = %q\nca = \"ca.crt\"\n", secure.URL))
	write(first, "trusted.invalid", "ca.crt", string(ca))
	write(first, "untrusted.invalid", "hosts.toml", fmt.Sprintf("server = %q\n", secure.URL))
	write(first, "plain.invalid", "hosts.toml", fmt.Sprintf("server = \"https://%s\"\n", host))

	for _, tt := range []struct {
		host     string
		insecure bool
		kind     fault.Kind
		hint     string
	}{
		{"mirror.invalid", false, "", ""},
		{"trusted.invalid", false, "", ""},
		{"untrusted.invalid", false, fault.Unavailable,
			"put the certificate of its authority into a hosts directory (certs.d/untrusted.invalid/ca.crt), or give --insecure-registry"},
		{"untrusted.invalid", true, "", ""},
		{"plain.invalid", false, fault.Unavailable, "plain.invalid speaks plain HTTP: give --insecure-registry, or a hosts.toml that says so"},
	} {
		m, _, _ := imagesFor(t)
		m.s.HostsDir, m.s.InsecureRegistry = []string{first, second}, tt.insecure
		_, err := m.Pull(t.Context(), tt.host+"/app:1", image.PullOptions{})
		if fault.KindOf(err) != tt.kind || fault.HintOf(err) != tt.hint {
			t.Errorf("%s, insecure %v: got %v (%s, hint %q), want %s, %q", tt.host, tt.insecure, err, fault.KindOf(err), fault.HintOf(err), tt.kind, tt.hint)
		}
	}
}
