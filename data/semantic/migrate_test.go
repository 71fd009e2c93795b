package semantic

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// writeVersion1 makes a map as the first version of the schema had it: two files of one chunk, the second one deleted.
func writeVersion1(t *testing.T, path string) (f, deleted inos.FileInfo, rows []inos.ChunkRow) {
	t.Helper()
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations[:1]})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Writer.ExecContext(context.Background(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	f, rows = smallFile(1)
	deleted, second := smallFile(2)
	f.Version, f.CreatedAt, deleted.Version, deleted.CreatedAt = 4, 44, 9, 99
	for i, r := range append(rows, second[0]) {
		role := roleData
		if r.Manifest {
			role = roleManifest
		}
		refs := []int{1, 1, 0}[i]
		exec(`INSERT INTO chunks (chunk_id, entry, roles, refs, generation, condemned) VALUES ($1, $2, $3, $4, $5, 0)`,
			r.Entry.ChunkID[:], inos.AppendEntry(nil, &r.Entry), role, refs, i+1)
		for _, node := range []string{smallNode, "another"}[:1+i%2] {
			exec(`INSERT INTO copies (chunk_id, node) VALUES ($1, $2)`, r.Entry.ChunkID[:], node)
		}
		if !r.Manifest {
			exec(`INSERT INTO holdings (plain_hash, owner, chunk_id) VALUES ($1, $2, $3)`, r.Entry.PlainHash[:], string(f.Owner), r.Entry.ChunkID[:])
		}
	}
	exec(`INSERT INTO edges (parent, child) VALUES ($1, $2)`, f.ManifestID[:], rows[0].Entry.ChunkID[:])
	exec(`INSERT INTO files VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, string(f.Owner), []byte(f.Path), f.Version, f.FileID[:],
		f.ManifestID[:], f.PlainBytes, f.StoredBytes, f.Chunks, int64(f.CreatedAt), f.ContentType, f.ReplicasWanted, f.ReplicasReached)
	exec(`INSERT INTO tombstones VALUES ($1, $2, $3, $4)`, string(deleted.Owner), []byte(deleted.Path), deleted.Version, int64(deleted.CreatedAt))
	exec(`UPDATE totals SET files = 1, plain_bytes = $1, chunks = 3, stored_bytes = $2, collectable = 1, generation = 3`,
		f.PlainBytes, rows[0].Entry.StoredBytes+second[0].Entry.StoredBytes)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return f, deleted, rows
}

// TestMigrate opens a map from before there were members: who holds a chunk is a member with its counters, and every
// version waits for its record.
func TestMigrate(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "semantic.db")
	f, deleted, rows := writeVersion1(t, path)
	scanned(t, path)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	members, _, err := s.ListNodes(ctx, "", 0)
	if err != nil || len(members) != 2 {
		t.Fatalf("members %+v (%v)", members, err)
	}
	stored := rows[0].Entry.StoredBytes
	for i, want := range []inos.Member{
		{ID: smallNode, State: inos.MemberActive, Epoch: 1, Copies: 3, PlacedBytes: 2 * stored},
		{ID: "another", State: inos.MemberActive, Epoch: 1, Copies: 1},
	} {
		if got := fmt.Sprintf("%+v", members[i]); got != fmt.Sprintf("%+v", want) {
			t.Errorf("member %s, want %+v", got, want)
		}
	}
	copies, err := s.ChunkCopies(ctx, []inos.ChunkID{rows[0].Entry.ChunkID})
	if err != nil || len(copies[0]) != 1 || !copies[0][0].Trusted {
		t.Errorf("copies %+v (%v)", copies, err)
	}
	pending, err := s.PendingRecords(ctx, inos.RecordKey{}, 0)
	if err != nil || len(pending) != 2 || pending[0].File != f || !pending[1].Tombstone || pending[1].File.Version != deleted.Version || pending[1].File.CreatedAt != deleted.CreatedAt {
		t.Errorf("pending %+v (%v)", pending, err)
	}
	// The first admission labels the member, the second does not.
	for _, zone := range []string{"home", "elsewhere"} {
		m, err := s.AdmitNode(ctx, inos.Member{ID: smallNode, Zone: zone, Host: "nas", Tier: inos.TierCold, OfferedBytes: 7}, "", 5)
		if err != nil || m.Zone != "home" || m.Host != "nas" || m.Tier != inos.TierCold || m.OfferedBytes != 7 || m.Copies != 3 {
			t.Errorf("admitted %+v (%v)", m, err)
		}
	}
	if members, _, err = s.ListNodes(ctx, "", 0); err != nil || members[0].Zone != "home" {
		t.Errorf("members %+v (%v)", members, err)
	}
	// Versions go on where they were.
	for _, at := range []inos.FileInfo{f, deleted} {
		next, _, err := s.CommitFile(ctx, "u", fileAt(f, at.Path), rows, inos.Quota{}, inos.RequestKey{ID: string(at.Path), EventType: "put"}, 1)
		if err != nil || next.Version != at.Version+1 {
			t.Errorf("version %d after %d (%v)", next.Version, at.Version, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	scanned(t, path)
}

// TestMigrateSessions opens a map from before it was known which device issued a token: the token counts still, and no device takes it along.
func TestMigrateSessions(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "semantic.db")
	before := slices.Index(migrations, issuedSchema)
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations[:before], Steps: steps})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Writer.ExecContext(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO users VALUES ('ann', 0, 0, 0, 0, 0, 1)`)
	exec(`INSERT INTO devices VALUES ('ann', 'd', 'laptop', $1, 1, 0)`, make([]byte, 32))
	for _, s := range []inos.SessionInfo{
		{Session: inos.Session{TokenID: "t", Subject: "ann", Device: "d", ExpiresAt: 100}},
		{Session: inos.Session{TokenID: "p", Subject: "ann", ExpiresAt: 100}},
	} {
		exec(`INSERT INTO sessions VALUES ($1, $2, $3, $4, $5, NULL, 0)`, s.TokenID, string(s.Subject), s.Device, encodeSessionInfo(&s), int64(s.ExpiresAt))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	revoked, issued, err := s.RevokeDevice(ctx, "ann", "d", 2)
	if err != nil || fmt.Sprint(revoked) != "[t]" || issued != 0 {
		t.Errorf("revoked %v, %d issued (%v)", revoked, issued, err)
	}
	if p, err := s.FindSession(ctx, "p"); err != nil || p.IssuedBy != "" {
		t.Errorf("the token of before: %+v (%v)", p, err)
	}
}

func fileAt(f inos.FileInfo, path inos.Path) inos.FileInfo {
	f.Path = path
	return f
}
