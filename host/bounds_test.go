package host

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// slowContent is a disk that lets chunks through one at a time, each only after next has been asked.
type slowContent struct {
	inos.Content
	next    chan struct{}
	written atomic.Int64 // plain bytes are not known here: chunks
}

func (s *slowContent) Put(ctx context.Context, id inos.ChunkID, stored []byte) (bool, error) {
	<-s.next
	defer s.written.Add(1)
	return s.Content.Put(ctx, id, stored)
}

// TestSlowDiskSlowsTheSender holds a put whose disk takes a chunk only when the sender has nothing more to send: the
// bytes read from the sender never run ahead of the disk by more than the node's buffers.
func TestSlowDiskSlowsTheSender(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	slow := &slowContent{Content: n.content, next: make(chan struct{})}
	n.content = slow
	const chunks = 160
	var read, ahead atomic.Int64
	body := &hookReader{r: bytes.NewReader(noise(8, chunks*inos.ChunkBytesMax)), every: inos.ChunkBytesMax, hook: func() {
		lead := read.Add(1) - slow.written.Load()
		ahead.Store(max(ahead.Load(), lead))
	}}
	done := make(chan error, 1)
	go func() {
		_, err := n.putFrom("/slow", body, chunks*inos.ChunkBytesMax)
		done <- err
	}()
	for {
		select {
		case slow.next <- struct{}{}:
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if bound := int64(bufferBytesMax / inos.ChunkBytesMax); ahead.Load() > bound || ahead.Load() == 0 {
				t.Fatalf("the sender was %d chunks ahead of the disk, the buffers hold %d", ahead.Load(), bound)
			}
			n.waitForNoBuffer()
			return
		}
	}
}

// TestFullDisk offers 8 MiB to chunks: what does not fit is refused at once where its length is known, else when the
// space is used up; nothing of it stays, and what was stored reads back.
func TestFullDisk(t *testing.T) {
	n := openNode(t, t.TempDir(), func(c *Config) { c.CapacityBytes = 8 << 20 })
	defer n.close()
	kept := noise(10, 2<<20)
	n.mustPut("/kept", kept)
	if _, err := n.put("/known", noise(11, 20<<20)); inos.CodeOf(err) != inos.CodeDiskFull {
		t.Fatalf("put of 20 MiB whose length is known: %v", err)
	}
	if _, err := n.putFrom("/unknown", io.LimitReader(bytes.NewReader(noise(12, 20<<20)), 20<<20), -1); inos.CodeOf(err) != inos.CodeDiskFull {
		t.Fatalf("put of 20 MiB whose length is not known: %v", err)
	}
	n.mustHold("/kept", kept)
	n.waitFor("what the refused put wrote is collected", func(s *eventpb.NodeStatusReply) bool {
		u := n.content.Usage()
		totals, err := n.semantic.Totals(context.Background())
		return err == nil && uint64(u.Chunks) == totals.Chunks && totals.Uploads == 0 && totals.Collectable == 0 && totals.Chunks == 3
	})
	n.mustHold("/kept", kept)
}

// TestTrashGivesWay fills a disk of 8 MiB, deletes, and fills it again: the trash, which counts as used for a week, gives
// way to puts of a known length and of an unknown one.
func TestTrashGivesWay(t *testing.T) {
	n := openNode(t, t.TempDir(), func(c *Config) { c.CapacityBytes = 8 << 20 })
	defer n.close()
	remove := func(path string) {
		t.Helper()
		if err := n.request(context.Background(), event.FilesDelete, &eventpb.FilesDeleteRequest{Path: path}, &eventpb.FilesDeleteReply{}); err != nil {
			t.Fatal(err)
		}
		n.waitFor(path+" is in the trash", func(s *eventpb.NodeStatusReply) bool { return s.Content.TrashBytes > 5<<20 && s.Content.Chunks == 0 })
	}
	n.mustPut("/first", noise(13, 6<<20))
	remove("/first")
	known := noise(14, 6<<20)
	n.mustPut("/known", known)
	n.mustHold("/known", known)
	remove("/known")
	unknown := noise(15, 6<<20)
	if _, err := n.putFrom("/unknown", bytes.NewReader(unknown), -1); err != nil {
		t.Fatal(err)
	}
	n.mustHold("/unknown", unknown)
	if _, err := n.put("/more", noise(16, 6<<20)); inos.CodeOf(err) != inos.CodeDiskFull {
		t.Fatalf("put of what does not fit beside a file: %v", err)
	}
}
