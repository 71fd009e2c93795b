package datatest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
)

// semanticCase is one case of the suite. The memory has the members node-a, a, b and c and nothing else.
type semanticCase struct {
	name string
	run  func(*testing.T, inos.Semantic)
}

// Semantic is the acceptance suite of inos.Semantic. open returns an empty memory; the suite closes it.
func Semantic(t *testing.T, open func(t *testing.T) inos.Semantic) {
	cases := slices.Concat([]semanticCase{
		{"an empty memory knows nothing", semanticEmpty},
		{"a commit is found by path, by id and in lists", semanticCommit},
		{"versions grow over overwriting, deleting and putting again", semanticVersions},
		{"a request key gives the same answer again", semanticKeys},
		{"a key of one verb is refused by the other", semanticKeyVerbs},
		{"pruned keys are forgotten, younger ones are not", semanticPrune},
		{"a list pages bytewise within its prefix", semanticList},
		{"chunks are found by plain hash within one owner", semanticFind},
		{"staging is idempotent", semanticStageTwice},
		{"children must be there before their parent", semanticChildren},
		{"a failing verb leaves nothing", semanticAtomic},
		{"a manifest's edge replaces the upload's pin", semanticPins},
		{"an aborted upload leaves its chunks collectable", semanticAbort},
		{"aborting all uploads takes each once", semanticAbortAll},
		{"deleting a file cascades through its manifests", semanticCascade},
		{"what a live file shares is not collected", semanticShared},
		{"a repeated chunk counts once per parent", semanticRepeatedChild},
		{"a condemned chunk that is claimed as known conflicts", semanticKnownCondemned},
		{"a condemned chunk that is written again escapes", semanticEscape},
		{"a chunk cannot be claimed as known by a stranger", semanticKnownStranger},
		{"contradicting rows of one chunk conflict", semanticContradiction},
		{"a manifest's bytes can be a file's data too", semanticBothRoles},
		{"an upload belongs to one owner", semanticUploadOwner},
		{"nodes of a chunk add up", semanticNodes},
		{"the chunks of a node are listed in order", semanticNodeChunks},
		{"a chunk that no node holds is not found until it is written again", semanticDropCopies},
		{"unknown chunks are named in the order asked", semanticUnknown},
		{"a token is found by the hash of its secret", semanticTokens},
		{"arguments beyond their bounds are refused", semanticBounds},
		{"a context that ended is refused", semanticContext},
		{"verbs run from many goroutines at once", semanticConcurrent},
		{"a closed memory says so", semanticClosed},
	}, memberCases, stateCases, repairCases, recordCases, restoreCases, identityCases, grantCases, ledgerCases, factCases, uploadCases)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := open(t)
			defer func() {
				if err := m.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			admit(t, m, "node-a", "a", "b", "c")
			c.run(t, m)
		})
	}
}

var background = context.Background()

// hash returns 32 bytes that differ for every name and number.
func hash(name string, n int) (h [inos.HashBytes]byte) {
	binary.BigEndian.PutUint32(h[:], uint32(n)*2654435761) // spread as real hashes are
	copy(h[4:20], name)
	binary.BigEndian.PutUint64(h[24:], uint64(n))
	return h
}

func dataRow(n int) inos.ChunkRow {
	return inos.ChunkRow{
		Entry: inos.Entry{
			ChunkID: inos.ChunkID(hash("chunk", n)), PlainHash: inos.PlainHash(hash("plain", n)), Chain: hash("chain", n),
			PlainBytes: 1000 + uint64(n%1000), StoredBytes: 100 + uint64(n%100), Codec: inos.CodecBrotli, Quality: 5, Chunks: 1,
		},
		Nodes: []inos.NodeID{"node-a"},
	}
}

func nodeRow(n int, children ...inos.ChunkRow) inos.ChunkRow {
	r := inos.ChunkRow{
		Entry:    inos.Entry{ChunkID: inos.ChunkID(hash("manifest", n)), PlainHash: inos.PlainHash(hash("node", n))},
		Nodes:    []inos.NodeID{"node-a"},
		Manifest: true,
	}
	for _, c := range children {
		r.Children = append(r.Children, c.Entry.ChunkID)
		r.Entry.PlainBytes += c.Entry.PlainBytes
		r.Entry.StoredBytes += c.Entry.StoredBytes
		r.Entry.Chunks += c.Entry.Chunks
	}
	return r
}

func fileOf(owner, path string, root inos.ChunkRow) inos.FileInfo {
	return inos.FileInfo{
		Owner: inos.Subject(owner), Path: inos.Path(path), FileID: inos.FileID(root.Entry.PlainHash), ManifestID: root.Entry.ChunkID,
		PlainBytes: root.Entry.PlainBytes, StoredBytes: root.Entry.StoredBytes, Chunks: uint64(root.Entry.Chunks),
		ContentType: "text/plain", ReplicasWanted: 3, ReplicasReached: 1,
	}
}

func keyOf(id string) inos.RequestKey {
	return inos.RequestKey{Subject: "ann", ID: id, EventType: "files:put:v1:requested"}
}

// commit puts a file of the given data chunks and returns it and its manifest's row.
func commit(t *testing.T, m inos.Semantic, owner, path, key string, root int, data ...inos.ChunkRow) (inos.FileInfo, inos.ChunkRow) {
	t.Helper()
	node := nodeRow(root, data...)
	f, _, err := m.CommitFile(background, inos.UploadID("upload-"+key), fileOf(owner, path, node), append(data, node), inos.Quota{}, keyOf(key), 5)
	if err != nil {
		t.Fatalf("commit %s: %v", path, err)
	}
	return f, node
}

func wantCode(t *testing.T, err error, code inos.Code) {
	t.Helper()
	if inos.CodeOf(err) != code {
		t.Fatalf("got error %v (%s), want code %s", err, inos.CodeOf(err).Name(), code.Name())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func wantTotals(t *testing.T, m inos.Semantic, want inos.Totals) {
	t.Helper()
	got, err := m.Totals(background)
	must(t, err)
	if want.Copies == 0 { // not asked for
		got.Copies, got.PlacedBytes = 0, 0
	}
	equal(t, "totals", got, want)
}

// collect settles all versions, condemns and forgets until nothing is left to collect and returns how many went.
func collect(t *testing.T, m inos.Semantic) (forgotten int) {
	t.Helper()
	settleAll(t, m)
	for range 100 {
		condemned, err := m.CondemnChunks(background, 7)
		must(t, err)
		if len(condemned) == 0 {
			return forgotten
		}
		n, err := m.ForgetChunks(background, condemned)
		must(t, err)
		equal(t, "forgotten of those condemned", n, len(condemned))
		forgotten += n
	}
	t.Fatal("collecting does not end")
	return 0
}

func semanticEmpty(t *testing.T, m inos.Semantic) {
	wantTotals(t, m, inos.Totals{})
	_, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	_, err = m.LookupFile(background, "ann", "", inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("1"), 1)
	wantCode(t, err, inos.CodeFileNotFound)
	files, more, err := m.ListFiles(background, "ann", "", "", 10)
	must(t, err)
	equal(t, "files", len(files), 0)
	equal(t, "more", more, false)
	condemned, err := m.CondemnChunks(background, 10)
	must(t, err)
	equal(t, "condemned", len(condemned), 0)
	n, err := m.ForgetChunks(background, []inos.ChunkGeneration{{ID: inos.ChunkID{1}, Generation: 1}})
	must(t, err)
	equal(t, "forgotten", n, 0)
	n, err = m.AbortUpload(background, "")
	must(t, err)
	equal(t, "aborted", n, 0)
	n, err = m.AbortUpload(background, "never")
	must(t, err)
	equal(t, "aborted", n, 0)
}

func semanticCommit(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	node := nodeRow(1, d)
	want := fileOf("ann", "/photos/cat.jpg", node)
	f, repeated, err := m.CommitFile(background, "u1", want, []inos.ChunkRow{d, node}, inos.Quota{}, keyOf("1"), 42)
	must(t, err)
	equal(t, "repeated", repeated, false)
	want.Version, want.CreatedAt = 1, 42
	equal(t, "committed", f, want)
	byPath, err := m.LookupFile(background, "ann", "/photos/cat.jpg", inos.FileID{})
	must(t, err)
	equal(t, "by path", byPath, want)
	byID, err := m.LookupFile(background, "ann", "", want.FileID)
	must(t, err)
	equal(t, "by id", byID, want)
	_, err = m.LookupFile(background, "bob", "", want.FileID)
	wantCode(t, err, inos.CodeFileNotFound)
	_, err = m.LookupFile(background, "bob", "/photos/cat.jpg", inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: want.PlainBytes, Chunks: 2, StoredBytes: d.Entry.StoredBytes})
	// The empty file has a root without children.
	empty, _ := commit(t, m, "ann", "/empty", "2", 2)
	equal(t, "chunks of the empty file", empty.Chunks, 0)
	// A root must have a row.
	_, _, err = m.CommitFile(background, "u3", fileOf("ann", "/lost", nodeRow(9)), nil, inos.Quota{}, keyOf("3"), 1)
	wantCode(t, err, inos.CodeConflict)
}

func semanticVersions(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	f, _ := commit(t, m, "ann", "/a", "1", 1, d1)
	equal(t, "first version", f.Version, 1)
	f, _ = commit(t, m, "ann", "/a", "2", 2, d2)
	equal(t, "second version", f.Version, 2)
	equal(t, "collected: the first root and its chunk", collect(t, m), 2)
	v, repeated, err := m.DeleteFile(background, "ann", "/a", keyOf("3"), 9)
	must(t, err)
	equal(t, "tombstone's version", v, 3)
	equal(t, "repeated", repeated, false)
	_, err = m.LookupFile(background, "ann", "/a", inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	_, err = m.LookupFile(background, "ann", "", f.FileID)
	wantCode(t, err, inos.CodeFileNotFound)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("4"), 9)
	wantCode(t, err, inos.CodeFileNotFound)
	wantTotals(t, m, inos.Totals{Chunks: 2, StoredBytes: d2.Entry.StoredBytes})
	settleAll(t, m)
	wantTotals(t, m, inos.Totals{Chunks: 2, StoredBytes: d2.Entry.StoredBytes, Collectable: 1})
	f, _ = commit(t, m, "ann", "/a", "5", 1, d1)
	equal(t, "version after the tombstone", f.Version, 4)
	v, _, err = m.DeleteFile(background, "ann", "/a", keyOf("6"), 9)
	must(t, err)
	equal(t, "version of the second tombstone", v, 5)
	// The same bytes again: nothing becomes collectable.
	collect(t, m)
	commit(t, m, "ann", "/b", "7", 3, d1)
	f, _ = commit(t, m, "ann", "/b", "8", 3, d1)
	equal(t, "version of the same bytes", f.Version, 2)
	equal(t, "collected", collect(t, m), 0)
}

func semanticKeys(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	first, _ := commit(t, m, "ann", "/a", "1", 1, d1)
	node := nodeRow(2, d2)
	must(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{d2}, 1))
	same := fileOf("ann", "/a", node)
	same.FileID = first.FileID // encoded otherwise, it has another manifest
	// The key with another path or body, or of another owner, is refused, and nothing changes.
	before, err := m.Totals(background)
	must(t, err)
	elsewhere, other := same, same
	elsewhere.Path, other.FileID = "/elsewhere", fileOf("ann", "/a", node).FileID
	for _, f := range []inos.FileInfo{elsewhere, other} {
		_, _, err := m.CommitFile(background, "u2", f, []inos.ChunkRow{node}, inos.Quota{}, keyOf("1"), 77)
		wantCode(t, err, inos.CodeConflict)
	}
	foreign := same
	foreign.Owner = "bob"
	_, _, err = m.CommitFile(background, "u3", foreign, []inos.ChunkRow{d2, node}, inos.Quota{}, keyOf("1"), 77)
	wantCode(t, err, inos.CodeConflict)
	wantTotals(t, m, before)
	again, repeated, err := m.CommitFile(background, "u2", same, []inos.ChunkRow{node}, inos.Quota{}, keyOf("1"), 77)
	must(t, err)
	equal(t, "repeated", repeated, true)
	equal(t, "file", again, first)
	// Nothing changed but the pin of the second upload, which is gone.
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: first.PlainBytes, Chunks: 3, StoredBytes: d1.Entry.StoredBytes + d2.Entry.StoredBytes, Collectable: 1})
	// The parts of the key all count.
	for i, key := range []inos.RequestKey{
		{Subject: "bob", ID: "1", EventType: "files:put:v1:requested"},
		{Subject: "ann", ID: "2", EventType: "files:put:v1:requested"},
		{Subject: "ann", ID: "1", EventType: "files:put:v2:requested"},
	} {
		f, repeated, err := m.CommitFile(background, "u", fileOf("ann", "/a", nodeRow(1, d1)), []inos.ChunkRow{d1, nodeRow(1, d1)}, inos.Quota{}, key, 1)
		must(t, err)
		equal(t, "repeated", repeated, false)
		equal(t, "version", f.Version, uint64(i)+2)
	}
	remove := inos.RequestKey{Subject: "ann", ID: "9", EventType: "files:delete:v1:requested"}
	v, _, err := m.DeleteFile(background, "ann", "/a", remove, 1)
	must(t, err)
	v2, repeated, err := m.DeleteFile(background, "ann", "/a", remove, 2)
	must(t, err)
	equal(t, "repeated", repeated, true)
	equal(t, "version", v2, v)
	_, _, err = m.DeleteFile(background, "ann", "/b", remove, 2)
	wantCode(t, err, inos.CodeConflict)
	_, _, err = m.DeleteFile(background, "bob", "/a", remove, 2)
	wantCode(t, err, inos.CodeConflict)
	// A refused verb is not remembered.
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("10"), 2)
	wantCode(t, err, inos.CodeFileNotFound)
	commit(t, m, "ann", "/a", "11", 1, d1)
	_, repeated, err = m.DeleteFile(background, "ann", "/a", keyOf("10"), 2)
	must(t, err)
	equal(t, "repeated", repeated, false)
}

func semanticKeyVerbs(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	commit(t, m, "ann", "/a", "1", 1, d)
	_, _, err := m.DeleteFile(background, "ann", "/a", keyOf("1"), 1)
	wantCode(t, err, inos.CodeConflict)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("2"), 1)
	must(t, err)
	_, _, err = m.CommitFile(background, "u", fileOf("ann", "/a", nodeRow(1, d)), []inos.ChunkRow{d, nodeRow(1, d)}, inos.Quota{}, keyOf("2"), 1)
	wantCode(t, err, inos.CodeConflict)
}

func semanticPrune(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	node := nodeRow(1, d)
	for i := range 5 {
		_, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", node), []inos.ChunkRow{d, node}, inos.Quota{}, keyOf(fmt.Sprint(i)), inos.Micros(i))
		must(t, err)
	}
	n, err := m.PruneReplies(background, 3)
	must(t, err)
	equal(t, "pruned", n, 3)
	_, repeated, err := m.CommitFile(background, "u", fileOf("ann", "/a", node), []inos.ChunkRow{d, node}, inos.Quota{}, keyOf("3"), 9)
	must(t, err)
	equal(t, "a younger key is kept", repeated, true)
	_, repeated, err = m.CommitFile(background, "u", fileOf("ann", "/a", node), []inos.ChunkRow{d, node}, inos.Quota{}, keyOf("2"), 9)
	must(t, err)
	equal(t, "a pruned key is new", repeated, false)
}

func semanticList(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	paths := []string{"/a", "/a/b", "/a b", "/aé", "/b", "/b/\u00ff", "/b/\U0010ffff", "/c%_x", "/c%yx", "/Z"}
	for i, p := range paths {
		commit(t, m, "ann", p, fmt.Sprint(i), 1, d)
	}
	commit(t, m, "bob", "/a/bob", "bob", 1, d)
	for _, c := range []struct{ name, prefix, after, want string }{
		{"all, bytewise", "", "", "/Z,/a,/a b,/a/b,/aé,/b,/b/\u00ff,/b/\U0010ffff,/c%_x,/c%yx"},
		{"prefix", "/a", "", "/a,/a b,/a/b,/aé"},
		{"folder", "/b/", "", "/b/\u00ff,/b/\U0010ffff"},
		{"no wildcard", "/c%_", "", "/c%_x"},
		{"after", "/a", "/a b", "/a/b,/aé"},
		{"after the prefix", "/a", "/b", ""},
		{"after before the prefix", "/b", "/a", "/b,/b/\u00ff,/b/\U0010ffff"},
		{"prefix of nothing", "/x", "", ""},
		{"prefix of the highest bytes", "\xff\xff", "", ""},
	} {
		for _, limit := range []int{1, 2, 100} { // one page, several
			var got []string
			after := c.after
			for more := true; more; {
				var files []inos.FileInfo
				var err error
				files, more, err = m.ListFiles(background, "ann", c.prefix, after, limit)
				must(t, err)
				if more && len(files) != limit || len(files) > limit {
					t.Fatalf("%s: a page of %d files with limit %d", c.name, len(files), limit)
				}
				for _, f := range files {
					got = append(got, string(f.Path))
					after = string(f.Path)
				}
			}
			equal(t, fmt.Sprintf("%s, limit %d", c.name, limit), strings.Join(got, ","), c.want)
		}
	}
}

func semanticFind(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	find := func(owner inos.Subject, rows ...inos.ChunkRow) (got []bool) {
		var hashes []inos.PlainHash
		for _, r := range rows {
			hashes = append(hashes, r.Entry.PlainHash)
		}
		entries, err := m.FindChunks(background, owner, hashes)
		must(t, err)
		equal(t, "answers", len(entries), len(hashes))
		for i, e := range entries {
			if e != nil && *e != rows[i].Entry {
				t.Fatalf("found %+v, want %+v", *e, rows[i].Entry)
			}
			got = append(got, e != nil)
		}
		return got
	}
	equal(t, "before", fmt.Sprint(find("ann", d1)), "[false]")
	must(t, m.StageChunks(background, "u1", "ann", []inos.ChunkRow{d1}, 1))
	equal(t, "staged", fmt.Sprint(find("ann", d2, d1, d1)), "[false true true]")
	equal(t, "another owner", fmt.Sprint(find("bob", d1)), "[false]")
	_, err := m.AbortUpload(background, "u1")
	must(t, err)
	equal(t, "aborted", fmt.Sprint(find("ann", d1)), "[false]")
	_, node := commit(t, m, "ann", "/a", "1", 1, d1)
	equal(t, "committed; a manifest is not data", fmt.Sprint(find("ann", d1, node)), "[true false]")
	// The same plain bytes, stored twice in different forms: the answer is one of them, always the same.
	other := d1
	other.Entry.ChunkID = inos.ChunkID{0: 0, 31: 9}
	must(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{other}, 1))
	entries, err := m.FindChunks(background, "ann", []inos.PlainHash{d1.Entry.PlainHash})
	must(t, err)
	equal(t, "the least id", entries[0].ChunkID, other.Entry.ChunkID)
}

func semanticStageTwice(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	node := nodeRow(1, d1, d2)
	for range 3 {
		must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d1, d2, d1, node}, 1))
		wantTotals(t, m, inos.Totals{Chunks: 3, StoredBytes: d1.Entry.StoredBytes + d2.Entry.StoredBytes, Uploads: 1})
	}
	must(t, m.StageChunks(background, "u", "ann", nil, 1))
	n, err := m.AbortUpload(background, "u")
	must(t, err)
	equal(t, "aborted", n, 1)
	equal(t, "collected", collect(t, m), 3)
	wantTotals(t, m, inos.Totals{})
}

func semanticChildren(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	node := nodeRow(1, d)
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{node}, 1), inos.CodeConflict)
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{node, d}, 1), inos.CodeConflict)
	wantTotals(t, m, inos.Totals{})
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d, node}, 1))
	bad := dataRow(2)
	bad.Children = []inos.ChunkID{d.Entry.ChunkID}
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{bad}, 1), inos.CodeBadRequest)
	self := nodeRow(3)
	self.Children = []inos.ChunkID{self.Entry.ChunkID}
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{self}, 1), inos.CodeBadRequest)
}

func semanticAtomic(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	_, node := commit(t, m, "ann", "/a", "1", 1, d1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d2}, 1))
	before, err := m.Totals(background)
	must(t, err)
	lost := nodeRow(2, dataRow(3))
	for name, rows := range map[string][]inos.ChunkRow{
		"a missing child":        {dataRow(4), d2, node, lost},
		"the root without a row": {dataRow(5), d2},
	} {
		_, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", lost), rows, inos.Quota{}, keyOf("2"), 1)
		wantCode(t, err, inos.CodeConflict)
		after, err := m.Totals(background)
		must(t, err)
		equal(t, name, after, before)
	}
	f, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "version", f.Version, 1)
}

func semanticPins(t *testing.T, m inos.Semantic) {
	d1, d2, d3 := dataRow(1), dataRow(2), dataRow(3)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d1, d2}, 1))
	node := nodeRow(1, d1, d2)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{node}, 1))
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d3}, 1))
	equal(t, "nothing is collectable under a pin", collect(t, m), 0)
	second := nodeRow(2, d3)
	root := nodeRow(3, node, second)
	_, _, err := m.CommitFile(background, "u", fileOf("ann", "/big", root), []inos.ChunkRow{second, root}, inos.Quota{}, keyOf("1"), 1)
	must(t, err)
	equal(t, "nothing is collectable under a file", collect(t, m), 0)
	_, _, err = m.DeleteFile(background, "ann", "/big", keyOf("2"), 1)
	must(t, err)
	equal(t, "all is collected", collect(t, m), 6)
	wantTotals(t, m, inos.Totals{})
}

func semanticAbort(t *testing.T, m inos.Semantic) {
	// More pins than one transaction drops.
	rows := make([]inos.ChunkRow, 2500)
	var stored uint64
	for i := range rows {
		rows[i] = dataRow(i)
		stored += rows[i].Entry.StoredBytes
	}
	must(t, m.StageChunks(background, "big", "ann", rows, 1))
	must(t, m.StageChunks(background, "other", "ann", rows[:1], 1))
	n, err := m.AbortUpload(background, "big")
	must(t, err)
	equal(t, "aborted", n, 1)
	wantTotals(t, m, inos.Totals{Chunks: 2500, StoredBytes: stored, Collectable: 2499, Uploads: 1})
	n, err = m.AbortUpload(background, "big")
	must(t, err)
	equal(t, "aborted again", n, 0)
	// A commit whose upload still pins that many.
	must(t, m.StageChunks(background, "big", "ann", rows, 1))
	root := nodeRow(1, rows[0])
	_, _, err = m.CommitFile(background, "big", fileOf("ann", "/a", root), []inos.ChunkRow{root}, inos.Quota{}, keyOf("1"), 1)
	must(t, err)
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: root.Entry.PlainBytes, Chunks: 2501, StoredBytes: stored, Collectable: 2499, Uploads: 1})
}

func semanticAbortAll(t *testing.T, m inos.Semantic) {
	for i := range 5 {
		must(t, m.StageChunks(background, inos.UploadID(fmt.Sprint("u", i)), "ann", []inos.ChunkRow{dataRow(i), dataRow(99)}, 1))
	}
	n, err := m.AbortUpload(background, "")
	must(t, err)
	equal(t, "aborted", n, 5)
	equal(t, "collected", collect(t, m), 6)
	wantTotals(t, m, inos.Totals{})
}

func semanticCascade(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	leaf := nodeRow(1, d1, d2)
	root := nodeRow(2, leaf)
	_, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", root), []inos.ChunkRow{d1, d2, leaf, root}, inos.Quota{}, keyOf("1"), 1)
	must(t, err)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("2"), 1)
	must(t, err)
	settleAll(t, m)
	for _, want := range []int{1, 1, 2} { // the root, then its child, then the data
		condemned, err := m.CondemnChunks(background, 100)
		must(t, err)
		equal(t, "condemned", len(condemned), want)
		n, err := m.ForgetChunks(background, condemned)
		must(t, err)
		equal(t, "forgotten", n, want)
		n, err = m.ForgetChunks(background, condemned)
		must(t, err)
		equal(t, "forgotten again", n, 0)
	}
	wantTotals(t, m, inos.Totals{})
}

func semanticShared(t *testing.T, m inos.Semantic) {
	d1, d2 := dataRow(1), dataRow(2)
	commit(t, m, "ann", "/a", "1", 1, d1, d2)
	commit(t, m, "bob", "/b", "2", 2, d2)
	_, _, err := m.DeleteFile(background, "ann", "/a", keyOf("3"), 1)
	must(t, err)
	equal(t, "collected", collect(t, m), 2)
	unknown, err := m.UnknownChunks(background, []inos.ChunkID{d1.Entry.ChunkID, d2.Entry.ChunkID})
	must(t, err)
	equal(t, "unknown", fmt.Sprint(unknown), fmt.Sprint([]inos.ChunkID{d1.Entry.ChunkID}))
}

func semanticRepeatedChild(t *testing.T, m inos.Semantic) {
	zeros := dataRow(1)
	children := make([]inos.ChunkRow, inos.ManifestEntriesMax)
	for i := range children {
		children[i] = zeros
	}
	node := nodeRow(1, children...)
	_, _, err := m.CommitFile(background, "u", fileOf("ann", "/zeros", node), []inos.ChunkRow{zeros, node}, inos.Quota{}, keyOf("1"), 1)
	must(t, err)
	_, _, err = m.DeleteFile(background, "ann", "/zeros", keyOf("2"), 1)
	must(t, err)
	equal(t, "collected", collect(t, m), 2)
}

func semanticKnownCondemned(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	known := d
	known.Known = true
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{known}, 1), inos.CodeConflict)
	commit(t, m, "ann", "/a", "1", 1, d)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{known}, 1))
	_, _, err := m.DeleteFile(background, "ann", "/a", keyOf("2"), 1)
	must(t, err)
	equal(t, "only the manifest goes: the claim pins the data", collect(t, m), 1)
	_, err = m.AbortUpload(background, "u")
	must(t, err)
	condemned, err := m.CondemnChunks(background, 10)
	must(t, err)
	equal(t, "condemned", len(condemned), 1)
	wantCode(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{known}, 1), inos.CodeConflict)
	node := nodeRow(2, d)
	wantCode(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{node}, 1), inos.CodeConflict)
	_, _, err = m.CommitFile(background, "u2", fileOf("ann", "/a", node), []inos.ChunkRow{known, node}, inos.Quota{}, keyOf("3"), 1)
	wantCode(t, err, inos.CodeConflict)
	n, err := m.ForgetChunks(background, condemned)
	must(t, err)
	equal(t, "forgotten", n, 1)
	wantCode(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{known}, 1), inos.CodeConflict)
	wantTotals(t, m, inos.Totals{})
}

func semanticEscape(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	_, err := m.AbortUpload(background, "u")
	must(t, err)
	condemned, err := m.CondemnChunks(background, 10)
	must(t, err)
	again, err := m.CondemnChunks(background, 10)
	must(t, err)
	equal(t, "condemned again, at the same generation", fmt.Sprint(again), fmt.Sprint(condemned))
	must(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{d}, 1))
	n, err := m.ForgetChunks(background, condemned)
	must(t, err)
	equal(t, "forgotten", n, 0)
	// Unreferenced once more, the old order still names an old generation.
	_, err = m.AbortUpload(background, "u2")
	must(t, err)
	newer, err := m.CondemnChunks(background, 10)
	must(t, err)
	equal(t, "condemned", len(newer), 1)
	if newer[0].Generation <= condemned[0].Generation {
		t.Fatalf("generation %d after %d", newer[0].Generation, condemned[0].Generation)
	}
	n, err = m.ForgetChunks(background, condemned)
	must(t, err)
	equal(t, "forgotten by the old order", n, 0)
	n, err = m.ForgetChunks(background, newer)
	must(t, err)
	equal(t, "forgotten by the new order", n, 1)
	// A chunk that comes back after it was forgotten has a generation of its own.
	must(t, m.StageChunks(background, "u3", "ann", []inos.ChunkRow{d}, 1))
	_, err = m.AbortUpload(background, "u3")
	must(t, err)
	_, err = m.CondemnChunks(background, 10)
	must(t, err)
	n, err = m.ForgetChunks(background, newer)
	must(t, err)
	equal(t, "forgotten by the order of an earlier life", n, 0)
	// An order that was never given counts nothing, whatever generation it guesses.
	loose := dataRow(2)
	must(t, m.StageChunks(background, "u4", "ann", []inos.ChunkRow{loose}, 1))
	_, err = m.AbortUpload(background, "u4")
	must(t, err)
	var guesses []inos.ChunkGeneration
	for g := range uint64(50) {
		guesses = append(guesses, inos.ChunkGeneration{ID: loose.Entry.ChunkID, Generation: g}, inos.ChunkGeneration{ID: inos.ChunkID{7}, Generation: g})
	}
	n, err = m.ForgetChunks(background, guesses)
	must(t, err)
	equal(t, "forgotten without having been condemned", n, 0)
}

func semanticKnownStranger(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	commit(t, m, "ann", "/a", "1", 1, d)
	known := d
	known.Known = true
	wantCode(t, m.StageChunks(background, "u", "bob", []inos.ChunkRow{known}, 1), inos.CodeConflict)
	must(t, m.StageChunks(background, "u", "bob", []inos.ChunkRow{d}, 1))
	must(t, m.StageChunks(background, "u", "bob", []inos.ChunkRow{known}, 1))
}

func semanticContradiction(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	for _, change := range []func(*inos.Entry){
		func(e *inos.Entry) { e.PlainHash[0]++ },
		func(e *inos.Entry) { e.PlainBytes++ },
		func(e *inos.Entry) { e.StoredBytes++ },
	} {
		lie := d
		change(&lie.Entry)
		wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{lie}, 1), inos.CodeConflict)
	}
	// At another offset the chaining value differs; the first is kept.
	moved := d
	moved.Entry.Chain[0]++
	moved.Entry.Quality++
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{moved}, 1))
	entries, err := m.FindChunks(background, "ann", []inos.PlainHash{d.Entry.PlainHash})
	must(t, err)
	equal(t, "entry", *entries[0], d.Entry)
}

func semanticBothRoles(t *testing.T, m inos.Semantic) {
	for i, dataFirst := range []bool{true, false} {
		d := dataRow(10 * i)
		node := nodeRow(10*i, d)
		asData := inos.ChunkRow{Entry: node.Entry}
		asData.Entry.PlainBytes, asData.Entry.StoredBytes, asData.Entry.Chunks = 160, 90, 1
		rows := []inos.ChunkRow{d, node, asData}
		if dataFirst {
			rows = []inos.ChunkRow{asData, d, node}
		}
		must(t, m.StageChunks(background, "u", "ann", rows, 1))
		must(t, m.StageChunks(background, "u", "ann", rows, 1))
		wantTotals(t, m, inos.Totals{Chunks: 2, StoredBytes: d.Entry.StoredBytes + 90, Uploads: 1})
		entries, err := m.FindChunks(background, "ann", []inos.PlainHash{asData.Entry.PlainHash})
		must(t, err)
		equal(t, "entry", *entries[0], asData.Entry)
		_, err = m.AbortUpload(background, "u")
		must(t, err)
		equal(t, "collected", collect(t, m), 2)
		wantTotals(t, m, inos.Totals{})
	}
}

func semanticUploadOwner(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	node := nodeRow(1, d)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	wantCode(t, m.StageChunks(background, "u", "bob", []inos.ChunkRow{d}, 1), inos.CodeConflict)
	_, _, err := m.CommitFile(background, "u", fileOf("bob", "/b", node), []inos.ChunkRow{d, node}, inos.Quota{}, keyOf("1"), 1)
	wantCode(t, err, inos.CodeConflict)
	wantTotals(t, m, inos.Totals{Chunks: 1, StoredBytes: d.Entry.StoredBytes, Uploads: 1})
}

func semanticTokens(t *testing.T, m inos.Semantic) {
	secret := hash("secret", 1)
	_, err := m.FindToken(background, secret)
	wantCode(t, err, inos.CodeUnauthenticated)
	s := inos.Session{TokenID: "t1", Subject: "ann", Device: "laptop", Capabilities: []string{"files:read:/photos/*", "files:write:/a\nb"}, ExpiresAt: 99}
	must(t, m.PutToken(background, secret, s))
	got, err := m.FindToken(background, secret)
	must(t, err)
	equal(t, "session", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", s))
	// Replaced under another secret: the old one is void.
	s.ExpiresAt, s.Capabilities = 0, nil
	next := hash("secret", 2)
	must(t, m.PutToken(background, next, s))
	_, err = m.FindToken(background, secret)
	wantCode(t, err, inos.CodeUnauthenticated)
	got, err = m.FindToken(background, next)
	must(t, err)
	equal(t, "session", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", s))
	s.TokenID = "t2"
	wantCode(t, m.PutToken(background, next, s), inos.CodeConflict)
	s.TokenID = ""
	wantCode(t, m.PutToken(background, hash("secret", 3), s), inos.CodeBadRequest)
}

func semanticBounds(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	node := nodeRow(1, d)
	long := strings.Repeat("x", 5000)
	rows := []inos.ChunkRow{d, node}
	for name, call := range map[string]func() error{
		"no upload":     func() error { return m.StageChunks(background, "", "ann", rows, 1) },
		"no owner":      func() error { return m.StageChunks(background, "u", "", rows, 1) },
		"a long owner":  func() error { return m.StageChunks(background, "u", inos.Subject(long), rows, 1) },
		"a long upload": func() error { return m.StageChunks(background, inos.UploadID(long), "ann", rows, 1) },
		"too many rows": func() error { return m.StageChunks(background, "u", "ann", make([]inos.ChunkRow, 5000), 1) },
		"a chunk too large": func() error {
			big := d
			big.Entry.PlainBytes = inos.ChunkBytesMax + 1
			return m.StageChunks(background, "u", "ann", []inos.ChunkRow{big}, 1)
		},
		"too many children": func() error {
			big := node
			big.Children = make([]inos.ChunkID, inos.ManifestEntriesMax+1)
			return m.StageChunks(background, "u", "ann", []inos.ChunkRow{big}, 1)
		},
		"no request id": func() error {
			_, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", node), rows, inos.Quota{}, inos.RequestKey{EventType: "x"}, 1)
			return err
		},
		"a file too large": func() error {
			f := fileOf("ann", "/a", node)
			f.PlainBytes = 1 << 63
			_, _, err := m.CommitFile(background, "u", f, rows, inos.Quota{}, keyOf("1"), 1)
			return err
		},
		"too many hashes": func() error {
			_, err := m.FindChunks(background, "ann", make([]inos.PlainHash, 100_000))
			return err
		},
		"too many copies": func() error {
			_, err := m.DropCopies(background, "node-a", make([]inos.ChunkID, 100_000))
			return err
		},
		"copies of no node": func() error {
			_, err := m.DropCopies(background, "", nil)
			return err
		},
		"too many orders": func() error {
			_, err := m.ForgetChunks(background, make([]inos.ChunkGeneration, 100_000))
			return err
		},
	} {
		if code := inos.CodeOf(call()); code != inos.CodeBadRequest {
			t.Errorf("%s: code %s, want bad_request", name, code.Name())
		}
	}
	for _, path := range []string{"", "a", "/a/", "/../a", "/" + long, "/\x00"} {
		_, _, err := m.CommitFile(background, "u", fileOf("ann", path, node), rows, inos.Quota{}, keyOf("1"), 1)
		wantCode(t, err, inos.CodeBadPath)
	}
	wantTotals(t, m, inos.Totals{})
}

func semanticContext(t *testing.T, m inos.Semantic) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	wantCode(t, m.StageChunks(ctx, "u", "ann", []inos.ChunkRow{dataRow(1)}, 1), inos.CodeCanceled)
	_, err := m.Totals(ctx)
	wantCode(t, err, inos.CodeCanceled)
	wantTotals(t, m, inos.Totals{})
}

func semanticConcurrent(t *testing.T, m inos.Semantic) {
	const callers, files = 8, 12
	var group sync.WaitGroup
	fail := make(chan error, callers*files)
	for c := range callers {
		group.Go(func() {
			owner := fmt.Sprint("owner", c%3)
			for i := range files {
				d, shared := dataRow(100*c+i), dataRow(9999)
				node := nodeRow(100*c+i, d, shared)
				upload := inos.UploadID(fmt.Sprintf("u%d-%d", c, i))
				path := fmt.Sprintf("/f%d/%d", c, i)
				if err := m.StageChunks(background, upload, inos.Subject(owner), []inos.ChunkRow{d, shared}, 1); err != nil {
					fail <- err
					return
				}
				if _, _, err := m.CommitFile(background, upload, fileOf(owner, path, node), []inos.ChunkRow{node}, inos.Quota{}, keyOf(path), 1); err != nil {
					fail <- err
					return
				}
				if _, err := m.LookupFile(background, inos.Subject(owner), inos.Path(path), inos.FileID{}); err != nil {
					fail <- fmt.Errorf("a commit that returned is not seen: %w", err)
					return
				}
				if i%2 == 0 {
					if _, _, err := m.DeleteFile(background, inos.Subject(owner), inos.Path(path), keyOf(path+"-"), 1); err != nil {
						fail <- err
						return
					}
				}
				if _, err := m.FindChunks(background, inos.Subject(owner), []inos.PlainHash{d.Entry.PlainHash}); err != nil {
					fail <- err
					return
				}
				if condemned, err := m.CondemnChunks(background, 3); err != nil {
					fail <- err
				} else if _, err := m.ForgetChunks(background, condemned); err != nil {
					fail <- err
				}
			}
		})
	}
	group.Wait()
	close(fail)
	for err := range fail {
		t.Error(err)
	}
	collect(t, m)
	got, err := m.Totals(background)
	must(t, err)
	equal(t, "live files", got.Files, callers*files/2)
	equal(t, "chunks: two of each file, and the shared one", got.Chunks, callers*files+1)
	equal(t, "uploads", got.Uploads, 0)
	equal(t, "collectable", got.Collectable, 0)
}

func semanticClosed(t *testing.T, m inos.Semantic) {
	must(t, m.Close())
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{dataRow(1)}, 1), inos.CodeShuttingDown)
	_, err := m.Totals(background)
	wantCode(t, err, inos.CodeShuttingDown)
	_, err = m.LookupFile(background, "ann", "/a", inos.FileID{})
	wantCode(t, err, inos.CodeShuttingDown)
}
