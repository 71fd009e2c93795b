package content

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/inos-mesh/inos"
)

// Open opens the store in a folder and makes it when it is not there; the folder above must exist. Only one process may
// use a folder at a time: the caller locks it.
//
// After a clean Close the counters are read from the state file. Otherwise Open syncs what a killed process may have
// left unsynced and counts the chunks in one walk. Temporary files are removed either way.
func Open(dir string, o Options) (*Store, error) {
	const op = "open content"
	o = o.withDefaults()
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, ioError(op, err)
	}
	s := &Store{
		layout:  layout{dir: absolute, shardBits: o.shardBits},
		files:   o.Files,
		options: o,
		slots:   make(chan struct{}, FlushesMax),
	}
	if err := s.open(); err != nil {
		return nil, ioError(op, err)
	}
	return s, nil
}

func (s *Store) open() error {
	made, err := s.mkdir(s.layout.dir)
	if err != nil {
		return err
	}
	counts, found, err := readState(s.files, s.layout)
	torn := errors.Is(err, errTorn)
	if err != nil && !torn {
		return err
	}
	if found && !torn {
		s.layout.shardBits = counts.shardBits // a folder keeps the fan-out it was made with
	}
	clean := found && !torn && counts.clean
	freshFolder, err := s.makeFolders()
	if err != nil {
		return err
	}
	s.makeTables()
	if err := s.clearTemp(); err != nil {
		return err
	}
	// What exists may have been made by a process that was killed before it synced: only a clean state vouches for it.
	if !clean {
		if err := s.syncFolders(made); err != nil {
			return err
		}
		s.unclean = !freshFolder
		if s.unclean {
			if counts, err = s.recount(); err != nil {
				return err
			}
		}
	}
	counts.clean, counts.shardBits = false, s.layout.shardBits
	if err := writeState(s.files, s.layout, counts); err != nil {
		return err
	}
	s.counts = counts
	if err := s.loadCorrupt(); err != nil {
		return err
	}
	_, total, err := s.files.Free(s.layout.dir)
	if err != nil {
		return err
	}
	switch {
	case s.options.ReserveBytes > 0:
		s.reserve = s.options.ReserveBytes
	case s.options.ReserveBytes == 0:
		s.reserve = max(ReserveBytesMin, min(ReserveBytesDefault, total/100))
	}
	return nil
}

func (s *Store) mkdir(dir string) (made bool, err error) {
	err = s.files.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// makeFolders makes what is missing; fresh says that there was no folder for chunks.
func (s *Store) makeFolders() (fresh bool, err error) {
	for _, name := range []string{tempName, corruptName, trashName, chunksName} {
		if fresh, err = s.mkdir(s.layout.in(name)); err != nil {
			return false, err
		}
	}
	for shard := range s.layout.shards() {
		if _, err := s.mkdir(s.layout.chunkDir(shard)); err != nil {
			return false, err
		}
		if _, err := s.mkdir(s.layout.trashDir(shard)); err != nil {
			return false, err
		}
	}
	return fresh, nil
}

// syncFolders makes the folders durable; those in the store's own folder become so with the state file.
func (s *Store) syncFolders(made bool) error {
	// The folder above may be one that we can enter but not read; then whoever made our folder has to vouch for it.
	if err := s.files.SyncDir(filepath.Dir(s.layout.dir), SiteParent); err != nil && (made || !errors.Is(err, fs.ErrPermission)) {
		return err
	}
	if err := s.files.SyncDir(s.layout.in(chunksName), SiteChunks); err != nil {
		return err
	}
	return s.files.SyncDir(s.layout.in(trashName), SiteTrashes)
}

func (s *Store) makeTables() {
	n := s.layout.shards()
	s.chunkSyncs, s.trashSyncs = make([]*dirSync, n), make([]*dirSync, n)
	for i := range n {
		s.chunkSyncs[i], s.trashSyncs[i] = newDirSync(), newDirSync()
	}
	s.chunkDirty, s.trashDirty = make([]bool, n), make([]bool, n)
	s.trashOldest = make([]inos.Micros, n) // 0: not known yet
}

func (s *Store) clearTemp() error {
	dir := s.layout.in(tempName)
	return s.files.List(dir, func(name string) error {
		err := s.files.Remove(filepath.Join(dir, name))
		if missing(err) {
			return nil
		}
		return err
	})
}

// recount counts what is on disk. It first syncs the names of held chunks: a killed process may have linked one without
// syncing, and a Put that finds it acknowledges it. A chunk that is held and in the trash, because a move was cut short,
// leaves the trash.
func (s *Store) recount() (counts state, err error) {
	for shard := range s.layout.shards() {
		if err := s.files.SyncDir(s.layout.chunkDir(shard), SiteRecover); err != nil {
			return counts, err
		}
		err := s.eachChunk(s.layout.chunkDir(shard), shard, func(_ inos.ChunkID, path string, st FileStat) error {
			counts.chunks++
			counts.usedBytes += st.Bytes
			return nil
		})
		if err != nil {
			return counts, err
		}
		err = s.eachChunk(s.layout.trashDir(shard), shard, func(id inos.ChunkID, path string, st FileStat) error {
			if _, err := s.files.Stat(s.layout.chunk(id)); err == nil {
				s.dirtyTrash(id)
				return s.files.Remove(path)
			} else if !missing(err) {
				return err
			}
			counts.trashChunks++
			counts.trashBytes += st.Bytes
			return nil
		})
		if err != nil {
			return counts, err
		}
	}
	return counts, nil
}

// eachChunk visits the chunk files of one shard's folder.
func (s *Store) eachChunk(dir string, shard int, visit func(inos.ChunkID, string, FileStat) error) error {
	return s.files.List(dir, func(name string) error {
		id, ok := s.layout.parse(shard, name)
		if !ok {
			return nil
		}
		path := filepath.Join(dir, name)
		st, err := s.files.Stat(path)
		if missing(err) {
			return nil // moved since it was listed
		}
		if err != nil {
			return err
		}
		return visit(id, path, st)
	})
}

// loadCorrupt learns the names of the chunks set aside.
func (s *Store) loadCorrupt() error {
	dir := s.layout.in(corruptName)
	err := s.files.List(dir, func(name string) error {
		s.corrupt = append(s.corrupt, name)
		return nil
	})
	slices.Sort(s.corrupt)
	for err == nil && len(s.corrupt) > CorruptChunksMax {
		if err = s.files.Remove(filepath.Join(dir, s.corrupt[0])); missing(err) {
			err = nil
		}
		s.corrupt = s.corrupt[1:]
	}
	return err
}

// never is later than every time.
const never = inos.Micros(math.MaxInt64)
