package builtins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/shlex"

	"nsh/runtime/container"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/memory"
	"nsh/runtime/system"
)

// No config.json of the user's changes the format of a list.
func init() { os.Setenv("DOCKER_CONFIG", "testdata/none") }

// canned is an engine with one state, that of the daemon which the transcripts
// in testdata/docker were recorded from. What it does not have panics.
type canned struct {
	containers []container.Container
	images     []image.Image
	info       system.Info
}

type cannedContainers struct {
	container.Service
	*canned
}

type cannedImages struct {
	image.Service
	*canned
}

type cannedSystem struct {
	system.Service
	*canned
}

func newCanned() *canned {
	const day = 24 * time.Hour
	now := time.Now()
	digit := func(c string) string { return strings.Repeat(c, 64) }
	sha := func(c string) string { return "sha256:" + digit(c) }
	tcp := func(ip string, host, ctr int) container.PortMapping {
		return container.PortMapping{HostIP: ip, HostPort: host, ContainerPort: ctr, Protocol: "tcp"}
	}
	udp := func(ip string, host, ctr int) container.PortMapping {
		return container.PortMapping{HostIP: ip, HostPort: host, ContainerPort: ctr, Protocol: "udp"}
	}
	on := func(network string) []container.Endpoint { return []container.Endpoint{{Network: network}} }
	return &canned{
		containers: []container.Container{
			{
				ID: digit("a"), Name: "web", Image: "nginx:1.27", ImageID: sha("1"), Args: []string{"/docker-entrypoint.sh", "nginx", "-g", "daemon off;"},
				Created: now.Add(-3*day - time.Hour), Status: container.Running, StartedAt: now.Add(-2*time.Hour - time.Minute), Pid: 4242,
				Ports:  []container.PortMapping{tcp("0.0.0.0", 8080, 80), tcp("::", 8080, 80), tcp("", 0, 443), udp("127.0.0.1", 5353, 53)},
				Labels: map[string]string{"tier": "web", "app": "shop"}, Networks: []container.Endpoint{{Network: "bridge", IP: "10.4.0.2"}},
				Mounts: []container.Mount{{Type: "bind", Source: "/srv/html/of/the/whole/site", Destination: "/usr/share/nginx/html", Mode: "ro", Propagation: "rprivate"}},
				Size:   &container.Size{Writable: 2, Virtual: 187000000},
			},
			{
				ID: digit("b"), Name: "a-very-long-name-for-a-container-that-somebody-made-up", Image: "localhost:5000/team/service-with-a-long-name:2024-11-05", ImageID: sha("2"),
				Args: []string{"sleep", "infinity"}, Created: now.Add(-14*day - time.Hour), Status: container.Paused, StartedAt: now.Add(-3*day - time.Hour),
				Ports:    []container.PortMapping{tcp("0.0.0.0", 3000, 3000), tcp("0.0.0.0", 3001, 3001), tcp("0.0.0.0", 3002, 3002), udp("127.0.0.1", 5353, 53), tcp("127.0.0.1", 5353, 53), tcp("0.0.0.0", 80, 8000), tcp("0.0.0.0", 81, 8001)},
				Networks: on("backend"), Mounts: []container.Mount{{Type: "volume", Name: "data", Source: "/var/lib/docker/volumes/data/_data", Destination: "/data", Mode: "z", RW: true}},
				Size: &container.Size{},
			},
			{
				ID: digit("c"), Name: "job", Image: "alpine", ImageID: sha("3"), Args: []string{"sh", "-c", "exit 3"}, Platform: "linux/amd64",
				Created: now.Add(-20 * day), Status: container.Exited, ExitCode: 3, StartedAt: now.Add(-5 * time.Hour), FinishedAt: now.Add(-4*time.Hour - time.Minute),
				Labels: map[string]string{"a": "1"}, Networks: on("none"), Size: &container.Size{Writable: 1234567, Virtual: 9000000},
			},
			{
				ID: digit("d"), Name: "fresh", Image: digit("3"), ImageID: sha("3"), Args: []string{"/bin/sh"}, Created: now.Add(-400 * day), Status: container.Created,
				Networks: on("host"), Size: &container.Size{Virtual: 7830000},
			},
			{
				ID: digit("e"), Name: "weiß", Image: "alpine@" + sha("3"), ImageID: sha("3"), Args: []string{"echo", "grüße", "an", "alle", "welt"},
				Created: now.Add(-500 * day), Status: container.Exited, ExitCode: 137, StartedAt: now.Add(-500 * day), FinishedAt: now.Add(-500 * day),
				// Recorded, and not bound while it does not run: docker shows none.
				Ports: []container.PortMapping{tcp("0.0.0.0", 80, 8000), tcp("0.0.0.0", 81, 8001)}, Networks: on("bridge"), Size: &container.Size{Writable: 123, Virtual: 7830123},
			},
		},
		images: []image.Image{
			{Name: "docker.io/library/nginx:1.27", ID: sha("1"), Created: now.Add(-21*day - time.Hour), Size: 187654321},
			{Name: "docker.io/library/alpine:latest", ID: sha("3"), Created: now.Add(-100 * day), Size: 7834567, Labels: map[string]string{"a": "b"}},
			{Name: "localhost:5000/team/service-with-a-long-name:2024-11-05", ID: sha("2"), Created: now.Add(-(2*365 + 40) * day), Size: 1234567890},
			{Name: "overlayfs@" + sha("4"), ID: sha("4"), Created: now.Add(-30 * time.Minute), Size: 12},
			{Name: "docker.io/library/busybox@" + sha("5"), ID: sha("5"), Created: now.Add(-3*time.Hour - time.Minute), Size: 4261550},
			{Name: "docker.io/library/made:latest", ID: sha("6"), Created: time.Unix(0, 0), Size: 999},
		},
		info: system.Info{
			ID: "e7f1", Containers: 5, Running: 1, Paused: 1, Stopped: 3, Images: 6, Driver: "overlayfs", LogDrivers: []string{"json-file", "none"}, Networks: []string{"bridge", "host", "none"},
			Runtimes: []string{"runc"}, DefaultRuntime: "runc", CgroupDriver: "cgroupfs", CgroupVersion: "2", KernelVersion: "6.18.0", OperatingSystem: "Debian GNU/Linux 12 (bookworm)",
			OSType: "linux", Architecture: "x86_64", NCPU: 2, MemTotal: 25769803776, Name: "host", ServerVersion: "2.4.2", DataRoot: "/var/lib/nerdctl",
			SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"}, Warnings: []string{"WARNING: No swap limit support"},
		},
	}
}

func (c *canned) env() *Env {
	return &Env{Program: "docker", Version: "28.2.2", Settings: &engine.Settings{Snapshotter: "overlayfs"}, Connect: func(context.Context) (*Engine, error) {
		e := memory.New(memory.Options{Seed: 1})
		return &Engine{Containers: cannedContainers{canned: c}, Images: cannedImages{canned: c}, Volumes: e.Volumes, Networks: e.Networks, System: cannedSystem{canned: c}}, nil
	}}
}

func (c cannedContainers) List(_ context.Context, opts container.ListOptions) ([]container.Container, error) {
	var out []container.Container
	for _, x := range c.containers {
		if !opts.All && x.Status != container.Running && x.Status != container.Paused {
			continue
		}
		if !opts.Sizes {
			x.Size = nil
		}
		out = append(out, x)
	}
	return out, nil
}

func (c cannedContainers) Get(_ context.Context, ref string) (container.Container, error) {
	return container.Resolve(c.containers, ref)
}

func (c cannedContainers) Inspect(_ context.Context, ref string, _ bool) (container.Detail, error) {
	x, err := container.Resolve(c.containers, ref)
	return container.Detail{Container: x}, err
}

func (c cannedContainers) Top(_ context.Context, ref string, _ []string) (container.Processes, error) {
	x, err := container.Resolve(c.containers, ref)
	if err != nil {
		return container.Processes{}, err
	}
	if x.Status != container.Running {
		return container.Processes{}, fault.New(fault.Conflict, "container %s is not running", x.ID)
	}
	return container.Processes{
		Titles: []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"},
		Rows: [][]string{
			{"root", "4242", "4200", "0", "08:00", "?", "00:00:00", "nginx: master process nginx -g daemon off;"},
			{"systemd+", "4250", "4242", "0", "08:00", "?", "00:00:01", "nginx: worker process"},
		},
	}, nil
}

func (c cannedImages) List(context.Context) ([]image.Image, error) {
	return slices.Clone(c.images), nil
}

func (c cannedImages) Get(_ context.Context, ref string) (image.Image, error) {
	m, err := image.Find(ref, c.images)
	if err != nil {
		return image.Image{}, err
	}
	return m.Images[0], nil
}

func (c cannedImages) Inspect(ctx context.Context, ref, _ string) (image.Detail, error) {
	i, err := c.Get(ctx, ref)
	return image.Detail{Image: i, RepoTags: []string{image.RepoTag(i.Name)}, OS: "linux"}, err
}

func (c cannedImages) Tag(ctx context.Context, source, _ string) error {
	_, err := c.Get(ctx, source)
	return err
}

func (c cannedImages) Remove(ctx context.Context, ref string, _ image.RemoveOptions) ([]image.Removed, error) {
	i, err := c.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if ref == "alpine" {
		return nil, fault.New(fault.Conflict, "conflict: unable to remove repository reference %q (must force) - container cccccccccccc is using its referenced image 333333333333", ref)
	}
	return []image.Removed{{Untagged: image.Familiar(i.Name)}, {Deleted: i.ID}}, nil
}

func (c cannedImages) Load(context.Context, io.Reader, image.LoadOptions) ([]image.Image, error) {
	return c.images[:2], nil
}

func (c cannedImages) Save(context.Context, io.Writer, []string, image.SaveOptions) error {
	return errors.New("not reached")
}

func (c cannedImages) Pull(_ context.Context, ref string, opts image.PullOptions) (image.Image, error) {
	if opts.Progress != nil {
		layer := "sha256:" + strings.Repeat("a", 64)
		for _, p := range []image.Progress{{Status: "Pulling fs layer"}, {Status: "Downloading", Done: 100, Total: 3000}, {Status: "Download complete"}, {Status: "Pull complete"}} {
			p.Digest = layer
			opts.Progress(p)
		}
	}
	name, err := image.Normalize(ref)
	return image.Image{Name: name, ID: "sha256:" + strings.Repeat("7", 64)}, err
}

func (c cannedSystem) Info(context.Context) (system.Info, error) { return c.info, nil }

func (c cannedSystem) Version(context.Context) (system.Version, error) {
	return system.Version{Engine: "containerd", Version: "v2.4.2", Revision: "abc", Components: []system.Component{{Name: "containerd", Version: "v2.4.2", Details: map[string]string{"GitCommit": "abc"}}}}, nil
}

// step is one command of a transcript and what it prints.
type step struct {
	line string // as typed
	want string
}

// transcript reads a file of testdata/docker.
func transcript(t *testing.T, name string) []step {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "docker", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, part := range strings.Split(string(data), "\n$ docker ")[1:] {
		line, want, _ := strings.Cut(part, "\n")
		steps = append(steps, step{line, want})
	}
	return steps
}

var absoluteTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+?([ "\n])`)

// play runs a line and gives what it printed in the form of a transcript.
func play(t *testing.T, env *Env, line string) string {
	t.Helper()
	words, err := shlex.Split(line)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Run(t.Context(), env, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}, words)
	text := out.String()
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for l := range strings.Lines(errs.String()) {
		text += "! " + l
	}
	if code != 0 {
		text += fmt.Sprintf("[exit %d]\n", code)
	}
	return absoluteTime.ReplaceAllString(text, "<time>$1")
}

// Every command prints what docker prints for the same state, byte for byte.
func TestGolden(t *testing.T) {
	t.Parallel()
	// What docker says and nsh does not: swarm, and the daemon's own build.
	foreign := regexp.MustCompile(`(?m)^ (Swarm|Init Binary|containerd version|runc version|init version|Experimental|Live Restore Enabled):.*\n`)
	files, err := filepath.Glob("testdata/docker/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	env := newCanned().env()
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range transcript(t, name) {
				want := strings.Replace(s.want, "! SRun", "! Run", 1) // a slip of that release
				if name == "info" {
					want = foreign.ReplaceAllString(want, "")
				}
				if got := strings.TrimRight(play(t, env, s.line), "\n"); got != strings.TrimRight(want, "\n") {
					t.Errorf("$ docker %s\n--- got\n%s\n--- want\n%s", s.line, got, want)
				}
			}
		})
	}
}
