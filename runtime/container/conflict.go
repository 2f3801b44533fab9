package container

import "nsh/runtime/fault"

// The errors of kind conflict that every engine gives in the same words:
// docker's (moby, daemon/names.go, daemon/errors.go, daemon/delete.go,
// daemon/kill.go, libnetwork/portallocator). id is the full one, ref what the
// caller said.

// NameInUse is the error for a name that the container holder has.
func NameInUse(name, holder string) error {
	return fault.New(fault.Conflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, holder).
		WithHint("remove it with 'rm %s', or choose another --name", name)
}

// NotRunning is the error of an operation that needs a running process.
func NotRunning(id, ref string) error {
	return fault.New(fault.Conflict, "container %s is not running", id).WithHint("start it with 'start %s'", ref)
}

// CannotKill is the error of a signal to a container that does not run.
func CannotKill(ref, id string) error {
	return fault.New(fault.Conflict, "cannot kill container: %s: container %s is not running", ref, id)
}

// CannotRemove is the error of a removal that is not forced, in status st.
func CannotRemove(ref string, st Status) error {
	if st == Paused {
		return fault.New(fault.Conflict, "cannot remove container %q: container is paused and must be unpaused first", ref).
			WithHint("remove it all the same with 'rm -f %s'", ref)
	}
	return fault.New(fault.Conflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", ref, st)
}

// PortInUse is the error of a start whose port another one has.
func PortInUse(m PortMapping) error {
	ip := m.HostIP
	if ip == "" {
		ip = "0.0.0.0"
	}
	return fault.New(fault.Conflict, "driver failed programming external connectivity on endpoint: Bind for %s:%d failed: port is already allocated", ip, m.HostPort).
		WithHint("choose another host port, or stop what uses %d", m.HostPort)
}

// AlreadyPaused is the error of pausing twice.
func AlreadyPaused(id string) error {
	return fault.New(fault.Conflict, "Container %s is already paused", id)
}

// NotPaused is the error of thawing what is not frozen.
func NotPaused(id string) error {
	return fault.New(fault.Conflict, "Container %s is not paused", id)
}

// PausedExec is the error of a further process in a frozen container.
func PausedExec(id string) error {
	return fault.New(fault.Conflict, "Container %s is paused, unpause the container before exec", id)
}

// OfPod is the error of changing what Kubernetes has made.
func OfPod(verb, ref, pod string) error {
	hint := "change the pod with kubectl"
	if verb == "remove" {
		hint = "let the kubelet remove it, or use --force"
	}
	return fault.New(fault.Conflict, "cannot %s container %q: it belongs to Kubernetes pod %s", verb, ref, pod).WithHint("%s", hint)
}
