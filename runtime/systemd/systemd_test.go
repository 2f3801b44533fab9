package systemd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsh/runtime/fault"
	"nsh/runtime/host"
)

// recorded is a manager whose programs print what a Debian 12 (systemd 252) printed.
func recorded(out host.Output, asked *[]string) Manager {
	return Manager{Run: func(_ context.Context, c host.Command) (host.Output, error) {
		if asked != nil {
			*asked = append(*asked, strings.Join(c.Argv, " "))
		}
		return out, nil
	}}
}

func file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUnits(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	boot := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, u := range units(file(t, "show.txt"), boot) {
		fmt.Fprintf(&got, "%s|%s|%s %s %s|%v %s|%d|%v|%s|%s %d %d\n", u.Name, u.Description, u.LoadState, u.Active, u.Sub, u.Enabled, u.State, u.MainPID, u.Since.Format(time.TimeOnly), u.Path, u.Result, u.ExitStatus, u.Restarts)
	}
	const want = `broken.service|It fails = always|loaded failed failed|true enabled|0|00:00:00|/etc/systemd/system/broken.service|exit-code 7 0
dbus.service|D-Bus System Message Bus|loaded active running|false static|39|04:06:16|/lib/systemd/system/dbus.service|success 0 0
dbus.socket|D-Bus System Message Bus Socket|loaded active running|false static|0|04:06:16|/lib/systemd/system/dbus.socket|success 0 0
none.service|none.service|not-found inactive dead|false |0|00:00:00||success 0 0
systemd-logind.service|User Login Management|loaded active running|false static|41|04:06:16|/lib/systemd/system/systemd-logind.service|success 0 0
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestStatusOfNone(t *testing.T) {
	t.Parallel()
	var asked []string
	_, err := recorded(host.Output{Stdout: "Id=none.service\nLoadState=not-found\n"}, &asked).Status(t.Context(), "none")
	if !fault.Is(err, fault.NotFound) || err.Error() != "No such unit: none.service" {
		t.Errorf("got %v", err)
	}
	if want := "systemctl --no-pager --no-ask-password show -p " + properties + " -- none.service"; len(asked) != 1 || asked[0] != want {
		t.Errorf("asked %q", asked)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	v, err := recorded(host.Output{Stdout: "Version=252.39-1~deb12u2\nSystemState=degraded\n"}, nil).Version(t.Context())
	if want := (Version{252, "252.39-1~deb12u2", "degraded"}); err != nil || v != want {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, tt := range []struct {
		out  host.Output
		want bool
	}{
		{host.Output{Stdout: "Version=258\nSystemState=running\n"}, true},
		{host.Output{Code: 1, Stderr: "Failed to connect to bus: No medium found\n"}, false},
		{host.Output{Code: 1, Stderr: "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down\n"}, false},
	} {
		if got, err := recorded(tt.out, nil).Available(t.Context()); got != tt.want || err != nil {
			t.Errorf("%+v: got %v, %v", tt.out, got, err)
		}
	}
}

// What systemctl and loginctl say when they fail.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		user bool
		code int
		text string
		want string
	}{
		{false, 1, "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down\n", `unavailable: start "web.service": System has not been booted with systemd as init system (PID 1). Can't operate.`},
		{true, 1, "Failed to connect to bus: No medium found\n", `unavailable: start "web.service": Failed to connect to bus: No medium found`},
		{false, 5, "Failed to start nonesuch.service: Unit nonesuch.service not found.\n", `not_found: start "web.service": Failed to start nonesuch.service: Unit nonesuch.service not found.`},
		{false, 5, "Failed to stop none.service: Unit none.service not loaded.\n", `not_found: start "web.service": Failed to stop none.service: Unit none.service not loaded.`},
		{false, 1, "Failed to enable unit: Unit file none.service does not exist.\n", `not_found: start "web.service": Failed to enable unit: Unit file none.service does not exist.`},
		{false, 1, "Failed to start foo.service: Unit foo.service is masked.\n", `invalid: start "web.service": Failed to start foo.service: Unit foo.service is masked.`},
		{false, 4, "Failed to start dbus.service: Access denied\nSee system logs and 'systemctl status dbus.service' for details.\n", `denied: start "web.service": Failed to start dbus.service: Access denied`},
		{false, 1, "Job for x1.service failed because the control process exited with error code.\nSee \"systemctl status x1.service\" and \"journalctl -xeu x1.service\" for details.\n", `exit: start "web.service": Job for x1.service failed because the control process exited with error code.`},
		{false, 3, "Failed to reload broken.service: Job type reload is not applicable for unit broken.service.\n", `exit: start "web.service": Failed to reload broken.service: Job type reload is not applicable for unit broken.service.`},
		{false, 9, "", `exit: start "web.service": exit status 9`},
	} {
		m := recorded(host.Output{Code: tt.code, Stderr: tt.text}, nil)
		m.User = tt.user
		err := m.Do(t.Context(), "start", "web")
		if got := fmt.Sprintf("%s: %v", fault.KindOf(err), err); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
		if fault.HintOf(err) == "" && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v: no hint", err)
		}
	}
	err := recorded(host.Output{Code: 1, Stderr: "Failed to look up user nobodyx: No such process\n"}, nil).SetLinger(t.Context(), "nobodyx", true)
	if !fault.Is(err, fault.NotFound) || err.Error() != "No such user: nobodyx" {
		t.Errorf("got %v", err)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	var asked []string
	// The last has bytes that are no text, and a field twice.
	text := file(t, "journal.json") + `{"MESSAGE":[104,105,255],"_PID":["7","8"],"__REALTIME_TIMESTAMP":"1000000"}` + "\n" + `{"MESSAGE":null}`
	list, err := recorded(host.Output{Stdout: text}, &asked).Logs(t.Context(), "broken", 3)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, l := range list {
		fmt.Fprintf(&got, "%s %d %s %s %d %q\n", l.Time.UTC().Format(time.RFC3339Nano), l.Priority, l.Unit, l.Identifier, l.PID, l.Message)
	}
	const want = `2026-11-23T16:05:12.276803Z 6 broken.service systemd 1 "Started broken.service - It fails = always."
2026-11-23T16:05:12.281525Z 5 broken.service systemd 1 "broken.service: Main process exited, code=exited, status=7/NOTRUNNING"
2026-11-23T16:05:12.281715Z 4 broken.service systemd 1 "broken.service: Failed with result 'exit-code'."
1970-01-01T00:00:01Z 6 broken.service  7 "hi\xff"
1970-01-01T00:00:00Z 6 broken.service  0 ""
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if want := "journalctl --no-pager --quiet --output=json --lines=3 --unit=broken.service"; asked[0] != want {
		t.Errorf("asked %q", asked)
	}
	if _, err := entries("{", "x"); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/conf")
	for _, tt := range []struct {
		name string
		user bool
		want string
	}{
		{"web", false, "/etc/systemd/system/web.service"},
		{"web.socket", true, "/conf/systemd/user/web.socket"},
		{"user@.service.d/delegate.conf", false, "/etc/systemd/system/user@.service.d/delegate.conf"},
		{"my.app", false, "/etc/systemd/system/my.app.service"},
		{"../x", false, `"../x" is no name of a unit`},
		{"a/b.service", false, `"a/b.service" is no name of a unit`},
		{"a.service.d/../x.conf", false, `"a.service.d/../x.conf" is no drop-in of a unit`},
		{"a.service.d/x", false, `"a.service.d/x" is no drop-in of a unit`},
		{"--root=x", false, `"--root=x" is no name of a unit`},
		{"", false, `"" is no name of a unit`},
	} {
		got, err := Manager{User: tt.user}.UnitPath(tt.name)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, name := range []string{"", "../x", "-x", "."} {
		if _, err := Linger(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
