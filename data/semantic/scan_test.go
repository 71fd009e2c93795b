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
		(SELECT count(*) FROM chunks WHERE refs = 0), (SELECT count(*) FROM uploads), (SELECT count(*) FROM copies)`
	scanRefs = `SELECT count(*) FROM chunks c WHERE c.refs <> (SELECT count(*) FROM edges e WHERE e.child = c.chunk_id)
		+ (SELECT count(*) FROM files f WHERE f.manifest_id = c.chunk_id) + (SELECT count(*) FROM pins p WHERE p.chunk_id = c.chunk_id)
		+ (SELECT count(*) FROM superseded s WHERE s.manifest_id = c.chunk_id)`
	scanEntries  = `SELECT entry FROM chunks WHERE roles IN (1, 3)`
	scanDangling = `SELECT (SELECT count(*) FROM edges WHERE child NOT IN (SELECT chunk_id FROM chunks))
		+ (SELECT count(*) FROM pins WHERE chunk_id NOT IN (SELECT chunk_id FROM chunks)) + (SELECT count(*) FROM files WHERE manifest_id NOT IN (SELECT chunk_id FROM chunks))
		+ (SELECT count(*) FROM holdings WHERE chunk_id NOT IN (SELECT chunk_id FROM chunks)) + (SELECT count(*) FROM chunks WHERE refs > 0 AND condemned = 1)
		+ (SELECT count(*) FROM superseded WHERE manifest_id IS NOT NULL AND manifest_id NOT IN (SELECT chunk_id FROM chunks)) + (SELECT count(*) FROM repairs WHERE chunk_id NOT IN (SELECT chunk_id FROM chunks))
		+ (SELECT count(*) FROM copies WHERE node NOT IN (SELECT node FROM members WHERE state < 3))`
	// A path has a record of its highest version, which is its file's or its tombstone's; below it are only lower ones.
	scanRecords = `SELECT (SELECT count(*) FROM files f WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = f.owner AND r.path = f.path AND r.version = f.version))
		+ (SELECT count(*) FROM tombstones f WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = f.owner AND r.path = f.path AND r.version = f.version))
		+ (SELECT count(*) FROM records) - (SELECT count(*) FROM files) - (SELECT count(*) FROM tombstones)
		- (SELECT count(*) FROM users) - (SELECT count(*) FROM devices) - (SELECT count(*) FROM user_groups) - (SELECT count(*) FROM grants)
		+ (SELECT count(*) FROM superseded s WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = s.owner AND r.path = s.path AND r.version > s.version AND r.pending = 1))
		+ (SELECT count(*) FROM record_copies k WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = k.owner AND r.path = k.path AND r.record_id IS NOT NULL))`
	scanRepaired = `SELECT (SELECT repairs FROM totals) <> (SELECT count(*) FROM repairs)`
	scanPlaced   = `SELECT m.node, m.copies, m.placed_bytes, c.entry, c.roles FROM members m LEFT JOIN copies k ON k.node = m.node LEFT JOIN chunks c ON c.chunk_id = k.chunk_id`
	// A fact has a record with its path; a group has members, which only groups have; a used secret is below its session's present one.
	scanIdentity = `SELECT (SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = '' AND r.path = CAST('/users/' || u.name AS BLOB)))
		+ (SELECT count(*) FROM devices d WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = '' AND r.path = CAST('/devices/' || d.user_name || '/' || d.device AS BLOB)))
		+ (SELECT count(*) FROM user_groups g WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = '' AND r.path = CAST('/groups/' || g.name AS BLOB)))
		+ (SELECT count(*) FROM grants g WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.owner = '' AND r.path = CAST('/grants/' || g.grant_id AS BLOB)))
		+ (SELECT count(*) FROM user_groups g WHERE NOT EXISTS (SELECT 1 FROM group_members m WHERE m.name = g.name))
		+ (SELECT count(*) FROM grants WHERE (link IS NULL) <> (grantee NOT LIKE 'link:%'))
		+ (SELECT count(*) FROM sessions s JOIN refreshes r ON r.token_id = s.token_id WHERE r.seq > s.refreshes OR r.hash = s.refresh)`
	// Counters of namespaces and accounts are those of a scan, an owner's escrow holds what its files pledge, and all accounts sum to zero.
	scanNamespaces = `SELECT count(*) FROM namespaces n LEFT JOIN (SELECT owner, count(*) AS files, sum(plain_bytes) AS bytes FROM files GROUP BY owner) f ON f.owner = n.owner
		WHERE n.files <> coalesce(f.files, 0) OR n.plain_bytes <> coalesce(f.bytes, 0)`
	scanUncounted = `SELECT count(*) FROM files f WHERE NOT EXISTS (SELECT 1 FROM namespaces n WHERE n.owner = f.owner)`
	scanAccounts  = `SELECT (SELECT count(*) FROM accounts a WHERE a.balance <> (SELECT coalesce(sum(amount), 0) FROM entries e WHERE e.account = a.account))
		+ (SELECT count(*) FROM entries e WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account = e.account))
		+ (SELECT coalesce(sum(balance), 0) <> 0 FROM accounts) + (SELECT max(entries) < (SELECT coalesce(max(seq), 0) FROM entries) FROM totals)`
	scanIntegrity = `SELECT integrity_check FROM pragma_integrity_check LIMIT 1`
)

// scanned opens a database that nobody has open, compares the maintained numbers with scans and returns the totals.
func scanned(t testing.TB, path string) inos.Totals {
	t.Helper()
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations, Steps: steps})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	var kept, scan inos.Totals
	if err := db.Writer.QueryRowContext(ctx, text[selectTotals]).Scan(&kept.Files, &kept.PlainBytes, &kept.Chunks, &kept.StoredBytes, &kept.Collectable, &kept.Uploads,
		&kept.Copies, &kept.PlacedBytes); err != nil {
		t.Fatal(err)
	}
	if err := db.Writer.QueryRowContext(ctx, scanTotals).Scan(&scan.Files, &scan.PlainBytes, &scan.Chunks, &scan.Collectable, &scan.Uploads, &scan.Copies); err != nil {
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
	scan.PlacedBytes = kept.PlacedBytes // scanMembers compares them, node by node
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
	for what, query := range map[string]string{
		"paths whose record is wrong": scanRecords, "counters of repairs wrong": scanRepaired,
		"facts wrong": scanIdentity, "namespaces with wrong counters": scanNamespaces, "files of nobody's namespace": scanUncounted,
		"accounts wrong": scanAccounts,
	} {
		if err := db.Writer.QueryRowContext(ctx, query).Scan(&wrong); err != nil || wrong != 0 {
			t.Errorf("%d %s (%v)", wrong, what, err)
		}
	}
	scanMembers(t, db)
	var integrity string
	if err := db.Writer.QueryRowContext(ctx, scanIntegrity).Scan(&integrity); err != nil || integrity != "ok" {
		t.Errorf("integrity: %s (%v)", integrity, err)
	}
	return kept
}

// scanMembers compares the members' counters with their copies.
func scanMembers(t testing.TB, db *sqlite.DB) {
	t.Helper()
	rows, err := db.Writer.QueryContext(context.Background(), scanPlaced)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kept, scan := map[string]placed{}, map[string]placed{}
	for rows.Next() {
		var node string
		var p placed
		var raw []byte
		var roles *int64
		if err := rows.Scan(&node, &p.copies, &p.bytes, &raw, &roles); err != nil {
			t.Fatal(err)
		}
		kept[node] = p
		if raw == nil {
			scan[node] = placed{}
			continue
		}
		entry, err := inos.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		s := scan[node]
		scan[node] = placed{s.copies + 1, s.bytes + storedBytes(&entry, *roles)}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for node, p := range kept {
		if scan[node] != p {
			t.Errorf("the counters of %s are %+v, a scan finds %+v", node, p, scan[node])
		}
	}
}
