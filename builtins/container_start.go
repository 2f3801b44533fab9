package builtins

import (
	"context"

	"nsh/lang"
	"nsh/runtime/container"
)

type startParams struct {
	Containers    []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	Attach        bool           `flag:"attach,a" doc:"Attach STDOUT/STDERR and forward signals"`
	Interactive   bool           `flag:"interactive,i" doc:"Attach container's STDIN"`
	DetachKeys    string         `flag:"detach-keys" doc:"Override the key sequence for detaching a container"`
	Check         bool           `flag:"check" only:"script" def:"true" doc:"A non-zero exit code of an attached process is an error"`
	Checkpoint    NotBuilt       `flag:"checkpoint" doc:"Restore from this checkpoint"`
	CheckpointDir NotBuilt       `flag:"checkpoint-dir" doc:"Use a custom checkpoint storage directory"`
}

// Start runs containers that were created or have ended.
var Start = Define(Verb{
	Paths:  []string{"start", "container start"},
	Short:  "Start one or more stopped containers",
	Effect: Writes,
	Example: `web = create("nginx", name = "web")
print(web.start().status)`,
	FlagsFirst: true,
}, func(call *Call, p *startParams) (any, error) {
	if !p.Attach && !p.Interactive {
		return eachContainer(call, p.Containers, func(ctx context.Context, ref string) error {
			_, err := call.Containers.Start(ctx, ref, nil)
			return err
		})
	}
	if len(p.Containers) != 1 {
		return nil, misuse("you cannot start and attach multiple containers at once")
	}
	ref := string(p.Containers[0])
	d, err := call.Containers.Inspect(call.Context, ref, false)
	if err != nil {
		return nil, err
	}
	fg := foreground{stdin: p.Interactive, tty: d.Spec.TTY, sigProxy: !d.Spec.TTY, detachKeys: p.DetachKeys, check: p.Check}
	return fg.run(call, d.Name, func(s container.Streams) (container.Process, error) {
		return call.Containers.Start(call.Context, ref, &s)
	})
}, func(call *Call, p *startParams, r any) error {
	if list, ok := r.([]done); ok {
		return showDone(call, p, list)
	}
	return nil
})

type attachParams struct {
	Container  ContainerRef `arg:"CONTAINER"`
	NoStdin    bool         `flag:"no-stdin" doc:"Do not attach STDIN"`
	SigProxy   bool         `flag:"sig-proxy" def:"true" doc:"Proxy all received signals to the process"`
	DetachKeys string       `flag:"detach-keys" doc:"Override the key sequence for detaching a container"`
	Check      bool         `flag:"check" only:"script" def:"true" doc:"A non-zero exit code is an error"`
}

// Attach connects to the main process of a running container.
var Attach = Define(Verb{
	Paths:  []string{"attach", "container attach"},
	Short:  "Attach local standard input, output, and error streams to a running container",
	Effect: Reads,
	Example: `web = run("nginx", "sh", "-c", "sleep 0.1; echo bye", name = "web", detach = True)
print(web.attach(no_stdin = True).stdout)`,
}, func(call *Call, p *attachParams) (any, error) {
	d, err := call.Containers.Inspect(call.Context, string(p.Container), false)
	if err != nil {
		return nil, err
	}
	fg := foreground{stdin: d.Spec.OpenStdin && !p.NoStdin, tty: d.Spec.TTY, sigProxy: p.SigProxy && !d.Spec.TTY, detachKeys: p.DetachKeys, check: p.Check}
	return fg.run(call, d.Name, func(s container.Streams) (container.Process, error) {
		return call.Containers.Attach(call.Context, d.ID, s)
	})
}, nil)

type execParams struct {
	Container   ContainerRef `arg:"CONTAINER"`
	Command     Words        `arg:"COMMAND [ARG...]"`
	Detach      bool         `flag:"detach,d" doc:"Detached mode: run command in the background"`
	DetachKeys  string       `flag:"detach-keys" doc:"Override the key sequence for detaching a container"`
	Env         KeyValues    `flag:"env,e" secret:"yes" doc:"Set environment variables"`
	EnvFile     []string     `flag:"env-file" doc:"Read in a file of environment variables"`
	Interactive bool         `flag:"interactive,i" doc:"Keep STDIN open even if not attached"`
	Privileged  bool         `flag:"privileged" doc:"Give extended privileges to the command"`
	TTY         bool         `flag:"tty,t" doc:"Allocate a pseudo-TTY"`
	User        string       `flag:"user,u" doc:"Username or UID (format: \"<name|uid>[:<group|gid>]\")"`
	Workdir     string       `flag:"workdir,w" doc:"Working directory inside the container"`
	Check       bool         `flag:"check" only:"script" def:"true" doc:"A non-zero exit code is an error"`
	Stdin       *string      `flag:"stdin" only:"script" secret:"yes" doc:"What the process reads"`
}

// Exec runs a further process in a running container.
var Exec = Define(Verb{
	Paths:  []string{"exec", "container exec"},
	Short:  "Execute a command in a running container",
	Effect: Writes,
	Example: `web = run("nginx", name = "web", detach = True)
print(web.exec("echo", "hello").stdout)`,
	FlagsFirst: true,
}, func(call *Call, p *execParams) (any, error) {
	if err := sandboxedContainer(call, string(p.Container)); err != nil {
		return nil, err
	}
	if p.Privileged {
		if err := lang.Require(call.Context, lang.HostExec, call.Verb.scriptName(), "privileged"); err != nil {
			return nil, err
		}
	}
	if err := (&CreateOptions{EnvFile: p.EnvFile, Env: p.Env}).sandboxedFiles(call); err != nil {
		return nil, err
	}
	env, err := environment(p.EnvFile, p.Env)
	if err != nil {
		return nil, wrong(err)
	}
	if len(p.Command) == 0 {
		return nil, misuse("exec: no command given")
	}
	spec := container.ExecSpec{Command: p.Command, Env: env, WorkDir: p.Workdir, User: p.User, TTY: p.TTY && !call.Script, Privileged: p.Privileged, Detach: p.Detach}
	if p.Detach {
		_, err := call.Containers.Exec(call.Context, string(p.Container), spec, container.Streams{})
		return nil, err
	}
	fg := foreground{stdin: p.Interactive, tty: p.TTY, detachKeys: p.DetachKeys, check: p.Check, text: p.Stdin}
	return fg.run(call, string(p.Container), func(s container.Streams) (container.Process, error) {
		return call.Containers.Exec(call.Context, string(p.Container), spec, s)
	})
}, nil)
