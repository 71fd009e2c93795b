package semantic

// The schema, in the SQL of statements.go.

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
`, `
ALTER TABLE totals ADD COLUMN repairs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totals ADD COLUMN lease BIGINT NOT NULL DEFAULT 0;
CREATE TABLE members (
	node TEXT NOT NULL PRIMARY KEY,
	invite TEXT NOT NULL,
	operator TEXT NOT NULL,
	zone TEXT NOT NULL,
	host TEXT NOT NULL,
	tier TEXT NOT NULL,
	offered_bytes BIGINT NOT NULL,
	addrs BYTEA NOT NULL,
	joined_us BIGINT NOT NULL,
	state BIGINT NOT NULL,
	epoch BIGINT NOT NULL,
	copies BIGINT NOT NULL CHECK (copies >= 0),
	placed_bytes BIGINT NOT NULL CHECK (placed_bytes >= 0),
	granted BYTEA NOT NULL
);
CREATE UNIQUE INDEX members_by_invite ON members (invite) WHERE invite <> '';
ALTER TABLE copies ADD COLUMN epoch BIGINT NOT NULL DEFAULT 1;
ALTER TABLE copies ADD COLUMN audited_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX copies_by_node ON copies (node, chunk_id);
CREATE INDEX edges_by_child ON edges (child, parent);
CREATE INDEX files_by_manifest ON files (manifest_id, replicas_wanted);
CREATE INDEX pins_by_chunk ON pins (chunk_id);
CREATE TABLE records (
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	version BIGINT NOT NULL,
	pending BIGINT NOT NULL,
	record_id BYTEA,
	PRIMARY KEY (owner, path)
);
CREATE INDEX records_pending ON records (owner, path) WHERE pending = 1;
CREATE INDEX records_by_id ON records (record_id) WHERE record_id IS NOT NULL;
CREATE TABLE record_copies (
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	node TEXT NOT NULL,
	PRIMARY KEY (owner, path, node)
);
CREATE INDEX record_copies_by_node ON record_copies (node, owner, path);
CREATE TABLE superseded (
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	version BIGINT NOT NULL,
	manifest_id BYTEA,
	replicas_wanted BIGINT NOT NULL,
	record_id BYTEA,
	nodes BYTEA NOT NULL,
	PRIMARY KEY (owner, path, version)
);
CREATE INDEX superseded_by_manifest ON superseded (manifest_id, replicas_wanted) WHERE manifest_id IS NOT NULL;
CREATE INDEX superseded_by_record ON superseded (record_id) WHERE record_id IS NOT NULL;
CREATE TABLE repairs (
	chunk_id BYTEA NOT NULL PRIMARY KEY,
	reason TEXT NOT NULL,
	live BIGINT NOT NULL,
	added_us BIGINT NOT NULL,
	not_before_us BIGINT NOT NULL,
	tries BIGINT NOT NULL,
	lease BIGINT NOT NULL,
	lease_until_us BIGINT NOT NULL,
	holder TEXT NOT NULL,
	ready_us BIGINT NOT NULL
);
CREATE INDEX repairs_by_order ON repairs (live, added_us, chunk_id);
CREATE INDEX repairs_by_ready ON repairs (ready_us);
CREATE TABLE sightings (
	chunk_id BYTEA NOT NULL,
	node TEXT NOT NULL,
	PRIMARY KEY (chunk_id, node)
);
INSERT INTO records (owner, path, version, pending) SELECT owner, path, version, 1 FROM files;
INSERT INTO records (owner, path, version, pending) SELECT owner, path, version, 1 FROM tombstones;
`, identitySchema, uploadSchema, `
CREATE TABLE orders (
	id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
	ceiling BIGINT NOT NULL CHECK (ceiling >= 0)
);
INSERT INTO orders (id, ceiling) VALUES (1, 0);
`, foldSchema, issuedSchema, promisedSchema, revisionSchema}

// issuedSchema remembers by which device a session was issued. Of those before it, that is not known.
const issuedSchema = `
ALTER TABLE sessions ADD COLUMN issued_by TEXT NOT NULL DEFAULT '';
`

// promisedSchema remembers which copies a receipt may name. Of those before it, that is not known.
const promisedSchema = `
ALTER TABLE copies ADD COLUMN promised BIGINT NOT NULL DEFAULT 0;
`

// revisionSchema numbers the writes of a member.
const revisionSchema = `
ALTER TABLE members ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
`

// foldSchema finds the oldest entries of the ledger, and of each account the one that stands for those of long ago.
const foldSchema = `
CREATE INDEX entries_by_age ON entries (at_us, seq) WHERE event_id <> '';
CREATE UNIQUE INDEX entries_folded ON entries (account) WHERE event_id = '';
`

// uploadSchema is what files need that arrive in pieces: beside the pins of their uploads, what they will be, and the chunks by index.
const uploadSchema = `
CREATE TABLE open_uploads (
	upload_id TEXT NOT NULL PRIMARY KEY REFERENCES uploads (upload_id),
	subject TEXT NOT NULL,
	owner TEXT NOT NULL,
	path BYTEA NOT NULL,
	plain_bytes BIGINT NOT NULL,
	file_id BYTEA NOT NULL,
	content_type TEXT NOT NULL,
	replicas BIGINT NOT NULL,
	sync BIGINT NOT NULL,
	tier TEXT NOT NULL,
	created_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL,
	held BIGINT NOT NULL CHECK (held >= 0)
);
CREATE INDEX open_uploads_by_subject ON open_uploads (subject, owner, upload_id);
CREATE INDEX open_uploads_by_age ON open_uploads (expires_us, upload_id);
CREATE TABLE slots (
	upload_id TEXT NOT NULL REFERENCES uploads (upload_id),
	idx BIGINT NOT NULL,
	entry BYTEA NOT NULL,
	described BIGINT NOT NULL,
	PRIMARY KEY (upload_id, idx)
);
`
