// Package ndjson reads files of one JSON value a line. It does not look into the values.
package ndjson

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
)

// Open opens a file that was named on a command line: "-" is stdin. The error names the file.
func Open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// Reader reads lines. Memory is bounded by the longest line that is wanted: of a longer one the beginning is given.
type Reader struct {
	in     *bufio.Reader
	number int
}

// NewReader reads lines of at most maxBytes.
func NewReader(in io.Reader, maxBytes int) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, maxBytes+1)}
}

// Next returns the next line that is not blank, without its end, and its number from 1. The line is valid until the next call. cut
// says that the line was too long and is only its beginning. At the end the error is io.EOF.
func (r *Reader) Next() (line []byte, number int, cut bool, err error) {
	for {
		line, err := r.in.ReadSlice('\n')
		if err != nil && len(line) == 0 {
			return nil, r.number, false, err
		}
		r.number++
		if errors.Is(err, bufio.ErrBufferFull) {
			beginning := bytes.Clone(line[:len(line)-1]) // what follows goes into the same buffer
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.in.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, r.number, false, err
			}
			return beginning, r.number, true, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, r.number, false, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(bytes.TrimSpace(line)) > 0 {
			return line, r.number, false, nil
		}
	}
}
