package image

import "time"

// Recipe says what an assembled image consists of: the result is the same, to
// the byte, for the same recipe, the same base and the same file contents.
// Times of files are Created, owners 0:0 and modes as given, whatever the
// host's files have. See [Assemble] for what is done with it.
type Recipe struct {
	Name     string // with or without a tag
	Base     string // an image that is here; empty: from nothing
	Files    []File // where two make the same path, the later one counts
	Config   Config // over the base's: see [Config.Over]
	Author   string
	Comment  string    // of the line in the image's history
	Created  time.Time // to the second; zero: 1970-01-01, or SOURCE_DATE_EPOCH when the verb sets it
	Platform string    // empty: the base's, else the host's
}

// File is one entry of the new layer, or with Source a directory, all below
// it. Exactly one of Source, Content (empty, but not nil, for an empty file),
// Link and Directory is set.
//
// A Source that is itself a symbolic link is followed, as it was named. Below
// a directory none is: they are copied as links, wherever they point. Sockets,
// devices and pipes are refused. Hard links become files of their own, and
// extended attributes are left behind.
type File struct {
	Path      string // in the image, absolute; the directories above it are made
	Source    string // a file or directory (with all below it) of the host
	Content   []byte
	Link      string // target of a symbolic link
	Directory bool
	// Mode is the permission bits, with the set-id and sticky bits in 07000.
	// 0: 0644, 0755 for directories and what is executable on the host. A
	// Source that is a directory gives its files Mode, and its directories
	// Mode with an x for each r.
	Mode     uint32
	UID, GID int
}

// Limits of an assembled layer. They are there so that a Source of "/" by
// mistake stops before it has filled the disk.
const (
	MaxLayerSize    = 64 << 30 // bytes
	MaxLayerEntries = 1 << 20
)
