// Package plan is what a run would change. A context carries it; what acts notes what it
// would do instead of doing it: engines through the package recorder, the host by itself.
package plan

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

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

	// ID is what a container is called by in Command before its name is put there.
	ID string `json:"-"`

	covered bool // the Command of an earlier change does this, too
}

// Field is one difference. From is empty where nothing was, To where nothing will be.
type Field struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Plan collects changes. Its methods are safe to call at once.
type Plan struct {
	// Scrub takes out of a text what nobody may see; nil: nothing. It is set before the
	// plan is read.
	Scrub func(string) string

	mu      sync.Mutex
	changes []Change
	state   sync.Map // see State
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
	out := append([]Change{}, p.changes...)
	if p.Scrub == nil {
		return out
	}
	for i := range out {
		c := &out[i]
		c.Name, c.Reason, c.Command = p.Scrub(c.Name), p.Scrub(c.Reason), p.Scrub(c.Command)
		c.Fields = append([]Field{}, c.Fields...)
		for n, f := range c.Fields {
			c.Fields[n] = Field{Name: f.Name, From: p.Scrub(f.From), To: p.Scrub(f.To)}
		}
	}
	return out
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

type foldKey struct{}

// Fold notes c in the plan of ctx, if it has one, and makes a context whose calls are
// part of c: they change the plan's copy of the state, and are not noted themselves.
func Fold(ctx context.Context, c Change) context.Context {
	p := From(ctx)
	if p == nil {
		return ctx
	}
	p.Note(ctx, c)
	return context.WithValue(ctx, foldKey{}, true)
}

// Note adds a change, unless it is part of one that [Fold] has added.
func (p *Plan) Note(ctx context.Context, c Change) {
	if ctx.Value(foldKey{}) != nil {
		return
	}
	if l, _ := ctx.Value(commandKey{}).(*command); l != nil && c.Command == "" {
		c.covered = true
		l.once.Do(func() { c.Command, c.covered = l.line, false })
	}
	if c.ID != "" {
		c.Command = strings.ReplaceAll(c.Command, c.ID, c.Name)
	}
	p.Add(c)
}

// Imply adds a change that an earlier one brings along, such as a volume that a
// container makes: no command of its own does it.
func (p *Plan) Imply(c Change) {
	c.covered = true
	p.Add(c)
}

// MapFields are the differences of labels and other settings that are key=value.
func MapFields(name string, from, to map[string]string) []Field {
	text := func(m map[string]string, key string) string {
		if v, ok := m[key]; ok {
			return key + "=" + v
		}
		return ""
	}
	keys := slices.AppendSeq(slices.Collect(maps.Keys(from)), maps.Keys(to))
	slices.Sort(keys)
	var out []Field
	for _, k := range slices.Compact(keys) {
		if a, b := text(from, k), text(to, k); a != b {
			out = append(out, Field{Name: name, From: a, To: b})
		}
	}
	return out
}

// Started turns the creation of a container that was just noted into a run of it.
// It tells false where that was noted otherwise.
func (p *Plan) Started(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.changes) - 1; i >= 0; i-- {
		c := &p.changes[i]
		if c.Kind != "container" || c.Name != name {
			continue
		}
		if c.Action != "create" || strings.HasPrefix(c.Command, "docker create") || strings.HasPrefix(c.Command, "docker container create") {
			return false
		}
		c.Action = "run"
		return true
	}
	return false
}

type commandKey struct{}

type command struct {
	line string
	once sync.Once
}

// WithCommand makes a context whose first change is what line, a command of docker's,
// would do.
func WithCommand(ctx context.Context, line string) context.Context {
	return context.WithValue(ctx, commandKey{}, &command{line: line})
}

// NotKnown is the error for asking what only the real run can tell: the output of a
// command, the address of a container that is not there yet. It ends the planning.
func NotKnown(what string) error {
	return fault.New(fault.NotKnown, "%s is known only once it has been done", what).
		WithHint("the plan goes as far as this")
}
