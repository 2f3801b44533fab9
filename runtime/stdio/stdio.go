// Package stdio is the socket between the helper beside a container and the
// programs that are attached to it.
//
// The helper reads what the container writes and sends it to every client that
// is connected; a client only reads. The frames have the header of docker's
// attach API: 8 bytes, which are the stream (1 stdout, 2 stderr), three zeros
// and the length of the payload in big endian. A frame for stream 0 without a
// payload says that all output has been sent; a connection that ends without it was
// cut off. What was written before a client connected is not owed to it; all
// that is written after Dial returned is.
//
// A client that does not read makes the container wait, as a pipe does. One
// that is gone is forgotten at once.
//
// The socket is called attach.sock and lies in the container's state directory.
// Its path may be longer than the 108 bytes that fit into a socket address
// (unix(7)), so both sides go through /proc/self/fd.
//
// The package is linked into the helper and keeps off package net for the sake of
// its size.
package stdio

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// SocketName in the state directory.
const SocketName = "attach.sock"

// HeaderSize is the length of the header of a frame.
const HeaderSize = 8

// The streams of a frame.
const (
	Stdout byte = 1
	Stderr byte = 2
	end    byte = 0
)

// maxPayload bounds a frame: what is longer does not come from our helper.
const maxPayload = 1 << 20

func putHeader(frame []byte, stream byte) {
	frame[0], frame[1], frame[2], frame[3] = stream, 0, 0, 0
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-HeaderSize))
}

func openDir(path string) (int, error) {
	return again(func() (int, error) {
		return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

func address(dir int, name string) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name}
}

// again repeats a call that a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
