package content

import (
	"io"

	"github.com/inos-mesh/inos"
)

// FileLayer is all that a Store asks of a file system. The real one is the operating system's; tests use one that
// loses what was not synced (data/datatest/crashfs). Names are absolute paths. Calls may come from many goroutines.
// Errors wrap the system's, so that errors.Is finds fs.ErrNotExist, fs.ErrExist, syscall.ENOSPC and their like.
type FileLayer interface {
	// Create makes a new file that can be written; one that exists is an error.
	Create(name string) (File, error)
	// Open opens a file for reading. fresh asks for the bytes of the medium instead of those in the page cache,
	// where the system can.
	Open(name string, fresh bool) (File, error)
	// Stat returns a file's length and modification time.
	Stat(name string) (FileStat, error)
	// SetTime sets a file's modification time; Sync of the file makes it durable.
	SetTime(name string, t inos.Micros) error
	// Rename moves a file and replaces what had the new name.
	Rename(from, to string) error
	// Link gives a file a second name, which must be free. A file system without links answers errors.ErrUnsupported.
	Link(from, to string) error
	// Remove removes a file.
	Remove(name string) error
	// Mkdir makes one folder; one that exists is an error.
	Mkdir(name string) error
	// List calls visit with the name of each entry of a folder, in any order, until visit returns an error.
	List(dir string, visit func(name string) error) error
	// SyncDir returns when the entries of a folder are on stable storage.
	SyncDir(dir string, site Site) error
	// Free returns the bytes that this user may still write to the folder's file system, and its size.
	Free(dir string) (free, total int64, err error)
}

// File is an open file of a FileLayer.
type File interface {
	io.Reader
	io.Writer
	// Stat returns the file's length and modification time.
	Stat() (FileStat, error)
	// Sync returns when the file's bytes and times are on stable storage.
	Sync(site Site) error
	Close() error
}

// FileStat is what a Store needs to know about a file.
type FileStat struct {
	Bytes    int64
	Modified inos.Micros
}

// Site names one place of the store that syncs. Each is needed: a test drops one after the other and sees data lost.
type Site string

// The sites, with what each of them keeps.
const (
	SiteParent      Site = "parent"       // the store's folder itself
	SiteChunks      Site = "chunks"       // the shards for held chunks
	SiteTrashes     Site = "trashes"      // the shards for trashed chunks
	SiteStateFile   Site = "state-file"   // the counters at Close, the mark "in use" at Open
	SiteStateDir    Site = "state-dir"    // that the state file replaced the one before; and the folders beside it
	SiteRecover     Site = "recover"      // entries that a killed process had made but not yet synced
	SitePutFile     Site = "put-file"     // a new chunk's bytes
	SitePutDir      Site = "put-dir"      // a new chunk's name
	SiteRestoreDir  Site = "restore-dir"  // the name of a chunk that came back from the trash
	SiteTrashTime   Site = "trash-time"   // when a chunk was trashed
	SiteTrashDir    Site = "trash-dir"    // its name in the trash, before the other name goes
	SiteTrashSource Site = "trash-source" // that the other name is gone
	SiteClose       Site = "close"        // removals, which are not synced in service
)
