package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"

	"nsh/runtime/container"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/system"
)

// orphanAge is how old something without a container must be before it is
// taken for a leftover: younger, it may belong to a command that is under way.
const orphanAge = 10 * time.Second

// Repair compares what lies about with the records, which are the truth.
func (s *System) Repair(ctx context.Context, dryRun bool) ([]system.Leftover, error) {
	recs, err := s.c.ContainerService().List(ctx)
	if err != nil {
		return nil, fault.Wrap(err, "list", "containers")
	}
	live := map[string]containers.Container{}
	for _, r := range recs {
		live[r.ID] = r
	}
	var out []system.Leftover
	var errs []error
	left := func(l system.Leftover, remove func() error) {
		out = append(out, l)
		if !dryRun {
			if err := remove(); err != nil {
				errs = append(errs, fault.Wrap(err, "remove "+l.Kind, l.Name))
			}
		}
	}
	cs := &Containers{c: s.c, s: s.s, store: s.store, net: s.net, hosts: network.Hosts{Root: s.store.Root, Namespace: s.store.Namespace}, volumes: s.volumes}

	tasks, err := cs.tasks(ctx)
	if err != nil {
		return nil, fault.Wrap(err, "list", "tasks")
	}
	for id := range tasks {
		if _, ok := live[id]; !ok {
			left(system.Leftover{Kind: "process", Name: id, Detail: "a task without a container"}, func() error {
				// containerd deletes the task of a container only.
				rec := containers.Container{ID: id, Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}}
				if _, err := s.c.ContainerService().Create(ctx, rec); err != nil {
					return err
				}
				return errors.Join(cs.kill9(ctx, id), cs.deleteTask(ctx, id), s.c.ContainerService().Delete(ctx, id))
			})
		}
	}
	for _, sh := range engine.Shims(s.s.Address) {
		// A client that was killed while containerd started a shim for it: nobody
		// knows of that shim any more.
		if tasks[sh.ID] != nil || sh.Namespace != s.store.Namespace {
			continue
		}
		if at, err := processStart(sh.Pid); err != nil || time.Since(at) < orphanAge {
			continue
		}
		left(system.Leftover{Kind: "process", Name: strconv.Itoa(sh.Pid), Detail: "a shim without a task, of container " + container.ShortID(sh.ID)}, sh.Kill)
	}
	names, err := s.store.Names()
	if err != nil {
		return out, err
	}
	making := map[string]bool{}
	for name, id := range names {
		busy, err := s.store.NameBusy(name, orphanAge)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if busy {
			making[id] = true
			continue
		}
		if r, ok := live[id]; !ok || r.Labels[labelName] != name {
			left(system.Leftover{Kind: "name", Name: name, Detail: "held by " + container.ShortID(id) + ", which " + why(ok)}, func() error { return s.store.ReleaseName(name) })
		}
	}
	ids, err := s.store.IDs()
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		if _, ok := live[id]; ok || making[id] || young(s.store.Dir(id)) {
			continue
		}
		left(system.Leftover{Kind: "state", Name: s.store.Dir(id), Detail: "no container " + container.ShortID(id)}, func() error { return s.store.RemoveDir(id) })
	}
	hosts := filepath.Join(s.store.Root, "etchosts", s.store.Namespace)
	entries, _ := os.ReadDir(hosts)
	for _, e := range entries {
		if _, ok := live[e.Name()]; ok || !e.IsDir() || making[e.Name()] || young(filepath.Join(hosts, e.Name())) {
			continue
		}
		left(system.Leftover{Kind: "hosts", Name: filepath.Join(hosts, e.Name()), Detail: "no container " + container.ShortID(e.Name())}, func() error {
			return cs.hosts.Remove(e.Name())
		})
	}
	// A container in the foreground whose nsh was killed, and which has ended since.
	for _, r := range recs {
		if r.Labels[labelAutoRemove] != "true" || making[r.ID] || time.Since(r.UpdatedAt) < orphanAge {
			continue
		}
		t := tasks[r.ID]
		v := cs.value(found{Container: r, task: t})
		if v.Status != container.Exited && !(v.Status == container.Created && t == nil) {
			continue
		}
		left(system.Leftover{Kind: "container", Name: v.Name, Detail: "was started with --rm and has ended"}, func() error {
			return cs.Remove(ctx, r.ID, container.RemoveOptions{Force: true, Volumes: true})
		})
	}
	volumes, err := s.volumes.Leftovers(orphanAge)
	if err != nil {
		errs = append(errs, err)
	}
	for _, path := range volumes {
		left(system.Leftover{Kind: "volume", Name: path, Detail: "was not wholly made, or not wholly removed"}, func() error { return os.RemoveAll(path) })
	}
	images, err := s.images.Leftovers(ctx, dryRun)
	if err != nil {
		errs = append(errs, err)
	}
	out = append(out, images...)
	gone, err := s.net.GC(ctx, s.store.Namespace, attached(recs, tasks), dryRun)
	if err != nil {
		errs = append(errs, err)
	}
	for _, g := range gone {
		out = append(out, system.Leftover{Kind: g.What, Name: g.Network + " " + g.Detail, Detail: "of container " + container.ShortID(g.ID)})
	}
	return out, errors.Join(errs...)
}

func why(recorded bool) string {
	if recorded {
		return "has another name"
	}
	return "does not exist"
}

func young(path string) bool {
	st, err := os.Stat(path)
	return err == nil && time.Since(st.ModTime()) < orphanAge
}

// attached are the containers whose addresses and rules are to stay: those with a
// process. An ended one was to be disconnected at its end.
func attached(recs []containers.Container, tasks map[string]*task.Process) []string {
	var ids []string
	for _, r := range recs {
		if t := tasks[r.ID]; t != nil && t.Status != task.Status_STOPPED {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
