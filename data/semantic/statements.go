package semantic

// The schema and the statements, in SQL that SQLite, PostgreSQL and CockroachDB read alike: numbered parameters, BYTEA
// for bytes (paths too, so that they order bytewise everywhere), BIGINT for numbers and flags, ON CONFLICT, RETURNING.
// What is SQLite's own is in data/internal/sqlite.

// migrations[i] brings version i to i+1. A released migration never changes.
var migrations = []string{`
CREATE TABLE totals (
	id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
	files BIGINT NOT NULL CHECK (files >= 0),
	plain_bytes BIGINT NOT NULL CHECK (plain_bytes >= 0),
	chunks BIGINT NOT NULL CHECK (chunks >= 0),
	stored_bytes BIGINT NOT NULL CHECK (stored_bytes >= 0),
	collectable BIGINT NOT NULL CHECK (collectable >= 0),
	uploads BIGINT NOT NULL CHECK (uploads >= 0),
	generation BIGINT NOT NULL
);
INSERT INTO totals (id, files, plain_bytes, chunks, stored_bytes, collectable, uploads, generation) VALUES (1, 0, 0, 0, 0, 0, 0, 0);
CREATE TABLE chunks (
	chunk_id BYTEA NOT NULL PRIMARY KEY,
	entry BYTEA NOT NULL,
	roles BIGINT NOT NULL,
	refs BIGINT NOT NULL CHECK (refs >= 0),
	generation BIGINT NOT NULL,
	condemned BIGINT NOT NULL
);
CREATE INDEX chunks_collectable ON chunks (chunk_id) WHERE refs = 0;
CREATE TABLE edges (
	parent BYTEA NOT NULL REFERENCES chunks (chunk_id),
	child BYTEA NOT NULL,
	PRIMARY KEY (parent, child)
);
CREATE TABLE copies (
	chunk_id BYTEA NOT NULL REFERENCES chunks (chunk_id),
	node TEXT NOT NULL,
	PRIMARY KEY (chunk_id, node)
);
CREATE TABLE holdings (
	plain_hash BYTEA NOT NULL,
	owner TEXT NOT NULL,
	chunk_id BYTEA NOT NULL,
	PRIMARY KEY (plain_hash, owner, chunk_id)
);
CREATE TABLE uploads (
	upload_id TEXT NOT NULL PRIMARY KEY,
	owner TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE TABLE pins (
	upload_id TEXT NOT NULL REFERENCES uploads (upload_id),
	chunk_id BYTEA NOT NULL,
	PRIMARY KEY (upload_id, chunk_id)
);
CREATE TABLE files (
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	version BIGINT NOT NULL,
	file_id BYTEA NOT NULL,
	manifest_id BYTEA NOT NULL,
	plain_bytes BIGINT NOT NULL,
	stored_bytes BIGINT NOT NULL,
	chunks BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	content_type TEXT NOT NULL,
	replicas_wanted BIGINT NOT NULL,
	replicas_reached BIGINT NOT NULL,
	PRIMARY KEY (owner, path)
);
CREATE INDEX files_by_id ON files (file_id, owner, path);
CREATE TABLE tombstones (
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	version BIGINT NOT NULL,
	deleted_us BIGINT NOT NULL,
	PRIMARY KEY (owner, path)
);
CREATE TABLE replies (
	subject TEXT NOT NULL,
	request_id TEXT NOT NULL,
	event_type TEXT NOT NULL,
	at_us BIGINT NOT NULL,
	reply BYTEA NOT NULL,
	PRIMARY KEY (request_id, event_type, subject)
);
CREATE INDEX replies_by_age ON replies (at_us);
CREATE TABLE tokens (
	token_id TEXT NOT NULL PRIMARY KEY,
	hash BYTEA NOT NULL UNIQUE,
	session BYTEA NOT NULL
);
`}

// statement is a statement prepared once per connection.
type statement int

const (
	savepoint statement = iota
	release
	rollbackTo
	addTotals
	selectTotals

	selectChunk
	insertChunk
	renewChunk
	addRef
	dropRef
	selectCollectable
	condemnChunk
	selectDoomed
	deleteChunk
	existsChunk

	insertEdge
	selectChildren
	deleteEdges
	insertCopy
	selectCopies
	existsCopy
	selectNodeChunks
	deleteCopy
	deleteCopies
	insertHolding
	existsHolding
	findHolding
	deleteHoldings

	selectUpload
	anyUpload
	insertUpload
	deleteUpload
	insertPin
	deletePin
	selectPins

	selectFile
	upsertFile
	deleteFile
	selectFileByID
	listFiles
	selectTombstone
	insertTombstone
	deleteTombstone

	selectReply
	insertReply
	pruneReplies

	selectToken
	tokenOfHash
	upsertToken

	statements
)

const fileColumns = `owner, path, version, file_id, manifest_id, plain_bytes, stored_bytes, chunks, created_us, content_type, replicas_wanted, replicas_reached`

var text = [statements]string{
	savepoint:  `SAVEPOINT verb`,
	release:    `RELEASE SAVEPOINT verb`,
	rollbackTo: `ROLLBACK TO SAVEPOINT verb`,
	addTotals: `UPDATE totals SET files = files + $1, plain_bytes = plain_bytes + $2, chunks = chunks + $3, stored_bytes = stored_bytes + $4,
		collectable = collectable + $5, uploads = uploads + $6, generation = generation + $7 WHERE id = 1`,
	selectTotals: `SELECT files, plain_bytes, chunks, stored_bytes, collectable, uploads, generation FROM totals WHERE id = 1`,

	selectChunk: `SELECT entry, roles, refs, condemned FROM chunks WHERE chunk_id = $1`,
	insertChunk: `INSERT INTO chunks (chunk_id, entry, roles, refs, generation, condemned) VALUES ($1, $2, $3, 0, $4, 0) ON CONFLICT (chunk_id) DO NOTHING`,
	renewChunk:  `UPDATE chunks SET entry = $2, roles = $3, generation = $4, condemned = 0 WHERE chunk_id = $1`,
	addRef:      `UPDATE chunks SET refs = refs + 1, generation = $2 WHERE chunk_id = $1 AND condemned = 0 RETURNING refs`,
	dropRef:     `UPDATE chunks SET refs = refs - 1 WHERE chunk_id = $1 RETURNING refs`,

	selectCollectable: `SELECT chunk_id, generation, condemned FROM chunks WHERE refs = 0 ORDER BY chunk_id LIMIT $1`,
	condemnChunk:      `UPDATE chunks SET condemned = 1 WHERE chunk_id = $1 AND refs = 0`,
	selectDoomed:      `SELECT entry, roles FROM chunks WHERE chunk_id = $1 AND refs = 0 AND condemned = 1 AND generation = $2`,
	deleteChunk:       `DELETE FROM chunks WHERE chunk_id = $1`,
	existsChunk:       `SELECT 1 FROM chunks WHERE chunk_id = $1`,

	insertEdge:     `INSERT INTO edges (parent, child) VALUES ($1, $2) ON CONFLICT (parent, child) DO NOTHING`,
	selectChildren: `SELECT child FROM edges WHERE parent = $1 ORDER BY child`,
	deleteEdges:    `DELETE FROM edges WHERE parent = $1`,
	insertCopy:     `INSERT INTO copies (chunk_id, node) VALUES ($1, $2) ON CONFLICT (chunk_id, node) DO NOTHING`,
	selectCopies:   `SELECT node FROM copies WHERE chunk_id = $1 ORDER BY node`,
	existsCopy:     `SELECT 1 FROM copies WHERE chunk_id = $1 LIMIT 1`,
	selectNodeChunks: `SELECT k.chunk_id FROM copies k JOIN chunks c ON c.chunk_id = k.chunk_id
		WHERE k.node = $1 AND k.chunk_id > $2 AND c.condemned = 0 ORDER BY k.chunk_id LIMIT $3`,
	deleteCopy:    `DELETE FROM copies WHERE chunk_id = $1 AND node = $2`,
	deleteCopies:  `DELETE FROM copies WHERE chunk_id = $1`,
	insertHolding: `INSERT INTO holdings (plain_hash, owner, chunk_id) VALUES ($1, $2, $3) ON CONFLICT (plain_hash, owner, chunk_id) DO NOTHING`,
	existsHolding: `SELECT 1 FROM holdings WHERE plain_hash = $1 AND owner = $2 AND chunk_id = $3`,
	findHolding: `SELECT c.entry FROM holdings h JOIN chunks c ON c.chunk_id = h.chunk_id
		WHERE h.plain_hash = $1 AND h.owner = $2 AND c.refs > 0 AND EXISTS (SELECT 1 FROM copies k WHERE k.chunk_id = h.chunk_id) ORDER BY h.chunk_id LIMIT 1`,
	deleteHoldings: `DELETE FROM holdings WHERE plain_hash = $1 AND chunk_id = $2`,

	selectUpload: `SELECT owner FROM uploads WHERE upload_id = $1`,
	anyUpload:    `SELECT upload_id FROM uploads ORDER BY upload_id LIMIT 1`,
	insertUpload: `INSERT INTO uploads (upload_id, owner, created_us) VALUES ($1, $2, $3)`,
	deleteUpload: `DELETE FROM uploads WHERE upload_id = $1`,
	insertPin:    `INSERT INTO pins (upload_id, chunk_id) VALUES ($1, $2) ON CONFLICT (upload_id, chunk_id) DO NOTHING`,
	deletePin:    `DELETE FROM pins WHERE upload_id = $1 AND chunk_id = $2`,
	selectPins:   `SELECT chunk_id FROM pins WHERE upload_id = $1 ORDER BY chunk_id LIMIT $2`,

	selectFile: `SELECT ` + fileColumns + ` FROM files WHERE owner = $1 AND path = $2`,
	upsertFile: `INSERT INTO files (` + fileColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (owner, path) DO UPDATE SET version = excluded.version, file_id = excluded.file_id, manifest_id = excluded.manifest_id,
		plain_bytes = excluded.plain_bytes, stored_bytes = excluded.stored_bytes, chunks = excluded.chunks, created_us = excluded.created_us,
		content_type = excluded.content_type, replicas_wanted = excluded.replicas_wanted, replicas_reached = excluded.replicas_reached`,
	deleteFile:      `DELETE FROM files WHERE owner = $1 AND path = $2`,
	selectFileByID:  `SELECT ` + fileColumns + ` FROM files WHERE file_id = $1 AND owner = $2 ORDER BY path LIMIT 1`,
	listFiles:       `SELECT ` + fileColumns + ` FROM files WHERE owner = $1 AND path > $2 AND path >= $3 AND path < $4 ORDER BY path LIMIT $5`,
	selectTombstone: `SELECT version FROM tombstones WHERE owner = $1 AND path = $2`,
	insertTombstone: `INSERT INTO tombstones (owner, path, version, deleted_us) VALUES ($1, $2, $3, $4)`,
	deleteTombstone: `DELETE FROM tombstones WHERE owner = $1 AND path = $2`,

	selectReply: `SELECT reply FROM replies WHERE request_id = $1 AND event_type = $2 AND subject = $3`,
	insertReply: `INSERT INTO replies (subject, request_id, event_type, at_us, reply) VALUES ($1, $2, $3, $4, $5)`,
	pruneReplies: `DELETE FROM replies WHERE (request_id, event_type, subject) IN
		(SELECT request_id, event_type, subject FROM replies WHERE at_us < $1 ORDER BY at_us LIMIT $2)`,

	selectToken: `SELECT session FROM tokens WHERE hash = $1`,
	tokenOfHash: `SELECT token_id FROM tokens WHERE hash = $1`,
	upsertToken: `INSERT INTO tokens (token_id, hash, session) VALUES ($1, $2, $3)
		ON CONFLICT (token_id) DO UPDATE SET hash = excluded.hash, session = excluded.session`,
}
