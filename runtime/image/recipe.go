package image

import "time"

// Recipe says what an assembled image consists of: the result is the same, to
// the byte, for the same recipe and the same file contents. Times of files are
// Created, owners 0:0 and modes as given, whatever the host's files have.
type Recipe struct {
	Name     string // with or without a tag
	Base     string // an image that is here; empty: from nothing
	Files    []File
	Config   Config    // merged over the base's: lists replace, maps add
	Created  time.Time // zero: 1970-01-01, or SOURCE_DATE_EPOCH when the verb sets it
	Platform string    // empty: the base's, else the host's
}

// File is one entry of the new layer. Exactly one of Source, Content, Link and
// Directory is set.
type File struct {
	Path      string // in the image, absolute
	Source    string // a file or directory (with all below it) of the host
	Content   []byte
	Link      string // target of a symbolic link
	Directory bool
	Mode      uint32 // permission bits; 0: 0644, 0755 for directories and what is executable on the host
	UID, GID  int
}
