package builtins

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"go.starlark.net/starlark"
	"mvdan.cc/sh/v3/syntax"

	"nsh/runtime/fault"
)

// The two faces of a verb can be written as each other: a command line as the call
// that does the same, and a call as docker's command line.

// Convert gives a command line, already split into words, as the call of a script
// that does the same: `run -d --name web nginx` is
// `run("nginx", detach = True, name = "web")`. What a script has no call for is an
// error of kind invalid, as is what the command line itself would refuse.
func Convert(words []string) (string, error) {
	v, p, err := parseWords(words)
	if err != nil {
		return "", err
	}
	if v.CommandOnly != "" {
		return "", fault.New(fault.Invalid, "%s: only on a command line", v.Paths[0]).WithHint("%s", v.CommandOnly)
	}
	return v.call(p), nil
}

// ConvertEnsure is [Convert] for a script that is run more than once: what makes a
// container with a name, in the background, becomes ensure.container, and pull, network
// create and volume create become ensure.image, network and volume. The first run does the same, and a second one finds nothing to do.
func ConvertEnsure(words []string) (string, error) {
	v, p, err := parseWords(words)
	if err != nil {
		return "", err
	}
	switch p := p.Interface().(type) {
	case *RunParams:
		if p.Detach && p.Name != "" && !p.Rm {
			return EnsureContainer.call(reflect.ValueOf(&ensureContainerParams{CreateOptions: p.CreateOptions, State: "running", Recreate: true})), nil
		}
	case *CreateOptions:
		if p.Name != "" && !p.Rm {
			return EnsureContainer.call(reflect.ValueOf(&ensureContainerParams{CreateOptions: *p, State: "created", Recreate: true})), nil
		}
	case *networkCreateParams:
		return EnsureNetwork.call(reflect.ValueOf(&ensureNetworkParams{NetworkOptions: p.NetworkOptions, Recreate: true})), nil
	case *volumeCreateParams:
		if p.Volume != "" && p.Driver == localDriver {
			return EnsureVolume.call(reflect.ValueOf(&ensureVolumeParams{Volume: p.Volume, Label: p.Label})), nil
		}
	}
	if v == Pull && len(v.given(p)) == 1 {
		return strings.Replace(v.call(p), v.scriptName()+"(", EnsureImage.scriptName()+"(", 1), nil
	}
	return Convert(words)
}

// Reading tells whether a command line changes nothing. One that cannot be read
// changes nothing, either.
func Reading(words []string) bool {
	v, _ := Lookup(words)
	return v == nil || v.Effect == Reads
}

// parseWords reads a command line and runs nothing.
func parseWords(words []string) (*Verb, reflect.Value, error) {
	v, n := Lookup(words)
	if v == nil {
		return nil, reflect.Value{}, fault.New(fault.NotFound, "there is no command %q", strings.Join(words, " "))
	}
	p := v.make()
	v.defaults(p)
	flags := v.flags(p)
	flags.SetInterspersed(!v.FlagsFirst)
	if err := flags.Parse(words[n:]); err != nil {
		return nil, p, fault.New(fault.Invalid, "%s", err)
	}
	if msg := v.bind(p, flags.Args()); msg != "" {
		return nil, p, fault.New(fault.Invalid, "'%s' %s", v.Paths[0], msg)
	}
	return v, p, v.refuse(p)
}

// given are the parameters of p that are not at their default, in their order.
func (v *Verb) given(p reflect.Value) []*param {
	plain := v.make()
	v.defaults(plain)
	var out []*param
	for i := range v.params() {
		q := &v.params()[i]
		if q.notBuilt() {
			continue
		}
		a, b := p.Elem().FieldByIndex(q.index), plain.Elem().FieldByIndex(q.index)
		if !reflect.DeepEqual(a.Interface(), b.Interface()) && !(a.Kind() == reflect.Slice && a.Len() == 0) {
			out = append(out, q)
		}
	}
	return out
}

// call is p as a call in Starlark, as buildifier would write it.
func (v *Verb) call(p reflect.Value) string {
	var args []string
	for _, q := range v.given(p) {
		f := p.Elem().FieldByIndex(q.index)
		switch {
		case q.noScript:
		case q.variadic():
			for i := range f.Len() {
				args = append(args, starlarkText(f.Index(i)))
			}
		case q.arg != "":
			args = append(args, starlarkText(f))
		}
	}
	for _, q := range v.given(p) {
		if q.arg == "" && !q.noScript {
			args = append(args, q.name()+" = "+starlarkText(p.Elem().FieldByIndex(q.index)))
		}
	}
	name := v.scriptName()
	if len(v.Script) > 0 {
		name = v.Script[0]
	}
	line := name + "(" + strings.Join(args, ", ") + ")"
	if len(line) <= 100 {
		return line
	}
	return name + "(\n    " + strings.Join(args, ",\n    ") + ",\n)"
}

// starlarkText is a parameter as a literal.
func starlarkText(f reflect.Value) string {
	switch x := f.Interface().(type) {
	case KeyValues:
		return keyValuesText(x)
	case Bytes:
		return strconv.Quote(bytesText(int64(x)))
	case Duration:
		return strconv.Quote(time.Duration(x).String())
	case FileSet:
		return starlarkText(reflect.ValueOf(x.words()))
	}
	switch f.Kind() {
	case reflect.Pointer:
		return starlarkText(f.Elem())
	case reflect.String:
		return starlark.String(f.String()).String()
	case reflect.Bool:
		return pythonWord(strconv.FormatBool(f.Bool()))
	case reflect.Slice:
		items := make([]string, f.Len())
		for i := range items {
			items[i] = starlarkText(f.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(f.Interface())
}

func keyValuesText(kv KeyValues) string {
	var items []string
	seen := map[string]bool{}
	for _, word := range kv {
		k, v, ok := strings.Cut(word, "=")
		if !ok || seen[k] {
			// A name alone takes the caller's variable: that is no pair.
			return starlarkText(reflect.ValueOf([]string(kv)))
		}
		seen[k] = true
		items = append(items, starlark.String(k).String()+": "+starlark.String(v).String())
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// bytesText is a size as people write it, exact.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		unit string
	}{{units.GiB, "g"}, {units.MiB, "m"}, {units.KiB, "k"}} {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// commandLine is p as a line that docker takes, "" when docker has no such command.
func (v *Verb) commandLine(p reflect.Value) string {
	path := v.Paths[0]
	group, _, _ := strings.Cut(path, " ")
	switch group {
	case "ensure", "absent", "engine", "repair":
		return ""
	}
	if v == Assemble {
		return "" // docker builds
	}
	words := append([]string{"docker"}, strings.Fields(path)...)
	var args, command []string
	for _, q := range v.given(p) {
		f := p.Elem().FieldByIndex(q.index)
		switch {
		case q.noCommand:
		case q.variadic():
			for i := range f.Len() {
				command = append(command, wordText(f.Index(i)))
			}
		case q.arg != "":
			args = append(args, wordText(f))
		case f.Type() == reflect.TypeFor[*[]string]():
			// docker takes one word: the others begin the command.
			list := *f.Interface().(*[]string)
			words = append(words, "--"+q.flag, "")
			if len(list) > 0 {
				words[len(words)-1] = list[0]
				command = append(append([]string{}, list[1:]...), command...)
			}
		case f.Kind() == reflect.Bool && f.Bool() && q.short != "":
			words = append(words, "-"+q.short)
		case f.Kind() == reflect.Bool && f.Bool():
			words = append(words, "--"+q.flag)
		case f.Kind() == reflect.Bool:
			words = append(words, "--"+q.flag+"=false")
		case f.Type() == reflect.TypeFor[FileSet]():
			for _, w := range f.Interface().(FileSet).words() {
				words = append(words, "--"+q.flag, w)
			}
		case f.Kind() == reflect.Slice:
			for i := range f.Len() {
				words = append(words, "--"+q.flag, wordText(f.Index(i)))
			}
		default:
			words = append(words, "--"+q.flag, wordText(f))
		}
	}
	words = append(append(words, args...), command...)
	for i, w := range words {
		if q, err := syntax.Quote(w, syntax.LangPOSIX); err == nil {
			words[i] = q
		}
	}
	return strings.Join(words, " ")
}

// wordText is a parameter as a word.
func wordText(f reflect.Value) string {
	switch x := f.Interface().(type) {
	case Bytes:
		return bytesText(int64(x))
	case Duration:
		return time.Duration(x).String()
	}
	if f.Kind() == reflect.Pointer {
		return wordText(f.Elem())
	}
	return fmt.Sprint(f.Interface())
}

// CheckLine tells what a command line would be refused for before anything is done.
func CheckLine(words []string) error {
	_, _, err := parseWords(words)
	return err
}
