package memory

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nsh/runtime/container"
)

// builtins are the programs that every engine knows. What they leave out of
// POSIX they refuse, with status 1 or 2 and a word on standard error.
func builtins() map[string]program {
	all := map[string]Program{
		"true":     func(context.Context, *Process) int { return 0 },
		"false":    func(context.Context, *Process) int { return 1 },
		"echo":     echo,
		"printf":   byShell,
		"test":     byShell,
		"[":        byShell,
		"cat":      cat,
		"head":     head,
		"wc":       wc,
		"sleep":    sleepProgram,
		"env":      env,
		"printenv": printenv,
		"pwd":      func(_ context.Context, p *Process) int { return p.say(p.Dir) },
		"id":       id,
		"whoami":   func(_ context.Context, p *Process) int { name, _ := p.account(); return p.say(name) },
		"hostname": hostname,
		"uname":    uname,
		"kill":     kill,
		"tail":     tail,
		"seq":      seq,
		"date":     date,
		"ls":       ls,
		"mkdir":    mkdir,
		"touch":    touch,
		"rm":       rm,
		"cp":       cp,
		"yes":      yes,
	}
	for _, name := range []string{"sh", "ash", "bash", "dash"} {
		all[name] = shell
	}
	out := map[string]program{}
	for name, p := range all {
		out[name] = program{run: p}
	}
	out["busybox"] = program{run: func(ctx context.Context, p *Process) int {
		if len(p.Args) < 2 || all[p.Args[1]] == nil {
			return p.complain(127, "%s: applet not found", strings.Join(p.Args[1:], " "))
		}
		p.Args = p.Args[1:]
		return all[p.Args[0]](ctx, p)
	}}
	return out
}

func (p *Process) say(s string) int {
	if _, err := fmt.Fprintln(p.Stdout, s); err != nil {
		return 1
	}
	return 0
}

// complain writes what is wrong behind the program's name.
func (p *Process) complain(code int, format string, args ...any) int {
	fmt.Fprintf(p.Stderr, "%s: %s\n", path.Base(p.Args[0]), fmt.Sprintf(format, args...))
	return code
}

// path of a file that is named from the working directory.
func (p *Process) path(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(p.Dir, name)
}

// server is what an unknown program is.
var server = program{serve, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}}

func serve(ctx context.Context, p *Process) int {
	select {
	case <-p.Catch():
		return 0
	case <-ctx.Done():
		return 137
	}
}

func echo(_ context.Context, p *Process) int {
	args, end := p.Args[1:], "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	if _, err := io.WriteString(p.Stdout, strings.Join(args, " ")+end); err != nil {
		return 1
	}
	return 0
}

// inputs calls fn for each file that is named, or for standard input.
func (p *Process) inputs(names []string, fn func(r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := 0
	for _, name := range names {
		r := p.Stdin
		if name != "-" {
			data, err := p.Files.ReadFile(p.path(name))
			if err != nil {
				code = p.complain(1, "can't open '%s': %s", name, errno(err))
				continue
			}
			r = bytes.NewReader(data)
		}
		if err := fn(r); err != nil {
			return 1
		}
	}
	return code
}

func cat(_ context.Context, p *Process) int {
	return p.inputs(p.Args[1:], func(r io.Reader) error {
		_, err := io.Copy(p.Stdout, r)
		return err
	})
}

// count takes the -n of head and tail.
func (p *Process) count() (n int, follow bool, names []string, ok bool) {
	n = 10
	args := p.Args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		switch opt := args[0]; {
		case opt == "-f" || opt == "-F":
			follow = true
		case opt == "-n" && len(args) > 1:
			args = args[1:]
			opt = "-" + args[0]
			fallthrough
		default:
			var err error
			if n, err = strconv.Atoi(strings.TrimLeft(strings.TrimPrefix(opt, "-n"), "-+")); err != nil {
				return 0, false, nil, false
			}
		}
		args = args[1:]
	}
	return n, follow, args, true
}

func head(_ context.Context, p *Process) int {
	n, _, names, ok := p.count()
	if !ok {
		return p.complain(1, "invalid option")
	}
	return p.inputs(names, func(r io.Reader) error {
		lines := bufio.NewReader(r)
		for range n {
			line, err := lines.ReadString('\n')
			if _, werr := io.WriteString(p.Stdout, line); werr != nil {
				return werr
			}
			if err != nil {
				break
			}
		}
		return nil
	})
}

func tail(ctx context.Context, p *Process) int {
	n, follow, names, ok := p.count()
	if !ok {
		return p.complain(1, "invalid option")
	}
	if len(names) == 1 && names[0] == "/dev/null" {
		names = []string{"-"}
		p.Stdin = strings.NewReader("")
	}
	code := p.inputs(names, func(r io.Reader) error {
		data, err := io.ReadAll(r)
		lines := bytes.SplitAfter(data, []byte("\n"))
		if len(lines[len(lines)-1]) == 0 {
			lines = lines[:len(lines)-1]
		}
		for _, l := range lines[max(0, len(lines)-n):] {
			if _, err := p.Stdout.Write(l); err != nil {
				return err
			}
		}
		return err
	})
	if follow && code == 0 {
		<-ctx.Done()
	}
	return code
}

func wc(_ context.Context, p *Process) int {
	args, only := p.Args[1:], ""
	if len(args) > 0 && len(args[0]) == 2 && strings.Contains("-l -w -c", args[0]) {
		args, only = args[1:], args[0]
	}
	return p.inputs(args, func(r io.Reader) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		l, w, c := bytes.Count(data, []byte("\n")), len(bytes.Fields(data)), len(data)
		switch only {
		case "-l":
			p.say(strconv.Itoa(l))
		case "-w":
			p.say(strconv.Itoa(w))
		case "-c":
			p.say(strconv.Itoa(c))
		default:
			p.say(fmt.Sprintf("%7d %7d %7d", l, w, c))
		}
		return nil
	})
}

func sleepProgram(ctx context.Context, p *Process) int {
	if len(p.Args) < 2 {
		return p.complain(1, "missing operand")
	}
	var sum time.Duration
	for _, s := range p.Args[1:] {
		if s == "infinity" || s == "inf" {
			<-ctx.Done()
			return 1
		}
		unit := time.Second
		if i := strings.IndexByte("smhd", s[max(0, len(s)-1)]); i >= 0 {
			unit, s = [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[i], s[:len(s)-1]
		}
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || n < 0 || n > 1e9 {
			return p.complain(1, "invalid number '%s'", s)
		}
		sum += time.Duration(n * float64(unit))
	}
	if p.Sleep(ctx, sum) != nil {
		return 1
	}
	return 0
}

func env(ctx context.Context, p *Process) int {
	args, vars := p.Args[1:], p.Env
	for len(args) > 0 {
		switch {
		case args[0] == "-i":
			vars = nil
		case args[0] == "-u" && len(args) > 1:
			vars = container.MergeEnv(vars, args[1:2])
			args = args[1:]
		case strings.Contains(args[0], "="):
			vars = container.MergeEnv(vars, args[:1])
		default:
			return p.Spawn(ctx, args, vars, p.Dir, p.Stdin, p.Stdout, p.Stderr)
		}
		args = args[1:]
	}
	for _, kv := range vars {
		p.say(kv)
	}
	return 0
}

func printenv(_ context.Context, p *Process) int {
	if len(p.Args) == 1 {
		for _, kv := range p.Env {
			p.say(kv)
		}
		return 0
	}
	code := 0
	for _, name := range p.Args[1:] {
		if v := p.Getenv(name); v != "" {
			p.say(v)
		} else {
			code = 1
		}
	}
	return code
}

// account gives name and number of the process's user.
func (p *Process) account() (name, uid string) {
	who, _, _ := strings.Cut(p.User, ":")
	if who == "" || who == "root" || who == "0" {
		return "root", "0"
	}
	if f, ok := p.box.account(who); ok {
		return f[0], f[2]
	}
	return who, who
}

func id(_ context.Context, p *Process) int {
	name, uid := p.account()
	gid := "0"
	if _, g, ok := strings.Cut(p.User, ":"); ok {
		gid = g
	} else if f, ok := p.box.account(name); ok {
		gid = f[3]
	}
	switch strings.Join(p.Args[1:], " ") {
	case "":
		return p.say(fmt.Sprintf("uid=%s(%s) gid=%s", uid, name, gid))
	case "-u":
		return p.say(uid)
	case "-g":
		return p.say(gid)
	case "-un", "-u -n":
		return p.say(name)
	}
	return p.complain(1, "unrecognized option")
}

func hostname(_ context.Context, p *Process) int {
	data, _ := p.Files.ReadFile("/etc/hostname")
	return p.say(strings.TrimSpace(string(data)))
}

func uname(_ context.Context, p *Process) int {
	arch := "x86_64"
	if strings.HasPrefix(p.box.spec.Platform, "linux/arm64") {
		arch = "aarch64"
	}
	data, _ := p.Files.ReadFile("/etc/hostname")
	host := strings.TrimSpace(string(data))
	switch strings.Join(p.Args[1:], " ") {
	case "", "-s":
		return p.say("Linux")
	case "-n":
		return p.say(host)
	case "-m":
		return p.say(arch)
	case "-r":
		return p.say("0.0.0-nsh")
	case "-a":
		return p.say("Linux " + host + " 0.0.0-nsh #1 SMP " + arch + " GNU/Linux")
	}
	return p.complain(1, "unrecognized option")
}

func kill(_ context.Context, p *Process) int {
	args, sig := p.Args[1:], "TERM"
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		sig, args = strings.TrimPrefix(args[0], "-"), args[1:]
		if sig == "s" && len(args) > 0 {
			sig, args = args[0], args[1:]
		}
	}
	var n syscall.Signal
	if sig != "0" {
		var err error
		if n, err = container.ParseSignal(sig); err != nil {
			return p.complain(1, "bad signal name '%s'", sig)
		}
	}
	if len(args) == 0 {
		return p.complain(1, "you need to specify whom to kill")
	}
	code := 0
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		p.run.mu.Lock()
		to := p.run.procs[pid]
		p.run.mu.Unlock()
		switch {
		case err != nil:
			code = p.complain(1, "invalid number '%s'", a)
		case to == nil || n != 0 && !to.fromInside(n):
			code = p.complain(1, "can't kill pid %s: No such process", a)
		}
	}
	return code
}

// fromInside is a signal of another process of the namespace: not even SIGKILL
// ends the main one then (pid_namespaces(7)).
func (p *process) fromInside(s syscall.Signal) bool {
	if s == syscall.SIGKILL && p.immune {
		return true
	}
	return p.signal(s)
}

func seq(ctx context.Context, p *Process) int {
	first, last := 1, 0
	var nums []int
	for _, a := range p.Args[1:] {
		n, err := strconv.Atoi(a)
		if err != nil {
			return p.complain(1, "invalid number '%s'", a)
		}
		nums = append(nums, n)
	}
	step := 1
	switch len(nums) {
	case 1:
		last = nums[0]
	case 2:
		first, last = nums[0], nums[1]
	case 3:
		first, step, last = nums[0], nums[1], nums[2]
	default:
		return p.complain(1, "needs 1 to 3 numbers")
	}
	if step == 0 {
		return p.complain(1, "increment is 0")
	}
	for i := first; (step > 0 && i <= last || step < 0 && i >= last) && ctx.Err() == nil; i += step {
		if p.say(strconv.Itoa(i)) != 0 {
			return 1
		}
	}
	return 0
}

func date(_ context.Context, p *Process) int {
	now := p.Now().UTC()
	switch strings.Join(p.Args[1:], " ") {
	case "", "-u":
		return p.say(now.Format("Mon Jan _2 15:04:05 UTC 2006"))
	case "+%s":
		return p.say(strconv.FormatInt(now.Unix(), 10))
	case "+%F":
		return p.say(now.Format("2006-01-02"))
	case "+%T":
		return p.say(now.Format("15:04:05"))
	}
	return p.complain(1, "unrecognized option")
}

func ls(_ context.Context, p *Process) int {
	args := p.Args[1:]
	if len(args) > 0 && args[0] == "-1" {
		args = args[1:]
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	code := 0
	for _, a := range args {
		entries, err := p.Files.ReadDir(p.path(a))
		if st, serr := p.Files.Stat(p.path(a)); serr == nil && !st.IsDir() {
			p.say(a)
			continue
		}
		if err != nil {
			code = p.complain(1, "%s: %s", a, errno(err))
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				p.say(e.Name())
			}
		}
	}
	return code
}

func mkdir(_ context.Context, p *Process) int {
	args, parents := p.Args[1:], false
	if len(args) > 0 && args[0] == "-p" {
		args, parents = args[1:], true
	}
	code := 0
	for _, a := range args {
		full := p.path(a)
		if !parents {
			if _, err := p.Files.Stat(full); err == nil {
				code = p.complain(1, "can't create directory '%s': File exists", a)
				continue
			}
			if _, err := p.Files.Stat(path.Dir(full)); err != nil {
				code = p.complain(1, "can't create directory '%s': %s", a, errno(err))
				continue
			}
		}
		if err := p.Files.MkdirAll(full); err != nil {
			code = p.complain(1, "can't create directory '%s': %s", a, errno(err))
		}
	}
	return code
}

func touch(_ context.Context, p *Process) int {
	code := 0
	for _, a := range p.Args[1:] {
		if _, err := p.Files.Stat(p.path(a)); err == nil {
			continue
		}
		if err := p.Files.WriteFile(p.path(a), nil, 0o644); err != nil {
			code = p.complain(1, "%s: %s", a, errno(err))
		}
	}
	return code
}

func rm(_ context.Context, p *Process) int {
	args, force, recursive := p.Args[1:], false, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		force = force || strings.Contains(args[0], "f")
		recursive = recursive || strings.ContainsAny(args[0], "rR")
		args = args[1:]
	}
	code := 0
	for _, a := range args {
		st, err := p.Files.Lstat(p.path(a))
		switch {
		case err == nil && st.IsDir() && !recursive:
			code = p.complain(1, "'%s' is a directory", a)
			continue
		case err == nil:
			err = p.Files.Remove(p.path(a))
		case force:
			err = nil
		}
		if err != nil {
			code = p.complain(1, "can't remove '%s': %s", a, errno(err))
		}
	}
	return code
}

func cp(_ context.Context, p *Process) int {
	if len(p.Args) != 3 {
		return p.complain(1, "needs a file and where to copy it to")
	}
	data, err := p.Files.ReadFile(p.path(p.Args[1]))
	if err != nil {
		return p.complain(1, "can't stat '%s': %s", p.Args[1], errno(err))
	}
	st, err := p.Files.Stat(p.path(p.Args[1]))
	if err != nil {
		return p.complain(1, "can't stat '%s': %s", p.Args[1], errno(err))
	}
	to := p.path(p.Args[2])
	if d, err := p.Files.Stat(to); err == nil && d.IsDir() {
		to = path.Join(to, path.Base(p.Args[1]))
	}
	if err := p.Files.WriteFile(to, data, st.Mode()); err != nil {
		return p.complain(1, "can't create '%s': %s", p.Args[2], errno(err))
	}
	return 0
}

func yes(ctx context.Context, p *Process) int {
	word := "y"
	if len(p.Args) > 1 {
		word = strings.Join(p.Args[1:], " ")
	}
	for ctx.Err() == nil {
		if p.say(word) != 0 {
			return 1
		}
	}
	return 1
}
