package builtins

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/docker/go-units"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/volume"
)

func parsePorts(words []string) ([]container.PortMapping, error) {
	var out []container.PortMapping
	for _, w := range words {
		m, err := network.ParsePort(w)
		if err != nil {
			return nil, err
		}
		out = append(out, m...)
	}
	return out, nil
}

// maxLineFile bounds env and label files.
const maxLineFile = 16 << 20

// lines reads an env or label file as docker does: no quoting, comments at the
// start of a line, blanks on the left dropped.
func lines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "open %s: %s", path, cause(err))
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > maxLineFile {
		return nil, fault.New(fault.Invalid, "%s has %d bytes: it is no file of variables", path, st.Size())
	}
	var out []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, _, _ := strings.Cut(line, "=")
		if strings.ContainsAny(key, " \t") {
			return nil, fault.New(fault.Invalid, "invalid env file (%s): variable '%s' contains whitespaces", path, key)
		}
		if key == "" {
			return nil, fault.New(fault.Invalid, "invalid env file (%s): no variable name on line '%s'", path, line)
		}
		out = append(out, line)
	}
	return out, sc.Err()
}

func cause(err error) string {
	if p, ok := err.(*os.PathError); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// environment is docker's order: files first, then the flags.
func environment(files []string, words KeyValues) ([]string, error) {
	var out []string
	add := func(list []string) error {
		for _, kv := range list {
			k, _, assigned := strings.Cut(kv, "=")
			if k == "" {
				return fault.New(fault.Invalid, "invalid environment variable: %s", kv)
			}
			if !assigned {
				v, ok := os.LookupEnv(k)
				if !ok {
					continue
				}
				kv = k + "=" + v
			}
			out = append(out, kv)
		}
		return nil
	}
	for _, f := range files {
		l, err := lines(f)
		if err != nil {
			return nil, err
		}
		if err := add(l); err != nil {
			return nil, err
		}
	}
	return out, add(words)
}

func labelMap(files []string, words KeyValues) (map[string]string, error) {
	var all []string
	for _, f := range files {
		l, err := lines(f)
		if err != nil {
			return nil, err
		}
		all = append(all, l...)
	}
	out := map[string]string{}
	for _, kv := range append(all, words...) {
		k, v, _ := strings.Cut(kv, "=")
		if k == "" {
			return nil, fault.New(fault.Invalid, "invalid label '%s': empty name", kv)
		}
		out[k] = v
	}
	return out, nil
}

func keyValueMap(flag string, words KeyValues) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, kv := range words {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, fault.New(fault.Invalid, "invalid argument %q for \"--%s\" flag: must be formatted as key=value", kv, flag)
		}
		out[k] = v
	}
	return out, nil
}

// logOptions checks what the log writer would only find out when it is too late to say.
func logOptions(driver string, opts map[string]string) error {
	if driver == "none" && len(opts) > 0 {
		return fault.New(fault.Invalid, "invalid logging opts for driver none")
	}
	for k, v := range opts {
		switch k {
		case "max-size":
			if n, err := units.FromHumanSize(v); err != nil || n <= 0 {
				return fault.New(fault.Invalid, "invalid value for max-size: %q", v).WithHint("a number with k, m or g, such as 10m")
			}
		case "max-file":
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return fault.New(fault.Invalid, "max-file cannot be less than 1")
			}
			if opts["max-size"] == "" && n > 1 {
				return fault.New(fault.Invalid, "max-file is set to %d but max-size is not set", n)
			}
		case "log-path":
			if !filepath.IsAbs(v) {
				return fault.New(fault.Invalid, "log-path must be an absolute path: %q", v)
			}
		case "labels", "env", "labels-regex", "env-regex", "tag":
			return fault.New(fault.Invalid, "log option %q is not built yet", k)
		default:
			return fault.New(fault.Invalid, "unknown log opt '%s' for json-file log driver", k)
		}
	}
	return nil
}

func extraHosts(words []string) ([]string, error) {
	var out []string
	for _, w := range words {
		name, ip, ok := strings.Cut(w, ":")
		if i := strings.IndexByte(w, '='); i > 0 && (!ok || i < len(name)) {
			name, ip, ok = w[:i], w[i+1:], true
		}
		ip = strings.Trim(ip, "[]")
		if !ok || name == "" {
			return nil, fault.New(fault.Invalid, "invalid argument %q for \"--add-host\" flag: bad format for add-host: %q", w, w)
		}
		if ip != "host-gateway" && net.ParseIP(ip) == nil {
			return nil, fault.New(fault.Invalid, "invalid argument %q for \"--add-host\" flag: invalid IP address in add-host: %q", w, ip)
		}
		out = append(out, name+":"+ip)
	}
	return out, nil
}

func ulimits(words []string) ([]container.Ulimit, error) {
	var out []container.Ulimit
	for _, w := range words {
		u, err := units.ParseUlimit(w)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid argument %q for \"--ulimit\" flag: %s", w, err)
		}
		out = append(out, container.Ulimit{Name: u.Name, Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	return out, nil
}

// mounts takes -v, --mount and --tmpfs. Volumes are a later noun: what names
// one is refused.
func mounts(call *Call, volumes, typed, tmpfs []string) ([]container.Mount, error) {
	var out []container.Mount
	for _, v := range volumes {
		m, err := bindMount(call, v)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, v := range typed {
		m, err := typedMount(v)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, t := range tmpfs {
		dst, opts, _ := strings.Cut(t, ":")
		if !filepath.IsAbs(dst) {
			return nil, fault.New(fault.Invalid, "invalid mount path: '%s' mount path must be absolute", dst)
		}
		out = append(out, container.Mount{Type: "tmpfs", Destination: filepath.Clean(dst), Mode: opts, RW: true})
	}
	seen := map[string]bool{}
	for _, m := range out {
		if seen[m.Destination] {
			return nil, fault.New(fault.Invalid, "Duplicate mount point: %s", m.Destination)
		}
		seen[m.Destination] = true
	}
	return out, nil
}

func bindMount(call *Call, word string) (container.Mount, error) {
	var m container.Mount
	parts := strings.Split(word, ":")
	switch {
	case len(parts) == 1 && word != "":
		parts = []string{"", word}
	case len(parts) > 3 || parts[0] == "" || parts[1] == "":
		return m, fault.New(fault.Invalid, "invalid volume specification: '%s'", word)
	}
	src := parts[0]
	if !strings.HasPrefix(src, "/") && !strings.HasPrefix(src, ".") && !strings.HasPrefix(src, "~") {
		return volumeMount(word, parts)
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return m, err
	}
	if !filepath.IsAbs(parts[1]) {
		return m, fault.New(fault.Invalid, "invalid volume specification: '%s': invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute", word, parts[1])
	}
	m = container.Mount{Type: "bind", Source: abs, Destination: filepath.Clean(parts[1]), RW: true, Propagation: "rprivate"}
	if len(parts) == 3 {
		m.Mode = parts[2]
		for _, o := range strings.Split(m.Mode, ",") {
			switch o {
			case "ro", "rro":
				m.RW = false
			case "rw", "bind", "rbind", "z", "Z":
			case "shared", "slave", "private", "rshared", "rslave", "rprivate":
				m.Propagation = o
				m.Mode = strings.Trim(strings.ReplaceAll(","+m.Mode+",", ","+o+",", ","), ",")
			default:
				return m, fault.New(fault.Invalid, "invalid mode: %s", parts[2])
			}
		}
	}
	if err := requirePath(call, bindPermission(m), abs); err != nil {
		return m, err
	}
	// docker makes the directory of a -v that is not there; --mount does not.
	if _, err := os.Stat(abs); os.IsNotExist(err) && !planFile(call, "make directory", abs) {
		if err := os.MkdirAll(abs, 0o755); err != nil {
			return m, fault.Wrap(err, "make the directory to bind", abs)
		}
	}
	return m, nil
}

// volumeMount takes -v /data, -v name:/data and -v name:/data:ro,nocopy.
func volumeMount(word string, parts []string) (container.Mount, error) {
	m := container.Mount{Type: "volume", Name: parts[0], RW: true}
	if m.Name != "" {
		if err := volume.ValidateName(m.Name); err != nil {
			return m, err
		}
	}
	if !filepath.IsAbs(parts[1]) {
		return m, fault.New(fault.Invalid, "invalid volume specification: '%s': invalid mount config for type \"volume\": invalid mount path: '%s' mount path must be absolute", word, parts[1])
	}
	if m.Destination = filepath.Clean(parts[1]); m.Destination == "/" {
		return m, fault.New(fault.Invalid, "invalid volume specification: '%s': invalid mount config for type \"volume\": invalid specification: destination can't be '/'", word)
	}
	if len(parts) < 3 {
		return m, nil
	}
	m.Mode = parts[2]
	for _, o := range strings.Split(m.Mode, ",") {
		switch o {
		case "ro", "rro":
			m.RW = false
		case "rw", "z", "Z", "nocopy":
		default:
			return m, fault.New(fault.Invalid, "invalid mode: %s", parts[2])
		}
	}
	return m, nil
}

func typedMount(word string) (container.Mount, error) {
	m := container.Mount{Type: "volume", RW: true}
	bad := func(format string, args ...any) (container.Mount, error) {
		return m, fault.New(fault.Invalid, "invalid argument %q for \"--mount\" flag: "+format, append([]any{word}, args...)...)
	}
	var mode []string
	for _, f := range strings.Split(word, ",") {
		key, val, has := strings.Cut(strings.TrimSpace(f), "=")
		yes := func() bool { return !has || val == "true" || val == "1" }
		switch strings.ToLower(key) {
		case "type":
			m.Type = strings.ToLower(val)
		case "source", "src":
			m.Source = val
		case "target", "dst", "destination":
			m.Destination = val
		case "readonly", "ro", "rro":
			m.RW = !yes()
		case "bind-propagation":
			m.Propagation = val
		case "bind-nonrecursive":
			if yes() {
				mode = append(mode, "bind")
			}
		case "bind-recursive":
			switch val {
			case "enabled", "writable", "readonly":
			case "disabled":
				mode = append(mode, "bind")
			default:
				return bad("invalid value for bind-recursive: %s", val)
			}
		case "volume-nocopy":
			if yes() {
				mode = append(mode, "nocopy")
			}
		case "tmpfs-size":
			n, err := units.RAMInBytes(val)
			if err != nil {
				return bad("invalid value for %s: %s", key, val)
			}
			mode = append(mode, "size="+strconv.FormatInt(n, 10))
		case "tmpfs-mode":
			if _, err := strconv.ParseUint(val, 8, 32); err != nil {
				return bad("invalid value for %s: %s", key, val)
			}
			mode = append(mode, "mode="+val)
		default:
			return bad("unexpected key '%s' in '%s'", key, f)
		}
	}
	if m.Type != "volume" && slices.Contains(mode, "nocopy") {
		return bad("cannot mix 'volume-*' options with mount type '%s'", m.Type)
	}
	m.Mode = strings.Join(mode, ",")
	if m.Destination == "" {
		return bad("target is required")
	}
	if !filepath.IsAbs(m.Destination) {
		return bad("invalid mount path: '%s' mount path must be absolute", m.Destination)
	}
	m.Destination = filepath.Clean(m.Destination)
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return bad("source is required")
		}
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return m, err
		}
		m.Source = abs
		if _, err := os.Stat(abs); err != nil {
			return m, fault.New(fault.Invalid, "invalid mount config for type \"bind\": bind source path does not exist: %s", abs)
		}
		if m.Propagation == "" {
			m.Propagation = "rprivate"
		}
	case "tmpfs":
		if m.Source != "" {
			return bad("cannot specify source for type tmpfs")
		}
	case "volume":
		if m.Destination == "/" {
			return bad("invalid specification: destination can't be '/'")
		}
		if m.Name, m.Source = m.Source, ""; m.Name != "" {
			if err := volume.ValidateName(m.Name); err != nil {
				return m, err
			}
		}
	case "image":
		return m, fault.New(fault.Invalid, "--mount type=%s is not built yet", m.Type).WithHint("type=bind, type=volume and type=tmpfs are there")
	default:
		return bad("mount type unknown: %q", m.Type)
	}
	return m, nil
}

// mountsFrom adds the mounts of other containers where the path is still free.
func mountsFrom(call *Call, have []container.Mount, refs []string) ([]container.Mount, error) {
	taken := map[string]bool{}
	for _, m := range have {
		taken[m.Destination] = true
	}
	for _, r := range refs {
		name, mode, _ := strings.Cut(r, ":")
		switch mode {
		case "", "ro", "rw":
		default:
			return nil, fault.New(fault.Invalid, "invalid mode for volumes-from: %s", mode)
		}
		c, err := call.Containers.Get(call.Context, name)
		if err != nil {
			return nil, err
		}
		for _, m := range c.Mounts {
			if taken[m.Destination] || m.Type == "tmpfs" {
				continue
			}
			taken[m.Destination] = true
			m.RW = m.RW && mode != "ro"
			if m.Type == "volume" {
				m.Source = "" // where it is, its name tells
			}
			have = append(have, m)
		}
	}
	return have, nil
}

// detachKeys takes docker's list: a character, or ctrl- and one of a-z @ [ \ ] ^ _.
func detachKeys(list string) ([]byte, error) {
	if list == "" {
		list = "ctrl-p,ctrl-q"
	}
	var out []byte
	for _, k := range strings.Split(list, ",") {
		if len(k) == 1 {
			out = append(out, k[0])
			continue
		}
		c, ok := strings.CutPrefix(strings.ToLower(k), "ctrl-")
		if !ok || len(c) != 1 || !strings.ContainsAny(c, "abcdefghijklmnopqrstuvwxyz@[\\]^_") {
			return nil, fault.New(fault.Invalid, "invalid detach keys (%s): unknown character: '%s'", list, k)
		}
		out = append(out, strings.ToUpper(c)[0]&0x1f)
	}
	return out, nil
}
