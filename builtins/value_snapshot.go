package builtins

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"sort"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

// snapshot is an immutable object of a noun in Starlark. Its attributes are the fields
// of T and the noun's extras, its methods the verbs that take one. Two are equal when
// they are of the same object, and sort by name.
type snapshot[T any] struct {
	env   *Env
	value T
	kind  *kindOf[T]
}

// Volume and Network are the objects of their nouns in Starlark.
type (
	Volume  = snapshot[volume.Volume]
	Network = snapshot[network.Network]
)

// kindOf is what the snapshots of a noun have in common.
type kindOf[T any] struct {
	name    string
	id      func(T) string // what it is known by in a call
	label   func(T) string // its name
	extras  map[string]func(T) any
	methods *methodTable
	get     func(ctx context.Context, eng *Engine, ref string) (T, error)
}

var (
	volumeKind = &kindOf[volume.Volume]{
		name: "volume", id: func(v volume.Volume) string { return v.Name }, label: func(v volume.Volume) string { return v.Name },
		methods: methods("volume", reflect.TypeFor[VolumeRef]()),
		get: func(ctx context.Context, eng *Engine, ref string) (volume.Volume, error) {
			return eng.Volumes.Get(ctx, ref, false)
		},
	}
	networkKind = &kindOf[network.Network]{
		name: "network", id: func(n network.Network) string { return n.ID }, label: func(n network.Network) string { return n.Name },
		methods: methods("network", reflect.TypeFor[NetworkRef]()),
		extras: map[string]func(network.Network) any{
			"short_id": func(n network.Network) any { return n.ID[:min(12, len(n.ID))] },
			"ipv4":     func(n network.Network) any { return n.IPv4() },
			"ipv6":     func(n network.Network) any { return n.IPv6() },
		},
		get: func(ctx context.Context, eng *Engine, ref string) (network.Network, error) {
			return eng.Networks.Get(ctx, ref)
		},
	}
)

var (
	_ = value(func(env *Env, v volume.Volume) starlark.Value { return &Volume{env, v, volumeKind} })
	_ = value(func(env *Env, n network.Network) starlark.Value { return &Network{env, n, networkKind} })
	_ = noun("volume", func(ctx context.Context, env *Env, v starlark.Value) (starlark.Value, error) {
		var ref VolumeRef
		if err := ref.Unpack(v); err != nil {
			return nil, fault.New(fault.Invalid, "volume: %s", err)
		}
		return volumeKind.one(ctx, env, string(ref))
	})
	_ = noun("network", func(ctx context.Context, env *Env, v starlark.Value) (starlark.Value, error) {
		var ref NetworkRef
		if err := ref.Unpack(v); err != nil {
			return nil, fault.New(fault.Invalid, "network: %s", err)
		}
		return networkKind.one(ctx, env, string(ref))
	})

	// Addresses are texts, those that are not set None.
	_ = value(func(_ *Env, p netip.Prefix) starlark.Value { return validText(p.IsValid(), p) })
	_ = value(func(_ *Env, a netip.Addr) starlark.Value { return validText(a.IsValid(), a) })

	_ = value(func(env *Env, s network.Subnet) starlark.Value {
		return &record{env: env, v: reflect.ValueOf(s), text: s.Subnet.String()}
	})
	_ = value(func(env *Env, m network.Member) starlark.Value {
		return &record{env: env, v: reflect.ValueOf(m), text: m.Name}
	})
)

func validText(ok bool, v fmt.Stringer) starlark.Value {
	if !ok {
		return starlark.None
	}
	return starlark.String(v.String())
}

var (
	_ starlark.HasAttrs   = (*Volume)(nil)
	_ starlark.Comparable = (*Volume)(nil)
)

func (k *kindOf[T]) one(ctx context.Context, env *Env, ref string) (starlark.Value, error) {
	eng, err := env.Engine(ctx)
	if err != nil {
		return nil, err
	}
	v, err := k.get(ctx, eng, ref)
	if err != nil {
		return nil, err
	}
	return &snapshot[T]{env, v, k}, nil
}

// attributes are all but the methods.
func (k *kindOf[T]) attributes() []string {
	return attributesOf(reflect.TypeFor[T](), sorted(k.extras))
}

// Value is the snapshot in Go.
func (s *snapshot[T]) Value() T { return s.value }

func (s *snapshot[T]) String() string {
	return fmt.Sprintf("<%s %s>", s.kind.name, s.kind.label(s.value))
}
func (s *snapshot[T]) Type() string          { return s.kind.name }
func (s *snapshot[T]) Freeze()               {}
func (s *snapshot[T]) Truth() starlark.Bool  { return true }
func (s *snapshot[T]) Hash() (uint32, error) { return starlark.String(s.kind.id(s.value)).Hash() }

// CompareSameType is by ID for equality, and by name for the order.
func (s *snapshot[T]) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	k := s.kind
	o, ok := y.(*snapshot[T])
	if !ok { // a network is of the type "network", as a record might be
		return op == syntax.NEQ, nil
	}
	a, b := k.id(s.value), k.id(o.value)
	return compareIdentity(op, a, b, cmp.Or(cmp.Compare(k.label(s.value), k.label(o.value)), cmp.Compare(a, b)))
}

// AttrNames lists attributes and methods.
func (s *snapshot[T]) AttrNames() []string {
	names := append(append([]string{"reload"}, s.kind.attributes()...), s.kind.methods.names()...)
	sort.Strings(names)
	return names
}

// Attr gives a field, a method, or reload.
func (s *snapshot[T]) Attr(name string) (starlark.Value, error) {
	if fn := s.kind.extras[name]; fn != nil {
		return ToStarlark(s.env, fn(s.value))
	}
	if name == "reload" {
		return reload(s, func(ctx context.Context) (starlark.Value, error) { return s.kind.one(ctx, s.env, s.kind.id(s.value)) }), nil
	}
	if v, err := (&record{env: s.env, v: reflect.ValueOf(s.value)}).Attr(name); v != nil || err != nil {
		return v, err
	}
	return noAttr(s.kind.methods.attr(s.env, s, name))
}
