package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"pgregory.net/rapid"
)

var uploadCases = []semanticCase{
	{"an upload is opened once, and found", semanticOpenUpload},
	{"open uploads are bounded for each subject", semanticUploadBounds},
	{"uploads are listed for their subject and owner", semanticListUploads},
	{"slots are filled by what is sent and by what is held", semanticSlots},
	{"a claim finds nothing of other owners", semanticClaimStranger},
	{"a claim without dedup finds only what its upload was sent", semanticClaimBlind},
	{"a slot whose chunk no node holds has to be sent again", semanticClaimLost},
	{"an open upload survives the end of all others", semanticAbortSpares},
	{"a commit ends an upload, and its key finds the file", semanticCommitUpload},
	{"an upload that has expired is named, and its end lets its chunks go", semanticExpire},
	{"arguments of uploads beyond their bounds are refused", semanticUploadArguments},
}

const twoChunks = inos.ChunkBytesMax + 1000

func uploadOf(id, path string, bytes uint64) inos.Upload {
	return inos.Upload{
		ID: inos.UploadID(id), Subject: "ann", Owner: "ann", Path: inos.Path(path), PlainBytes: bytes, FileID: inos.FileID(hash("file", 1)),
		ContentType: "text/plain", Replicas: 2, Sync: 1, Tier: "hot", CreatedAt: 10, ExpiresAt: 100,
	}
}

// slotRow is a data chunk with the plain length of a slot of a file of so many bytes.
func slotRow(n int, u *inos.Upload, index uint64) inos.ChunkRow {
	r := dataRow(n)
	r.Entry.PlainBytes = u.ChunkBytes(index)
	return r
}

func open(t testing.TB, m inos.Semantic, u inos.Upload) inos.Upload {
	t.Helper()
	u, err := m.OpenUpload(background, u, 100, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func semanticOpenUpload(t *testing.T, m inos.Semantic) {
	u := uploadOf("u", "/a", twoChunks)
	equal(t, "opened", open(t, m, u), u)
	again := u
	again.ExpiresAt, again.Replicas = 999, 7
	equal(t, "opened again", open(t, m, again), u)
	for _, other := range []func(*inos.Upload){
		func(u *inos.Upload) { u.Subject = "bob" }, func(u *inos.Upload) { u.Owner = "bob" }, func(u *inos.Upload) { u.Path = "/b" }, func(u *inos.Upload) { u.PlainBytes++ },
	} {
		x := u
		other(&x)
		_, err := m.OpenUpload(background, x, 100, 1<<40)
		wantCode(t, err, inos.CodeConflict)
	}
	must(t, m.StageChunks(background, "put", "ann", nil, 1))
	_, err := m.OpenUpload(background, uploadOf("put", "/a", 1), 100, 1<<40)
	wantCode(t, err, inos.CodeConflict)
	f, err := m.FindUpload(background, "u", 1, keyOf("1"))
	must(t, err)
	equal(t, "found", fmt.Sprintf("%+v", f), fmt.Sprintf("%+v", inos.FoundUpload{Upload: u}))
	for _, id := range []inos.UploadID{"put", "x", ""} {
		_, err = m.FindUpload(background, id, 0, keyOf("1"))
		wantCode(t, err, inos.CodeUploadUnknown)
	}
	wantTotals(t, m, inos.Totals{Uploads: 2})
}

func semanticUploadBounds(t *testing.T, m inos.Semantic) {
	try := func(id, subject string, bytes uint64) error {
		u := uploadOf(id, "/a", bytes)
		u.Subject = inos.Subject(subject)
		_, err := m.OpenUpload(background, u, 2, 1000)
		return err
	}
	must(t, try("1", "ann", 600))
	wantCode(t, try("2", "ann", 401), inos.CodeQuotaExceeded)
	must(t, try("2", "ann", 400))
	wantCode(t, try("3", "ann", 0), inos.CodeQuotaExceeded)
	must(t, try("1", "ann", 600)) // it is open
	must(t, try("3", "bob", 1000))
	_, err := m.AbortUpload(background, "1")
	must(t, err)
	must(t, try("4", "ann", 600))
}

func semanticListUploads(t *testing.T, m inos.Semantic) {
	for i, who := range []struct{ subject, owner string }{{"ann", "ann"}, {"ann", "bob"}, {"bob", "ann"}, {"ann", "ann"}, {"ann", "ann"}} {
		u := uploadOf(fmt.Sprint("u", i), "/a", uint64(i))
		u.Subject, u.Owner = inos.Subject(who.subject), inos.Subject(who.owner)
		open(t, m, u)
	}
	must(t, m.StageChunks(background, "u9", "ann", nil, 1)) // a put's
	var ids string
	after := inos.UploadID("")
	for more := true; more; {
		page, next, err := m.ListUploads(background, "ann", "ann", after, 2)
		must(t, err)
		for _, u := range page {
			ids += string(u.ID) + " "
			after = u.ID
		}
		ids += "| "
		more = next
	}
	equal(t, "listed", ids, "u0 u3 | u4 | ")
}

func slotsOf(t testing.TB, m inos.Semantic, id inos.UploadID) (s string) {
	t.Helper()
	slots, err := m.UploadSlots(background, id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range slots {
		s += fmt.Sprintf("%d:%.4x:%t ", x.Index, x.Entry.ChunkID[:4], x.Described)
	}
	return s
}

func semanticSlots(t *testing.T, m inos.Semantic) {
	u := open(t, m, uploadOf("u", "/a", twoChunks+inos.ChunkBytesMax))
	first, second, last := slotRow(1, &u, 0), slotRow(2, &u, 1), slotRow(3, &u, 2)
	short := func(r inos.ChunkRow) string { return fmt.Sprintf("%.4x", r.Entry.ChunkID[:4]) }
	hashes := []inos.PlainHash{first.Entry.PlainHash, second.Entry.PlainHash, last.Entry.PlainHash}
	claim := func(want ...uint64) {
		t.Helper()
		missing, now, err := m.ClaimSlots(background, "u", 0, hashes, true, 50)
		must(t, err)
		equal(t, "missing", fmt.Sprint(missing), fmt.Sprint(want))
		equal(t, "held", now.Held, 3-uint64(len(want)))
	}
	claim(0, 1, 2)
	must(t, m.FillSlot(background, "u", 1, second, 200, 5))
	claim(0, 2)
	wantCode(t, m.FillSlot(background, "u", 0, last, 200, 5), inos.CodeBadRequest) // too short
	wantCode(t, m.FillSlot(background, "u", 3, last, 200, 5), inos.CodeBadRequest) // behind the end
	wantCode(t, m.FillSlot(background, "x", 0, first, 200, 5), inos.CodeUploadUnknown)
	known := first
	known.Known = true
	wantCode(t, m.FillSlot(background, "u", 0, known, 200, 5), inos.CodeBadRequest)
	// Another file of the owner has the first chunk; an upload of the same owner has the last.
	commit(t, m, "ann", "/b", "1", 1, first)
	v := open(t, m, uploadOf("v", "/v", 1000))
	must(t, m.FillSlot(background, "v", 0, slotRow(3, &v, 0), 1, 5))
	claim()
	equal(t, "slots", slotsOf(t, m, "u"), "0:"+short(first)+":false 1:"+short(second)+":true 2:"+short(last)+":false ")
	f, err := m.FindUpload(background, "u", 1, keyOf("x"))
	must(t, err)
	equal(t, "expires", f.Upload.ExpiresAt, 200)
	equal(t, "held", f.Upload.Held, 3)
	equal(t, "slot", *f.Slot, inos.UploadSlot{Index: 1, Entry: second.Entry, Described: true})
	// What is claimed is pinned.
	_, _, err = m.DeleteFile(background, "ann", "/b", keyOf("2"), 6)
	must(t, err)
	settleAll(t, m)
	_, err = m.AbortUpload(background, "v")
	must(t, err)
	collect(t, m)
	claim()
	// A page of slots.
	slots, err := m.UploadSlots(background, "u", 1, 1)
	must(t, err)
	equal(t, "slots of a page", len(slots), 1)
	equal(t, "first of the page", slots[0].Index, 1)
	// The file has changed: the slot is emptied.
	hashes[1] = inos.PlainHash(hash("plain", 77))
	claim(1)
	must(t, m.EmptySlots(background, "u", []uint64{0, 1}))
	equal(t, "slots", slotsOf(t, m, "u"), "2:"+short(last)+":false ")
	wantCode(t, m.EmptySlots(background, "x", nil), inos.CodeUploadUnknown)
	// A chunk of the right hash and another length is another one.
	missing, _, err := m.ClaimSlots(background, "u", 2, []inos.PlainHash{first.Entry.PlainHash}, true, 0)
	must(t, err)
	equal(t, "missing", fmt.Sprint(missing), "[2]")
}

func semanticClaimStranger(t *testing.T, m inos.Semantic) {
	u := uploadOf("u", "/a", inos.ChunkBytesMax)
	u.Owner = "bob"
	u = open(t, m, u)
	r := slotRow(1, &u, 0)
	commit(t, m, "ann", "/b", "1", 1, r)
	missing, _, err := m.ClaimSlots(background, "u", 0, []inos.PlainHash{r.Entry.PlainHash}, true, 0)
	must(t, err)
	equal(t, "missing", len(missing), 1)
}

// Without dedup a hash fills no slot, whoever holds the chunk; what the upload was sent stays.
func semanticClaimBlind(t *testing.T, m inos.Semantic) {
	u := open(t, m, uploadOf("u", "/a", twoChunks))
	first, second := slotRow(1, &u, 0), slotRow(2, &u, 1)
	commit(t, m, "ann", "/b", "1", 1, first)
	must(t, m.FillSlot(background, "u", 1, second, 0, 5))
	hashes := []inos.PlainHash{first.Entry.PlainHash, second.Entry.PlainHash}
	missing, now, err := m.ClaimSlots(background, "u", 0, hashes, false, 0)
	must(t, err)
	equal(t, "missing", fmt.Sprint(missing), "[0]")
	equal(t, "held", now.Held, 1)
}

func semanticClaimLost(t *testing.T, m inos.Semantic) {
	u := open(t, m, uploadOf("u", "/a", inos.ChunkBytesMax))
	r := slotRow(1, &u, 0)
	must(t, m.FillSlot(background, "u", 0, r, 0, 5))
	_, err := m.DropCopies(background, "node-a", []inos.ChunkID{r.Entry.ChunkID})
	must(t, err)
	missing, now, err := m.ClaimSlots(background, "u", 0, []inos.PlainHash{r.Entry.PlainHash}, true, 0)
	must(t, err)
	equal(t, "missing", len(missing), 1)
	equal(t, "held", now.Held, 0)
	must(t, m.FillSlot(background, "u", 0, r, 0, 5))
	missing, _, err = m.ClaimSlots(background, "u", 0, []inos.PlainHash{r.Entry.PlainHash}, true, 0)
	must(t, err)
	equal(t, "missing", len(missing), 0)
}

func semanticAbortSpares(t *testing.T, m inos.Semantic) {
	u := open(t, m, uploadOf("u", "/a", inos.ChunkBytesMax))
	must(t, m.FillSlot(background, "u", 0, slotRow(1, &u, 0), 0, 5))
	for _, id := range []inos.UploadID{"a", "z"} {
		must(t, m.StageChunks(background, id, "ann", []inos.ChunkRow{dataRow(2)}, 1))
	}
	n, err := m.AbortUpload(background, "")
	must(t, err)
	equal(t, "aborted", n, 2)
	equal(t, "collected", collect(t, m), 1)
	f, err := m.FindUpload(background, "u", 0, keyOf("1"))
	must(t, err)
	equal(t, "held", f.Upload.Held, 1)
	wantTotals(t, m, inos.Totals{Chunks: 1, StoredBytes: slotRow(1, &u, 0).Entry.StoredBytes, Uploads: 1})
}

func semanticCommitUpload(t *testing.T, m inos.Semantic) {
	const chunks = 2500 // more slots than one transaction drops
	u := open(t, m, uploadOf("u", "/a", chunks*inos.ChunkBytesMax))
	r := slotRow(1, &u, 0)
	for i := range uint64(chunks) {
		if i == 0 || i%100 != 0 {
			must(t, m.FillSlot(background, "u", i, r, 0, 5))
		}
	}
	var all []inos.PlainHash
	for range chunks {
		all = append(all, r.Entry.PlainHash)
	}
	missing, _, err := m.ClaimSlots(background, "u", 0, all, true, 0)
	must(t, err)
	equal(t, "missing", len(missing), 0)
	root := nodeRow(1, r)
	key := inos.RequestKey{Subject: "ann", ID: "1", EventType: "uploads:commit:v1:requested"}
	want, _, err := m.CommitFile(background, "u", fileOf("ann", "/a", root), []inos.ChunkRow{root}, inos.Quota{}, key, 9)
	must(t, err)
	f, err := m.FindUpload(background, "u", 0, key)
	must(t, err)
	equal(t, "committed", *f.Committed, want)
	for _, other := range []inos.RequestKey{{}, keyOf("1"), {Subject: "ann", ID: "2", EventType: key.EventType}, {Subject: "bob", ID: "1", EventType: key.EventType}} {
		_, err = m.FindUpload(background, "u", 0, other)
		wantCode(t, err, inos.CodeUploadUnknown)
	}
	_, _, err = m.ClaimSlots(background, "u", 0, nil, true, 0)
	wantCode(t, err, inos.CodeUploadUnknown)
	_, err = m.UploadSlots(background, "u", 0, 0)
	wantCode(t, err, inos.CodeUploadUnknown)
	list, _, err := m.ListUploads(background, "ann", "ann", "", 0)
	must(t, err)
	equal(t, "open", len(list), 0)
	wantTotals(t, m, inos.Totals{Files: 1, PlainBytes: root.Entry.PlainBytes, Chunks: 2, StoredBytes: r.Entry.StoredBytes})
	equal(t, "collected", collect(t, m), 0)
}

func semanticExpire(t *testing.T, m inos.Semantic) {
	for i, expires := range []inos.Micros{300, 100, 200} {
		u := uploadOf(fmt.Sprint("u", i), "/a", inos.ChunkBytesMax)
		u.ExpiresAt = expires
		u = open(t, m, u)
		must(t, m.FillSlot(background, u.ID, 0, slotRow(i, &u, 0), 0, 5))
	}
	must(t, m.StageChunks(background, "put", "ann", nil, 1))
	ids := func(before inos.Micros, limit int) string {
		list, err := m.ExpiredUploads(background, before, limit)
		must(t, err)
		return fmt.Sprint(list)
	}
	equal(t, "expired", ids(100, 0), "[]")
	equal(t, "expired", ids(101, 0), "[u1]")
	equal(t, "expired", ids(1000, 0), "[u1 u2 u0]")
	equal(t, "expired", ids(1000, 2), "[u1 u2]")
	n, err := m.AbortUpload(background, "u1")
	must(t, err)
	equal(t, "aborted", n, 1)
	equal(t, "expired", ids(1000, 0), "[u2 u0]")
	equal(t, "collected", collect(t, m), 1)
}

func semanticUploadArguments(t *testing.T, m inos.Semantic) {
	for _, bad := range []func(*inos.Upload){
		func(u *inos.Upload) { u.ID = "" }, func(u *inos.Upload) { u.Subject = "" }, func(u *inos.Upload) { u.Owner = "" }, func(u *inos.Upload) { u.PlainBytes = 1 << 63 },
		func(u *inos.Upload) { u.ContentType = "\xff" },
	} {
		u := uploadOf("u", "/a", 1)
		bad(&u)
		_, err := m.OpenUpload(background, u, 1, 1<<40)
		wantCode(t, err, inos.CodeBadRequest)
	}
	_, err := m.OpenUpload(background, uploadOf("u", "a/../b", 1), 1, 1<<40)
	wantCode(t, err, inos.CodeBadPath)
	open(t, m, uploadOf("u", "/a", 1))
	for _, n := range []int{2, 4097} {
		_, _, err = m.ClaimSlots(background, "u", 0, make([]inos.PlainHash, n), true, 0)
		wantCode(t, err, inos.CodeBadRequest)
	}
	wantCode(t, m.EmptySlots(background, "u", make([]uint64, 4097)), inos.CodeBadRequest)
}

// The twins' verbs.

func uploadVerbs(w *twins) map[string]func(*rapid.T) {
	ids := rapid.SampledFrom([]inos.UploadID{"u1", "u2", "o1", "o2"})
	some := rapid.Custom(func(t *rapid.T) inos.PlainHash {
		return twinRow(rapid.IntRange(0, twinData-1).Draw(t, "hash")).Entry.PlainHash
	})
	indexes := rapid.Uint64Range(0, 2)
	return map[string]func(*rapid.T){
		"open upload": func(t *rapid.T) {
			w.now++
			u := uploadOf(string(ids.Draw(t, "id")), string(paths.Draw(t, "path")), rapid.SampledFrom([]uint64{0, 1, 3, inos.ChunkBytesMax + 2}).Draw(t, "bytes"))
			u.Subject, u.Owner, u.ExpiresAt = owners.Draw(t, "subject"), owners.Draw(t, "owner"), w.now+inos.Micros(rapid.IntRange(0, 9).Draw(t, "life"))
			w.both(t, fmt.Sprintf("open %s %s", u.ID, u.Path), func(m inos.Semantic) (any, error) { return m.OpenUpload(background, u, 2, 1<<20+2) })
		},
		"claim slots": func(t *rapid.T) {
			id, first, hashes := ids.Draw(t, "id"), indexes.Draw(t, "first"), rapid.SliceOfN(some, 0, 2).Draw(t, "hashes")
			w.both(t, fmt.Sprintf("claim %s from %d", id, first), func(m inos.Semantic) (any, error) {
				missing, u, err := m.ClaimSlots(background, id, first, hashes, true, w.now)
				return []any{missing, u}, err
			})
		},
		"fill slot": func(t *rapid.T) {
			id, index, r := ids.Draw(t, "id"), indexes.Draw(t, "index"), twinRow(numbers.Draw(t, "chunk"))
			r.Nodes = []inos.NodeID{"n1"}
			w.both(t, fmt.Sprintf("fill %d of %s%s", index, id, brief([]inos.ChunkRow{r})), func(m inos.Semantic) (any, error) {
				return nil, m.FillSlot(background, id, index, r, w.now, 1)
			})
		},
		"empty slots": func(t *rapid.T) {
			id, index := ids.Draw(t, "id"), indexes.Draw(t, "index")
			w.both(t, fmt.Sprintf("empty %d of %s", index, id), func(m inos.Semantic) (any, error) { return nil, m.EmptySlots(background, id, []uint64{index}) })
		},
		"uploads": func(t *rapid.T) {
			id, index, subject, owner, key := ids.Draw(t, "id"), indexes.Draw(t, "index"), owners.Draw(t, "subject"), owners.Draw(t, "owner"), keys.Draw(t, "key")
			w.both(t, "find "+string(id), func(m inos.Semantic) (any, error) {
				f, err := m.FindUpload(background, id, index, key)
				if err != nil {
					return nil, err
				}
				return fmt.Sprintf("%+v %v %v", f.Upload, f.Slot, f.Committed), nil
			})
			w.both(t, "slots of "+string(id), func(m inos.Semantic) (any, error) { return m.UploadSlots(background, id, index, 2) })
			w.both(t, "expired uploads", func(m inos.Semantic) (any, error) { return m.ExpiredUploads(background, w.now, 2) })
			w.both(t, "list uploads", func(m inos.Semantic) (any, error) {
				list, more, err := m.ListUploads(background, subject, owner, "o1", 1)
				return []any{list, more}, err
			})
		},
	}
}
