// Package modules has the modules of the standard library that need Go: formats
// with a library behind them, regular expressions, and what tests assert. A script
// loads them as those in Starlark: load("@std//yaml.star", "yaml").
//
// They act on values alone. What they are given may come from anywhere: sizes, depths
// and what aliases unfold to are bounded, and what is wrong with an input is an error of
// kind invalid that names the line.
package modules

import (
	"go.starlark.net/starlark"

	"nsh/lang"
)

// All are the modules by file name, for [lang.Options.Natives].
func All() map[string]func() starlark.StringDict {
	out := map[string]func() starlark.StringDict{}
	for name, make := range map[string]func() *lang.Module{
		"assert": Assert, "csv": csvModule, "regexp": regexpModule, "toml": tomlModule, "yaml": yamlModule,
	} {
		out[name+".star"] = func() starlark.StringDict { return starlark.StringDict{name: make()} }
	}
	return out
}

// The bounds of what is read and written. Configuration is far below them.
const (
	maxInput  = 16 << 20 // bytes
	maxDepth  = 200      // of lists and dicts in each other
	maxValues = 1 << 20  // in one text
)
