package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

var ledgerCases = []semanticCase{
	{"a quota is a precondition of a commit", semanticQuota},
	{"a namespace's counters follow every verb", semanticUsage},
	{"a pledge moves between a user and its escrow", semanticPledge},
	{"a transfer happens once, and whole", semanticTransfer},
	{"an account's entries are paged", semanticEntries},
	{"old entries are folded into one for each account", semanticFold},
	{"restored pledges are in escrow, and nobody owes for them", semanticRestoredPledge},
}

// put commits a file of so many bytes at a path of ann's.
func put(m inos.Semantic, path inos.Path, bytes uint64, pledge int64, quota inos.Quota, key string) (inos.FileInfo, error) {
	d := dataRow(1)
	root := nodeRow(1, d)
	f := fileOf("ann", string(path), root)
	f.PlainBytes, f.Pledged = bytes, pledge
	f, _, err := m.CommitFile(background, inos.UploadID("u"+key), f, []inos.ChunkRow{d, root}, quota, keyOf(key), 5)
	return f, err
}

func usage(t testing.TB, m inos.Semantic, owner inos.Subject) inos.NamespaceUsage {
	t.Helper()
	access, err := m.ReadAccess(background, owner, "public", 1)
	if err != nil {
		t.Fatal(err)
	}
	return access.Owner.Usage
}

func balance(t testing.TB, m inos.Semantic, account string) int64 {
	t.Helper()
	_, _, b, err := m.ListEntries(background, account, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func semanticQuota(t *testing.T, m inos.Semantic) {
	people(t, m)
	q := inos.Quota{PlainBytes: 1000, Files: 2}
	_, err := put(m, "/a", 1001, 0, q, "1")
	wantCode(t, err, inos.CodeQuotaExceeded)
	wantTotals(t, m, inos.Totals{}) // nothing of it is left
	_, err = put(m, "/a", 1000, 0, q, "1")
	must(t, err)
	_, err = put(m, "/b", 1, 0, q, "2")
	wantCode(t, err, inos.CodeQuotaExceeded)
	_, err = put(m, "/a", 1000, 0, q, "3") // the difference counts
	must(t, err)
	_, err = put(m, "/a", 900, 0, q, "4")
	must(t, err)
	_, err = put(m, "/b", 100, 0, q, "5")
	must(t, err)
	_, err = put(m, "/b", 101, 0, q, "6")
	wantCode(t, err, inos.CodeQuotaExceeded)
	_, err = put(m, "/c", 0, 0, q, "7")
	wantCode(t, err, inos.CodeQuotaExceeded) // a third file
	_, err = put(m, "/c", 0, 0, inos.Quota{}, "8")
	must(t, err)
	// Over its quota, a namespace takes what makes it no larger.
	_, err = put(m, "/a", 899, 0, inos.Quota{PlainBytes: 10, Files: 1}, "9")
	must(t, err)
	_, err = put(m, "/a", 900, 0, inos.Quota{PlainBytes: 10, Files: 1}, "10")
	wantCode(t, err, inos.CodeQuotaExceeded)
	f, err := put(m, "/a", 1000, 0, inos.Quota{PlainBytes: 1}, "3") // a key that was used is answered, whatever the quota is now
	must(t, err)
	equal(t, "version", f.Version, 2)
	equal(t, "usage", usage(t, m, "ann"), inos.NamespaceUsage{PlainBytes: 999, Files: 3})
}

func semanticUsage(t *testing.T, m inos.Semantic) {
	people(t, m)
	f1, _ := commit(t, m, "ann", "/a", "1", 1, dataRow(1))
	f2, _ := commit(t, m, "ann", "/b", "2", 2, dataRow(2))
	f3, _ := commit(t, m, "bob", "/a", "3", 3, dataRow(3))
	equal(t, "ann", usage(t, m, "ann"), inos.NamespaceUsage{PlainBytes: f1.PlainBytes + f2.PlainBytes, Files: 2})
	equal(t, "bob", usage(t, m, "bob"), inos.NamespaceUsage{PlainBytes: f3.PlainBytes, Files: 1})
	_, _, err := m.SetReplicas(background, "ann", "/a", 5, 0, 0, keyOf("4"), 1)
	must(t, err)
	equal(t, "after set", usage(t, m, "ann").PlainBytes, f1.PlainBytes+f2.PlainBytes)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("5"), 1)
	must(t, err)
	equal(t, "after delete", usage(t, m, "ann"), inos.NamespaceUsage{PlainBytes: f2.PlainBytes, Files: 1})
	r := tombstoneRecord(9)
	r.File.Path = "/b"
	restore(t, m, r, true)
	equal(t, "after a restored tombstone", usage(t, m, "ann"), inos.NamespaceUsage{})
	file, rows := fileRecord(9)
	restore(t, m, file, true, rows...)
	equal(t, "after a restored file", usage(t, m, "ann"), inos.NamespaceUsage{PlainBytes: file.File.PlainBytes, Files: 1})
	equal(t, "of nobody", usage(t, m, "dan"), inos.NamespaceUsage{})
}

func semanticPledge(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 100)
	accounts := func(what string, user, escrow int64) {
		t.Helper()
		equal(t, what+": user", balance(t, m, "user:ann"), user)
		equal(t, what+": escrow", balance(t, m, "escrow:ann"), escrow)
		equal(t, what+": sum", balance(t, m, "grant")+user+escrow, 0)
	}
	accounts("at first", 100, 0)
	_, err := put(m, "/a", 10, 101, inos.Quota{}, "1")
	wantCode(t, err, inos.CodeCreditsShort)
	wantTotals(t, m, inos.Totals{})
	accounts("short", 100, 0)
	f, err := put(m, "/a", 10, 100, inos.Quota{}, "1")
	must(t, err)
	equal(t, "pledged", f.Pledged, 100)
	accounts("pledged", 0, 100)
	_, err = put(m, "/a", 10, 100, inos.Quota{}, "1")
	must(t, err)
	accounts("the key again", 0, 100)
	_, err = put(m, "/a", 10, 40, inos.Quota{}, "2")
	must(t, err)
	accounts("less", 60, 40)
	f, _, err = m.SetReplicas(background, "ann", "/a", 5, 0, 70, keyOf("3"), 1)
	must(t, err)
	equal(t, "pledged", f.Pledged, 70)
	accounts("more by set", 30, 70)
	_, _, err = m.SetReplicas(background, "ann", "/a", 9, 0, 101, keyOf("4"), 1)
	wantCode(t, err, inos.CodeCreditsShort)
	live, err := m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "the live file", live, f)
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("5"), 77)
	must(t, err)
	accounts("deleted", 100, 0)
	entries, _, _, err := m.ListEntries(background, "escrow:ann", 0, 0)
	must(t, err)
	same(t, "entries", entries[len(entries)-1], inos.LedgerEntry{Seq: 10, EventID: "5", Account: "escrow:ann", Amount: -70, At: 77, Reason: "release"})
	// What a restored version takes the place of gives its pledge back.
	_, err = put(m, "/a", 10, 50, inos.Quota{}, "6")
	must(t, err)
	r, rows := fileRecord(9)
	r.File.Pledged = 80
	restore(t, m, r, true, rows...)
	accounts("restored", 20, 80)
	live, err = m.LookupFile(background, "ann", "/a", inos.FileID{})
	must(t, err)
	equal(t, "restored", live.Pledged, 80)
}

// In whatever order versions come back, the escrow has what the live ones pledge; the rest of what their owner had is not known.
func semanticRestoredPledge(t *testing.T, m inos.Semantic) {
	accounts := func(what string, user, escrow int64) {
		t.Helper()
		equal(t, what+": user", balance(t, m, "user:ann"), user)
		equal(t, what+": escrow", balance(t, m, "escrow:ann"), escrow)
		equal(t, what+": sum", balance(t, m, "grant")+user+escrow, 0)
	}
	version := func(n uint64, pledge int64, restored bool) {
		t.Helper()
		r, rows := fileRecord(n)
		r.File.Pledged = pledge
		restore(t, m, r, restored, rows...)
	}
	version(2, 80, true)
	accounts("a version", -80, 80)
	version(3, 30, true)
	accounts("one that pledges less", -30, 30)
	version(2, 80, false)
	must(t, m.EndRestore(background, false, 6))
	accounts("not the end", -30, 30)
	for range 2 {
		must(t, m.EndRestore(background, true, 7))
		accounts("the end", 0, 30)
	}
	entries, _, _, err := m.ListEntries(background, "grant", 0, 0)
	must(t, err)
	equal(t, "entries", len(entries), 1)
	equal(t, "reason", fmt.Sprint(entries[0].Amount, entries[0].Reason, entries[0].At), "-30restored7")
	_, _, err = m.DeleteFile(background, "ann", "/a", keyOf("5"), 77)
	must(t, err)
	accounts("deleted", 30, 0)
	tomb := tombstoneRecord(9)
	tomb.File.Pledged = 5 // it cannot
	restore(t, m, tomb, true)
	accounts("a tombstone", 30, 0)
}

func semanticFold(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 100) // at 1: grant and ann
	move := func(event string, now inos.Micros, amount int64) bool {
		t.Helper()
		_, repeated, err := m.Transfer(background, event, []inos.LedgerEntry{{Account: "user:ann", Amount: -amount, Reason: "r"}, {Account: "grant", Amount: amount, Reason: "r"}}, false, now)
		must(t, err)
		return repeated
	}
	list := func(account string, after uint64) (s string) {
		t.Helper()
		entries, _, sum, err := m.ListEntries(background, account, after, 0)
		must(t, err)
		for _, e := range entries {
			s += fmt.Sprintf("%d %s %d at %d %s, ", e.Seq, e.EventID, e.Amount, e.At, e.Reason)
		}
		return s + fmt.Sprint(sum)
	}
	fold := func(before inos.Micros, limit, folded, left int) {
		t.Helper()
		got, rest, err := m.FoldEntries(background, before, limit)
		must(t, err)
		equal(t, fmt.Sprintf("fold before %d", before), fmt.Sprint(got, rest), fmt.Sprint(folded, left))
	}
	created := list("user:ann", 0)
	fold(0, 0, 0, 2)
	equal(t, "nothing is old", list("user:ann", 0), created)
	move("e1", 2000, 10)
	move("e2", 3000, 20)
	move("e3", 4000, 30)
	fold(4000, 2, 2, 8) // of the two that are oldest each is one of its account already
	equal(t, "the oldest", list("user:ann", 0), "2  100 at 5 carried forward, 3 e1 -10 at 2000 r, 5 e2 -20 at 3000 r, 7 e3 -30 at 4000 r, 40")
	fold(4000, 0, 4, 4)
	equal(t, "ann", list("user:ann", 0), "2  70 at 3000 carried forward, 7 e3 -30 at 4000 r, 40")
	equal(t, "grant", list("grant", 0), "1  -70 at 3000 carried forward, 8 e3 30 at 4000 r, -40")
	equal(t, "behind", list("user:ann", 2), "7 e3 -30 at 4000 r, 40")
	fold(4000, 0, 0, 4)
	if !move("e3", 4001, 30) {
		t.Error("a transfer that is kept happens again")
	}
	equal(t, "numbers go on", list("user:ann", 7), "40")
	move("e4", 5000, 1)
	equal(t, "numbers go on", list("user:ann", 7), "9 e4 -1 at 5000 r, 39")
	fold(1<<40, 0, 4, 2)
	equal(t, "all", list("user:ann", 0)+" "+list("grant", 0), "2  39 at 5000 carried forward, 39 1  -39 at 5000 carried forward, -39")
	if move("e1", 6000, 39) {
		t.Error("a transfer that was folded is known")
	}
	equal(t, "nothing is left", list("user:ann", 2), "11 e1 -39 at 6000 r, 0")
	fold(1<<40, 0, 2, 2)
	equal(t, "an account of nothing", list("user:ann", 0), "2  0 at 6000 carried forward, 0")
}

func semanticTransfer(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 100)
	user(t, m, "bob", 0)
	move := func(event string, covered bool, entries ...inos.LedgerEntry) ([]inos.LedgerEntry, bool, error) {
		return m.Transfer(background, event, entries, covered, 42)
	}
	from := func(account string, amount int64) inos.LedgerEntry {
		return inos.LedgerEntry{Account: account, Amount: amount, Reason: "r"}
	}
	written, repeated, err := move("e1", true, from("user:ann", -30), from("user:bob", 30))
	must(t, err)
	want := []inos.LedgerEntry{
		{Seq: 3, EventID: "e1", Account: "user:ann", Amount: -30, At: 42, Reason: "r"}, {Seq: 4, EventID: "e1", Account: "user:bob", Amount: 30, At: 42, Reason: "r"},
	}
	same(t, "written", []any{written, repeated}, []any{want, false})
	written, repeated, err = m.Transfer(background, "e1", []inos.LedgerEntry{from("user:ann", -30), from("user:bob", 30)}, true, 43)
	must(t, err)
	same(t, "again", []any{written, repeated}, []any{want, true})
	_, _, err = move("e1", true, from("user:ann", -31), from("user:bob", 31))
	wantCode(t, err, inos.CodeConflict)
	_, _, err = move("e2", true, from("user:ann", -71), from("user:bob", 71))
	wantCode(t, err, inos.CodeCreditsShort)
	_, _, err = move("e2", true, from("user:ann", -70), from("user:dan", 70))
	wantCode(t, err, inos.CodeUserUnknown)
	_, _, err = move("e2", false, from("user:ann", -80), from("user:bob", 80)) // not covered
	must(t, err)
	equal(t, "ann", balance(t, m, "user:ann"), -10)
	_, _, err = move("e3", true, from("grant", -5), from("user:ann", 5)) // what gives may leave it below zero
	must(t, err)
	_, _, err = move("e4", true, from("user:ann", -5), from("user:ann", 5), from("grant", -1), from("user:bob", 1))
	must(t, err) // on balance nothing is taken from ann
	equal(t, "ann", balance(t, m, "user:ann"), -5)
	equal(t, "bob", balance(t, m, "user:bob"), 111)
	equal(t, "grant", balance(t, m, "grant"), -106)
}

func semanticEntries(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 100)
	for i := range 4 {
		_, _, err := m.Transfer(background, fmt.Sprint("e", i), []inos.LedgerEntry{{Account: "user:ann", Amount: -1}, {Account: "grant", Amount: 1}}, true, 1)
		must(t, err)
	}
	page := func(after uint64, limit int) (s string) {
		entries, more, sum, err := m.ListEntries(background, "user:ann", after, limit)
		must(t, err)
		for _, e := range entries {
			s += fmt.Sprint(e.Seq, " ")
		}
		return s + fmt.Sprint(more, " ", sum)
	}
	equal(t, "page", page(0, 2), "2 3 true 96")
	equal(t, "next page", page(3, 2), "5 7 true 96")
	equal(t, "last page", page(7, 2), "9 false 96")
	equal(t, "beyond", page(1<<63, 0), "false 96")
	entries, more, sum, err := m.ListEntries(background, "escrow:dan", 0, 0)
	must(t, err)
	same(t, "an account that nobody has used", []any{entries, more, sum}, []any{[]inos.LedgerEntry(nil), false, 0})
}
