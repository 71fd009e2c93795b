package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/inos-mesh/inos/event/eventpb"
)

// A worker has memory for the next chunk whatever it has done before. Brotli at quality 9 asks for 32 MiB in one piece, and the module's allocator
// grows by a whole piece when the free one is only a little short: what is enough for the first chunk is not enough for the third.
func TestBuiltStorageDoesNotAge(t *testing.T) {
	built(t, "storage.wasm")
	p := newTestPool(t, "storage")
	pid, _, err := p.Start(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	text := chunkOfText()
	for i := range 80 {
		plain := text[:1+random.IntN(1<<(1+random.IntN(20)))]
		quality := uint32(9)
		if i%4 == 3 {
			quality = 2 + uint32(random.IntN(8))
		}
		var encoded eventpb.EncodeChunkReply
		stored := bytes.Clone(p.module(t, "storage:encode_chunk:v1", &eventpb.EncodeChunkRequest{Quality: quality}, plain, &encoded))
		if !bytes.Equal(p.module(t, "storage:inflate_chunk:v1", &eventpb.InflateChunkRequest{Entry: encoded.Entry}, stored, &eventpb.InflateChunkReply{}), plain) {
			t.Fatalf("call %d: %d bytes do not come back", i, len(plain))
		}
	}
	if peak := peakBytes(t, pid); peak > 150<<20 {
		t.Errorf("the worker had %d MiB", peak>>20)
	}
}
