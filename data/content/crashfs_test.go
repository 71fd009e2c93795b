package content_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// errDead is returned by every call from the crash to the next PowerLoss or Kill.
var errDead = errors.New("crashFS: the machine is down")

// crashFS is a file system in memory that forgets at a crash what was not synced, so that a test can see a missing
// sync. It promises less than any real one:
//
//   - A file keeps the bytes and the time of its last sync; what came later survives whole, not at all, or torn.
//   - A folder keeps the entries of its last sync; each later change of each name survives or not, by itself. A rename
//     from one folder to another is two changes, of which a crash may keep either: the file can be lost or have two names.
//     Only a name that is replaced always refers to one of the files that it referred to.
//   - A folder that its parent forgets takes what is in it along.
type crashFS struct {
	now func() inos.Micros

	mu      sync.Mutex // guards all below, and every node
	root    *crashNode
	dead    bool
	changes int // calls that change something, syncs included
	crashAt int
	failAt  int
	failure error
	dropped content.Site
	synced  map[content.Site]int
	free    int64
	noLinks bool // like exFAT
}

// crashNode is a file or a folder.
type crashNode struct {
	bytes, keptBytes       []byte
	modified, keptModified inos.Micros
	entries                map[string][]*crashNode // folders only: what a name refers to; the first is durable, the last is current, nil is nothing
}

var _ content.FileLayer = (*crashFS)(nil)

// newCrashFS returns an empty file system with 1 TiB free. now is its clock.
func newCrashFS(now func() inos.Micros) *crashFS {
	return &crashFS{now: now, root: newFolder(), synced: make(map[content.Site]int), free: 1 << 40}
}

func newFolder() *crashNode { return &crashNode{entries: make(map[string][]*crashNode)} }

// CrashAt lets the n-th change from now on, counted from 1, not happen, nor anything after it.
func (f *crashFS) CrashAt(n int) { f.locked(func() { f.crashAt = f.changes + n }) }

// FailAt lets the n-th change from now on fail with err; it does not happen. Later changes do.
func (f *crashFS) FailAt(n int, err error) {
	f.locked(func() { f.failAt, f.failure = f.changes+n, err })
}

// Drop lets the syncs of a site do nothing.
func (f *crashFS) Drop(site content.Site) { f.locked(func() { f.dropped = site }) }

// SetFree sets what Free answers.
func (f *crashFS) SetFree(bytes int64) { f.locked(func() { f.free = bytes }) }

// Changes returns how many changes were asked for.
func (f *crashFS) Changes() (n int) {
	f.locked(func() { n = f.changes })
	return n
}

// Dead says whether the crash has happened.
func (f *crashFS) Dead() (dead bool) {
	f.locked(func() { dead = f.dead })
	return dead
}

// Synced returns how often each site synced.
func (f *crashFS) Synced() (sites map[content.Site]int) {
	f.locked(func() { sites = maps.Clone(f.synced) })
	return sites
}

// Kill ends the process but not the machine: everything written is still there, unsynced as it was.
func (f *crashFS) Kill() { f.locked(func() { f.dead, f.crashAt, f.failAt = false, 0, 0 }) }

// PowerLoss ends the machine and starts it again; the seed chooses what survives of that which was not synced.
func (f *crashFS) PowerLoss(seed uint64) {
	f.locked(func() {
		f.dead, f.crashAt, f.failAt = false, 0, 0
		f.root.lose(rand.New(rand.NewPCG(seed, 0)), make(map[*crashNode]bool))
	})
}

// Damage changes the durable bytes of a file.
func (f *crashFS) Damage(name string, change func([]byte) []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file("damage", name)
	if err != nil {
		return err
	}
	n.bytes = change(slices.Clone(n.bytes))
	n.keptBytes = slices.Clone(n.bytes)
	return nil
}

func (f *crashFS) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// lose lets a crash choose. One choice per node, whatever the number of its names.
func (n *crashNode) lose(r *rand.Rand, seen map[*crashNode]bool) {
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	if n.entries == nil {
		if !slices.Equal(n.bytes, n.keptBytes) {
			switch r.IntN(3) {
			case 0:
				n.bytes = n.keptBytes
			case 1: // all of it happened to be written
			default: // the length was, the blocks behind a point were not
				cut := r.IntN(len(n.bytes) + 1)
				torn := make([]byte, len(n.bytes))
				copy(torn, n.bytes[:cut])
				n.bytes = torn
			}
			n.keptBytes = slices.Clone(n.bytes)
		}
		if r.IntN(2) == 0 {
			n.modified = n.keptModified
		}
		n.keptModified = n.modified
		return
	}
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		history := n.entries[name]
		survivor := history[r.IntN(len(history))]
		if survivor == nil {
			delete(n.entries, name)
			continue
		}
		n.entries[name] = []*crashNode{survivor}
		survivor.lose(r, seen)
	}
}

func (n *crashNode) get(name string) *crashNode {
	if history := n.entries[name]; len(history) > 0 {
		return history[len(history)-1]
	}
	return nil
}

func (n *crashNode) set(name string, to *crashNode) {
	if n.entries[name] == nil {
		n.entries[name] = []*crashNode{nil}
	}
	n.entries[name] = append(n.entries[name], to)
}

// change counts a change, and lets it fail when its time has come.
func (f *crashFS) change(op, name string) error {
	if f.dead {
		return errDead
	}
	f.changes++
	switch f.changes {
	case f.crashAt:
		f.dead = true
		return errDead
	case f.failAt:
		return &fs.PathError{Op: op, Path: name, Err: f.failure}
	}
	return nil
}

func (f *crashFS) folder(op, name string) (*crashNode, error) {
	n := f.root
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		if part == "" {
			continue
		}
		if n = n.get(part); n == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		if n.entries == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
	}
	return n, nil
}

// parent returns the folder that a name is in.
func (f *crashFS) parent(op, name string) (*crashNode, string, error) {
	n, err := f.folder(op, path.Dir(name))
	return n, path.Base(name), err
}

func (f *crashFS) file(op, name string) (*crashNode, error) {
	if f.dead {
		return nil, errDead
	}
	folder, base, err := f.parent(op, name)
	if err != nil {
		return nil, err
	}
	n := folder.get(base)
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if n.entries != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.EISDIR}
	}
	return n, nil
}

// crashFile is a file that somebody has open.
type crashFile struct {
	fs   *crashFS
	node *crashNode
	name string
	at   int
}

// Create implements content.FileLayer.
func (f *crashFS) Create(name string) (content.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change("create", name); err != nil {
		return nil, err
	}
	folder, base, err := f.parent("create", name)
	if err != nil {
		return nil, err
	}
	if folder.get(base) != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	n := &crashNode{modified: f.now()}
	n.keptModified = n.modified
	folder.set(base, n)
	return &crashFile{f, n, name, 0}, nil
}

// Open implements content.FileLayer.
func (f *crashFS) Open(name string, _ bool) (content.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file("open", name)
	if err != nil {
		return nil, err
	}
	return &crashFile{f, n, name, 0}, nil
}

// Stat implements content.FileLayer.
func (f *crashFS) Stat(name string) (content.FileStat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file("stat", name)
	if err != nil {
		return content.FileStat{}, err
	}
	return content.FileStat{Bytes: int64(len(n.bytes)), Modified: n.modified}, nil
}

// SetTime implements content.FileLayer.
func (f *crashFS) SetTime(name string, t inos.Micros) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change("set time", name); err != nil {
		return err
	}
	n, err := f.file("set time", name)
	if err == nil {
		n.modified = t
	}
	return err
}

// Rename implements content.FileLayer.
func (f *crashFS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change("rename", from); err != nil {
		return err
	}
	n, err := f.file("rename", from)
	if err != nil {
		return err
	}
	target, base, err := f.parent("rename", to)
	if err != nil {
		return err
	}
	source, old, _ := f.parent("rename", from)
	target.set(base, n)
	source.set(old, nil)
	return nil
}

// Link implements content.FileLayer.
func (f *crashFS) Link(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noLinks {
		return &fs.PathError{Op: "link", Path: from, Err: errors.ErrUnsupported}
	}
	if err := f.change("link", from); err != nil {
		return err
	}
	n, err := f.file("link", from)
	if err != nil {
		return err
	}
	target, base, err := f.parent("link", to)
	if err != nil {
		return err
	}
	if target.get(base) != nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	target.set(base, n)
	return nil
}

// Remove implements content.FileLayer.
func (f *crashFS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.file("remove", name); err != nil {
		return err // not a change: nothing is asked of the disk
	}
	if err := f.change("remove", name); err != nil {
		return err
	}
	folder, base, _ := f.parent("remove", name)
	folder.set(base, nil)
	return nil
}

// Mkdir implements content.FileLayer.
func (f *crashFS) Mkdir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errDead
	}
	folder, base, err := f.parent("mkdir", name)
	if err != nil {
		return err
	}
	if folder.get(base) != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if err := f.change("mkdir", name); err != nil {
		return err
	}
	folder.set(base, newFolder())
	return nil
}

// List implements content.FileLayer.
func (f *crashFS) List(dir string, visit func(name string) error) error {
	f.mu.Lock()
	if f.dead {
		f.mu.Unlock()
		return errDead
	}
	folder, err := f.folder("list", dir)
	var names []string
	if err == nil {
		for name := range folder.entries { // in any order, as the contract has it
			if folder.get(name) != nil {
				names = append(names, name)
			}
		}
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// SyncDir implements content.FileLayer.
func (f *crashFS) SyncDir(dir string, site content.Site) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change("sync", dir); err != nil {
		return err
	}
	folder, err := f.folder("sync", dir)
	if err != nil || !f.sync(site) {
		return err
	}
	for name := range folder.entries {
		if n := folder.get(name); n != nil {
			folder.entries[name] = []*crashNode{n}
		} else {
			delete(folder.entries, name)
		}
	}
	return nil
}

// sync counts a site and says whether its sync happens.
func (f *crashFS) sync(site content.Site) bool {
	f.synced[site]++
	return site != f.dropped
}

// Free implements content.FileLayer.
func (f *crashFS) Free(string) (free, total int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return 0, 0, errDead
	}
	return f.free, 1 << 40, nil
}

func (o *crashFile) Read(b []byte) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.fs.dead {
		return 0, errDead
	}
	if o.at >= len(o.node.bytes) {
		return 0, io.EOF
	}
	n := copy(b, o.node.bytes[o.at:])
	o.at += n
	return n, nil
}

func (o *crashFile) Write(b []byte) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.change("write", o.name); err != nil {
		half := len(b) / 2 // a full disk takes a part
		if errors.Is(err, syscall.ENOSPC) {
			o.node.bytes = append(o.node.bytes, b[:half]...)
			return half, err
		}
		return 0, err
	}
	o.node.bytes = append(o.node.bytes, b...)
	o.node.modified = o.fs.now()
	return len(b), nil
}

func (o *crashFile) Stat() (content.FileStat, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.fs.dead {
		return content.FileStat{}, errDead
	}
	return content.FileStat{Bytes: int64(len(o.node.bytes)), Modified: o.node.modified}, nil
}

func (o *crashFile) Sync(site content.Site) error {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if err := o.fs.change("sync", o.name); err != nil {
		return err
	}
	if o.fs.sync(site) {
		o.node.keptBytes, o.node.keptModified = slices.Clone(o.node.bytes), o.node.modified
	}
	return nil
}

func (o *crashFile) Close() error {
	if o.fs.Dead() {
		return errDead
	}
	return nil
}

// String describes what is on the disk, for a failed test.
func (f *crashFS) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	f.root.describe(&b, "")
	return b.String()
}

func (n *crashNode) describe(b *strings.Builder, name string) {
	if n.entries == nil {
		fmt.Fprintf(b, "%s: %d bytes, time %d\n", name, len(n.bytes), n.modified)
		return
	}
	for _, base := range slices.Sorted(maps.Keys(n.entries)) {
		if child := n.get(base); child != nil {
			child.describe(b, name+"/"+base)
		}
	}
}
