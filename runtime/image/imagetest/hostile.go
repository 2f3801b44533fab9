package imagetest

import (
	"archive/tar"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Hostile is an archive that has to be refused.
type Hostile struct {
	Name    string
	Archive []byte
	Error   string // the whole text
}

// HostileArchives gives the table. All must be refused with kind invalid, at
// once, and leave nothing behind.
func HostileArchives() []Hostile {
	good := Small("amd64", "hello", "evil:1")
	layer := good.Layers[0]
	layerName := BlobName(layer)
	short := func(i Image) string { return digest.FromBytes(i.Manifest()).String() }
	withLayer := func(layer []byte) Image {
		i := good
		i.Layers = [][]byte{layer}
		return i
	}
	sparse := sparseTar()
	escape := Tar(Entry{Name: "../../escape", Data: []byte("x")})
	hardlink := Tar(Entry{Name: "a", Type: tar.TypeLink, Link: "../../etc/passwd"})
	cutLayer := layer[:514]
	other := Small("amd64", "other")
	otherConfig := other.Config()
	bigManifest := Entry{Name: "manifest.json", Data: []byte("[]" + strings.Repeat(" ", 9<<20))}
	short2 := func(s []byte) string { return digest.FromBytes(s).String() }

	const p = "load image archive: "
	return []Hostile{
		{"nothing at all", nil, p + "the archive is empty"},
		{"not a tar", []byte(strings.Repeat("not a tar ", 200)), p + "the archive is damaged: archive/tar: invalid tar header"},
		{"cut gzip", Gzip(Tar(Docker(good)...))[:200], p + "the archive is truncated"},
		{"cut in a layer", Tar(OCI(good)...)[:700], p + "the archive is truncated"},
		{"bzip2", []byte("BZh91AY&SY" + strings.Repeat("x", 100)), p + "compressed with bzip2"},
		{"no manifest", Tar(Entry{Name: "etc/passwd", Data: []byte("root")}),
			p + "the archive has neither a manifest.json nor an index.json, it is not an image archive"},
		{"path escape", Tar(append(Docker(good), Entry{Name: "../../etc/cron.d/x", Data: []byte("x")})...),
			p + `entry "../../etc/cron.d/x" leads out of the archive`},
		{"absolute path", Tar(append([]Entry{{Name: "/etc/passwd", Data: []byte("x")}}, Docker(good)...)...),
			p + `entry "/etc/passwd" leads out of the archive`},
		{"link escape", Tar(append(Docker(good), Entry{Name: "x/layer.tar", Type: tar.TypeSymlink, Link: "../../../etc/shadow"})...),
			p + `link "x/layer.tar" leads out of the archive, to "../../../etc/shadow"`},
		{"device", Tar(append(Docker(good), Entry{Name: "sda", Type: tar.TypeBlock})...),
			p + `entry "sda" is neither a file, a directory nor a symbolic link`},
		{"wrong digest of a layer", Tar(replace(OCI(good), layerName, Entry{Name: layerName, Data: other.Layers[0]})...),
			p + layerName + " has the digest " + short2(other.Layers[0])},
		{"wrong digest of a config", Tar(replace(OCI(good), BlobName(good.Config()), Entry{Name: BlobName(good.Config()), Data: otherConfig})...),
			p + BlobName(good.Config()) + " has the digest " + short2(otherConfig)},
		{"layer missing", Tar(replace(OCI(good), layerName)...), p + "layer " + short2(layer) + " is not in the archive"},
		{"layer missing (docker)", Tar(replace(Docker(good), digest.FromBytes(layer).Encoded()+"/layer.tar")...),
			p + `layer "` + digest.FromBytes(layer).Encoded() + `/layer.tar" is not in the archive`},
		{"config missing", Tar(replace(OCI(good), BlobName(good.Config()))...), p + "config " + short2(good.Config()) + " is not in the archive"},
		{"manifest missing", Tar(replace(OCI(good), BlobName(good.Manifest()))...), p + "manifest " + short(good) + " is not in the archive"},
		{"index missing", Tar(replace(OCI(good), "index.json")...), p + "the archive has an oci-layout, but no index.json"},
		{"unknown layout", Tar(replace(OCI(good), "oci-layout", Entry{Name: "oci-layout", Data: []byte(`{"imageLayoutVersion":"9"}`)})...),
			p + `the OCI layout is of version "9", which is not known`},
		{"manifest too large", Tar(replace(Docker(good), "manifest.json", bigManifest)...),
			p + `"manifest.json" has 9437186 bytes, more than the 8388608 of a document`},
		{"manifest not json", Tar(replace(Docker(good), "manifest.json", Entry{Name: "manifest.json", Data: []byte("[{")})...),
			p + "manifest.json cannot be read: unexpected end of JSON input"},
		{"entry with other contents", Tar(append(Docker(good), Entry{Name: digest.FromBytes(layer).Encoded() + "/layer.tar", Data: other.Layers[0]})...),
			p + `entry "` + digest.FromBytes(layer).Encoded() + `/layer.tar" comes twice, with different contents`},
		{"name that is none", Tar(Docker(Small("amd64", "x", "bad name"))...), p + `image name "bad name": invalid reference format`},
		{"layer escapes", Tar(OCI(withLayer(escape))...),
			p + "layer " + BlobName(escape) + ` has an entry that leads out of its root: "../../escape"`},
		{"hard link escapes", Tar(OCI(withLayer(hardlink))...),
			p + "layer " + BlobName(hardlink) + ` has an entry that leads out of its root: "a"`},
		{"layer truncated", Tar(OCI(withLayer(cutLayer))...), p + "layer " + BlobName(cutLayer) + " is truncated"},
		{"layer not a tar", Tar(OCI(withLayer([]byte("#!/bin/sh\n")))...),
			p + "layer " + short2([]byte("#!/bin/sh\n")) + " is not a tar archive"},
		{"sparse bomb", Tar(OCI(withLayer(sparse))...), p + "layer " + BlobName(sparse) + " unpacks to more than 100 times its size"},
	}
}

// sparseTar is a file of 8 GiB less one byte, all of it a hole, in the old GNU
// format (GNU tar manual, "Old GNU Format"), which archive/tar does not write.
func sparseTar() []byte {
	data := Tar(Entry{Name: "hole"})
	block := data[:512]
	block[156] = 'S'
	copy(block[257:], "ustar  \x00")
	copy(block[483:], "77777777777\x00")
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}
