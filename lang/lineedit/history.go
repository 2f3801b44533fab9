package lineedit

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

// maxEntries is how many entries the file keeps.
const maxEntries = 5000

// maxHistory bounds what is read of the file, from its end.
const maxHistory = 8 << 20

// newlineMark stands for a newline within an entry: the file has an entry a line.
const newlineMark = "\u2028"

// history is what was typed before, here and in earlier sessions. Several
// sessions may write the same file: each entry is one write at its end.
type history struct {
	path string // "": none
	once sync.Once
	list []string
}

// entries reads the file at the first call: not before the first key.
func (h *history) entries() []string {
	h.once.Do(func() {
		if h.path == "" {
			return
		}
		h.list = append(h.read(), h.list...)
	})
	return h.list
}

func (h *history) read() []string {
	f, err := os.Open(h.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	_ = f.Chmod(0o600) // also a file that was there before
	if st, err := f.Stat(); err == nil && st.Size() > maxHistory {
		_, _ = f.Seek(-maxHistory, io.SeekEnd)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxHistory))
	if err != nil {
		return nil
	}
	var list []string
	for line := range bytes.Lines(data) {
		if e := clean(strings.ReplaceAll(strings.TrimRight(string(line), "\r\n"), newlineMark, "\n")); e != "" {
			list = append(list, e)
		}
	}
	if len(list) > 2*maxEntries {
		list = list[len(list)-maxEntries:]
		h.rewrite(f, list)
	}
	return list
}

// rewrite leaves the newest entries, under a lock that keeps other sessions from
// adding to the old file meanwhile.
func (h *history) rewrite(old *os.File, list []string) {
	if syscall.Flock(int(old.Fd()), syscall.LOCK_EX) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(h.path), ".history-") // 0600
	if err != nil {
		return
	}
	var b strings.Builder
	for _, e := range list {
		b.WriteString(strings.ReplaceAll(e, "\n", newlineMark) + "\n")
	}
	_, err = tmp.WriteString(b.String())
	if tmp.Close() != nil || err != nil || os.Rename(tmp.Name(), h.path) != nil {
		_ = os.Remove(tmp.Name())
	}
}

// add keeps an entry. A history that cannot be written is no reason to end a
// session: it stays in memory then.
func (h *history) add(entry string) {
	entry = clean(strings.TrimRight(entry, "\n"))
	if strings.TrimSpace(entry) == "" || secret(entry) {
		return
	}
	list := h.entries()
	if len(list) > 0 && list[len(list)-1] == entry {
		return
	}
	h.list = append(list, entry)
	if h.path == "" {
		return
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return
	}
	f, err := os.OpenFile(h.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = f.Chmod(0o600)
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
	_, _ = f.WriteString(strings.ReplaceAll(entry, "\n", newlineMark) + "\n")
}

// secrets are the ways that passwords are typed: k=v and k: v with such a k, their
// flags, the short flag of login, and the user of a URL.
var secrets = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?i)(pass|secret|token|api_?key|credential)[a-z0-9_]*["']?\s*[=:]\s*["']?[^\s"']`),
		regexp.MustCompile(`(?i)--[a-z-]*(password|passphrase|secret|token)(\s+|=)[^\s-]`),
		regexp.MustCompile(`\blogin\b.*\s-p`),
		regexp.MustCompile(`://[^/\s:@]+:[^/\s@]+@`),
	}
})

// secret tells whether an entry may hold a password: such a one is not kept.
func secret(entry string) bool {
	for _, re := range secrets() {
		if re.MatchString(entry) {
			return true
		}
	}
	return false
}
