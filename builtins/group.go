package builtins

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
	"nsh/runtime/undo"
)

// groupFunction is group(): steps that belong together.
func groupFunction() *lang.Builtin {
	return lang.Func(`group(*steps, on_error="rollback") -> list`, `Calls functions one after the other, as one thing that is done or not.

What has been made, started, stopped, renamed, removed or tagged is undone when a step
fails, the last first. What a process has done, in a container or on the host, is not.

Args:
  steps: functions without arguments
  on_error: "rollback": undo all of them; "stop": leave what is done; "continue": call the others, too, and fail at the end
Example:
  image.assemble("app", file = ["/bin/true:/app"], cmd = ["/app"])
  r = attempt(group,
      lambda: run("app", detach = True, name = "db"),
      lambda: fail("the second step fails"))
  print(r.error.message, [c.name for c in containers(all = True)])`, callGroup)
}

func callGroup(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	onError := "rollback"
	if err := lang.UnpackArgs(b.Name(), nil, kwargs, "on_error?", &onError); err != nil {
		return nil, err
	}
	switch onError {
	case "rollback", "stop", "continue":
	default:
		return nil, fault.New(fault.Invalid, "group: on_error is \"rollback\", \"stop\" or \"continue\", not %q", onError)
	}
	steps := make([]starlark.Callable, len(args))
	for i, a := range args {
		fn, ok := a.(starlark.Callable)
		if !ok {
			return nil, fault.New(fault.Invalid, "group: step %d: got %s, want function", i+1, a.Type()).WithHint("write lambda: before the call")
		}
		steps[i] = fn
	}
	ctx := lang.Context(thread)
	var j *undo.Journal
	// A plan does nothing that could be undone.
	if onError == "rollback" && plan.From(ctx) == nil {
		j = &undo.Journal{Outer: undo.From(ctx)}
		ctx = undo.With(ctx, j)
	}
	var results []starlark.Value
	var errs []error
	for i, fn := range steps {
		v, err := lang.CallIn(ctx, thread, b.Name(), fn, nil, nil)
		if err == nil {
			results = append(results, v)
			continue
		}
		if len(steps) > 1 {
			err = fault.Wrap(err, fmt.Sprintf("group: step %d of %d", i+1, len(steps)), "")
		}
		errs = append(errs, err)
		results = append(results, starlark.None)
		if onError != "continue" || !lang.Caught(thread, err) {
			break
		}
	}
	if j == nil {
		if err := joinErrors(errs); err != nil {
			return nil, err
		}
		return starlark.NewList(results), nil
	}
	// The interrupt that ended a step must not keep it from being undone.
	detached := context.WithoutCancel(lang.Context(thread))
	if len(errs) == 0 {
		if outer := undo.From(lang.Context(thread)); outer != nil {
			outer.Adopt(j)
			return starlark.NewList(results), nil
		}
		return starlark.NewList(results), j.Commit(detached)
	}
	undone, err := j.Rollback(detached)
	if err != nil {
		return nil, errors.Join(errs[0], err)
	}
	if len(undone) > 0 {
		return nil, lang.Annotate(errs[0], "undone: "+strings.Join(undone, ", "))
	}
	return nil, errs[0]
}
