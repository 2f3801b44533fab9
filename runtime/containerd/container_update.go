package containerd

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Update changes limits: of the process first, since only the kernel knows whether
// it takes them, then of the record. Cut off in between, the next start has the old
// ones, and the next update sets all of them again.
func (s *Containers) Update(ctx context.Context, ref string, update container.Update) error {
	r, err := s.record(ctx, ref)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, r)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := s.again(ctx, r.ID)
	if err != nil {
		return err
	}
	if pod := s.value(f).Pod; pod != "" {
		return container.OfPod("update", ref, pod)
	}
	oci, err := ociSpec(f.Container)
	if err != nil {
		return err
	}
	rec, known := ours(f.Container)
	update.Apply(&rec.Spec.Resources)
	c := creation{Containers: s, id: f.ID, spec: rec.Spec}
	made := specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if err := c.resources(&made); err != nil {
		return err
	}
	limits := made.Linux.Resources
	if f.task != nil && (f.task.Status == task.Status_RUNNING || f.task.Status == task.Status_PAUSED) {
		if err := s.setLimits(ctx, f.ID, limits); err != nil {
			return fault.Wrap(err, "update container", ref)
		}
	}
	if oci.Linux == nil {
		oci.Linux = &specs.Linux{}
	}
	if oci.Linux.Resources == nil {
		oci.Linux.Resources = &specs.LinuxResources{}
	}
	old := *oci.Linux.Resources
	over(oci.Linux.Resources, limits)
	if f.Spec, err = typeurl.MarshalAny(oci); err != nil {
		return err
	}
	fields := []string{"spec"}
	if known {
		ext, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		f.Extensions[extension] = &anypb.Any{TypeUrl: extension, Value: ext}
		fields = append(fields, "extensions")
	}
	if _, err := s.c.ContainerService().Update(ctx, f.Container, fields...); err != nil {
		if f.task != nil {
			_ = s.setLimits(context.WithoutCancel(ctx), f.ID, &old)
		}
		return fault.Wrap(err, "record the limits of container", ref)
	}
	return nil
}

func (s *Containers) setLimits(ctx context.Context, id string, limits *specs.LinuxResources) error {
	any, err := typeurl.MarshalAnyToProto(limits)
	if err != nil {
		return err
	}
	_, err = s.c.TaskService().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: id, Resources: any})
	return errgrpc.ToNative(err)
}

// over puts what is set in limits into res, field by field. Devices and what else is there
// stays.
func over(res, limits *specs.LinuxResources) {
	merge(&res.CPU, limits.CPU)
	merge(&res.Memory, limits.Memory)
	merge(&res.Pids, limits.Pids)
	merge(&res.BlockIO, limits.BlockIO)
	if len(limits.Unified) > 0 {
		res.Unified = limits.Unified
	}
}

func merge[T any](into **T, from *T) {
	if from == nil {
		return
	}
	merged := new(T)
	if *into != nil {
		*merged = **into
	}
	a, b := reflect.ValueOf(merged).Elem(), reflect.ValueOf(from).Elem()
	for i := range b.NumField() {
		if !b.Field(i).IsZero() {
			a.Field(i).Set(b.Field(i))
		}
	}
	*into = merged
}
