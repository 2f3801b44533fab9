package containerd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// Pull implements [image.Service].
func (m *Images) Pull(ctx context.Context, ref string, opts image.PullOptions) (image.Image, error) {
	ctx = m.in(ctx)
	name, err := image.Normalize(ref)
	if err != nil {
		return image.Image{}, err
	}
	rec, err := m.pull(ctx, name, opts)
	if err != nil {
		return image.Image{}, m.pullError(ctx, err, name)
	}
	return m.describe(ctx, rec)
}

func (m *Images) pull(ctx context.Context, name string, opts image.PullOptions) (_ images.Image, err error) {
	want, err := image.Matcher(opts.Platforms, opts.AllPlatforms)
	if err != nil {
		return images.Image{}, err
	}
	resolver := m.resolver(ctx)
	rctx, cancel := context.WithTimeoutCause(ctx, m.resolveWait, errSilent)
	_, target, err := resolver.Resolve(rctx, name)
	if err != nil && ctx.Err() == nil && rctx.Err() != nil {
		err = errSilent
	}
	cancel()
	if err != nil {
		return images.Image{}, err
	}
	if !images.IsManifestType(target.MediaType) && !images.IsIndexType(target.MediaType) {
		return images.Image{}, fault.New(fault.Invalid, "%s is not an image: its media type is %q", image.Familiar(name), target.MediaType)
	}

	ctx, done, err := m.hold(ctx)
	if err != nil {
		return images.Image{}, err
	}
	defer func() { done(err != nil) }()
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return images.Image{}, err
	}

	store := m.c.ContentStore()
	report := newReport(opts.Progress)
	children := images.SetChildrenMappedLabels(store, images.ChildrenHandler(store), nil)
	if want != nil {
		children = images.FilterPlatforms(children, want)
		if len(opts.Platforms) < 2 {
			children = images.LimitManifests(children, want, 1)
		}
	}
	source, err := docker.AppendDistributionSourceLabel(store, name)
	if err != nil {
		return images.Image{}, err
	}
	var handler images.Handler = images.Handlers(m.fetch(store, fetcher, report), children, source)

	unpacks := len(opts.Platforms) < 2 && !opts.AllPlatforms
	if opts.Unpack != nil {
		unpacks = *opts.Unpack
	}
	var unpacker *unpack.Unpacker
	// The unpacker goes on by itself when the dispatch below fails.
	uctx, stop := context.WithCancel(ctx)
	defer stop()
	if unpacks {
		if unpacker, err = m.unpacker(uctx, store); err != nil {
			return images.Image{}, err
		}
		handler = unpacker.Unpack(handler)
	}
	err = images.Dispatch(ctx, handler, nil, target)
	if unpacker != nil {
		if err != nil {
			stop()
		}
		if _, uerr := unpacker.Wait(); err == nil && uerr != nil {
			err = fmt.Errorf("unpack: %w", uerr)
		}
	}
	if err != nil {
		return images.Image{}, err
	}
	rec, err := m.put(ctx, images.Image{Name: name, Target: target})
	if err == nil {
		report.complete()
	}
	return rec, err
}

// unpacker unpacks every manifest that is fetched. It fetches the layers of
// snapshots that are here, too: without their blobs the image could not be
// saved or pushed ("content digest not found", nerdctl#3415).
func (m *Images) unpacker(ctx context.Context, store content.Store) (*unpack.Unpacker, error) {
	capabilities, err := m.c.GetSnapshotterCapabilities(ctx, m.s.Snapshotter)
	if err != nil {
		return nil, err
	}
	return unpack.NewUnpacker(ctx, store, unpack.WithFetchAllContent(), unpack.WithUnpackLimiter(semaphore.NewWeighted(concurrentUnpacks)), unpack.WithUnpackPlatform(unpack.Platform{
		Platform:                platforms.All,
		SnapshotterKey:          m.s.Snapshotter,
		Snapshotter:             m.c.SnapshotService(m.s.Snapshotter),
		Applier:                 m.c.DiffService(),
		SnapshotterCapabilities: capabilities,
	}))
}

// concurrentUnpacks is how many layers of an image are unpacked at once, where
// the snapshotter can put them on each other afterwards.
const concurrentUnpacks = 4

func (m *Images) fetch(store content.Ingester, fetcher remotes.Fetcher, report *report) images.HandlerFunc {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if desc.MediaType == images.MediaTypeDockerSchema1Manifest {
			return nil, fault.New(fault.Invalid, "the image is in docker's schema 1, which is no longer supported").
				WithHint("push it again with a docker of this decade")
		}
		if !images.IsLayerType(desc.MediaType) {
			err := remotes.Fetch(ctx, store, fetcher, desc)
			if errdefs.IsAlreadyExists(err) {
				err = nil
			}
			return nil, err
		}
		report.tell(desc, "Pulling fs layer", 0)
		err := remotes.Fetch(ctx, store, remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
			rc, err := fetcher.Fetch(ctx, desc)
			if err != nil {
				return nil, err
			}
			return report.watch(desc, rc), nil
		}), desc)
		switch {
		case errdefs.IsAlreadyExists(err):
			report.tell(desc, "Already exists", desc.Size)
			err = nil
		case err == nil:
			report.tell(desc, "Download complete", desc.Size)
		}
		return nil, err
	}
}

// report serialises what is told of a pull.
type report struct {
	tellFn func(image.Progress)

	mu     sync.Mutex
	layers []ocispec.Descriptor
	status map[digest.Digest]string
	last   map[digest.Digest]time.Time
}

func newReport(fn func(image.Progress)) *report {
	return &report{tellFn: fn, status: map[digest.Digest]string{}, last: map[digest.Digest]time.Time{}}
}

// reportEvery bounds how often the same is told of a blob.
const reportEvery = 100 * time.Millisecond

func (r *report) tell(desc ocispec.Descriptor, status string, done int64) {
	if r.tellFn == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was, known := r.status[desc.Digest]
	if !known {
		r.layers = append(r.layers, desc)
	}
	if was == status && time.Since(r.last[desc.Digest]) < reportEvery {
		return
	}
	r.status[desc.Digest], r.last[desc.Digest] = status, time.Now()
	r.tellFn(image.Progress{Digest: desc.Digest.String(), Status: status, Done: done, Total: desc.Size})
}

// complete tells that the image is there.
func (r *report) complete() {
	for _, desc := range r.layers {
		if r.status[desc.Digest] != "Already exists" {
			r.tell(desc, "Pull complete", desc.Size)
		}
	}
}

func (r *report) watch(desc ocispec.Descriptor, rc io.ReadCloser) io.ReadCloser {
	w := watched{ReadCloser: rc, r: r, desc: desc}
	if s, ok := rc.(io.Seeker); ok {
		return &watchedSeeker{watched: w, s: s}
	}
	return &w
}

type watched struct {
	io.ReadCloser
	r    *report
	desc ocispec.Descriptor
	n    int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.n += int64(n)
	w.r.tell(w.desc, "Downloading", w.n)
	return n, err
}

// watchedSeeker lets an interrupted download go on where it was.
type watchedSeeker struct {
	watched
	s io.Seeker
}

func (w *watchedSeeker) Seek(offset int64, whence int) (int64, error) {
	n, err := w.s.Seek(offset, whence)
	w.n = n
	return n, err
}

// resolver speaks to registries as the settings and the files of the user say:
// hosts.toml and certificates in the hosts directories, credentials in
// docker's config.json. A registry on localhost may speak plain HTTP; others
// only with the setting for it.
func (m *Images) resolver(ctx context.Context) remotes.Resolver {
	opts := config.HostOptions{
		Credentials:  credentials(ctx),
		UpdateClient: m.impatient,
		HostDir: func(host string) (string, error) {
			for _, root := range m.s.HostsDir {
				dir, err := config.HostDirFromRoot(root)(host)
				if err == nil || !errdefs.IsNotFound(err) {
					return dir, err
				}
			}
			return "", errdefs.ErrNotFound
		},
	}
	if m.s.InsecureRegistry {
		// Together these mean: HTTPS first, HTTP when that is what answers.
		opts.DefaultTLS = &tls.Config{InsecureSkipVerify: true}
		opts.DefaultScheme = "http"
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, opts)})
}

// dockerHub is what docker's config.json calls the registry of docker.io.
const dockerHub = "https://index.docker.io/v1/"

// credentials looks a host up in docker's config.json, or asks the credential
// helper that it names. A helper that hangs is not waited for once ctx ends.
func credentials(ctx context.Context) func(host string) (string, string, error) {
	var once sync.Once
	var file *configfile.ConfigFile
	var loadErr error
	return func(host string) (string, string, error) {
		once.Do(func() { file, loadErr = dockerconfig.Load(dockerconfig.Dir()) })
		if loadErr != nil {
			return "", "", &fault.Error{Kind: fault.Invalid, Op: "read credentials", Message: "docker's config.json cannot be read", Cause: loadErr}
		}
		key := host
		if host == "registry-1.docker.io" || host == "docker.io" || host == "index.docker.io" {
			key = dockerHub
		}
		type answer struct {
			user, secret string
			err          error
		}
		got := make(chan answer, 1)
		go func() {
			auth, err := file.GetAuthConfig(key)
			switch {
			case err != nil:
				got <- answer{err: &fault.Error{Kind: fault.Denied, Op: "read credentials for", Subject: host, Cause: err,
					Hint: "config.json names a credential helper that fails"}}
			case auth.IdentityToken != "":
				got <- answer{secret: auth.IdentityToken}
			default:
				got <- answer{user: auth.Username, secret: auth.Password}
			}
		}()
		select {
		case a := <-got:
			return a.user, a.secret, a.err
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
}

// errSilent and errStalled are what a registry that does nothing is ended with.
var (
	errSilent  = errors.New("the registry does not answer")
	errStalled = errors.New("the registry has stopped sending")
)

// impatient ends a transfer in which nothing comes for a while: the transport
// itself only bounds the time to the first byte.
func (m *Images) impatient(c *http.Client) error {
	if _, ok := c.Transport.(*impatientTransport); !ok {
		c.Transport = &impatientTransport{c.Transport, m.idleWait}
	}
	return nil
}

type impatientTransport struct {
	rt   http.RoundTripper
	idle time.Duration
}

func (t *impatientTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := t.rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &impatientBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, idle: t.idle}
	b.timer = time.AfterFunc(t.idle, func() { cancel(errStalled) })
	b.timer.Stop()
	resp.Body = b
	return resp, nil
}

type impatientBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

func (b *impatientBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	// Between two reads the store may take its time.
	b.timer.Stop()
	return n, err
}

func (b *impatientBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// pullError words what a registry did, as docker does where it has words.
func (m *Images) pullError(ctx context.Context, err error, name string) error {
	short := image.Familiar(name)
	host := registryOf(name)
	var worded *fault.Error
	var status remoteserrors.ErrUnexpectedStatus
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var certificate *tls.CertificateVerificationError
	var netErr net.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(context.Cause(ctx), "pull", short)
	case isDiskFull(err):
		return imageError(err, "pull", short)
	case errors.As(err, &worded):
		return fault.Wrap(worded, "pull", short)
	case errIsDenied(err, &status):
		return fault.New(fault.Denied, "pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
			repositoryOf(name)).WithCause(detail(status)).WithHint("`login %s` if the image is there", host)
	case errors.As(err, &status) && status.StatusCode == http.StatusTooManyRequests:
		return unavailable(err, short).WithHint("%s limits how much may be pulled: wait, or `login %s`", host, host)
	case errors.As(err, &status) && status.StatusCode >= 500:
		return unavailable(err, short).WithHint("%s has a problem of its own: try again later", host)
	case errors.Is(err, errSilent), errors.Is(err, errStalled):
		return unavailable(err, short).WithHint("%s", unreachable(host))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return unavailable(err, short).WithHint("%s speaks plain HTTP: give --insecure-registry, or a hosts.toml that says so", host)
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &certificate):
		return unavailable(err, short).WithHint("put the certificate of its authority into a hosts directory (certs.d/%s/ca.crt), or give --insecure-registry", host)
	case strings.Contains(err.Error(), "no match for platform in manifest"):
		return fault.New(fault.NotFound, "no matching manifest for the platform asked for in the manifest list entries of %s", short).
			WithHint("the image is not made for this processor: --platform names another one")
	case errdefs.IsNotFound(err), errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return fault.New(fault.NotFound, "manifest for %s not found: manifest unknown: manifest unknown", short).
			WithHint("look at the name and the tag: %s does not have it", host)
	case errdefs.IsFailedPrecondition(err):
		return unavailable(err, short).WithHint("%s, or a proxy before it, has sent other bytes than it had promised", host)
	case errors.As(err, &netErr):
		return unavailable(err, short).WithHint("%s", unreachable(host))
	}
	return fault.Wrap(err, "pull", short)
}

func unreachable(host string) string {
	return fmt.Sprintf("%s cannot be reached: look at the name, the network and the proxy variables", host)
}

func unavailable(err error, short string) *fault.Error {
	return &fault.Error{Kind: fault.Unavailable, Op: "pull", Subject: short, Cause: err}
}

func errIsDenied(err error, status *remoteserrors.ErrUnexpectedStatus) bool {
	if errors.As(err, status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden) {
		return true
	}
	return errors.Is(err, docker.ErrInvalidAuthorization) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err)
}

// detail gives what a registry said beyond its status: an IP rule, a quota.
func detail(status remoteserrors.ErrUnexpectedStatus) error {
	var errs docker.Errors
	if len(status.Body) == 0 || errs.UnmarshalJSON(status.Body) != nil || len(errs) == 0 {
		return nil
	}
	return errs
}

func registryOf(name string) string {
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		return reference.Domain(named)
	}
	return name
}

func repositoryOf(name string) string {
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		return reference.FamiliarName(named)
	}
	return name
}
