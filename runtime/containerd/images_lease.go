package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"nsh/runtime/fault"
	"nsh/runtime/system"
)

// labelHolder is on the leases of this package: the process that holds it, by
// PID namespace, PID and start time, so that the lease of one that was killed
// is told from that of one at work.
const labelHolder = "nsh/holder"

// hold takes a lease, under which what is written is not collected. done ends
// it, after a failure so that what was written is collected at once; it works
// when ctx has ended, too.
func (m *Images) hold(ctx context.Context) (_ context.Context, done func(failed bool), err error) {
	ls := m.c.LeasesService()
	// The expiry is for an nsh that is killed where nobody calls repair.
	l, err := ls.Create(ctx, leases.WithRandomID(), leases.WithExpiration(24*time.Hour), leases.WithLabel(labelHolder, holder(os.Getpid())))
	if err != nil {
		return nil, nil, err
	}
	return leases.WithLease(ctx, l.ID), func(failed bool) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		var opts []leases.DeleteOpt
		if failed {
			opts = append(opts, leases.SynchronousDelete)
		}
		_ = ls.Delete(ctx, l, opts...)
	}, nil
}

// holder names a process for good: PIDs come again, start times do not. It is
// empty for a process that is gone.
func holder(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything; the start time is the 22nd
	// field (proc_pid_stat(5)).
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fmt.Sprintf("%s %d %s", ns, pid, fields[19])
}

// abandoned reports whether the process that a label names is gone. Of a
// process of another PID namespace nothing is known.
func abandoned(label string) bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return false
	}
	var theirs, start string
	var pid int
	if _, err := fmt.Sscanf(label, "%s %d %s", &theirs, &pid, &start); err != nil || theirs != ns {
		return false
	}
	return holder(pid) != label
}

// Leftovers finds what a pull, load, save or assemble that was killed has left:
// its lease, with all the blobs and snapshots that only the lease keeps. Unless
// dryRun it is removed.
func (m *Images) Leftovers(ctx context.Context, dryRun bool) ([]system.Leftover, error) {
	ctx = m.in(ctx)
	ls := m.c.LeasesService()
	all, err := ls.List(ctx)
	if err != nil {
		return nil, fault.Wrap(err, "list leases", "")
	}
	var found []system.Leftover
	var errs []error
	for _, l := range all {
		if !abandoned(l.Labels[labelHolder]) {
			continue
		}
		found = append(found, system.Leftover{Kind: "lease", Name: l.ID, Detail: "the nsh that transferred an image under it is gone"})
		if dryRun {
			continue
		}
		if err := ls.Delete(ctx, l, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fault.Wrap(err, "remove lease", l.ID))
		}
	}
	return found, errors.Join(errs...)
}
