package host

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/inos-mesh/inos"
)

// folder is a node's data folder:
//
//	lock         held by the running node; its process id
//	url          where the running node listens
//	token        the operator's secret, mode 0600
//	token.keys   keys of access tokens, mode 0600; a switchboard's
//	node.key     the node's Ed25519 seed, hexadecimal, mode 0600
//	mesh.json    root key of the mesh, revoked switchboards, a switchboard's certificate or a provider's invite, mode 0600
//	root.key     the mesh's root seed, unless it is kept elsewhere, mode 0600; root.key.lock beside it
//	rebuilding   there while the map is being made again from the mesh
//	content/     chunks (package data/content)
//	records/     sealed commit records (package data/content)
//	semantic.db  facts; a switchboard's
//	episodic.db  history; a switchboard's
//	log/         replay log segments
//	quarantine/  envelopes that made a kernel trap
//	cache/       compiled WASM, may be deleted
type folder struct {
	dir  string
	lock *os.File
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// openFolder creates the data folder when it is missing and locks it against a second node.
func openFolder(dir string) (*folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, diskError("find data folder", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, diskError("create data folder", err)
	}
	f := &folder{dir: abs}
	lock, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError("open data folder", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.path("lock"))
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, inos.Errorf(inos.CodeFolderInUse, "open data folder", "%s is in use by process %s", abs, strings.TrimSpace(string(holder)))
		}
		return nil, diskError("lock data folder", err)
	}
	f.lock = lock
	if err := errors.Join(lock.Truncate(0), writeAt(lock, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		f.close()
		return nil, diskError("write lock", err)
	}
	return f, nil
}

// has says that there is a file or a folder of that name.
func (f *folder) has(name string) bool {
	_, err := os.Lstat(f.path(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// filled says that there is a file of that name with something in it. A disk that was cut off leaves files behind that have their name and nothing else.
func (f *folder) filled(name string) bool {
	info, err := os.Stat(f.path(name))
	return err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

func writeAt(file *os.File, s string) error {
	_, err := file.WriteAt([]byte(s), 0)
	return err
}

// close gives the folder free. The files stay; the lock is the kernel's, so that a killed node leaves none behind.
func (f *folder) close() { _ = f.lock.Close() }

// secret returns the bytes in a file of mode 0600, which is made with size random bytes, hexadecimal, when it is missing.
func (f *folder) secret(name, prefix string, size int) (string, error) {
	raw, err := os.ReadFile(f.path(name))
	if err == nil {
		secret := strings.TrimSpace(string(raw))
		if digits, ok := strings.CutPrefix(secret, prefix); !ok || len(digits) != 2*size {
			return "", inos.Errorf(inos.CodeBadFormat, "read "+name, "%s does not hold %q and %d hexadecimal digits", f.path(name), prefix, 2*size)
		}
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", diskError("read "+name, err)
	}
	secret, err := randomSecret(prefix, size)
	if err != nil {
		return "", err
	}
	return secret, f.write(name, secret+"\n")
}

// randomSecret returns size random bytes, hexadecimal, behind a prefix.
func randomSecret(prefix string, size int) (string, error) {
	random := make([]byte, size)
	if _, err := rand.Read(random); err != nil {
		return "", inos.Errorf(inos.CodeIO, "make secret", "%w", err)
	}
	return prefix + hex.EncodeToString(random), nil
}

// write replaces a file of mode 0600 durably.
func (f *folder) write(name, content string) error {
	temp, err := os.CreateTemp(f.dir, "."+name+"-*")
	if err != nil {
		return diskError("write "+name, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(content)
	err = errors.Join(err, temp.Chmod(0o600), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.path(name))
	}
	if err == nil {
		err = syncDir(f.dir)
	}
	if err != nil {
		return diskError("write "+name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskError gives an error of the operating system its code.
func diskError(op string, err error) error {
	var coded *inos.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return inos.Errorf(inos.CodeDiskFull, op, "%w", err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return inos.Errorf(inos.CodeReadOnly, op, "%w", err)
	}
	return inos.Errorf(inos.CodeIO, op, "%w", err)
}
