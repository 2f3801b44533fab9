package builtins

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
	"nsh/runtime/host"
	"nsh/runtime/plan"
)

// plannedFiles are what the changes of a plan would have made of files, so that what
// comes after finds what it expects. A nil *plannedFiles, without a plan, knows of none.
type plannedFiles struct {
	mu    sync.Mutex
	texts map[string]string
	gone  map[string]bool
}

type plannedFilesKey struct{}

func filesOf(p *plan.Plan) *plannedFiles {
	if p == nil {
		return nil
	}
	return p.State(plannedFilesKey{}, func() any { return &plannedFiles{texts: map[string]string{}, gone: map[string]bool{}} }).(*plannedFiles)
}

// get tells what is planned for a resolved path: its text, or that it is gone.
func (f *plannedFiles) get(path string) (text string, written, gone bool) {
	if f == nil {
		return "", false, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if text, ok := f.texts[path]; ok {
		return text, true, false
	}
	for at := path; ; at = filepath.Dir(at) {
		if f.gone[at] {
			return "", false, true
		}
		if at == filepath.Dir(at) {
			return "", false, false
		}
	}
}

// below gives the names in a directory that would be new, and those that would be gone.
func (f *plannedFiles) below(dir string) (added, gone []string) {
	if f == nil {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for path := range f.texts {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) && rel != "." {
			name, _, _ := strings.Cut(rel, "/")
			added = append(added, name)
		}
	}
	for path := range f.gone {
		if filepath.Dir(path) == dir {
			gone = append(gone, filepath.Base(path))
		}
	}
	return added, gone
}

func (f *plannedFiles) write(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.texts[path] = text
	// What was in a directory that went stays gone; the path itself is there again.
	delete(f.gone, path)
}

func (f *plannedFiles) remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := range f.texts {
		if rel, err := filepath.Rel(path, at); err == nil && filepath.IsLocal(rel) {
			delete(f.texts, at)
		}
	}
	f.gone[path] = true
}

// read is host.Read with the plan over it.
func (f *plannedFiles) read(path string, max int64) (string, error) {
	text, written, gone := f.get(path)
	switch {
	case gone:
		return "", &fault.Error{Kind: fault.NotFound, Op: "read", Subject: path, Message: "the plan has removed it"}
	case written && int64(len(text)) > max:
		return "", &fault.Error{Kind: fault.Invalid, Op: "read", Subject: path, Message: "it is too long", Hint: "max=… allows more"}
	case written:
		return text, nil
	}
	return host.Read(path, max)
}

func (f *plannedFiles) exists(path string) (bool, error) {
	_, written, gone := f.get(path)
	added, _ := f.below(path)
	if written || len(added) > 0 {
		return true, nil
	}
	if gone {
		return false, nil
	}
	return host.Exists(path)
}

func (f *plannedFiles) list(dir string) ([]string, error) {
	added, removed := f.below(dir)
	var names []string
	if _, _, gone := f.get(dir); !gone {
		var err error
		if names, err = host.List(dir); err != nil && (len(added) == 0 || !fault.Is(err, fault.NotFound)) {
			return nil, err
		}
	} else if len(added) == 0 {
		return nil, &fault.Error{Kind: fault.NotFound, Op: "list", Subject: dir, Message: "the plan has removed it"}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(removed, n) })
	names = append(names, added...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// textDiff is what differs between two texts: the lines between those at the start and
// at the end that are the same.
func textDiff(from, to string) plan.Field {
	a, b := strings.SplitAfter(from, "\n"), strings.SplitAfter(to, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	short := func(lines []string) string {
		return ellipsis(strings.TrimRight(strings.Join(lines, ""), "\n"), 200)
	}
	return plan.Field{Name: "text", From: short(a), To: short(b)}
}

// plannedResult is the result of a program that a plan has not run: it is taken to end
// well, and what it would write is not known.
type plannedResult struct{ subject string }

var _ starlark.HasAttrs = plannedResult{}

func (r plannedResult) String() string        { return "<result planned>" }
func (r plannedResult) Type() string          { return "result" }
func (r plannedResult) Freeze()               {}
func (r plannedResult) Truth() starlark.Bool  { return true }
func (r plannedResult) Hash() (uint32, error) { return starlark.String(r.subject).Hash() }
func (r plannedResult) AttrNames() []string   { return []string{"code", "ok", "stderr", "stdout"} }

func (r plannedResult) Attr(name string) (starlark.Value, error) {
	switch name {
	case "code":
		return starlark.MakeInt(0), nil
	case "ok":
		return starlark.True, nil
	case "stdout", "stderr":
		return nil, plan.NotKnown("what " + r.subject + " writes")
	}
	return nil, nil
}
