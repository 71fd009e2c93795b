package semantic

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// FindChunks implements inos.Semantic.
func (m *Memory) FindChunks(ctx context.Context, owner inos.Subject, hashes []inos.PlainHash) ([]*inos.Entry, error) {
	const op = "semantic:find_chunks"
	if err := checkCount(op, "hashes", len(hashes)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	wanted := map[inos.PlainHash]*inos.Entry{}
	for _, h := range hashes {
		wanted[h] = nil
	}
	for _, c := range m.chunks {
		best, asked := wanted[c.entry.PlainHash]
		if asked && c.refs > 0 && len(c.copies) > 0 && c.owners[owner] && (best == nil || bytes.Compare(c.entry.ChunkID[:], best.ChunkID[:]) < 0) {
			e := c.entry
			wanted[e.PlainHash] = &e
		}
	}
	entries := make([]*inos.Entry, len(hashes))
	for i, h := range hashes {
		entries[i] = wanted[h]
	}
	return entries, nil
}

// LookupFile implements inos.Semantic.
func (m *Memory) LookupFile(ctx context.Context, owner inos.Subject, path inos.Path, id inos.FileID) (inos.FileInfo, error) {
	const op = "semantic:lookup_file"
	if err := m.enter(ctx, op); err != nil {
		return inos.FileInfo{}, err
	}
	defer m.mu.Unlock()
	if path != "" {
		f, live := m.files[owner][path]
		if !live {
			return f, notFound(op, owner, path)
		}
		return f, nil
	}
	for _, p := range slices.Sorted(maps.Keys(m.files[owner])) {
		if f := m.files[owner][p]; f.FileID == id {
			return f, nil
		}
	}
	return inos.FileInfo{}, inos.Errorf(inos.CodeFileNotFound, op, "%.256q has no file with the id %s", string(owner), id)
}

// ListFiles implements inos.Semantic.
func (m *Memory) ListFiles(ctx context.Context, owner inos.Subject, prefix, after string, limit int) (files []inos.FileInfo, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_files"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for _, p := range slices.Sorted(maps.Keys(m.files[owner])) {
		if !strings.HasPrefix(string(p), prefix) || string(p) <= after {
			continue
		}
		if len(files) == page(limit, ListMax) {
			return files, true, nil
		}
		files = append(files, m.files[owner][p])
	}
	return files, false, nil
}

// UnknownChunks implements inos.Semantic.
func (m *Memory) UnknownChunks(ctx context.Context, ids []inos.ChunkID) (unknown []inos.ChunkID, err error) {
	const op = "semantic:unknown_chunks"
	if err := checkCount(op, "ids", len(ids)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if m.chunks[id] == nil {
			unknown = append(unknown, id)
		}
	}
	return unknown, nil
}

// ChunkCopies implements inos.Semantic.
func (m *Memory) ChunkCopies(ctx context.Context, ids []inos.ChunkID) ([][]inos.Copy, error) {
	const op = "semantic:chunk_copies"
	if err := checkCount(op, "ids", len(ids)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	copies := make([][]inos.Copy, len(ids))
	for i, id := range ids {
		copies[i] = m.copies(m.chunks[id])
	}
	return copies, nil
}

// NodeChunks implements inos.Semantic.
func (m *Memory) NodeChunks(ctx context.Context, node inos.NodeID, after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool, err error) {
	const op = "semantic:node_chunks"
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return nil, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for id, c := range m.chunks {
		if _, held := c.copies[node]; held && !c.condemned && bytes.Compare(id[:], after[:]) > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) })
	limit = page(limit, NodeChunksMax)
	end = len(ids) <= limit
	return ids[:min(len(ids), limit)], end, nil
}

// PruneReplies implements inos.Semantic.
func (m *Memory) PruneReplies(ctx context.Context, before inos.Micros) (pruned int, err error) {
	if err := m.enter(ctx, "semantic:prune_replies"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for key, r := range m.replies {
		if r.at < before {
			delete(m.replies, key)
			pruned++
		}
	}
	return pruned, nil
}

// Totals implements inos.Semantic. It counts, so that the counters of Store have something to be held against.
func (m *Memory) Totals(ctx context.Context) (c inos.Totals, err error) {
	if err := m.enter(ctx, "semantic:totals"); err != nil {
		return c, err
	}
	defer m.mu.Unlock()
	for _, files := range m.files {
		for _, f := range files {
			c.Files++
			c.PlainBytes += f.PlainBytes
		}
	}
	for _, chunk := range m.chunks {
		c.Chunks++
		if chunk.roles&roleData != 0 {
			c.StoredBytes += chunk.entry.StoredBytes
		}
		if chunk.refs == 0 {
			c.Collectable++
		}
		c.Copies += uint64(len(chunk.copies))
		c.PlacedBytes += uint64(len(chunk.copies)) * chunk.storedBytes()
	}
	c.Uploads = uint64(len(m.uploads))
	return c, nil
}

// PutToken implements inos.Semantic.
func (m *Memory) PutToken(ctx context.Context, hash [inos.HashBytes]byte, session inos.Session) error {
	const op = "semantic:put_token"
	if err := checkToken(op, &session); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for id, t := range m.tokens {
		if t.hash == hash && id != session.TokenID {
			return conflict(op, "the secret of token %.64q is that of another token", session.TokenID)
		}
	}
	session.Capabilities = slices.Clone(session.Capabilities)
	m.tokens[session.TokenID] = twinToken{hash, session}
	return nil
}

// FindToken implements inos.Semantic.
func (m *Memory) FindToken(ctx context.Context, hash [inos.HashBytes]byte) (inos.Session, error) {
	const op = "semantic:find_token"
	if err := m.enter(ctx, op); err != nil {
		return inos.Session{}, err
	}
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.hash == hash {
			s := t.session
			s.Capabilities = slices.Clone(s.Capabilities)
			return s, nil
		}
	}
	return inos.Session{}, unauthenticated(op)
}
