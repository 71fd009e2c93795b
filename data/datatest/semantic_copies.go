package datatest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
)

// The cases of who holds which chunk.

// holders returns the nodes that hold each chunk.
func holders(m inos.Semantic, ids []inos.ChunkID) (nodes [][]inos.NodeID, err error) {
	copies, err := m.ChunkCopies(background, ids)
	nodes = make([][]inos.NodeID, len(copies))
	for i := range copies {
		for _, c := range copies[i] {
			nodes[i] = append(nodes[i], c.Node)
		}
	}
	return nodes, err
}

func semanticNodes(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	d.Nodes = []inos.NodeID{"c", "a", "c"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	d.Nodes = []inos.NodeID{"b"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	nodes, err := holders(m, []inos.ChunkID{{1}, d.Entry.ChunkID, d.Entry.ChunkID})
	must(t, err)
	equal(t, "nodes", fmt.Sprint(nodes), "[[] [a b c] [a b c]]")
	_, err = m.AbortUpload(background, "")
	must(t, err)
	_, err = m.CondemnChunks(background, 0) // its copies are ordered to the trash
	must(t, err)
	d.Nodes = []inos.NodeID{"b"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	nodes, err = holders(m, []inos.ChunkID{d.Entry.ChunkID})
	must(t, err)
	equal(t, "nodes of a chunk that came back from the condemned", fmt.Sprint(nodes), "[[b]]")
	_, err = m.AbortUpload(background, "")
	must(t, err)
	collect(t, m)
	d.Nodes = nil
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	nodes, err = holders(m, []inos.ChunkID{d.Entry.ChunkID})
	must(t, err)
	equal(t, "nodes of the chunk's next life", fmt.Sprint(nodes), "[[]]")
}

func semanticNodeChunks(t *testing.T, m inos.Semantic) {
	var want []inos.ChunkID
	var rows []inos.ChunkRow
	for i := range 7 {
		d := dataRow(i)
		d.Nodes = []inos.NodeID{"a", "b"}[:1+i%2]
		rows = append(rows, d)
		want = append(want, d.Entry.ChunkID)
	}
	_, root := commit(t, m, "ann", "/a", "1", 1, rows...)
	list := func(node inos.NodeID, limit int) (all []inos.ChunkID) {
		t.Helper()
		for after, end := (inos.ChunkID{}), false; !end; {
			var ids []inos.ChunkID
			var err error
			ids, end, err = m.NodeChunks(background, node, after, limit)
			must(t, err)
			if limit > 0 && len(ids) > limit || !end && len(ids) == 0 {
				t.Fatalf("a page of %d chunks, limit %d, end %t", len(ids), limit, end)
			}
			if all = append(all, ids...); len(ids) > 0 {
				after = ids[len(ids)-1]
			}
		}
		return all
	}
	byID := func(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(want, byID)
	for _, limit := range []int{0, 1, 3, 7, 100_000} {
		equal(t, "chunks of a", fmt.Sprint(list("a", limit)), fmt.Sprint(want))
	}
	equal(t, "chunks of b", len(list("b", 2)), 3)
	equal(t, "chunks of c", len(list("c", 2)), 0)
	equal(t, "the manifest is on its node", fmt.Sprint(list(root.Nodes[0], 2)), fmt.Sprint([]inos.ChunkID{root.Entry.ChunkID}))
	_, err := m.DropCopies(background, "a", want[:2])
	must(t, err)
	equal(t, "chunks of a that are left", fmt.Sprint(list("a", 2)), fmt.Sprint(want[2:]))
	// What is condemned is not listed.
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("2"), 1)
	must(t, err)
	settleAll(t, m)
	_, err = m.CondemnChunks(background, 0)
	must(t, err)
	equal(t, "the condemned manifest", len(list(root.Nodes[0], 2)), 0)
}

func semanticDropCopies(t *testing.T, m inos.Semantic) {
	d, other := dataRow(1), dataRow(2)
	d.Nodes = []inos.NodeID{"a", "b"}
	id, unknown := d.Entry.ChunkID, inos.ChunkID{9}
	known := d
	known.Known = true
	commit(t, m, "ann", "/a", "1", 1, d, other)
	before, err := m.Totals(background)
	must(t, err)
	drop := func(node inos.NodeID, want int, ids ...inos.ChunkID) {
		t.Helper()
		n, err := m.DropCopies(background, node, ids)
		must(t, err)
		equal(t, "dropped", n, want)
	}
	held := func(want bool, copies uint64) {
		t.Helper()
		entries, err := m.FindChunks(background, "ann", []inos.PlainHash{d.Entry.PlainHash, other.Entry.PlainHash})
		must(t, err)
		equal(t, "the dropped chunk is found", entries[0] != nil, want)
		equal(t, "the other is found", entries[1] != nil, true)
		after, err := m.Totals(background)
		must(t, err)
		equal(t, "copies", after.Copies, copies)
		after.Copies, after.PlacedBytes = before.Copies, before.PlacedBytes
		equal(t, "totals", after, before)
	}
	drop("c", 0, id)
	drop("a", 1, unknown, id, id)
	drop("a", 0, id)
	drop("a", 0)
	held(true, before.Copies-1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{known}, 1))
	nodes, err := holders(m, []inos.ChunkID{id})
	must(t, err)
	equal(t, "a known row brings no node back", fmt.Sprint(nodes), "[[b]]")
	_, err = m.AbortUpload(background, "u")
	must(t, err)
	drop("b", 1, id)
	held(false, before.Copies-2)
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{known}, 1), inos.CodeConflict)
	node := nodeRow(2, d)
	_, _, err = m.CommitFile(background, "u", fileOf("ann", "/b", node), []inos.ChunkRow{known, node}, inos.Quota{}, keyOf("2"), 1)
	wantCode(t, err, inos.CodeConflict)
	held(false, before.Copies-2)
	equal(t, "what a file refers to is not collected", collect(t, m), 0)
	d.Nodes = []inos.NodeID{"b"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d, known}, 1))
	_, err = m.AbortUpload(background, "u")
	must(t, err)
	held(true, before.Copies-1)
	nodes, err = holders(m, []inos.ChunkID{id})
	must(t, err)
	equal(t, "nodes of the chunk written again", fmt.Sprint(nodes), "[[b]]")
	// More than one transaction drops.
	rows := make([]inos.ChunkRow, 2500)
	ids := make([]inos.ChunkID, len(rows))
	for i := range rows {
		rows[i] = dataRow(1000 + i)
		ids[i] = rows[i].Entry.ChunkID
	}
	must(t, m.StageChunks(background, "big", "ann", rows, 1))
	drop("node-a", len(ids), ids...)
}

func semanticUnknown(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	a, b := inos.ChunkID{9}, inos.ChunkID{3}
	unknown, err := m.UnknownChunks(background, []inos.ChunkID{a, d.Entry.ChunkID, b})
	must(t, err)
	equal(t, "unknown", fmt.Sprint(unknown), fmt.Sprint([]inos.ChunkID{a, b}))
}
