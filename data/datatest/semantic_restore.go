package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

// restoreCases are the cases of a map that is made again from the mesh.
var restoreCases = []semanticCase{
	{"what was sighted is known until the restore ends", semanticSight},
	{"the highest version wins in any order", semanticRestoreOrder},
	{"of two versions with one number the later counts, in any order", semanticRestoreTwice},
	{"a restored file is like a committed one", semanticRestoreFile},
	{"a restore needs what it refers to", semanticRestoreRefused},
	{"a restored version goes on", semanticRestoreOn},
}

func semanticSight(t *testing.T, m inos.Semantic) {
	ids := make([]inos.ChunkID, 2500)
	for i := range ids {
		ids[i] = dataRow(i).Entry.ChunkID
	}
	sighted := func(id inos.ChunkID, want string) {
		t.Helper()
		nodes, err := m.Sighted(background, []inos.ChunkID{{1}, id})
		must(t, err)
		equal(t, "sighted", fmt.Sprint(nodes), "[[] "+want+"]")
	}
	sighted(ids[0], "[]")
	for range 2 {
		must(t, m.Sight(background, "b", ids))
		must(t, m.Sight(background, "a", ids[:1]))
		sighted(ids[0], "[a b]")
		sighted(ids[2499], "[b]")
	}
	wantTotals(t, m, inos.Totals{}) // nothing but sightings
	wantCode(t, m.Sight(background, "a", make([]inos.ChunkID, 5000)), inos.CodeBadRequest)
	wantCode(t, m.Sight(background, "", nil), inos.CodeBadRequest)
	_, err := m.Sighted(background, make([]inos.ChunkID, 5000))
	wantCode(t, err, inos.CodeBadRequest)
	for range 2 {
		must(t, m.EndRestore(background, false, 1))
		sighted(ids[0], "[]")
		sighted(ids[2499], "[]")
	}
}

// fileRecord returns the record of a version of /a whose content is one chunk, and the rows of that content.
func fileRecord(version uint64) (inos.Record, []inos.ChunkRow) {
	d := dataRow(int(version))
	root := nodeRow(int(version), d)
	f := fileOf("ann", "/a", root)
	f.Version, f.CreatedAt = version, inos.Micros(100*version)
	return inos.Record{File: f, RecordID: recordID(int(version)), Nodes: []inos.NodeID{"b", "a"}}, []inos.ChunkRow{d, root}
}

func tombstoneRecord(version uint64) inos.Record {
	f := inos.FileInfo{Owner: "ann", Path: "/a", Version: version, CreatedAt: inos.Micros(100 * version)}
	return inos.Record{File: f, Tombstone: true, RecordID: recordID(int(version)), Nodes: []inos.NodeID{"c"}}
}

func restore(t testing.TB, m inos.Semantic, r inos.Record, want bool, rows ...inos.ChunkRow) {
	t.Helper()
	if len(rows) > 0 {
		if err := m.StageChunks(background, "restore", "ann", rows, 1); err != nil {
			t.Fatal(err)
		}
	}
	restored, err := m.RestoreVersion(background, "restore", r, 7)
	if err != nil {
		t.Fatal(err)
	}
	if restored != want {
		t.Fatalf("restored version %d: %t, want %t", r.File.Version, restored, want)
	}
}

func semanticRestoreOrder(t *testing.T, m inos.Semantic) {
	second, rows2 := fileRecord(2)
	fourth, rows4 := fileRecord(4)
	restore(t, m, second, true, rows2...)
	restore(t, m, second, false, rows2...)
	restore(t, m, tombstoneRecord(1), false)
	equal(t, "pending", briefPending(t, m), " ann/a:2 2[a b]")
	restore(t, m, tombstoneRecord(3), true)
	_, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	wantTotals(t, m, inos.Totals{Chunks: 2, StoredBytes: rows2[0].Entry.StoredBytes, Collectable: 1})
	restore(t, m, tombstoneRecord(5), true)
	restore(t, m, fourth, false, rows4...)
	wantTotals(t, m, inos.Totals{Chunks: 4, StoredBytes: rows2[0].Entry.StoredBytes + rows4[0].Entry.StoredBytes, Collectable: 2})
	equal(t, "pending", briefPending(t, m), " ann/a:5+ 5[c]")
	equal(t, "needless: the records of all versions below", settle(t, m, "/a", 5, 5, true, "a"), " 2[a b] 3[c]")
	equal(t, "collected", collect(t, m), 4)
	tenth, rows10 := fileRecord(10)
	restore(t, m, tenth, true, rows10...)
	eleventh, rows11 := fileRecord(11)
	restore(t, m, eleventh, true, rows11...)
	wantCollectable(t, m, 1) // the version before is gone: this one's record is on the mesh
	wantTotals(t, m, inos.Totals{
		Files: 1, PlainBytes: eleventh.File.PlainBytes, Chunks: 4, StoredBytes: rows10[0].Entry.StoredBytes + rows11[0].Entry.StoredBytes, Collectable: 1,
	})
}

// semanticRestoreTwice restores versions of one number, in both orders; each is made on a path of its own.
func semanticRestoreTwice(t *testing.T, m inos.Semantic) {
	file := func(path string, n int, at inos.Micros) (inos.Record, []inos.ChunkRow) {
		d := dataRow(n)
		root := nodeRow(n, d)
		f := fileOf("ann", path, root)
		f.Version, f.CreatedAt = 3, at
		return inos.Record{File: f, RecordID: recordID(n), Nodes: []inos.NodeID{"a"}}, []inos.ChunkRow{d, root}
	}
	tomb := func(path string, n int, at inos.Micros) (inos.Record, []inos.ChunkRow) {
		f := inos.FileInfo{Owner: "ann", Path: inos.Path(path), Version: 3, CreatedAt: at}
		return inos.Record{File: f, Tombstone: true, RecordID: recordID(n), Nodes: []inos.NodeID{"b"}}, nil
	}
	low, high := 1, 2
	if a, b := nodeRow(1, dataRow(1)).Entry.ChunkID, nodeRow(2, dataRow(2)).Entry.ChunkID; string(a[:]) > string(b[:]) {
		low, high = 2, 1
	}
	for name, c := range map[string]struct {
		loses, wins func(path string) (inos.Record, []inos.ChunkRow)
	}{
		"later file":        {func(p string) (inos.Record, []inos.ChunkRow) { return file(p, high, 50) }, func(p string) (inos.Record, []inos.ChunkRow) { return file(p, low, 51) }},
		"later tombstone":   {func(p string) (inos.Record, []inos.ChunkRow) { return file(p, high, 50) }, func(p string) (inos.Record, []inos.ChunkRow) { return tomb(p, 7, 51) }},
		"file of one time":  {func(p string) (inos.Record, []inos.ChunkRow) { return tomb(p, 7, 50) }, func(p string) (inos.Record, []inos.ChunkRow) { return file(p, low, 50) }},
		"greater manifest":  {func(p string) (inos.Record, []inos.ChunkRow) { return file(p, low, 50) }, func(p string) (inos.Record, []inos.ChunkRow) { return file(p, high, 50) }},
		"another tombstone": {func(p string) (inos.Record, []inos.ChunkRow) { return tomb(p, 7, 50) }, func(p string) (inos.Record, []inos.ChunkRow) { return tomb(p, 8, 51) }},
	} {
		for _, first := range []bool{true, false} { // the winner comes first
			path := fmt.Sprintf("/%s/%t", name, first)
			must(t, m.StageChunks(background, "before", "ann", []inos.ChunkRow{dataRow(5), nodeRow(5, dataRow(5))}, 1))
			before := fileOf("ann", path, nodeRow(5, dataRow(5)))
			before.Version = 2
			restored, err := m.RestoreVersion(background, "before", inos.Record{File: before, RecordID: recordID(5), Nodes: []inos.NodeID{"c"}}, 7)
			must(t, err)
			equal(t, "the version before is restored", restored, true)
			loser, loserRows := c.loses(path)
			winner, winnerRows := c.wins(path)
			if !first {
				restore(t, m, loser, true, loserRows...)
			}
			restore(t, m, winner, true, winnerRows...)
			if first {
				restore(t, m, loser, false, loserRows...)
			}
			restore(t, m, winner, false, winnerRows...)
			f, err := m.LookupFile(background, "ann", inos.Path(path), inos.FileID{})
			if winner.Tombstone {
				wantCode(t, err, inos.CodeFileNotFound)
			} else {
				must(t, err)
				equal(t, name, f, winner.File)
			}
			held, err := m.NodeRecords(background, winner.Nodes[0], inos.RecordKey{Owner: "ann", Path: inos.Path(path[:len(path)-1])}, 1)
			must(t, err)
			equal(t, "its record", held[0].ID, winner.RecordID)
			if winner.Nodes[0] != loser.Nodes[0] {
				held, err = m.NodeRecords(background, loser.Nodes[0], inos.RecordKey{Owner: "ann", Path: inos.Path(path[:len(path)-1])}, 1)
				must(t, err)
				equal(t, "records of the other", len(held), 0)
			}
			equal(t, "needless: the version before", settle(t, m, path, 3, 9, true, "c") != "", true)
			if !winner.Tombstone {
				remove(t, m, path, path)
				settle(t, m, path, 4, 10, true, "c")
			}
			collect(t, m)
			wantTotals(t, m, inos.Totals{})
		}
	}
}

func semanticRestoreFile(t *testing.T, m inos.Semantic) {
	r, rows := fileRecord(3)
	restore(t, m, r, true, rows...)
	f, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "file", f, r.File)
	f, err = m.LookupFile(background, "ann", "", r.File.FileID)
	must(t, err)
	equal(t, "file by id", f, r.File)
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: f.PlainBytes, Chunks: 2, StoredBytes: rows[0].Entry.StoredBytes})
	equal(t, "wanted", stateOf(t, m, rows[0].Entry.ChunkID).Wanted, f.ReplicasWanted)
	equal(t, "pending", briefPending(t, m), " ann/a:3 3[a b]")
	equal(t, "needless", settle(t, m, "/a", 3, 3, true, "c"), "")
	n, err := m.UnsettleRecords(background, "b", nil, 0)
	must(t, err)
	equal(t, "unsettled", n, 1)
	entries, err := m.FindChunks(background, "ann", []inos.PlainHash{rows[0].Entry.PlainHash})
	must(t, err)
	equal(t, "the owner finds the content", entries[0] != nil, true)
}

func semanticRestoreRefused(t *testing.T, m inos.Semantic) {
	r, rows := fileRecord(2)
	try := func(code inos.Code, change func(*inos.Record)) {
		t.Helper()
		bad := r
		change(&bad)
		_, err := m.RestoreVersion(background, "restore", bad, 7)
		wantCode(t, err, code)
	}
	try(inos.CodeConflict, func(*inos.Record) {}) // nothing is staged
	must(t, m.StageChunks(background, "restore", "ann", rows, 1))
	try(inos.CodeNodeUnknown, func(r *inos.Record) { r.Nodes = []inos.NodeID{"a", "stranger"} })
	try(inos.CodeConflict, func(r *inos.Record) { r.File.Owner = "bob" }) // it is ann's upload
	try(inos.CodeConflict, func(r *inos.Record) { r.File.ManifestID = inos.ChunkID{5} })
	try(inos.CodeBadRequest, func(r *inos.Record) { r.File.Version = 0 })
	try(inos.CodeBadRequest, func(r *inos.Record) { r.File.Version = 1 << 63 })
	try(inos.CodeBadRequest, func(r *inos.Record) { r.RecordID = inos.ChunkID{} })
	try(inos.CodeBadRequest, func(r *inos.Record) { r.Nodes = nil })
	try(inos.CodeBadRequest, func(r *inos.Record) { r.File.PlainBytes = 1 << 63 })
	try(inos.CodeBadPath, func(r *inos.Record) { r.File.Path = "a" })
	equal(t, "pending", briefPending(t, m), "")
	wantTotals(t, m, inos.Totals{Chunks: 2, StoredBytes: rows[0].Entry.StoredBytes, Uploads: 1})
	_, err := m.AbortUpload(background, "restore")
	must(t, err)
	_, err = m.CondemnChunks(background, 0)
	must(t, err)
	try(inos.CodeConflict, func(*inos.Record) {}) // its root is on its way out
}

func semanticRestoreOn(t *testing.T, m inos.Semantic) {
	r, rows := fileRecord(7)
	restore(t, m, r, true, rows...)
	f, _ := commit(t, m, "ann", "/a", "1", 9, dataRow(9))
	equal(t, "the next version", f.Version, 8)
	wantCollectable(t, m, 0)
	equal(t, "needless: the restored one's", settle(t, m, "/a", 8, 8, true, "a"), " 7[a b]")
	wantCollectable(t, m, 1)
	restore(t, m, tombstoneRecord(20), true)
	f, _ = commit(t, m, "ann", "/a", "2", 10, dataRow(10))
	equal(t, "the version after a restored tombstone", f.Version, 21)
	collect(t, m)
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: f.PlainBytes, Chunks: 2, StoredBytes: dataRow(10).Entry.StoredBytes})
}
