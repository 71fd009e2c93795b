package semantic

import (
	"context"
	"testing"

	"github.com/inos-mesh/inos"
)

// TestPinsAreReplaced counts the pins of an upload: a staged node takes those of its children over, so a commit has
// only what is without a parent to release, however large the file.
func TestPinsAreReplaced(t *testing.T) {
	s := openStore(t)
	pins := func() (n int) {
		if err := s.db.Reader.QueryRowContext(context.Background(), "SELECT count(*) FROM pins").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx := context.Background()
	if err := letIn(s); err != nil {
		t.Fatal(err)
	}
	var children []inos.ChunkID
	for n := range uint64(20) {
		_, rows := smallFile(n)
		if err := s.StageChunks(ctx, "u", "operator", rows[:1], 1); err != nil {
			t.Fatal(err)
		}
		children = append(children, rows[0].Entry.ChunkID)
	}
	if n := pins(); n != 20 {
		t.Fatalf("%d pins on 20 chunks", n)
	}
	f, rows := smallFile(100)
	node := rows[1]
	node.Children = children
	for range 2 { // staging again changes nothing
		if err := s.StageChunks(ctx, "u", "operator", []inos.ChunkRow{node}, 1); err != nil {
			t.Fatal(err)
		}
		if n := pins(); n != 1 {
			t.Fatalf("%d pins, want the node's alone", n)
		}
	}
	f.ManifestID = node.Entry.ChunkID
	if _, _, err := s.CommitFile(ctx, "u", f, nil, inos.Quota{}, inos.RequestKey{ID: "1", EventType: "put"}, 1); err != nil {
		t.Fatal(err)
	}
	if n := pins(); n != 0 {
		t.Fatalf("%d pins after the commit", n)
	}
}
