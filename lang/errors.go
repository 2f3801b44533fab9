package lang

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Error is a failure as a value: what attempt() gives as .error.
type Error struct {
	err  error
	text string // the message with what the interpreter knows of it; "" when it was not asked
}

// NewError makes the value of any error.
func NewError(err error) *Error { return &Error{err: err} }

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
		if f := (*fault.Error)(nil); !errors.As(err, &f) {
			return fault.Invalid
		}
	}
	return k
}

func (e *Error) String() string {
	if e.text != "" {
		return e.text
	}
	return message(e.err)
}
func (e *Error) Type() string          { return "error" }
func (e *Error) Freeze()               {}
func (e *Error) Truth() starlark.Bool  { return true }
func (e *Error) Hash() (uint32, error) { return starlark.String(e.String()).Hash() }

// Unwrap gives the failure itself.
func (e *Error) Unwrap() error { return e.err }

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
		return starlark.String(e.String()), nil
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
		var because *because
		switch {
		case errors.As(e.err, &because):
			return because.cause, nil
		case f.Cause != nil:
			return NewError(f.Cause), nil
		}
		return starlark.None, nil
	}
	return nil, nil
}

// because is a failure that fail(cause=…) made. The cause is no part of the chain
// that errors.As walks: its kind, its hint and its place are another failure's.
type because struct {
	failure *fault.Error
	cause   *Error
}

func (b *because) Error() string { return b.failure.Error() }
func (b *because) Unwrap() error { return b.failure }

// elsewhere is a failure on another thread. Starlark takes the failure of a call
// on this thread for one whose frames are noted already, and drops ours.
type elsewhere struct{ err error }

func (e *elsewhere) Error() string { return message(e.err) }
func (e *elsewhere) Unwrap() error { return e.err }

// crashed is the error for a panic in a function in Go.
func crashed(what any) error {
	e := fault.New(fault.Internal, "a function of nsh broke: %v", what)
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if f.File != "" && !strings.HasPrefix(f.Function, "runtime.") {
			e.Message += fmt.Sprintf(" (%s:%d)", path.Base(f.File), f.Line)
			break
		}
		if !more {
			break
		}
	}
	return e.WithHint("that is a mistake in nsh, not in the script")
}

// maxCauses are shown of a chain.
const maxCauses = 10

// Report is an error for people: where, the line with a caret, how it came
// there, what went wrong, and what to do next. It ends with a newline.
func (i *Interp) Report(err error) string { return i.Scrub(visible(i.report(err))) }

func (i *Interp) report(err error) string {
	var b strings.Builder
	var names *NameErrors
	var bad syntax.Error
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
	}
	frames, text := i.trace(err)
	// What is wrong is rather how the standard library was called than what it does.
	var inside []starlark.CallFrame
	if own := slices.IndexFunc(frames, func(f starlark.CallFrame) bool { return !strings.HasPrefix(f.Pos.Filename(), std) }); own > 0 {
		inside, frames = frames[:own], frames[own:]
	}
	if len(frames) > 0 {
		fmt.Fprintf(&b, "%s: ", frames[0].Pos)
	}
	fmt.Fprintf(&b, "%s\n", text)
	if len(frames) > 0 {
		b.WriteString(i.source(frames[0].Pos))
		if len(inside) > 0 {
			fmt.Fprintf(&b, "  it failed at %s, in %s\n", inside[0].Pos, inside[0].Name)
		}
		for n := 1; n < len(frames); n++ {
			if skip := len(frames) - 2*maxFrames; skip > 0 && n == maxFrames {
				fmt.Fprintf(&b, "  … %d more\n", skip)
				n = len(frames) - maxFrames
			}
			fmt.Fprintf(&b, "  called from %s, in %s\n", frames[n].Pos, frames[n].Name)
		}
	}
	var why *because
	for n, e := 0, err; n < maxCauses && errors.As(e, &why); n++ {
		e = why.cause.err
		frames, text := i.trace(e)
		b.WriteString("caused by: ")
		if len(frames) > 0 {
			fmt.Fprintf(&b, "%s: ", frames[0].Pos)
		}
		fmt.Fprintf(&b, "%s\n", text)
		why = nil
	}
	if h := fault.HintOf(err); h != "" {
		fmt.Fprintf(&b, "hint: %s\n", h)
	}
	return b.String()
}

// trace gives the frames of a failure, the innermost first and over all threads
// that it came through, and its message.
func (i *Interp) trace(err error) (frames []starlark.CallFrame, text string) {
	text = message(err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		ev, ok := e.(*starlark.EvalError)
		if !ok {
			continue
		}
		stack := userFrames(ev.CallStack)
		// What is wrong with the arguments is to be mended where the call is.
		if at := len(stack) - 1; at >= 0 && stack[at] == ev.CallStack[len(ev.CallStack)-1] && refusesArguments(ev, stack[at].Name) {
			text += i.suggest(ev.Msg, stack[at])
			stack = stack[:at]
		}
		slices.Reverse(stack)
		frames = append(stack, frames...)
	}
	return frames, text
}

// refusesArguments tells whether a function in Starlark was called wrongly. The
// library says so with the function itself as the innermost frame.
func refusesArguments(ev *starlark.EvalError, name string) bool {
	rest, ok := strings.CutPrefix(ev.Msg, "function "+name+" ")
	if !ok {
		return false
	}
	for _, p := range []string{"accepts ", "got an unexpected keyword argument ", "got multiple values for ", "missing "} {
		if strings.HasPrefix(rest, p) {
			return true
		}
	}
	return false
}

// suggest gives the parameter that a keyword is nearly called.
func (i *Interp) suggest(msg string, at starlark.CallFrame) string {
	_, keyword, ok := strings.Cut(msg, "got an unexpected keyword argument ")
	if !ok {
		return ""
	}
	keyword = strings.Trim(keyword, `"`)
	i.mu.Lock()
	src := i.sources[at.Pos.Filename()]
	i.mu.Unlock()
	file, err := dialect.Parse(at.Pos.Filename(), src, 0)
	if err != nil {
		return ""
	}
	// Of several functions of that name it is the one that the frame is in.
	var def *syntax.DefStmt
	syntax.Walk(file, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.DefStmt); ok && d.Name.Name == at.Name {
			if from, to := d.Span(); from.Line <= at.Pos.Line && at.Pos.Line <= to.Line {
				def = d
			}
		}
		return true
	})
	if def == nil {
		return ""
	}
	d := &Doc{}
	d.params(def, "")
	var names []string
	for _, p := range d.Params {
		if !p.Variadic && !p.Extra {
			names = append(names, p.Name)
		}
	}
	if near := Closest(keyword, names); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// newError is [NewError] with what the interpreter can add to the message.
func (i *Interp) newError(err error) *Error {
	_, text := i.trace(err)
	return &Error{err: err, text: text}
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
	runes := []rune(line)
	before := visible(string(runes[:max(0, min(int(pos.Col)-1, len(runes)))]))
	var pad strings.Builder
	for n, part := range strings.Split(before, "\t") {
		if n > 0 {
			pad.WriteByte('\t')
		}
		pad.WriteString(strings.Repeat(" ", cells.StringWidth(part)))
	}
	return fmt.Sprintf("    %s\n    %s^\n", visible(line), pad.String())
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
