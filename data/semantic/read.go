package semantic

import (
	"context"
	"database/sql"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// The verbs that only read run on the readers' connections, beside the writer: each sees every verb that returned before it began.

// wrap gives an error of a reading verb its code.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-s.stop:
		return closed(op)
	default:
		return sqlite.Wrap(op, s.db.Path, err)
	}
}

// FindChunks implements inos.Semantic.
func (s *Store) FindChunks(ctx context.Context, owner inos.Subject, hashes []inos.PlainHash) ([]*inos.Entry, error) {
	const op = "semantic:find_chunks"
	if err := checkCount(op, "hashes", len(hashes)); err != nil {
		return nil, err
	}
	entries := make([]*inos.Entry, len(hashes))
	for i := range hashes {
		var b []byte
		held, err := found(s.reads[findHolding].QueryRowContext(ctx, hashes[i][:], string(owner)), &b)
		if err != nil {
			return nil, s.wrap(op, err)
		}
		if !held {
			continue
		}
		e, err := inos.ParseEntry(b)
		if err != nil {
			return nil, err
		}
		entries[i] = &e
	}
	return entries, nil
}

// LookupFile implements inos.Semantic.
func (s *Store) LookupFile(ctx context.Context, owner inos.Subject, path inos.Path, id inos.FileID) (inos.FileInfo, error) {
	const op = "semantic:lookup_file"
	var row *sql.Row
	if path == "" {
		row = s.reads[selectFileByID].QueryRowContext(ctx, id[:], string(owner))
	} else {
		row = s.reads[selectFile].QueryRowContext(ctx, string(owner), []byte(path))
	}
	f, ok, err := scanFile(row.Scan)
	switch {
	case err != nil:
		return f, s.wrap(op, err)
	case !ok && path == "":
		return f, inos.Errorf(inos.CodeFileNotFound, op, "%.256q has no file with the id %s", string(owner), id)
	case !ok:
		return f, notFound(op, owner, path)
	}
	return f, nil
}

func (t *tx) file(s statement, args ...any) (inos.FileInfo, bool, error) {
	return scanFile(t.row(s, args...).Scan)
}

func scanFile(scan func(...any) error) (f inos.FileInfo, ok bool, err error) {
	var path, fileID, manifestID []byte
	err = scan(&f.Owner, &path, &f.Version, &fileID, &manifestID, &f.PlainBytes, &f.StoredBytes, &f.Chunks, &f.CreatedAt,
		&f.ContentType, &f.ReplicasWanted, &f.ReplicasReached, &f.Pledged)
	if err == sql.ErrNoRows {
		return inos.FileInfo{}, false, nil
	}
	if err != nil {
		return inos.FileInfo{}, false, err
	}
	if len(fileID) != inos.HashBytes || len(manifestID) != inos.HashBytes {
		return f, false, inos.Errorf(inos.CodeBadFormat, "read file row", "ids of %d and %d bytes, they have %d", len(fileID), len(manifestID), inos.HashBytes)
	}
	f.Path, f.FileID, f.ManifestID = inos.Path(path), inos.FileID(fileID), inos.ChunkID(manifestID)
	return f, true, nil
}

// ListFiles implements inos.Semantic.
func (s *Store) ListFiles(ctx context.Context, owner inos.Subject, prefix, after string, limit int) (files []inos.FileInfo, more bool, err error) {
	const op = "semantic:list_files"
	limit = page(limit, ListMax)
	end, ok := sqlite.PrefixEnd(prefix)
	if !ok {
		end = "\xff" // no path begins with it: paths are UTF-8 and begin with a slash
	}
	rows, err := s.reads[listFiles].QueryContext(ctx, string(owner), []byte(after), []byte(prefix), []byte(end), limit+1)
	if err != nil {
		return nil, false, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		if len(files) == limit {
			return files, true, nil
		}
		f, _, err := scanFile(rows.Scan)
		if err != nil {
			return nil, false, s.wrap(op, err)
		}
		files = append(files, f)
	}
	return files, false, s.wrap(op, rows.Err())
}

// UnknownChunks implements inos.Semantic.
func (s *Store) UnknownChunks(ctx context.Context, ids []inos.ChunkID) (unknown []inos.ChunkID, err error) {
	const op = "semantic:unknown_chunks"
	if err := checkCount(op, "ids", len(ids)); err != nil {
		return nil, err
	}
	for i := range ids {
		var one int64
		known, err := found(s.reads[existsChunk].QueryRowContext(ctx, ids[i][:]), &one)
		if err != nil {
			return nil, s.wrap(op, err)
		}
		if !known {
			unknown = append(unknown, ids[i])
		}
	}
	return unknown, nil
}

// NodeChunks implements inos.Semantic.
func (s *Store) NodeChunks(ctx context.Context, node inos.NodeID, after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool, err error) {
	const op = "semantic:node_chunks"
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return nil, false, err
	}
	limit = page(limit, NodeChunksMax)
	rows, err := s.reads[selectNodeChunks].QueryContext(ctx, string(node), after[:], limit+1)
	if err != nil {
		return nil, false, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		if len(ids) == limit {
			return ids, false, nil
		}
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, false, s.wrap(op, err)
		}
		if len(id) != inos.HashBytes {
			return nil, false, inos.Errorf(inos.CodeBadFormat, op, "an id of %d bytes, it has %d", len(id), inos.HashBytes)
		}
		ids = append(ids, inos.ChunkID(id))
	}
	return ids, true, s.wrap(op, rows.Err())
}

// Totals implements inos.Semantic.
func (s *Store) Totals(ctx context.Context) (c inos.Totals, err error) {
	err = s.reads[selectTotals].QueryRowContext(ctx).Scan(&c.Files, &c.PlainBytes, &c.Chunks, &c.StoredBytes, &c.Collectable, &c.Uploads,
		&c.Copies, &c.PlacedBytes)
	return c, s.wrap("semantic:totals", err)
}
