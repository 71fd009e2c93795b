package datatest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// ContentCorrupter is a content store whose chunks a test can damage behind its back.
type ContentCorrupter interface {
	inos.Content
	// Corrupt changes the bytes of a held chunk; it says whether the chunk is held.
	Corrupt(id inos.ChunkID) bool
}

// Content holds an implementation of inos.Content to the contract. open returns an empty store, with room for 64 MiB,
// and closes it at the end of the test. Damage is tested when the store is a ContentCorrupter.
func Content(t *testing.T, open func(t *testing.T) inos.Content) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s inos.Content)
	}{
		{"sizes", contentSizes},
		{"wrong bytes", contentWrongBytes},
		{"put twice", contentPutTwice},
		{"get appends", contentGetAppends},
		{"unknown", contentUnknown},
		{"missing", contentMissing},
		{"trash and back", contentTrashAndBack},
		{"empty trash", contentEmptyTrash},
		{"inventory", contentInventory},
		{"scrub", contentScrub},
		{"corrupt", contentCorrupt},
		{"canceled", contentCanceled},
		{"bad limits", contentBadLimits},
		{"same chunk from many", contentSameChunk},
		{"races", contentRaces},
		{"closed", contentClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Chunk returns deterministic bytes of a length, and their id.
func Chunk(seed uint64, length int) (inos.ChunkID, []byte) {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	stored := make([]byte, length)
	_, _ = rand.NewChaCha8(key).Read(stored) // never fails
	return blake3.Sum256(stored), stored
}

// contentAfterAll is a time after everything that the suite does.
const contentAfterAll = inos.Micros(math.MaxInt64)

func contentPut(t *testing.T, s inos.Content, seed uint64, length int) (inos.ChunkID, []byte) {
	t.Helper()
	id, stored := Chunk(seed, length)
	existed, err := s.Put(context.Background(), id, stored)
	if err != nil || existed {
		t.Fatalf("put of a new chunk of %d bytes: existed %v, %v", length, existed, err)
	}
	return id, stored
}

func contentWantGet(t *testing.T, s inos.Content, id inos.ChunkID, want []byte) {
	t.Helper()
	got, err := s.Get(context.Background(), id, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get: %d bytes, %v; want %d bytes", len(got), err, len(want))
	}
}

func contentWantCode(t *testing.T, what string, err error, want inos.Code) {
	t.Helper()
	if inos.CodeOf(err) != want {
		t.Fatalf("%s: %v (code %s), want %s", what, err, inos.CodeOf(err).Name(), want.Name())
	}
}

func contentWantUsage(t *testing.T, s inos.Content, chunks, used, trash int64) {
	t.Helper()
	if u := s.Usage(); u.Chunks != chunks || u.UsedBytes != used || u.TrashBytes != trash {
		t.Fatalf("usage: %d chunks, %d used, %d trash; want %d, %d, %d", u.Chunks, u.UsedBytes, u.TrashBytes, chunks, used, trash)
	}
}

func contentSizes(t *testing.T, s inos.Content) {
	// None, one byte, around the compare buffer of 64 KiB, and around the largest stored form.
	var chunks, used int64
	for i, n := range []int{0, 1, 4096, 65535, 65536, 65537, inos.ChunkBytesMax, inos.StoredBytesMax - 1, inos.StoredBytesMax} {
		id, stored := contentPut(t, s, uint64(i), n)
		contentWantGet(t, s, id, stored)
		chunks, used = chunks+1, used+int64(n)
		contentWantUsage(t, s, chunks, used, 0)
	}
	id, stored := Chunk(99, inos.StoredBytesMax+1)
	_, err := s.Put(context.Background(), id, stored)
	contentWantCode(t, "put of one byte more than a chunk has", err, inos.CodeBadRequest)
	contentWantUsage(t, s, chunks, used, 0)
}

func contentWrongBytes(t *testing.T, s inos.Content) {
	id, stored := Chunk(1, 100)
	stored[50] ^= 1
	_, err := s.Put(context.Background(), id, stored)
	contentWantCode(t, "put of wrong bytes", err, inos.CodeChunkCorrupt)
	_, err = s.Get(context.Background(), id, nil)
	contentWantCode(t, "get after it", err, inos.CodeChunkNotFound)
	contentWantUsage(t, s, 0, 0, 0)
}

func contentPutTwice(t *testing.T, s inos.Content) {
	id, stored := contentPut(t, s, 1, 1000)
	existed, err := s.Put(context.Background(), id, stored)
	if err != nil || !existed {
		t.Fatalf("second put: existed %v, %v", existed, err)
	}
	contentWantUsage(t, s, 1, 1000, 0)
	stored[0] ^= 1 // the store keeps no reference to the caller's bytes
	stored2 := slices.Clone(stored)
	stored2[0] ^= 1
	contentWantGet(t, s, id, stored2)
}

func contentGetAppends(t *testing.T, s inos.Content) {
	id, stored := contentPut(t, s, 1, 1000)
	got, err := s.Get(context.Background(), id, []byte("head"))
	if err != nil || !bytes.Equal(got, append([]byte("head"), stored...)) {
		t.Fatalf("get behind 4 bytes: %d bytes, %v", len(got), err)
	}
	missing, _ := Chunk(2, 10)
	got, err = s.Get(context.Background(), missing, []byte("head"))
	contentWantCode(t, "get of an unknown chunk", err, inos.CodeChunkNotFound)
	if string(got) != "head" {
		t.Fatalf("a failed get returned %q, want dst as it was", got)
	}
}

func contentUnknown(t *testing.T, s inos.Content) {
	ctx := context.Background()
	id, _ := Chunk(1, 10)
	_, err := s.Get(ctx, id, nil)
	contentWantCode(t, "get", err, inos.CodeChunkNotFound)
	if n, b, err := s.Trash(ctx, []inos.ChunkID{id}); n != 0 || b != 0 || err != nil {
		t.Fatalf("trash of an unknown chunk: %d, %d, %v", n, b, err)
	}
	if n, b, err := s.Trash(ctx, nil); n != 0 || b != 0 || err != nil {
		t.Fatalf("trash of nothing: %d, %d, %v", n, b, err)
	}
	if n, b, err := s.EmptyTrash(ctx, contentAfterAll, 10); n != 0 || b != 0 || err != nil {
		t.Fatalf("empty an empty trash: %d, %d, %v", n, b, err)
	}
}

func contentMissing(t *testing.T, s inos.Content) {
	ctx := context.Background()
	a, stored := contentPut(t, s, 1, 1000)
	b, _ := contentPut(t, s, 2, 1)
	unknown := inos.ChunkID{9}
	want := func(want ...inos.ChunkID) {
		t.Helper()
		got, err := s.Missing(ctx, []inos.ChunkID{b, unknown, a, b, unknown})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("missing: %v, %v, want %v", got, err, want)
		}
	}
	want(unknown, unknown)
	if _, _, err := s.Trash(ctx, []inos.ChunkID{b}); err != nil {
		t.Fatal(err)
	}
	want(b, unknown, b, unknown)
	if got, err := s.Missing(ctx, nil); err != nil || len(got) != 0 {
		t.Fatalf("missing of nothing: %v, %v", got, err)
	}
	contentWantGet(t, s, a, stored)
}

func contentTrashAndBack(t *testing.T, s inos.Content) {
	ctx := context.Background()
	a, aStored := contentPut(t, s, 1, 1000)
	b, bStored := contentPut(t, s, 2, 50)
	n, bytes, err := s.Trash(ctx, []inos.ChunkID{a, b, a}) // an id named twice counts once
	if n != 2 || bytes != 1050 || err != nil {
		t.Fatalf("trash: %d chunks, %d bytes, %v; want 2, 1050", n, bytes, err)
	}
	contentWantUsage(t, s, 0, 0, 1050)
	_, err = s.Get(ctx, a, nil)
	contentWantCode(t, "get of a trashed chunk", err, inos.CodeChunkNotFound)
	existed, err := s.Put(ctx, a, aStored)
	if err != nil || !existed {
		t.Fatalf("put of a trashed chunk: existed %v, %v", existed, err)
	}
	contentWantUsage(t, s, 1, 1000, 50)
	contentWantGet(t, s, a, aStored)
	if n, _, err := s.Trash(ctx, []inos.ChunkID{a}); n != 1 || err != nil {
		t.Fatalf("trash again: %d, %v", n, err)
	}
	if n, bytes, err := s.EmptyTrash(ctx, contentAfterAll, 10); n != 2 || bytes != 1050 || err != nil {
		t.Fatalf("empty trash: %d, %d, %v; want 2, 1050", n, bytes, err)
	}
	existed, err = s.Put(ctx, b, bStored)
	if err != nil || existed {
		t.Fatalf("put of a chunk that left the trash: existed %v, %v", existed, err)
	}
	contentWantUsage(t, s, 1, 50, 0)
}

func contentEmptyTrash(t *testing.T, s inos.Content) {
	ctx := context.Background()
	var ids []inos.ChunkID
	for i := range 10 {
		id, _ := contentPut(t, s, uint64(i), 100)
		ids = append(ids, id)
	}
	if n, _, err := s.Trash(ctx, ids[:7]); n != 7 || err != nil {
		t.Fatalf("trash: %d, %v", n, err)
	}
	if n, _, err := s.EmptyTrash(ctx, 1, 10); n != 0 || err != nil {
		t.Fatalf("empty what was trashed before 1970: %d, %v", n, err)
	}
	if n, b, err := s.EmptyTrash(ctx, contentAfterAll, 3); n != 3 || b != 300 || err != nil {
		t.Fatalf("empty at most 3: %d, %d, %v", n, b, err)
	}
	contentWantUsage(t, s, 3, 300, 400)
	if n, b, err := s.EmptyTrash(ctx, contentAfterAll, 100); n != 4 || b != 400 || err != nil {
		t.Fatalf("empty the rest: %d, %d, %v", n, b, err)
	}
	contentWantUsage(t, s, 3, 300, 0)
}

func contentInventory(t *testing.T, s inos.Content) {
	ctx := context.Background()
	if ids, end, err := s.Inventory(ctx, inos.ChunkID{}, 10); len(ids) != 0 || !end || err != nil {
		t.Fatalf("inventory of an empty store: %d, end %v, %v", len(ids), end, err)
	}
	var want []inos.ChunkID
	for i := range 100 {
		id, _ := contentPut(t, s, uint64(i), 10)
		want = append(want, id)
	}
	trashed := want[99]
	want = want[:99]
	if _, _, err := s.Trash(ctx, []inos.ChunkID{trashed}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, func(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) })
	// One at a time, an uneven page, one less than all, all, one more.
	for _, limit := range []int{1, 7, 98, 99, 100} {
		var got []inos.ChunkID
		var after inos.ChunkID
		for {
			ids, end, err := s.Inventory(ctx, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(ids) > limit || !end && len(ids) < limit {
				t.Fatalf("a page of %d ids for a limit of %d, end %v", len(ids), limit, end)
			}
			if got = append(got, ids...); end {
				break
			}
			after = ids[len(ids)-1]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("limit %d: %d ids, want %d in order", limit, len(got), len(want))
		}
	}
}

func contentScrub(t *testing.T, s inos.Content) {
	for i := range 20 {
		contentPut(t, s, uint64(i), 100)
	}
	chunks, total := contentScrubAll(t, s, 3, nil)
	if chunks != 20 || total != 2000 {
		t.Fatalf("scrub: %d chunks, %d bytes; want 20, 2000", chunks, total)
	}
}

// contentScrubAll scrubs page by page and wants exactly these bad chunks.
func contentScrubAll(t *testing.T, s inos.Content, limit int, wantBad []inos.ChunkID) (chunks int, total int64) {
	t.Helper()
	var after inos.ChunkID
	var bad []inos.ChunkID
	for {
		page, err := s.Scrub(context.Background(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		chunks, total, bad = chunks+page.Chunks, total+page.Bytes, append(bad, page.Bad...)
		if page.End {
			break
		}
		if bytes.Compare(page.Next[:], after[:]) <= 0 {
			t.Fatal("scrub does not advance")
		}
		after = page.Next
	}
	if !slices.Equal(bad, wantBad) {
		t.Fatalf("scrub names %v as bad, want %v", bad, wantBad)
	}
	return chunks, total
}

func contentCorrupt(t *testing.T, s inos.Content) {
	corrupter, ok := s.(ContentCorrupter)
	if !ok {
		t.Skip("the store is not a ContentCorrupter")
	}
	ctx := context.Background()
	damage := func(id inos.ChunkID) {
		if !corrupter.Corrupt(id) {
			t.Fatalf("%s is not there to be damaged", id)
		}
	}
	a, aStored := contentPut(t, s, 1, 1000)
	b, _ := contentPut(t, s, 2, 70000)
	c, cStored := contentPut(t, s, 3, 100)
	damage(a)
	out, err := s.Get(ctx, a, []byte("head"))
	contentWantCode(t, "get of a damaged chunk", err, inos.CodeChunkCorrupt)
	if string(out) != "head" {
		t.Fatalf("a failed get returned %d bytes", len(out))
	}
	contentWantUsage(t, s, 2, 70100, 0)
	_, err = s.Get(ctx, a, nil)
	contentWantCode(t, "second get of a damaged chunk", err, inos.CodeChunkNotFound)
	if existed, err := s.Put(ctx, a, aStored); err != nil || existed {
		t.Fatalf("put of a chunk set aside: existed %v, %v", existed, err)
	}
	contentWantGet(t, s, a, aStored)

	damage(b)
	contentScrubAll(t, s, 2, []inos.ChunkID{b})
	contentWantUsage(t, s, 2, 1100, 0)

	damage(c) // found by the put itself
	if existed, err := s.Put(ctx, c, cStored); err != nil || existed {
		t.Fatalf("put over a damaged chunk: existed %v, %v", existed, err)
	}
	contentWantGet(t, s, c, cStored)

	damage(c) // in the trash
	if _, _, err := s.Trash(ctx, []inos.ChunkID{c}); err != nil {
		t.Fatal(err)
	}
	if existed, err := s.Put(ctx, c, cStored); err != nil || existed {
		t.Fatalf("put of a chunk damaged in the trash: existed %v, %v", existed, err)
	}
	contentWantGet(t, s, c, cStored)
	contentWantUsage(t, s, 2, 1100, 0)
}

func contentCanceled(t *testing.T, s inos.Content) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	id, stored := Chunk(1, 10)
	_, err := s.Put(ctx, id, stored)
	contentWantCode(t, "put", err, inos.CodeCanceled)
	_, err = s.Get(ctx, id, nil)
	contentWantCode(t, "get", err, inos.CodeCanceled)
	_, err = s.Missing(ctx, []inos.ChunkID{id})
	contentWantCode(t, "missing", err, inos.CodeCanceled)
	_, _, err = s.Trash(ctx, []inos.ChunkID{id})
	contentWantCode(t, "trash", err, inos.CodeCanceled)
	_, _, err = s.EmptyTrash(ctx, contentAfterAll, 1)
	contentWantCode(t, "empty trash", err, inos.CodeCanceled)
	_, _, err = s.Inventory(ctx, inos.ChunkID{}, 1)
	contentWantCode(t, "inventory", err, inos.CodeCanceled)
	_, err = s.Scrub(ctx, inos.ChunkID{}, 1)
	contentWantCode(t, "scrub", err, inos.CodeCanceled)
	contentWantUsage(t, s, 0, 0, 0)
}

func contentBadLimits(t *testing.T, s inos.Content) {
	ctx := context.Background()
	for _, limit := range []int{0, -1} {
		_, _, err := s.EmptyTrash(ctx, contentAfterAll, limit)
		contentWantCode(t, "empty trash", err, inos.CodeBadRequest)
		_, _, err = s.Inventory(ctx, inos.ChunkID{}, limit)
		contentWantCode(t, "inventory", err, inos.CodeBadRequest)
		_, err = s.Scrub(ctx, inos.ChunkID{}, limit)
		contentWantCode(t, "scrub", err, inos.CodeBadRequest)
	}
}

func contentSameChunk(t *testing.T, s inos.Content) {
	id, stored := Chunk(1, 5000)
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			existed, err := s.Put(context.Background(), id, stored)
			if err != nil {
				t.Errorf("put: %v", err)
			}
			if !existed {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Fatalf("%d of 16 puts of one chunk say that it is new", fresh.Load())
	}
	contentWantUsage(t, s, 1, 5000, 0)
}

// contentRaces lets puts, gets, trashing and emptying meet on a few chunks. Whatever the order, bytes are right or absent,
// and the counters are right at the end.
func contentRaces(t *testing.T, s inos.Content) {
	ctx := context.Background()
	type chunk struct {
		id     inos.ChunkID
		stored []byte
	}
	var chunks [6]chunk
	for i := range chunks {
		chunks[i].id, chunks[i].stored = Chunk(uint64(i), 100*(i+1))
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 60 {
				c := chunks[r.IntN(len(chunks))]
				var err error
				switch r.IntN(6) {
				case 0, 1:
					_, err = s.Put(ctx, c.id, c.stored)
				case 2:
					_, _, err = s.Trash(ctx, []inos.ChunkID{c.id, chunks[r.IntN(len(chunks))].id})
				case 3:
					_, _, err = s.EmptyTrash(ctx, contentAfterAll, 2)
				case 4:
					_, err = s.Scrub(ctx, inos.ChunkID{}, 3)
				default:
					var got []byte
					if got, err = s.Get(ctx, c.id, nil); err == nil && !bytes.Equal(got, c.stored) {
						err = fmt.Errorf("get returned other bytes")
					} else if inos.CodeOf(err) == inos.CodeChunkNotFound {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	wg.Wait()
	ids, _, err := s.Inventory(ctx, inos.ChunkID{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var used int64
	for _, id := range ids {
		got, err := s.Get(ctx, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		used += int64(len(got))
	}
	trash := s.Usage().TrashBytes
	_, emptied, err := s.EmptyTrash(ctx, contentAfterAll, 100)
	if err != nil || emptied != trash {
		t.Fatalf("the trash had %d bytes, usage said %d, %v", emptied, trash, err)
	}
	contentWantUsage(t, s, int64(len(ids)), used, 0)
}

func contentClosed(t *testing.T, s inos.Content) {
	ctx := context.Background()
	id, stored := contentPut(t, s, 1, 10)
	for range 2 { // a second Close does nothing
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Put(ctx, id, stored)
	contentWantCode(t, "put", err, inos.CodeShuttingDown)
	_, err = s.Get(ctx, id, nil)
	contentWantCode(t, "get", err, inos.CodeShuttingDown)
	_, err = s.Missing(ctx, []inos.ChunkID{id})
	contentWantCode(t, "missing", err, inos.CodeShuttingDown)
	_, _, err = s.Trash(ctx, []inos.ChunkID{id})
	contentWantCode(t, "trash", err, inos.CodeShuttingDown)
	_, _, err = s.EmptyTrash(ctx, contentAfterAll, 1)
	contentWantCode(t, "empty trash", err, inos.CodeShuttingDown)
	_, _, err = s.Inventory(ctx, inos.ChunkID{}, 1)
	contentWantCode(t, "inventory", err, inos.CodeShuttingDown)
	_, err = s.Scrub(ctx, inos.ChunkID{}, 1)
	contentWantCode(t, "scrub", err, inos.CodeShuttingDown)
}
