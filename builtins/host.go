package builtins

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/host"
	"nsh/runtime/plan"
)

// machine is where the state of the system is read.
const machine = host.Tree("/")

// hostFunc is the body of a function of a module: what it returns becomes a value.
type hostFunc func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error)

// moduleFunc makes one of its signature and docstring.
func moduleFunc(env *Env, signature, doc string, fn hostFunc) *lang.Builtin {
	return lang.Func(signature, doc, func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := fn(lang.Context(thread), b.Name(), args, kwargs)
		if err != nil {
			return nil, err
		}
		return ToStarlark(env, v)
	})
}

// asking is a function without arguments that reads the state of the host.
func asking[T any](ask func() (T, error)) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		if err := lang.UnpackArgs(name, args, kwargs); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		return ask()
	}
}

func hostModule(env *Env) *lang.Module {
	f := func(signature, doc string, fn hostFunc) *lang.Builtin { return moduleFunc(env, signature, doc, fn) }
	return lang.NewModule("host", "the machine nsh runs on: programs, files, settings",
		f(`host.run(*argv, check=True, stdin="", env={}, cwd="", timeout=None, reads=False) -> result`, `Runs a program and gives its result: code, stdout, stderr, ok.

There is no shell in between, and no terminal: what asks for a password fails. The environment is small: PATH with the directories of sbin behind it, HOME, USER, LANG=C.UTF-8, TERM, TMPDIR, XDG_RUNTIME_DIR, the bus and the proxies; env adds to it. A program that writes more than 16 MiB is ended, and so is all it started when the script ends. A plan notes it and does not run it.

Args:
  argv: words, or one list
  check: a code other than 0 is a failure of kind exit
  stdin: what it reads
  env: a dict of further variables; a sandbox has to allow any program then
  cwd: the directory it runs in
  timeout: how long it may take; None: as long as it likes
  reads: it changes nothing: a plan runs it too
Example:
  print(host.run("uname", "-s", reads = True).stdout)`, hostRun),
		f(`host.read(path, max="16m") -> string`, `Gives the text of a file.

In a plan it is the text that the file would have by then.

Args:
  path: a file; a link is followed
  max: a longer file is a failure
Example:
  print(len(host.read("/proc/version")) > 0)`, hostRead),
		f(`host.write(path, text, mode=None, mkdir=False) -> bool`, `Makes a file hold a text, and tells whether that changed anything.

It is written beside the old one and takes its place at once, when it is on the disk. It keeps the owner, mode and attributes of the old one. A link is followed, and a sandbox is asked for where it leads; one that leads nowhere is a conflict. Settings in /proc and /sys, and what something is mounted on, are written in place.

Args:
  path: a file
  text: all of it
  mode: 0o644, …; None: as it is, 0o644 for a new file
  mkdir: make the directories above it
Example:
  defer(host.remove, "/tmp/nsh-example")
  print(host.write("/tmp/nsh-example", "text"), host.write("/tmp/nsh-example", "text"))`, hostWrite),
		f(`host.ensure_line(path, line, match="") -> bool`, `Makes sure that a file has a line, and tells whether that changed anything.

Args:
  path: a file; a new one is made when there is none
  line: the line, without its end
  match: a regular expression: the last line that it finds is replaced; "": the line goes to the end
Example:
  defer(host.remove, "/tmp/nsh-example.conf")
  print(host.ensure_line("/tmp/nsh-example.conf", "level = 2", match = "^level *="))`, hostEnsureLine),
		f(`host.remove(path, recursive=False) -> bool`, `Removes a file, a link or an empty directory, and tells whether there was one.

Args:
  path: what goes; of a link it is the link itself
  recursive: a directory goes with what is in it
Example:
  print(host.remove("/tmp/nsh-example-that-is-not-there"))`, hostRemove),
		f(`host.exists(path) -> bool`, `Tells whether a path leads to something.

Args:
  path: of a file or directory
Example:
  print(host.exists("/proc"))`, hostExists),
		f(`host.list(dir) -> list`, `Gives the names in a directory, sorted.

Args:
  dir: a directory
Example:
  print("self" in host.list("/proc"))`, hostList),
		f(`host.stat(path) -> file`, `Gives what is known of a file without reading it.

It has path, type (file, directory, link, …), size, mode, setuid, uid, gid, target (of a link), modified, inode, device, capabilities, filesystem, executable and writable.

Args:
  path: a file; of a link it is the link itself
Example:
  print(host.stat("/proc/version").filesystem)`, hostStat),
		f(`host.disk(path) -> disk`, `Gives the room where a path lies: size, free, inodes, inodes_free, filesystem.

Args:
  path: a file or directory
Example:
  print(host.disk("/").free > 0)`, hostDisk),
		f(`host.which(name) -> string`, `Finds a program, also in the directories of sbin that a plain user's PATH lacks.

It is None when there is none.

Args:
  name: of a program
Example:
  print(host.which("sh") != None)`, hostWhich),
		f(`host.env(name, default=None) -> string`, `Gives a variable of the environment that nsh was started with.

Args:
  name: of the variable
  default: what it is when it is not set
Example:
  print(host.env("NO_SUCH_VARIABLE", default = "none"))`, hostEnv),
		f(`host.sysctl(name, value=None, persist=False)`, `Gives a setting of the kernel, or changes it and tells whether that changed anything.

Args:
  name: "net.ipv4.ip_forward"
  value: a text or a number; None: only give it
  persist: also at the next boot: in `+host.SysctlFile+`
Example:
  print(host.sysctl("kernel.ostype"))`, hostSysctl),
		f(`host.user(name="") -> user`, `Gives a user: name, uid, gid, home, shell, groups.

Args:
  name: or the number; "": who runs nsh
Example:
  print(host.user("root").uid)`, hostUser),
		f(`host.subids(user="") -> sub_ids`, `Gives the subordinate ids of a user: uids and gids (each with start and count), uid_count, gid_count, source, overlaps.

A user without any has empty lists. Rootless containers want 65536.

Args:
  user: a name; "": who runs nsh
Example:
  print(host.subids().uid_count >= 0)`, hostSubIDs),
		f(`host.info() -> info`, `Tells what the machine is: hostname, os, distro, distro_version, kernel, arch, cpus, memory, init, virtualization, lsm, cgroup, program, rootless and more.

cgroup has version, controllers, and delegated: what a manager of this user may use.

Example:
  print(host.info().cgroup.version)`, asking(func() (host.Info, error) { return machine.Info(), nil })),
		f(`host.mounts() -> list`, `Lists what is mounted: target, source, root, type, options, propagation, read_only.

Example:
  print([m.type for m in host.mounts() if m.target == "/proc"])`, asking(machine.Mounts)),
		f(`host.modules() -> list`, `Lists the modules of the kernel that are loaded or built in: name, size, uses, used_by, state.

Example:
  print("overlay" in [m.name for m in host.modules()])`, asking(machine.Modules)),
		f(`host.processes() -> list`, `Lists the processes that can be seen: pid, parent, name, command, uid, state, memory, cgroup.

Example:
  print(len(host.processes()) > 0)`, asking(machine.Processes)))
}

// resolved asks a permission for where a path really leads, and gives that.
func resolved(ctx context.Context, p lang.Permission, name, path string, resolve func(string) (string, error)) (string, error) {
	real, err := resolve(path)
	if err != nil {
		// Who may not look does not learn why it failed.
		abs, aerr := filepath.Abs(path)
		if aerr != nil {
			return "", fault.Wrap(aerr, name, path)
		}
		if perr := lang.Require(ctx, p, name, abs); perr != nil {
			return "", perr
		}
		return "", err
	}
	return real, lang.Require(ctx, p, name, real)
}

func hostRun(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	check, reads := true, false
	var stdin, cwd string
	var env KeyValues
	var timeout lang.Duration
	kwargs, err := revealed(name, kwargs, "env", "stdin")
	if err != nil {
		return nil, err
	}
	if err := lang.UnpackArgs(name, nil, kwargs, "check?", &check, "stdin?", &stdin, "env?", &env, "cwd?", &cwd, "timeout??", &timeout, "reads?", &reads); err != nil {
		return nil, err
	}
	var argv []string
	if err := setVariadic(reflect.ValueOf(&argv).Elem(), args); err != nil {
		return nil, fault.New(fault.Invalid, "%s: for parameter \"argv\": %v", name, err)
	}
	if len(argv) == 0 {
		return nil, fault.New(fault.Invalid, "%s: no program is named", name).WithHint(`host.run("uname", "-r")`)
	}
	for _, kv := range env {
		if variable, _, ok := strings.Cut(kv, "="); !ok || variable == "" {
			return nil, fault.New(fault.Invalid, "%s: %q of env has no value", name, kv).WithHint(`env is as {"NAME": "value"}`)
		}
	}
	program := argv[0]
	if len(env) > 0 || cwd != "" && strings.Contains(program, "/") && !filepath.IsAbs(program) {
		// A PATH, a LD_PRELOAD or a directory of the script's own choice makes the name
		// mean another program.
		program = ""
	}
	if err := lang.Require(ctx, lang.HostExec, name, program); err != nil {
		return nil, err
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = shellWord(w)
	}
	line := strings.Join(words, " ")
	if p := plan.From(ctx); p != nil && !reads {
		p.Add(plan.Change{Action: "run", Kind: "host", Name: ellipsis(line, 200), Command: line})
		return plannedResult{line}, nil
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(timeout))
		defer cancel()
	}
	out, err := host.Run(ctx, host.Command{Argv: argv, Stdin: stdin, Env: env, Dir: cwd})
	if err != nil {
		return nil, err
	}
	r := Result{Code: out.Code, Stdout: out.Stdout, Stderr: out.Stderr}
	if check {
		if err := r.Err("run", line); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// shellWord writes a word as one would type it.
func shellWord(w string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if w != "" && strings.IndexFunc(w, func(r rune) bool { return !plain(r) }) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

func hostRead(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	max := Bytes(16 << 20)
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path, "max?", &max); err != nil {
		return nil, err
	}
	if max < 0 || max > 1<<30 {
		return nil, fault.New(fault.Invalid, "%s: max is a size up to 1g", name)
	}
	p := filesOf(plan.From(ctx))
	real, err := resolved(ctx, lang.HostRead, name, path, host.Resolve)
	if err != nil {
		return nil, err
	}
	return p.read(real, int64(max))
}

// writeFile is host.Write, or a note of it in a plan.
func writeFile(ctx context.Context, real, text string, o host.WriteOptions) (bool, error) {
	pl := plan.From(ctx)
	if pl == nil {
		return host.Write(real, text, o)
	}
	p := filesOf(pl)
	old, err := p.read(real, 1<<30)
	change := plan.Change{Action: "update", Kind: "file", Name: real}
	switch {
	case fault.Is(err, fault.NotFound):
		change.Action = "create"
		if there, err := p.exists(filepath.Dir(real)); err == nil && !there && !o.Mkdir {
			e := &fault.Error{Kind: fault.NotFound, Op: "write", Subject: real, Message: "no such file or directory"}
			return false, e.WithHint("mkdir=True makes the directory")
		}
	case err != nil && !fault.Is(err, fault.Denied):
		return false, err
	}
	if change.Action == "create" || old != text {
		change.Fields = append(change.Fields, textDiff(old, text))
	}
	if o.Mode != nil {
		mode := ""
		if info, err := os.Lstat(real); err == nil {
			mode = info.Mode().String()
		}
		if want := o.Mode.String(); mode != want {
			change.Fields = append(change.Fields, plan.Field{Name: "mode", From: mode, To: want})
		}
	}
	if len(change.Fields) == 0 {
		return false, nil
	}
	pl.Add(change)
	p.write(real, text)
	return true, nil
}

func hostWrite(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	var text starlark.Value
	var mode *int
	var number starlark.Value
	mkdir := false
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path, "text", &text, "mode??", &number, "mkdir?", &mkdir); err != nil {
		return nil, err
	}
	data, ok := starlark.AsString(text)
	if b, isBytes := text.(starlark.Bytes); isBytes {
		data, ok = string(b), true
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "%s: for parameter \"text\": %v", name, wants(text, "string"))
	}
	o := host.WriteOptions{Mkdir: mkdir}
	if number != nil && number != starlark.None {
		n, err := starlark.AsInt32(number)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: for parameter \"mode\": %v", name, wants(number, "int"))
		}
		mode = &n
	}
	if mode != nil {
		m, err := host.ModeOf(*mode)
		if err != nil {
			return nil, err
		}
		o.Mode = &m
	}
	real, err := resolved(ctx, lang.HostWrite, name, path, host.Resolve)
	if err != nil {
		return nil, err
	}
	return writeFile(ctx, real, data, o)
}

func hostEnsureLine(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path, line, match string
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path, "line", &line, "match?", &match); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostWrite, name, path, host.Resolve)
	if err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, real); err != nil {
		return nil, err
	}
	old, err := filesOf(plan.From(ctx)).read(real, 16<<20)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	text, err := host.EnsureLine(old, line, match)
	if err != nil {
		return nil, err
	}
	if text == old {
		return false, nil
	}
	return writeFile(ctx, real, text, host.WriteOptions{})
}

func hostRemove(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	recursive := false
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path, "recursive?", &recursive); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostWrite, name, path, host.ResolveParent)
	if err != nil {
		return nil, err
	}
	pl := plan.From(ctx)
	if pl == nil {
		return host.Remove(real, recursive)
	}
	p := filesOf(pl)
	_, written, gone := p.get(real)
	added, _ := p.below(real)
	if _, err := os.Lstat(real); !written && len(added) == 0 && (gone || err != nil) {
		return false, nil
	}
	if names, err := p.list(real); err == nil && len(names) > 0 && !recursive {
		return nil, &fault.Error{Kind: fault.Conflict, Op: "remove", Subject: real, Message: "the directory is not empty", Hint: "recursive=True removes what is in it"}
	}
	pl.Add(plan.Change{Action: "remove", Kind: "file", Name: real})
	p.remove(real)
	return true, nil
}

func hostExists(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostRead, name, path, host.Resolve)
	switch fault.KindOf(err) {
	case "":
	case fault.NotFound, fault.Conflict: // a link that leads nowhere
		return false, nil
	default:
		return nil, err
	}
	return filesOf(plan.From(ctx)).exists(real)
}

func hostList(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var dir string
	if err := lang.UnpackArgs(name, args, kwargs, "dir", &dir); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostRead, name, dir, host.Resolve)
	if err != nil {
		return nil, err
	}
	return filesOf(plan.From(ctx)).list(real)
}

func hostStat(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostRead, name, path, host.ResolveParent)
	if err != nil {
		return nil, err
	}
	if _, written, gone := filesOf(plan.From(ctx)).get(real); written || gone {
		return nil, plan.NotKnown("what " + real + " is")
	}
	return host.Stat(real)
}

func hostDisk(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var path string
	if err := lang.UnpackArgs(name, args, kwargs, "path", &path); err != nil {
		return nil, err
	}
	real, err := resolved(ctx, lang.HostRead, name, path, host.Resolve)
	if err != nil {
		return nil, err
	}
	return host.DiskOf(real)
}

func hostWhich(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var program string
	if err := lang.UnpackArgs(name, args, kwargs, "name", &program); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	if file := host.Which(program); file != "" {
		return file, nil
	}
	return nil, nil
}

func hostEnv(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var variable string
	var def starlark.Value = starlark.None
	if err := lang.UnpackArgs(name, args, kwargs, "name", &variable, "default?", &def); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	if v, ok := os.LookupEnv(variable); ok {
		return v, nil
	}
	return def, nil
}

func hostSysctl(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var key string
	var value starlark.Value = starlark.None
	persist := false
	if err := lang.UnpackArgs(name, args, kwargs, "name", &key, "value?", &value, "persist??", &persist); err != nil {
		return nil, err
	}
	path, err := host.SysctlPath(key)
	if err != nil {
		return nil, err
	}
	path = "/" + path
	p := plan.From(ctx)
	if err := lang.Require(ctx, lang.HostRead, name, path); err != nil {
		return nil, err
	}
	if value == starlark.None {
		if persist {
			return nil, fault.New(fault.Invalid, "%s: persist wants a value", name)
		}
		if text, ok, _ := filesOf(p).get(path); ok {
			return text, nil
		}
		return machine.Sysctl(key)
	}
	var text string
	switch v := value.(type) {
	case starlark.String:
		text = string(v)
	case starlark.Int:
		text = v.String()
	default:
		return nil, fault.New(fault.Invalid, "%s: for parameter \"value\": %v", name, wants(v, "string or int"))
	}
	if strings.ContainsAny(text, "\n\x00") {
		return nil, fault.New(fault.Invalid, "%s: %q is more than one line", name, text)
	}
	if err := lang.Require(ctx, lang.HostWrite, name, path); err != nil {
		return nil, err
	}
	changed := false
	if p == nil {
		changed, err = machine.SetSysctl(key, text)
	} else {
		changed, err = planSysctl(p, key, path, text)
	}
	if err != nil || !persist {
		return changed, err
	}
	real, err := resolved(ctx, lang.HostWrite, name, host.SysctlFile, host.Resolve)
	if err != nil {
		return nil, err
	}
	old, err := filesOf(p).read(real, 1<<20)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if more := host.PersistSysctl(old, key, text); more != old {
		kept, err := writeFile(ctx, real, more, host.WriteOptions{Mkdir: true})
		return changed || kept, err
	}
	return changed, nil
}

func planSysctl(p *plan.Plan, key, path, value string) (bool, error) {
	files := filesOf(p)
	old, planned, _ := files.get(path)
	if !planned {
		var err error
		if old, err = machine.Sysctl(key); err != nil {
			return false, err
		}
	}
	if host.SameSetting(old, value) {
		return false, nil
	}
	p.Add(plan.Change{Action: "set", Kind: "host", Name: key, Fields: []plan.Field{{Name: "value", From: old, To: value}}})
	files.write(path, value)
	return true, nil
}

func hostUser(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var who starlark.Value = starlark.String("")
	if err := lang.UnpackArgs(name, args, kwargs, "name?", &who); err != nil {
		return nil, err
	}
	text, ok := starlark.AsString(who)
	if n, isInt := who.(starlark.Int); isInt {
		text, ok = n.String(), true
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "%s: for parameter \"name\": %v", name, wants(who, "string or int"))
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	return machine.LookupUser(ctx, text)
}

func hostSubIDs(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	var who string
	if err := lang.UnpackArgs(name, args, kwargs, "user?", &who); err != nil {
		return nil, err
	}
	if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
		return nil, err
	}
	u, err := machine.LookupUser(ctx, who)
	if err != nil {
		return nil, err
	}
	return machine.SubIDs(ctx, u)
}
