package memory

import (
	"context"
	"runtime"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/system"
)

// System implements [system.Service]. It is part of an [Engine].
type System struct{ e *Engine }

var _ system.Service = (*System)(nil)

// version is the one of the simulation: it changes when what is simulated does.
const version = "1"

// Version implements [system.Service].
func (s *System) Version(ctx context.Context) (system.Version, error) {
	if err := ctx.Err(); err != nil {
		return system.Version{}, fault.Wrap(err, "ask for the version", "")
	}
	return system.Version{Engine: "memory", Version: version, Components: []system.Component{{Name: "memory", Version: version}}}, nil
}

// Info implements [system.Service]. Of the host it tells only what a script may
// depend on: the processor's kind.
func (s *System) Info(ctx context.Context) (system.Info, error) {
	images, err := s.e.Images.List(ctx)
	if err != nil {
		return system.Info{}, err
	}
	out := system.Info{
		ID: "memory", Name: "memory", Images: len(images), Driver: snapshotter, LogDrivers: []string{"json-file", "none"}, StorageDrivers: []string{snapshotter},
		Runtimes: []string{"memory"}, DefaultRuntime: "memory", CgroupDriver: "none", CgroupVersion: "2", OperatingSystem: "nsh in memory",
		OSType: "linux", Architecture: runtime.GOARCH, NCPU: 1, MemTotal: 1 << 30, ServerVersion: version, KernelVersion: "0.0.0-nsh",
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	out.Networks = network.Drivers()
	for _, b := range s.e.boxes {
		out.Containers++
		switch b.status {
		case container.Running:
			out.Running++
		case container.Paused:
			out.Paused++
		default:
			out.Stopped++
		}
	}
	return out, nil
}

// Repair implements [system.Service]. Nothing can be left behind.
func (s *System) Repair(ctx context.Context, _ bool) ([]system.Leftover, error) {
	return nil, fault.Wrap(ctx.Err(), "repair", "")
}
