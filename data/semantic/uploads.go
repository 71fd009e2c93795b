package semantic

import (
	"context"
	"database/sql"
	"errors"

	"github.com/inos-mesh/inos"
)

// OpenUpload implements inos.SemanticUploads.
func (s *Store) OpenUpload(ctx context.Context, u inos.Upload, uploadsMax int, bytesMax uint64) (opened inos.Upload, err error) {
	const op = "semantic:open_upload"
	if err := checkUpload(op, &u); err != nil {
		return opened, err
	}
	u.Held = 0
	err = s.write(ctx, op, 2, func(t *tx) error {
		was, open, err := t.openedUpload(u.ID)
		if err != nil {
			return err
		}
		if open {
			opened = was
			return sameUpload(op, &was, &u)
		}
		if taken, err := t.checkUpload(op, u.ID, u.Owner); err != nil || taken {
			if err == nil {
				err = conflict(op, "a put is under way as the upload %.80s", u.ID)
			}
			return err
		}
		var uploads, bytes int64
		if err := t.row(sumOpen, string(u.Subject)).Scan(&uploads, &bytes); err != nil {
			return err
		}
		if err := checkOpen(op, &u, uint64(uploads), uint64(bytes), uploadsMax, bytesMax); err != nil {
			return err
		}
		if err := t.openUpload(op, u.ID, u.Owner, u.CreatedAt); err != nil {
			return err
		}
		opened = u
		return t.exec(insertOpen, string(u.ID), string(u.Subject), string(u.Owner), []byte(u.Path), int64(u.PlainBytes), u.FileID[:], u.ContentType,
			int64(u.Replicas), int64(u.Sync), string(u.Tier), int64(u.CreatedAt), int64(u.ExpiresAt))
	})
	if err != nil {
		return inos.Upload{}, err
	}
	return opened, nil
}

func scanUpload(scan func(...any) error) (u inos.Upload, open bool, err error) {
	var path, fileID []byte
	switch err := scan(&u.ID, &u.Subject, &u.Owner, &path, &u.PlainBytes, &fileID, &u.ContentType, &u.Replicas, &u.Sync, &u.Tier, &u.CreatedAt, &u.ExpiresAt, &u.Held); {
	case errors.Is(err, sql.ErrNoRows):
		return inos.Upload{}, false, nil
	case err != nil:
		return u, false, err
	case len(fileID) != inos.HashBytes:
		return u, false, inos.Errorf(inos.CodeBadFormat, "read upload row", "a file id of %d bytes, it has %d", len(fileID), inos.HashBytes)
	}
	u.Path, u.FileID = inos.Path(path), inos.FileID(fileID)
	return u, true, nil
}

func (t *tx) openedUpload(id inos.UploadID) (inos.Upload, bool, error) {
	return scanUpload(t.row(selectOpen, string(id)).Scan)
}

func scanSlot(scan func(...any) error, before ...any) (e inos.Entry, described, there bool, err error) {
	var raw []byte
	switch err := scan(append(before, &raw, &described)...); {
	case errors.Is(err, sql.ErrNoRows):
		return e, false, false, nil
	case err != nil:
		return e, false, false, err
	}
	e, err = inos.ParseEntry(raw)
	return e, described, err == nil, err
}

// FindUpload implements inos.SemanticUploads.
func (s *Store) FindUpload(ctx context.Context, id inos.UploadID, index uint64, key inos.RequestKey) (f inos.FoundUpload, err error) {
	const op = "semantic:find_upload"
	if err := checkIndex(op, index); err != nil {
		return f, err
	}
	err = s.read(ctx, op, func(r *snapshot) error {
		var open bool
		if f.Upload, open, err = scanUpload(r.row(selectOpen, string(id)).Scan); err != nil {
			return err
		}
		if !open {
			return r.committed(op, id, key, &f)
		}
		e, described, there, err := scanSlot(r.row(selectSlot, string(id), int64(index)).Scan)
		if there {
			f.Slot = &inos.UploadSlot{Index: index, Entry: e, Described: described}
		}
		return err
	})
	if err != nil {
		return inos.FoundUpload{}, err
	}
	return f, nil
}

// committed looks for the file that a request committed.
func (r *snapshot) committed(op string, id inos.UploadID, key inos.RequestKey, f *inos.FoundUpload) error {
	var reply []byte
	was, err := found(r.row(selectReply, key.ID, key.EventType, string(key.Subject)), &reply)
	switch {
	case err != nil:
		return err
	case !was:
		return uploadUnknown(op, id)
	}
	file, err := decodeFile(op, replyCommit, reply)
	f.Committed = &file
	return err
}

// ListUploads implements inos.SemanticUploads.
func (s *Store) ListUploads(ctx context.Context, subject, owner inos.Subject, after inos.UploadID, limit int) (uploads []inos.Upload, more bool, err error) {
	const op = "semantic:list_uploads"
	limit = page(limit, ListMax)
	rows, err := s.reads[listOpen].QueryContext(ctx, string(subject), string(owner), string(after), limit+1)
	if err != nil {
		return nil, false, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		if len(uploads) == limit {
			return uploads, true, nil
		}
		u, _, err := scanUpload(rows.Scan)
		if err != nil {
			return nil, false, s.wrap(op, err)
		}
		uploads = append(uploads, u)
	}
	return uploads, false, s.wrap(op, rows.Err())
}

// ExpiredUploads implements inos.SemanticUploads.
func (s *Store) ExpiredUploads(ctx context.Context, before inos.Micros, limit int) (ids []inos.UploadID, err error) {
	const op = "semantic:expired_uploads"
	rows, err := s.reads[expiredOpen].QueryContext(ctx, int64(before), page(limit, ListMax))
	if err != nil {
		return nil, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id inos.UploadID
		if err := rows.Scan(&id); err != nil {
			return nil, s.wrap(op, err)
		}
		ids = append(ids, id)
	}
	return ids, s.wrap(op, rows.Err())
}

// UploadSlots implements inos.SemanticUploads.
func (s *Store) UploadSlots(ctx context.Context, id inos.UploadID, first uint64, limit int) (slots []inos.UploadSlot, err error) {
	const op = "semantic:upload_slots"
	if err := checkIndex(op, first); err != nil {
		return nil, err
	}
	err = s.read(ctx, op, func(r *snapshot) error {
		if _, open, err := scanUpload(r.row(selectOpen, string(id)).Scan); err != nil || !open {
			if err == nil {
				err = uploadUnknown(op, id)
			}
			return err
		}
		rows, err := r.query(listSlots, string(id), int64(first), page(limit, StageRowsMax))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x inos.UploadSlot
			if x.Entry, x.Described, _, err = scanSlot(rows.Scan, &x.Index); err != nil {
				return err
			}
			slots = append(slots, x)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return slots, nil
}
