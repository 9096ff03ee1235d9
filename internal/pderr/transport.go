package pderr

import (
	"io"
	"io/fs"
	"syscall"
)

// transportErrors are the plain errors by which a connection or a stream ends. io.EOF is how gRPC reports a stream
// that the server closed in good order. fs.ErrClosed stands for connections of tests and files alike; the ones of
// package net match through their Timeout method.
var transportErrors = [...]error{
	io.EOF,
	io.ErrUnexpectedEOF,
	io.ErrClosedPipe,
	fs.ErrClosed,
	syscall.ECONNREFUSED,
	syscall.ECONNRESET,
	syscall.EPIPE,
}
