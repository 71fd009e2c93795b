package content_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/data/datatest"
)

// faults are what a disk answers, and the code that a caller sees.
var faults = []struct {
	err  error
	code inos.Code
}{
	{syscall.ENOSPC, inos.CodeDiskFull},
	{syscall.EDQUOT, inos.CodeDiskFull},
	{syscall.EROFS, inos.CodeReadOnly},
	{syscall.EACCES, inos.CodeReadOnly},
	{syscall.EIO, inos.CodeIO},
}

// eachFault makes each change of a call fail, one after the other, in a world that prepare has made; check sees the error.
func eachFault(t *testing.T, prepare, call func(w *world) error, check func(w *world) error) {
	t.Helper()
	for i := range 2 * len(faults) {
		fault := faults[i/2]
		for at := 1; ; at++ {
			w := newWorld("")
			w.fs.noLinks = i%2 == 1
			if err := errors.Join(w.open(), prepare(w)); err != nil {
				t.Fatal(err)
			}
			before := w.fs.Changes()
			w.fs.FailAt(at, fault.err)
			err := call(w)
			reached := w.fs.Changes()-before >= at
			if reached && err != nil && inos.CodeOf(err) != fault.code {
				t.Fatalf("change %d fails with %v: the code is %s, want %s: %v", at, fault.err, inos.CodeOf(err).Name(), fault.code.Name(), err)
			}
			if !reached && err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			if err := errors.Join(w.counted(), check(w), w.counted()); err != nil {
				t.Fatalf("change %d fails with %v: %v\n%s", at, fault.err, err, w.fs)
			}
			w.fs.Kill() // no fault from here on
			if err := errors.Join(w.close(), w.open(), w.counted()); err != nil {
				t.Fatalf("change %d fails with %v, and after the next open: %v", at, fault.err, err)
			}
			if !reached {
				break
			}
		}
	}
}

func TestAFailedPutLeavesNothing(t *testing.T) {
	var failed error
	eachFault(t, func(*world) error { return nil }, func(w *world) error {
		failed = w.put(0)
		return failed
	}, func(w *world) error {
		_, err := w.store.Get(context.Background(), w.chunks[0].id, nil)
		if failed != nil && inos.CodeOf(err) != inos.CodeChunkNotFound {
			return fmt.Errorf("the put failed (%w), the chunk is there: %v", failed, err)
		}
		return w.put(0) // and the next one is not disturbed
	})
}

func TestAFailedRestoreStaysInTheTrash(t *testing.T) {
	eachFault(t, func(w *world) error {
		return errors.Join(w.put(0), w.trash(0))
	}, func(w *world) error {
		err := w.put(0)
		if err != nil {
			w.chunks[0].claim = trashed // as before
		}
		return err
	}, func(w *world) error { return w.put(0) })
}

func TestAFailedTrashCountsRight(t *testing.T) {
	eachFault(t, func(w *world) error {
		return errors.Join(w.put(0), w.put(1), w.put(2))
	}, func(w *world) error { return w.trash(0, 1, 2) }, func(w *world) error {
		return w.trash(0, 1, 2)
	})
}

func TestAFailedEmptyTrashCountsRight(t *testing.T) {
	eachFault(t, func(w *world) error {
		return errors.Join(w.put(0), w.put(1), w.put(2), w.trash(0, 1))
	}, (*world).empty, (*world).empty)
}

func TestOpenAndCloseReportFaults(t *testing.T) {
	for _, fault := range faults {
		for at := 1; ; at++ {
			w := newWorld("")
			if err := errors.Join(w.open(), w.put(0), w.put(1), w.trash(1)); err != nil {
				t.Fatal(err)
			}
			before := w.fs.Changes()
			w.fs.FailAt(at, fault.err)
			err := w.close()
			if err == nil {
				err = w.open()
			}
			reached := w.fs.Changes()-before >= at
			if reached && inos.CodeOf(err) != fault.code {
				t.Fatalf("change %d fails with %v: %v", at, fault.err, err)
			}
			w.fs.Kill()
			if err := errors.Join(w.open(), w.counted()); err != nil {
				t.Fatalf("change %d failed with %v, and the next open: %v", at, fault.err, err)
			}
			if !reached {
				break
			}
		}
	}
}

// Puts that share syncs and die together: what one of them acknowledged is there.
func TestACrashOfConcurrentPuts(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for round := range rounds {
		w := newWorld("")
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		w.fs.CrashAt(1 + round%40)
		var wg sync.WaitGroup
		for i := range w.chunks {
			c := &w.chunks[i]
			wg.Go(func() {
				if _, err := w.store.Put(context.Background(), c.id, c.stored); err == nil {
					c.claim = held
				}
			})
		}
		wg.Wait()
		w.fs.PowerLoss(uint64(round))
		if err := w.recovered(); err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, w.fs)
		}
	}
}

func TestTheReserveIsKept(t *testing.T) {
	w := newWorld("")
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	const reserve = content.ReserveBytesDefault // less than 1 % of the disk
	size := int64(len(w.chunks[0].stored))
	w.fs.SetFree(reserve + size - 1)
	if err := w.put(0); inos.CodeOf(err) != inos.CodeDiskFull {
		t.Fatalf("put of %d bytes into %d: %v", size, size-1, err)
	}
	if free := w.store.Usage().FreeBytes; free != size-1 {
		t.Fatalf("%d bytes are said to be free, want %d", free, size-1)
	}
	w.fs.SetFree(reserve + size)
	if err := w.put(0); err != nil {
		t.Fatalf("put of %d bytes into as many: %v", size, err)
	}
	w.fs.SetFree(0)
	if free := w.store.Usage().FreeBytes; free != 0 {
		t.Fatalf("%d bytes are said to be free of none", free)
	}
	if err := errors.Join(w.put(0), w.trash(0), w.put(0)); err != nil {
		t.Fatalf("what needs no space is refused: %v", err)
	}
}

func TestCapacityBoundsHeldAndTrashed(t *testing.T) {
	for name, s := range map[string]inos.Content{
		"store":  openStore(t, t.TempDir(), content.Options{CapacityBytes: 250}),
		"memory": content.NewMemory(content.Options{CapacityBytes: 250}),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			put := func(seed uint64, length int) (inos.ChunkID, error) {
				id, stored := datatest.Chunk(seed, length)
				_, err := s.Put(ctx, id, stored)
				return id, err
			}
			a, err := put(1, 100)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Trash(ctx, []inos.ChunkID{a}); err != nil {
				t.Fatal(err)
			}
			if _, err := put(2, 151); inos.CodeOf(err) != inos.CodeDiskFull {
				t.Fatalf("151 bytes beside 100 in the trash, of 250: %v", err)
			}
			if _, err := put(3, 150); err != nil {
				t.Fatalf("150 bytes beside 100 in the trash, of 250: %v", err)
			}
			if free := s.Usage().FreeBytes; free != 0 {
				t.Fatalf("%d bytes are said to be free", free)
			}
		})
	}
}

func TestOnlySomeCorruptChunksAreKept(t *testing.T) {
	w := newWorld("")
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	list := func() (n int) {
		if err := w.fs.List(worldDir+"/corrupt", func(string) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range content.CorruptChunksMax + 3 {
		w.now++
		id, stored := datatest.Chunk(uint64(i), 10)
		if _, err := w.store.Put(context.Background(), id, stored); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(worldDir, "chunks", fmt.Sprintf("%02x", id[0]>>6), id.String())
		if err := w.fs.Damage(name, func(b []byte) []byte { return b[:3] }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Get(context.Background(), id, nil); inos.CodeOf(err) != inos.CodeChunkCorrupt {
			t.Fatal(err)
		}
		if got, want := list(), min(i+1, content.CorruptChunksMax); got != want {
			t.Fatalf("%d corrupt chunks are kept, want %d", got, want)
		}
	}
	if err := errors.Join(w.close(), w.open(), w.counted()); err != nil {
		t.Fatalf("chunks were cut on the disk, and the next open: %v", err)
	}
	if got := list(); got != content.CorruptChunksMax {
		t.Fatalf("%d corrupt chunks are kept after the next open", got)
	}
}

func TestAFolderThatCannotBeUsed(t *testing.T) {
	if _, err := content.Open(filepath.Join(t.TempDir(), "no", "such"), content.Options{}); inos.CodeOf(err) != inos.CodeIO {
		t.Errorf("without the folder above: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := content.Open(file, content.Options{}); inos.CodeOf(err) != inos.CodeIO {
		t.Errorf("a file in place of the folder: %v", err)
	}
}
