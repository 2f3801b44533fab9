// Package hook is what the OCI runtime calls when a container is made and when
// it is deleted (OCI runtime spec, config.md, POSIX-platform Hooks). It connects
// and disconnects the network, whoever started the container: nsh, nerdctl, or
// containerd's restart monitor with no process of ours there.
package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsh/runtime/network"
)

// state is the part of the OCI state that the runtime writes to our stdin.
type state struct {
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Annotations map[string]string `json:"annotations"`
}

// maxState bounds it.
const maxState = 4 << 20

// attachDeadline bounds what plugins may take.
const attachDeadline = 60 * time.Second

// Main runs `hook [--cni-path P] [--cni-netconfpath P] [--bridge-ip C]
// createRuntime|postStop` and gives the exit status. What it writes to stderr
// is what the runtime, and so the user, is told.
func Main(args []string, stdin io.Reader, stderr io.Writer) int {
	h, err := parse(args, stdin)
	if err == nil {
		err = h.run()
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if h != nil && h.dir != "" {
		_ = os.WriteFile(filepath.Join(h.dir, "oci-hook."+h.event+".log"), []byte(time.Now().Format(time.RFC3339Nano)+" "+err.Error()+"\n"), 0o600)
		if h.event == "postStop" {
			// A failure here would keep the runtime from deleting the container.
			// Who removes it disconnects it once more, and says why that fails.
			return 0
		}
	}
	return 1
}

type hook struct {
	event string
	state state
	dir   string // of the container's state
	cni   *network.CNI
	req   network.Request
	hosts network.Hosts
}

func parse(args []string, stdin io.Reader) (*hook, error) {
	h := &hook{}
	var plugins, conf, bridge string
	for len(args) > 0 {
		var to *string
		switch args[0] {
		case "--cni-path":
			to = &plugins
		case "--cni-netconfpath":
			to = &conf
		case "--bridge-ip":
			to = &bridge
		case "createRuntime", "postStop":
			h.event, args = args[0], args[1:]
			continue
		default:
			return nil, fmt.Errorf("hook: unknown argument %q", args[0])
		}
		if len(args) < 2 {
			return nil, fmt.Errorf("hook: %s needs a value", args[0])
		}
		*to, args = args[1], args[2:]
	}
	if h.event == "" {
		return nil, errors.New("hook: neither createRuntime nor postStop")
	}
	data, err := io.ReadAll(io.LimitReader(stdin, maxState+1))
	if err == nil && len(data) > maxState {
		err = fmt.Errorf("it has more than %d bytes", maxState)
	}
	if err == nil {
		err = json.Unmarshal(data, &h.state)
	}
	if err != nil {
		return nil, fmt.Errorf("hook: read the state of the container: %w", err)
	}
	a := h.state.Annotations
	h.dir = a["nerdctl/state-dir"]
	ns := a["nerdctl/namespace"]
	if h.dir == "" || ns == "" {
		return nil, errors.New("hook: the container has no annotation nerdctl/state-dir or nerdctl/namespace")
	}
	h.cni = network.New(plugins, conf, bridge)
	// <root>/containers/<namespace>/<id>
	h.hosts = network.Hosts{Root: filepath.Dir(filepath.Dir(filepath.Dir(h.dir))), Namespace: ns}
	h.req = network.Request{Namespace: ns, ID: h.state.ID, IP: a["nerdctl/ip"], IP6: a["nerdctl/ip6"], MAC: a["nerdctl/mac-address"], Hostname: a["nerdctl/hostname"]}
	if err := json.Unmarshal([]byte(a["nerdctl/networks"]), &h.req.Networks); err != nil {
		return nil, fmt.Errorf("hook: annotation nerdctl/networks: %w", err)
	}
	var cfg network.Config
	if data, err := os.ReadFile(filepath.Join(h.dir, network.ConfigFile)); err == nil {
		if err := json.Unmarshal(data, &cfg); err != nil {
			return nil, fmt.Errorf("hook: %s: %w", network.ConfigFile, err)
		}
	}
	h.req.Ports = cfg.PortMappings
	return h, nil
}

func (h *hook) connected() bool {
	if len(h.req.Networks) == 0 {
		return false
	}
	n := h.req.Networks[0]
	return n != "host" && n != "none" && !strings.HasPrefix(n, "container:") && !strings.HasPrefix(n, "ns:")
}

func (h *hook) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), attachDeadline)
	defer cancel()
	if h.event == "postStop" {
		return h.postStop(ctx)
	}
	return h.createRuntime(ctx)
}

func (h *hook) createRuntime(ctx context.Context) error {
	if text, err := os.ReadFile(filepath.Join(h.dir, "port-error")); err == nil {
		return errors.New(strings.TrimSpace(string(text)))
	}
	if path := h.state.Annotations["nerdctl/pid-file"]; path != "" {
		if err := os.WriteFile(path, []byte(fmt.Sprint(h.state.Pid)), 0o644); err != nil {
			return fmt.Errorf("write the pid file: %w", err)
		}
	}
	if !h.connected() {
		return nil
	}
	h.req.NetNS = h.state.Annotations["nerdctl/network-namespace"]
	if h.req.NetNS == "" {
		h.req.NetNS = fmt.Sprintf("/proc/%d/ns/net", h.state.Pid)
	}
	// What an earlier life of the same container has left: asking costs a stat.
	if err := h.cni.Detach(ctx, h.req); err != nil {
		return err
	}
	eps, err := h.cni.Attach(ctx, h.req)
	if err != nil {
		return err
	}
	if err := h.hosts.SetEndpoints(h.state.ID, eps); err != nil {
		_ = h.cni.Detach(context.WithoutCancel(ctx), h.req)
		return err
	}
	return nil
}

// postStop runs when the task is deleted. The helper has mostly done it already,
// at the end of the process.
func (h *hook) postStop(ctx context.Context) error {
	if path := h.state.Annotations["nerdctl/pid-file"]; path != "" {
		_ = os.Remove(path)
	}
	if !h.connected() {
		return nil
	}
	return Disconnect(ctx, h.cni, h.hosts, h.req)
}

// Disconnect takes a container off its networks and out of the hosts files.
func Disconnect(ctx context.Context, net network.Attacher, hosts network.Hosts, req network.Request) error {
	return errors.Join(net.Detach(ctx, req), hosts.SetEndpoints(req.ID, nil))
}

// AtExit disconnects the container whose state directory is dir; its process has
// ended. The log writer calls it.
func AtExit(dir string) error {
	var cfg network.Config
	data, err := os.ReadFile(filepath.Join(dir, network.ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", network.ConfigFile, err)
	}
	h := &hook{req: network.Request{Namespace: cfg.Namespace, ID: cfg.ID, Networks: cfg.Networks, Ports: cfg.PortMappings}}
	if !h.connected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), attachDeadline)
	defer cancel()
	hosts := network.Hosts{Root: filepath.Dir(filepath.Dir(filepath.Dir(dir))), Namespace: cfg.Namespace}
	return Disconnect(ctx, network.New(cfg.CNIPath, cfg.CNINetconfPath, ""), hosts, h.req)
}
