package semantic

// identitySchema adds users, devices, sessions, grants and the ledger. Owners of files before it get the counters of their namespaces;
// users they become by PutUser.
const identitySchema = `
ALTER TABLE totals ADD COLUMN entries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN changed_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN pledged BIGINT NOT NULL DEFAULT 0;
CREATE TABLE namespaces (
	owner TEXT NOT NULL PRIMARY KEY,
	files BIGINT NOT NULL CHECK (files >= 0),
	plain_bytes BIGINT NOT NULL CHECK (plain_bytes >= 0)
);
INSERT INTO namespaces (owner, files, plain_bytes) SELECT owner, count(*), sum(plain_bytes) FROM files GROUP BY owner;
CREATE TABLE users (
	name TEXT NOT NULL PRIMARY KEY,
	operator BIGINT NOT NULL,
	disabled BIGINT NOT NULL,
	quota_bytes BIGINT NOT NULL,
	quota_files BIGINT NOT NULL,
	quota_rate BIGINT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE TABLE devices (
	user_name TEXT NOT NULL,
	device TEXT NOT NULL,
	name TEXT NOT NULL,
	public_key BYTEA NOT NULL,
	created_us BIGINT NOT NULL,
	revoked BIGINT NOT NULL,
	PRIMARY KEY (user_name, device)
);
CREATE TABLE enrolments (
	hash BYTEA NOT NULL PRIMARY KEY,
	user_name TEXT NOT NULL,
	expires_us BIGINT NOT NULL
);
CREATE INDEX enrolments_by_user ON enrolments (user_name, expires_us);
CREATE INDEX enrolments_by_age ON enrolments (expires_us, hash);
CREATE TABLE user_groups (
	name TEXT NOT NULL PRIMARY KEY
);
CREATE TABLE group_members (
	name TEXT NOT NULL REFERENCES user_groups (name),
	user_name TEXT NOT NULL,
	PRIMARY KEY (name, user_name)
);
CREATE INDEX group_members_by_user ON group_members (user_name, name);
CREATE TABLE sessions (
	token_id TEXT NOT NULL PRIMARY KEY,
	user_name TEXT NOT NULL,
	device TEXT NOT NULL,
	session BYTEA NOT NULL,
	expires_us BIGINT NOT NULL,
	refresh BYTEA,
	refreshes BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_name, token_id);
CREATE INDEX sessions_by_age ON sessions (expires_us, token_id) WHERE expires_us > 0;
CREATE UNIQUE INDEX sessions_by_refresh ON sessions (refresh) WHERE refresh IS NOT NULL;
CREATE TABLE refreshes (
	hash BYTEA NOT NULL PRIMARY KEY,
	token_id TEXT NOT NULL,
	seq BIGINT NOT NULL,
	until_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX refreshes_by_session ON refreshes (token_id, seq);
CREATE INDEX refreshes_by_age ON refreshes (until_us, hash);
CREATE TABLE grants (
	grant_id TEXT NOT NULL PRIMARY KEY,
	owner TEXT NOT NULL,
	prefix BYTEA NOT NULL,
	grantee TEXT NOT NULL,
	verbs BIGINT NOT NULL,
	expires_us BIGINT NOT NULL,
	uses_max BIGINT NOT NULL,
	uses BIGINT NOT NULL,
	granted_by TEXT NOT NULL,
	created_us BIGINT NOT NULL,
	link BYTEA
);
CREATE INDEX grants_by_owner ON grants (owner, grant_id);
CREATE INDEX grants_by_grantee ON grants (grantee, grant_id);
CREATE INDEX grants_by_access ON grants (owner, grantee, grant_id);
CREATE UNIQUE INDEX grants_by_link ON grants (link) WHERE link IS NOT NULL;
CREATE TABLE accounts (
	account TEXT NOT NULL PRIMARY KEY,
	balance BIGINT NOT NULL
);
CREATE TABLE entries (
	seq BIGINT NOT NULL PRIMARY KEY,
	event_id TEXT NOT NULL,
	account TEXT NOT NULL,
	amount BIGINT NOT NULL,
	at_us BIGINT NOT NULL,
	reason TEXT NOT NULL
);
CREATE INDEX entries_by_account ON entries (account, seq);
CREATE INDEX entries_by_event ON entries (event_id, seq);
`
