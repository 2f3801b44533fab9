package builtins

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"sync"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client/pkg/jsonmessage"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

type pullParams struct {
	Image        ImageRef `arg:"NAME[:TAG|@DIGEST]"`
	AllPlatforms bool     `flag:"all-platforms" doc:"Pull content for all platforms"`
	AllTags      NotBuilt `flag:"all-tags,a" type:"bool" doc:"Download all tagged images in the repository"`
	Platform     []string `flag:"platform" type:"string" doc:"Set platform if server is multi-platform capable"`
	Quiet        bool     `flag:"quiet,q" doc:"Suppress verbose output"`
	Unpack       string   `flag:"unpack" def:"auto" doc:"Unpack the image (auto/true/false)"`

	DisableContentTrust NotBuilt `flag:"disable-content-trust" type:"bool" doc:"Skip image verification (default true)"`
	Verify              NotBuilt `flag:"verify" doc:"Verify the image (none|cosign|notation)"`
	CosignKey           NotBuilt `flag:"cosign-key" doc:"Path to the public key file, KMS, URI or Kubernetes Secret for --verify=cosign"`
	CosignIdentity      NotBuilt `flag:"cosign-certificate-identity" doc:"Identity expected in a valid Fulcio certificate"`
	CosignIdentityRe    NotBuilt `flag:"cosign-certificate-identity-regexp" doc:"Regular expression for the identity in a valid Fulcio certificate"`
	CosignIssuer        NotBuilt `flag:"cosign-certificate-oidc-issuer" doc:"OIDC issuer expected in a valid Fulcio certificate"`
	CosignIssuerRe      NotBuilt `flag:"cosign-certificate-oidc-issuer-regexp" doc:"Regular expression for the OIDC issuer"`
	IPFSAddress         NotBuilt `flag:"ipfs-address" doc:"multiaddr of the IPFS API"`
	SociIndexDigest     NotBuilt `flag:"soci-index-digest" doc:"Digest of the SOCI index to use"`
}

// Pull fetches an image from its registry.
var Pull = Define(Verb{
	Paths:   []string{"pull", "image pull"},
	Short:   "Download an image from a registry",
	Effect:  Writes,
	Example: `print(pull("nginx:1.27"))`,
}, func(call *Call, p *pullParams) (image.Image, error) {
	opts := image.PullOptions{Platforms: p.Platform, AllPlatforms: p.AllPlatforms}
	if p.Unpack != "auto" {
		unpack, err := strconv.ParseBool(p.Unpack)
		if err != nil {
			return image.Image{}, misuse("invalid --unpack: %q: must be one of auto, true, false", p.Unpack)
		}
		opts.Unpack = &unpack
	}
	img, err := pull(call, call.Stdout, string(p.Image), opts, p.Quiet || call.Script)
	if err != nil {
		return image.Image{}, err
	}
	if !call.Script {
		fmt.Fprintln(call.Stdout, img.Name)
	}
	return img, nil
}, nil)

// pull fetches an image and tells how far it is on w, in docker's words, as
// `pull` does on its standard output and `run` on its standard error.
func pull(call *Call, w io.Writer, ref string, opts image.PullOptions, quiet bool) (image.Image, error) {
	name, err := image.Normalize(ref)
	if err != nil {
		return image.Image{}, wrong(err)
	}
	if quiet {
		return call.Images.Pull(call.Context, ref, opts)
	}
	before, err := call.Images.Get(call.Context, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return image.Image{}, err
	}
	parts, _ := image.ParseName(name)
	if named, err := reference.ParseNormalizedNamed(ref); err == nil && reference.IsNameOnly(named) {
		fmt.Fprintln(w, "Using default tag: latest")
	}
	messages := make(chan jsonstream.Message)
	shown := make(chan error, 1)
	go func() {
		shown <- jsonmessage.DisplayJSONMessages(received(messages), w, terminal(call, w), terminal(call, w) != 0, nil)
		for range messages { //nolint:revive // what cannot be shown any more is dropped
		}
	}()
	// Said when the registry has answered, as dockerd does.
	found := sync.OnceFunc(func() {
		messages <- jsonstream.Message{ID: cmp.Or(parts.Tag, parts.Digest), Status: "Pulling from " + remoteName(name)}
	})
	opts.Progress = func(p image.Progress) {
		found()
		// That there is a progress, though an empty one, keeps the line of a
		// layer in its place on a terminal.
		m := jsonstream.Message{ID: image.ShortID(p.Digest), Status: p.Status, Progress: &jsonstream.Progress{}}
		if p.Total > 0 && (p.Status == "Downloading" || p.Status == "Extracting") {
			m.Progress.Current, m.Progress.Total = p.Done, p.Total
		}
		messages <- m
	}
	img, err := call.Images.Pull(call.Context, ref, opts)
	if err == nil {
		found()
		messages <- jsonstream.Message{Status: "Digest: " + img.ID}
		status := "Downloaded newer image for "
		if before.ID == img.ID {
			status = "Image is up to date for "
		}
		messages <- jsonstream.Message{Status: "Status: " + status + image.Familiar(name)}
	}
	close(messages)
	if serr := <-shown; err == nil && serr != nil {
		err = serr
	}
	return img, err
}

// remoteName is the name without the registry: "library/alpine".
func remoteName(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.Path(named)
}

func received(ch <-chan jsonstream.Message) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for m := range ch {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// terminal gives the descriptor of the terminal that w is, 0 when it is none.
func terminal(call *Call, w io.Writer) uintptr {
	f, ok := w.(*os.File)
	if !ok || call.TTY == nil || !call.TTY.IsOutput() {
		return 0
	}
	return f.Fd()
}
