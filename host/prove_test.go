package host

import (
	"bytes"
	"context"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// The host's proofs are those of the storage module, byte for byte, and the module accepts them.
func TestProofsAreTheModules(t *testing.T) {
	config := Config{DataDir: t.TempDir(), Stderr: testLog{t}, CacheDir: testCache}
	if err := config.complete(); err != nil {
		t.Fatal(err)
	}
	n := &Node{config: config, clock: newClock()}
	pool := engine.NewPool(engine.Config{Command: n.workerCommand})
	defer func() { _ = pool.Close() }()
	if _, _, err := pool.Start(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	module := func(eventType string, q event.Message, bulk []byte, reply event.Message) ([]byte, error) {
		answer, out, err := pool.Call(context.Background(), 0, event.Encode(nil, n.hostEnvelope(eventType, q)), bulk, make([]byte, 0, inos.StoredBytesMax))
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(answer)
		if err != nil {
			t.Fatal(err)
		}
		if event.StateOf(e.EventType) == event.StateFailed {
			return nil, event.FailureOf(e)
		}
		return out, event.Open(e, reply)
	}
	// Lengths on a leaf's and a chunk's boundary, one below, one above; each with its first, middle and last leaf.
	for _, size := range []int{1, 1023, 1024, 1025, 2048, 3000, 65536, 65537, inos.ChunkBytesMax - 1, inos.ChunkBytesMax, inos.ChunkBytesMax + 3} {
		stored := noise(uint64(size), size)
		id := blake3.Sum256(stored)
		leaves := uint64(size+inos.LeafBytes-1) / inos.LeafBytes
		for _, leaf := range []uint64{0, leaves / 2, leaves - 1} {
			own, err := prove(stored, leaf)
			if err != nil {
				t.Fatalf("leaf %d of %d bytes: %v", leaf, size, err)
			}
			theirs, err := module(event.ProveChunk, &eventpb.ProveChunkRequest{Leaf: leaf}, stored, &eventpb.ProveChunkReply{})
			if err != nil || !bytes.Equal(own, theirs) {
				t.Fatalf("leaf %d of %d bytes: %d bytes here, %d in the module, %v", leaf, size, len(own), len(theirs), err)
			}
			var verified eventpb.VerifyProofReply
			if _, err := module(event.VerifyProof, &eventpb.VerifyProofRequest{ChunkId: id[:], Leaf: leaf}, own, &verified); err != nil || verified.StoredBytes != uint64(size) {
				t.Fatalf("leaf %d of %d bytes: the module says %v, %v", leaf, size, &verified, err)
			}
			own[len(own)-1] ^= 1
			if _, err := module(event.VerifyProof, &eventpb.VerifyProofRequest{ChunkId: id[:], Leaf: leaf}, own, &verified); err == nil {
				t.Fatalf("leaf %d of %d bytes: a false proof is accepted", leaf, size)
			}
		}
		if _, err := prove(stored, leaves); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("leaf %d of %d bytes: %v", leaves, size, err)
		}
	}
}
