package episodic

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/datatest"
	"pgregory.net/rapid"
)

// TestTwins runs random calls on Store and Memory side by side; at the end of each run the store's counters are
// compared with a count of its rows.
func TestTwins(t *testing.T) {
	datatest.EpisodicTwins(t, func(r *rapid.T, b datatest.EpisodicBounds) (inos.Episodic, inos.Episodic, func()) {
		dir, err := os.MkdirTemp(t.TempDir(), "run")
		if err != nil {
			r.Fatal(err)
		}
		o := Options{RowsMax: b.RowsMax, AgeMax: b.AgeMax}
		s, err := Open(filepath.Join(dir, "episodic.db"), o)
		if err != nil {
			r.Fatal(err)
		}
		return s, NewMemory(o), func() {
			counted(r, s)
			if err := s.Close(); err != nil {
				r.Fatal(err)
			}
		}
	})
}

// counted compares the counters with the rows.
func counted(t rapid.TB, s *Store) {
	t.Helper()
	var events, spans, seq int64
	const query = `SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM spans), (SELECT coalesce(max(seq), 0) FROM events)`
	if err := s.db.Reader.QueryRowContext(context.Background(), query).Scan(&events, &spans, &seq); err != nil {
		t.Fatal(err)
	}
	var kept history
	if err := s.db.Reader.QueryRowContext(context.Background(), text[selectHistory]).Scan(&kept.nextSeq, &kept.events, &kept.spans); err != nil {
		t.Fatal(err)
	}
	if kept != s.now || kept.events != events || kept.spans != spans || kept.nextSeq <= seq {
		t.Fatalf("kept %+v and %+v in memory, counted %d events up to %d and %d spans", kept, s.now, events, seq, spans)
	}
}
