package container

import (
	"slices"
	"strings"

	"nsh/runtime/fault"
)

// Args are what a container executes: entrypoint and command. By docker's rule
// a new entrypoint drops the image's command, too. entrypoint and cmd are the
// image's. That nothing is left to execute is an error of kind invalid.
func (s Spec) Args(entrypoint, cmd []string) ([]string, error) {
	if s.Entrypoint != nil {
		entrypoint, cmd = *s.Entrypoint, nil
		// --entrypoint "" takes the image's away.
		if len(entrypoint) == 1 && entrypoint[0] == "" {
			entrypoint = nil
		}
	}
	if len(s.Command) > 0 {
		cmd = s.Command
	}
	args := slices.Concat(entrypoint, cmd)
	if len(args) == 0 {
		return nil, fault.New(fault.Invalid, "no command specified").WithHint("the image has no default command: name one after it")
	}
	return args, nil
}

// MergeEnv gives base with the variables of over in place of those of the same
// name, in the order in which names came first. A name alone, without "=",
// takes the variable away, as docker does with one that the caller has not set.
func MergeEnv(base, over []string) []string {
	out := slices.Clone(base)
	for _, kv := range over {
		name, _, set := strings.Cut(kv, "=")
		same := func(other string) bool {
			n, _, _ := strings.Cut(other, "=")
			return n == name
		}
		i := slices.IndexFunc(out, same)
		switch {
		case !set:
			out = slices.DeleteFunc(out, same)
		case i >= 0:
			out[i] = kv
		default:
			out = append(out, kv)
		}
	}
	return out
}
