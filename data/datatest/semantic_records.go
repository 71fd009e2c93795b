package datatest

import (
	"testing"

	"github.com/inos-mesh/inos"
)

// settleAll settles the record of every pending version in full, on the node that holds everything here.
func settleAll(t testing.TB, m inos.Semantic) {
	t.Helper()
	for range 1000 {
		pending, err := m.PendingRecords(background, inos.RecordKey{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(pending) == 0 {
			return
		}
		for _, r := range pending {
			id := inos.ChunkID(hash("record of "+string(r.File.Owner), int(r.File.Version)))
			if _, err := m.SettleRecord(background, keyOfRecord(r), id, []inos.NodeID{"node-a"}, true); err != nil {
				t.Fatalf("settle %s: %v", r.File.Path, err)
			}
		}
	}
	t.Fatal("settling does not end")
}

func keyOfRecord(r inos.Record) inos.RecordKey {
	return inos.RecordKey{Owner: r.File.Owner, Path: r.File.Path, Version: r.File.Version}
}
