package host

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"

	"nsh/runtime/fault"
)

// User is an account.
type User struct {
	Name   string
	UID    int
	GID    int
	Home   string
	Shell  string
	Groups []string // names, the first of them that of GID; a number when it has no name
}

// LookupUser finds an account by its name or number; "" is the one that nsh runs as.
// Accounts that only a directory service knows are asked of getent(1).
func (t Tree) LookupUser(ctx context.Context, name string) (User, error) {
	own := name == ""
	if own {
		name = itoa(os.Getuid())
	}
	u, ok := t.passwd(name)
	if !ok && string(t) == "/" {
		if out, err := Run(ctx, Command{Argv: []string{"getent", "passwd", "--", name}}); err == nil && out.Code == 0 {
			u, ok = parsePasswd(out.Stdout, name)
		}
	}
	if !ok && own {
		u, ok = User{Name: name, UID: os.Getuid(), GID: os.Getgid(), Home: os.Getenv("HOME"), Shell: os.Getenv("SHELL")}, true
	}
	if !ok {
		return User{}, fault.New(fault.NotFound, "No such user: %s", name).WithHint("host.user() is the present one")
	}
	if own {
		// Its groups are those of the process: a new login may be due.
		u.GID = os.Getgid()
	}
	var gids []int
	if own {
		gids, _ = os.Getgroups()
	}
	u.Groups = t.groups(u, gids, own)
	return u, nil
}

func (t Tree) passwd(name string) (User, bool) {
	text, err := t.read("etc/passwd")
	if err != nil {
		return User{}, false
	}
	return parsePasswd(text, name)
}

func parsePasswd(text, name string) (User, bool) {
	for l := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(l, "\n"), ":")
		if len(f) != 7 || f[0] != name && f[2] != name {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			return User{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6]}, true
		}
	}
	return User{}, false
}

// groups are those of a user: by number when the process has them, else by who is a
// member.
func (t Tree) groups(u User, gids []int, own bool) []string {
	lines, _ := t.lines("etc/group")
	names := map[int]string{}
	var member []string
	for _, l := range lines {
		f := strings.Split(l, ":")
		if len(f) != 4 {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		names[gid] = f[0]
		if gid != u.GID && slices.Contains(strings.Split(f[3], ","), u.Name) {
			member = append(member, f[0])
		}
	}
	called := func(gid int) string {
		if n := names[gid]; n != "" {
			return n
		}
		return itoa(gid)
	}
	out := []string{called(u.GID)}
	if !own {
		return append(out, member...)
	}
	for _, gid := range gids {
		if gid != u.GID {
			out = append(out, called(gid))
		}
	}
	return out
}
