package host

import (
	"regexp"
	"strings"

	"nsh/runtime/fault"
)

// EnsureLine gives text with line in it. When match is not empty, the last line that
// it matches becomes line, and others that it matches stay; a text without any gets
// line at its end. A text that has line already is left as it is.
func EnsureLine(text, line, match string) (string, error) {
	if strings.ContainsAny(line, "\n\r") {
		return "", fault.New(fault.Invalid, "%q is more than one line", line)
	}
	var re *regexp.Regexp
	if match != "" {
		var err error
		if re, err = regexp.Compile(match); err != nil {
			return "", fault.New(fault.Invalid, "match %q: %s", match, err).WithHint("the syntax is that of Go's regexp: %s", "https://pkg.go.dev/regexp/syntax")
		}
	}
	lines := strings.SplitAfter(text, "\n")
	at := -1
	for i, l := range lines {
		l = strings.TrimRight(l, "\r\n")
		if l == line && lines[i] != "" {
			return text, nil
		}
		if re != nil && lines[i] != "" && re.MatchString(l) {
			at = i
		}
	}
	if at >= 0 {
		end := lines[at][len(strings.TrimRight(lines[at], "\r\n")):]
		lines[at] = line + end
		return strings.Join(lines, ""), nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n", nil
}
