package lang

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Error is a failure as a value: what attempt() gives as .error.
type Error struct {
	err error
}

// NewError makes the value of any error.
func NewError(err error) *Error { return &Error{err} }

var _ starlark.HasAttrs = (*Error)(nil)

// message is what went wrong without Starlark's "Error in f:" around it.
func message(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Error()
	}
	var e *starlark.EvalError
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}

// kindOf: what Starlark itself complains about is invalid.
func kindOf(err error) fault.Kind {
	k := fault.KindOf(err)
	var e *starlark.EvalError
	if k == fault.Internal && errors.As(err, &e) {
		return fault.Invalid
	}
	return k
}

func (e *Error) String() string        { return message(e.err) }
func (e *Error) Type() string          { return "error" }
func (e *Error) Freeze()               {}
func (e *Error) Truth() starlark.Bool  { return true }
func (e *Error) Hash() (uint32, error) { return starlark.String(e.String()).Hash() }

// AttrNames are the fields of an error.
func (e *Error) AttrNames() []string {
	return []string{"cause", "exit_code", "hint", "kind", "message", "operation", "subject"}
}

// Attr gives one of them.
func (e *Error) Attr(name string) (starlark.Value, error) {
	var f *fault.Error
	if !errors.As(e.err, &f) {
		f = &fault.Error{}
	}
	switch name {
	case "kind":
		return starlark.String(kindOf(e.err)), nil
	case "message":
		return starlark.String(message(e.err)), nil
	case "operation":
		return starlark.String(f.Op), nil
	case "subject":
		return starlark.String(f.Subject), nil
	case "hint":
		return starlark.String(fault.HintOf(e.err)), nil
	case "exit_code":
		if f.Kind == fault.Exit {
			return starlark.MakeInt(f.Code), nil
		}
		return starlark.None, nil
	case "cause":
		if f.Cause != nil {
			return NewError(f.Cause), nil
		}
		return starlark.None, nil
	}
	return nil, nil
}

// Report is an error for people: where, the line with a caret, how it came
// there, what went wrong, and what to do next. It ends with a newline.
func (i *Interp) Report(err error) string {
	var b strings.Builder
	var names *NameErrors
	var bad syntax.Error
	var ev *starlark.EvalError
	switch {
	case errors.As(err, &names):
		for _, n := range names.List {
			fmt.Fprintf(&b, "%s: %s\n", n.Pos, n.Msg)
			b.WriteString(i.source(n.Pos))
		}
		return b.String()
	case errors.As(err, &bad):
		fmt.Fprintf(&b, "%s: %s\n", bad.Pos, bad.Msg)
		b.WriteString(i.source(bad.Pos))
		if hint := syntaxHint(i.line(bad.Pos)); hint != "" {
			fmt.Fprintf(&b, "hint: %s\n", hint)
		}
		return b.String()
	case errors.As(err, &ev):
		frames := userFrames(ev.CallStack)
		if len(frames) > 0 {
			last := frames[len(frames)-1]
			fmt.Fprintf(&b, "%s: %s\n", last.Pos, message(err))
			b.WriteString(i.source(last.Pos))
			for n := len(frames) - 2; n >= 0; n-- {
				if skip := len(frames) - 2*maxFrames; skip > 0 && n == len(frames)-1-maxFrames {
					fmt.Fprintf(&b, "  … %d more\n", skip)
					n = maxFrames
				}
				fmt.Fprintf(&b, "  called from %s, in %s\n", frames[n].Pos, frames[n].Name)
			}
			break
		}
		fallthrough
	default:
		fmt.Fprintf(&b, "%s\n", message(err))
	}
	if h := fault.HintOf(err); h != "" {
		fmt.Fprintf(&b, "hint: %s\n", h)
	}
	return b.String()
}

// maxFrames are shown of each end of a backtrace: a runaway recursion has 100,000.
const maxFrames = 10

// userFrames leaves out the builtins: their place is no line of anybody's.
func userFrames(stack starlark.CallStack) []starlark.CallFrame {
	var out []starlark.CallFrame
	for _, f := range stack {
		if f.Pos.Line > 0 && f.Pos.Filename() != "<builtin>" {
			out = append(out, f)
		}
	}
	return out
}

func (i *Interp) line(pos syntax.Position) string {
	i.mu.Lock()
	src := i.sources[pos.Filename()]
	i.mu.Unlock()
	lines := strings.Split(string(src), "\n")
	if n := int(pos.Line); n >= 1 && n <= len(lines) {
		return strings.TrimRight(lines[n-1], "\r")
	}
	return ""
}

// source is the line with a caret below it. A tab stays a tab in the line of
// the caret, so that it stands right whatever a tab is.
func (i *Interp) source(pos syntax.Position) string {
	line := i.line(pos)
	if strings.TrimSpace(line) == "" {
		return ""
	}
	var pad strings.Builder
	for n, r := range []rune(line) {
		if n >= int(pos.Col)-1 {
			break
		}
		if r == '\t' {
			pad.WriteByte('\t')
		} else {
			pad.WriteByte(' ')
		}
	}
	return fmt.Sprintf("    %s\n    %s^\n", line, pad.String())
}

// syntaxHint helps with what people of other languages write.
func syntaxHint(line string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch strings.TrimSuffix(word, ":") {
	case "try", "except", "raise":
		return "Starlark has no exceptions: attempt(fn, …) gives struct(ok, value, error), fail(…) fails"
	case "import", "from":
		return `modules are loaded: load("file.star", "name"), load("@std//retry.star", "name")`
	case "class":
		return "Starlark has no classes: struct(name = value, …) makes a value with fields"
	case "with":
		return "defer(fn, …) calls fn at the end"
	}
	if strings.Contains(line, "$(") {
		return `in a script, sh("ps -q").stdout runs a command line`
	}
	return ""
}
