package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/shell"
)

// jsonDiagnostic is a line of --format json.
type jsonDiagnostic struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Col      int    `json:"col"`
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// checkTool is `nsh check FILE|DIR...`.
func checkTool(_ context.Context, env *builtins.Env, stdio builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("check", pflag.ContinueOnError)
	format := set.String("format", "", "Print the mistakes as json")
	if code, done := toolFlags(set, stdio, "check [OPTIONS] FILE|DIR...", "Find the mistakes in scripts without running them: unknown names, keywords and modules.\n\nThe status is 1 when there is one. A directory stands for all its .star files; - is standard input.", args); done {
		return code
	}
	if set.NArg() == 0 || *format != "" && *format != "json" {
		fmt.Fprintf(stdio.Err, "nsh check: which file?\n\nRun 'nsh check --help' for more information\n")
		return 2
	}
	files, err := starFiles(set.Args())
	if err != nil {
		fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
		return 2
	}
	code := 0
	list := []jsonDiagnostic{}
	names := &language{env: env}
	for _, path := range files {
		src, err := readScript(stdio.In, path)
		if err != nil {
			fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
			code = 2
			continue
		}
		c, _ := names.Checker(path)
		for _, d := range c.Check(path, src) {
			if d.Severity == lang.Mistake {
				code = max(code, 1)
			}
			list = append(list, jsonDiagnostic{path, int(d.Pos.Line), int(d.Pos.Col), d.Severity.String(), d.Code, d.Message, d.Hint})
			if *format == "" {
				fmt.Fprint(stdio.Out, c.Text(d))
			}
		}
	}
	if *format == "json" {
		enc := json.NewEncoder(stdio.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		_ = enc.Encode(list)
	}
	return code
}

// checkerOf is a checker that knows the names of i, and command lines.
func checkerOf(env *builtins.Env, i *lang.Interp) *lang.Checker {
	c := lang.NewChecker(i)
	c.Command = (&shell.Shell{Commands: commands{env: env}, Scripts: scripts{Interp: i, env: env}}).CheckLine
	return c
}

func (c commands) CheckLine(argv []string) error { return builtins.CheckLine(argv) }

// starFiles are the scripts that the words name, those of directories sorted. What is
// hidden, and what lies in testdata, has to be named itself.
func starFiles(words []string) ([]string, error) {
	var out []string
	for _, w := range words {
		w = strings.TrimSuffix(w, "/...")
		st, err := os.Stat(w)
		if w == "-" || err == nil && !st.IsDir() {
			out = append(out, w)
			continue
		}
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(w, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && path != w && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
				return fs.SkipDir
			case d.Type().IsRegular() && strings.HasSuffix(path, ".star"):
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
