package modules

import (
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"nsh/lang"
	"nsh/runtime/fault"
)

func regexpModule() *lang.Module {
	const pattern = "  pattern: RE2's syntax, as in grep -E; (?i) in front: upper and lower case are the same\n"
	return lang.NewModule("regexp", "finds and replaces what a pattern describes",
		lang.Func(`regexp.escape(text) -> string`, `Gives the pattern of a text as it stands.

Args:
  text: any text
Example:
  load("@std//regexp.star", "regexp")
  print(regexp.matches("^" + regexp.escape("1.5") + "$", "1.5"))`, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var s string
			err := lang.UnpackArgs(b.Name(), args, kwargs, "text", &s)
			return starlark.String(regexp.QuoteMeta(s)), err
		}),
		lang.Func(`regexp.find(pattern, text) -> struct`, `Gives the first place that a pattern fits, None when there is none.

It is struct(text, groups, names, start, end): groups has what each pair of parentheses holds, None where one took no part; names has those with a name, (?P<name>…), as a dict.

Args:
`+pattern+`  text: where it is looked for
Example:
  load("@std//regexp.star", "regexp")
  m = regexp.find("(?P<host>[a-z]+):([0-9]+)", "at web:80")
  print(m.text, m.groups, m.names["host"])`, regexpFind),
		lang.Func(`regexp.find_all(pattern, text, limit=None) -> list`, `Gives all places that a pattern fits, as find() does, from left to right.

Args:
`+pattern+`  text: where it is looked for
  limit: how many at the most
Example:
  load("@std//regexp.star", "regexp")
  print([m.text for m in regexp.find_all("[0-9]+", "80, 443 and 8080")])`, regexpFindAll),
		lang.Func(`regexp.matches(pattern, text) -> bool`, `Tells whether a pattern fits anywhere in a text.

Args:
`+pattern+`  text: where it is looked for; ^ and $ in the pattern are its ends
Example:
  load("@std//regexp.star", "regexp")
  print(regexp.matches("^v[0-9]+$", "v12"))`, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var p, s string
			if err := lang.UnpackArgs(b.Name(), args, kwargs, "pattern", &p, "text", &s); err != nil {
				return nil, err
			}
			re, err := compile(b.Name(), p)
			if err != nil {
				return nil, err
			}
			return starlark.Bool(re.MatchString(s)), nil
		}),
		lang.Func(`regexp.replace(pattern, text, by, limit=None) -> string`, `Replaces each place that a pattern fits.

Args:
`+pattern+`  text: where it is looked for
  by: a text, in which $1 or ${name} stand for a group and $$ for a dollar; or a function that is given what find() gives, and gives the text
  limit: how many at the most
Example:
  load("@std//regexp.star", "regexp")
  print(regexp.replace("([a-z]+):([0-9]+)", "web:80", by = "$2 of $1"))
  print(regexp.replace("[0-9]+", "web1", by = lambda m: str(int(m.text) + 1)))`, regexpReplace),
		lang.Func(`regexp.split(pattern, text, limit=None) -> list`, `Gives what is between the places that a pattern fits.

Args:
`+pattern+`  text: what is cut up
  limit: how many pieces at the most; the last one has the rest
Example:
  load("@std//regexp.star", "regexp")
  print(regexp.split(" *, *", "a , b,c"))`, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			re, s, limit, err := regexpArgs(b.Name(), args, kwargs)
			if err != nil {
				return nil, err
			}
			var out []starlark.Value
			for _, part := range re.Split(s, limit) {
				out = append(out, starlark.String(part))
			}
			return starlark.NewList(out), nil
		}))
}

// compiled has the patterns that were used last: a script uses few, again and again.
var compiled struct {
	sync.Mutex
	byText map[string]*regexp.Regexp
}

const (
	maxPattern  = 64 << 10
	maxCompiled = 100
)

func compile(op, pattern string) (*regexp.Regexp, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if re := compiled.byText[pattern]; re != nil {
		return re, nil
	}
	if len(pattern) > maxPattern {
		return nil, fault.New(fault.Invalid, "%s: the pattern has %d bytes, more than %d", op, len(pattern), maxPattern)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		e := fault.New(fault.Invalid, "%s: %s", op, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		if strings.Contains(err.Error(), "(?=") || strings.Contains(err.Error(), "(?!") || strings.Contains(err.Error(), "(?<") {
			e = e.WithHint("RE2 does not look ahead or back; find() and groups can do most of it")
		}
		return nil, e
	}
	if compiled.byText == nil || len(compiled.byText) >= maxCompiled {
		compiled.byText = map[string]*regexp.Regexp{}
	}
	compiled.byText[pattern] = re
	return re, nil
}

// regexpArgs are the arguments that most functions have. limit is as Go has it.
func regexpArgs(op string, args starlark.Tuple, kwargs []starlark.Tuple, more ...any) (re *regexp.Regexp, s string, limit int, err error) {
	var p string
	var max starlark.Value = starlark.None
	pairs := append([]any{"pattern", &p, "text", &s}, more...)
	if err := lang.UnpackArgs(op, args, kwargs, append(pairs, "limit?", &max)...); err != nil {
		return nil, "", 0, err
	}
	limit = -1
	if max != starlark.None {
		if limit, err = starlark.AsInt32(max); err != nil || limit < 1 {
			return nil, "", 0, fault.New(fault.Invalid, "%s: limit is a number of at least 1, not %s", op, max)
		}
	}
	re, err = compile(op, p)
	return re, s, limit, err
}

func regexpFind(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var p, s string
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "pattern", &p, "text", &s); err != nil {
		return nil, err
	}
	re, err := compile(b.Name(), p)
	if err != nil {
		return nil, err
	}
	at := re.FindStringSubmatchIndex(s)
	if at == nil {
		return starlark.None, nil
	}
	return match(re, s, at), nil
}

func regexpFindAll(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	re, s, limit, err := regexpArgs(b.Name(), args, kwargs)
	if err != nil {
		return nil, err
	}
	var out []starlark.Value
	for _, at := range re.FindAllStringSubmatchIndex(s, limit) {
		out = append(out, match(re, s, at))
	}
	return starlark.NewList(out), nil
}

// match makes the value of one place that a pattern fits.
func match(re *regexp.Regexp, s string, at []int) *starlarkstruct.Struct {
	groups := make(starlark.Tuple, re.NumSubexp())
	names := starlark.NewDict(0)
	for n, name := range re.SubexpNames()[1:] {
		groups[n] = starlark.None
		if from := at[2*n+2]; from >= 0 {
			groups[n] = starlark.String(s[from:at[2*n+3]])
		}
		if name != "" {
			_ = names.SetKey(starlark.String(name), groups[n]) // a fresh dict
		}
	}
	names.Freeze()
	return starlarkstruct.FromStringDict(starlark.String("match"), starlark.StringDict{
		"text": starlark.String(s[at[0]:at[1]]), "groups": groups, "names": names,
		"start": starlark.MakeInt(at[0]), "end": starlark.MakeInt(at[1]),
	})
}

func regexpReplace(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var by starlark.Value
	re, s, limit, err := regexpArgs(b.Name(), args, kwargs, "by", &by)
	if err != nil {
		return nil, err
	}
	var out []byte
	end := 0
	for _, at := range re.FindAllStringSubmatchIndex(s, limit) {
		out = append(out, s[end:at[0]]...)
		end = at[1]
		switch by := by.(type) {
		case starlark.String:
			out = re.ExpandString(out, string(by), s, at)
		case starlark.Callable:
			v, err := starlark.Call(t, by, starlark.Tuple{match(re, s, at)}, nil)
			if err != nil {
				return nil, err
			}
			text, ok := starlark.AsString(v)
			if !ok {
				return nil, fault.New(fault.Invalid, "%s: %s gives %s, want string", b.Name(), by.Name(), v.Type())
			}
			out = append(out, text...)
		default:
			return nil, fault.New(fault.Invalid, "%s: for parameter by: got %s, want string or function", b.Name(), by.Type())
		}
		if len(out) > maxInput {
			return nil, fault.New(fault.Invalid, "%s: the text gets longer than %d bytes", b.Name(), maxInput)
		}
	}
	return starlark.String(append(out, s[end:]...)), nil
}
