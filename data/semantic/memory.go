package semantic

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Memory is the twin of Store in plain maps: slow where it can be, clear, and gone with the process. Simulations run
// on it, and a test holds the two to the same answers.
type Memory struct {
	mu         sync.Mutex // guards everything below
	chunks     map[inos.ChunkID]*twinChunk
	uploads    map[inos.UploadID]*twinUpload
	files      map[inos.Subject]map[inos.Path]inos.FileInfo
	records    map[inos.Subject]map[inos.Path]*twinRecord // of every path that ever had a version
	replies    map[inos.RequestKey]twinReply
	tokens     map[string]twinToken // by token id
	members    map[inos.NodeID]*twinMember
	repairs    map[inos.ChunkID]inos.Repair
	sightings  map[inos.ChunkID]map[inos.NodeID]bool
	generation uint64
	lease      uint64
	orders     uint64 // the ceiling of their numbers
	identity   twinIdentity
	closed     bool
}

var _ inos.Semantic = (*Memory)(nil)

type twinChunk struct {
	entry      inos.Entry
	roles      int
	refs       int
	generation uint64
	condemned  bool
	children   map[inos.ChunkID]bool
	parents    map[inos.ChunkID]bool
	copies     map[inos.NodeID]twinCopy
	owners     map[inos.Subject]bool // who finds it by its plain hash
}

type twinUpload struct {
	owner inos.Subject
	pins  map[inos.ChunkID]bool
	open  *inos.Upload // nil: of a put
	slots map[uint64]inos.UploadSlot
}

type twinReply struct {
	kind  byte // replyCommit, replyDelete and so on
	at    inos.Micros
	file  inos.FileInfo // of a delete Owner, Path and Version only
	user  inos.User
	grant inos.AccessGrant
}

type twinToken struct {
	hash    [inos.HashBytes]byte
	session inos.Session
}

// NewMemory returns an empty semantic memory that keeps nothing on disk.
func NewMemory() *Memory {
	return &Memory{
		chunks:    map[inos.ChunkID]*twinChunk{},
		uploads:   map[inos.UploadID]*twinUpload{},
		files:     map[inos.Subject]map[inos.Path]inos.FileInfo{},
		records:   map[inos.Subject]map[inos.Path]*twinRecord{},
		replies:   map[inos.RequestKey]twinReply{},
		tokens:    map[string]twinToken{},
		members:   map[inos.NodeID]*twinMember{},
		repairs:   map[inos.ChunkID]inos.Repair{},
		sightings: map[inos.ChunkID]map[inos.NodeID]bool{},
		identity:  newTwinIdentity(),
	}
}

// Close makes every later verb fail with CodeShuttingDown.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// enter locks the memory for one verb.
func (m *Memory) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return sqlite.Wrap(op, "before it began", err)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return closed(op)
	}
	return nil
}

// undo remembers what a verb changes, so that a failing verb leaves nothing.
type undo struct {
	chunks     map[inos.ChunkID]*twinChunk // nil: it did not exist
	uploads    map[inos.UploadID]*twinUpload
	generation uint64
}

func (m *Memory) begin() *undo {
	return &undo{map[inos.ChunkID]*twinChunk{}, map[inos.UploadID]*twinUpload{}, m.generation}
}

func (m *Memory) rollback(u *undo) {
	restore(m.chunks, u.chunks)
	restore(m.uploads, u.uploads)
	m.generation = u.generation
}

func restore[K comparable, V any](dst, from map[K]*V) {
	for k, v := range from {
		if v == nil {
			delete(dst, k)
		} else {
			dst[k] = v
		}
	}
}

// chunk returns a chunk to be changed, or nil.
func (m *Memory) chunk(u *undo, id inos.ChunkID) *twinChunk {
	c := m.chunks[id]
	if _, kept := u.chunks[id]; kept {
		return c
	}
	u.chunks[id] = c
	if c == nil {
		return nil
	}
	changed := *c
	changed.children, changed.parents = maps.Clone(c.children), maps.Clone(c.parents)
	changed.copies, changed.owners = maps.Clone(c.copies), maps.Clone(c.owners)
	m.chunks[id] = &changed
	return &changed
}

// upload returns an upload to be changed, or nil.
func (m *Memory) upload(u *undo, id inos.UploadID) *twinUpload {
	up := m.uploads[id]
	if _, kept := u.uploads[id]; kept {
		return up
	}
	u.uploads[id] = up
	if up == nil {
		return nil
	}
	changed := &twinUpload{owner: up.owner, pins: maps.Clone(up.pins), slots: maps.Clone(up.slots)}
	if up.open != nil {
		open := *up.open
		changed.open = &open
	}
	m.uploads[id] = changed
	return changed
}

// StageChunks implements inos.Semantic.
func (m *Memory) StageChunks(ctx context.Context, upload inos.UploadID, owner inos.Subject, rows []inos.ChunkRow, _ inos.Micros) error {
	const op = "semantic:stage_chunks"
	if err := checkStage(op, upload, owner, rows); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	u := m.begin()
	up := m.upload(u, upload)
	if up == nil {
		up = &twinUpload{owner: owner, pins: map[inos.ChunkID]bool{}}
		m.uploads[upload] = up
	}
	err := m.stage(u, op, up, owner, rows, true)
	if err != nil {
		m.rollback(u)
	}
	return err
}

func (m *Memory) stage(u *undo, op string, up *twinUpload, owner inos.Subject, rows []inos.ChunkRow, pin bool) error {
	if up != nil && up.owner != owner {
		return conflict(op, "the upload belongs to another owner")
	}
	for i := range rows {
		r := &rows[i]
		c, err := m.stageRow(u, op, owner, r)
		if err != nil {
			return err
		}
		for _, node := range r.Nodes {
			if r.Known {
				break
			}
			member, err := m.member(op, node)
			if err != nil {
				return err
			}
			c.confirm(node, member.Epoch)
		}
		c.promise(r.Promised)
		if r.Manifest {
			if err := m.adopt(u, op, up, c, r.Children); err != nil {
				return err
			}
		}
		if pin && !up.pins[r.Entry.ChunkID] {
			up.pins[r.Entry.ChunkID] = true
			m.refer(c)
		}
	}
	return nil
}

func (m *Memory) stageRow(u *undo, op string, owner inos.Subject, r *inos.ChunkRow) (*twinChunk, error) {
	role := roleData
	if r.Manifest {
		role = roleManifest
	}
	c := m.chunk(u, r.Entry.ChunkID)
	if r.Known && (c == nil || c.condemned || len(c.copies) == 0 || c.roles&role == 0 || role == roleData && (!c.owners[owner] || c.entry.PlainHash != r.Entry.PlainHash)) {
		return nil, conflict(op, "chunk %s is no longer held: write it again", r.Entry.ChunkID)
	}
	if c == nil {
		c = &twinChunk{
			entry: r.Entry, children: map[inos.ChunkID]bool{}, parents: map[inos.ChunkID]bool{},
			copies: map[inos.NodeID]twinCopy{}, owners: map[inos.Subject]bool{},
		}
		m.chunks[r.Entry.ChunkID] = c
	}
	sameRole := c.roles&role != 0 && (role == roleData || c.roles == roleManifest)
	if sameRole && contradicts(&c.entry, &r.Entry) {
		return nil, conflict(op, "chunk %s is known with other lengths or another plain hash", r.Entry.ChunkID)
	}
	if role == roleData {
		if c.roles&roleData == 0 {
			c.entry = r.Entry
		}
		c.owners[owner] = true
		c.roles |= roleData
	}
	if c.condemned { // its copies are in the trash, or on their way there: only what is written anew counts
		clear(c.copies)
	}
	c.condemned = false
	m.generation++
	c.generation = m.generation
	return c, nil
}

func (m *Memory) adopt(u *undo, op string, up *twinUpload, c *twinChunk, children []inos.ChunkID) error {
	linked := c.roles&roleManifest != 0
	c.roles |= roleManifest
	for _, child := range children {
		d := m.chunk(u, child)
		if !linked && (d == nil || d.condemned) {
			return conflict(op, "chunk %s is referred to but has no row, or is being collected", child)
		}
		if !linked && !c.children[child] {
			c.children[child], d.parents[c.entry.ChunkID] = true, true
			m.refer(d)
		}
		if up != nil && up.pins[child] {
			delete(up.pins, child)
			d.refs--
		}
	}
	return nil
}

func (m *Memory) refer(c *twinChunk) {
	c.refs++
	m.generation++
	c.generation = m.generation
}

// CommitFile implements inos.Semantic.
func (m *Memory) CommitFile(ctx context.Context, upload inos.UploadID, f inos.FileInfo, rows []inos.ChunkRow, quota inos.Quota, key inos.RequestKey, now inos.Micros) (inos.FileInfo, bool, error) {
	const op = "semantic:commit_file"
	if err := checkStage(op, upload, f.Owner, rows); err != nil {
		return inos.FileInfo{}, false, err
	}
	if err := checkFile(op, &f); err != nil {
		return inos.FileInfo{}, false, err
	}
	if err := checkKey(op, key); err != nil {
		return inos.FileInfo{}, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return inos.FileInfo{}, false, err
	}
	defer m.mu.Unlock()
	reply, repeated, err := m.reply(op, key, replyCommit)
	if err != nil {
		return inos.FileInfo{}, false, err
	}
	if repeated {
		if err := sameFile(op, &reply.file, &f); err != nil {
			return inos.FileInfo{}, false, err
		}
	}
	u := m.begin()
	up := m.upload(u, upload)
	if up != nil && up.owner != f.Owner {
		m.rollback(u)
		return inos.FileInfo{}, false, conflict(op, "the upload belongs to another owner")
	}
	if repeated {
		m.drop(upload)
		return reply.file, true, nil
	}
	if err := m.stage(u, op, up, f.Owner, rows, false); err != nil {
		m.rollback(u)
		return inos.FileInfo{}, false, err
	}
	root := m.chunk(u, f.ManifestID)
	if root == nil || root.condemned {
		m.rollback(u)
		return inos.FileInfo{}, false, conflict(op, "the manifest %s has no row, or is being collected", f.ManifestID)
	}
	before, live := m.files[f.Owner][f.Path]
	err = checkQuota(op, &f, &before, live, m.usedWith(&f), quota)
	if err == nil {
		err = m.pledge(op, f.Owner, before.Pledged, f.Pledged, key.ID, now)
	}
	if err != nil {
		m.rollback(u)
		return inos.FileInfo{}, false, err
	}
	m.refer(root)
	f.CreatedAt = now
	f.Version = m.nextVersion(f.Owner, f.Path, twinRecord{})
	put(m.files, f.Owner, f.Path, f)
	m.replies[key] = twinReply{kind: replyCommit, at: now, file: f}
	m.drop(upload)
	return f, false, nil
}

func put[V any](m map[inos.Subject]map[inos.Path]V, owner inos.Subject, path inos.Path, v V) {
	if m[owner] == nil {
		m[owner] = map[inos.Path]V{}
	}
	m[owner][path] = v
}

// drop ends an upload and its pins.
func (m *Memory) drop(upload inos.UploadID) {
	if up := m.uploads[upload]; up != nil {
		for id := range up.pins {
			m.chunks[id].refs--
		}
		delete(m.uploads, upload)
	}
}

// DeleteFile implements inos.Semantic.
func (m *Memory) DeleteFile(ctx context.Context, owner inos.Subject, path inos.Path, key inos.RequestKey, now inos.Micros) (uint64, bool, error) {
	const op = "semantic:delete_file"
	if err := checkKey(op, key); err != nil {
		return 0, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	reply, repeated, err := m.reply(op, key, replyDelete)
	if err != nil {
		return 0, false, err
	}
	if repeated {
		if err := sameTarget(op, reply.file.Owner, reply.file.Path, owner, path); err != nil {
			return 0, false, err
		}
		return reply.file.Version, true, nil
	}
	f, live := m.files[owner][path]
	if !live {
		return 0, false, notFound(op, owner, path)
	}
	if err := m.pledge(op, owner, f.Pledged, 0, key.ID, now); err != nil {
		return 0, false, err
	}
	version := m.nextVersion(owner, path, twinRecord{tombstone: true, at: now})
	delete(m.files[owner], path)
	m.replies[key] = twinReply{kind: replyDelete, at: now, file: inos.FileInfo{Owner: owner, Path: path, Version: version}}
	return version, false, nil
}

// reply returns what was remembered under a key; one that another verb used is a conflict.
func (m *Memory) reply(op string, key inos.RequestKey, kind byte) (twinReply, bool, error) {
	reply, repeated := m.replies[key]
	if repeated && reply.kind != kind {
		return reply, true, conflict(op, "the request's key was used by another verb before")
	}
	return reply, repeated, nil
}

// AbortUpload implements inos.Semantic.
func (m *Memory) AbortUpload(ctx context.Context, upload inos.UploadID) (int, error) {
	if err := m.enter(ctx, "semantic:abort_upload"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	before := len(m.uploads)
	if upload != "" {
		m.drop(upload)
	} else {
		for id, up := range m.uploads {
			if up.open == nil {
				m.drop(id)
			}
		}
	}
	return before - len(m.uploads), nil
}

// CondemnChunks implements inos.Semantic.
func (m *Memory) CondemnChunks(ctx context.Context, limit int) (condemned []inos.ChunkGeneration, err error) {
	if err := m.enter(ctx, "semantic:condemn_chunks"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for id, c := range m.chunks {
		if c.refs == 0 {
			condemned = append(condemned, inos.ChunkGeneration{ID: id, Generation: c.generation})
		}
	}
	slices.SortFunc(condemned, func(a, b inos.ChunkGeneration) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	condemned = condemned[:min(len(condemned), page(limit, CondemnMax))]
	for _, c := range condemned {
		m.chunks[c.ID].condemned = true
	}
	return condemned, nil
}

// ForgetChunks implements inos.Semantic.
func (m *Memory) ForgetChunks(ctx context.Context, chunks []inos.ChunkGeneration) (forgotten int, err error) {
	const op = "semantic:forget_chunks"
	if err := checkCount(op, "chunks", len(chunks)); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for _, g := range chunks {
		c := m.chunks[g.ID]
		if c == nil || c.refs > 0 || !c.condemned || c.generation != g.Generation {
			continue
		}
		for child := range c.children {
			m.chunks[child].refs--
			delete(m.chunks[child].parents, g.ID)
		}
		delete(m.chunks, g.ID)
		delete(m.repairs, g.ID)
		forgotten++
	}
	return forgotten, nil
}

// DropCopies implements inos.Semantic.
func (m *Memory) DropCopies(ctx context.Context, node inos.NodeID, ids []inos.ChunkID) (dropped int, err error) {
	const op = "semantic:drop_copies"
	if err := checkDrop(op, node, ids); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if c := m.chunks[id]; c != nil && c.drop(node) {
			dropped++
		}
	}
	return dropped, nil
}
