//go:build unix

package content

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/inos-mesh/inos"
)

// Modes of what a store creates: stored bytes are readable by their owner only.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// listBatch is how many names of a folder are read at a time.
const listBatch = 1024

// OSFiles is the operating system's file layer.
type OSFiles struct{}

var _ FileLayer = OSFiles{}

type osFile struct{ *os.File }

// Create implements FileLayer.
func (OSFiles) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements FileLayer.
func (OSFiles) Open(name string, fresh bool) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if fresh {
		dropCache(f)
	}
	return osFile{f}, nil
}

// Stat implements FileLayer.
func (OSFiles) Stat(name string) (FileStat, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return FileStat{}, err
	}
	return statOf(info)
}

func (f osFile) Stat() (FileStat, error) {
	info, err := f.File.Stat()
	if err != nil {
		return FileStat{}, err
	}
	return statOf(info)
}

func statOf(info os.FileInfo) (FileStat, error) {
	if !info.Mode().IsRegular() {
		return FileStat{}, fmt.Errorf("%s is not a regular file", info.Name())
	}
	return FileStat{Bytes: info.Size(), Modified: inos.Micros(info.ModTime().UnixMicro())}, nil
}

func (f osFile) Sync(Site) error { return f.File.Sync() }

// SetTime implements FileLayer.
func (OSFiles) SetTime(name string, t inos.Micros) error {
	at := time.UnixMicro(int64(t))
	return os.Chtimes(name, at, at)
}

// Rename implements FileLayer.
func (OSFiles) Rename(from, to string) error { return os.Rename(from, to) }

// Link implements FileLayer.
func (OSFiles) Link(from, to string) error {
	err := os.Link(from, to)
	// Linux answers EPERM where the file system has no links, and EMLINK where a file has too many.
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

// Remove implements FileLayer.
func (OSFiles) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FileLayer.
func (OSFiles) Mkdir(name string) error { return os.Mkdir(name, dirMode) }

// List implements FileLayer.
func (OSFiles) List(dir string, visit func(name string) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(listBatch)
		for _, name := range names {
			if err := visit(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// SyncDir implements FileLayer.
func (OSFiles) SyncDir(dir string, _ Site) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Free implements FileLayer.
func (OSFiles) Free(dir string) (free, total int64, err error) {
	var s syscall.Statfs_t
	for {
		if err = syscall.Statfs(dir, &s); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil //nolint:unconvert // types differ between systems
}
