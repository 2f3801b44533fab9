package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAtExit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var notes strings.Builder
	if code := Run([]string{"at-exit", dir}, nil, &notes); code != 0 || notes.String() != "" {
		t.Errorf("not on any network: %d, %q", code, notes.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "network-config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	code := Run([]string{"at-exit", dir}, nil, &notes)
	if want := "nsh-hook: network-config.json: unexpected end of JSON input\n"; code != 1 || notes.String() != want {
		t.Errorf("broken file: %d, %q, want %q", code, notes.String(), want)
	}
}
