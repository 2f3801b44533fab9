package lang

import (
	"context"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// CallIn calls fn under another context than the thread's: what it calls blocks on
// ctx, and the end of ctx ends it. What fn defers belongs to the scope that the thread
// is in.
func CallIn(ctx context.Context, thread *starlark.Thread, name string, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	i, ok := thread.Local(localInterp).(*Interp)
	if !ok {
		return nil, fault.New(fault.Internal, "%s: called outside of a script", name)
	}
	sub, release, err := i.child(ctx, thread, name)
	if err != nil {
		return nil, err
	}
	defer release()
	sub.SetLocal(localScopes, thread.Local(localScopes))
	v, err := starlark.Call(sub, fn, args, kwargs)
	if err != nil {
		return nil, &elsewhere{err}
	}
	return v, nil
}

// Annotate adds what was done about an error to its hint.
func Annotate(err error, what string) error {
	e := &fault.Error{Kind: fault.KindOf(err), Cause: err, Hint: what, Code: fault.CodeOf(err)}
	if h := fault.HintOf(err); h != "" {
		e.Hint = h + "; " + what
	}
	return e
}
