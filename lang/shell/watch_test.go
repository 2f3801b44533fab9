package shell

import "testing"

func TestPicture(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text          string
		width, height int
		want          string
	}{
		{"a\nb\n", 10, 5, "\x1b[Ht\x1b[K\r\n\x1b[K\r\na\x1b[K\r\nb\x1b[K\x1b[J"},
		{"a\nb\nc", 10, 3, "\x1b[Ht\x1b[K\r\n\x1b[K\r\na\x1b[K\x1b[J"},
		{"日本語\r\n\tx", 6, 5, "\x1b[Ht\x1b[K\r\n\x1b[K\r\n日本\x1b[K\r\n     \x1b[K\x1b[J"},
		{"", 10, 5, "\x1b[Ht\x1b[K\r\n\x1b[K\r\n\x1b[K\x1b[J"},
	} {
		if got := picture("t", tt.text, tt.width, tt.height); got != tt.want {
			t.Errorf("%q in %dx%d\ngot  %q\nwant %q", tt.text, tt.width, tt.height, got, tt.want)
		}
	}
}
