package engine

// Settings are what every command needs to know about the engine and the host:
// nerdctl's global flags, environment and nerdctl.toml, one field each. Make
// them with [Resolve]; the zero value is not usable.
type Settings struct {
	Debug            bool
	Address          string // containerd's socket, a path; "" until an engine was found
	Namespace        string // containerd namespace
	Snapshotter      string // overlayfs
	CNIPath          string // directory of CNI plugins
	CNINetconfPath   string // directory of conflists
	DataRoot         string // /var/lib/nerdctl: shared with nerdctl
	CgroupManager    string // cgroupfs, systemd, none
	InsecureRegistry bool
	HostsDir         []string // certs.d directories
	Experimental     bool
	HostGatewayIP    string
	BridgeIP         string // CIDR of the default network; "" is 10.4.0.1/24
	KubeHideDupe     bool
	SelinuxEnabled   bool
	CDISpecDirs      []string
	UsernsRemap      string
	DNS              []string
	DNSOptions       []string
	DNSSearch        []string

	// Helper is the absolute path of nsh-helper, which log URIs and OCI hooks name.
	Helper string
	// Rootless is set when the caller is not root.
	Rootless bool
}
