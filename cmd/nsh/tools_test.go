package main

import "testing"

// TestToolWords: a session knows the words of all tools.
func TestToolWords(t *testing.T) {
	t.Parallel()
	for w := range tools {
		if !toolWords[w] {
			t.Errorf("a session does not know nsh %s", w)
		}
	}
	if len(tools) != len(toolWords) {
		t.Errorf("%d tools, %d words", len(tools), len(toolWords))
	}
}
