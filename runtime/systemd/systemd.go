// Package systemd asks and changes the units of systemd, the system's and those of a
// user.
//
// It runs systemctl, loginctl and journalctl, and reads what these print for programs
// (show, -o json), which every version has. A call is a fork, and the bus, its
// authentication and its older protocols are theirs. Each call blocks until its job is
// done or its context ends.
package systemd

import (
	"context"
	"encoding/json"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// Manager is the systemd of the system, or that of a user.
type Manager struct {
	// User is set for the manager of the user that nsh runs as.
	User bool
	// Run runs a program; nil is [host.Run].
	Run func(context.Context, host.Command) (host.Output, error)
}

// Unit is a unit of systemd as it is now.
type Unit struct {
	Name        string
	Description string
	LoadState   string // loaded, not-found, masked, error, …
	Active      string // active, inactive, failed, activating, …
	Sub         string // as the type of unit has it: running, exited, listening
	// Enabled tells whether it comes up at boot; State is the word for that: enabled,
	// disabled, static, masked, and "" for a unit without a file.
	Enabled bool
	State   string
	MainPID int // 0 when no process is the main one
	// Since is when it became active, zero when it is not.
	Since time.Time
	Path  string // of its file
	// Result is success, or how it failed: exit-code, signal, timeout, oom-kill.
	Result     string
	ExitStatus int // of the last main process
	Restarts   int
}

const properties = "Id,Description,LoadState,ActiveState,SubState,UnitFileState,MainPID,ActiveEnterTimestampMonotonic,FragmentPath,Result,ExecMainStatus,NRestarts"

func (m Manager) run(ctx context.Context, argv ...string) (host.Output, error) {
	run := m.Run
	if run == nil {
		run = host.Run
	}
	return run(ctx, host.Command{Argv: argv})
}

// systemctl runs one command of it and gives what it printed.
func (m Manager) systemctl(ctx context.Context, op, subject string, args ...string) (string, error) {
	argv := []string{"systemctl", "--no-pager", "--no-ask-password"}
	if m.User {
		argv = append(argv, "--user")
	}
	out, err := m.run(ctx, append(argv, args...)...)
	if fault.Is(err, fault.NotFound) {
		return "", m.absent(op, subject, "there is no systemctl here")
	}
	if err != nil {
		return "", err
	}
	if out.Code != 0 {
		return "", m.failure(op, subject, out)
	}
	return out.Stdout, nil
}

func (m Manager) absent(op, subject, why string) error {
	e := &fault.Error{Kind: fault.Unavailable, Op: op, Subject: subject, Message: why}
	if m.User {
		return e.WithHint("a user has a systemd in a session that logged in by itself (ssh, machinectl shell; not su or sudo -u), with dbus-user-session installed, or after systemd.linger(user, enable=True)")
	}
	return e.WithHint("this machine runs without systemd, as containers and some WSL do; systemd.available() tells before")
}

// failure makes an error of what systemctl says. The kinds are from its words, which
// are not translated in the language that programs are run in.
func (m Manager) failure(op, subject string, out host.Output) error {
	text := strings.TrimSpace(out.Stderr)
	line, _, _ := strings.Cut(text, "\n")
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	e := &fault.Error{Kind: fault.Exit, Op: op, Subject: subject, Message: line, Code: out.Code}
	switch {
	case has("not been booted with systemd", "Failed to connect to bus", "Failed to connect to user scope bus", "Failed to connect to system scope bus", "Host is down"):
		return m.absent(op, subject, line)
	case has("not found.", "not loaded.", "could not be found", "does not exist", "No such file or directory", "Failed to look up user"):
		e.Kind, e.Code = fault.NotFound, 0
		e.Hint = "systemd.units(\"*\") lists what is loaded; a new file needs systemd.daemon_reload()"
	case has("Access denied", "Permission denied", "authentication required", "not permitted"):
		e.Kind, e.Code = fault.Denied, 0
		e.Hint = "the system's units take root; those of a user are asked with user=True"
	case has("Invalid", "is masked", "Refusing"):
		e.Kind, e.Code = fault.Invalid, 0
	default:
		e.Hint = "systemd.logs(" + strconv.Quote(subject) + ") tells more"
	}
	if e.Message == "" {
		e.Message = "exit status " + strconv.Itoa(out.Code)
	}
	return e
}

// Available tells whether the manager answers.
func (m Manager) Available(ctx context.Context) (bool, error) {
	_, err := m.Version(ctx)
	switch fault.KindOf(err) {
	case "":
		return true, nil
	case fault.Unavailable, fault.Denied:
		return false, nil
	}
	return false, err
}

// Version is that of the manager that runs.
type Version struct {
	Number int    // 252
	Text   string // 252.39-1~deb12u2
	// State is running, degraded when a unit has failed, starting, …
	State string
}

// Version asks the manager.
func (m Manager) Version(ctx context.Context) (Version, error) {
	text, err := m.systemctl(ctx, "ask", "systemd", "show", "-p", "Version,SystemState")
	if err != nil {
		return Version{}, err
	}
	b := blocks(text)
	if len(b) == 0 || b[0]["Version"] == "" {
		return Version{}, m.absent("ask", "systemd", "it tells no version")
	}
	v := Version{Text: b[0]["Version"], State: b[0]["SystemState"]}
	digits := strings.IndexFunc(v.Text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(v.Text)
	}
	v.Number, _ = strconv.Atoi(v.Text[:digits])
	return v, nil
}

// Units are the loaded ones whose name fits a pattern of the shell, by name.
func (m Manager) Units(ctx context.Context, pattern string) ([]Unit, error) {
	text, err := m.systemctl(ctx, "list", "units", "show", "--all", "-p", properties, "--", pattern)
	if err != nil {
		return nil, err
	}
	return units(text, boot()), nil
}

// Status gives one unit. A name without a type is a service. A unit that is not there
// is not found.
func (m Manager) Status(ctx context.Context, name string) (Unit, error) {
	name, err := Name(name)
	if err != nil {
		return Unit{}, err
	}
	text, err := m.systemctl(ctx, "look at unit", name, "show", "-p", properties, "--", name)
	if err != nil {
		return Unit{}, err
	}
	list := units(text, boot())
	if len(list) == 0 || list[0].LoadState == "not-found" {
		return Unit{}, fault.New(fault.NotFound, "No such unit: %s", name).WithHint("systemd.units(\"*\") lists what is loaded; a new file needs systemd.daemon_reload()")
	}
	return list[0], nil
}

// boot is when the clock of the kernel that systemd counts by was 0.
func boot() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

// blocks reads what show prints: KEY=VALUE lines, and an empty line between units.
func blocks(text string) []map[string]string {
	var out []map[string]string
	var b map[string]string
	for l := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimRight(l, "\n"), "=")
		if !ok {
			b = nil
			continue
		}
		if b == nil {
			b = map[string]string{}
			out = append(out, b)
		}
		b[k] = v
	}
	return out
}

func units(text string, boot time.Time) []Unit {
	var out []Unit
	for _, b := range blocks(text) {
		u := Unit{Name: b["Id"], Description: b["Description"], LoadState: b["LoadState"], Active: b["ActiveState"], Sub: b["SubState"],
			State: b["UnitFileState"], Path: b["FragmentPath"], Result: b["Result"]}
		u.Enabled = u.State == "enabled" || u.State == "enabled-runtime"
		u.MainPID, _ = strconv.Atoi(b["MainPID"])
		u.ExitStatus, _ = strconv.Atoi(b["ExecMainStatus"])
		u.Restarts, _ = strconv.Atoi(b["NRestarts"])
		if us, err := strconv.ParseInt(b["ActiveEnterTimestampMonotonic"], 10, 53); err == nil && us > 0 && u.Active == "active" {
			u.Since = boot.Add(time.Duration(us) * time.Microsecond).Truncate(time.Millisecond)
		}
		if u.Name != "" {
			out = append(out, u)
		}
	}
	sortUnits(out)
	return out
}

// Do starts, stops, restarts, reloads, enables or disables a unit: the verbs of
// systemctl.
func (m Manager) Do(ctx context.Context, verb, name string) error {
	name, err := Name(name)
	if err != nil {
		return err
	}
	_, err = m.systemctl(ctx, verb, name, verb, "--", name)
	return err
}

// DaemonReload makes the manager read the files of units again.
func (m Manager) DaemonReload(ctx context.Context) error {
	_, err := m.systemctl(ctx, "reload", "systemd", "daemon-reload")
	return err
}

// Name gives the whole name of a unit: web is web.service.
func Name(name string) (string, error) {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(":-_.\\@", r))
	}
	if name == "" || len(name) > 255 || name[0] == '.' || strings.IndexFunc(name, bad) >= 0 {
		return "", fault.New(fault.Invalid, "%q is no name of a unit", name).WithHint("letters, digits and :-_.\\@ make one: web.service")
	}
	switch filepath.Ext(name) {
	case ".service", ".socket", ".timer", ".target", ".mount", ".automount", ".path", ".slice", ".scope", ".swap", ".device":
		return name, nil
	}
	return name + ".service", nil
}

// UnitPath is where the file of a unit belongs, or a drop-in of it:
// "user@.service.d/delegate.conf".
func (m Manager) UnitPath(name string) (string, error) {
	unit, part, dropIn := strings.Cut(name, ".d/")
	whole, err := Name(unit)
	if err != nil {
		return "", err
	}
	if dropIn {
		if _, err := Name(part); err != nil || !strings.HasSuffix(part, ".conf") {
			return "", fault.New(fault.Invalid, "%q is no drop-in of a unit", name).WithHint(`it is as "user@.service.d/delegate.conf"`)
		}
		whole += ".d/" + part
	}
	if !m.User {
		return "/etc/systemd/system/" + whole, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Wrap(err, "find the home of", "the user")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "systemd/user", whole), nil
}

// lingers has a file for each user whose manager runs without a session.
const lingers = "/var/lib/systemd/linger"

// Linger tells whether the units of a user run from boot on, without a session.
func Linger(name string) (bool, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") || name[0] == '.' || name[0] == '-' {
		return false, fault.New(fault.Invalid, "%q is no name of a user", name)
	}
	return host.Exists(filepath.Join(lingers, name))
}

// SetLinger switches that.
func (m Manager) SetLinger(ctx context.Context, name string, on bool) error {
	if _, err := Linger(name); err != nil {
		return err
	}
	verb := "disable-linger"
	if on {
		verb = "enable-linger"
	}
	out, err := m.run(ctx, "loginctl", "--no-ask-password", verb, "--", name)
	if fault.Is(err, fault.NotFound) {
		return Manager{}.absent(verb, name, "there is no loginctl here")
	}
	if err != nil {
		return err
	}
	if out.Code != 0 {
		err := Manager{}.failure(verb, name, out)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "No such user: %s", name)
		}
		return err
	}
	return nil
}

// CurrentUser is the name of who runs nsh.
func CurrentUser() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fault.Wrap(err, "find", "the user")
	}
	return u.Username, nil
}

// LogEntry is one line of the journal.
type LogEntry struct {
	Time    time.Time
	Message string
	// Priority is syslog's: 0 is the worst, 3 an error, 4 a warning, 6 information.
	Priority   int
	Unit       string
	Identifier string // the program's name for itself
	PID        int
}

// Logs gives the last lines of the journal about a unit, the oldest first.
func (m Manager) Logs(ctx context.Context, name string, lines int) ([]LogEntry, error) {
	name, err := Name(name)
	if err != nil {
		return nil, err
	}
	if lines < 1 || lines > 100000 {
		return nil, fault.New(fault.Invalid, "lines is a number from 1 to 100000, not %d", lines)
	}
	flag := "--unit=" + name
	if m.User {
		flag = "--user-unit=" + name
	}
	out, err := m.run(ctx, "journalctl", "--no-pager", "--quiet", "--output=json", "--lines="+strconv.Itoa(lines), flag)
	if fault.Is(err, fault.NotFound) {
		return nil, m.absent("read the journal of", name, "there is no journalctl here")
	}
	if err != nil {
		return nil, err
	}
	if out.Code != 0 {
		return nil, m.failure("read the journal of", name, out)
	}
	return entries(out.Stdout, name)
}

func entries(text, name string) ([]LogEntry, error) {
	var out []LogEntry
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() {
		var e map[string]any
		if err := d.Decode(&e); err != nil {
			return nil, fault.New(fault.Internal, "journalctl printed what is no JSON: %s", err)
		}
		word := func(keys ...string) string {
			for _, k := range keys {
				// A field may stand several times.
				v := e[k]
				if list, ok := v.([]any); ok && len(list) > 0 {
					if _, number := list[0].(float64); !number {
						v = list[0]
					}
				}
				switch v := v.(type) {
				case string:
					return v
				case []any: // bytes that are no text
					raw := make([]byte, 0, len(v))
					for _, b := range v {
						f, _ := b.(float64)
						raw = append(raw, byte(int(f)))
					}
					return string(raw)
				}
			}
			return ""
		}
		us, _ := strconv.ParseInt(word("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"), 10, 64)
		l := LogEntry{Time: time.UnixMicro(us), Message: word("MESSAGE"), Unit: word("UNIT", "USER_UNIT", "_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT"), Identifier: word("SYSLOG_IDENTIFIER", "_COMM")}
		if l.Unit == "" {
			l.Unit = name
		}
		l.Priority = 6
		if p, err := strconv.Atoi(word("PRIORITY")); err == nil {
			l.Priority = p
		}
		l.PID, _ = strconv.Atoi(word("_PID", "SYSLOG_PID"))
		out = append(out, l)
	}
	return out, nil
}

func sortUnits(list []Unit) {
	slices.SortFunc(list, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
}
