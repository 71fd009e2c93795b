package content_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// The Store and its twin answer alike, whatever is asked of them, across restarts and kills of the Store.
func TestStoreEqualsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld("")
		capacity := rapid.SampledFrom([]int64{0, 150}).Draw(t, "capacity")
		options := content.Options{Files: w.fs, CapacityBytes: capacity, Now: func() inos.Micros { return w.now }}
		open := func() *content.Store {
			s, err := content.Open(worldDir, content.WithShardBits(options, 2))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		store, twin := open(), content.NewMemory(options)
		same := func(what string, a, b any, aErr, bErr error) {
			if inos.CodeOf(aErr) != inos.CodeOf(bErr) {
				t.Fatalf("%s: the store says %v, the twin %v", what, aErr, bErr)
			}
			if a != b {
				t.Fatalf("%s: the store says %v, the twin %v", what, a, b)
			}
		}
		draw := func() worldChunk { return w.chunks[rapid.IntRange(0, len(w.chunks)-1).Draw(t, "chunk")] }
		type counted struct {
			chunks int
			bytes  int64
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(*rapid.T) {
				c := draw()
				a, aErr := store.Put(t.Context(), c.id, c.stored)
				b, bErr := twin.Put(t.Context(), c.id, c.stored)
				same("put", a, b, aErr, bErr)
			},
			"get": func(*rapid.T) {
				c := draw()
				a, aErr := store.Get(t.Context(), c.id, nil)
				b, bErr := twin.Get(t.Context(), c.id, nil)
				same("get", string(a), string(b), aErr, bErr)
			},
			"trash": func(*rapid.T) {
				var ids []inos.ChunkID
				for range rapid.IntRange(0, 4).Draw(t, "chunks") {
					ids = append(ids, draw().id)
				}
				a, aBytes, aErr := store.Trash(t.Context(), ids)
				b, bBytes, bErr := twin.Trash(t.Context(), ids)
				same("trash", counted{a, aBytes}, counted{b, bBytes}, aErr, bErr)
			},
			"empty trash": func(*rapid.T) {
				before := w.now - inos.Micros(rapid.IntRange(-1, 20).Draw(t, "age"))
				a, aBytes, aErr := store.EmptyTrash(t.Context(), before, 100)
				b, bBytes, bErr := twin.EmptyTrash(t.Context(), before, 100)
				same("empty trash", counted{a, aBytes}, counted{b, bBytes}, aErr, bErr)
			},
			"list": func(*rapid.T) {
				after, limit := draw().id, rapid.IntRange(1, 9).Draw(t, "limit")
				a, aEnd, aErr := store.Inventory(t.Context(), after, limit)
				b, bEnd, bErr := twin.Inventory(t.Context(), after, limit)
				same("end of list", aEnd, bEnd, aErr, bErr)
				if !slices.Equal(a, b) {
					t.Fatalf("list: the store says %v, the twin %v", a, b)
				}
			},
			"scrub": func(*rapid.T) {
				after, limit := draw().id, rapid.IntRange(1, 9).Draw(t, "limit")
				a, aErr := store.Scrub(t.Context(), after, limit)
				b, bErr := twin.Scrub(t.Context(), after, limit)
				if !slices.Equal(a.Bad, b.Bad) {
					t.Fatalf("scrub: the store says %v, the twin %v", a.Bad, b.Bad)
				}
				same("scrub", counted{a.Chunks, a.Bytes}, counted{b.Chunks, b.Bytes}, aErr, bErr)
				same("scrub goes on", a.Next, b.Next, nil, nil)
				same("end of scrub", a.End, b.End, nil, nil)
			},
			"damage": func(*rapid.T) {
				c := draw()
				name := worldDir + "/chunks/" + string([]byte{'0', '0' + c.id[0]>>6}) + "/" + c.id.String()
				damaged := bytes.Clone(c.stored)
				damaged[len(damaged)/2] ^= 1
				a := w.fs.Damage(name, func([]byte) []byte { return damaged }) == nil
				same("held for damage", a, twin.Corrupt(c.id), nil, nil)
			},
			"restart": func(*rapid.T) {
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				store = open()
			},
			"kill": func(*rapid.T) { store = open() },
			"": func(*rapid.T) {
				w.now++
				a, b := store.Usage(), twin.Usage()
				same("usage", [3]int64{a.Chunks, a.UsedBytes, a.TrashBytes}, [3]int64{b.Chunks, b.UsedBytes, b.TrashBytes}, nil, nil)
			},
		})
	})
}
