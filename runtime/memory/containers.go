package memory

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Containers implements [container.Service]. It is part of an [Engine].
type Containers struct{ e *Engine }

var _ container.Service = (*Containers)(nil)

// box is one container. The engine's lock guards what may change.
type box struct {
	e       *Engine
	id      string
	spec    container.Spec // as asked for
	image   string         // stored name
	imageID string
	created time.Time
	args    []string
	env     []string
	dir     string
	stop    string // signal
	labels  map[string]string
	ports   []container.PortMapping
	mounts  []container.Mount // as asked for, volumes by name, and those of the image
	files   *Files
	base    int64    // bytes of the image
	volumes []string // directories that the image wants a volume for
	// anonymous are the volumes that go with the container.
	anonymous []string
	log       *journal

	name       string
	status     container.Status
	failed     string // why the last start did
	startedAt  time.Time
	finishedAt time.Time
	exit       container.Exit
	endpoints  []container.Endpoint // while it runs
	run        *run                 // the current or the last one
	main       *process             // of run
	started    chan struct{}        // closed at the first start
	gone       chan struct{}        // closed when it is removed
}

func (b *box) alive() bool { return b.status == container.Running || b.status == container.Paused }

// find resolves a ref. It is called with the lock held.
func (e *Engine) find(ref string) (*box, error) {
	all := make([]container.Container, 0, len(e.boxes))
	for _, b := range e.boxes {
		all = append(all, container.Container{ID: b.id, Name: b.name})
	}
	c, err := container.Resolve(all, ref)
	if err != nil {
		return nil, err
	}
	return e.boxes[c.ID], nil
}

// value makes the snapshot that callers see. It is called with the lock held.
func (b *box) value() container.Container {
	c := container.Container{
		ID: b.id, Name: b.name, Image: b.spec.Image, ImageID: b.imageID, Created: b.created,
		Status: b.status, StartedAt: b.startedAt, FinishedAt: b.finishedAt, Error: b.failed,
		Args: slices.Clone(b.args), Labels: maps.Clone(b.labels), Ports: slices.Clone(b.ports), Mounts: slices.Clone(b.mounts),
		Runtime: "memory", Snapshotter: "memory", SnapshotKey: b.id, Platform: b.spec.Platform,
	}
	switch {
	case b.alive():
		c.Pid = b.main.hostPid
		c.Networks = slices.Clone(b.endpoints)
	default:
		for _, n := range b.spec.Networks {
			c.Networks = append(c.Networks, container.Endpoint{Network: n})
		}
	}
	if b.status == container.Exited {
		c.ExitCode = b.exit.Code
	}
	return c
}

func (b *box) size() *container.Size {
	all := b.files.size()
	return &container.Size{Writable: max(0, all-b.base), Virtual: all}
}

// List implements [container.Service].
func (s *Containers) List(ctx context.Context, opts container.ListOptions) ([]container.Container, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "list containers", "")
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	out := []container.Container{}
	for _, b := range s.e.boxes {
		if !opts.All && !b.alive() {
			continue
		}
		c := b.value()
		if opts.Sizes {
			c.Size = b.size()
		}
		out = append(out, c)
	}
	container.Sort(out)
	return out, nil
}

// Get implements [container.Service].
func (s *Containers) Get(ctx context.Context, ref string) (container.Container, error) {
	if err := ctx.Err(); err != nil {
		return container.Container{}, fault.Wrap(err, "look up container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	if err != nil {
		return container.Container{}, err
	}
	return b.value(), nil
}

// Native is what Inspect gives as the engine's own record.
type Native struct {
	ID        string
	Name      string
	Image     string
	Env       []string
	Dir       string
	Files     *Files // as they are now, not as they were
	Processes int
}

// Inspect implements [container.Service]. The paths in a Detail are empty:
// there are no such files.
func (s *Containers) Inspect(ctx context.Context, ref string, sizes bool) (container.Detail, error) {
	if err := ctx.Err(); err != nil {
		return container.Detail{}, fault.Wrap(err, "inspect container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	if err != nil {
		return container.Detail{}, err
	}
	d := container.Detail{Container: b.value(), Spec: b.spec, Recorded: true}
	d.Spec.Name, d.Spec.Image, d.Spec.Env, d.Spec.WorkDir = b.name, d.Image, slices.Clone(b.env), b.dir
	if sizes {
		d.Size = b.size()
	}
	n := Native{ID: b.id, Name: b.name, Image: b.image, Env: d.Spec.Env, Dir: b.dir, Files: b.files}
	if b.alive() {
		n.Processes = len(b.run.all())
	}
	d.Native = n
	return d, nil
}

// Create implements [container.Service].
func (s *Containers) Create(ctx context.Context, spec container.Spec) (container.Container, error) {
	if err := ctx.Err(); err != nil {
		return container.Container{}, fault.Wrap(err, "create container", spec.Name)
	}
	e := s.e
	b := &box{
		e: e, spec: cloneSpec(spec), labels: map[string]string{}, status: container.Created, log: newJournal(),
		started: make(chan struct{}), gone: make(chan struct{}),
	}
	if spec.Rootfs {
		return container.Container{}, fault.New(fault.Invalid, "the engine in memory has no root file systems of the host").
			WithHint("make an image with image.assemble, or load one")
	}
	if err := b.fromImage(ctx); err != nil {
		return container.Container{}, err
	}
	if err := spec.Resources.Check(); err != nil {
		return container.Container{}, err
	}
	for k, v := range spec.Labels {
		for _, p := range []string{"nerdctl/", "nsh/"} {
			if strings.HasPrefix(k, p) {
				return container.Container{}, fault.New(fault.Invalid, "label %q: the prefix %q is kept for the tool itself", k, p)
			}
		}
		b.labels[k] = v
	}
	for _, sig := range []string{spec.StopSignal, b.stop, "SIGTERM"} {
		if b.stop = sig; sig != "" {
			break
		}
	}
	if _, err := container.ParseSignal(b.stop); err != nil {
		return container.Container{}, err
	}
	if len(b.spec.Networks) == 0 {
		b.spec.Networks = []string{"bridge"}
	}
	if spec.Name != "" {
		if err := container.ValidateName(spec.Name); err != nil {
			return container.Container{}, err
		}
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	b.spec.Networks = e.Networks.resolve(b.spec.Networks)
	b.id = e.newID()
	if b.name = spec.Name; b.name == "" {
		// Five digits of an ID are few: another one is taken until they are new.
		for b.name = container.DefaultName(b.image, b.id); e.nameFree(b.name) != nil; b.name = container.DefaultName(b.image, b.id) {
			b.id = e.newID()
		}
	}
	b.spec.Name = b.name
	if err := e.nameFree(b.name); err != nil {
		return container.Container{}, err
	}
	if err := e.publish(b); err != nil {
		return container.Container{}, err
	}
	if err := e.mount(b, b.volumes); err != nil {
		return container.Container{}, err
	}
	if b.spec.Hostname == "" && b.spec.UTSMode != "host" {
		b.spec.Hostname = container.ShortID(b.id)
	}
	b.created = e.stamp()
	e.boxes[b.id] = b
	return b.value(), nil
}

// nameFree is called with the lock held.
func (e *Engine) nameFree(name string) error {
	for _, o := range e.boxes {
		if o.name == name {
			return container.NameInUse(name, o.id)
		}
	}
	return nil
}

func cloneSpec(s container.Spec) container.Spec {
	s.Command = slices.Clone(s.Command)
	s.Env = slices.Clone(s.Env)
	s.Labels = maps.Clone(s.Labels)
	s.Networks = slices.Clone(s.Networks)
	s.Ports = slices.Clone(s.Ports)
	s.Mounts = slices.Clone(s.Mounts)
	return s
}

// defaultPath is docker's (moby, oci/defaults.go).
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// fromImage takes over what the image says.
func (b *box) fromImage(ctx context.Context) error {
	img, err := b.e.Images.Get(ctx, b.spec.Image)
	if err != nil {
		return err
	}
	asked := b.spec.Platform
	if asked != "" {
		if _, err := platforms.Parse(asked); err != nil {
			return fault.New(fault.Invalid, "invalid platform %q: %s", asked, err)
		}
	}
	d, err := b.e.Images.Inspect(ctx, img.Name, asked)
	if err != nil {
		return err
	}
	if b.args, err = b.spec.Args(d.Config.Entrypoint, d.Config.Cmd); err != nil {
		return err
	}
	if b.files, err = b.e.Images.root(img.Name, asked); err != nil {
		return err
	}
	b.image, b.imageID, b.base = img.Name, img.ID, b.files.size()
	b.spec.Platform = d.Platform
	b.env = container.MergeEnv(container.MergeEnv([]string{defaultPath}, d.Config.Env), b.spec.Env)
	if b.dir = b.spec.WorkDir; b.dir == "" {
		b.dir = d.Config.WorkingDir
	}
	if b.dir == "" {
		b.dir = "/"
	}
	if b.spec.User == "" {
		b.spec.User = d.Config.User
	}
	if err := b.knows(b.spec.User); err != nil {
		return err
	}
	b.stop, b.volumes = d.Config.StopSignal, d.Config.Volumes
	maps.Copy(b.labels, d.Config.Labels)
	if b.spec.PublishAll {
		for _, port := range slices.Concat(d.Config.ExposedPorts, b.spec.Expose) {
			number, proto, _ := strings.Cut(port, "/")
			n, err := strconv.Atoi(number)
			if err != nil {
				return fault.New(fault.Invalid, "invalid containerPort: %s", port)
			}
			b.spec.Ports = append(b.spec.Ports, container.PortMapping{ContainerPort: n, Protocol: proto})
		}
	}
	return nil
}

// knows checks a user, in the words of the library that docker uses
// (moby/sys/user).
func (b *box) knows(user string) error {
	name, _, _ := strings.Cut(user, ":")
	if name == "" || name == "root" {
		return nil
	}
	if _, err := strconv.ParseUint(name, 10, 31); err == nil {
		return nil
	}
	if _, ok := b.account(name); ok {
		return nil
	}
	return fault.New(fault.Invalid, "unable to find user %s: no matching entries in passwd file", name).
		WithHint("the image has no such user: give a number, or make the user in the image")
}

// account looks a name or a number up in /etc/passwd.
func (b *box) account(who string) (fields []string, ok bool) {
	data, _ := b.files.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) > 3 && (f[0] == who || f[2] == who) {
			return f, true
		}
	}
	return nil, false
}

// Rename implements [container.Service].
func (s *Containers) Rename(ctx context.Context, ref, name string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "rename container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	if err != nil {
		return err
	}
	name = strings.TrimPrefix(name, "/")
	if err := container.ValidateName(name); err != nil {
		return err
	}
	if b.name == name {
		return fault.New(fault.Invalid, "Renaming a container with the same name as its current name")
	}
	if err := s.e.nameFree(name); err != nil {
		// moby, daemon/rename.go
		return fault.New(fault.Conflict, "Error when allocating new name").WithCause(err).WithHint("%s", fault.HintOf(err))
	}
	b.name = name
	return nil
}

// Update implements [container.Service].
func (s *Containers) Update(ctx context.Context, ref string, update container.Update) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "update container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	if err != nil {
		return err
	}
	r := b.spec.Resources
	update.Apply(&r)
	if err := r.Check(); err != nil {
		return err
	}
	b.spec.Resources = r
	return nil
}

// Remove implements [container.Service].
func (s *Containers) Remove(ctx context.Context, ref string, opts container.RemoveOptions) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "remove container", ref)
	}
	e := s.e
	for {
		e.mu.Lock()
		b, err := e.find(ref)
		if err != nil {
			e.mu.Unlock()
			return err
		}
		if !b.alive() {
			delete(e.boxes, b.id)
			if opts.Volumes {
				e.removeAnonymous(b)
			}
			close(b.gone)
			e.mu.Unlock()
			return nil
		}
		status, main := b.status, b.main
		e.mu.Unlock()
		if !opts.Force {
			return container.CannotRemove(ref, status)
		}
		ref = b.id
		main.end(137)
		<-main.done
	}
}

// Top implements [container.Service]. Of the arguments of ps(1) it knows -ef, aux
// and -o with a list of columns.
func (s *Containers) Top(ctx context.Context, ref string, args []string) (container.Processes, error) {
	if err := ctx.Err(); err != nil {
		return container.Processes{}, fault.Wrap(err, "list processes of container", ref)
	}
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	if err != nil {
		s.e.mu.Unlock()
		return container.Processes{}, err
	}
	alive, r := b.alive(), b.run
	s.e.mu.Unlock()
	if !alive {
		return container.Processes{}, container.NotRunning(b.id, ref)
	}
	columns, err := psColumns(args)
	if err != nil {
		return container.Processes{}, err
	}
	out := container.Processes{}
	for _, c := range columns {
		out.Titles = append(out.Titles, psTitles[c])
	}
	for _, p := range r.all() {
		var row []string
		for _, c := range columns {
			row = append(row, p.column(c))
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

var psTitles = map[string]string{
	"user": "USER", "uid": "UID", "pid": "PID", "ppid": "PPID", "c": "C", "stime": "STIME", "tty": "TTY", "time": "TIME", "cmd": "CMD",
	"%cpu": "%CPU", "%mem": "%MEM", "vsz": "VSZ", "rss": "RSS", "stat": "STAT", "start": "START", "command": "COMMAND",
	"args": "COMMAND", "comm": "COMMAND", "etime": "ELAPSED",
}

func psColumns(args []string) ([]string, error) {
	bad := func() ([]string, error) {
		return nil, fault.New(fault.Invalid, "ps: error: unsupported option (BSD syntax)").
			WithHint("the engine in memory knows -ef, aux and -o LIST")
	}
	switch joined := strings.Join(args, " "); {
	case joined == "", joined == "-ef":
		return []string{"uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"}, nil
	case joined == "aux" || joined == "-aux":
		return []string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "command"}, nil
	case strings.HasPrefix(joined, "-o") || strings.HasPrefix(joined, "-eo"):
		_, list, _ := strings.Cut(joined, "o")
		columns := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		for _, c := range columns {
			if psTitles[c] == "" {
				return bad()
			}
		}
		if !slices.Contains(columns, "pid") {
			return nil, fault.New(fault.Invalid, "Couldn't find PID field in ps output").WithHint("ask ps for the column pid, too")
		}
		return columns, nil
	}
	return bad()
}

func (p *process) column(name string) string {
	switch name {
	case "user", "uid":
		user, _, _ := strings.Cut(p.user, ":")
		if user == "" || user == "0" {
			return "root"
		}
		return user
	case "pid":
		return strconv.Itoa(p.hostPid)
	case "ppid":
		if p.ppid != 0 {
			for _, o := range p.run.all() {
				if o.pid == p.ppid {
					return strconv.Itoa(o.hostPid)
				}
			}
		}
		return "1"
	case "c", "vsz", "rss":
		return "0"
	case "%cpu", "%mem":
		return "0.0"
	case "stime", "start":
		return p.started.Format("15:04")
	case "tty":
		return "?"
	case "time", "etime":
		return "00:00:00"
	case "stat":
		return "S"
	case "comm":
		name := p.args[0]
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return strings.Join(p.args, " ")
}
