package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A node says at its start that what it stored is gone: its disk was exchanged, or somebody emptied a folder. A first start and one behind a clean end
// say nothing.
func TestANodeNoticesThatItsDiskIsEmpty(t *testing.T) {
	dir := t.TempDir()
	unclean := func() bool {
		n := openNode(t, dir, nil)
		defer n.close()
		return n.bootPayload(nil).Unclean
	}
	if first, second := unclean(), unclean(); first || second {
		t.Error("a first start, or one behind a clean end, is taken for one without its chunks")
	}
	for _, store := range []string{"content", "records"} {
		if err := os.RemoveAll(filepath.Join(dir, store)); err != nil {
			t.Fatal(err)
		}
		if !unclean() {
			t.Errorf("that %s is gone is not noticed", store)
		}
		if unclean() {
			t.Errorf("it is noticed once more that %s is gone", store)
		}
	}
}

// A provider that comes back with an empty disk is no liar: its copies are compared at once and made again, no audit fails, and it is given copies.
func TestAnEmptiedProviderIsNoLiar(t *testing.T) {
	m := openMesh(t, 3)
	defer m.close()
	const files = 6
	for i := range files {
		m.board.mustPut(fmt.Sprintf("/file-%d", i), noise(uint64(170+i), inos.ChunkBytesMax))
	}
	whole := func(s *eventpb.NodeStatusReply) bool { return s.ChunksShort == 0 && s.Repairs == 0 }
	m.board.waitFor("every chunk has its copies", whole)
	if err := m.providers[0].Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"content", "records"} {
		if err := os.RemoveAll(filepath.Join(m.folderOf(0), store)); err != nil {
			t.Fatal(err)
		}
	}
	m.openProvider(0, "")
	emptied := func() *eventpb.NodeInfo {
		for _, n := range m.nodes().Nodes {
			if n.Member.Node == string(m.providers[0].id) {
				return n
			}
		}
		t.Fatal("it is no member any more")
		return nil
	}
	m.board.waitFor("the emptied provider has its copies again", func(s *eventpb.NodeStatusReply) bool {
		return whole(s) && emptied().Member.Copies >= files && m.providers[0].content.Usage().Chunks >= files
	})
	if n := emptied(); n.AuditsFailed > 0 {
		t.Errorf("%d audits of it failed, %q", n.AuditsFailed, n.Notice)
	}
}
