package datatest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
)

// stateCases are the cases of what repair has to know of a chunk.
var stateCases = []semanticCase{
	{"the state of a chunk is what staging has made it", semanticStates},
	{"what is wanted of a chunk comes from all that reaches it", semanticWanted},
	{"what is wanted follows a chunk through many parents", semanticWantedShared},
	{"a scan pages through all chunks in order", semanticScan},
}

func stateOf(t testing.TB, m inos.Semantic, id inos.ChunkID) inos.ChunkState {
	t.Helper()
	states, err := m.ChunkStates(background, []inos.ChunkID{id})
	if err != nil {
		t.Fatal(err)
	}
	if len(states) != 1 || states[0].ID != id {
		t.Fatalf("states of %s: %+v", id, states)
	}
	return states[0]
}

func briefState(s inos.ChunkState) string {
	return fmt.Sprintf("%.4x stored %d condemned %t manifest %t wanted %d on %s", s.ID[:4], s.StoredBytes, s.Condemned, s.Manifest, s.Wanted, briefCopies(s.Copies))
}

func semanticStates(t *testing.T, m inos.Semantic) {
	d, loose := dataRow(1), dataRow(2)
	d.Nodes = []inos.NodeID{"b", "a"}
	f, root := commit(t, m, "ann", "/a", "1", 1, d)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{loose}, 1))
	_, err := m.AbortUpload(background, "u")
	must(t, err)
	condemned, err := m.CondemnChunks(background, 0)
	must(t, err)
	_, err = m.DistrustNode(background, "a")
	must(t, err)
	ids := []inos.ChunkID{{1}, root.Entry.ChunkID, d.Entry.ChunkID, loose.Entry.ChunkID, d.Entry.ChunkID}
	states, err := m.ChunkStates(background, ids)
	must(t, err)
	var got []string
	for _, s := range states {
		got = append(got, briefState(s))
	}
	of := func(id inos.ChunkID, format string, args ...any) string {
		return fmt.Sprintf("%.4x ", id[:4]) + fmt.Sprintf(format, args...)
	}
	data := of(d.Entry.ChunkID, "stored %d condemned false manifest false wanted %d on a b*", d.Entry.StoredBytes, f.ReplicasWanted)
	equal(t, "states", fmt.Sprint(got), fmt.Sprint([]string{
		of(inos.ChunkID{1}, "stored 0 condemned false manifest false wanted 0 on "),
		of(root.Entry.ChunkID, "stored 0 condemned false manifest true wanted %d on node-a*", f.ReplicasWanted),
		data,
		of(loose.Entry.ChunkID, "stored %d condemned true manifest false wanted 0 on node-a*", loose.Entry.StoredBytes),
		data,
	}))
	equal(t, "generation", states[3].Generation, condemned[0].Generation)
	equal(t, "generation of what is unknown", states[0].Generation, 0)
	_, err = m.ChunkStates(background, make([]inos.ChunkID, 5000))
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticWanted(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	leaf := nodeRow(1, d)
	middle := nodeRow(2, leaf)
	root := nodeRow(3, middle)
	tree := []inos.ChunkRow{d, leaf, middle, root}
	want := func(n uint32) {
		t.Helper()
		for _, r := range tree {
			equal(t, "wanted", stateOf(t, m, r.Entry.ChunkID).Wanted, n)
		}
	}
	put := func(path, key string, replicas uint32, root inos.ChunkRow, rows ...inos.ChunkRow) {
		t.Helper()
		f := fileOf("ann", path, root)
		f.ReplicasWanted = replicas
		_, _, err := m.CommitFile(background, inos.UploadID("u"+key), f, rows, inos.Quota{}, keyOf(key), 1)
		must(t, err)
	}
	must(t, m.StageChunks(background, "u0", "ann", tree[:1], 1))
	equal(t, "wanted under a pin", stateOf(t, m, d.Entry.ChunkID).Wanted, inos.ReplicasDefault)
	must(t, m.StageChunks(background, "u0", "ann", tree[1:], 1))
	want(inos.ReplicasDefault)
	_, err := m.AbortUpload(background, "u0")
	must(t, err)
	want(0)
	put("/a", "1", 2, root, tree...)
	want(2)
	put("/b", "2", 5, root, tree...)
	want(5)
	// Another file reaches part of it.
	put("/c", "3", 7, middle, tree[:3]...)
	equal(t, "wanted of the root", stateOf(t, m, root.Entry.ChunkID).Wanted, 5)
	equal(t, "wanted of the data", stateOf(t, m, d.Entry.ChunkID).Wanted, 7)
	// An upload asks for its own.
	_, _, err = m.DeleteFile(background, "ann", "/c", keyOf("4"), 1)
	must(t, err)
	_, _, err = m.DeleteFile(background, "ann", "/b", keyOf("5"), 1)
	must(t, err)
	equal(t, "a version before stays wanted until its next is settled", stateOf(t, m, d.Entry.ChunkID).Wanted, 7)
	settleAll(t, m)
	want(2)
	must(t, m.StageChunks(background, "u6", "ann", []inos.ChunkRow{leaf}, 1))
	equal(t, "wanted under another pin", stateOf(t, m, d.Entry.ChunkID).Wanted, inos.ReplicasDefault)
	equal(t, "wanted above it", stateOf(t, m, middle.Entry.ChunkID).Wanted, 2)
	_, err = m.AbortUpload(background, "u6")
	must(t, err)
	f, _, err := m.SetReplicas(background, "ann", "/a", 1, 0, 0, keyOf("7"), 1)
	must(t, err)
	equal(t, "version", f.Version, 2)
	want(2)
	settleAll(t, m)
	want(1)
}

func semanticWantedShared(t *testing.T, m inos.Semantic) {
	// A chunk of zeros below two nodes of each of many files; the walk meets every node once.
	zeros := dataRow(0)
	const files = 60
	for i := range files {
		d := dataRow(1 + i)
		a, b := nodeRow(10*i, zeros, d), nodeRow(10*i+1, d, zeros)
		root := nodeRow(10*i+2, a, b)
		f := fileOf("ann", fmt.Sprint("/", i), root)
		f.ReplicasWanted = uint32(1 + i%9)
		_, _, err := m.CommitFile(background, "u", f, []inos.ChunkRow{zeros, d, a, b, root}, inos.Quota{}, keyOf(fmt.Sprint(i)), 1)
		must(t, err)
		equal(t, "wanted of the chunk's own", stateOf(t, m, d.Entry.ChunkID).Wanted, f.ReplicasWanted)
	}
	equal(t, "wanted of the zeros", stateOf(t, m, zeros.Entry.ChunkID).Wanted, 9)
	for i := range files {
		if i%9 == 8 {
			_, _, err := m.DeleteFile(background, "ann", inos.Path(fmt.Sprint("/", i)), keyOf(fmt.Sprint("d", i)), 1)
			must(t, err)
		}
	}
	collect(t, m)
	equal(t, "wanted of the zeros after the files that want most", stateOf(t, m, zeros.Entry.ChunkID).Wanted, 8)
}

func semanticScan(t *testing.T, m inos.Semantic) {
	rows := make([]inos.ChunkRow, 20)
	for i := range rows {
		rows[i] = dataRow(i)
	}
	_, root := commit(t, m, "ann", "/a", "1", 1, rows...)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{dataRow(99)}, 1))
	var want []inos.ChunkID
	for _, r := range append(rows, root, dataRow(99)) {
		want = append(want, r.Entry.ChunkID)
	}
	slices.SortFunc(want, func(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) })
	known, err := m.ChunkStates(background, want)
	must(t, err)
	for _, limit := range []int{0, 1, 5, 22, 100_000} {
		var all []inos.ChunkState
		for after, end := (inos.ChunkID{}), false; !end; {
			var states []inos.ChunkState
			states, end, err = m.ScanChunks(background, after, limit)
			must(t, err)
			if limit > 0 && len(states) > limit || !end && len(states) == 0 {
				t.Fatalf("a page of %d chunks, limit %d, end %t", len(states), limit, end)
			}
			if all = append(all, states...); len(states) > 0 {
				after = states[len(states)-1].ID
			}
		}
		equal(t, "the scan, and the states by id", fmt.Sprintf("%+v", all), fmt.Sprintf("%+v", known))
	}
}
