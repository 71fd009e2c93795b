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

	"golang.org/x/sys/unix"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/trust"
)

// rootKey is the file with a mesh's root seed, as a switchboard finds it at its start.
type rootKey struct {
	path string
	lock *os.File
	root *trust.Root // nil: the file is elsewhere
	seed string      // of a root that was made by this start and is not in its file yet
}

// openRootKey takes the lock beside the file, which says that one switchboard runs with it, and reads the file if it is there.
func openRootKey(path string) (_ *rootKey, err error) {
	const op = "open root key"
	if path, err = filepath.Abs(path); err != nil {
		return nil, diskError(op, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, diskError(op, err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(op, err)
	}
	k := &rootKey{path: path, lock: lock}
	if err := k.take(op); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return k, nil
}

func (k *rootKey) take(op string) error {
	if err := unix.Flock(int(k.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			holder, _ := os.ReadFile(k.lock.Name())
			return inos.Errorf(inos.CodeSecondSwitchboard, op, "process %s is a switchboard with the root key %s", strings.TrimSpace(string(holder)), k.path)
		}
		return diskError(op, err)
	}
	if err := errors.Join(k.lock.Truncate(0), writeAt(k.lock, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		return diskError(op, err)
	}
	return k.read()
}

// read reads the seed, if its file is there.
func (k *rootKey) read() error {
	const op = "open root key"
	raw, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskError(op, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err == nil {
		k.root, err = trust.NewRoot(seed)
	}
	if err != nil {
		return inos.Errorf(inos.CodeBadFormat, op, "%s does not hold a root seed, %d hexadecimal digits: %w", k.path, 2*trust.RootSeedBytes, err)
	}
	return nil
}

// create makes a new root; keep writes it down.
func (k *rootKey) create() error {
	seed := make([]byte, trust.RootSeedBytes)
	if _, err := rand.Read(seed); err != nil {
		return inos.Errorf(inos.CodeIO, "make root key", "%w", err)
	}
	k.seed = hex.EncodeToString(seed)
	var err error
	k.root, err = trust.NewRoot(seed)
	return err
}

// keep writes down a root that was made by this start.
func (k *rootKey) keep() error {
	if k.seed == "" {
		return nil
	}
	beside := &folder{dir: filepath.Dir(k.path)}
	if err := beside.write(filepath.Base(k.path), k.seed+"\n"); err != nil {
		return err
	}
	k.seed = ""
	return nil
}

// close lets another switchboard use the root key.
func (k *rootKey) close() {
	if k != nil {
		_ = k.lock.Close()
	}
}
