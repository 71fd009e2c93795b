package host

import (
	"context"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// damage changes one byte of a chunk's file below dir.
func damage(t *testing.T, dir string, id []byte) {
	t.Helper()
	changed := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(filepath.Base(path), hex.EncodeToString(id)) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		changed = true
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || !changed {
		t.Fatalf("damage of chunk %x: found %t, %v", id[:4], changed, err)
	}
}

// TestLostChunksAreWrittenAgain damages chunks, lets a get or a verification find it, and puts the same bytes at once: what
// is acknowledged reads back, and the other files that share the chunks with it.
func TestLostChunksAreWrittenAgain(t *testing.T) {
	for name, discover := range map[string]func(n *testNode) (bad int, err error){
		"by a get": func(n *testNode) (int, error) {
			_, err := n.get(&eventpb.FilesGetRequest{Path: "/first", LengthBytes: -1})
			if inos.CodeOf(err) == inos.CodeChunkCorrupt {
				return 1, nil
			}
			return 0, err
		},
		"by verifying the file": func(n *testNode) (int, error) {
			var r eventpb.FilesVerifyReply
			err := n.request(context.Background(), event.FilesVerify, &eventpb.FilesVerifyRequest{Path: "/first"}, &r)
			return int(r.Bad), err
		},
		"by verifying the disk": func(n *testNode) (int, error) {
			var r eventpb.FilesVerifyReply
			err := n.request(context.Background(), event.FilesVerify, &eventpb.FilesVerifyRequest{}, &r)
			return int(r.Bad), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := openNode(t, dir, nil)
			defer n.close()
			body := noise(20, 5<<20)
			n.mustPut("/first", body)
			stat := func() *eventpb.FilesStatReply {
				var r eventpb.FilesStatReply
				if err := n.request(context.Background(), event.FilesStat, &eventpb.FilesStatRequest{Path: "/first", ChunkLimit: 10}, &r); err != nil {
					t.Fatal(err)
				}
				return &r
			}
			damage(t, dir, stat().Chunks[3].ChunkId)
			if bad, err := discover(n); bad != 1 || err != nil {
				t.Fatalf("the damage was found %d times, %v", bad, err)
			}
			n.mustPut("/again", body)
			n.mustHold("/again", body)
			n.mustHold("/first", body)
			n.waitFor("the chunk is held again", func(*eventpb.NodeStatusReply) bool { return len(stat().Chunks[3].Copies) == 1 })
		})
	}
}

// TestUncleanStopForgetsLostCopies: a chunk whose file went while the node was down, in a stop that was not clean, is no
// longer said to be held, without anybody reading it.
func TestUncleanStopForgetsLostCopies(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	body := noise(21, 3<<20)
	n.mustPut("/file", body)
	stat := func() *eventpb.FilesStatReply {
		var r eventpb.FilesStatReply
		if err := n.request(context.Background(), event.FilesStat, &eventpb.FilesStatRequest{Path: "/file", ChunkLimit: 10}, &r); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	id := hex.EncodeToString(stat().Chunks[1].ChunkId)
	n.close()
	for _, name := range []string{filepath.Join("content", "chunks", id[:2], id), filepath.Join("content", "state")} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	n = openNode(t, dir, nil)
	defer func() { n.close() }()
	n.waitFor("the lost copy is forgotten", func(*eventpb.NodeStatusReply) bool {
		c := stat().Chunks
		return len(c[0].Copies) == 1 && len(c[1].Copies) == 0 && len(c[2].Copies) == 1
	})
	n.mustPut("/again", body)
	n.mustHold("/again", body)
}
