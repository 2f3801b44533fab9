package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/shell"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// pending is the status of a plan with changes, as terraform's -detailed-exitcode has it.
const pending = 2

// planFlags are those of `nsh plan` and of %plan.
type planFlags struct {
	json, docker bool
}

func (f *planFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&f.json, "json", false, "Print the changes as JSON")
	set.BoolVar(&f.docker, "as-docker", false, "Print the docker commands that do the same")
}

// planTool is `nsh plan SCRIPT [ARG...]` and `nsh plan -c LINE`.
func planTool(ctx context.Context, env *builtins.Env, io builtins.Stdio, args []string) int {
	set := pflag.NewFlagSet("plan", pflag.ContinueOnError)
	set.SetInterspersed(false)
	var f planFlags
	f.register(set)
	command := set.StringP("command", "c", "", "Plan these lines instead of a script")
	if code, done := toolFlags(set, io, "plan [OPTIONS] SCRIPT [ARG...]", "Show what a script would change, and change nothing. It asks the engine what there is,\nwhich is started for that when it does not run.\n\nThe status is 0 when nothing is to change, 2 when something is, and 1 after an error.", args); done {
		return code
	}
	words := set.Args()
	p := &plan.Plan{}
	ctx = plan.With(ctx, p)
	if set.Changed("command") {
		sh := session(env, io, words)
		p.Scrub = sh.Scripts.(scripts).Scrub
		sh.Stdio.Out = discard{}
		code := sh.RunString(ctx, *command)
		return f.show(io, p, code == 0, code)
	}
	if len(words) == 0 {
		fmt.Fprintf(io.Err, "nsh plan: which script?\n\nRun 'nsh plan --help' for more information\n")
		return 1
	}
	code, err := runScript(ctx, env, io, words[0], words[1:])
	if fault.Is(err, fault.NotKnown) {
		code = 0
	}
	return f.show(io, p, err == nil || lang.Quits(err), code)
}

// show prints a plan and gives its status: that of the run when it failed.
func (f planFlags) show(io builtins.Stdio, p *plan.Plan, complete bool, code int) int {
	changes := p.Changes()
	switch {
	case f.json:
		data, err := plan.JSON(changes, complete)
		if err != nil {
			fmt.Fprintf(io.Err, "nsh: %s\n", err)
			return 1
		}
		fmt.Fprintf(io.Out, "%s\n", data)
	case f.docker:
		fmt.Fprint(io.Out, plan.Docker(changes))
	case code == 0 || len(changes) > 0:
		fmt.Fprint(io.Out, plan.Text(changes))
		if !complete {
			fmt.Fprintln(io.Out, "The plan ends before the script does, at the line above.")
		}
	}
	switch {
	case code != 0:
		return code
	case len(changes) > 0 || !complete:
		return pending
	}
	return 0
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// planLine is %plan: a line of the prompt.
func planLine(ctx context.Context, io shell.Stdio, scrub func(string) string, flags []string, run func(context.Context) int) int {
	set := pflag.NewFlagSet("%plan", pflag.ContinueOnError)
	var f planFlags
	f.register(set)
	if err := set.Parse(flags); err != nil {
		fmt.Fprintf(io.Err, "nsh: %%plan: %s\n", err)
		return 2
	}
	p := &plan.Plan{Scrub: scrub}
	code := run(plan.With(ctx, p))
	return f.show(builtins.Stdio{Out: io.Out, Err: io.Err}, p, code == 0, code)
}
