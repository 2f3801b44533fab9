package builtins

import (
	"context"
	"path"
	"sync"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/host"
	"nsh/runtime/plan"
	"nsh/runtime/systemd"
)

// newManager is systemd as the scripts meet it; tests put another in its place.
type newManager func(user bool) systemd.Manager

func systemdModule(env *Env, manager newManager) *lang.Module {
	f := func(signature, doc string, fn hostFunc) *lang.Builtin { return moduleFunc(env, signature, doc, fn) }
	const userArg = "\n  user: the systemd of the user that runs nsh, not the system's"
	const hostOnly = "\nExample:\n  # on a machine with systemd\n  if systemd.available():\n      "
	act := func(verb, short, example string) *lang.Builtin {
		return f("systemd."+verb+"(unit, user=False) -> bool", short+`

Args:
  unit: its name; web is web.service`+userArg+hostOnly+example, systemdAct(manager, verb))
	}
	return lang.NewModule("systemd", "the services of the machine and of its users",
		f(`systemd.available(user=False) -> bool`, `Tells whether systemd runs here and answers.

Args:
  user: the systemd of the user that runs nsh, not the system's
Example:
  print(systemd.available())`, manager.user(func(ctx context.Context, m systemd.Manager) (any, error) { return m.Available(ctx) })),
		f(`systemd.version(user=False) -> version`, `Gives the version that runs: number, text, and state, such as running or degraded.

Args:
  user: the systemd of the user that runs nsh, not the system's`+hostOnly+`print(systemd.version().number)`,
			manager.user(func(ctx context.Context, m systemd.Manager) (any, error) { return m.Version(ctx) })),
		f(`systemd.units(pattern="*", user=False) -> list`, `Lists the units that are loaded, by name.

Args:
  pattern: of the shell: "nsh-*.service"`+userArg+hostOnly+`print([u.name for u in systemd.units("*.socket") if u.active == "failed"])`, systemdUnits(manager)),
		f(`systemd.status(unit, user=False) -> unit`, `Gives a unit: name, description, load_state, active, sub, enabled, state, main_pid, since, path, result, exit_status, restarts.

enabled is a bool; state is systemd's word: enabled, static, masked, … A unit that is not there is a failure of kind not_found.

Args:
  unit: its name; web is web.service`+userArg+hostOnly+`print(systemd.status("dbus").active)`, systemdStatus(manager)),
		act("start", "Starts a unit, waits for that, and tells whether it was not active before.", `systemd.start("dbus")`),
		act("stop", "Stops a unit, waits for that, and tells whether it was active before.", `attempt(systemd.stop, "no-such-unit")`),
		act("restart", "Stops and starts a unit, and waits for that.", `attempt(systemd.restart, "no-such-unit")`),
		act("reload", "Lets a unit read its configuration again.", `attempt(systemd.reload, "no-such-unit")`),
		act("enable", "Makes a unit come up at boot, and tells whether that changed anything. It does not start it.", `attempt(systemd.enable, "no-such-unit")`),
		act("disable", "Keeps a unit from coming up at boot, and tells whether that changed anything. It does not stop it.", `attempt(systemd.disable, "no-such-unit")`),
		f(`systemd.daemon_reload(user=False)`, `Makes systemd read the files of units again.

Args:
  user: the systemd of the user that runs nsh, not the system's`+hostOnly+`systemd.daemon_reload()`, manager.user(func(ctx context.Context, m systemd.Manager) (any, error) {
			if err := lang.Require(ctx, lang.HostWrite, "systemd.daemon_reload", ""); err != nil {
				return nil, err
			}
			if p := plan.From(ctx); p != nil {
				p.Add(plan.Change{Action: "reload", Kind: "unit", Name: "systemd"})
				return nil, nil
			}
			return nil, m.DaemonReload(ctx)
		})),
		f(`systemd.linger(user="", enable=None) -> bool`, `Tells whether the units of a user run without a session, from boot on; or switches that, and tells whether it changed.

Args:
  user: a name; "": who runs nsh
  enable: True, False; None: only tell
Example:
  print(systemd.linger("root"))`, systemdLinger(manager)),
		f(`systemd.write_unit(name, text, user=False) -> bool`, `Writes the file of a unit or a drop-in, reloads systemd, and tells whether that changed anything.

Args:
  name: "web.service", or a drop-in: "user@.service.d/delegate.conf"
  text: the whole file`+userArg+hostOnly+`print(attempt(systemd.write_unit, "a/b", "[Unit]\n").error.kind)`, systemdWriteUnit(manager)),
		f(`systemd.logs(unit, lines=100, user=False) -> list`, `Gives the last lines of the journal about a unit, the oldest first: time, message, priority, unit, identifier, pid.

Args:
  unit: its name; web is web.service
  lines: how many at the most`+userArg+hostOnly+`print(len(systemd.logs("dbus", lines = 5)) <= 5)`, systemdLogs(manager)))
}

// user is a function whose only argument is user.
func (n newManager) user(fn func(context.Context, systemd.Manager) (any, error)) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		user := false
		if err := lang.UnpackArgs(name, args, kwargs, "user?", &user); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		return fn(ctx, n(user))
	}
}

// plannedUnits are those that a plan would have acted on.
type plannedUnits struct {
	mu      sync.Mutex
	touched map[string]bool
	linger  map[string]bool
}

type plannedUnitsKey struct{}

func unitsOf(p *plan.Plan) *plannedUnits {
	return p.State(plannedUnitsKey{}, func() any { return &plannedUnits{touched: map[string]bool{}, linger: map[string]bool{}} }).(*plannedUnits)
}

func unitKey(m systemd.Manager, name string) string {
	if m.User {
		return "user " + name
	}
	return name
}

func (u *plannedUnits) touch(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.touched[key] = true
}

func (u *plannedUnits) knows(key string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.touched[key]
}

// knowsLike tells whether the plan has acted on a unit that a pattern finds.
func (u *plannedUnits) knowsLike(m systemd.Manager, pattern string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range u.touched {
		if ok, err := path.Match(unitKey(m, pattern), key); ok || err != nil {
			return true
		}
	}
	return false
}

func systemdUnits(manager newManager) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		pattern, user := "*", false
		if err := lang.UnpackArgs(name, args, kwargs, "pattern?", &pattern, "user?", &user); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		m := manager(user)
		if p := plan.From(ctx); p != nil && unitsOf(p).knowsLike(m, pattern) {
			return nil, plan.NotKnown("the status of these units")
		}
		return m.Units(ctx, pattern)
	}
}

func systemdStatus(manager newManager) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		var unit string
		user := false
		if err := lang.UnpackArgs(name, args, kwargs, "unit", &unit, "user?", &user); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		m := manager(user)
		whole, err := systemd.Name(unit)
		if err != nil {
			return nil, err
		}
		if p := plan.From(ctx); p != nil && unitsOf(p).knows(unitKey(m, whole)) {
			return nil, plan.NotKnown("the status of " + whole)
		}
		return m.Status(ctx, whole)
	}
}

// systemdAct is a verb on a unit. start, stop, enable and disable do nothing to a unit
// that is so already.
func systemdAct(manager newManager, verb string) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		var unit string
		user := false
		if err := lang.UnpackArgs(name, args, kwargs, "unit", &unit, "user?", &user); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostWrite, name, ""); err != nil {
			return nil, err
		}
		m := manager(user)
		whole, err := systemd.Name(unit)
		if err != nil {
			return nil, err
		}
		p := plan.From(ctx)
		change := plan.Change{Action: verb, Kind: "unit", Name: whole}
		// What the plan has acted on before is not asked.
		if p == nil || !unitsOf(p).knows(unitKey(m, whole)) {
			u, err := m.Status(ctx, whole)
			if err != nil {
				return nil, err
			}
			field := plan.Field{}
			done := false
			switch verb {
			case "start":
				done, field = u.Active == "active" || u.Active == "reloading", plan.Field{Name: "active", From: u.Active, To: "active"}
			case "stop":
				done, field = u.Active == "inactive" || u.Active == "failed", plan.Field{Name: "active", From: u.Active, To: "inactive"}
			case "enable":
				done, field = u.Enabled, plan.Field{Name: "state", From: u.State, To: "enabled"}
			case "disable":
				done, field = !u.Enabled, plan.Field{Name: "state", From: u.State, To: "disabled"}
			}
			if done {
				return false, nil
			}
			if field.Name != "" {
				change.Fields = []plan.Field{field}
			}
		}
		if p != nil {
			change.Command = "systemctl " + map[bool]string{true: "--user "}[user] + verb + " " + shellWord(whole)
			p.Add(change)
			unitsOf(p).touch(unitKey(m, whole))
			return true, nil
		}
		if err := m.Do(ctx, verb, whole); err != nil {
			return nil, err
		}
		return true, nil
	}
}

func systemdLinger(manager newManager) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		var who string
		var enable starlark.Value = starlark.None
		if err := lang.UnpackArgs(name, args, kwargs, "user?", &who, "enable?", &enable); err != nil {
			return nil, err
		}
		want, isBool := enable.(starlark.Bool)
		if !isBool && enable != starlark.None {
			return nil, fault.New(fault.Invalid, "%s: for parameter \"enable\": %v", name, wants(enable, "bool"))
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		if who == "" {
			var err error
			if who, err = systemd.CurrentUser(); err != nil {
				return nil, err
			}
		}
		now, err := systemd.Linger(who)
		if err != nil {
			return nil, err
		}
		p := plan.From(ctx)
		if p != nil {
			u := unitsOf(p)
			u.mu.Lock()
			defer u.mu.Unlock()
			if planned, ok := u.linger[who]; ok {
				now = planned
			}
		}
		if !isBool {
			return now, nil
		}
		if err := lang.Require(ctx, lang.HostWrite, name, ""); err != nil {
			return nil, err
		}
		if now == bool(want) {
			return false, nil
		}
		if p != nil {
			word := map[bool]string{true: "enabled", false: "disabled"}
			p.Add(plan.Change{Action: "linger", Kind: "host", Name: who, Fields: []plan.Field{{Name: "linger", From: word[now], To: word[bool(want)]}},
				Command: "loginctl " + word[bool(want)][:len(word[bool(want)])-1] + "-linger " + shellWord(who)})
			unitsOf(p).linger[who] = bool(want)
			return true, nil
		}
		if err := manager(false).SetLinger(ctx, who, bool(want)); err != nil {
			return nil, err
		}
		return true, nil
	}
}

func systemdWriteUnit(manager newManager) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		var unit, text string
		user := false
		if err := lang.UnpackArgs(name, args, kwargs, "name", &unit, "text", &text, "user?", &user); err != nil {
			return nil, err
		}
		m := manager(user)
		file, err := m.UnitPath(unit)
		if err != nil {
			return nil, err
		}
		// What a unit runs is run by systemd: the right to write its file alone does not
		// do.
		if err := lang.Require(ctx, lang.HostWrite, name, ""); err != nil {
			return nil, err
		}
		if _, err := m.Version(ctx); err != nil {
			return nil, fault.Wrap(err, "write unit", unit)
		}
		real, err := host.Resolve(file)
		if err != nil {
			return nil, err
		}
		changed, err := writeFile(ctx, real, text, host.WriteOptions{Mkdir: true})
		if err != nil || !changed {
			return changed, err
		}
		if p := plan.From(ctx); p != nil {
			if whole, err := systemd.Name(unit); err == nil {
				unitsOf(p).touch(unitKey(m, whole))
			}
			p.Add(plan.Change{Action: "reload", Kind: "unit", Name: "systemd", Reason: "the file of " + unit + " changes"})
			return true, nil
		}
		return true, m.DaemonReload(ctx)
	}
}

func systemdLogs(manager newManager) hostFunc {
	return func(ctx context.Context, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
		var unit string
		lines, user := 100, false
		if err := lang.UnpackArgs(name, args, kwargs, "unit", &unit, "lines?", &lines, "user?", &user); err != nil {
			return nil, err
		}
		if err := lang.Require(ctx, lang.HostRead, name, ""); err != nil {
			return nil, err
		}
		return manager(user).Logs(ctx, unit, lines)
	}
}

// thisSystemd is that of the machine.
func thisSystemd(user bool) systemd.Manager { return systemd.Manager{User: user} }
