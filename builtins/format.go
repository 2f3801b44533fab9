package builtins

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/templates"

	"nsh/lang"
	"nsh/runtime/fault"
)

// Docker's help texts of --format, of lists and of inspect. A tag of a struct
// cannot name a constant, so the struct says doc:"@list" and doc:"@inspect".
const (
	listFormatHelp = `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates`

	inspectFormatHelp = `Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates`
)

// docText expands the names of texts that several verbs share.
func docText(doc string) string {
	switch doc {
	case "@list":
		return listFormatHelp
	case "@inspect":
		return inspectFormatHelp
	}
	return doc
}

// Filters are the conditions of a list, "name=value" each.
type Filters []string

// Set adds one from a command line.
func (f *Filters) Set(word string) error {
	if word == "" {
		return nil
	}
	name, val, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("bad format of filter (expected name=value)")
	}
	*f = append(*f, strings.ToLower(strings.TrimSpace(name))+"="+strings.TrimSpace(val))
	return nil
}

// configFormat is the format of a list that the user has set in docker's
// config.json: psFormat, imagesFormat. A file that cannot be read sets none.
func configFormat(key string) string {
	format, _ := config()[key].(string)
	return format
}

// configStrings are the texts of a list there.
func configStrings(key string) []string {
	list, _ := config()[key].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// config is docker's config.json, as far as it can be read.
func config() map[string]any {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		dir = filepath.Join(home, ".docker")
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil
	}
	var out map[string]any
	if json.Unmarshal(data, &out) != nil {
		return nil
	}
	return out
}

// rows writes a list through docker's formatter: each row is a pointer to a
// struct whose methods are the columns, header has their titles. kind is what
// docker calls the type of its rows.
func rows[R formatter.SubContext](w io.Writer, format formatter.Format, kind string, header formatter.SubContext, list []R) error {
	// The formatter writes cell by cell.
	out := bufio.NewWriter(w)
	ctx := formatter.Context{Output: out, Format: format}
	err := ctx.Write(header, func(write func(formatter.SubContext) error) error {
		for _, r := range list {
			if err := write(r); err != nil {
				return err
			}
		}
		return nil
	})
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return columnError(err, kind, *new(R))
}

// tryTemplate tells what is wrong with a template before anything is asked.
// sample is a row without content.
func tryTemplate(format, kind string, sample any) error {
	tmpl, err := templates.Parse(format)
	if err != nil {
		return wrong(fmt.Errorf("failed to parse template: %w", err))
	}
	if err := tmpl.Execute(io.Discard, sample); err != nil {
		return columnError(fmt.Errorf("failed to execute template: %w", err), kind, sample)
	}
	return nil
}

var noColumn = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`can't evaluate field (\w+) in type (\S+)$`) })

// columnError is docker's for a column that is not there, with the one that it
// may have been meant for.
func columnError(err error, kind string, row any) error {
	if err == nil {
		return nil
	}
	m := noColumn().FindStringSubmatch(err.Error())
	if m == nil {
		return wrong(err)
	}
	f := fault.New(fault.Invalid, "%s", strings.Replace(err.Error(), m[2], kind, 1))
	var columns []string
	for i, t := 0, reflect.TypeOf(row); i < t.NumMethod(); i++ {
		columns = append(columns, t.Method(i).Name)
	}
	if near := lang.Closest(m[1], columns); near != "" {
		f = f.WithHint("did you mean .%s?", near)
	}
	return wrong(f)
}

// templateError is docker's exit status for a template that cannot be parsed.
func templateError(err error) error {
	return usageError{&fault.Error{Kind: fault.Invalid, Message: "template parsing error: " + err.Error(), Code: 64}}
}
