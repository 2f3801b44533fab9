package builtins

import (
	"context"
	"sync"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/volume"

	"github.com/docker/go-units"
)

// How long names are taken for known, and how long an engine may take to tell them.
const (
	knownFor = time.Second
	askFor   = time.Second
)

// known are the names that the engine last told, for completion.
type known struct {
	containers recent[container.Container]
	images     recent[image.Image]
	volumes    recent[volume.Volume]
	networks   recent[network.Network]
}

// recent is a list with the time it was asked for.
type recent[T any] struct {
	mu   sync.Mutex
	list []T
	at   time.Time
}

// get asks when what is known is old. After a failure the old list is what is known.
func (r *recent[T]) get(ctx context.Context, env *Env, ask func(context.Context, *Engine) ([]T, error)) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < knownFor {
		return r.list
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	eng := env.reach(ctx)
	if eng == nil {
		return r.list
	}
	if list, err := ask(ctx, eng); err == nil {
		r.list, r.at = list, time.Now()
	}
	return r.list
}

// fresh gives the list when it need not be asked for.
func (r *recent[T]) fresh() ([]T, bool) {
	if !r.mu.TryLock() {
		return nil, false // somebody asks: the key must not wait
	}
	defer r.mu.Unlock()
	return r.list, time.Since(r.at) < knownFor
}

// choices gives what is known at once, or else later.
func choices[T any](env *Env, r *recent[T], ask func(context.Context, *Engine) ([]T, error), show func([]T) []Choice) Choices {
	if list, ok := r.fresh(); ok {
		return Choices{Now: show(list)}
	}
	return Choices{Later: func(ctx context.Context) []Choice { return show(r.get(ctx, env, ask)) }}
}

// containerChoices are names with the state and the image; nil: of all containers.
func (e *Env) containerChoices(want func(container.Container) bool) Choices {
	return choices(e, &e.known.containers, func(ctx context.Context, eng *Engine) ([]container.Container, error) {
		return eng.Containers.List(ctx, container.ListOptions{All: true})
	}, func(list []container.Container) []Choice {
		out := []Choice{}
		for _, c := range list {
			if want != nil && !want(c) {
				continue
			}
			name := c.Name
			if name == "" {
				name = c.ShortID()
			}
			row := psColumns{c: c, trunc: true}
			out = append(out, Choice{Text: name, Doc: row.Status() + ", " + row.Image()})
		}
		return out
	})
}

// volumeChoices are names; those that nobody has given are too many, and too long.
func (e *Env) volumeChoices() Choices {
	return choices(e, &e.known.volumes, func(ctx context.Context, eng *Engine) ([]volume.Volume, error) {
		return eng.Volumes.List(ctx, volume.ListOptions{})
	}, func(list []volume.Volume) []Choice {
		out := []Choice{}
		for _, v := range list {
			if !v.Anonymous {
				out = append(out, Choice{Text: v.Name, Doc: "volume, made " + age(v.Created)})
			}
		}
		return out
	})
}

// networkChoices are names with the driver; nil: of all networks.
func (e *Env) networkChoices(want func(network.Network) bool) Choices {
	return choices(e, &e.known.networks, func(ctx context.Context, eng *Engine) ([]network.Network, error) {
		return eng.Networks.List(ctx, network.ListOptions{})
	}, func(list []network.Network) []Choice {
		out := []Choice{}
		for _, n := range list {
			if want != nil && !want(n) {
				continue
			}
			doc := "network, " + n.Driver
			if n.Name == network.DefaultName {
				doc = "the default network"
			}
			out = append(out, Choice{Text: n.Name, Doc: doc})
		}
		return out
	})
}

// imageChoices are references with the size.
func (e *Env) imageChoices() Choices {
	return choices(e, &e.known.images, func(ctx context.Context, eng *Engine) ([]image.Image, error) {
		return eng.Images.List(ctx)
	}, func(list []image.Image) []Choice {
		out := []Choice{}
		for _, i := range list {
			name := familiar(i)
			if name == "" {
				name = image.ShortID(i.ID)
			}
			out = append(out, Choice{Text: name, Doc: units.HumanSize(float64(i.Size))})
		}
		return out
	})
}
