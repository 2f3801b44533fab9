package logging

import (
	"time"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// appendEntry appends one line of the log. It is written by hand because the
// helper stays beside every container: it allocates nothing, and the reflection of
// encoding/json need not be brought into memory to write a log.
func appendEntry(dst []byte, text []byte, newline bool, stream string, at time.Time) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, text)
	if newline {
		dst = append(dst, `\n`...)
	}
	dst = append(dst, `","stream":"`...)
	dst = append(dst, stream...)
	dst = append(dst, `","time":"`...)
	dst = at.AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`+"\n"...)
}

// appendEscaped escapes as docker does (moby/moby
// daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go). That is encoding/json with
// its escaping of HTML, but for tab, backspace and form feed, which docker
// writes as \u0009, \u0008 and \u000c.
func appendEscaped(dst, s []byte) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if plain[b] {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch b {
			case '\\', '"':
				dst = append(dst, '\\', b)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + 1
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hex[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

// plain tells which ASCII characters stand for themselves.
var plain = func() (t [utf8.RuneSelf]bool) {
	for b := range t {
		t[b] = b >= 0x20 && b != '\\' && b != '"' && b != '<' && b != '>' && b != '&'
	}
	return t
}()
