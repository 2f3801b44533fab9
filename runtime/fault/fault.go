// Package fault is the one error type of nsh.
//
// Every failure that reaches a person or a script carries a kind that code can
// switch on, the operation that was under way, its subject, why it failed, and
// what to do next. The layers add what they know: a runtime package makes the
// error with the subject, [From] classifies what containerd returned, a front
// end prints [Error.Error] and then the hint on a line of its own.
//
// The package imports neither Starlark nor containerd's client, so that both
// the language and the engine side can share it.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/containerd/errdefs"
)

// Kind classifies a failure. The values are what a script sees as error.kind.
type Kind string

// The kinds of design.md, section 3. Internal marks a bug of nsh or a failure
// that nobody classified: it is never chosen on purpose.
const (
	NotFound    Kind = "not_found"
	Conflict    Kind = "conflict"
	Invalid     Kind = "invalid"
	Denied      Kind = "denied"
	Unavailable Kind = "unavailable"
	Timeout     Kind = "timeout"
	Cancelled   Kind = "cancelled"
	Exit        Kind = "exit"
	Internal    Kind = "internal"
	// NotKnown is what a plan cannot tell, as it has done nothing.
	NotKnown Kind = "not_known"
)

// Error is a failure. The zero value is not useful; make one with [New] or
// [Wrap]. An Error is immutable once it has been returned.
type Error struct {
	Kind    Kind
	Op      string // what was being done: "start container"
	Subject string // to what: a name, ID, reference or path
	Message string // why it failed; the whole sentence when Op is empty
	Hint    string // what to do next; empty when there is nothing useful to say
	Code    int    // exit status of the process, for kind Exit; of nsh itself when > 0 otherwise
	Cause   error
}

// Error is docker's wording where docker has one: a message made with an empty
// Op is printed as it stands.
func (e *Error) Error() string {
	msg := e.Message
	if e.Cause != nil {
		if msg == "" {
			msg = e.Cause.Error()
		} else {
			msg += ": " + e.Cause.Error()
		}
	}
	switch {
	case e.Op == "":
		return msg
	case e.Subject == "":
		return e.Op + ": " + msg
	default:
		return fmt.Sprintf("%s %q: %s", e.Op, e.Subject, msg)
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error whose text is the formatted message.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap says what was being done to what when cause happened. The kind is that
// of the cause. It returns nil when cause is nil.
func Wrap(cause error, op, subject string) error {
	if cause == nil {
		return nil
	}
	e := &Error{Kind: KindOf(cause), Op: op, Subject: subject, Cause: cause}
	var inner *Error
	if errors.As(cause, &inner) {
		e.Hint, e.Code = inner.Hint, inner.Code
	}
	return e
}

// With returns a copy of e about subject.
func (e *Error) With(subject string) *Error {
	c := *e
	c.Subject = subject
	return &c
}

// WithHint returns a copy of e that tells what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithCause returns a copy of e with its cause.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Cause = err
	return &c
}

// KindOf classifies any error: an [Error] by its kind, a containerd error by
// its errdefs class (which also covers gRPC status codes that the client has
// translated), the rest by what the standard library can tell.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled), errdefs.IsCanceled(err):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded), errdefs.IsDeadlineExceeded(err):
		return Timeout
	case errdefs.IsNotFound(err), errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errdefs.IsAlreadyExists(err), errdefs.IsConflict(err), errdefs.IsFailedPrecondition(err), errors.Is(err, fs.ErrExist):
		return Conflict
	case errdefs.IsInvalidArgument(err), errdefs.IsOutOfRange(err), errdefs.IsNotImplemented(err):
		return Invalid
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err), errors.Is(err, fs.ErrPermission):
		return Denied
	case errdefs.IsUnavailable(err), errors.Is(err, syscall.ECONNREFUSED):
		return Unavailable
	}
	return Internal
}

// Is reports whether err is of that kind.
func Is(err error, kind Kind) bool { return KindOf(err) == kind }

// HintOf gives the hint of the outermost error that has one.
func HintOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Hint != "" {
			return e.Hint
		}
		if m, ok := err.(interface{ Unwrap() []error }); ok {
			for _, sub := range m.Unwrap() {
				if h := HintOf(sub); h != "" {
					return h
				}
			}
			return ""
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// CodeOf gives the exit status that the process should end with: docker's 125
// for a failure of the engine is chosen by the verb, which sets Code; every
// other failure is 1, success 0.
func CodeOf(err error) int {
	if err == nil {
		return 0
	}
	var e *Error
	for x := err; errors.As(x, &e); x = e.Cause {
		if e.Code > 0 {
			return e.Code
		}
		if e.Cause == nil {
			break
		}
	}
	if Is(err, Cancelled) {
		return 130
	}
	return 1
}
