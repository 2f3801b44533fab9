package builtins

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"reflect"
	"sort"
	"strconv"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/lang"
	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// Container is an immutable snapshot of a container in Starlark. Its attributes
// are the fields of [container.Container], its methods the verbs that take
// one. Two are equal when they are of the same container, and sort by name.
type Container struct {
	env   *Env
	value container.Container
}

var (
	_ starlark.HasAttrs   = (*Container)(nil)
	_ starlark.Comparable = (*Container)(nil)
)

var (
	_ = value(func(env *Env, c container.Container) starlark.Value { return newContainer(env, c) })
	_ = value(func(env *Env, p container.PortMapping) starlark.Value {
		return &portValue{record{env: env, v: reflect.ValueOf(p), kind: "port", text: portText(p)}}
	})
	_ = value(func(env *Env, m container.Mount) starlark.Value {
		return &record{env: env, v: reflect.ValueOf(m), text: m.Source + ":" + m.Destination}
	})
	_ = value(func(env *Env, s container.Status) starlark.Value { return starlark.String(s) })
	_ = noun("container", func(ctx context.Context, env *Env, v starlark.Value) (starlark.Value, error) {
		var ref ContainerRef
		if err := ref.Unpack(v); err != nil {
			return nil, fault.New(fault.Invalid, "container: %s", err)
		}
		return getContainer(ctx, env, string(ref))
	})
)

var containerMethods = methods("container", reflect.TypeFor[ContainerRef]())

// containerExtras are the attributes that are no field.
var containerExtras = map[string]func(c container.Container) any{
	"short_id": func(c container.Container) any { return c.ShortID() },
	"running":  func(c container.Container) any { return c.Status == container.Running },
	"ip":       func(c container.Container) any { return address(c, func(e container.Endpoint) string { return e.IP }) },
	"ip6":      func(c container.Container) any { return address(c, func(e container.Endpoint) string { return e.IP6 }) },
}

// address is that of the first network which has one; None while the container
// does not run.
func address(c container.Container, of func(container.Endpoint) string) *string {
	for _, e := range c.Networks {
		if ip := of(e); ip != "" {
			return &ip
		}
	}
	return nil
}

func getContainer(ctx context.Context, env *Env, ref string) (starlark.Value, error) {
	eng, err := env.Engine(ctx)
	if err != nil {
		return nil, err
	}
	c, err := eng.Containers.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return newContainer(env, c), nil
}

func newContainer(env *Env, c container.Container) *Container { return &Container{env, c} }

// Value is the snapshot in Go.
func (c *Container) Value() container.Container { return c.value }

func (c *Container) String() string {
	return fmt.Sprintf("<container %s %s>", cmp.Or(c.value.Name, c.value.ShortID()), c.value.Status)
}
func (c *Container) Type() string          { return "container" }
func (c *Container) Freeze()               {}
func (c *Container) Truth() starlark.Bool  { return true }
func (c *Container) Hash() (uint32, error) { return starlark.String(c.value.ID).Hash() }

// CompareSameType is by ID for equality, and by name for the order.
func (c *Container) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	o := y.(*Container).value
	return compareIdentity(op, c.value.ID, o.ID, cmp.Or(cmp.Compare(c.value.Name, o.Name), cmp.Compare(c.value.ID, o.ID)))
}

// AttrNames lists attributes and methods.
func (c *Container) AttrNames() []string {
	names := append([]string{"reload"}, fieldsOf(reflect.TypeFor[container.Container]()).names...)
	names = append(append(names, sorted(containerExtras)...), containerMethods.names()...)
	sort.Strings(names)
	return names
}

// portValue is a published port. In a plan its host port may be open.
type portValue struct{ record }

// Attr gives a field.
func (p *portValue) Attr(name string) (starlark.Value, error) {
	if name == "host_port" && p.v.FieldByName("HostPort").IsZero() {
		return nil, plan.NotKnown("the host port of " + p.text)
	}
	return p.record.Attr(name)
}

// CompareSameType is by all fields.
func (p *portValue) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return p.equal(op, &y.(*portValue).record, true)
}

// later are the attributes that a container has once it was made.
var later = map[string]bool{
	"id": true, "short_id": true, "created": true, "pid": true, "ip": true, "ip6": true, "started_at": true, "finished_at": true, "exit_code": true,
	"snapshot_key": true, "error": true,
}

// Attr gives a field, a method, or reload.
func (c *Container) Attr(name string) (starlark.Value, error) {
	if c.value.Planned && (later[name] || name == "name" && c.value.Name == "") {
		return nil, plan.NotKnown("the " + name + " of " + cmp.Or(c.value.Name, "a container that is not made yet"))
	}
	if fn := containerExtras[name]; fn != nil {
		return ToStarlark(c.env, fn(c.value))
	}
	if name == "reload" {
		return reload(c, func(ctx context.Context) (starlark.Value, error) { return getContainer(ctx, c.env, c.value.ID) }), nil
	}
	if v, err := (&record{env: c.env, v: reflect.ValueOf(c.value)}).Attr(name); v != nil || err != nil {
		return v, err
	}
	return noAttr(containerMethods.attr(c.env, c, name))
}

// compareIdentity compares two snapshots: whether they are of the same object,
// and else by order, which is that of their names.
func compareIdentity(op syntax.Token, id, otherID string, order int) (bool, error) {
	switch op {
	case syntax.EQL:
		return id == otherID, nil
	case syntax.NEQ:
		return id != otherID, nil
	case syntax.LT:
		return order < 0, nil
	case syntax.LE:
		return order <= 0, nil
	case syntax.GT:
		return order > 0, nil
	case syntax.GE:
		return order >= 0, nil
	}
	return false, fmt.Errorf("cannot compare with %s", op)
}

// reload is the method that takes a new snapshot.
func reload(self starlark.Value, get func(context.Context) (starlark.Value, error)) starlark.Value {
	return starlark.NewBuiltin("reload", func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
			return nil, err
		}
		v, err := get(lang.Context(thread))
		if err != nil {
			return nil, scriptError(err)
		}
		return v, nil
	}).BindReceiver(self)
}

// noAttr keeps a nil pointer from becoming a value.
func noAttr(v starlark.Value) (starlark.Value, error) {
	if v == nil {
		return nil, nil
	}
	return v, nil
}

// portText is "0.0.0.0:8080->80/tcp".
func portText(p container.PortMapping) string {
	return net.JoinHostPort(p.HostIP, strconv.Itoa(p.HostPort)) + "->" + strconv.Itoa(p.ContainerPort) + "/" + p.Protocol
}
