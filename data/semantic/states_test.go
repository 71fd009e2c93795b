package semantic

import (
	"context"
	"testing"

	"github.com/inos-mesh/inos"
)

// TestWalkIsBounded walks up from a chunk under more others than the bound: what is wanted of it is the default at least.
func TestWalkIsBounded(t *testing.T) {
	s := openStore(t)
	if err := letIn(s); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, shared := smallFile(0)
	id := shared[0].Entry.ChunkID
	for n := range uint64(12) {
		f, rows := smallFile(n)
		f.ReplicasWanted = 2
		rows[1].Children = append(rows[1].Children, id)
		if n == 0 {
			rows[1].Children = rows[1].Children[:1]
		}
		if _, _, err := s.CommitFile(ctx, "u", f, append(rows[:1:1], shared[0], rows[1]), inos.Quota{}, inos.RequestKey{ID: string(f.Path), EventType: "put"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	for bound, want := range map[int]uint32{WalkMax: 2, 13: 2, 11: inos.ReplicasDefault, 5: inos.ReplicasDefault, 1: inos.ReplicasDefault} {
		var got uint32
		err := s.read(ctx, "test", func(r *snapshot) (err error) {
			r.bound = bound
			got, err = r.wanted(id)
			return err
		})
		if err != nil || got != want {
			t.Errorf("with a bound of %d, %d are wanted (%v), want %d", bound, got, err, want)
		}
	}
}
