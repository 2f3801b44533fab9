package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/containerd/errdefs"
)

func TestError(t *testing.T) {
	t.Parallel()
	base := New(NotFound, "No such container: %s", "web").WithHint("look at ps")
	for _, tt := range []struct {
		err  error
		text string
		kind Kind
		hint string
		code int
	}{
		{nil, "", "", "", 0},
		{base, "No such container: web", NotFound, "look at ps", 1},
		{Wrap(base, "start container", "web"), `start container "web": No such container: web`, NotFound, "look at ps", 1},
		{fmt.Errorf("over: %w", base), "over: No such container: web", NotFound, "look at ps", 1},
		{Wrap(fs.ErrPermission, "read", "/x"), `read "/x": permission denied`, Denied, "", 1},
		{Wrap(errdefs.ErrAlreadyExists, "make", ""), "make: already exists", Conflict, "", 1},
		{&Error{Kind: Exit, Message: "exit status 3", Code: 3}, "exit status 3", Exit, "", 3},
		{Wrap(&Error{Kind: Exit, Message: "exit status 3", Code: 3}, "run", "x"), `run "x": exit status 3`, Exit, "", 3},
		{Wrap(context.Canceled, "wait for", "x"), `wait for "x": context canceled`, Cancelled, "", 130},
		{errors.Join(errors.New("a"), base), "a\nNo such container: web", NotFound, "look at ps", 1},
		{errors.New("what"), "what", Internal, "", 1},
	} {
		if tt.err == nil {
			if KindOf(nil) != "" || HintOf(nil) != "" || CodeOf(nil) != 0 || Wrap(nil, "a", "b") != nil {
				t.Error("nil is no error")
			}
			continue
		}
		if tt.err.Error() != tt.text || KindOf(tt.err) != tt.kind || HintOf(tt.err) != tt.hint || CodeOf(tt.err) != tt.code {
			t.Errorf("%q kind %s hint %q code %d, want %q %s %q %d", tt.err, KindOf(tt.err), HintOf(tt.err), CodeOf(tt.err), tt.text, tt.kind, tt.hint, tt.code)
		}
	}
	if !errors.Is(Wrap(fs.ErrNotExist, "read", "x"), fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}
