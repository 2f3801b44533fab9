package host

import (
	"context"
	"strconv"
	"strings"

	"nsh/runtime/fault"
)

// IDRange is a range of subordinate numbers.
type IDRange struct {
	Start int
	Count int
}

// SubIDs are the ranges of numbers that a user may give to the users of a container
// (subuid(5)).
type SubIDs struct {
	User string
	UIDs []IDRange
	GIDs []IDRange
	// UIDCount and GIDCount are how many numbers these are; an image may need 65536.
	UIDCount int
	GIDCount int
	// Source is files, or what nsswitch.conf names: sss.
	Source string
	// Overlaps are the other users whose ranges share a number with one of these.
	Overlaps []string
}

// SubIDs gives the ranges of a user. A user without any has empty ranges. Those that
// are not in files are asked of getsubids(1).
func (t Tree) SubIDs(ctx context.Context, u User) (SubIDs, error) {
	out := SubIDs{User: u.Name, Source: t.subidSource()}
	var others []string
	for _, kind := range []struct {
		file   string
		ranges *[]IDRange
		flags  []string
	}{{"etc/subuid", &out.UIDs, nil}, {"etc/subgid", &out.GIDs, []string{"-g"}}} {
		if out.Source != "files" {
			r, err := Run(ctx, Command{Argv: append(append([]string{"getsubids"}, kind.flags...), u.Name)})
			if err != nil {
				return SubIDs{}, fault.Wrap(err, "find subordinate ids of", u.Name)
			}
			if r.Code == 0 {
				*kind.ranges = parseGetsubids(r.Stdout)
			}
			continue
		}
		lines, err := t.lines(kind.file)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return SubIDs{}, err
		}
		all := parseSubIDs(lines)
		for _, l := range all {
			if l.owner == u.Name || l.owner == itoa(u.UID) {
				*kind.ranges = append(*kind.ranges, l.IDRange)
			}
		}
		for _, l := range all {
			if l.owner == u.Name || l.owner == itoa(u.UID) {
				continue
			}
			for _, mine := range *kind.ranges {
				if l.Start < mine.Start+mine.Count && mine.Start < l.Start+l.Count {
					others = append(others, l.owner)
					break
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, o := range others {
		if !seen[o] {
			out.Overlaps = append(out.Overlaps, o)
		}
		seen[o] = true
	}
	for _, r := range out.UIDs {
		out.UIDCount += r.Count
	}
	for _, r := range out.GIDs {
		out.GIDCount += r.Count
	}
	return out, nil
}

// subidSource is who knows the ranges (nsswitch.conf(5), "subid").
func (t Tree) subidSource() string {
	lines, _ := t.lines("etc/nsswitch.conf")
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "subid:"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return f[0]
			}
		}
	}
	return "files"
}

type ownedRange struct {
	owner string
	IDRange
}

// maxID is the greatest number of a user.
const maxID = 1<<32 - 1

func parseSubIDs(lines []string) []ownedRange {
	var out []ownedRange
	for _, l := range lines {
		if f := strings.Split(l, ":"); len(f) == 3 && !strings.HasPrefix(l, "#") {
			if r, ok := parseRange(f[1], f[2]); ok {
				out = append(out, ownedRange{f[0], r})
			}
		}
	}
	return out
}

// parseGetsubids reads "0: alice 100000 65536".
func parseGetsubids(text string) []IDRange {
	var out []IDRange
	for l := range strings.Lines(text) {
		if f := strings.Fields(l); len(f) == 4 {
			if r, ok := parseRange(f[2], f[3]); ok {
				out = append(out, r)
			}
		}
	}
	return out
}

func parseRange(start, count string) (IDRange, bool) {
	a, err1 := strconv.Atoi(start)
	n, err2 := strconv.Atoi(count)
	return IDRange{a, n}, err1 == nil && err2 == nil && a >= 0 && n > 0 && a <= maxID && n <= maxID
}
