package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang/format"
	"nsh/runtime/fault"
)

// fmtTool is `nsh fmt FILE|DIR...`.
func fmtTool(_ context.Context, env *builtins.Env, stdio builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("fmt", pflag.ContinueOnError)
	diff := set.BoolP("diff", "d", false, "Print what would be changed, and change nothing")
	list := set.BoolP("list", "l", false, "Print the names of the files that would be changed, and change nothing")
	check := set.Bool("check", false, "Change nothing, and end with status 1 when a file would be changed")
	if code, done := toolFlags(set, stdio, "fmt [OPTIONS] FILE|DIR...", "Write scripts in the one style of Starlark, buildifier's.\n\nA directory stands for all its .star files; - is standard input, which is written to standard output.", args); done {
		return code
	}
	files, err := starFiles(set.Args())
	if err != nil || len(files) == 0 {
		if err == nil {
			err = fault.New(fault.Invalid, "fmt: which file?")
		}
		fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
		return 2
	}
	code := 0
	for _, path := range files {
		src, err := readScript(stdio.In, path)
		var out []byte
		if err == nil {
			out, err = format.Source(path, src)
		}
		if err != nil {
			fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
			if h := fault.HintOf(err); h != "" {
				fmt.Fprintf(stdio.Err, "hint: %s\n", h)
			}
			code = 2
			continue
		}
		changed := !bytes.Equal(src, out)
		if changed && (*diff || *list || *check) {
			code = max(code, map[bool]int{true: 1}[*check])
			if *list {
				fmt.Fprintln(stdio.Out, path)
			}
			if *diff {
				text, _ := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(string(src)), B: difflib.SplitLines(string(out)), FromFile: path, ToFile: path + " (formatted)", Context: 3})
				fmt.Fprint(stdio.Out, text)
			}
			continue
		}
		switch {
		case *diff || *list || *check:
		case path == "-":
			_, err = stdio.Out.Write(out)
		case changed:
			err = replaceFile(path, out)
		}
		if err != nil {
			fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
			code = 2
		}
	}
	return code
}

// replaceFile puts data in the place of a file at once, with the mode that it has. Of a
// link the file that it leads to is replaced.
func replaceFile(path string, data []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fault.Wrap(err, "write", path)
	}
	st, err := os.Stat(real)
	if err != nil {
		return fault.Wrap(err, "write", path)
	}
	f, err := os.CreateTemp(filepath.Dir(real), ".nsh-fmt-")
	if err != nil {
		return fault.Wrap(err, "write", path)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	for _, step := range []func() error{func() error { return f.Chmod(st.Mode().Perm()) }, f.Sync, f.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err == nil {
		err = os.Rename(f.Name(), real)
	}
	return fault.Wrap(err, "write", path)
}
