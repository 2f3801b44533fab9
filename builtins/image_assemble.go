package builtins

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

type assembleParams struct {
	Name       string    `arg:"NAME[:TAG]"`
	Base       ImageRef  `flag:"base,b" doc:"Image to build on, one that is here (default: nothing)"`
	Files      FileSet   `flag:"file,f" alias:"files" type:"src:dst" doc:"Copy a file or directory into the image (SRC:DST[:MODE])"`
	Entrypoint []string  `flag:"entrypoint" type:"word" doc:"ENTRYPOINT of the image, a word at a time or one JSON array"`
	Cmd        []string  `flag:"cmd" type:"word" doc:"CMD of the image, a word at a time or one JSON array"`
	Env        KeyValues `flag:"env,e" doc:"Set environment variables"`
	Label      KeyValues `flag:"label,l" alias:"labels" doc:"Set meta data on the image"`
	Workdir    string    `flag:"workdir,w" doc:"Working directory inside the container"`
	User       string    `flag:"user,u" doc:"Username or UID (format: <name|uid>[:<group|gid>])"`
	Expose     []string  `flag:"expose" doc:"Expose a port or a range of ports"`
	Volume     []string  `flag:"volume,v" doc:"Directories that become volumes"`
	StopSignal string    `flag:"stop-signal" doc:"Signal to stop the container"`
	Author     string    `flag:"author,a" doc:"Author of the image"`
	Comment    string    `flag:"comment" doc:"Comment of the image's last layer"`
	Created    string    `flag:"created" type:"time" doc:"Time of creation, of the files too (RFC 3339 or seconds since 1970; default $SOURCE_DATE_EPOCH, else 1970)"`
	Platform   string    `flag:"platform" doc:"Platform of the image (default: that of the base, else of the host)"`
}

// Assemble makes an image from files of the host, without a Dockerfile, a
// daemon or a network: the same call makes the same image, to the byte.
var Assemble = Define(Verb{
	Paths:   []string{"image assemble"},
	Short:   "Make an image from local files and metadata",
	Effect:  Writes,
	Example: `image.assemble("app:1", file = ["/etc/os-release:/etc/app"], cmd = ["/app"])`,
}, func(call *Call, p *assembleParams) (image.Image, error) {
	recipe, err := p.recipe()
	if err != nil {
		return image.Image{}, wrong(err)
	}
	for _, f := range recipe.Files {
		if f.Source != "" {
			if err := requirePath(call, lang.HostRead, f.Source); err != nil {
				return image.Image{}, err
			}
		}
	}
	return call.Images.Assemble(call.Context, recipe)
}, func(call *Call, _ *assembleParams, i image.Image) error {
	_, err := fmt.Fprintln(call.Stdout, i.ID)
	return err
})

func (p *assembleParams) recipe() (image.Recipe, error) {
	r := image.Recipe{Name: p.Name, Base: string(p.Base), Files: p.Files, Author: p.Author, Comment: p.Comment, Platform: p.Platform}
	r.Config = image.Config{User: p.User, WorkingDir: p.Workdir, StopSignal: p.StopSignal, Volumes: p.Volume}
	var err error
	if r.Config.Entrypoint, err = jsonWords("entrypoint", p.Entrypoint); err != nil {
		return r, err
	}
	if r.Config.Cmd, err = jsonWords("cmd", p.Cmd); err != nil {
		return r, err
	}
	for _, kv := range p.Env {
		// Unlike run, a bare name does not take the caller's: the image would
		// not be the same tomorrow.
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" {
			return r, fault.New(fault.Invalid, "invalid environment variable: %s", kv).WithHint("an image takes NAME=value")
		}
		r.Config.Env = append(r.Config.Env, kv)
	}
	if r.Config.Labels, err = keyValueMap("label", p.Label); err != nil {
		return r, err
	}
	for _, port := range p.Expose {
		ports, err := exposed(port)
		if err != nil {
			return r, err
		}
		r.Config.ExposedPorts = append(r.Config.ExposedPorts, ports...)
	}
	r.Created, err = p.created()
	return r, err
}

// jsonWords takes a JSON array where a list has one word that is one.
func jsonWords(flag string, words []string) ([]string, error) {
	if len(words) != 1 || !strings.HasPrefix(words[0], "[") {
		return words, nil
	}
	var out []string
	if err := json.Unmarshal([]byte(words[0]), &out); err != nil {
		return nil, fault.New(fault.Invalid, "invalid --%s: %q is no JSON array of strings", flag, words[0])
	}
	return out, nil
}

// exposed takes PORT[-PORT][/PROTO] apart: "80/tcp".
func exposed(word string) ([]string, error) {
	span, proto, ok := strings.Cut(word, "/")
	if !ok {
		proto = "tcp"
	}
	bad := fault.New(fault.Invalid, "invalid range format for --expose: %s", word)
	first, last, ranged := strings.Cut(span, "-")
	if !ranged {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from || proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, bad
	}
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprintf("%d/%s", n, proto))
	}
	return out, nil
}

// created takes the flag, else SOURCE_DATE_EPOCH
// (https://reproducible-builds.org/specs/source-date-epoch/), else nothing.
func (p *assembleParams) created() (time.Time, error) {
	text, from := p.Created, "--created"
	if text == "" {
		text, from = os.Getenv("SOURCE_DATE_EPOCH"), "SOURCE_DATE_EPOCH"
	}
	if text == "" {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return time.Unix(n, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "invalid %s: %q", from, text).WithHint("a time like 2026-01-02T15:04:05Z, or seconds since 1970")
	}
	return t.UTC(), nil
}

// FileSet is what goes into an image. On a command line each is SRC:DST[:MODE];
// in a script a dict says what is at each path: a path of the host, bytes, or a
// dict with one of source, content, link, directory and with mode, uid, gid.
type FileSet []image.File

// Set adds SRC:DST[:MODE].
func (s *FileSet) Set(word string) error {
	parts := strings.Split(word, ":")
	if len(parts) != 2 && len(parts) != 3 || parts[0] == "" {
		return fmt.Errorf("must be SRC:DST[:MODE]")
	}
	f := image.File{Source: parts[0], Path: parts[1]}
	if len(parts) == 3 {
		mode, err := strconv.ParseUint(parts[2], 8, 12)
		if err != nil {
			return fmt.Errorf("invalid mode %q: must be octal", parts[2])
		}
		f.Mode = uint32(mode)
	}
	return s.add(f)
}

// words are those of a command line, which has them for files of the host alone.
func (s FileSet) words() []string {
	var out []string
	for _, f := range s {
		w := f.Source + ":" + f.Path
		if f.Mode != 0 {
			w += fmt.Sprintf(":%04o", f.Mode)
		}
		out = append(out, w)
	}
	return out
}

func (s *FileSet) add(f image.File) error {
	if !path.IsAbs(f.Path) {
		return fmt.Errorf("path %q in the image must be absolute", f.Path)
	}
	*s = append(*s, f)
	return nil
}

// Unpack takes the dict, or a list of SRC:DST[:MODE].
func (s *FileSet) Unpack(v starlark.Value) error {
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		var words KeyValues
		if err := words.Unpack(v); err != nil {
			return err
		}
		for _, w := range words {
			if err := s.Set(w); err != nil {
				return fmt.Errorf("%q: %w", w, err)
			}
		}
		return nil
	}
	for _, item := range d.Items() {
		dst, ok := starlark.AsString(item[0])
		if !ok {
			return fmt.Errorf("in a key: %w", wants(item[0], "string"))
		}
		f, err := fileOf(item[1])
		if err != nil {
			return fmt.Errorf("for %q: %w", dst, err)
		}
		f.Path = dst
		if err := s.add(f); err != nil {
			return err
		}
	}
	return nil
}

func fileOf(v starlark.Value) (f image.File, err error) {
	switch v := v.(type) {
	case starlark.String:
		f.Source = string(v)
		return f, nil
	case starlark.Bytes:
		f.Content = []byte(v)
		return f, nil
	case starlark.IterableMapping:
		return fileFrom(v)
	}
	return f, wants(v, "path, bytes or dict(source=, content=, link=, directory=, mode=, uid=, gid=)")
}

func fileFrom(d starlark.IterableMapping) (f image.File, err error) {
	kinds := 0
	for _, item := range d.Items() {
		key, _ := starlark.AsString(item[0])
		text, isText := starlark.AsString(item[1])
		number, numErr := starlark.AsInt32(item[1])
		switch key {
		case "source", "link":
			if !isText {
				return f, fmt.Errorf("for key %q: %w", key, wants(item[1], "string"))
			}
			kinds++
			if key == "source" {
				f.Source = text
			} else {
				f.Link = text
			}
		case "content":
			b, isBytes := item[1].(starlark.Bytes)
			if !isText && !isBytes {
				return f, fmt.Errorf("for key %q: %w", key, wants(item[1], "string or bytes"))
			}
			kinds++
			f.Content = append([]byte{}, text+string(b)...)
		case "directory":
			if item[1] != starlark.True {
				return f, fmt.Errorf("for key %q: %w", key, wants(item[1], "True"))
			}
			kinds++
			f.Directory = true
		case "mode", "uid", "gid":
			if numErr != nil || number < 0 || key == "mode" && number > 0o7777 {
				return f, fmt.Errorf("for key %q: %s is no %s", key, item[1], key)
			}
			switch key {
			case "mode":
				f.Mode = uint32(number)
			case "uid":
				f.UID = number
			case "gid":
				f.GID = number
			}
		default:
			if near := lang.Closest(key, []string{"source", "content", "link", "directory", "mode", "uid", "gid"}); near != "" {
				return f, fmt.Errorf("unexpected key %q (did you mean %q?)", key, near)
			}
			return f, fmt.Errorf("unexpected key %s", item[0])
		}
	}
	if kinds != 1 {
		return f, fmt.Errorf("want exactly one of source, content, link, directory, got %d", kinds)
	}
	return f, nil
}
