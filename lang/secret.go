package lang

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Secret is a text that is never shown: printed, formatted, compared by order or put
// into a plan it is <secret NAME>. What is made of it by + is one, too. Only what is
// meant to have it, the environment and the input of a process, is given the text.
type Secret struct {
	name string
	text string
}

var (
	_ starlark.HasBinary  = (*Secret)(nil)
	_ starlark.Comparable = (*Secret)(nil)
)

func (s *Secret) String() string        { return "<secret " + s.name + ">" }
func (s *Secret) Type() string          { return "secret" }
func (s *Secret) Freeze()               {}
func (s *Secret) Truth() starlark.Bool  { return s.text != "" }
func (s *Secret) Hash() (uint32, error) { return 0, fault.New(fault.Invalid, "a secret is no key") }

// Reveal gives the text, for what is meant to have it.
func (s *Secret) Reveal() string { return s.text }

// Binary is +, with a text or another secret.
func (s *Secret) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if op != syntax.PLUS {
		return nil, nil
	}
	other, name := "", s.name
	switch y := y.(type) {
	case starlark.String:
		other = string(y)
	case *Secret:
		other, name = y.text, s.name+"+"+y.name
	default:
		return nil, nil
	}
	if side == starlark.Right {
		return &Secret{name, other + s.text}, nil
	}
	return &Secret{name, s.text + other}, nil
}

// CompareSameType tells whether two are the same.
func (s *Secret) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	same := s.text == y.(*Secret).text
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fault.New(fault.Invalid, "secrets have no order")
}

// maxSecret bounds a secret: it is a key or a password.
const maxSecret = 1 << 20

// secret is secret(): the text comes from the environment, a file or a program, and
// never from the script.
func secret(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name, env, file string
	var command *starlark.List
	if err := UnpackArgs("secret", args, kwargs, "name", &name, "env?", &env, "file?", &file, "command?", &command); err != nil {
		return nil, err
	}
	given := 0
	for _, g := range []bool{env != "", file != "", command != nil} {
		if g {
			given++
		}
	}
	if given > 1 {
		return nil, fault.New(fault.Invalid, "secret: env, file and command exclude each other")
	}
	ctx := Context(t)
	var text string
	switch {
	case file != "":
		data, err := readSecret(ctx, file)
		if err != nil {
			return nil, err
		}
		text = strings.TrimRight(string(data), "\r\n")
	case command != nil:
		var argv []string
		for x := range command.Elements() {
			w, ok := starlark.AsString(x)
			if !ok {
				return nil, fault.New(fault.Invalid, "secret: command is a list of strings")
			}
			argv = append(argv, w)
		}
		if len(argv) == 0 {
			return nil, fault.New(fault.Invalid, "secret: command is empty")
		}
		if err := Require(ctx, HostExec, "secret", argv[0]); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		var out bytes.Buffer
		cmd.Stdout, cmd.WaitDelay = &out, time.Second
		if err := cmd.Run(); err != nil {
			return nil, fault.Wrap(err, "read secret", name)
		}
		text = strings.TrimRight(out.String(), "\r\n")
	default:
		if env == "" {
			env = name
		}
		if err := Require(ctx, HostRead, "secret", "$"+env); err != nil {
			return nil, err
		}
		var ok bool
		if text, ok = os.LookupEnv(env); !ok {
			return nil, fault.New(fault.NotFound, "secret %s: the environment has no %s", name, env).
				WithHint("export %s, or name a file: secret(%q, file = \"/run/secrets/…\")", env, name)
		}
	}
	i.hide(name, text)
	return &Secret{name, text}, nil
}

func readSecret(ctx context.Context, path string) ([]byte, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		err = Require(ctx, HostRead, "secret", abs)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, "read secret from", path)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fault.New(fault.Invalid, "it has more than %d bytes", maxSecret)
	}
	return data, fault.Wrap(err, "read secret from", path)
}

// minHidden is the length of what is taken out of texts: to hide "a" would hide all.
const minHidden = 4

func (i *Interp) hide(name, text string) {
	if len(text) < minHidden {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.secrets = append(i.secrets, &Secret{name, text})
	// The longest first: one may be part of another.
	sort.SliceStable(i.secrets, func(a, b int) bool { return len(i.secrets[a].text) > len(i.secrets[b].text) })
}

// Scrub takes the secrets of this interpreter out of a text that somebody will see.
func (i *Interp) Scrub(text string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.secrets {
		text = strings.ReplaceAll(text, s.text, s.String())
	}
	return text
}
