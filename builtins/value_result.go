package builtins

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// Result is how a process ended and what it wrote. It is true in a condition
// when the code is 0, as in a shell.
type Result struct {
	Code   int
	Stdout string
	Stderr string

	// planned names what would have run; nothing did. checked: with a code other
	// than 0 there would be no result.
	planned string
	checked bool
}

var _ = value(func(env *Env, r Result) starlark.Value {
	return &resultValue{record{env: env, v: reflect.ValueOf(r)}, r}
})

// Err is nil for code 0, else the error of kind exit that a script sees unless
// it asked for the result: verb and subject say what ran.
func (r Result) Err(verb, subject string) error {
	if r.Code == 0 {
		return nil
	}
	message := fmt.Sprintf("exit status %d", r.Code)
	if line := lastLine(r.Stderr); line != "" {
		message += ": " + line
	}
	return &fault.Error{Kind: fault.Exit, Op: verb, Subject: subject, Message: message, Code: r.Code,
		Hint: "with check=False the result is returned, whatever the code"}
}

// lastLine is mostly where a program says what went wrong.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

type resultValue struct {
	record
	r Result
}

func (r *resultValue) Truth() starlark.Bool { return r.r.Code == 0 }

func (r *resultValue) String() string {
	s := "<result " + strconv.Itoa(r.r.Code)
	for _, out := range []string{r.r.Stdout, r.r.Stderr} {
		if out != "" {
			s += " " + strconv.Quote(ellipsis(strings.TrimRight(out, "\n"), 60))
		}
	}
	return s + ">"
}

// CompareSameType is by all fields.
func (r *resultValue) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return r.equal(op, &y.(*resultValue).record, true)
}

// AttrNames are those of [Result], and ok.
func (r *resultValue) AttrNames() []string { return []string{"code", "ok", "stderr", "stdout"} }

// Attr gives a field, or ok.
func (r *resultValue) Attr(name string) (starlark.Value, error) {
	if r.r.planned != "" && (!r.r.checked || name == "stdout" || name == "stderr") {
		return nil, plan.NotKnown("the " + name + " of " + r.r.planned)
	}
	if name == "ok" {
		return starlark.Bool(r.r.Code == 0), nil
	}
	return r.record.Attr(name)
}

// ellipsis cuts a text at n characters.
func ellipsis(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
