package semantic

// The statements, in SQL that SQLite, PostgreSQL and CockroachDB read alike: numbered parameters, BYTEA
// for bytes (paths too, so that they order bytewise everywhere), BIGINT for numbers and flags, ON CONFLICT, RETURNING.
// What is SQLite's own is in data/internal/sqlite.

// statement is a statement prepared once per connection.
type statement int

const (
	savepoint statement = iota
	release
	rollbackTo
	addTotals
	selectTotals
	selectCounters

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
	confirmCopy
	promiseCopies
	confirmListed
	auditCopy
	selectCopies
	selectHolders
	selectCopyProof
	existsCopy
	selectNodeChunks
	selectNodeCopies
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

	selectOpen
	insertOpen
	touchOpen
	deleteOpen
	sumOpen
	listOpen
	expiredOpen
	selectSlot
	upsertSlot
	deleteSlot
	listSlots
	deleteSlots

	selectFile
	upsertFile
	deleteFile
	selectFileByID
	listFiles
	insertTombstone
	deleteTombstone
	selectDeleted

	upsertRecord
	selectRecord
	settleRecord
	changeRecord
	selectChanged
	unsettleRecord
	selectPending
	selectRecordCopies
	insertRecordCopy
	deleteRecordCopy
	deleteRecordCopies
	selectRecordsOfNode
	selectSealedOfNode
	selectNodeRecords
	existsSealed
	insertSuperseded
	selectSuperseded
	existsSuperseded
	sealSuperseded
	unrootSuperseded
	deleteSuperseded

	memberEpoch
	selectMember
	listMembers
	countMembers
	memberOfInvite
	insertMember
	labelMember
	setMember
	setAddrs
	distrustMember
	addPlaced
	selectOrders
	raiseOrders

	selectAbove
	scanChunks

	insertRepair
	raiseRepair
	anyReady
	selectReady
	leaseRepair
	selectLease
	retryRepair
	deleteRepair
	listRepairs
	countRepairs

	insertSighting
	selectSightings
	deleteSightings

	selectReply
	insertReply
	pruneReplies

	selectToken
	tokenOfHash
	upsertToken

	addNamespace
	insertNamespace

	selectUser
	listUsers
	existsUser
	countUsers
	insertUser
	updateUser
	deleteUser
	selectDevice
	listDevices
	countDevices
	insertDevice
	revokeDevice
	deleteDevice
	selectEnrolment
	upsertEnrolment
	countEnrolments
	deleteEnrolment
	deleteEnrolmentsOf
	deleteOverEnrolments
	pruneEnrolments
	existsGroup
	countGroups
	insertGroup
	deleteGroup
	listGroups
	selectMembersOf
	insertMemberOf
	deleteMembersOf
	countGroupsOf
	selectGroupsOf

	selectSession
	insertSession
	listSessions
	countSessions
	deleteOverSessions
	deleteSession
	deleteSessionsOf
	deleteSessionsOfDevice
	deleteIssuedBy
	pruneSessions
	selectRefresh
	rotateSession
	selectUsedRefresh
	insertRefresh
	deleteRefreshes
	pruneRefreshes

	selectGrant
	selectLink
	insertGrant
	relinkGrant
	useGrant
	deleteGrant
	countAccess
	countLinks
	selectOverGrants
	selectGrantsTo
	listGrantsOf
	listGrantsTo
	readAccess

	selectBalance
	addBalance
	insertAccount
	insertEntry
	selectEntriesOf
	listEntries
	selectOldEntries
	selectEntryAt
	selectFolded
	deleteEntry
	countEntries
	selectOverdrawn

	statements
)

const fileColumns = `owner, path, version, file_id, manifest_id, plain_bytes, stored_bytes, chunks, created_us, content_type, replicas_wanted, replicas_reached, pledged`

const (
	userColumns = `u.name, u.operator, u.disabled, u.quota_bytes, u.quota_files, u.quota_rate, u.created_us,
		coalesce(n.files, 0), coalesce(n.plain_bytes, 0), coalesce(a.balance, 0)`
	userTables    = `users u LEFT JOIN namespaces n ON n.owner = u.name LEFT JOIN accounts a ON a.account = 'user:' || u.name`
	deviceColumns = `device, user_name, name, public_key, created_us, revoked`
	grantColumns  = `grant_id, owner, prefix, grantee, verbs, expires_us, uses_max, uses, granted_by, created_us, link`
	entryColumns  = `seq, event_id, account, amount, at_us, reason`
	openColumns   = `upload_id, subject, owner, path, plain_bytes, file_id, content_type, replicas, sync, tier, created_us, expires_us, held`
	listedColumns = `node, operator, zone, host, tier, offered_bytes, addrs, joined_us, state, epoch, copies, placed_bytes, revision`
	memberColumns = listedColumns + `, granted`
	repairColumns = `chunk_id, reason, live, added_us, not_before_us, tries, lease, lease_until_us, holder`
)

var text = [statements]string{
	savepoint:  `SAVEPOINT verb`,
	release:    `RELEASE SAVEPOINT verb`,
	rollbackTo: `ROLLBACK TO SAVEPOINT verb`,
	addTotals: `UPDATE totals SET files = files + $1, plain_bytes = plain_bytes + $2, chunks = chunks + $3, stored_bytes = stored_bytes + $4,
		collectable = collectable + $5, uploads = uploads + $6, generation = generation + $7, repairs = repairs + $8, lease = lease + $9, entries = entries + $10 WHERE id = 1`,
	selectTotals: `SELECT files, plain_bytes, chunks, stored_bytes, collectable, uploads, copies, placed_bytes
		FROM totals, (SELECT COALESCE(SUM(copies), 0) AS copies, COALESCE(SUM(placed_bytes), 0) AS placed_bytes FROM members) AS held WHERE id = 1`,
	selectCounters: `SELECT generation, lease, entries FROM totals WHERE id = 1`,

	selectChunk: `SELECT entry, roles, generation, condemned FROM chunks WHERE chunk_id = $1`,
	insertChunk: `INSERT INTO chunks (chunk_id, entry, roles, refs, generation, condemned) VALUES ($1, $2, $3, 0, $4, 0) ON CONFLICT (chunk_id) DO NOTHING`,
	renewChunk:  `UPDATE chunks SET entry = $2, roles = $3, generation = $4, condemned = 0 WHERE chunk_id = $1`,
	addRef:      `UPDATE chunks SET refs = refs + 1, generation = $2 WHERE chunk_id = $1 AND condemned = 0 RETURNING refs`,
	dropRef:     `UPDATE chunks SET refs = refs - 1 WHERE chunk_id = $1 RETURNING refs`,

	selectCollectable: `SELECT chunk_id, generation, condemned FROM chunks WHERE refs = 0 ORDER BY chunk_id LIMIT $1`,
	condemnChunk:      `UPDATE chunks SET condemned = 1 WHERE chunk_id = $1 AND refs = 0`,
	selectDoomed:      `SELECT entry, roles FROM chunks WHERE chunk_id = $1 AND refs = 0 AND condemned = 1 AND generation = $2`,
	deleteChunk:       `DELETE FROM chunks WHERE chunk_id = $1`,
	existsChunk:       `SELECT 1 FROM chunks WHERE chunk_id = $1`,

	insertEdge:      `INSERT INTO edges (parent, child) VALUES ($1, $2) ON CONFLICT (parent, child) DO NOTHING`,
	selectChildren:  `SELECT child FROM edges WHERE parent = $1 ORDER BY child`,
	deleteEdges:     `DELETE FROM edges WHERE parent = $1`,
	insertCopy:      `INSERT INTO copies (chunk_id, node, epoch, audited_us, promised) VALUES ($1, $2, $3, 0, $4) ON CONFLICT (chunk_id, node) DO NOTHING`,
	confirmCopy:     `UPDATE copies SET epoch = $3, audited_us = 0 WHERE chunk_id = $1 AND node = $2 AND epoch <> $3`,
	promiseCopies:   `UPDATE copies SET promised = $2 WHERE chunk_id = $1 AND (promised = 0 OR promised > $2)`,
	confirmListed:   `UPDATE copies SET audited_us = CASE WHEN epoch = $3 THEN audited_us ELSE 0 END, epoch = $3 WHERE chunk_id = $1 AND node = $2`,
	auditCopy:       `UPDATE copies SET audited_us = $4 WHERE chunk_id = $1 AND node = $2 AND epoch = $3`,
	selectCopies:    `SELECT k.node, k.epoch = m.epoch, k.audited_us, k.promised FROM copies k JOIN members m ON m.node = k.node WHERE k.chunk_id = $1 ORDER BY k.node`,
	selectHolders:   `SELECT node FROM copies WHERE chunk_id = $1 ORDER BY node`,
	selectCopyProof: `SELECT epoch, audited_us FROM copies WHERE chunk_id = $1 AND node = $2`,
	existsCopy:      `SELECT 1 FROM copies WHERE chunk_id = $1 LIMIT 1`,
	selectNodeChunks: `SELECT k.chunk_id FROM copies k JOIN chunks c ON c.chunk_id = k.chunk_id
		WHERE k.node = $1 AND k.chunk_id > $2 AND c.condemned = 0 ORDER BY k.chunk_id LIMIT $3`,
	deleteCopy:       `DELETE FROM copies WHERE chunk_id = $1 AND node = $2`,
	deleteCopies:     `DELETE FROM copies WHERE chunk_id = $1 RETURNING node`,
	selectNodeCopies: `SELECT chunk_id FROM copies WHERE node = $1 ORDER BY chunk_id LIMIT $2`,
	insertHolding:    `INSERT INTO holdings (plain_hash, owner, chunk_id) VALUES ($1, $2, $3) ON CONFLICT (plain_hash, owner, chunk_id) DO NOTHING`,
	existsHolding:    `SELECT 1 FROM holdings WHERE plain_hash = $1 AND owner = $2 AND chunk_id = $3`,
	findHolding: `SELECT c.entry FROM holdings h JOIN chunks c ON c.chunk_id = h.chunk_id
		WHERE h.plain_hash = $1 AND h.owner = $2 AND c.refs > 0 AND EXISTS (SELECT 1 FROM copies k WHERE k.chunk_id = h.chunk_id) ORDER BY h.chunk_id LIMIT 1`,
	deleteHoldings: `DELETE FROM holdings WHERE plain_hash = $1 AND chunk_id = $2`,

	selectUpload: `SELECT owner FROM uploads WHERE upload_id = $1`,
	anyUpload: `SELECT u.upload_id FROM uploads u WHERE NOT EXISTS (SELECT 1 FROM open_uploads o WHERE o.upload_id = u.upload_id)
		ORDER BY u.upload_id LIMIT 1`,
	insertUpload: `INSERT INTO uploads (upload_id, owner, created_us) VALUES ($1, $2, $3)`,
	deleteUpload: `DELETE FROM uploads WHERE upload_id = $1`,
	insertPin:    `INSERT INTO pins (upload_id, chunk_id) VALUES ($1, $2) ON CONFLICT (upload_id, chunk_id) DO NOTHING`,
	deletePin:    `DELETE FROM pins WHERE upload_id = $1 AND chunk_id = $2`,
	selectPins:   `SELECT chunk_id FROM pins WHERE upload_id = $1 ORDER BY chunk_id LIMIT $2`,

	selectOpen:  `SELECT ` + openColumns + ` FROM open_uploads WHERE upload_id = $1`,
	insertOpen:  `INSERT INTO open_uploads (` + openColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0)`,
	touchOpen:   `UPDATE open_uploads SET held = held + $2, expires_us = CASE WHEN expires_us < $3 THEN $3 ELSE expires_us END WHERE upload_id = $1`,
	deleteOpen:  `DELETE FROM open_uploads WHERE upload_id = $1`,
	sumOpen:     `SELECT count(*), CAST(coalesce(sum(plain_bytes), 0) AS BIGINT) FROM open_uploads WHERE subject = $1`,
	listOpen:    `SELECT ` + openColumns + ` FROM open_uploads WHERE subject = $1 AND owner = $2 AND upload_id > $3 ORDER BY upload_id LIMIT $4`,
	expiredOpen: `SELECT upload_id FROM open_uploads WHERE expires_us < $1 ORDER BY expires_us, upload_id LIMIT $2`,
	selectSlot:  `SELECT entry, described FROM slots WHERE upload_id = $1 AND idx = $2`,
	upsertSlot: `INSERT INTO slots (upload_id, idx, entry, described) VALUES ($1, $2, $3, $4)
		ON CONFLICT (upload_id, idx) DO UPDATE SET entry = excluded.entry, described = excluded.described`,
	deleteSlot:  `DELETE FROM slots WHERE upload_id = $1 AND idx = $2`,
	listSlots:   `SELECT idx, entry, described FROM slots WHERE upload_id = $1 AND idx >= $2 ORDER BY idx LIMIT $3`,
	deleteSlots: `DELETE FROM slots WHERE upload_id = $1 AND idx IN (SELECT idx FROM slots WHERE upload_id = $1 ORDER BY idx LIMIT $2)`,

	selectFile: `SELECT ` + fileColumns + ` FROM files WHERE owner = $1 AND path = $2`,
	upsertFile: `INSERT INTO files (` + fileColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (owner, path) DO UPDATE SET version = excluded.version, file_id = excluded.file_id, manifest_id = excluded.manifest_id,
		plain_bytes = excluded.plain_bytes, stored_bytes = excluded.stored_bytes, chunks = excluded.chunks, created_us = excluded.created_us,
		content_type = excluded.content_type, replicas_wanted = excluded.replicas_wanted, replicas_reached = excluded.replicas_reached, pledged = excluded.pledged`,
	deleteFile: `DELETE FROM files WHERE owner = $1 AND path = $2`,
	// With the empty text the planner does not walk all files of the owner, whose paths are in order too.
	selectFileByID: `SELECT ` + fileColumns + ` FROM files WHERE file_id = $1 AND owner || '' = $2 ORDER BY owner, path LIMIT 1`,
	listFiles:      `SELECT ` + fileColumns + ` FROM files WHERE owner = $1 AND path > $2 AND path >= $3 AND path < $4 ORDER BY path LIMIT $5`,
	insertTombstone: `INSERT INTO tombstones (owner, path, version, deleted_us) VALUES ($1, $2, $3, $4)
		ON CONFLICT (owner, path) DO UPDATE SET version = excluded.version, deleted_us = excluded.deleted_us`,
	deleteTombstone: `DELETE FROM tombstones WHERE owner = $1 AND path = $2`,
	selectDeleted:   `SELECT deleted_us FROM tombstones WHERE owner = $1 AND path = $2`,

	upsertRecord: `INSERT INTO records (owner, path, version, pending) VALUES ($1, $2, $3, 1)
		ON CONFLICT (owner, path) DO UPDATE SET version = excluded.version, pending = 1, record_id = NULL`,
	selectRecord:   `SELECT version, pending, record_id FROM records WHERE owner = $1 AND path = $2`,
	settleRecord:   `UPDATE records SET record_id = $3, pending = $4 WHERE owner = $1 AND path = $2`,
	changeRecord:   `UPDATE records SET changed_us = $3 WHERE owner = $1 AND path = $2`,
	selectChanged:  `SELECT changed_us FROM records WHERE owner = $1 AND path = $2`,
	unsettleRecord: `UPDATE records SET pending = 1 WHERE owner = $1 AND path = $2`,
	selectPending: `SELECT r.owner, r.path, r.version, r.record_id, t.deleted_us FROM records r LEFT JOIN tombstones t ON t.owner = r.owner AND t.path = r.path
		WHERE r.pending = 1 AND (r.owner, r.path) > ($1, $2) ORDER BY r.owner, r.path LIMIT $3`,
	selectRecordCopies:  `SELECT node FROM record_copies WHERE owner = $1 AND path = $2 ORDER BY node`,
	insertRecordCopy:    `INSERT INTO record_copies (owner, path, node) VALUES ($1, $2, $3) ON CONFLICT (owner, path, node) DO NOTHING`,
	deleteRecordCopy:    `DELETE FROM record_copies WHERE owner = $1 AND path = $2 AND node = $3`,
	deleteRecordCopies:  `DELETE FROM record_copies WHERE owner = $1 AND path = $2`,
	selectRecordsOfNode: `SELECT owner, path FROM record_copies WHERE node = $1 ORDER BY owner, path LIMIT $2`,
	selectSealedOfNode: `SELECT r.owner, r.path FROM records r JOIN record_copies c ON c.owner = r.owner AND c.path = r.path
		WHERE r.record_id = $1 AND c.node = $2 ORDER BY r.owner, r.path LIMIT $3`,
	selectNodeRecords: `SELECT c.owner, c.path, r.version, r.record_id FROM record_copies c JOIN records r ON r.owner = c.owner AND r.path = c.path
		WHERE c.node = $1 AND (c.owner, c.path) > ($2, $3) ORDER BY c.owner, c.path LIMIT $4`,
	existsSealed:     `SELECT 1 FROM records WHERE record_id = $1 UNION ALL SELECT 1 FROM superseded WHERE record_id = $1 LIMIT 1`,
	insertSuperseded: `INSERT INTO superseded (owner, path, version, manifest_id, replicas_wanted, record_id, nodes) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
	selectSuperseded: `SELECT version, manifest_id, record_id, nodes FROM superseded
		WHERE owner = $1 AND path = $2 AND version < $3 ORDER BY version LIMIT $4`,
	existsSuperseded: `SELECT record_id, nodes FROM superseded WHERE owner = $1 AND path = $2 AND version = $3`,
	sealSuperseded:   `UPDATE superseded SET record_id = $4, nodes = $5 WHERE owner = $1 AND path = $2 AND version = $3`,
	unrootSuperseded: `UPDATE superseded SET manifest_id = NULL WHERE owner = $1 AND path = $2 AND version = $3`,
	deleteSuperseded: `DELETE FROM superseded WHERE owner = $1 AND path = $2 AND version = $3`,

	memberEpoch:    `SELECT epoch, state FROM members WHERE node = $1`,
	selectMember:   `SELECT ` + memberColumns + ` FROM members WHERE node = $1`,
	listMembers:    `SELECT ` + listedColumns + ` FROM members WHERE node > $1 ORDER BY node LIMIT $2`,
	countMembers:   `SELECT count(*) FROM members`,
	memberOfInvite: `SELECT node FROM members WHERE invite = $1 AND invite <> ''`,
	insertMember:   `INSERT INTO members (` + memberColumns + `, invite) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
	labelMember:    `UPDATE members SET revision = revision + 1, invite = $2, operator = $3, zone = $4, host = $5, tier = $6, offered_bytes = $7, granted = $8 WHERE node = $1`,
	setMember:      `UPDATE members SET revision = revision + 1, state = $2 WHERE node = $1`,
	setAddrs:       `UPDATE members SET revision = revision + 1, addrs = $2 WHERE node = $1`,
	distrustMember: `UPDATE members SET epoch = epoch + 1 WHERE node = $1`,
	addPlaced:      `UPDATE members SET copies = copies + $2, placed_bytes = placed_bytes + $3 WHERE node = $1`,
	selectOrders:   `SELECT ceiling FROM orders WHERE id = 1`,
	raiseOrders:    `UPDATE orders SET ceiling = $1 WHERE id = 1`,

	selectAbove: `SELECT parent, 0 FROM edges WHERE child = $1
		UNION ALL SELECT NULL, replicas_wanted FROM files WHERE manifest_id = $1
		UNION ALL SELECT NULL, replicas_wanted FROM superseded WHERE manifest_id = $1
		UNION ALL SELECT NULL, -1 FROM pins WHERE chunk_id = $1`,
	scanChunks: `SELECT chunk_id, entry, roles, generation, condemned FROM chunks WHERE chunk_id > $1 ORDER BY chunk_id LIMIT $2`,

	insertRepair: `INSERT INTO repairs (chunk_id, reason, live, added_us, not_before_us, tries, lease, lease_until_us, holder, ready_us)
		SELECT chunk_id, $2, $3, $4, $4, 0, 0, 0, '', $4 FROM chunks WHERE chunk_id = $1 ON CONFLICT (chunk_id) DO NOTHING`,
	raiseRepair: `UPDATE repairs SET reason = $2, live = $3, not_before_us = $4,
		ready_us = CASE WHEN lease_until_us > $4 THEN lease_until_us ELSE $4 END WHERE chunk_id = $1 AND live > $3`,
	anyReady: `SELECT 1 FROM repairs WHERE ready_us <= $1 LIMIT 1`,
	// The plus keeps the planner from sorting all that are ready: the first of the order come by its index.
	selectReady:  `SELECT ` + repairColumns + ` FROM repairs WHERE +ready_us <= $1 ORDER BY live, added_us, chunk_id LIMIT $2`,
	leaseRepair:  `UPDATE repairs SET lease = $2, lease_until_us = $3, holder = $4, ready_us = $3 WHERE chunk_id = $1`,
	selectLease:  `SELECT lease, lease_until_us FROM repairs WHERE chunk_id = $1`,
	retryRepair:  `UPDATE repairs SET tries = tries + 1, not_before_us = $2, lease = 0, lease_until_us = 0, holder = '', ready_us = $2 WHERE chunk_id = $1`,
	deleteRepair: `DELETE FROM repairs WHERE chunk_id = $1`,
	listRepairs:  `SELECT ` + repairColumns + ` FROM repairs ORDER BY live, added_us, chunk_id LIMIT $1`,
	countRepairs: `SELECT repairs FROM totals WHERE id = 1`,

	insertSighting:  `INSERT INTO sightings (chunk_id, node) VALUES ($1, $2) ON CONFLICT (chunk_id, node) DO NOTHING`,
	selectSightings: `SELECT node FROM sightings WHERE chunk_id = $1 ORDER BY node`,
	deleteSightings: `DELETE FROM sightings WHERE (chunk_id, node) IN (SELECT chunk_id, node FROM sightings ORDER BY chunk_id, node LIMIT $1)`,

	selectReply: `SELECT reply FROM replies WHERE request_id = $1 AND event_type = $2 AND subject = $3`,
	insertReply: `INSERT INTO replies (subject, request_id, event_type, at_us, reply) VALUES ($1, $2, $3, $4, $5)`,
	pruneReplies: `DELETE FROM replies WHERE (request_id, event_type, subject) IN
		(SELECT request_id, event_type, subject FROM replies WHERE at_us < $1 ORDER BY at_us LIMIT $2)`,

	selectToken: `SELECT session FROM tokens WHERE hash = $1`,
	tokenOfHash: `SELECT token_id FROM tokens WHERE hash = $1`,
	upsertToken: `INSERT INTO tokens (token_id, hash, session) VALUES ($1, $2, $3)
		ON CONFLICT (token_id) DO UPDATE SET hash = excluded.hash, session = excluded.session`,

	addNamespace:    `UPDATE namespaces SET files = files + $2, plain_bytes = plain_bytes + $3 WHERE owner = $1 RETURNING files, plain_bytes`,
	insertNamespace: `INSERT INTO namespaces (owner, files, plain_bytes) VALUES ($1, $2, $3)`,

	selectUser: `SELECT ` + userColumns + ` FROM ` + userTables + ` WHERE u.name = $1`,
	listUsers:  `SELECT ` + userColumns + ` FROM ` + userTables + ` WHERE u.name > $1 ORDER BY u.name LIMIT $2`,
	existsUser: `SELECT disabled FROM users WHERE name = $1`,
	countUsers: `SELECT count(*) FROM users`,
	insertUser: `INSERT INTO users (name, operator, disabled, quota_bytes, quota_files, quota_rate, created_us) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
	updateUser: `UPDATE users SET operator = $2, disabled = $3, quota_bytes = $4, quota_files = $5, quota_rate = $6 WHERE name = $1`,

	deleteUser: `DELETE FROM users WHERE name = $1`,

	selectDevice: `SELECT ` + deviceColumns + ` FROM devices WHERE user_name = $1 AND device = $2`,
	listDevices:  `SELECT ` + deviceColumns + ` FROM devices WHERE user_name = $1 ORDER BY device`,
	countDevices: `SELECT count(*) FROM devices WHERE user_name = $1`,
	insertDevice: `INSERT INTO devices (` + deviceColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`,
	revokeDevice: `UPDATE devices SET revoked = 1 WHERE user_name = $1 AND device = $2 AND revoked = 0`,
	deleteDevice: `DELETE FROM devices WHERE user_name = $1 AND device = $2`,

	selectEnrolment: `SELECT user_name, expires_us FROM enrolments WHERE hash = $1`,
	upsertEnrolment: `INSERT INTO enrolments (hash, user_name, expires_us) VALUES ($1, $2, $3) ON CONFLICT (hash) DO UPDATE SET expires_us = excluded.expires_us`,
	countEnrolments: `SELECT count(*) FROM enrolments WHERE user_name = $1`,
	deleteEnrolment: `DELETE FROM enrolments WHERE hash = $1`,
	// Few are good (UserEnrolmentsMax).
	deleteEnrolmentsOf: `DELETE FROM enrolments WHERE user_name = $1`,
	// There are few that are over: each PutEnrolment removes them.
	deleteOverEnrolments: `DELETE FROM enrolments WHERE user_name = $1 AND expires_us <= $2`,
	pruneEnrolments:      `DELETE FROM enrolments WHERE hash IN (SELECT hash FROM enrolments WHERE expires_us < $1 ORDER BY expires_us, hash LIMIT $2)`,

	existsGroup:     `SELECT 1 FROM user_groups WHERE name = $1`,
	countGroups:     `SELECT count(*) FROM user_groups`,
	insertGroup:     `INSERT INTO user_groups (name) VALUES ($1)`,
	deleteGroup:     `DELETE FROM user_groups WHERE name = $1`,
	listGroups:      `SELECT name FROM user_groups WHERE name > $1 ORDER BY name LIMIT $2`,
	selectMembersOf: `SELECT user_name FROM group_members WHERE name = $1 ORDER BY user_name`,
	insertMemberOf:  `INSERT INTO group_members (name, user_name) VALUES ($1, $2)`,
	deleteMembersOf: `DELETE FROM group_members WHERE name = $1`,
	countGroupsOf:   `SELECT count(*) FROM group_members WHERE user_name = $1`,
	selectGroupsOf:  `SELECT name FROM group_members WHERE user_name = $1 ORDER BY name`,

	selectSession: `SELECT session, refresh, refreshes FROM sessions WHERE token_id = $1`,
	insertSession: `INSERT INTO sessions (token_id, user_name, device, session, expires_us, refresh, refreshes, issued_by) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)`,
	listSessions: `SELECT session FROM sessions WHERE user_name = $1 AND token_id > $2 AND (expires_us = 0 OR expires_us > $3)
		ORDER BY token_id LIMIT $4`,
	countSessions: `SELECT count(*) FROM sessions WHERE user_name = $1`,
	// The plus has the planner walk the sessions of one user, and not all that are over.
	deleteOverSessions:     `DELETE FROM sessions WHERE user_name = $1 AND +expires_us > 0 AND +expires_us <= $2`,
	deleteSession:          `DELETE FROM sessions WHERE token_id = $1 AND user_name = $2 RETURNING token_id`,
	deleteSessionsOf:       `DELETE FROM sessions WHERE user_name = $1 RETURNING token_id`,
	deleteSessionsOfDevice: `DELETE FROM sessions WHERE user_name = $1 AND device = $2 RETURNING token_id`,
	deleteIssuedBy:         `DELETE FROM sessions WHERE user_name = $1 AND issued_by = $2 RETURNING token_id`,
	pruneSessions: `DELETE FROM sessions WHERE token_id IN
		(SELECT token_id FROM sessions WHERE expires_us > 0 AND expires_us < $1 ORDER BY expires_us, token_id LIMIT $2)`,
	selectRefresh:     `SELECT token_id FROM sessions WHERE refresh = $1`,
	rotateSession:     `UPDATE sessions SET refresh = $2, refreshes = $3 WHERE token_id = $1`,
	selectUsedRefresh: `SELECT token_id, seq FROM refreshes WHERE hash = $1`,
	insertRefresh:     `INSERT INTO refreshes (hash, token_id, seq, until_us) VALUES ($1, $2, $3, $4)`,
	deleteRefreshes:   `DELETE FROM refreshes WHERE token_id = $1 AND seq <= $2`,
	pruneRefreshes:    `DELETE FROM refreshes WHERE hash IN (SELECT hash FROM refreshes WHERE until_us < $1 ORDER BY until_us, hash LIMIT $2)`,

	selectGrant: `SELECT ` + grantColumns + ` FROM grants WHERE grant_id = $1`,
	selectLink:  `SELECT ` + grantColumns + ` FROM grants WHERE link = $1`,
	insertGrant: `INSERT INTO grants (` + grantColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
	relinkGrant: `UPDATE grants SET link = $2 WHERE grant_id = $1`,
	useGrant:    `UPDATE grants SET uses = uses + 1 WHERE grant_id = $1`,
	deleteGrant: `DELETE FROM grants WHERE grant_id = $1`,
	countAccess: `SELECT count(*) FROM grants WHERE owner = $1 AND coalesce(length(link), 0) = 0`,
	countLinks:  `SELECT count(*) FROM grants WHERE owner = $1 AND coalesce(length(link), 0) > 0`,
	selectOverGrants: `SELECT ` + grantColumns + ` FROM grants WHERE owner = $1 AND grant_id > '' AND expires_us > 0 AND expires_us <= $2
		ORDER BY grant_id`,
	selectGrantsTo: `SELECT ` + grantColumns + ` FROM grants WHERE grantee = $1 ORDER BY grant_id LIMIT $2`,
	listGrantsOf: `SELECT ` + grantColumns + ` FROM grants WHERE owner = $1 AND grant_id > $2 AND (expires_us = 0 OR expires_us > $3)
		ORDER BY grant_id LIMIT $4`,
	listGrantsTo: `SELECT ` + grantColumns + ` FROM grants WHERE grantee = $1 AND grant_id > $2 AND (expires_us = 0 OR expires_us > $3)
		ORDER BY grant_id LIMIT $4`,
	readAccess: `SELECT ` + grantColumns + ` FROM grants WHERE owner = $1 AND grantee IN
		(SELECT 'public' UNION ALL SELECT CAST($2 AS TEXT) UNION ALL SELECT 'group:' || name FROM group_members WHERE user_name = $3)
		AND (expires_us = 0 OR expires_us > $4)`,

	selectBalance:    `SELECT balance FROM accounts WHERE account = $1`,
	addBalance:       `UPDATE accounts SET balance = balance + $2 WHERE account = $1 RETURNING balance`,
	insertAccount:    `INSERT INTO accounts (account, balance) VALUES ($1, $2)`,
	insertEntry:      `INSERT INTO entries (` + entryColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`,
	selectEntriesOf:  `SELECT ` + entryColumns + ` FROM entries WHERE event_id = $1 ORDER BY seq LIMIT $2`,
	selectEntryAt:    `SELECT at_us FROM entries WHERE account = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2`,
	selectOldEntries: `SELECT ` + entryColumns + ` FROM entries WHERE event_id <> '' AND at_us < $1 ORDER BY at_us, seq LIMIT $2`,
	selectFolded:     `SELECT ` + entryColumns + ` FROM entries WHERE account = $1 AND event_id = ''`,
	deleteEntry:      `DELETE FROM entries WHERE seq = $1`,
	countEntries:     `SELECT count(*) FROM entries`,
	selectOverdrawn:  `SELECT account, balance FROM accounts WHERE account > 'user:' AND account < 'user;' AND balance < 0 ORDER BY account LIMIT $1`,
	listEntries:      `SELECT ` + entryColumns + ` FROM entries WHERE account = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
}
