package logging

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"nsh/runtime/container"
)

// decoder turns lines of the log into entries. It keeps a buffer, so that an entry
// is valid until the next one.
type decoder struct{ text []byte }

// decode reports false for a line that is no entry. The layout that docker,
// nerdctl and this package write is read directly; whatever else is valid JSON
// with the same keys goes through encoding/json.
func (d *decoder) decode(line []byte) (container.LogLine, bool) {
	if l, ok := d.fast(line); ok {
		return l, true
	}
	var e struct {
		Log    *string   `json:"log"`
		Stream string    `json:"stream"`
		Time   time.Time `json:"time"`
	}
	if json.Unmarshal(line, &e) != nil || e.Log == nil {
		return container.LogLine{}, false
	}
	if e.Stream != "stdout" && e.Stream != "stderr" {
		return container.LogLine{}, false
	}
	return container.LogLine{Time: e.Time, Stream: e.Stream, Text: []byte(*e.Log)}, true
}

func (d *decoder) fast(line []byte) (l container.LogLine, ok bool) {
	line, ok = bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return l, false
	}
	if l.Text, line, ok = d.unescape(line); !ok {
		return l, false
	}
	if rest, ok := bytes.CutPrefix(line, []byte(`,"stream":"stdout","time":"`)); ok {
		l.Stream, line = "stdout", rest
	} else if rest, ok := bytes.CutPrefix(line, []byte(`,"stream":"stderr","time":"`)); ok {
		l.Stream, line = "stderr", rest
	} else {
		return l, false
	}
	if line, ok = bytes.CutSuffix(line, []byte(`"}`)); !ok {
		return l, false
	}
	return l, l.Time.UnmarshalText(line) == nil
}

// unescape reads a JSON string up to its closing quote. It gives up on what needs
// more thought: surrogates, and what is no valid string at all.
func (d *decoder) unescape(p []byte) (text, rest []byte, ok bool) {
	d.text = d.text[:0]
	ascii := true
	start := 0
	for i := 0; i < len(p); {
		b := p[i]
		switch {
		case b == '"':
			if start > 0 || len(d.text) > 0 {
				d.text = append(d.text, p[start:i]...)
				text = d.text
			} else {
				text = p[:i]
			}
			return text, p[i+1:], ascii || utf8.Valid(text)
		case b < 0x20:
			return nil, nil, false
		case b >= utf8.RuneSelf:
			ascii = false
			i++
			continue
		case b != '\\':
			i++
			continue
		}
		d.text = append(d.text, p[start:i]...)
		if i+1 >= len(p) {
			return nil, nil, false
		}
		i += 2
		switch c := p[i-1]; c {
		case '"', '\\', '/':
			d.text = append(d.text, c)
		case 'n':
			d.text = append(d.text, '\n')
		case 'r':
			d.text = append(d.text, '\r')
		case 't':
			d.text = append(d.text, '\t')
		case 'b':
			d.text = append(d.text, '\b')
		case 'f':
			d.text = append(d.text, '\f')
		case 'u':
			if i+4 > len(p) {
				return nil, nil, false
			}
			r, err := strconv.ParseUint(string(p[i:i+4]), 16, 16)
			if err != nil || 0xd800 <= r && r < 0xe000 {
				return nil, nil, false
			}
			d.text = utf8.AppendRune(d.text, rune(r))
			i += 4
		default:
			return nil, nil, false
		}
		start = i
	}
	return nil, nil, false
}
