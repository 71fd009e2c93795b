package host

import (
	"bytes"
	"context"
	"testing"

	"github.com/inos-mesh/inos"
)

// A worker that has ended is started again: it is the first to be free, and would fail whatever is left of an upload.
func TestEncoderOutlivesItsWorker(t *testing.T) {
	encoder, err := NewEncoder(context.Background(), 1, testCache, testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Close() }()
	plain := bytes.Repeat([]byte("a chunk of text, "), 1000)
	for range 2 {
		if err := encoder.pool.Stop(0, true); err != nil {
			t.Fatal(err)
		}
		stored, entry, err := encoder.Encode(context.Background(), plain, 0)
		if err != nil {
			t.Fatal(err)
		}
		if entry.PlainBytes != uint64(len(plain)) || entry.StoredBytes != uint64(len(stored)) || entry.Codec != inos.CodecBrotli {
			t.Errorf("%d bytes stored, entry %+v", len(stored), entry)
		}
	}
}
