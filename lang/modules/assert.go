package modules

import (
	"fmt"
	"math"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/lang"
	"nsh/runtime/fault"
)

// Assertion is the kind of error of an assertion that does not hold.
const Assertion fault.Kind = "assertion"

// Assert is the module assert. Its functions are in Go so that a failure is reported
// at the line of the script that asserts.
func Assert() *lang.Module {
	const msg = "\n  msg: what stands before the message"
	return lang.NewModule("assert", "what tests claim; a claim that does not hold is a failure",
		lang.Func(`assert.contains(container, item, msg="")`, `Claims that a text has a part, a list an item or a dict a key.

Args:
  container: a text, a list, a dict, …
  item: what is to be in it`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.contains("hello", "ell")`, assertContains),
		lang.Func(`assert.eq(got, want, msg="")`, `Claims that two values are equal. The message tells where they differ.

Args:
  got: what there is
  want: what there should be`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.eq([1, 2][0], 1)`, assertCompare(syntax.EQL)),
		lang.Func(`assert.fails(fn, *args, pattern="", kind="", **kwargs) -> error`, `Claims that a call fails, and gives the error.

Args:
  fn: the function itself; its arguments follow
  pattern: a regular expression that the message fits
  kind: what error.kind is
Example:
  load("@std//assert.star", "assert")
  assert.fails(fail, "no disk", pattern = "no .*")
  assert.fails(lambda: [][1], pattern = "out of range", kind = "invalid")`, assertFails),
		lang.Func(`assert.false(value, msg="")`, `Claims that a value is false in a condition.

Args:
  value: what is looked at`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.false([])`, assertTruth(false)),
		lang.Func(`assert.lt(got, limit, msg="")`, `Claims that a value is less than another.

Args:
  got: what there is
  limit: what it is to be less than`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.lt(1, 2)`, assertCompare(syntax.LT)),
		lang.Func(`assert.matches(text, pattern, msg="")`, `Claims that a regular expression fits somewhere in a text.

Args:
  text: what is looked at
  pattern: RE2's syntax`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.matches("web-12", "^web-[0-9]+$")`, assertMatches),
		lang.Func(`assert.ne(got, other, msg="")`, `Claims that two values are not equal.

Args:
  got: what there is
  other: what it should not be`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.ne(1, 2)`, assertCompare(syntax.NEQ)),
		lang.Func(`assert.near(got, want, tolerance=1e-9, msg="")`, `Claims that two numbers are no further apart than a tolerance.

Args:
  got: what there is
  want: what there should be
  tolerance: how far they may be apart`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.near(0.1 + 0.2, 0.3)`, assertNear),
		lang.Func(`assert.true(value, msg="")`, `Claims that a value is true in a condition.

Args:
  value: what is looked at`+msg+`
Example:
  load("@std//assert.star", "assert")
  assert.true(1 < 2)`, assertTruth(true)))
}

// claim makes the error of a claim that does not hold.
func claim(op, msg, format string, args ...any) error {
	text := op + ": " + fmt.Sprintf(format, args...)
	if msg != "" {
		text = msg + ": " + text
	}
	return fault.New(Assertion, "%s", text)
}

// maxShown bounds a value in a message.
const maxShown = 2000

func show(v starlark.Value) string {
	s := v.String()
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return s
}

func assertCompare(op syntax.Token) lang.GoFunc {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var got, want starlark.Value
		msg := ""
		second := map[syntax.Token]string{syntax.EQL: "want", syntax.NEQ: "other", syntax.LT: "limit"}[op]
		if err := lang.UnpackArgs(b.Name(), args, kwargs, "got", &got, second, &want, "msg?", &msg); err != nil {
			return nil, err
		}
		holds, err := starlark.Compare(op, got, want)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %s", b.Name(), err)
		}
		switch {
		case holds:
			return starlark.None, nil
		case op == syntax.EQL:
			return nil, claim(b.Name(), msg, "%s", difference(got, want))
		case op == syntax.NEQ:
			return nil, claim(b.Name(), msg, "both are %s", show(got))
		}
		return nil, claim(b.Name(), msg, "%s is not less than %s", show(got), show(want))
	}
}

func assertTruth(want bool) lang.GoFunc {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var v starlark.Value
		msg := ""
		if err := lang.UnpackArgs(b.Name(), args, kwargs, "value", &v, "msg?", &msg); err != nil {
			return nil, err
		}
		if bool(v.Truth()) != want {
			return nil, claim(b.Name(), msg, "got %s", show(v))
		}
		return starlark.None, nil
	}
}

func assertContains(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var container, item starlark.Value
	msg := ""
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "container", &container, "item", &item, "msg?", &msg); err != nil {
		return nil, err
	}
	in, err := starlark.Binary(syntax.IN, item, container)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s: %s", b.Name(), err)
	}
	if in != starlark.True {
		return nil, claim(b.Name(), msg, "%s is not in %s", show(item), show(container))
	}
	return starlark.None, nil
}

func assertMatches(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text, pattern, msg string
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "text", &text, "pattern", &pattern, "msg?", &msg); err != nil {
		return nil, err
	}
	re, err := compile(b.Name(), pattern)
	if err != nil {
		return nil, err
	}
	if !re.MatchString(text) {
		return nil, claim(b.Name(), msg, "%s does not match %s", show(starlark.String(text)), starlark.String(pattern))
	}
	return starlark.None, nil
}

func assertNear(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, want starlark.Value
	var tolerance starlark.Value = starlark.Float(1e-9)
	msg := ""
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "got", &got, "want", &want, "tolerance?", &tolerance, "msg?", &msg); err != nil {
		return nil, err
	}
	x, ok1 := starlark.AsFloat(got)
	y, ok2 := starlark.AsFloat(want)
	tol, ok3 := starlark.AsFloat(tolerance)
	if !ok1 || !ok2 || !ok3 {
		return nil, fault.New(fault.Invalid, "%s: got %s, %s and %s, want numbers", b.Name(), got.Type(), want.Type(), tolerance.Type())
	}
	if !(math.Abs(x-y) <= tol) && x != y { // NaN is near nothing
		return nil, claim(b.Name(), msg, "%s and %s are more than %s apart", got, want, tolerance)
	}
	return starlark.None, nil
}

func assertFails(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 {
		return nil, fault.New(fault.Invalid, "%s: missing argument \"fn\"", b.Name())
	}
	fn, ok := args[0].(starlark.Callable)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s: for parameter \"fn\": got %s, want function", b.Name(), args[0].Type()).
			WithHint("pass the function itself, and its arguments after it, or a lambda")
	}
	pattern, kind := "", ""
	var mine, theirs []starlark.Tuple
	for _, kw := range kwargs {
		if key := string(kw[0].(starlark.String)); key == "pattern" || key == "kind" {
			mine = append(mine, kw)
		} else {
			theirs = append(theirs, kw)
		}
	}
	if err := lang.UnpackArgs(b.Name(), nil, mine, "pattern?", &pattern, "kind?", &kind); err != nil {
		return nil, err
	}
	re, err := compile(b.Name(), pattern)
	if err != nil {
		return nil, err
	}
	v, err := starlark.Call(t, fn, args[1:], theirs)
	if err == nil {
		return nil, claim(b.Name(), "", "%s does not fail; it gives %s", fn.Name(), show(v))
	}
	if !lang.Caught(t, err) {
		return nil, err
	}
	e := lang.NewError(err)
	if got, _ := e.Attr("kind"); kind != "" && got != starlark.String(kind) {
		return nil, claim(b.Name(), "", "the failure is of kind %s, not %q: %s", got, kind, e)
	}
	if !re.MatchString(e.String()) {
		return nil, claim(b.Name(), "", "%s does not match %s", starlark.String(e.String()), starlark.String(pattern))
	}
	return e, nil
}
