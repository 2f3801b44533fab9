package memory

import (
	"context"
	"sync"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// RemoveAtExit waits in the background for the end of the container, and for
// release.
func (s *Containers) RemoveAtExit(ctx context.Context, ref string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "look up container", ref)
	}
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	s.e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	released := make(chan struct{})
	go func() {
		ctx := context.Background()
		<-released
		if _, err := s.Wait(ctx, b.id); err == nil {
			_ = s.Remove(ctx, b.id, container.RemoveOptions{Force: true, Volumes: true})
		}
	}()
	return sync.OnceFunc(func() { close(released) }), nil
}
