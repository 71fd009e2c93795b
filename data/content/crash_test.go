package content_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/data/datatest"
)

// claim is what the store has acknowledged about a chunk.
type claim int

const (
	unsure  claim = iota // nothing, or a call was cut short
	there                // a Trash of a held chunk, or a Put of a trashed one, was cut short: it is held or in the trash
	held                 // a Put returned
	trashed              // a Trash returned
	emptied              // an EmptyTrash returned; a crash may bring the chunk back to the trash
)

// world is a store on a file system that crashes, and what the store has acknowledged.
type world struct {
	fs      *crashFS
	now     inos.Micros
	store   *content.Store
	chunks  []worldChunk
	serving bool // an Open returned, and no Close began since
	closed  bool // a Close returned, and no Open began since
}

type worldChunk struct {
	id     inos.ChunkID
	stored []byte
	claim  claim
	at     inos.Micros // when it was trashed
}

const worldDir = "/node/content"

func newWorld(drop content.Site) *world {
	w := &world{now: 1_000_000}
	w.fs = newCrashFS(func() inos.Micros { return w.now })
	w.fs.Drop(drop)
	for i := range 8 {
		id, stored := datatest.Chunk(uint64(i), 40+i)
		w.chunks = append(w.chunks, worldChunk{id: id, stored: stored})
	}
	// The folder above the store's exists, durably.
	if err := errors.Join(w.fs.Mkdir("/node"), w.fs.SyncDir("/", "test")); err != nil {
		panic(err)
	}
	return w
}

func (w *world) open() (err error) {
	w.closed = false
	w.store, err = content.Open(worldDir, content.WithShardBits(content.Options{
		Files: w.fs, Now: func() inos.Micros { return w.now },
	}, 2))
	w.serving = err == nil
	return err
}

func (w *world) close() error {
	w.serving = false
	err := w.store.Close()
	w.closed = err == nil
	return err
}

func (w *world) put(i int) error {
	w.now++
	c := &w.chunks[i]
	wasThere := c.claim >= there && c.claim <= trashed
	if c.claim = unsure; wasThere {
		c.claim = there
	}
	existed, err := w.store.Put(context.Background(), c.id, c.stored)
	if err != nil {
		return err
	}
	c.claim = held
	if wasThere && !existed {
		return fmt.Errorf("chunk %d was held or trashed, and is lost", i)
	}
	return nil
}

func (w *world) trash(is ...int) error {
	w.now++
	var ids []inos.ChunkID
	for _, i := range is {
		c := &w.chunks[i]
		if c.at = w.now; c.claim == held {
			c.claim = there
		} else {
			c.claim = unsure
		}
		ids = append(ids, w.chunks[i].id)
	}
	if _, _, err := w.store.Trash(context.Background(), ids); err != nil {
		return err
	}
	for _, i := range is {
		w.chunks[i].claim = trashed
	}
	return nil
}

func (w *world) empty() error {
	w.now++
	for i := range w.chunks {
		if c := &w.chunks[i]; c.claim == trashed || c.claim == there {
			c.claim = unsure
		}
	}
	_, _, err := w.store.EmptyTrash(context.Background(), w.now, 100)
	for i := range w.chunks {
		if c := &w.chunks[i]; err == nil && c.claim == unsure {
			c.claim = emptied
		}
	}
	return err
}

// work does every kind of thing to a store, in two runs of it.
func (w *world) work() error {
	for _, step := range []func() error{
		w.open,
		func() error { return w.put(0) },
		func() error { return w.put(1) },
		func() error { return w.put(2) },
		func() error { return w.put(3) },
		func() error { return w.put(4) },
		func() error { return w.trash(0, 1) },
		func() error { return w.put(1) }, // comes back
		w.empty,                          // 0 goes
		func() error { return w.trash(2) },
		w.close,
		w.open,
		func() error { return w.put(5) },
		func() error { return w.put(0) }, // anew
		func() error { return w.trash(3, 5) },
		func() error { return w.put(3) },
		w.empty,
		func() error { return w.trash(4) },
		w.close,
		w.open, // the counters of the last Close hold from here
		func() error { return w.put(6) },
		func() error { return w.trash(6) },
		func() error { return w.put(7) },
		w.close,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// walk counts what is on the disk, as a stranger would, and finds torn chunks.
func (w *world) walk() (u inos.Usage, err error) {
	for _, top := range []string{"chunks", "trash"} {
		err = errors.Join(err, w.fs.List(path.Join(worldDir, top), func(shard string) error {
			dir := path.Join(worldDir, top, shard)
			return w.fs.List(dir, func(name string) error {
				f, err := w.fs.Open(path.Join(dir, name), false)
				if err != nil {
					return err
				}
				b := make([]byte, 1000)
				n, _ := f.Read(b) // an empty file answers io.EOF
				if sum := inos.ChunkID(blake3.Sum256(b[:n])); sum.String() != name {
					return fmt.Errorf("%s/%s is torn: %d bytes", top, name, n)
				}
				if top == "trash" {
					u.TrashBytes += int64(n)
				} else {
					u.Chunks++
					u.UsedBytes += int64(n)
				}
				return nil
			})
		}))
	}
	err = errors.Join(err, w.fs.List(path.Join(worldDir, "tmp"), func(name string) error {
		return fmt.Errorf("tmp/%s is left over", name)
	}))
	return u, err
}

// counted compares the counters with the disk.
func (w *world) counted() error {
	want, err := w.walk()
	if err != nil {
		return err
	}
	if got := w.store.Usage(); got.Chunks != want.Chunks || got.UsedBytes != want.UsedBytes || got.TrashBytes != want.TrashBytes {
		return fmt.Errorf("counted %d chunks, %d used, %d trash; the disk has %d, %d, %d",
			got.Chunks, got.UsedBytes, got.TrashBytes, want.Chunks, want.UsedBytes, want.TrashBytes)
	}
	return nil
}

// recovered opens the store after a crash and holds it to what it had acknowledged.
func (w *world) recovered() error {
	serving, closed := w.serving, w.closed
	if err := w.open(); err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	if unclean := w.store.Usage().Unclean; closed && unclean {
		return errors.New("closed, and yet unclean")
	} else if serving && !unclean {
		return errors.New("crashed, and yet clean")
	}
	if err := w.counted(); err != nil {
		return err
	}
	ctx := context.Background()
	for i, c := range w.chunks {
		_, err := w.store.Get(ctx, c.id, nil)
		switch code := inos.CodeOf(err); {
		case c.claim == held && err != nil:
			return fmt.Errorf("chunk %d was acknowledged: %w", i, err)
		case (c.claim == trashed || c.claim == emptied) && code != inos.CodeChunkNotFound:
			return fmt.Errorf("chunk %d was trashed and is held: %v", i, err)
		case err != nil && code != inos.CodeChunkNotFound:
			return err
		}
	}
	for i, c := range w.chunks {
		if c.claim == there {
			if err := w.put(i); err != nil {
				return err
			}
		}
	}
	// Trashed ones are still there when what was trashed before them goes, and come back.
	for {
		oldest := -1
		for i, c := range w.chunks {
			if c.claim == trashed && (oldest < 0 || c.at < w.chunks[oldest].at) {
				oldest = i
			}
		}
		if oldest < 0 {
			break
		}
		if _, _, err := w.store.EmptyTrash(ctx, w.chunks[oldest].at, 100); err != nil {
			return err
		}
		if err := w.put(oldest); err != nil {
			return err
		}
	}
	for i, c := range w.chunks { // the others are acknowledged again
		if c.claim != emptied {
			if err := w.put(i); err != nil {
				return err
			}
		}
	}
	return w.counted()
}

// crashModes are the ways in which a run ends and goes on.
var crashModes = []struct {
	name string
	end  func(w *world, seed uint64) error
}{
	{"power", func(w *world, seed uint64) error {
		w.fs.PowerLoss(seed)
		return w.recovered()
	}},
	// What a killed process left in the page cache is found by the next one, acknowledged, and must not be lost after that.
	{"kill, then power", func(w *world, seed uint64) error {
		w.fs.Kill()
		if err := w.recovered(); err != nil {
			return err
		}
		w.fs.PowerLoss(seed)
		return w.recovered()
	}},
	{"power, and again while recovering", func(w *world, seed uint64) error {
		w.fs.PowerLoss(seed)
		w.fs.CrashAt(1 + rand.New(rand.NewPCG(seed, 1)).IntN(30))
		if err := w.recovered(); err != nil && !w.fs.Dead() {
			return err
		}
		w.fs.PowerLoss(seed + 1)
		return w.recovered()
	}},
}

// crashEverywhere crashes the work at each of its changes, and after the last, in every mode; it returns how many crashes
// it tried and the first complaint.
func crashEverywhere(drop content.Site, seeds int) (crashes int, complaint error) {
	for at := 1; ; at++ {
		done := false
		for mode := range crashModes {
			for seed := range seeds {
				w := newWorld(drop)
				w.fs.CrashAt(at)
				err := w.work()
				if err != nil && !w.fs.Dead() {
					return crashes, fmt.Errorf("without a crash: %w", err)
				}
				done = err == nil
				crashes++
				if err := crashModes[mode].end(w, uint64(seed)); err != nil {
					return crashes, fmt.Errorf("crash at change %d, %s, seed %d: %w\n%s", at, crashModes[mode].name, seed, err, w.fs)
				}
			}
		}
		if done {
			return crashes, nil
		}
	}
}

func TestACrashAnywhereLosesNothingAcknowledged(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 2
	}
	crashes, err := crashEverywhere("", seeds)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", crashes)
}

// sites are those at which the store syncs.
var sites = []content.Site{
	content.SiteParent, content.SiteChunks, content.SiteTrashes, content.SiteStateFile, content.SiteStateDir, content.SiteRecover, content.SitePutFile, content.SitePutDir,
	content.SiteRestoreDir, content.SiteTrashTime, content.SiteTrashDir, content.SiteTrashSource, content.SiteClose,
}

func TestEverySyncIsNeeded(t *testing.T) {
	w := newWorld("")
	w.fs.CrashAt(20) // in the middle of the work, for what a recovery syncs
	_ = w.work()
	w.fs.PowerLoss(0)
	if err := w.work(); err != nil {
		t.Fatal(err)
	}
	synced := w.fs.Synced()
	for _, site := range sites {
		t.Run(string(site), func(t *testing.T) {
			if synced[site] == 0 {
				t.Fatal("the work does not reach this site")
			}
			crashes, err := crashEverywhere(site, 6)
			if err == nil {
				t.Fatalf("%d crashes without this sync lost nothing", crashes)
			}
			t.Logf("seen after %d crashes: %.200v", crashes, err)
		})
	}
	if want := len(sites) + 1; len(synced) != want { // and the test's own
		t.Errorf("%d sites synced, the list has %d: %v", len(synced), want, synced)
	}
}
