package datatest

import (
	"fmt"
	"strings"
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

// recordCases are the cases of the records of versions: which are pending, what they keep, what they make needless.
var recordCases = []semanticCase{
	{"a version is pending until its record is settled in full", semanticPending},
	{"the version before stays until a later one is settled", semanticStays},
	{"versions that were never settled stay together", semanticStayTogether},
	{"a version that is settled late lets go of those below it", semanticSettleLate},
	{"a record sealed twice counts once", semanticSealedTwice},
	{"a settled record that nobody holds is pending again", semanticUnsettle},
	{"a node's records page by owner and path, and those that it lost are unsettled by name", semanticNodeRecords},
	{"pending records page by owner and path", semanticPendingPages},
	{"another number of replicas is another version", semanticSetReplicas},
	{"settling lets go of many versions by and by", semanticSettleMany},
	{"a record of no version that stays is unknown", semanticUnknownRecords},
	{"a record is settled by a node, for a version there was", semanticSettleRefused},
}

func recordID(n int) inos.ChunkID { return inos.ChunkID(hash("sealed", n)) }

func settle(t testing.TB, m inos.Semantic, path string, version uint64, record int, full bool, nodes ...inos.NodeID) string {
	t.Helper()
	needless, err := m.SettleRecord(background, inos.RecordKey{Owner: "ann", Path: inos.Path(path), Version: version}, recordID(record), nodes, full)
	if err != nil {
		t.Fatalf("settle version %d of %s: %v", version, path, err)
	}
	return briefSealed(needless)
}

// briefSealed names records by their numbers.
func briefSealed(records []inos.SealedRecord) (s string) {
	for _, r := range records {
		n := 0
		for n < 2000 && recordID(n) != r.ID {
			n++
		}
		s += fmt.Sprintf(" %d%v", n, r.Nodes)
	}
	return s
}

func pending(t testing.TB, m inos.Semantic) []inos.Record {
	t.Helper()
	records, err := m.PendingRecords(background, inos.RecordKey{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func briefPending(t testing.TB, m inos.Semantic) (s string) {
	t.Helper()
	for _, r := range pending(t, m) {
		s += fmt.Sprintf(" %s%s:%d", r.File.Owner, r.File.Path, r.File.Version)
		if r.Tombstone {
			s += "+"
		}
		if r.RecordID != (inos.ChunkID{}) {
			s += briefSealed([]inos.SealedRecord{{ID: r.RecordID, Nodes: r.Nodes}})
		}
	}
	return s
}

func wantCollectable(t testing.TB, m inos.Semantic, n uint64) {
	t.Helper()
	totals, err := m.Totals(background)
	if err != nil {
		t.Fatal(err)
	}
	if totals.Collectable != n {
		t.Fatalf("%d chunks are collectable, want %d", totals.Collectable, n)
	}
}

func remove(t testing.TB, m inos.Semantic, path, key string) {
	t.Helper()
	if _, _, err := m.DeleteFile(background, "ann", inos.Path(path), keyOf(key), 9); err != nil {
		t.Fatal(err)
	}
}

func semanticPending(t *testing.T, m inos.Semantic) {
	equal(t, "pending of nothing", briefPending(t, m), "")
	f, _ := commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	got := pending(t, m)
	equal(t, "pending", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", []inos.Record{{File: f}}))
	equal(t, "needless", settle(t, m, "/a", 1, 1, false, "b", "a"), "")
	equal(t, "settled, not in full", briefPending(t, m), " ann/a:1 1[a b]")
	equal(t, "needless", settle(t, m, "/a", 1, 1, false, "a"), "")
	equal(t, "what was noted stays", briefPending(t, m), " ann/a:1 1[a b]")
	equal(t, "needless", settle(t, m, "/a", 1, 1, true, "c"), "")
	equal(t, "settled in full", briefPending(t, m), "")
	equal(t, "needless", settle(t, m, "/a", 1, 1, false, "b"), "")
	equal(t, "what was settled in full stays so", briefPending(t, m), "")
	// A tombstone is a version as well.
	remove(t, m, "/a", "2")
	got = pending(t, m)
	want := inos.Record{File: inos.FileInfo{Owner: "ann", Path: "/a", Version: 2, CreatedAt: 9}, Tombstone: true}
	equal(t, "pending", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", []inos.Record{want}))
	equal(t, "needless: the version before", settle(t, m, "/a", 2, 2, true, "a"), " 1[a b c]")
	equal(t, "settled in full", briefPending(t, m), "")
	f, _ = commit(t, m, "ann", "/a", "3", 1, dataRow(1))
	equal(t, "version", f.Version, 3)
	equal(t, "pending", briefPending(t, m), " ann/a:3")
	equal(t, "needless: the tombstone", settle(t, m, "/a", 3, 3, true, "a"), " 2[a]")
}

func semanticStays(t *testing.T, m inos.Semantic) {
	commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	settle(t, m, "/a", 1, 1, true, "a")
	commit(t, m, "ann", "/a", "2", 2, dataRow(2))
	wantCollectable(t, m, 0)
	equal(t, "needless", settle(t, m, "/a", 2, 2, false, "a"), " 1[a]")
	wantCollectable(t, m, 1)
	equal(t, "needless once", settle(t, m, "/a", 2, 2, true, "b"), "")
	remove(t, m, "/a", "3")
	wantCollectable(t, m, 1)
	equal(t, "needless", settle(t, m, "/a", 3, 3, true, "a"), " 2[a b]")
	wantCollectable(t, m, 2)
	equal(t, "collected", collect(t, m), 4)
	// The same content again is referred to by both versions.
	commit(t, m, "ann", "/b", "4", 1, dataRow(1))
	commit(t, m, "ann", "/b", "5", 1, dataRow(1))
	settleAll(t, m)
	wantCollectable(t, m, 0)
	remove(t, m, "/b", "6")
	settleAll(t, m)
	wantCollectable(t, m, 1)
}

func semanticStayTogether(t *testing.T, m inos.Semantic) {
	commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	settle(t, m, "/a", 1, 1, true, "a")
	commit(t, m, "ann", "/a", "2", 2, dataRow(2))
	commit(t, m, "ann", "/a", "3", 3, dataRow(3))
	remove(t, m, "/a", "4")
	commit(t, m, "ann", "/a", "5", 5, dataRow(5))
	equal(t, "pending: the highest", briefPending(t, m), " ann/a:5")
	wantCollectable(t, m, 0) // any of them may have been acknowledged
	equal(t, "needless: what was settled of them", settle(t, m, "/a", 5, 5, true, "a"), " 1[a]")
	wantCollectable(t, m, 3)
	equal(t, "collected", collect(t, m), 6)
}

func semanticSettleLate(t *testing.T, m inos.Semantic) {
	for v := 1; v <= 4; v++ {
		commit(t, m, "ann", "/a", fmt.Sprint(v), v, dataRow(v))
	}
	equal(t, "needless", settle(t, m, "/a", 2, 2, true, "b", "a"), "")
	wantCollectable(t, m, 1) // the first
	equal(t, "pending: the highest still", briefPending(t, m), " ann/a:4")
	equal(t, "needless: it is settled later already", settle(t, m, "/a", 1, 1, true, "c"), " 1[c]")
	equal(t, "needless: nothing is settled later", settle(t, m, "/a", 2, 2, false, "c"), "")
	equal(t, "needless: an earlier seal", settle(t, m, "/a", 2, 22, false, "c"), " 2[a b c]")
	equal(t, "needless", settle(t, m, "/a", 3, 3, false, "a"), " 22[c]")
	wantCollectable(t, m, 2)
	equal(t, "needless", settle(t, m, "/a", 4, 4, true, "a"), " 3[a]")
	wantCollectable(t, m, 3)
	equal(t, "needless: itself", settle(t, m, "/a", 3, 33, true, "a", "b"), " 33[a b]")
	equal(t, "pending", briefPending(t, m), "")
}

func semanticSealedTwice(t *testing.T, m inos.Semantic) {
	commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	settle(t, m, "/a", 1, 1, true, "a", "b")
	equal(t, "needless: the first seal", settle(t, m, "/a", 1, 2, false, "c"), " 1[a b]")
	equal(t, "pending", briefPending(t, m), " ann/a:1 2[c]")
	equal(t, "needless", settle(t, m, "/a", 1, 2, true, "a"), "")
	equal(t, "pending", briefPending(t, m), "")
	equal(t, "needless: the second seal", settle(t, m, "/a", 1, 3, true, "a"), " 2[a c]")
	equal(t, "pending", briefPending(t, m), "")
}

func semanticUnsettle(t *testing.T, m inos.Semantic) {
	for i := range 5 {
		path := fmt.Sprint("/", i)
		commit(t, m, "ann", path, path, i, dataRow(i))
		settle(t, m, path, 1, i, true, "a", "b")
	}
	unsettle := func(node inos.NodeID, limit, want int) {
		t.Helper()
		n, err := m.UnsettleRecords(background, node, nil, limit)
		must(t, err)
		equal(t, "unsettled", n, want)
	}
	unsettle("c", 0, 0)
	unsettle("b", 2, 2)
	equal(t, "pending", briefPending(t, m), " ann/0:1 0[a] ann/1:1 1[a]")
	unsettle("b", 0, 3)
	unsettle("b", 0, 0)
	equal(t, "needless", settle(t, m, "/3", 1, 3, true, "c"), "")
	unsettle("a", 0, 5)
	equal(t, "pending", briefPending(t, m), " ann/0:1 0[] ann/1:1 1[] ann/2:1 2[] ann/3:1 3[c] ann/4:1 4[]")
	equal(t, "needless", settle(t, m, "/4", 1, 9, true, "c"), " 4[]")
	// What is pending because of another version has no record that a node could lose.
	commit(t, m, "ann", "/3", "more", 9, dataRow(9))
	unsettle("c", 0, 1)
	equal(t, "pending", briefPending(t, m), " ann/0:1 0[] ann/1:1 1[] ann/2:1 2[] ann/3:2 ann/4:1 9[]")
	_, err := m.UnsettleRecords(background, "", nil, 0)
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticNodeRecords(t *testing.T, m inos.Semantic) {
	for i := range 5 {
		path := fmt.Sprint("/", i)
		commit(t, m, "ann", path, path, i, dataRow(i))
		settle(t, m, path, 1, i, true, "a", "b")
	}
	commit(t, m, "bob", "/0", "bob", 5, dataRow(5))
	_, err := m.SettleRecord(background, inos.RecordKey{Owner: "bob", Path: "/0", Version: 1}, recordID(5), []inos.NodeID{"b"}, true)
	must(t, err)
	commit(t, m, "ann", "/1", "again", 6, dataRow(6)) // the record of the version before is not the path's any more
	held := func(node inos.NodeID, want string) {
		t.Helper()
		for _, limit := range []int{1, 2, 0, 1 << 20} {
			got := ""
			for after := (inos.RecordKey{}); ; {
				page, err := m.NodeRecords(background, node, after, limit)
				must(t, err)
				if len(page) == 0 {
					break
				}
				if limit > 0 && len(page) > limit {
					t.Fatalf("a page of %d records, limit %d", len(page), limit)
				}
				for _, h := range page {
					after = h.Key
					got += fmt.Sprintf(" %s%s:%d %s", h.Key.Owner, h.Key.Path, h.Key.Version, strings.Trim(briefSealed([]inos.SealedRecord{{ID: h.ID}}), " []"))
				}
			}
			equal(t, fmt.Sprint("held by ", node, ", limit ", limit), got, want)
		}
	}
	lost := func(node inos.NodeID, limit, want int, records ...int) {
		t.Helper()
		var ids []inos.ChunkID
		for _, n := range records {
			ids = append(ids, recordID(n))
		}
		n, err := m.UnsettleRecords(background, node, ids, limit)
		must(t, err)
		equal(t, "unsettled", n, want)
	}
	held("a", " ann/0:1 0 ann/2:1 2 ann/3:1 3 ann/4:1 4")
	held("b", " ann/0:1 0 ann/2:1 2 ann/3:1 3 ann/4:1 4 bob/0:1 5")
	held("c", "")
	equal(t, "pending", briefPending(t, m), " ann/1:2")
	lost("c", 0, 0, 2)
	lost("b", 0, 0, 1, 9) // of no version that is the highest of its path
	lost("b", 1, 1, 4, 5)
	lost("b", 0, 1, 5, 5, 4)
	lost("a", 0, 1, 2)
	held("a", " ann/0:1 0 ann/3:1 3 ann/4:1 4")
	held("b", " ann/0:1 0 ann/2:1 2 ann/3:1 3")
	equal(t, "pending", briefPending(t, m), " ann/1:2 ann/2:1 2[b] ann/4:1 4[a] bob/0:1 5[]")
	equal(t, "needless", settle(t, m, "/4", 1, 4, true, "a", "c"), "")
	held("c", " ann/4:1 4")
	_, err = m.UnsettleRecords(background, "a", make([]inos.ChunkID, 5000), 0)
	wantCode(t, err, inos.CodeBadRequest)
	_, err = m.NodeRecords(background, "", inos.RecordKey{}, 0)
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticPendingPages(t *testing.T, m inos.Semantic) {
	var want []string
	for i, at := range []string{"ann:/a", "ann:/a b", "ann:/b", "ann\x01:/0", "bob:/", "bob:/a", "bob:/é"} {
		owner, path, _ := strings.Cut(at, ":")
		if path == "/" {
			path = "/A"
		}
		commit(t, m, owner, path, fmt.Sprint(i), i, dataRow(i))
		want = append(want, owner+path)
	}
	for _, limit := range []int{1, 2, 0, 1000} {
		var got []string
		for after := (inos.RecordKey{}); ; {
			page, err := m.PendingRecords(background, after, limit)
			must(t, err)
			if len(page) == 0 {
				break
			}
			if limit > 0 && len(page) > limit {
				t.Fatalf("a page of %d records, limit %d", len(page), limit)
			}
			for _, r := range page {
				got = append(got, string(r.File.Owner)+string(r.File.Path))
				after = keyOfRecord(r)
			}
		}
		equal(t, fmt.Sprint("pending, limit ", limit), fmt.Sprintf("%q", got), fmt.Sprintf("%q", want))
	}
}

func semanticSetReplicas(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	before, root := commit(t, m, "ann", "/a", "1", 1, d)
	settle(t, m, "/a", 1, 1, true, "a")
	totals, err := m.Totals(background)
	must(t, err)
	set := func(path string, replicas uint32, key string) (inos.FileInfo, bool, error) {
		return m.SetReplicas(background, "ann", inos.Path(path), replicas, 0, 0, keyOf(key), 77)
	}
	f, repeated, err := set("/a", 5, "2")
	must(t, err)
	want := before
	want.Version, want.CreatedAt, want.ReplicasWanted = 2, 77, 5
	equal(t, "file", f, want)
	equal(t, "repeated", repeated, false)
	looked, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "looked up", looked, want)
	equal(t, "pending", briefPending(t, m), " ann/a:2")
	wantTotals(t, m, totals)
	f, repeated, err = set("/a", 5, "2")
	must(t, err)
	equal(t, "file of the same key", f, want)
	equal(t, "repeated", repeated, true)
	for name, call := range map[string]func() error{
		"another number":   func() error { _, _, err := set("/a", 6, "2"); return err },
		"another path":     func() error { _, _, err := set("/b", 5, "2"); return err },
		"a commit's key":   func() error { _, _, err := set("/a", 5, "1"); return err },
		"a key of its own": func() error { _, _, err := m.DeleteFile(background, "ann", "/a", keyOf("2"), 1); return err },
		"and in a commit": func() error {
			_, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", root), []inos.ChunkRow{d, root}, inos.Quota{}, keyOf("2"), 1)
			return err
		},
	} {
		if err := call(); inos.CodeOf(err) != inos.CodeConflict {
			t.Errorf("%s: %v, want conflict", name, err)
		}
	}
	for _, version := range []uint64{1, 3} {
		_, _, err = m.SetReplicas(background, "ann", "/a", 4, version, 0, keyOf("8"), 78)
		wantCode(t, err, inos.CodeConflict)
	}
	looked, err = m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "after another version was meant", looked, want)
	_, _, err = set("/none", 5, "9")
	wantCode(t, err, inos.CodeFileNotFound)
	_, _, err = set("/a", 0, "9")
	wantCode(t, err, inos.CodeBadRequest)
	equal(t, "needless", settle(t, m, "/a", 2, 2, true, "a"), " 1[a]")
	wantCollectable(t, m, 0)
	remove(t, m, "/a", "3")
	_, _, err = set("/a", 5, "9")
	wantCode(t, err, inos.CodeFileNotFound)
	equal(t, "collected", collect(t, m), 2)
}

func semanticSettleMany(t *testing.T, m inos.Semantic) {
	// More versions than one SettleRecord lets go of; every second has a record.
	d := dataRow(1)
	const versions = 1030
	for v := 1; v <= versions; v++ {
		if v == 1 {
			commit(t, m, "ann", "/a", "1", 1, d)
		} else if _, _, err := m.SetReplicas(background, "ann", "/a", uint32(v), 0, 0, keyOf(fmt.Sprint(v)), 1); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, m, "/a", "last")
	equal(t, "wanted", stateOf(t, m, d.Entry.ChunkID).Wanted, versions)
	equal(t, "needless", settle(t, m, "/a", versions+1, 1, true, "a"), "")
	equal(t, "pending while versions are left", briefPending(t, m), fmt.Sprintf(" ann/a:%d+ 1[a]", versions+1))
	wantCollectable(t, m, 0)
	equal(t, "needless", settle(t, m, "/a", versions+1, 1, true, "a"), "")
	equal(t, "pending", briefPending(t, m), "")
	equal(t, "collected", collect(t, m), 2)
}

func semanticSettleRefused(t *testing.T, m inos.Semantic) {
	commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	key := inos.RecordKey{Owner: "ann", Path: "/a", Version: 1}
	try := func(key inos.RecordKey, id inos.ChunkID, code inos.Code, nodes ...inos.NodeID) {
		t.Helper()
		_, err := m.SettleRecord(background, key, id, nodes, true)
		wantCode(t, err, code)
	}
	try(key, inos.ChunkID{}, inos.CodeBadRequest, "a")
	try(key, recordID(1), inos.CodeBadRequest)
	try(key, recordID(1), inos.CodeBadRequest, make([]inos.NodeID, 65)...)
	try(key, recordID(1), inos.CodeNodeUnknown, "a", "stranger")
	for _, never := range []inos.RecordKey{
		{Owner: "ann", Path: "/a", Version: 0},
		{Owner: "ann", Path: "/a", Version: 2},
		{Owner: "ann", Path: "/a", Version: 1 << 63},
		{Owner: "bob", Path: "/a", Version: 1},
		{Owner: "ann", Path: "/b", Version: 1},
	} {
		try(never, recordID(1), inos.CodeConflict, "a")
	}
	equal(t, "pending", briefPending(t, m), " ann/a:1")
}

func semanticUnknownRecords(t *testing.T, m inos.Semantic) {
	unknown := func(want string) {
		t.Helper()
		ids, err := m.UnknownRecords(background, []inos.ChunkID{recordID(4), recordID(1), {}, recordID(2), recordID(3), recordID(1)})
		must(t, err)
		var got []inos.SealedRecord
		for _, id := range ids {
			if id != (inos.ChunkID{}) {
				got = append(got, inos.SealedRecord{ID: id})
			}
		}
		equal(t, "unknown", briefSealed(got), want)
	}
	unknown(" 4[] 1[] 2[] 3[] 1[]")
	commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	unknown(" 4[] 1[] 2[] 3[] 1[]")
	settle(t, m, "/a", 1, 1, true, "a")
	unknown(" 4[] 2[] 3[]")
	remove(t, m, "/a", "2")
	unknown(" 4[] 2[] 3[]") // the version before stays
	settle(t, m, "/a", 2, 2, false, "a")
	unknown(" 4[] 1[] 3[] 1[]")
	settle(t, m, "/a", 2, 3, true, "a")
	unknown(" 4[] 1[] 2[] 1[]")
	n, err := m.UnsettleRecords(background, "a", nil, 0)
	must(t, err)
	equal(t, "unsettled", n, 1)
	unknown(" 4[] 1[] 2[] 1[]") // the node that has it may come back
	restore(t, m, tombstoneRecord(4), true)
	unknown(" 1[] 2[] 1[]") // the one before stays until the next is settled
	settle(t, m, "/a", 4, 4, true, "a")
	unknown(" 1[] 2[] 3[] 1[]")
	_, err = m.UnknownRecords(background, make([]inos.ChunkID, 5000))
	wantCode(t, err, inos.CodeBadRequest)
}
