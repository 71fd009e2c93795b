package kernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
)

// A node that has lost its copy of a chunk twice gets it again only when nobody else is to be had. Other chunks go to it as before, and what was lost long ago
// is forgotten.
func TestRelapses(t *testing.T) {
	k, first := sweptNode()
	k.node.booted, k.recovery.done, k.members.loaded = true, true, true
	for i := range 3 {
		m := k.members.newMember()
		m.row, m.state = first.row.CloneVT(), liveAlive
		m.row.Node = fmt.Sprintf("n%d", i+1)
		m.row.Host = m.row.Node
		k.members.table[m.id()] = m
	}
	id := inos.ChunkID{1}
	placed := func(id inos.ChunkID, replicas uint32) []inos.NodeID {
		k.steps++
		return k.members.place(id, replicas, nil, nil, 0)
	}
	home := placed(id, 1)[0]
	u := &k.losses.relapses
	u.lost(copyKey(home, id))
	if got := placed(id, 1); got[0] != home {
		t.Errorf("after one loss the chunk goes to %s", got)
	}
	u.lost(copyKey(home, id))
	u.lost(copyKey(home, id))
	if got := placed(id, 2); len(got) != 2 || slices.Contains(got, home) {
		t.Errorf("after three losses the chunk goes to %s", got)
	}
	if got := placed(id, 3); len(got) != 3 || !slices.Contains(got, home) {
		t.Errorf("when all are needed the chunk goes to %s", got)
	}
	for i := range 256 {
		other := inos.ChunkID{2, byte(i)}
		if before := k.members.draw(keyOfChunk(other), other, 1, nil, nil, 0, [][]bool{k.members.candidates().any}); !slices.Equal(placed(other, 1), before) {
			t.Errorf("another chunk goes to %s, not %s", placed(other, 1), before)
		}
	}
	restored := New()
	if err := restored.Restore(k.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if x := &restored.losses.relapses; x.many != 1 || !slices.Equal(x.keys, u.keys) {
		t.Errorf("a restored kernel knows of %d copies of %d", x.many, len(x.keys))
	}
	for i := range relapsesMax {
		key := copyKey("n1", inos.ChunkID{3, byte(i), byte(i >> 8)})
		u.lost(key)
		u.lost(key)
	}
	if got := placed(id, 1); got[0] != home || len(u.keys) != relapsesMax || len(u.times) != relapsesMax || u.many != relapsesMax {
		t.Errorf("it goes to %s when %d are remembered, %d of them avoided", got, len(u.keys), u.many)
	}
}
