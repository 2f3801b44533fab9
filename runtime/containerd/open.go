package containerd

import (
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/client"

	"nsh/runtime/datastore"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

// Engine is the connection to one containerd and the services on it.
type Engine struct {
	Containers *Containers
	Images     *Images
	Volumes    *Volumes
	Networks   *Networks
	System     *System

	client *client.Client
}

// dialTimeout bounds the connection to a socket that has just been found to
// accept connections.
const dialTimeout = 10 * time.Second

// Open connects to the containerd at s.Address, which must be set. It does not
// wait for an answer: the first call does.
func Open(s engine.Settings) (*Engine, error) {
	c, err := client.New(s.Address, client.WithDefaultNamespace(s.Namespace), client.WithTimeout(dialTimeout))
	if err != nil {
		return nil, fault.Wrap(err, "connect to containerd at", s.Address)
	}
	store := datastore.Open(s.DataRoot, s.Address, s.Namespace)
	images := NewImages(c, s)
	net := network.New(s.CNIPath, s.CNINetconfPath, s.BridgeIP)
	volumes := volume.Store{Dir: filepath.Join(store.Root, "volumes", s.Namespace)}
	boxes := &Containers{c: c, s: s, store: store, images: images, net: net, hosts: network.Hosts{Root: store.Root, Namespace: s.Namespace}, volumes: volumes}
	return &Engine{
		Containers: boxes,
		Images:     images,
		Volumes:    &Volumes{c: c, store: volumes},
		Networks:   &Networks{namespace: s.Namespace, cni: net, containers: boxes},
		System:     &System{c: c, s: s, store: store, net: net, images: images, volumes: volumes},
		client:     c,
	}, nil
}

// Close ends the connection. Containers go on.
func (e *Engine) Close() error { return e.client.Close() }
