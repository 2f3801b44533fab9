package lang

import (
	"fmt"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// breakpoint is breakpoint(): a prompt in the frame that calls it.
func breakpoint(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := UnpackArgs("breakpoint", args, kwargs); err != nil {
		return nil, err
	}
	if i.opts.Breakpoint == nil {
		return nil, fault.New(fault.Unavailable, "breakpoint: there is no terminal to ask at").WithHint("run the script at a terminal, or take the call out")
	}
	// Depth 0 is breakpoint itself.
	if t.CallStackDepth() < 2 {
		return nil, fault.New(fault.Invalid, "breakpoint: called from nowhere")
	}
	frame := t.DebugFrame(1)
	names := starlark.StringDict{}
	for name, v := range i.names {
		names[name] = v
	}
	if f, ok := frame.Callable().(*starlark.Function); ok {
		for name, v := range f.Globals() {
			if v != nil {
				names[name] = v
			}
		}
		for n := range f.NumFreeVars() {
			if b, v := f.FreeVar(n); v != nil {
				names[b.Name] = v
			}
		}
		for n := range frame.NumLocals() {
			if b, v := frame.Local(n); v != nil {
				names[b.Name] = v
			}
		}
	}
	sub := New(Options{
		Predeclared: names, Stdlib: i.opts.Stdlib, Natives: i.opts.Natives, Stdout: i.opts.Stdout, Stderr: i.opts.Stderr,
		Command: i.opts.Command, Session: true,
	})
	where := frame.Position()
	i.breaks.Lock() // one at a time, also in parallel
	defer i.breaks.Unlock()
	fmt.Fprintf(i.opts.Stderr, "%s: stopped in %s; %%quit or Ctrl-D goes on, exit(1) ends the script\n%s", where, frame.Callable().Name(), i.source(where))
	if quit := i.opts.Breakpoint(Context(t), sub); quit != nil {
		return nil, quit
	}
	return starlark.None, nil
}
