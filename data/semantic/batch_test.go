package semantic

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
)

// inOneBatch queues verbs in order behind one that waits, so that they share a transaction, and returns their errors.
func inOneBatch(t *testing.T, s *Store, calls ...func() error) []error {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.write(context.Background(), "slow", BatchRowsMax, func(*tx) error { close(entered); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-entered
	errs := make([]error, len(calls))
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
		for len(s.queue) <= i {
			runtime.Gosched() // until it waits
		}
	}
	close(leave)
	group.Wait()
	return errs
}

// TestBatchSeesMembers changes members and uses them in one transaction: each verb sees what those before it have done,
// and nothing of one that was refused.
func TestBatchSeesMembers(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	if err := putSmall(t, s, 1); err != nil {
		t.Fatal(err)
	}
	_, rows := smallFile(1)
	ids := []inos.ChunkID{rows[0].Entry.ChunkID, rows[1].Entry.ChunkID}
	add := func(node inos.NodeID, epoch uint64) func() error {
		return func() error { _, err := s.AddCopies(ctx, node, epoch, ids, 0); return err }
	}
	admit := func(node inos.NodeID) func() error {
		return func() error {
			_, err := s.AdmitNode(ctx, inos.Member{ID: node, Tier: inos.TierCold}, "", 1)
			return err
		}
	}
	distrust := func(node inos.NodeID) func() error {
		return func() error { _, err := s.DistrustNode(ctx, node); return err }
	}
	set := func(node inos.NodeID, state inos.MemberState, copies uint64) func() error {
		return func() error {
			m, err := s.SetNode(ctx, node, state, nil)
			if err == nil && m.Copies != copies {
				t.Errorf("%s has %d copies, want %d", node, m.Copies, copies)
			}
			return err
		}
	}
	// A verb that distrusts and looks again before it is refused: what it saw is undone.
	refused := func() error {
		return s.write(ctx, "refused", 1, func(x *tx) error {
			delete(x.members, "n")
			if err := x.exec(distrustMember, "n"); err != nil {
				return err
			}
			if _, err := x.member("refused", "n"); err != nil {
				return err
			}
			x.place("n", 7, 7)
			return conflict("refused", "after it wrote")
		})
	}
	codes := []inos.Code{inos.CodeNodeUnknown, 0, 0, 0, inos.CodeConflict, 0, 0, inos.CodeConflict, 0, 0, 0, inos.CodeNodeUnknown}
	for i, err := range inOneBatch(t, s,
		add("n", 1), admit("n"), add("n", 1), set("n", inos.MemberDraining, 2),
		refused, add("n", 1),
		distrust("n"), add("n", 1), add("n", 2), set("n", 0, 2),
		set("n", inos.MemberRemoved, 0), add("n", 2)) {
		if inos.CodeOf(err) != codes[i] {
			t.Errorf("verb %d: %v, want code %d", i, err, codes[i])
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	scanned(t, s.db.Path)
}
