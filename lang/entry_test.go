package lang

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestEntries: what a session has after entries, each a string.
func TestEntries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entries []string
		want    string // of the last one
	}{
		{[]string{"x = 1", "x = 2\ndef f(): return x", "x = 3", "f()"}, "3"},
		{[]string{"x = 2\ndef f(): return x", "x = 3", "f()"}, "3"},
		{[]string{"def f(): return 1", "x = 1", "def f(): return x", "x = 2", "f()"}, "2"},
		{[]string{"f = None\nx = 1", "f = lambda: x", "x = 2", "f()"}, "2"},
		{[]string{"x = 1", "x += 1", "x"}, "2"},
		{[]string{"x = 1", "x = x + 1\nx = x * 5", "x"}, "10"},
		{[]string{"x = 1", "if x == 1:\n    x = 7", "x"}, "7"},
		{[]string{"x = [1]", "x += [2]\ny = x", "y"}, "[1, 2]"},
		{[]string{"x = 1", "for x in range(3): pass", "x"}, "2"},
		{[]string{"a, b = 1, 2", "a, b = b, a", "(a, b)"}, "(2, 1)"},
		{[]string{"def f(): return g()\ndef g(): return 'later'\nx = f()", "x"}, `"later"`},
		{[]string{"def f(n): return 1 if n == 0 else n * f(n - 1)", "f(5)"}, "120"},
		{[]string{"def f(): return 1", "def f(g = f): return g() + 1", "f()"}, "2"},
		{[]string{"x = 1\nfail('no')\nx = 2", "x"}, "1"},
		{[]string{"f = 1", "f = 2\nload('@std//text.star', 'x')", "f"}, "2"},
		{[]string{"def f(): return g()\nx = f()\ndef g(): pass"}, "<1>:1:17: g is used before it is assigned\n    def f(): return g()\n                    ^\n  called from <1>:2:6, in <toplevel>\n"},
		{[]string{"x = 1", "y = 2", "\nfail('third')"}, "<3>:2:5: third\n    fail('third')\n        ^\n"},
		{[]string{"def f():\n    fail('first')", "f()"}, "<1>:2:9: first\n        fail('first')\n            ^\n  called from <2>:1:2, in <expr>\n"},
	} {
		i := New(Options{Session: true})
		got := ""
		for _, e := range tt.entries {
			v, err := i.Chunk(context.Background(), e)
			if got = fmt.Sprint(v); err != nil {
				got = i.Report(err)
			}
		}
		if got != tt.want {
			t.Errorf("%q\ngot  %q\nwant %q", tt.entries, got, tt.want)
		}
	}
}

// TestReportTerminal: a caret stands right behind wide characters, and nothing that
// a source or a message has acts on the terminal.
func TestReportTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ src, want string }{
		{"x = '日本' + fail('a')", "<1>:1:16: a\n    x = '日本' + fail('a')\n                     ^\n"},
		{"\tx", "<1>:1:2: got indent, want primary expression\n    \tx\n    \t^\n"},
		{"x = 'e\u0301' + fail('a')", "<1>:1:16: a\n    x = 'e\u0301' + fail('a')\n                  ^\n"},
		{"x = '\x1b[31m' + fail('a')", "<1>:1:19: a\n    x = '\\x1b[31m' + fail('a')\n                         ^\n"},
		{"fail('\\x1b]0;gone\\x07\\u202e')", "<1>:1:5: \\x1b]0;gone\\x07\\u202e\n    fail('\\x1b]0;gone\\x07\\u202e')\n        ^\n"},
	} {
		i := New(Options{Session: true})
		_, err := i.Chunk(context.Background(), tt.src)
		if got := i.Report(err); got != tt.want {
			t.Errorf("%q\ngot  %q\nwant %q", tt.src, got, tt.want)
		}
	}
	if got := visible("a\xffb\ufffd\u009b"); got != `a\xffb`+"\ufffd"+`\u009b` {
		t.Errorf("%q", got)
	}
	i := New(Options{Session: true})
	for range maxEntries + 5 {
		_, _ = i.Chunk(context.Background(), strings.Repeat(" ", 10)+"")
	}
	if n := len(i.sources); n != maxEntries {
		t.Errorf("%d sources are kept, want %d", n, maxEntries)
	}
}
