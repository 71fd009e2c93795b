package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

// repairCases are the cases of the repair queue and its leases.
var repairCases = []semanticCase{
	{"repairs are claimed by fewest live, age and id", semanticRepairOrder},
	{"a queued repair is raised only by fewer live", semanticRepairRaise},
	{"a lease is over when its time is, and its number never comes back", semanticLeases},
	{"a settled repair adds its nodes and leaves the queue", semanticSettleRepair},
	{"a repair that failed waits for its retry", semanticRetry},
	{"a forgotten chunk leaves the queue", semanticRepairForgotten},
	{"the queue is longer than a page", semanticManyRepairs},
}

// stageLoose stages data chunks that only an upload holds, and returns their ids.
func stageLoose(t testing.TB, m inos.Semantic, from, n int) (ids []inos.ChunkID) {
	t.Helper()
	rows := make([]inos.ChunkRow, n)
	for i := range rows {
		rows[i] = dataRow(from + i)
		ids = append(ids, rows[i].Entry.ChunkID)
	}
	if err := m.StageChunks(background, "loose", "ann", rows, 1); err != nil {
		t.Fatal(err)
	}
	return ids
}

func want(t testing.TB, m inos.Semantic, now inos.Micros, added int, wants ...inos.RepairWant) {
	t.Helper()
	n, err := m.WantRepairs(background, wants, now)
	if err != nil {
		t.Fatal(err)
	}
	if n != added {
		t.Fatalf("added %d repairs, want %d", n, added)
	}
}

func claim(t testing.TB, m inos.Semantic, now, until inos.Micros, limit int) []inos.Repair {
	t.Helper()
	claimed, err := m.ClaimRepairs(background, "switchboard", now, until, limit)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

// briefRepairs names repairs by the numbers of their chunks.
func briefRepairs(ids []inos.ChunkID, repairs []inos.Repair) (s string) {
	for _, r := range repairs {
		for i, id := range ids {
			if r.ID == id {
				s += fmt.Sprintf(" %d:%d", i, r.Live)
			}
		}
	}
	return s
}

func wantQueue(t testing.TB, m inos.Semantic, length int) []inos.Repair {
	t.Helper()
	repairs, total, err := m.ListRepairs(background, 0)
	if err != nil {
		t.Fatal(err)
	}
	if int(total) != length || len(repairs) != min(length, 1000) {
		t.Fatalf("a queue of %d, %d listed, want %d", total, len(repairs), length)
	}
	return repairs
}

func semanticRepairOrder(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 6) // their ids do not grow with their numbers
	wantQueue(t, m, 0)
	equal(t, "claimed of nothing", len(claim(t, m, 1, 2, 0)), 0)
	want(t, m, 100, 1, inos.RepairWant{ID: ids[0], Reason: "late", Live: 1})
	want(t, m, 50, 4,
		inos.RepairWant{ID: ids[1], Reason: "early", Live: 1}, inos.RepairWant{ID: ids[2], Live: 0},
		inos.RepairWant{ID: inos.ChunkID{9}, Live: 0}, inos.RepairWant{ID: ids[3], Live: 2}, inos.RepairWant{ID: ids[3], Live: 2},
		inos.RepairWant{ID: ids[4], Live: 2})
	order := " 2:0 1:1 0:1 3:2 4:2"
	if string(ids[4][:]) < string(ids[3][:]) {
		order = " 2:0 1:1 0:1 4:2 3:2"
	}
	equal(t, "listed", briefRepairs(ids, wantQueue(t, m, 5)), order)
	// The one that was added later than now is not due.
	first := claim(t, m, 60, 1000, 2)
	equal(t, "claimed", briefRepairs(ids, first), " 2:0 1:1")
	equal(t, "its first", fmt.Sprintf("%+v", first[0]), fmt.Sprintf("%+v", inos.Repair{
		RepairWant: inos.RepairWant{ID: ids[2]}, AddedAt: 50, NotBefore: 50, Lease: first[0].Lease, LeaseUntil: 1000, Holder: "switchboard",
	}))
	equal(t, "claimed next", len(claim(t, m, 60, 1000, 0)), 2)
	equal(t, "claimed when it is due", briefRepairs(ids, claim(t, m, 100, 1000, 0)), " 0:1")
	equal(t, "claimed at last", len(claim(t, m, 999, 1001, 0)), 0)
	equal(t, "listed, leased ones too", briefRepairs(ids, wantQueue(t, m, 5)), order)
	_, err := m.ClaimRepairs(background, "", 1, 2, 0)
	wantCode(t, err, inos.CodeBadRequest)
	_, err = m.ClaimRepairs(background, "s", 2, 2, 0)
	wantCode(t, err, inos.CodeBadRequest)
	_, err = m.WantRepairs(background, make([]inos.RepairWant, 5000), 1)
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticRepairRaise(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 1)
	want(t, m, 10, 1, inos.RepairWant{ID: ids[0], Reason: "short at put", Live: 2})
	r := claim(t, m, 10, 100, 1)[0]
	must(t, m.SettleRepair(background, r.ID, r.Lease, nil, 500, 20)) // to be tried again at 500
	want(t, m, 30, 0, inos.RepairWant{ID: ids[0], Reason: "as many", Live: 2}, inos.RepairWant{ID: ids[0], Reason: "more", Live: 3})
	expect := inos.Repair{RepairWant: inos.RepairWant{ID: ids[0], Reason: "short at put", Live: 2}, AddedAt: 10, NotBefore: 500, Tries: 1}
	equal(t, "not raised", fmt.Sprintf("%+v", wantQueue(t, m, 1)[0]), fmt.Sprintf("%+v", expect))
	want(t, m, 40, 0, inos.RepairWant{ID: ids[0], Reason: "dead node", Live: 1})
	expect.Reason, expect.Live, expect.NotBefore = "dead node", 1, 40
	equal(t, "raised", fmt.Sprintf("%+v", wantQueue(t, m, 1)[0]), fmt.Sprintf("%+v", expect))
	// One that is leased keeps its lease.
	r = claim(t, m, 40, 100, 1)[0]
	want(t, m, 50, 0, inos.RepairWant{ID: ids[0], Reason: "another dead node", Live: 0})
	equal(t, "claimed while it is leased", len(claim(t, m, 60, 200, 1)), 0)
	must(t, m.SettleRepair(background, ids[0], r.Lease, nil, 0, 60))
	wantQueue(t, m, 0)
}

func semanticLeases(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 2)
	want(t, m, 1, 2, inos.RepairWant{ID: ids[0], Live: 0}, inos.RepairWant{ID: ids[1], Live: 1})
	last := uint64(0)
	for now := inos.Micros(10); now < 60; now += 10 {
		claimed := claim(t, m, now, now+10, 0)
		equal(t, "claimed when the lease before is over", len(claimed), 2)
		for _, r := range claimed {
			if r.Lease <= last {
				t.Fatalf("lease %d after %d", r.Lease, last)
			}
			last = r.Lease
			wantCode(t, m.SettleRepair(background, r.ID, r.Lease-2, nil, 0, now), inos.CodeConflict)
			wantCode(t, m.SettleRepair(background, r.ID, 0, nil, 0, now), inos.CodeConflict)
			wantCode(t, m.SettleRepair(background, r.ID, r.Lease+100, nil, 0, now), inos.CodeConflict)
			wantCode(t, m.SettleRepair(background, r.ID, r.Lease, nil, 0, now+10), inos.CodeConflict)
		}
		wantCode(t, m.SettleRepair(background, ids[0], claimed[1].Lease, nil, 0, now), inos.CodeConflict)
		equal(t, "claimed while leased", len(claim(t, m, now+9, now+100, 0)), 0)
	}
	wantCode(t, m.SettleRepair(background, inos.ChunkID{8}, last, nil, 0, 50), inos.CodeConflict)
	// After the queue was empty too.
	must(t, m.SettleRepair(background, ids[1], last, nil, 0, 59))
	must(t, m.SettleRepair(background, ids[0], last-1, nil, 0, 59))
	wantQueue(t, m, 0)
	wantCode(t, m.SettleRepair(background, ids[0], last-1, nil, 0, 59), inos.CodeConflict)
	want(t, m, 60, 1, inos.RepairWant{ID: ids[0]})
	if again := claim(t, m, 60, 70, 0)[0].Lease; again <= last {
		t.Fatalf("lease %d after %d", again, last)
	}
}

func semanticSettleRepair(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 2)
	stored := dataRow(1).Entry.StoredBytes
	want(t, m, 1, 2, inos.RepairWant{ID: ids[0], Live: 0}, inos.RepairWant{ID: ids[1], Live: 1})
	claimed := claim(t, m, 1, 100, 0)
	wantCode(t, m.SettleRepair(background, ids[0], claimed[0].Lease, []inos.NodeID{"a", "stranger"}, 0, 2), inos.CodeNodeUnknown)
	wantCode(t, m.SettleRepair(background, ids[0], claimed[0].Lease+1, []inos.NodeID{"a"}, 0, 2), inos.CodeConflict)
	wantCopies(t, m, ids[0], "node-a*")
	wantQueue(t, m, 2)
	epoch, err := m.DistrustNode(background, "node-a")
	must(t, err)
	must(t, m.SettleRepair(background, ids[0], claimed[0].Lease, []inos.NodeID{"b", "a", "b", "node-a"}, 0, 2))
	wantCopies(t, m, ids[0], "a* b* node-a*")
	wantQueue(t, m, 1)
	got := members(t, m)
	equal(t, "epoch", got["node-a"].Epoch, epoch)
	equal(t, "copies of b", got["b"].Copies, 1)
	equal(t, "placed bytes of b", got["b"].PlacedBytes, stored)
	equal(t, "copies of the node that held it", got["node-a"].Copies, 2)
	// A chunk on its way out takes none.
	_, err = m.AbortUpload(background, "loose")
	must(t, err)
	_, err = m.CondemnChunks(background, 0)
	must(t, err)
	must(t, m.SettleRepair(background, ids[1], claimed[1].Lease, []inos.NodeID{"b"}, 0, 2))
	wantCopies(t, m, ids[1], "node-a")
	wantQueue(t, m, 0)
}

func semanticRetry(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 1)
	want(t, m, 1, 1, inos.RepairWant{ID: ids[0], Reason: "why", Live: 1})
	for try := range uint32(3) {
		now := inos.Micros(100 * (try + 1))
		r := claim(t, m, now, now+10, 1)[0]
		equal(t, "tries", r.Tries, try)
		equal(t, "reason", r.Reason, "why")
		must(t, m.SettleRepair(background, ids[0], r.Lease, []inos.NodeID{"a"}, now+100, now))
		wantCopies(t, m, ids[0], "a* node-a*") // what was copied counts, though the repair goes on
		equal(t, "claimed before its time", len(claim(t, m, now+99, now+200, 1)), 0)
		left := wantQueue(t, m, 1)[0]
		equal(t, "not leased", fmt.Sprintf("%d %d %q", left.Lease, left.LeaseUntil, left.Holder), `0 0 ""`)
		equal(t, "due", left.NotBefore, now+100)
	}
}

func semanticRepairForgotten(t *testing.T, m inos.Semantic) {
	ids := stageLoose(t, m, 1, 3)
	want(t, m, 1, 3, inos.RepairWant{ID: ids[0]}, inos.RepairWant{ID: ids[1]}, inos.RepairWant{ID: ids[2]})
	r := claim(t, m, 1, 100, 1)[0]
	_, err := m.AbortUpload(background, "loose")
	must(t, err)
	equal(t, "collected", collect(t, m), 3)
	wantQueue(t, m, 0)
	wantCode(t, m.SettleRepair(background, r.ID, r.Lease, []inos.NodeID{"a"}, 0, 2), inos.CodeConflict)
	want(t, m, 1, 0, inos.RepairWant{ID: ids[0]})
	wantCode(t, m.SettleRepair(background, ids[0], r.Lease, nil, 0, 2), inos.CodeConflict)
}

func semanticManyRepairs(t *testing.T, m inos.Semantic) {
	const n = 2500
	ids := stageLoose(t, m, 1, n)
	wants := make([]inos.RepairWant, n)
	for i, id := range ids {
		wants[i] = inos.RepairWant{ID: id, Live: uint32(i % 3)}
	}
	want(t, m, 1, n, wants...)
	wantQueue(t, m, n)
	live, leases := uint32(0), map[uint64]bool{}
	for _, size := range []int{1024, 1024, 452, 0} { // the bound of one claim
		page := claim(t, m, 1, 100, 0)
		equal(t, "claimed", len(page), size)
		for i, r := range page {
			if leases[r.Lease] {
				t.Fatalf("lease %d was given twice", r.Lease)
			}
			leases[r.Lease] = true
			if r.Live < live {
				t.Fatalf("repair %d of the page has %d live, after one with %d", i, r.Live, live)
			}
			live = r.Live
		}
	}
	wantQueue(t, m, n)
}
