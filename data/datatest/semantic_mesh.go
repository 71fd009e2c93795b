package datatest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
)

// meshVerbs calls every verb of inos.SemanticMesh with arguments that are in order.
func meshVerbs(m inos.Semantic) map[string]func(context.Context) error {
	ids := []inos.ChunkID{{1}}
	key := inos.RecordKey{Owner: "ann", Path: "/a", Version: 1}
	return map[string]func(context.Context) error{
		"chunk copies":   func(ctx context.Context) error { _, err := m.ChunkCopies(ctx, ids); return err },
		"admit node":     func(ctx context.Context) error { _, err := m.AdmitNode(ctx, memberOf("a"), "", 1); return err },
		"list nodes":     func(ctx context.Context) error { _, _, err := m.ListNodes(ctx, "", 1); return err },
		"set node":       func(ctx context.Context) error { _, err := m.SetNode(ctx, "a", inos.MemberActive, nil); return err },
		"distrust node":  func(ctx context.Context) error { _, err := m.DistrustNode(ctx, "a"); return err },
		"raise orders":   func(ctx context.Context) error { _, err := m.RaiseOrders(ctx, 1); return err },
		"add copies":     func(ctx context.Context) error { _, err := m.AddCopies(ctx, "a", 1, ids, 0); return err },
		"confirm copies": func(ctx context.Context) error { _, err := m.ConfirmCopies(ctx, "a", 1, ids); return err },
		"audit copies":   func(ctx context.Context) error { return m.AuditCopies(ctx, "a", 1, ids, 1) },
		"retire copy":    func(ctx context.Context) error { return m.RetireCopy(ctx, ids[0], 1, "a", []inos.NodeID{"b"}) },
		"chunk states":   func(ctx context.Context) error { _, err := m.ChunkStates(ctx, ids); return err },
		"scan chunks":    func(ctx context.Context) error { _, _, err := m.ScanChunks(ctx, ids[0], 1); return err },
		"want repairs": func(ctx context.Context) error {
			_, err := m.WantRepairs(ctx, []inos.RepairWant{{ID: ids[0]}}, 1)
			return err
		},
		"claim repairs": func(ctx context.Context) error { _, err := m.ClaimRepairs(ctx, "s", 1, 2, 1); return err },
		"settle repair": func(ctx context.Context) error { return m.SettleRepair(ctx, ids[0], 1, nil, 0, 1) },
		"list repairs":  func(ctx context.Context) error { _, _, err := m.ListRepairs(ctx, 1); return err },
		"set replicas": func(ctx context.Context) error {
			_, _, err := m.SetReplicas(ctx, "ann", "/a", 1, 0, 0, keyOf("1"), 1)
			return err
		},
		"pending records": func(ctx context.Context) error { _, err := m.PendingRecords(ctx, key, 1); return err },
		"settle record": func(ctx context.Context) error {
			_, err := m.SettleRecord(ctx, key, ids[0], []inos.NodeID{"a"}, true)
			return err
		},
		"unsettle records": func(ctx context.Context) error { _, err := m.UnsettleRecords(ctx, "a", nil, 1); return err },
		"node records": func(ctx context.Context) error {
			_, err := m.NodeRecords(ctx, "a", inos.RecordKey{}, 1)
			return err
		},
		"unknown records": func(ctx context.Context) error { _, err := m.UnknownRecords(ctx, ids); return err },
		"sight":           func(ctx context.Context) error { return m.Sight(ctx, "a", ids) },
		"sighted":         func(ctx context.Context) error { _, err := m.Sighted(ctx, ids); return err },
		"restore version": func(ctx context.Context) error {
			_, err := m.RestoreVersion(ctx, "u", tombstoneRecord(1), 1)
			return err
		},
		"end restore": func(ctx context.Context) error { return m.EndRestore(ctx, true, 1) },
	}
}

func semanticMeshEnds(t *testing.T, m inos.Semantic) {
	before := fmt.Sprintf("%+v", members(t, m))
	ctx, cancel := context.WithCancel(background)
	cancel()
	for name, verb := range meshVerbs(m) {
		if err := verb(ctx); inos.CodeOf(err) != inos.CodeCanceled {
			t.Errorf("%s with a context that ended: %v", name, err)
		}
	}
	equal(t, "members", fmt.Sprintf("%+v", members(t, m)), before)
	wantTotals(t, m, inos.Totals{})
	must(t, m.Close())
	for name, verb := range meshVerbs(m) {
		if err := verb(background); inos.CodeOf(err) != inos.CodeShuttingDown {
			t.Errorf("%s of a closed memory: %v", name, err)
		}
	}
}

// semanticMeshConcurrent lets callers put, settle, claim and retire at once: no lease is given twice while it holds, and
// what is counted is what is there.
func semanticMeshConcurrent(t *testing.T, m inos.Semantic) {
	const callers, files = 6, 10
	var group sync.WaitGroup
	var mu sync.Mutex // guards leases
	leases := map[uint64]bool{}
	one := func(c, i int) error {
		d := dataRow(100*c + i)
		d.Nodes = []inos.NodeID{"a", "b"}
		root := nodeRow(100*c+i, d)
		path := inos.Path(fmt.Sprintf("/f%d", c))
		f, _, err := m.CommitFile(background, "u", fileOf("ann", string(path), root), []inos.ChunkRow{d, root}, inos.Quota{}, keyOf(fmt.Sprint(c, "-", i)), 1)
		if err != nil {
			return err
		}
		ids := []inos.ChunkID{d.Entry.ChunkID, root.Entry.ChunkID}
		if _, err := m.WantRepairs(background, []inos.RepairWant{{ID: ids[0]}, {ID: ids[1], Live: 1}}, 1); err != nil {
			return err
		}
		if _, err := m.AddCopies(background, "c", 1, ids, 0); err != nil {
			return err
		}
		if err := m.AuditCopies(background, "c", 1, ids, 1); err != nil {
			return err
		}
		claimed, err := m.ClaimRepairs(background, "s", 1, 10, 3)
		if err != nil {
			return err
		}
		for _, r := range claimed {
			mu.Lock()
			twice := leases[r.Lease]
			leases[r.Lease] = true
			mu.Unlock()
			if twice {
				return fmt.Errorf("lease %d was given twice", r.Lease)
			}
			if err := m.SettleRepair(background, r.ID, r.Lease, []inos.NodeID{"node-a"}, 0, 1); err != nil {
				return err
			}
		}
		states, err := m.ChunkStates(background, ids)
		if err != nil || states[0].Wanted != f.ReplicasWanted {
			return fmt.Errorf("states %+v of what a live file refers to: %w", states, err)
		}
		if err := m.AuditCopies(background, "b", 1, ids[:1], 1); err != nil {
			return err
		}
		if err := m.RetireCopy(background, ids[0], states[0].Generation, "a", []inos.NodeID{"b", "c"}); err != nil {
			return err
		}
		_, err = m.SettleRecord(background, keyOfRecord(inos.Record{File: f}), recordID(c), []inos.NodeID{"a"}, true)
		return err
	}
	for c := range callers {
		group.Go(func() {
			for i := range files {
				if err := one(c, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	equal(t, "collected: all but the last version of each path", collect(t, m), callers*2*(files-1))
	got := members(t, m)
	equal(t, "copies of a: the manifests", got["a"].Copies, 0)
	equal(t, "copies of b", got["b"].Copies, callers)
	equal(t, "copies of c", got["c"].Copies, 2*callers)
	equal(t, "pending", briefPending(t, m), "")
}
