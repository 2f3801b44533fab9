package container

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachReader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keys, in, want string
		detached       bool
	}{
		{"\x10\x11", "abc", "abc", false},
		{"\x10\x11", "abc\x10\x11def", "abc", true},
		{"\x10\x11", "a\x10b\x11", "a\x10b\x11", false},
		{"\x10\x11", "a\x10", "a\x10", false},
		{"\x10\x11", "\x10\x10\x11", "\x10", true},
		{"aab", "aaab", "a", true},
		{"aab", "aacaab", "aac", true},
		{"q", "xq", "x", true},
		{"", "abc", "abc", false},
		{"\x10\x11", "", "", false},
	} {
		for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
			got, err := io.ReadAll(DetachReader(r, []byte(tt.keys)))
			if string(got) != tt.want || errors.Is(err, ErrDetached) != tt.detached {
				t.Errorf("keys %q in %q: %q, %v; want %q, detached %v", tt.keys, tt.in, got, err, tt.want, tt.detached)
			}
		}
	}
}

// What comes out is what is before the first place of the keys, or all of it.
func FuzzDetachReader(f *testing.F) {
	f.Add([]byte("aab"), []byte("xaaaby"), uint8(3))
	f.Add([]byte("abab"), []byte("abacabababb"), uint8(1))
	f.Fuzz(func(t *testing.T, keys, in []byte, size uint8) {
		want, found := in, false
		if len(keys) > 0 {
			want, _, found = bytes.Cut(in, keys)
		}
		r := DetachReader(bytes.NewReader(in), keys)
		var got []byte
		buf := make([]byte, int(size)+1)
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if err == nil {
				continue
			}
			if !bytes.Equal(got, want) || errors.Is(err, ErrDetached) != found {
				t.Errorf("keys %q in %q: %q, %v; want %q", keys, in, got, err, want)
			}
			return
		}
	})
}
