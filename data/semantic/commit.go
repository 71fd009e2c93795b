package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
)

// CommitFile implements inos.Semantic.
func (s *Store) CommitFile(ctx context.Context, upload inos.UploadID, file inos.FileInfo, rows []inos.ChunkRow, key inos.RequestKey, now inos.Micros) (f inos.FileInfo, repeated bool, err error) {
	const op = "semantic:commit_file"
	if err := checkStage(op, upload, file.Owner, rows); err != nil {
		return f, false, err
	}
	if err := checkFile(op, &file); err != nil {
		return f, false, err
	}
	if err := checkKey(op, key); err != nil {
		return f, false, err
	}
	var pinned bool
	err = s.write(ctx, op, stageWeight(rows), func(t *tx) error {
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if reply != nil {
			repeated = true
			if f, err = decodeFile(op, replyCommit, reply); err != nil {
				return err
			}
			if err := sameFile(op, &f, &file); err != nil {
				return err
			}
		} else if f, err = t.commitFile(op, upload, file, rows, key, now); err != nil {
			return err
		}
		pinned, err = t.sweepUpload(op, upload, file.Owner)
		return err
	})
	if err != nil {
		return inos.FileInfo{}, false, err
	}
	if pinned {
		// More pins than one transaction takes. The file is committed whatever happens here: pins that a fault leaves
		// go with AbortUpload at the next start.
		_, _ = s.AbortUpload(context.WithoutCancel(ctx), upload)
	}
	return f, repeated, nil
}

func (t *tx) commitFile(op string, upload inos.UploadID, f inos.FileInfo, rows []inos.ChunkRow, key inos.RequestKey, now inos.Micros) (inos.FileInfo, error) {
	if err := t.stage(op, upload, f.Owner, rows, false); err != nil {
		return f, err
	}
	before, live, err := t.file(selectFile, string(f.Owner), []byte(f.Path))
	if err != nil {
		return f, err
	}
	f.CreatedAt = now
	if f.Version, err = t.nextVersion(before, live, f.Owner, f.Path); err != nil {
		return f, err
	}
	// The new reference comes before the old one goes: a file put again unchanged never becomes collectable.
	if err := t.addRef(op, f.ManifestID); err != nil {
		return f, err
	}
	if live {
		if err := t.dropRef(before.ManifestID); err != nil {
			return f, err
		}
	} else {
		t.delta.files++
	}
	t.delta.plainBytes += int64(f.PlainBytes) - int64(before.PlainBytes)
	err = t.exec(upsertFile, string(f.Owner), []byte(f.Path), int64(f.Version), f.FileID[:], f.ManifestID[:], int64(f.PlainBytes), int64(f.StoredBytes),
		int64(f.Chunks), int64(f.CreatedAt), f.ContentType, int64(f.ReplicasWanted), int64(f.ReplicasReached))
	if err != nil {
		return f, err
	}
	return f, t.remember(key, now, encodeFile(replyCommit, &f))
}

// nextVersion returns the version after the live one or the tombstone, and removes the tombstone.
func (t *tx) nextVersion(before inos.FileInfo, live bool, owner inos.Subject, path inos.Path) (uint64, error) {
	if live {
		return before.Version + 1, nil
	}
	var version int64
	buried, err := found(t.row(selectTombstone, string(owner), []byte(path)), &version)
	if err != nil || !buried {
		return 1, err
	}
	return uint64(version) + 1, t.exec(deleteTombstone, string(owner), []byte(path))
}

// DeleteFile implements inos.Semantic.
func (s *Store) DeleteFile(ctx context.Context, owner inos.Subject, path inos.Path, key inos.RequestKey, now inos.Micros) (version uint64, repeated bool, err error) {
	const op = "semantic:delete_file"
	if err := checkKey(op, key); err != nil {
		return 0, false, err
	}
	err = s.write(ctx, op, 1, func(t *tx) error {
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if reply != nil {
			repeated = true
			var was inos.Subject
			var at inos.Path
			if was, at, version, err = decodeDelete(op, reply); err != nil {
				return err
			}
			return sameTarget(op, was, at, owner, path)
		}
		version, err = t.deleteFile(op, owner, path, now)
		if err != nil {
			return err
		}
		return t.remember(key, now, encodeDelete(owner, path, version))
	})
	if err != nil {
		return 0, false, err
	}
	return version, repeated, nil
}

func (t *tx) deleteFile(op string, owner inos.Subject, path inos.Path, now inos.Micros) (uint64, error) {
	f, live, err := t.file(selectFile, string(owner), []byte(path))
	if err != nil {
		return 0, err
	}
	if !live {
		return 0, notFound(op, owner, path)
	}
	version := f.Version + 1
	if err := t.exec(deleteFile, string(owner), []byte(path)); err != nil {
		return 0, err
	}
	if err := t.exec(insertTombstone, string(owner), []byte(path), int64(version), int64(now)); err != nil {
		return 0, err
	}
	t.delta.files--
	t.delta.plainBytes -= int64(f.PlainBytes)
	return version, t.dropRef(f.ManifestID)
}

func notFound(op string, owner inos.Subject, path inos.Path) error {
	return inos.Errorf(inos.CodeFileNotFound, op, "%.256q has no file %.1024q", string(owner), string(path))
}
