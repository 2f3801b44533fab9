package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"nsh/runtime/fault"
	"nsh/runtime/image/imagetest"
)

// Zeros behind a small layer, and an archive that is mostly zeros, are refused
// at the allowance, long before they are at their end.
func TestBombs(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	zeros := gzipZeros(32 << 20)
	layer := imagetest.Image{Names: []string{"bomb:1"}, Layers: [][]byte{zeros}}
	layer.Platform.OS, layer.Platform.Architecture = "linux", "amd64"
	var after bytes.Buffer
	after.Write(imagetest.Gzip(imagetest.Tar(imagetest.OCI(imagetest.Small("amd64", "x", "bomb:1"))...)))
	after.Write(zeros)
	for _, tt := range []struct {
		name, want string
		archive    []byte
	}{
		{"in a layer", "layer " + imagetest.BlobName(zeros) + " unpacks to more than 100 times its size", imagetest.Tar(imagetest.OCI(layer)...)},
		{"behind the end", "the archive unpacks to more than 100 times its size", after.Bytes()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &archiveReader{ctx: t.Context(), limit: limit, blobs: map[string]stored{}, links: map[string]string{},
				documents: map[digest.Digest][]byte{}, put: func(_ context.Context, _ Blob, r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				}}
			_, err := a.read(bytes.NewReader(tt.archive), LoadOptions{})
			if text(err) != tt.want || !fault.Is(err, fault.Invalid) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if fault.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
}

func gzipZeros(n int) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(make([]byte, n))
	_ = w.Close()
	return buf.Bytes()
}
