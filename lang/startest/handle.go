package startest

import (
	"fmt"
	"sort"
	"sync"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

// handle is the t that a test is given.
type handle struct {
	r     *run
	res   *Result
	level int // of the tests within it
}

var _ starlark.HasAttrs = (*handle)(nil)

func (t *handle) String() string        { return "<test " + t.res.Name + ">" }
func (t *handle) Type() string          { return "test" }
func (t *handle) Freeze()               {}
func (t *handle) Truth() starlark.Bool  { return true }
func (t *handle) Hash() (uint32, error) { return starlark.String(t.res.Name).Hash() }

var testMethods = sync.OnceValue(func() map[string]*lang.Builtin {
	out := map[string]*lang.Builtin{}
	for _, f := range []*lang.Builtin{
		lang.Func(`t.fail(*args)`, `Notes a failure, and goes on with the test.

Example:
  def test_some(t):
      t.fail("port", 80, "is closed")`, testFail),
		lang.Func(`t.log(*args)`, `Notes something. It is shown when the test fails, and with -v.

Example:
  def test_some(t):
      t.log("so far so good")`, testLog),
		lang.Func(`t.run(name, fn) -> bool`, `Runs a test within the test, and tells whether it passed.

Args:
  name: stands behind the name of the test: test_some/one
  fn: a function without parameters, or with one that is the t of the new test
Example:
  def test_some(t):
      for n in [1, 2]:
          t.run(str(n), lambda: assert.lt(n, 3))`, testRun),
		lang.Func(`t.skip(reason="")`, `Ends the test; it neither passes nor fails.

Args:
  reason: why
Example:
  def test_some(t):
      t.skip("needs a network")`, testSkip),
	} {
		out[f.Name()[len("t."):]] = f
	}
	return out
})

// AttrNames are the methods, and name.
func (t *handle) AttrNames() []string {
	out := []string{"name"}
	for n := range testMethods() {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Attr gives one of them.
func (t *handle) Attr(name string) (starlark.Value, error) {
	if name == "name" {
		return starlark.String(t.res.Name), nil
	}
	if m := testMethods()[name]; m != nil {
		return m.BindReceiver(t), nil
	}
	return nil, nil
}

// callable gives the arguments that a test, setup or teardown is called with: t where
// there is a parameter for it.
func (t *handle) callable(v starlark.Value) (starlark.Callable, starlark.Tuple, error) {
	fn, ok := v.(starlark.Callable)
	if !ok {
		return nil, nil, fault.New(fault.Invalid, "a test is a function, not %s", v.Type())
	}
	if f, ok := fn.(*starlark.Function); ok && f.NumParams() > 0 {
		if f.ParamDefault(0) == nil && f.NumParams() > f.NumKwonlyParams() {
			return fn, starlark.Tuple{t}, nil
		}
	}
	return fn, nil, nil
}

// where is the line of the script that calls a method of t.
func where(thread *starlark.Thread) string {
	return thread.CallFrame(1).Pos.String() + ": "
}

func testLog(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := lang.UnpackArgs("t.log", nil, kwargs); err != nil {
		return nil, err
	}
	t := b.Receiver().(*handle)
	fmt.Fprintf(&t.r.out, "%s%s\n", where(thread), words(args))
	return starlark.None, nil
}

func testFail(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := lang.UnpackArgs("t.fail", nil, kwargs); err != nil {
		return nil, err
	}
	t := b.Receiver().(*handle)
	text := words(args)
	if text == "" {
		text = "failed"
	}
	t.r.failed(t.res, where(thread)+text+"\n")
	return starlark.None, nil
}

func testRun(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	var fn starlark.Value
	if err := lang.UnpackArgs("t.run", args, kwargs, "name", &name, "fn", &fn); err != nil {
		return nil, err
	}
	ok, err := b.Receiver().(*handle).sub(thread, name, fn)
	return starlark.Bool(ok), err
}

// skipped is how t.skip ends a test.
type skipped struct{ where, reason string }

func (s *skipped) Error() string { return "skipped: " + s.reason }

// Unwinds implements [lang.Unwinding].
func (s *skipped) Unwinds() {}

func testSkip(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	reason := ""
	if err := lang.UnpackArgs("t.skip", args, kwargs, "reason?", &reason); err != nil {
		return nil, err
	}
	return nil, &skipped{where(thread), reason}
}
