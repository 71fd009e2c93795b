package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/inos-mesh/inos"
)

// openSource returns the body of a file that is to be put and its length; -1 when only its end will tell that: of a pipe or a device, and of a file that
// the system makes while it is read, which says that it has no bytes and has some.
func openSource(file *os.File) (body io.Reader, length int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	}
	if !info.Mode().IsRegular() {
		return file, -1, nil
	}
	if info.Size() == 0 {
		if n, _ := file.ReadAt(make([]byte, 1), 0); n > 0 { // an error is met again by who reads it
			return file, -1, nil
		}
	}
	return &steadyFile{file: file, before: info}, info.Size(), nil
}

// steadyFile is a regular file on its way. Its last bytes are handed on only when it still is what it was when it was opened: what somebody writes to
// meanwhile would be stored as a mixture that never was. It can be read again from its start, and has to be the same then.
type steadyFile struct {
	file   *os.File
	before os.FileInfo
	offset int64
}

// Read implements io.Reader. What was appended is not read.
func (s *steadyFile) Read(p []byte) (int, error) {
	left := s.before.Size() - s.offset
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := s.file.Read(p[:min(int64(len(p)), left)])
	s.offset += int64(n)
	if err == nil && s.offset < s.before.Size() {
		return n, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	if err := unchanged(s.file, s.before); err != nil {
		return 0, err
	}
	return n, err
}

// Seek implements io.Seeker.
func (s *steadyFile) Seek(offset int64, whence int) (int64, error) {
	at, err := s.file.Seek(offset, whence)
	if err == nil {
		s.offset = at
	}
	return at, err
}

// unchanged fails when a file is not any more what it was before it was read.
func unchanged(file *os.File, before os.FileInfo) error {
	after, err := file.Stat()
	if err != nil {
		return inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return &inos.Error{
			Code: inos.CodeBodyMismatch, Op: "put", Message: printable(file.Name()) + " was changed while it was read",
			Hint: "Run the command again when nobody writes to it.",
		}
	}
	return nil
}

// isNodeFolder tells whether a folder holds a node or a local mesh. Its files change all the time, each put makes more of them, and keys are among them.
func isNodeFolder(dir string) bool {
	for _, names := range [][]string{{"lock", "node.key", "mesh.json"}, {"lock", localFile}} {
		all := true
		for _, name := range names {
			info, err := os.Lstat(filepath.Join(dir, name))
			if all = err == nil && info.Mode().IsRegular(); !all {
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}
