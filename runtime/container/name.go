package container

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/sys/signal"

	"nsh/runtime/fault"
)

// NewID makes a random ID of 64 hex digits. One that is all digits within its
// first 12 would be taken for a number by some tools (moby, pkg/stringid), so
// that is not given out.
func NewID() string {
	for {
		var raw [32]byte
		_, _ = rand.Read(raw[:]) // never fails: crypto/rand
		id := hex.EncodeToString(raw[:])
		if _, err := strconv.ParseInt(ShortID(id), 10, 64); err != nil {
			return id
		}
	}
}

// namePattern is docker's, daemon/names/names.go. It is compiled when it is
// needed: every command would wait for it.
var namePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`) })

// ValidateName checks a name by docker's rule. A name of hex digits may hide an
// ID, which docker allows, too.
func ValidateName(name string) error {
	if namePattern().MatchString(name) && len(name) <= 200 {
		return nil
	}
	return fault.New(fault.Invalid, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
}

// DefaultName is nerdctl's: the last part of the image's path and the first 5
// digits of the ID; "untitled" without an image.
func DefaultName(image, id string) string {
	base := image
	if i := strings.IndexByte(base, '@'); i >= 0 {
		base = base[:i]
	}
	base = base[strings.LastIndexByte(base, '/')+1:]
	base, _, _ = strings.Cut(base, ":")
	if base == "" {
		base = "untitled"
	}
	return base + "-" + id[:5]
}

// NotFound is docker's error for a ref that names nothing.
func NotFound(ref string) error {
	return fault.New(fault.NotFound, "No such container: %s", ref)
}

// Ambiguous is docker's error for a prefix of several IDs.
func Ambiguous(ref string) error {
	return fault.New(fault.Invalid, "Multiple IDs found with provided prefix: %s", ref).WithHint("give more digits of the ID, or the name")
}

// Resolve finds the container that ref names: by name, by full ID, by a unique
// prefix of the ID, in that order.
func Resolve(all []Container, ref string) (Container, error) {
	ref = strings.TrimPrefix(ref, "/")
	if ref == "" {
		return Container{}, fault.New(fault.Invalid, "invalid container name or ID: value is empty")
	}
	var hits []Container
	full := -1
	for i, c := range all {
		switch {
		case c.Name == ref:
			return c, nil
		case c.ID == ref:
			full = i
		case strings.HasPrefix(c.ID, ref):
			hits = append(hits, c)
		}
	}
	if full >= 0 {
		return all[full], nil
	}
	switch len(hits) {
	case 0:
		return Container{}, NotFound(ref)
	case 1:
		return hits[0], nil
	}
	return Container{}, Ambiguous(ref)
}

// ParseSignal takes a signal by number or by name, with or without SIG.
func ParseSignal(s string) (syscall.Signal, error) {
	n, err := signal.ParseSignal(s)
	if err != nil || n < 1 || n > 64 { // SIGRTMAX
		return 0, fault.New(fault.Invalid, "invalid signal: %s", s)
	}
	return n, nil
}
