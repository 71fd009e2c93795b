package semantic

import (
	"context"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Counters and reference counts as full scans of the tables find them, to hold the maintained ones against.
const (
	scanTotals = `SELECT (SELECT count(*) FROM files), (SELECT coalesce(sum(plain_bytes), 0) FROM files), (SELECT count(*) FROM chunks),
		(SELECT count(*) FROM chunks WHERE refs = 0), (SELECT count(*) FROM uploads)`
	scanRefs = `SELECT count(*) FROM chunks c WHERE c.refs <> (SELECT count(*) FROM edges e WHERE e.child = c.chunk_id)
		+ (SELECT count(*) FROM files f WHERE f.manifest_id = c.chunk_id) + (SELECT count(*) FROM pins p WHERE p.chunk_id = c.chunk_id)`
	scanEntries  = `SELECT entry FROM chunks WHERE roles IN (1, 3)`
	scanDangling = `SELECT (SELECT count(*) FROM edges WHERE child NOT IN (SELECT chunk_id FROM chunks))
		+ (SELECT count(*) FROM pins WHERE chunk_id NOT IN (SELECT chunk_id FROM chunks)) + (SELECT count(*) FROM files WHERE manifest_id NOT IN (SELECT chunk_id FROM chunks))
		+ (SELECT count(*) FROM holdings WHERE chunk_id NOT IN (SELECT chunk_id FROM chunks)) + (SELECT count(*) FROM chunks WHERE refs > 0 AND condemned = 1)`
	scanIntegrity = `SELECT integrity_check FROM pragma_integrity_check LIMIT 1`
)

// scanned opens a database that nobody has open, compares the maintained numbers with scans and returns the totals.
func scanned(t testing.TB, path string) inos.Totals {
	t.Helper()
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	var kept, scan inos.Totals
	var generation int64
	if err := db.Writer.QueryRowContext(ctx, text[selectTotals]).Scan(&kept.Files, &kept.PlainBytes, &kept.Chunks, &kept.StoredBytes, &kept.Collectable, &kept.Uploads, &generation); err != nil {
		t.Fatal(err)
	}
	if err := db.Writer.QueryRowContext(ctx, scanTotals).Scan(&scan.Files, &scan.PlainBytes, &scan.Chunks, &scan.Collectable, &scan.Uploads); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Writer.QueryContext(ctx, scanEntries)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		e, err := inos.ParseEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		scan.StoredBytes += e.StoredBytes
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if kept != scan {
		t.Errorf("totals %+v, a scan finds %+v", kept, scan)
	}
	var wrong, dangling int
	if err := db.Writer.QueryRowContext(ctx, scanRefs).Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("%d chunks with a wrong count of references (%v)", wrong, err)
	}
	if err := db.Writer.QueryRowContext(ctx, scanDangling).Scan(&dangling); err != nil || dangling > 0 {
		t.Errorf("%d rows that refer to nothing (%v)", dangling, err)
	}
	var integrity string
	if err := db.Writer.QueryRowContext(ctx, scanIntegrity).Scan(&integrity); err != nil || integrity != "ok" {
		t.Errorf("integrity: %s (%v)", integrity, err)
	}
	return kept
}
