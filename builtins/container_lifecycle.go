package builtins

import (
	"context"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"nsh/runtime/container"
)

// done is one container that a verb has dealt with: the word it was called by,
// which docker prints, and what it is now.
type done struct {
	Word      string
	Container container.Container
}

// eachContainer does fn for all the containers of a verb and looks at each afterwards.
func eachContainer(call *Call, refs []ContainerRef, fn func(ctx context.Context, ref string) error) ([]done, error) {
	return each(call.Context, refs, func(ctx context.Context, ref ContainerRef) (done, error) {
		if err := fn(ctx, string(ref)); err != nil {
			return done{}, err
		}
		d := done{Word: string(ref)}
		if call.Script {
			var err error
			if d.Container, err = call.Containers.Get(ctx, string(ref)); err != nil {
				return done{}, err
			}
		}
		return d, nil
	})
}

func showDone[P any](call *Call, _ *P, list []done) error {
	for _, d := range list {
		if _, err := fmt.Fprintln(call.Stdout, d.Word); err != nil {
			return err
		}
	}
	return nil
}

type stopParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	Signal     string         `flag:"signal,s" doc:"Signal to send to the container"`
	Timeout    *int           `flag:"timeout,t" alias:"time" doc:"Seconds to wait before killing the container"`
}

func (p *stopParams) options() container.StopOptions {
	o := container.StopOptions{Signal: p.Signal}
	if p.Timeout != nil {
		d := time.Duration(*p.Timeout) * time.Second
		o.Timeout = &d
	}
	return o
}

// Stop asks containers to end.
var Stop = Define(Verb{
	Paths:  []string{"stop", "container stop"},
	Short:  "Stop one or more running containers",
	Effect: Writes,
	Example: `run("nginx", name = "web", detach = True)
for c in containers(): c.stop(timeout = 5)`,
}, func(call *Call, p *stopParams) ([]done, error) {
	return eachContainer(call, p.Containers, func(ctx context.Context, ref string) error {
		return call.Containers.Stop(ctx, ref, p.options())
	})
}, showDone[stopParams])

// Restart stops containers and starts them again.
var Restart = Define(Verb{
	Paths:  []string{"restart", "container restart"},
	Short:  "Restart one or more containers",
	Effect: Writes,
	Example: `web = run("nginx", name = "web", detach = True)
restart(web, timeout = 1)`,
}, func(call *Call, p *stopParams) ([]done, error) {
	return eachContainer(call, p.Containers, func(ctx context.Context, ref string) error {
		if err := call.Containers.Stop(ctx, ref, p.options()); err != nil {
			return err
		}
		_, err := call.Containers.Start(ctx, ref, nil)
		return err
	})
}, showDone[stopParams])

type killParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	Signal     string         `flag:"signal,s" doc:"Signal to send to the container"`
}

// Kill sends a signal, SIGKILL when none is named.
var Kill = Define(Verb{
	Paths:  []string{"kill", "container kill"},
	Short:  "Kill one or more running containers",
	Effect: Writes,
	Example: `web = run("nginx", name = "web", detach = True)
web.kill(signal = "SIGHUP")`,
}, func(call *Call, p *killParams) ([]done, error) {
	return eachContainer(call, p.Containers, func(ctx context.Context, ref string) error {
		return call.Containers.Kill(ctx, ref, p.Signal)
	})
}, showDone[killParams])

type refsParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
}

// Pause freezes containers.
var Pause = Define(Verb{
	Paths:  []string{"pause", "container pause"},
	Short:  "Pause all processes within one or more containers",
	Effect: Writes,
	Example: `web = run("nginx", name = "web", detach = True)
print(web.pause().status)`,
}, func(call *Call, p *refsParams) ([]done, error) {
	return eachContainer(call, p.Containers, call.Containers.Pause)
}, showDone[refsParams])

// Unpause thaws containers.
var Unpause = Define(Verb{
	Paths: []string{"unpause", "container unpause"},
	Short: "Unpause all processes within one or more containers",
	Example: `web = run("nginx", name = "web", detach = True).pause()
print(unpause(web)[0].status)`,
	Effect: Writes,
}, func(call *Call, p *refsParams) ([]done, error) {
	return eachContainer(call, p.Containers, call.Containers.Unpause)
}, showDone[refsParams])

type removeParams struct {
	Containers []ContainerRef `arg:"CONTAINER [CONTAINER...]"`
	Force      bool           `flag:"force,f" doc:"Force the removal of a running container (uses SIGKILL)"`
	Volumes    bool           `flag:"volumes,v" doc:"Remove anonymous volumes associated with the container"`
	Link       NotBuilt       `flag:"link,l" type:"bool" doc:"Remove the specified link"`
}

// Remove deletes containers.
var Remove = Define(Verb{
	Paths:  []string{"rm", "container rm", "container remove"},
	Short:  "Remove one or more containers",
	Effect: Destroys,
	Example: `run("nginx", name = "web", detach = True)
rm([c.name for c in containers(all = True)], force = True)`,
}, func(call *Call, p *removeParams) ([]string, error) {
	return each(call.Context, p.Containers, func(ctx context.Context, ref ContainerRef) (string, error) {
		return string(ref), call.Containers.Remove(ctx, string(ref), container.RemoveOptions{Force: p.Force, Volumes: p.Volumes})
	})
}, showLines[removeParams])

func showLines[P any](call *Call, _ *P, list []string) error {
	for _, l := range list {
		if _, err := fmt.Fprintln(call.Stdout, l); err != nil {
			return err
		}
	}
	return nil
}

// Wait blocks until containers have ended.
var Wait = Define(Verb{
	Paths:  []string{"wait", "container wait"},
	Short:  "Block until one or more containers stop, then print their exit codes",
	Effect: Reads,
	Example: `job = run("alpine", "sh", "-c", "exit 3", name = "job", detach = True)
print(job.wait())`,
}, func(call *Call, p *refsParams) ([]int, error) {
	return each(call.Context, p.Containers, func(ctx context.Context, ref ContainerRef) (int, error) {
		e, err := call.Containers.Wait(ctx, string(ref))
		return e.Code, err
	})
}, func(call *Call, _ *refsParams, codes []int) error {
	for _, c := range codes {
		if _, err := fmt.Fprintln(call.Stdout, c); err != nil {
			return err
		}
	}
	return nil
})

// Rename gives a container another name.
var Rename = Define(Verb{
	Paths: []string{"rename", "container rename"},
	Short: "Rename a container",
	Example: `web = run("nginx", name = "web", detach = True)
print(web.rename("www").name)`,
	Effect: Writes,
}, func(call *Call, p *struct {
	Container ContainerRef `arg:"CONTAINER"`
	Name      string       `arg:"NEW_NAME"`
}) (container.Container, error) {
	if err := call.Containers.Rename(call.Context, string(p.Container), p.Name); err != nil {
		return container.Container{}, err
	}
	return call.Containers.Get(call.Context, p.Name)
}, nil)

var _ = value(func(env *Env, d done) starlark.Value { return newContainer(env, d.Container) })
