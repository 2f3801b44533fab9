package builtins

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"nsh/runtime/fault"
)

// The types that a parameter can have beside Go's own. They tell the two faces
// apart: what is a word on a command line may be a value in a script.
type (
	// ContainerRef names a container; in a script it may be a Container.
	ContainerRef string
	// ImageRef names an image; in a script it may be an Image.
	ImageRef string
	// VolumeRef names a volume; in a script it may be a Volume.
	VolumeRef string
	// NetworkRef names a network; in a script it may be a Network.
	NetworkRef string
	// ObjectRef names a container, an image, a volume or a network.
	ObjectRef string
	// KeyValues are k=v words; in a script a dict does, too.
	KeyValues []string
	// Bytes is a size: "64m" or a number of bytes.
	Bytes int64
	// Duration is a time: "1m30s", or a number of seconds in a script.
	Duration time.Duration
	// Words is a list of words that follows the other arguments: a command
	// and its arguments. In a script one list does, too.
	Words []string
	// NotBuilt is a flag that nsh knows of and does not have yet. Giving it
	// is an error that says so: it is never ignored.
	NotBuilt struct{ given bool }
)

// texts are references as words.
func texts[R ~string](refs []R) []string {
	if refs == nil {
		return nil
	}
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = string(r)
	}
	return out
}

// param is one parameter as its struct field declares it:
//
//	arg:"IMAGE"            a positional argument, the word of the usage line;
//	                       "[X]" is optional, a slice takes the rest
//	flag:"detach,d"        a flag with its shorthand
//	alias:"net"            a further, hidden name
//	doc:"…"                one line of help
//	def:"10"               the default
//	type:"list"            what the help calls the type
//	script:"-"             the flag is for command lines only
//	only:"script"          the parameter is for scripts only
//	secret:"yes"           a script may give secrets: nobody sees the value
type param struct {
	index []int
	typ   reflect.Type

	arg      string
	optional bool

	flag  string
	short string
	alias []string
	doc   string
	def   string
	word  string // the type's name in the help

	noScript  bool
	noCommand bool
	secret    bool // takes secrets
}

// name is the keyword of a script.
func (p *param) name() string {
	if p.arg != "" {
		w := strings.ToLower(strings.Trim(strings.Fields(p.arg)[0], "[].|"))
		w, _, _ = strings.Cut(w, "[")
		w, _, _ = strings.Cut(w, "|")
		return scriptWord(w)
	}
	return scriptWord(p.flag)
}

// variadic positionals take all that is left.
func (p *param) variadic() bool { return p.arg != "" && p.typ.Kind() == reflect.Slice }

func (p *param) notBuilt() bool { return p.typ == reflect.TypeFor[NotBuilt]() }

func paramsOf(t reflect.Type, verb string) []param {
	var out []param
	var walk func(t reflect.Type, at []int)
	walk = func(t reflect.Type, at []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			index := append(append([]int(nil), at...), i)
			if f.Anonymous {
				walk(f.Type, index)
				continue
			}
			p := param{index: index, typ: f.Type, arg: f.Tag.Get("arg"), doc: docText(f.Tag.Get("doc")), def: f.Tag.Get("def"), word: f.Tag.Get("type")}
			p.optional = strings.HasPrefix(p.arg, "[")
			p.flag, p.short, _ = strings.Cut(f.Tag.Get("flag"), ",")
			if a := f.Tag.Get("alias"); a != "" {
				p.alias = strings.Split(a, ",")
			}
			p.noScript = f.Tag.Get("script") == "-"
			p.noCommand = f.Tag.Get("only") == "script"
			p.secret = f.Tag.Get("secret") == "yes"
			if (p.arg == "") == (p.flag == "") {
				panic(fmt.Sprintf("builtins: %s: field %s wants either an arg or a flag tag", verb, f.Name))
			}
			if p.word == "" {
				p.word = typeWord(f.Type)
			}
			out = append(out, p)
		}
	}
	walk(t, nil)
	return out
}

// typeWord is what docker's help calls a type.
func typeWord(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Bytes]():
		return "bytes"
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[NotBuilt]():
		return "string"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.Slice:
		return "list"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Uint64:
		return "uint"
	case reflect.Float64:
		return "decimal"
	}
	return t.Kind().String()
}

// setText sets one field from a word of a command line. Repeating adds to a
// list and replaces anything else.
func setText(f reflect.Value, text string) error {
	if s, ok := f.Addr().Interface().(interface{ Set(string) error }); ok {
		return s.Set(text)
	}
	switch f.Type() {
	case reflect.TypeFor[Bytes]():
		n, err := parseBytes(text)
		if err != nil {
			return err
		}
		f.SetInt(n)
		return nil
	case reflect.TypeFor[Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		f.SetInt(int64(d))
		return nil
	case reflect.TypeFor[NotBuilt]():
		f.Set(reflect.ValueOf(NotBuilt{given: true}))
		return nil
	}
	switch f.Kind() {
	case reflect.Pointer:
		v := reflect.New(f.Type().Elem())
		if err := setText(v.Elem(), text); err != nil {
			return err
		}
		f.Set(v)
	case reflect.String:
		f.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return err
		}
		f.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			return err
		}
		f.SetInt(n)
	case reflect.Uint16, reflect.Uint64:
		n, err := strconv.ParseUint(text, 0, f.Type().Bits())
		if err != nil {
			return err
		}
		f.SetUint(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		f.SetFloat(n)
	case reflect.Slice:
		e := reflect.New(f.Type().Elem()).Elem()
		if err := setText(e, text); err != nil {
			return err
		}
		f.Set(reflect.Append(f, e))
	default:
		panic("builtins: a parameter cannot be a " + f.Type().String())
	}
	return nil
}

// parseBytes takes docker's sizes: a number with k, m, g, t, p, also with a b
// behind it. -1, which docker takes for "no limit", passes through.
func parseBytes(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, fmt.Errorf("invalid size: '%s'", s)
	}
	return n, nil
}

// defaults sets the fields that have one.
func (v *Verb) defaults(p reflect.Value) {
	for i := range v.params() {
		if d := v.params()[i].def; d != "" {
			f := p.Elem().FieldByIndex(v.params()[i].index)
			if f.Kind() == reflect.Slice {
				continue // a default of a list is for the help: giving one replaces it
			}
			if err := setText(f, d); err != nil {
				panic(fmt.Sprintf("builtins: %s: default of --%s: %v", v.Paths[0], v.params()[i].flag, err))
			}
		}
	}
}

// refuse gives the error for parameters that are not built.
func (v *Verb) refuse(p reflect.Value) error {
	for i := range v.params() {
		if !v.params()[i].notBuilt() {
			continue
		}
		if p.Elem().FieldByIndex(v.params()[i].index).Interface().(NotBuilt).given {
			return fault.New(fault.Invalid, "%s: --%s is not built yet", v.name(), v.params()[i].flag).
				WithHint("leave the flag out; %s", v.params()[i].doc)
		}
	}
	return nil
}
