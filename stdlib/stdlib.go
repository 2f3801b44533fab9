// Package stdlib holds the Starlark modules that ship inside nsh:
// load("@std//retry.star", "retry_on").
package stdlib

import "embed"

// FS has the modules at its top.
//
//go:embed *.star
var FS embed.FS
