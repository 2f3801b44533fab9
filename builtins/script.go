package builtins

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
)

// reserved are the words that Starlark's scanner keeps from being a name, even
// after a dot. A verb that is called so gets an underscore behind its name, as
// Python people do it: image.load_, image.import_.
var reserved = map[string]bool{
	"and": true, "as": true, "async": true, "await": true, "break": true, "class": true, "continue": true,
	"def": true, "del": true, "elif": true, "else": true, "except": true, "finally": true, "for": true, "from": true,
	"global": true, "if": true, "import": true, "in": true, "is": true, "lambda": true, "load": true, "nonlocal": true,
	"not": true, "or": true, "pass": true, "raise": true, "return": true, "try": true, "while": true, "with": true, "yield": true,
}

// scriptWord makes a word of a command line a name in a script.
func scriptWord(word string) string {
	word = strings.ReplaceAll(word, "-", "_")
	if reserved[word] {
		return word + "_"
	}
	return word
}

// Builtin is the verb as a Starlark function. What it does, the order of its
// arguments and the names of its keywords come from the definition.
func (v *Verb) Builtin(env *Env) *lang.Builtin { return v.builtin(env, v.scriptName()) }

// builtin is the function under the name that its errors use.
func (v *Verb) builtin(env *Env, name string) *lang.Builtin {
	return lang.NewBuiltin(name, v.Doc, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		value, err := v.script(thread, env, name, args, kwargs)
		if err != nil {
			return nil, err
		}
		return ToStarlark(env, value)
	})
}

// script makes one call from Starlark and gives what the verb returned.
func (v *Verb) script(thread *starlark.Thread, env *Env, name string, args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	if v.CommandOnly != "" {
		return nil, fault.New(fault.Invalid, "%s: only on a command line", name).WithHint("%s", v.CommandOnly)
	}
	p := v.make()
	v.defaults(p)
	if err := v.unpack(p, name, args, kwargs); err != nil {
		return nil, err
	}
	c := &Call{Context: lang.Context(thread), Env: env, Verb: v, Script: true, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: env.notices()}
	value, err := v.invoke(c, p)
	if err != nil {
		return nil, scriptError(err)
	}
	return value, nil
}

// scriptError makes one [fault.Error] of what a verb failed with, so that a
// script can ask it for its kind: of several failures the kind and the hint are
// those of the first.
func scriptError(err error) error {
	var usage usageError
	if errors.As(err, &usage) {
		return usage.err
	}
	var status exitStatus
	if errors.As(err, &status) {
		return &fault.Error{Kind: fault.Exit, Message: status.Error(), Code: int(status)}
	}
	all := flatten(err)
	if len(all) == 1 {
		return all[0]
	}
	lines := make([]string, len(all))
	for i, e := range all {
		lines[i] = e.Error()
	}
	first := fault.New(fault.KindOf(all[0]), "%s", strings.Join(lines, "\n"))
	first.Hint, first.Code = fault.HintOf(all[0]), fault.CodeOf(all[0])
	return first
}

// unpack puts the arguments of a call into p. Its errors are worded the same
// for all verbs.
func (v *Verb) unpack(p reflect.Value, name string, args starlark.Tuple, kwargs []starlark.Tuple) error {
	bad := func(format string, a ...any) error {
		return fault.New(fault.Invalid, "%s: %s", name, fmt.Sprintf(format, a...)).WithHint("%s", v.synopsis())
	}
	given := map[string]bool{}
	rest, positional := args, 0
	for i := range v.params() {
		q := &v.params()[i]
		if q.arg == "" || q.noScript {
			continue
		}
		positional++
		if len(rest) == 0 {
			continue
		}
		f, n := p.Elem().FieldByIndex(q.index), 1
		var err error
		if q.variadic() {
			n = len(rest)
			err = setVariadic(f, rest)
		} else {
			err = setValue(f, rest[0])
		}
		if err != nil {
			return bad("for parameter %q: %v", q.name(), err)
		}
		rest = rest[n:]
		given[q.name()] = true
	}
	if len(rest) > 0 {
		return bad("got %s, want at most %d: the others have a name, as in %s", plural(len(args)), positional, v.example())
	}
	for _, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		q := v.keyword(key)
		switch {
		case q == nil:
			if near := lang.Closest(key, v.keywords()); near != "" {
				return fault.New(fault.Invalid, "%s: unexpected keyword %q (did you mean %q?)", name, key, near)
			}
			return bad("unexpected keyword %q", key)
		case q.noScript:
			return bad("keyword %q is for command lines only", key)
		case given[q.name()]:
			return bad("got multiple values for parameter %q", key)
		case kv[1] == starlark.None:
			continue // as if it had not been given
		}
		given[q.name()] = true
		f := p.Elem().FieldByIndex(q.index)
		val, err := reveal(kv[1], q.secret)
		switch {
		case err != nil:
		case q.variadic():
			err = setVariadic(f, starlark.Tuple{val})
		default:
			err = setValue(f, val)
		}
		if err != nil {
			return bad("for parameter %q: %v", key, err)
		}
	}
	for i := range v.params() {
		if q := &v.params()[i]; q.arg != "" && !q.optional && !q.noScript && !given[q.name()] {
			return bad("missing argument %q", q.name())
		}
	}
	return nil
}

// revealed gives the keywords of a call with the secrets of some as texts.
func revealed(fn string, kwargs []starlark.Tuple, names ...string) ([]starlark.Tuple, error) {
	out := make([]starlark.Tuple, len(kwargs))
	for i, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		v, err := reveal(kv[1], slices.Contains(names, key))
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: for parameter %q: %v", fn, key, err)
		}
		out[i] = starlark.Tuple{kv[0], v}
	}
	return out, nil
}

// reveal gives a value with its secrets as texts, for a parameter that may have them.
func reveal(v starlark.Value, allowed bool) (starlark.Value, error) {
	return revealDeep(v, allowed, 0)
}

func revealDeep(v starlark.Value, allowed bool, depth int) (starlark.Value, error) {
	// No parameter is deeper, and a list may hold itself.
	if depth > 4 {
		return v, nil
	}
	switch x := v.(type) {
	case *lang.Secret:
		if !allowed {
			return nil, fmt.Errorf("got secret: it would be seen there; env and stdin take secrets")
		}
		return starlark.String(x.Reveal()), nil
	case *starlark.List:
		out := make([]starlark.Value, x.Len())
		for i := range out {
			var err error
			if out[i], err = revealDeep(x.Index(i), allowed, depth+1); err != nil {
				return nil, err
			}
		}
		return starlark.NewList(out), nil
	case *starlark.Dict:
		out := starlark.NewDict(x.Len())
		for _, kv := range x.Items() {
			val, err := revealDeep(kv[1], allowed, depth+1)
			if err != nil {
				return nil, err
			}
			if err := out.SetKey(kv[0], val); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// keyword finds a parameter by its name in a script, or by one of its aliases.
func (v *Verb) keyword(name string) *param {
	for i := range v.params() {
		q := &v.params()[i]
		if q.name() == name {
			return q
		}
		for _, a := range q.alias {
			if strings.ReplaceAll(a, "-", "_") == name {
				return q
			}
		}
	}
	return nil
}

// keywords are the names that a script may use, as a suggestion and in help.
func (v *Verb) keywords() []string {
	var out []string
	for i := range v.params() {
		if q := &v.params()[i]; !q.noScript && !q.notBuilt() {
			out = append(out, q.name())
		}
	}
	return out
}

// example shows one keyword of the verb in use.
func (v *Verb) example() string {
	for i := range v.params() {
		q := &v.params()[i]
		if q.flag == "" || q.noScript || q.notBuilt() {
			continue
		}
		switch q.typ.Kind() {
		case reflect.Bool:
			return q.name() + " = True"
		case reflect.String:
			return q.name() + ` = "…"`
		}
	}
	return "name = value"
}

// longSignature is what fits on a line or two.
const longSignature = 160

// synopsis is the signature, cut after the positional arguments when there is
// more than one wants to read in an error.
func (v *Verb) synopsis() string {
	s := v.Signature()
	if len(s) <= longSignature {
		return s
	}
	parts := []string{}
	for i := range v.params() {
		if q := &v.params()[i]; q.arg != "" && !q.noScript {
			if q.variadic() {
				parts = append(parts, "*"+q.name())
			} else {
				parts = append(parts, q.name())
			}
		}
	}
	return fmt.Sprintf("%s(%s); %s? lists the keywords", v.scriptName(), strings.Join(append(parts, "…"), ", "), v.scriptName())
}

// Signature is how a script calls the verb: "stop(*container, signal=None)".
func (v *Verb) Signature() string { return v.Doc().Signature() }

func pythonWord(def string) string {
	switch def {
	case "true":
		return "True"
	case "false":
		return "False"
	}
	return def
}

// Doc is the verb as a function of a script.
func (v *Verb) Doc() *lang.Doc {
	d := &lang.Doc{Name: v.scriptName(), Short: v.Short, Example: v.Example}
	if v.CommandOnly != "" {
		d.Long = "Only on a command line: " + v.CommandOnly
	}
	for i := range v.params() {
		q := &v.params()[i]
		if q.noScript || q.notBuilt() {
			continue
		}
		p := lang.Param{Name: q.name(), Type: q.word, Doc: q.doc, Named: q.arg == ""}
		for _, a := range q.alias {
			p.Alias = append(p.Alias, strings.ReplaceAll(a, "-", "_"))
		}
		switch {
		case q.variadic():
			p.Variadic = true
		case q.arg != "" && !q.optional:
		case q.arg != "":
			p.Default = "None"
		case q.def != "" && q.typ.Kind() == reflect.String:
			p.Default = strconv.Quote(q.def)
		case q.def != "" && q.typ.Kind() != reflect.Slice:
			p.Default = pythonWord(q.def)
		case q.typ.Kind() == reflect.Bool:
			p.Default = "False"
		case q.typ.Kind() == reflect.Slice:
			p.Default = "[]"
		default:
			p.Default = "None"
		}
		d.Params = append(d.Params, p)
	}
	// What comes before *command may stand before it only.
	sort.SliceStable(d.Params, func(a, b int) bool { return !d.Params[a].Named && d.Params[b].Named })
	if v.CommandOnly == "" {
		d.Docker = v.usage(&Env{Program: "docker"}, v.Paths[0])
	}
	return d
}

// ScriptVerb finds the verb behind the name of a Starlark function: "run",
// "containers", "image.load_".
func ScriptVerb(name string) *Verb {
	if v := byScript[name]; v != nil {
		return v
	}
	for _, v := range registry {
		for _, p := range v.Paths {
			group, word, ok := strings.Cut(p, " ")
			if !ok && p == name || ok && group+"."+scriptWord(word) == name {
				return v
			}
		}
	}
	return nil
}

// wants is the error for a value of the wrong type.
func wants(got starlark.Value, want string) error {
	return fmt.Errorf("got %s, want %s", got.Type(), want)
}

// setVariadic sets a positional parameter that takes what is left: several
// arguments, or all of them as one list.
func setVariadic(f reflect.Value, args starlark.Tuple) error {
	items := []starlark.Value(args)
	if len(args) == 1 {
		if list, ok := args[0].(starlark.Iterable); ok && !isDict(args[0]) {
			items = collect(list)
		}
	}
	out := reflect.MakeSlice(f.Type(), len(items), len(items))
	for i, item := range items {
		if err := setItem(out.Index(i), item); err != nil {
			return err
		}
	}
	f.Set(out)
	return nil
}

func isDict(v starlark.Value) bool {
	_, ok := v.(starlark.IterableMapping)
	return ok
}

func collect(list starlark.Iterable) []starlark.Value {
	var out []starlark.Value
	it := list.Iterate()
	defer it.Done()
	for x := starlark.Value(nil); it.Next(&x); {
		out = append(out, x)
	}
	return out
}

// setItem sets an element of a list. Among words a number can only be meant as
// its text: publish=[8080], run("alpine", "sleep", 5).
func setItem(f reflect.Value, v starlark.Value) error {
	if n, ok := v.(starlark.Int); ok && f.Type() == reflect.TypeFor[string]() {
		f.SetString(n.String())
		return nil
	}
	return setValue(f, v)
}

// setValue sets one field from a Starlark value. It tells only what is wrong
// with the value: the caller knows which parameter it is.
func setValue(f reflect.Value, v starlark.Value) error {
	if u, ok := f.Addr().Interface().(starlark.Unpacker); ok {
		return u.Unpack(v)
	}
	switch f.Kind() {
	case reflect.Pointer:
		x := reflect.New(f.Type().Elem())
		if err := setValue(x.Elem(), v); err != nil {
			return err
		}
		f.Set(x)
	case reflect.String:
		s, ok := starlark.AsString(v)
		if !ok {
			return wants(v, "string")
		}
		f.SetString(s)
	case reflect.Bool:
		b, ok := v.(starlark.Bool)
		if !ok {
			return wants(v, "bool")
		}
		f.SetBool(bool(b))
	case reflect.Int, reflect.Int64:
		n, ok := v.(starlark.Int)
		if !ok {
			return wants(v, "int")
		}
		i, ok := n.Int64()
		if !ok || f.OverflowInt(i) {
			return fmt.Errorf("%s is out of range", n)
		}
		f.SetInt(i)
	case reflect.Uint16, reflect.Uint64:
		n, ok := v.(starlark.Int)
		if !ok {
			return wants(v, "int")
		}
		i, ok := n.Uint64()
		if !ok || f.OverflowUint(i) {
			return fmt.Errorf("%s is out of range", n)
		}
		f.SetUint(i)
	case reflect.Float64:
		x, ok := starlark.AsFloat(v)
		if !ok {
			return wants(v, "float")
		}
		f.SetFloat(x)
	case reflect.Slice:
		return setList(f, v)
	default:
		panic("builtins: a parameter cannot be a " + f.Type().String())
	}
	return nil
}

// setList sets a repeated flag. A single string does for a list of one, and so
// does a single value where the elements are no text: a Container, a number.
func setList(f reflect.Value, v starlark.Value) error {
	list, ok := v.(starlark.Iterable)
	_, isString := v.(starlark.String)
	if isString || !ok && f.Type().Elem() != reflect.TypeFor[string]() {
		list, ok = starlark.Tuple{v}, true
	}
	if !ok || isDict(v) {
		return wants(v, "list")
	}
	items := collect(list)
	out := reflect.MakeSlice(f.Type(), len(items), len(items))
	for i, item := range items {
		if err := setItem(out.Index(i), item); err != nil {
			return fmt.Errorf("at index %d: %w", i, err)
		}
	}
	f.Set(out)
	return nil
}

// Unpack takes a name, an ID or a Container.
func (r *ContainerRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Container:
		*r = ContainerRef(v.value.ID)
	case starlark.String:
		*r = ContainerRef(v)
	default:
		return wants(v, "container, or its name or ID")
	}
	return nil
}

// Unpack takes a name, an ID or an Image.
func (r *ImageRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Image:
		*r = ImageRef(v.ref())
	case starlark.String:
		*r = ImageRef(v)
	default:
		return wants(v, "image, or its name or ID")
	}
	return nil
}

// Unpack takes a name or a Volume.
func (r *VolumeRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Volume:
		*r = VolumeRef(v.value.Name)
	case starlark.String:
		*r = VolumeRef(v)
	default:
		return wants(v, "volume, or its name")
	}
	return nil
}

// Unpack takes a name, an ID or a Network.
func (r *NetworkRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Network:
		*r = NetworkRef(v.value.Name)
	case starlark.String:
		*r = NetworkRef(v)
	default:
		return wants(v, "network, or its name or ID")
	}
	return nil
}

// Unpack takes a name, an ID, or any value that has one.
func (r *ObjectRef) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case *Container:
		*r = ObjectRef(v.value.ID)
	case *Image:
		*r = ObjectRef(v.value.ID) // by its name a container might be meant
	case *Volume:
		*r = ObjectRef(v.value.Name)
	case *Network:
		*r = ObjectRef(v.value.ID)
	case starlark.String:
		*r = ObjectRef(v)
	default:
		return wants(v, "container, image, volume or network, or its name or ID")
	}
	return nil
}

// Unpack takes a dict, a list of "k=v", or one such string.
func (kv *KeyValues) Unpack(v starlark.Value) error {
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		var list []string
		if _, isList := v.(starlark.Iterable); !isList {
			if _, isString := v.(starlark.String); !isString {
				return wants(v, "dict or list")
			}
		}
		if err := setList(reflect.ValueOf(&list).Elem(), v); err != nil {
			return err
		}
		*kv = list
		return nil
	}
	out := KeyValues{}
	for _, item := range d.Items() {
		k, ok := starlark.AsString(item[0])
		if !ok {
			return fmt.Errorf("in a key: %w", wants(item[0], "string"))
		}
		switch x := item[1].(type) {
		case starlark.String:
			out = append(out, k+"="+string(x))
		case starlark.Int:
			out = append(out, k+"="+x.String())
		default:
			return fmt.Errorf("for key %q: %w", k, wants(x, "string"))
		}
	}
	*kv = out
	return nil
}

// Unpack takes a dict, whose values may be lists, or a list of "name=value".
func (f *Filters) Unpack(v starlark.Value) error {
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		var kv KeyValues
		if err := kv.Unpack(v); err != nil {
			return err
		}
		for _, word := range kv {
			if err := f.Set(word); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range d.Items() {
		name, ok := starlark.AsString(item[0])
		if !ok {
			return fmt.Errorf("in a key: %w", wants(item[0], "string"))
		}
		var values []string
		if err := setList(reflect.ValueOf(&values).Elem(), item[1]); err != nil {
			return fmt.Errorf("for key %q: %w", name, err)
		}
		for _, val := range values {
			if err := f.Set(name + "=" + val); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unpack takes a number of bytes or a size like "64m".
func (b *Bytes) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.Int:
		n, ok := v.Int64()
		if !ok {
			return fmt.Errorf("%s is out of range", v)
		}
		*b = Bytes(n)
	case starlark.String:
		n, err := parseBytes(string(v))
		if err != nil {
			return err
		}
		*b = Bytes(n)
	default:
		return wants(v, `int, or a size like "64m"`)
	}
	return nil
}

// Unpack takes a number of seconds, a time like "1m30s", or a duration of the
// time module.
func (d *Duration) Unpack(v starlark.Value) error {
	var x lang.Duration
	if err := x.Unpack(v); err != nil {
		return err
	}
	*d = Duration(x)
	return nil
}

// Unpack notes that the parameter was given. False asks for nothing.
func (n *NotBuilt) Unpack(v starlark.Value) error {
	n.given = v != starlark.False
	return nil
}
