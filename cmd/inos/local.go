package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inos-mesh/inos"
)

// The data folder of a local mesh, all of whose nodes 'inos up' runs:
//
//	lock          held by the running 'inos up'; its process id
//	local.json    what this mesh is made of
//	root.key      the mesh's root seed, to be kept elsewhere; root.key.lock
//	switchboard/  a node's data folder
//	provider-1/   another, and so on
//	names         what the nodes are called, by node id
//	cache/        compiled WebAssembly of all of them
//	url, token    links to the switchboard's, where the other commands look
const (
	localFile       = "local.json"
	localVersion    = 1
	switchboardName = "switchboard"
	providerPrefix  = "provider-"
	rootKeyFile     = "root.key"
	localNodesMax   = 64 // providers on one machine
)

// Ports for the mesh of a switchboard on this machine: any of a range below those that systems give to outgoing connections,
// since providers have to find it again after every restart.
const (
	meshPortLow      = 20_000
	meshPortHigh     = 30_000
	meshPortTriesMax = 64
)

// folderKind is what a data folder is of.
type folderKind int

const (
	folderEmpty folderKind = iota
	folderLone             // a node that does everything
	folderLocal            // a local mesh
	folderProvider
)

// kindOf tells what a data folder is of.
func kindOf(dir string) (folderKind, error) {
	for _, k := range []struct {
		name string
		kind folderKind
	}{{localFile, folderLocal}, {"semantic.db", folderLone}, {"token.keys", folderLone}, {"mesh.json", folderProvider}} { // a lost map makes no provider
		_, err := os.Stat(filepath.Join(dir, k.name))
		if err == nil {
			return k.kind, nil
		}
		if errors.Is(err, unix.ENOTDIR) {
			return folderEmpty, &inos.Error{Code: inos.CodeIO, Op: "open data folder", Message: dir + " is no folder", Hint: "Choose another --data."}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return folderEmpty, inos.Errorf(inos.CodeIO, "open data folder", "%w", err)
		}
	}
	return folderEmpty, nil
}

// local is what a local mesh is made of, as local.json has it.
type local struct {
	Version    int    `json:"version"`
	Providers  int    `json:"providers"`   // that were ever made
	MeshListen string `json:"mesh_listen"` // multiaddress of the switchboard
	// Removed are the names of providers that were taken out of the mesh: a switchboard that was rebuilt would let them in again.
	Removed []string `json:"removed,omitempty"`

	dir  string
	lock *os.File
}

// openLocal locks the folder of a local mesh and reads what it is made of; an empty folder becomes that of a new one.
func openLocal(dir string) (*local, error) {
	const op = "open data folder"
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, inos.Errorf(inos.CodeIO, op, "%w", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, folderError(op, err)
	}
	lock, err := os.OpenFile(filepath.Join(abs, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, folderError(op, err)
	}
	l := &local{dir: abs, lock: lock}
	if err := l.take(op); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *local) take(op string) error {
	err := unix.Flock(int(l.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := readSmall(l.lock.Name())
		return inos.Errorf(inos.CodeFolderInUse, op, "%s is in use by process %s", l.dir, printable(holder))
	}
	if err == nil {
		if holder, readErr := readSmall(l.lock.Name()); readErr != nil || strings.Trim(holder, "0123456789") != "" {
			return &inos.Error{
				Code: inos.CodeConflict, Op: op, Message: l.lock.Name() + " is there already, and no mesh has made it", Hint: "Name a folder of its own with --data.",
			}
		}
		err = l.lock.Truncate(0)
	}
	if err == nil {
		_, err = l.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return folderError(op, err)
	}
	s, err := readSmall(l.path(localFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(op, err)
	}
	if err := json.Unmarshal([]byte(s), l); err != nil || l.Version != localVersion || l.Providers < 1 || l.Providers > localNodesMax {
		return inos.Errorf(inos.CodeBadFormat, op, "%s was not written by this version", l.path(localFile))
	}
	return nil
}

// folderError gives a failure on the folder its code.
func folderError(op string, err error) error {
	code := inos.CodeIO
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		code = inos.CodeReadOnly
	case errors.Is(err, unix.ENOSPC):
		code = inos.CodeDiskFull
	}
	return inos.Errorf(code, op, "%w", err)
}

// close gives the folder free.
func (l *local) close() { _ = l.lock.Close() }

func (l *local) path(name string) string { return filepath.Join(l.dir, name) }

// isNew says that the mesh was never started.
func (l *local) isNew() bool { return l.Version == 0 }

// fit makes the mesh one that has so many providers, not counting those that were taken out of it.
func (l *local) fit(providers int) error {
	const op = "start mesh"
	have := len(l.providerNames())
	switch made := l.Providers + providers - have; {
	case providers == have:
		return nil
	case providers < have:
		return &inos.Error{
			Code: inos.CodeConflict, Op: op, Message: fmt.Sprintf("the mesh in %s has %s", l.dir, plural(uint64(have), "provider")),
			Hint: "To make it smaller, empty a provider with 'inos drain' and take it out with 'inos nodes rm'.",
		}
	case made > localNodesMax:
		return &inos.Error{
			Code: inos.CodeConflict, Op: op, Message: fmt.Sprintf("the mesh in %s has %s and has had %d; it is made at most %d", l.dir, plural(uint64(have), "provider"), l.Providers, localNodesMax),
			Hint: fmt.Sprintf("Start it with --nodes %d at most; others join from folders of their own ('inos invite', 'inos join').", have+localNodesMax-l.Providers),
		}
	default:
		return l.grow(made)
	}
}

// grow has the mesh made of so many providers, those included that were taken out of it, and writes that down.
func (l *local) grow(providers int) error {
	if l.MeshListen == "" {
		addr, err := freeMeshAddress()
		if err != nil {
			return err
		}
		l.MeshListen = addr
	}
	l.Version, l.Providers = localVersion, providers
	return l.save()
}

// retire notes that a provider was taken out of the mesh.
func (l *local) retire(name string) error {
	if slices.Contains(l.Removed, name) {
		return nil
	}
	l.Removed = append(l.Removed, name)
	return l.save()
}

// save writes down what the mesh is made of.
func (l *local) save() error {
	raw, err := json.Marshal(l)
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "write "+localFile, "%w", err)
	}
	return l.write(localFile, append(raw, '\n'))
}

// write replaces a file of the folder.
func (l *local) write(name string, content []byte) error {
	const op = "write data folder"
	temp, err := os.CreateTemp(l.dir, "."+name+"-*")
	if err != nil {
		return folderError(op, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone when it was renamed
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		if err = os.Rename(temp.Name(), l.path(name)); err == nil {
			err = syncFolder(l.dir)
		}
	}
	if err != nil {
		return folderError(op, err)
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// linkNames are the files of the switchboard that are found in the folder of its mesh too.
var linkNames = []string{"url", "token"}

// free refuses to make a mesh in a folder where files that are not a mesh's have the names of its own.
func (l *local) free() error {
	for _, name := range linkNames {
		info, err := os.Lstat(l.path(name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		if err != nil {
			return folderError("open data folder", err)
		}
		return &inos.Error{
			Code: inos.CodeConflict, Op: "start mesh", Message: fmt.Sprintf("%s is there already, and no mesh has made it", l.path(name)),
			Hint: "Name a folder of its own with --data.",
		}
	}
	return nil
}

// link makes the switchboard's address and token be found where those of a lone node are.
func (l *local) link() error {
	for _, name := range linkNames {
		target := filepath.Join(switchboardName, name)
		if have, err := os.Readlink(l.path(name)); err == nil && have == target {
			continue
		}
		if err := os.Remove(l.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return folderError("link "+name, err)
		}
		if err := os.Symlink(target, l.path(name)); err != nil {
			return folderError("link "+name, err)
		}
	}
	return nil
}

// providerNames returns the names of the providers that are in the mesh.
func (l *local) providerNames() (names []string) {
	for i := range l.Providers {
		if name := providerPrefix + strconv.Itoa(i+1); !slices.Contains(l.Removed, name) {
			names = append(names, name)
		}
	}
	return names
}

// hasJoined says that a provider's folder was made with an invite.
func (l *local) hasJoined(name string) bool {
	_, err := os.Stat(l.path(filepath.Join(name, "mesh.json")))
	return err == nil
}

// tierOf returns what a provider of a local mesh is for: about two thirds keep, the others serve.
func (l *local) tierOf(name string) inos.Tier {
	i, err := strconv.Atoi(strings.TrimPrefix(name, providerPrefix))
	if err == nil && i > (2*l.Providers+2)/3 {
		return inos.TierHot
	}
	return inos.TierCold
}

// shareOf returns the bytes that each provider offers: of a capacity, or of what the disk has free now.
func (l *local) shareOf(capacity int64) (uint64, error) {
	if capacity == 0 {
		var s unix.Statfs_t
		if err := unix.Statfs(l.dir, &s); err != nil {
			return 0, folderError("look at the disk", err)
		}
		capacity = int64(s.Bavail) / 10 * 9 * int64(s.Bsize)
	}
	return uint64(max(capacity/int64(l.Providers), 1)), nil
}

// rename notes what a node is called.
func (l *local) rename(names nodeNames) error {
	raw, err := json.Marshal(names)
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "write "+namesFile, "%w", err)
	}
	return l.write(namesFile, append(raw, '\n'))
}

// freeMeshAddress returns a multiaddress of this machine on which nobody listens.
func freeMeshAddress() (string, error) {
	for range meshPortTriesMax {
		port := meshPortLow + rand.IntN(meshPortHigh-meshPortLow)
		if isFree(port) {
			return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), nil
		}
	}
	return "", inos.Errorf(inos.CodeAddressInUse, "choose mesh address", "%d ports of 127.0.0.1 are all in use", meshPortTriesMax)
}

// isFree tells whether nobody listens on a port of this machine.
func isFree(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close() // it was only to see
	return true
}
