package builtins

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"sort"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Image is an immutable snapshot of an image in Starlark: one name of it. Two
// are equal when they are the same image, whatever its name, and sort by name.
type Image struct {
	env   *Env
	value image.Image
}

var (
	_ starlark.HasAttrs   = (*Image)(nil)
	_ starlark.Comparable = (*Image)(nil)
)

var (
	_ = value(func(env *Env, i image.Image) starlark.Value { return &Image{env, i} })
	_ = noun("image", func(ctx context.Context, env *Env, v starlark.Value) (starlark.Value, error) {
		var ref ImageRef
		if err := ref.Unpack(v); err != nil {
			return nil, fault.New(fault.Invalid, "image: %s", err)
		}
		return getImage(ctx, env, string(ref))
	})
)

var imageMethods = methods("image", reflect.TypeFor[ImageRef]())

// imageExtras are the attributes that are no field, or shown otherwise than
// stored: a name is the one that people type.
var imageExtras = map[string]func(i image.Image) any{
	"name":       func(i image.Image) any { return familiar(i) },
	"short_id":   func(i image.Image) any { return image.ShortID(i.ID) },
	"repository": func(i image.Image) any { n, _ := image.ParseName(i.Name); return n.Repository },
	"tag_name":   func(i image.Image) any { n, _ := image.ParseName(i.Name); return n.Tag },
	"dangling":   func(i image.Image) any { return image.IsDangling(i.Name) },
}

func getImage(ctx context.Context, env *Env, ref string) (starlark.Value, error) {
	eng, err := env.Engine(ctx)
	if err != nil {
		return nil, err
	}
	i, err := eng.Images.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &Image{env, i}, nil
}

// familiar is the name as docker prints it; empty for an image without one.
func familiar(i image.Image) string {
	if image.IsDangling(i.Name) {
		return ""
	}
	return image.Familiar(i.Name)
}

// Value is the snapshot in Go.
func (i *Image) Value() image.Image { return i.value }

// ref names this image in a call: by its name, as that is what `rmi` takes
// away and a container remembers; by its ID where it has none.
func (i *Image) ref() string {
	return cmp.Or(familiar(i.value), i.value.ID)
}

func (i *Image) String() string {
	return fmt.Sprintf("<image %s>", cmp.Or(familiar(i.value), image.ShortID(i.value.ID)))
}
func (i *Image) Type() string          { return "image" }
func (i *Image) Freeze()               {}
func (i *Image) Truth() starlark.Bool  { return true }
func (i *Image) Hash() (uint32, error) { return starlark.String(i.value.ID).Hash() }

// CompareSameType is by ID for equality, and by name for the order.
func (i *Image) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	o := y.(*Image).value
	return compareIdentity(op, i.value.ID, o.ID, cmp.Or(cmp.Compare(i.value.Name, o.Name), cmp.Compare(i.value.ID, o.ID)))
}

// AttrNames lists attributes and methods.
func (i *Image) AttrNames() []string {
	names := []string{"reload"}
	for _, n := range fieldsOf(reflect.TypeFor[image.Image]()).names {
		if imageExtras[n] == nil {
			names = append(names, n)
		}
	}
	names = append(append(names, sorted(imageExtras)...), imageMethods.names()...)
	sort.Strings(names)
	return names
}

// Attr gives a field, a method, or reload.
func (i *Image) Attr(name string) (starlark.Value, error) {
	if fn := imageExtras[name]; fn != nil {
		return ToStarlark(i.env, fn(i.value))
	}
	if name == "reload" {
		return reload(i, func(ctx context.Context) (starlark.Value, error) { return getImage(ctx, i.env, i.ref()) }), nil
	}
	if v, err := (&record{env: i.env, v: reflect.ValueOf(i.value)}).Attr(name); v != nil || err != nil {
		return v, err
	}
	return noAttr(imageMethods.attr(i.env, i, name))
}
