package semantic

import (
	"context"
	"errors"
	"testing"

	"github.com/inos-mesh/inos"
)

// From an account with AccountEntriesMax entries of less than two days nothing more is taken: by no transfer and no pledge. It still receives, and what
// was pledged comes back.
func TestFullAccount(t *testing.T) {
	s, m := openStore(t), NewMemory()
	for name, x := range map[string]struct {
		memory inos.Semantic
		fill   func(account string, entries int, at inos.Micros)
	}{
		"store": {s, func(account string, entries int, at inos.Micros) {
			const rows = `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
				INSERT INTO entries (seq, event_id, account, amount, at_us, reason) SELECT -i - (SELECT count(*) FROM entries), 'e' || i, ?3, 0, ?2, 'r' FROM n`
			if _, err := s.db.Writer.ExecContext(context.Background(), rows, entries, int64(at), account); err != nil {
				t.Fatal(err)
			}
		}},
		"twin": {m, func(account string, entries int, at inos.Micros) {
			old := make([]inos.LedgerEntry, entries, entries+64)
			for i := range old {
				old[i] = inos.LedgerEntry{EventID: "filled", Account: account, At: at, Reason: "r"}
			}
			m.identity.entries = append(old, m.identity.entries...)
		}},
	} {
		t.Run(name, func(t *testing.T) { fullAccount(t, x.memory, x.fill) })
	}
}

func fullAccount(t *testing.T, m inos.Semantic, fill func(account string, entries int, at inos.Micros)) {
	ctx, now := context.Background(), inos.Day
	want := func(what string, err error, code inos.Code) {
		t.Helper()
		if inos.CodeOf(err) != code {
			t.Fatalf("%s: %v, want code %d", what, err, code)
		}
	}
	event := 0
	move := func(amount int64, now inos.Micros) error {
		event++
		_, _, err := m.Transfer(ctx, string(rune('a'+event)), []inos.LedgerEntry{
			{Account: "user:ann", Amount: -amount, Reason: "r"}, {Account: "grant", Amount: amount, Reason: "r"},
		}, true, now)
		return err
	}
	commit := func(n uint64, path inos.Path, pledge int64) error {
		f, rows := smallFile(n)
		f.Owner, f.Path, f.Pledged = "ann", path, pledge
		_, _, err := m.CommitFile(ctx, inos.UploadID("u"+string(path)), f, rows, inos.Quota{}, inos.RequestKey{Subject: "ann", ID: string(path), EventType: "put"}, now)
		return err
	}
	_, err := m.AdmitNode(ctx, inos.Member{ID: smallNode, Tier: inos.TierCold}, "", 1)
	want("a node", err, 0)
	_, _, err = m.PutUser(ctx, inos.User{Name: "ann"}, true, 1000, inos.RequestKey{Subject: "root", ID: "u", EventType: "put"}, now)
	want("user", err, 0)
	want("a pledge", commit(1, "/a", 10), 0)
	fill("user:ann", AccountEntriesMax-4, now) // two there are
	want("the last but one", move(1, now), 0)
	err = move(1, now)
	want("one more", err, 0)
	err = move(1, now+inos.Hour)
	want("full", err, inos.CodeRateLimited)
	var e *inos.Error
	if !errors.As(err, &e) || e.RetryAfter != 2*inos.Day-inos.Hour {
		t.Fatalf("retry after %d", e.RetryAfter)
	}
	want("a pledge", commit(2, "/b", 10), inos.CodeRateLimited)
	want("no pledge", commit(2, "/b", 0), 0)
	fill("escrow:ann", AccountEntriesMax, now)
	want("into it", move(-5, now), 0)
	_, _, err = m.DeleteFile(ctx, "ann", "/a", inos.RequestKey{Subject: "ann", ID: "d", EventType: "delete"}, now)
	want("a pledge comes back", err, 0)
	want("a moment too early", move(1, now+2*inos.Day-1), inos.CodeRateLimited)
	want("two days later", move(1, now+2*inos.Day), 0)
}
