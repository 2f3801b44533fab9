package recorder

import (
	"context"

	"nsh/runtime/plan"
	"nsh/runtime/system"
)

// System is a [system.Service] that notes what would be repaired.
type System struct {
	plan *plan.Plan
	real system.Service
}

var _ system.Service = (*System)(nil)

// WrapSystem makes the recorder in front of real.
func WrapSystem(p *plan.Plan, real system.Service) *System { return &System{p, real} }

// Repair only looks.
func (s *System) Repair(ctx context.Context, dryRun bool) ([]system.Leftover, error) {
	list, err := s.real.Repair(ctx, true)
	if !dryRun {
		for _, l := range list {
			s.plan.Note(ctx, plan.Change{Action: "remove", Kind: l.Kind, Name: l.Name, Reason: l.Detail})
		}
	}
	return list, err
}

// Version passes.
func (s *System) Version(ctx context.Context) (system.Version, error) { return s.real.Version(ctx) }

// Info passes.
func (s *System) Info(ctx context.Context) (system.Info, error) { return s.real.Info(ctx) }
