// Package plan is what a run would change. [Wrap] puts a recorder between the verbs
// and an engine: reads pass, writes are noted as [Change] and made in a copy of the
// state that only the plan sees, so that what comes after finds what it expects.
package plan

import (
	"context"
	"sync"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// Change is one thing that a run would do.
type Change struct {
	// Action is a word of docker's: create, start, stop, remove, pull, …
	Action string `json:"action"`
	// Kind is what it is done to: container, image, network, volume, host, file, unit.
	Kind string `json:"kind"`
	// Name of that, as people know it.
	Name string `json:"name"`
	// Fields that differ. For an action without any it is empty.
	Fields []Field `json:"fields,omitempty"`
	// Reason is a few words on why, "" when the action says it all.
	Reason string `json:"reason,omitempty"`
	// Command is the docker line that does it, "" when there is none.
	Command string `json:"command,omitempty"`
}

// Field is one difference. From is empty where nothing was, To where nothing will be.
type Field = container.Difference

// Plan collects changes. Its methods are safe to call at once.
type Plan struct {
	mu      sync.Mutex
	changes []Change
}

// Add notes a change.
func (p *Plan) Add(c Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, c)
}

// Changes gives what was noted, in order.
func (p *Plan) Changes() []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Change{}, p.changes...)
}

type planKey struct{}

// With makes a context whose calls are planned, not made.
func With(ctx context.Context, p *Plan) context.Context {
	return context.WithValue(ctx, planKey{}, p)
}

// From gives the plan that the calls of ctx are noted in, nil when they are made.
// What acts on the host and not through an engine asks this before it acts.
func From(ctx context.Context) *Plan {
	p, _ := ctx.Value(planKey{}).(*Plan)
	return p
}

// NotKnown is the error for asking what only the real run can tell: the output of a
// command, the address of a container that is not there yet. It ends the planning.
func NotKnown(what string) error {
	return fault.New(fault.NotKnown, "%s is known only once it has been done", what).
		WithHint("the plan goes as far as this")
}
