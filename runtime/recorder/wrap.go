package recorder

import (
	"nsh/runtime/container"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/plan"
	"nsh/runtime/system"
	"nsh/runtime/volume"
)

// Services are those of an engine. One that is nil is not asked for anything.
type Services struct {
	Containers container.Service
	Images     image.Service
	Volumes    volume.Service
	Networks   network.Service
	System     system.Service
}

// Wrap makes the recorders of an engine, which see each other's plans.
func Wrap(p *plan.Plan, real Services) Services {
	images := WrapImages(p, real.Images)
	containers := WrapContainers(p, real.Containers, images)
	images.containers = containers
	containers.volumes = &Volumes{plan: p, real: real.Volumes, containers: containers, state: map[string]*volume.Volume{}}
	return Services{
		Containers: containers, Images: images, Volumes: containers.volumes, System: WrapSystem(p, real.System),
		Networks: &Networks{plan: p, real: real.Networks, containers: containers, state: map[string]*network.Network{}},
	}
}
