package builtins

import (
	"fmt"

	"github.com/docker/cli/templates"
	"github.com/docker/go-units"

	"nsh/runtime/engine"
	"nsh/runtime/system"
)

type engineStatusParams struct {
	Format string `flag:"format,f" doc:"Format output using a Go template, or json"`
}

// EngineStatus tells how the bundled engine is, and starts nothing.
var EngineStatus = Define(Verb{
	Paths:    []string{"engine status"},
	Short:    "Show whether the bundled engine runs, and where it keeps its state",
	Effect:   Reads,
	Example:  `print(engine.status().running)`,
	NoEngine: true,
}, func(*Call, *engineStatusParams) (engine.Status, error) {
	return engine.Bundled().Status(), nil
}, func(call *Call, p *engineStatusParams, s engine.Status) error {
	switch p.Format {
	case "":
	case "json":
		p.Format = "{{json .}}"
		fallthrough
	default:
		t, err := templates.Parse(p.Format)
		if err != nil {
			return templateError(err)
		}
		if err := t.Execute(call.Stdout, s); err != nil {
			return templateError(err)
		}
		_, err = fmt.Fprintln(call.Stdout)
		return err
	}
	state := "not running; the next command that needs it starts it"
	if s.Running {
		state = fmt.Sprintf("running, process %d, %s resident", s.Pid, units.BytesSize(float64(s.Memory)))
	}
	_, err := fmt.Fprintf(call.Stdout, "engine:  %s\naddress: %s\nroot:    %s\nstate:   %s\nlog:     %s\nshims:   %d\n", state, s.Address, s.Root, s.State, s.Log, s.Shims)
	return err
})

// EngineStart starts the bundled engine.
var EngineStart = Define(Verb{
	Paths:    []string{"engine start"},
	Short:    "Start the bundled engine",
	Effect:   Writes,
	NoEngine: true,
}, func(call *Call, _ *struct{}) (engine.Status, error) {
	l := engine.Bundled()
	if err := l.Start(call.Context, nil); err != nil {
		return engine.Status{}, err
	}
	return l.Status(), nil
}, func(call *Call, _ *struct{}, s engine.Status) error {
	_, err := fmt.Fprintf(call.Stdout, "running, process %d, %s\n", s.Pid, s.Address)
	return err
})

// EngineStop ends the bundled engine. Containers go on.
var EngineStop = Define(Verb{
	Paths:    []string{"engine stop"},
	Short:    "Stop the bundled engine; its containers go on running",
	Effect:   Writes,
	NoEngine: true,
}, func(call *Call, _ *struct{}) (engine.Status, error) {
	l := engine.Bundled()
	if err := l.Stop(call.Context); err != nil {
		return engine.Status{}, err
	}
	return l.Status(), nil
}, func(call *Call, _ *struct{}, s engine.Status) error {
	text := "stopped\n"
	if s.Shims > 0 {
		text = fmt.Sprintf("stopped; %d containers go on, the next start takes them over\n", s.Shims)
	}
	_, err := fmt.Fprint(call.Stdout, text)
	return err
})

// EngineLogs shows what the bundled engine has written.
var EngineLogs = Define(Verb{
	Paths:       []string{"engine logs"},
	Short:       "Show the log of the bundled engine",
	Effect:      Reads,
	NoEngine:    true,
	CommandOnly: "read the file that engine.status().log names",
}, func(call *Call, p *struct {
	Follow bool `flag:"follow,f" doc:"Follow log output"`
}) (any, error) {
	return nil, engine.Bundled().Logs(call.Context, call.Stdout, p.Follow)
}, nil)

type repairParams struct {
	DryRun bool `flag:"dry-run" doc:"List what would be taken away, and change nothing"`
}

// Repair takes away what a command that was cut off has left.
var Repair = Define(Verb{
	Paths:   []string{"repair", "system repair"},
	Short:   "Take away what belongs to no container: names, addresses, files, processes",
	Effect:  Destroys,
	Example: `print(repair(dry_run = True))`,
}, func(call *Call, p *repairParams) ([]system.Leftover, error) {
	return call.System.Repair(call.Context, p.DryRun)
}, func(call *Call, p *repairParams, list []system.Leftover) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(call.Stdout, "nothing to repair")
		return err
	}
	verb := "removed"
	if p.DryRun {
		verb = "would remove"
	}
	for _, l := range list {
		if _, err := fmt.Fprintf(call.Stdout, "%s %s %s (%s)\n", verb, l.Kind, l.Name, l.Detail); err != nil {
			return err
		}
	}
	return nil
})
