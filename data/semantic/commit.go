package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
)

// CommitFile implements inos.Semantic.
func (s *Store) CommitFile(ctx context.Context, upload inos.UploadID, file inos.FileInfo, rows []inos.ChunkRow, quota inos.Quota, key inos.RequestKey, now inos.Micros) (f inos.FileInfo, repeated bool, err error) {
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
		} else if f, err = t.commitFile(op, upload, file, rows, quota, key, now); err != nil {
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

func (t *tx) commitFile(op string, upload inos.UploadID, f inos.FileInfo, rows []inos.ChunkRow, quota inos.Quota, key inos.RequestKey, now inos.Micros) (inos.FileInfo, error) {
	if _, err := t.checkUpload(op, upload, f.Owner); err != nil {
		return f, err
	}
	if err := t.stage(op, upload, f.Owner, rows, false); err != nil {
		return f, err
	}
	before, live, err := t.file(selectFile, string(f.Owner), []byte(f.Path))
	if err != nil {
		return f, err
	}
	f.CreatedAt = now
	used, err := t.writeVersion(op, &f, before, live)
	if err != nil {
		return f, err
	}
	if err := checkQuota(op, &f, &before, live, used, quota); err != nil {
		return f, err
	}
	if err := t.pledge(op, f.Owner, before.Pledged, f.Pledged, key.ID, now); err != nil {
		return f, err
	}
	return f, t.remember(key, now, encodeFile(replyCommit, &f))
}

// writeVersion writes f as the next version of its path, and returns what its owner's namespace has then.
func (t *tx) writeVersion(op string, f *inos.FileInfo, before inos.FileInfo, live bool) (used inos.NamespaceUsage, err error) {
	version, err := t.nextVersion(f.Owner, f.Path, before, live)
	if err != nil {
		return used, err
	}
	if !live && version > 1 {
		if err := t.exec(deleteTombstone, string(f.Owner), []byte(f.Path)); err != nil {
			return used, err
		}
	}
	f.Version = version
	if err := t.addRef(op, f.ManifestID); err != nil {
		return used, err
	}
	return t.putFile(f, before, live)
}

// putFile writes the row of a live file over the one before.
func (t *tx) putFile(f *inos.FileInfo, before inos.FileInfo, live bool) (used inos.NamespaceUsage, err error) {
	files := int64(0)
	if !live {
		files = 1
	}
	if used, err = t.count(f.Owner, files, int64(f.PlainBytes)-int64(before.PlainBytes)); err != nil {
		return used, err
	}
	return used, t.exec(upsertFile, string(f.Owner), []byte(f.Path), int64(f.Version), f.FileID[:], f.ManifestID[:], int64(f.PlainBytes), int64(f.StoredBytes),
		int64(f.Chunks), int64(f.CreatedAt), f.ContentType, int64(f.ReplicasWanted), int64(f.ReplicasReached), f.Pledged)
}

// count adds to the counters of a namespace, and to the totals.
func (t *tx) count(owner inos.Subject, files, bytes int64) (used inos.NamespaceUsage, err error) {
	t.delta.files += files
	t.delta.plainBytes += bytes
	known, err := found(t.row(addNamespace, string(owner), files, bytes), &used.Files, &used.PlainBytes)
	if err != nil || known {
		return used, err
	}
	return inos.NamespaceUsage{Files: uint64(files), PlainBytes: uint64(bytes)}, t.exec(insertNamespace, string(owner), files, bytes)
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
		version, err = t.deleteFile(op, owner, path, key.ID, now)
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

func (t *tx) deleteFile(op string, owner inos.Subject, path inos.Path, eventID string, now inos.Micros) (uint64, error) {
	f, live, err := t.file(selectFile, string(owner), []byte(path))
	if err != nil {
		return 0, err
	}
	if !live {
		return 0, notFound(op, owner, path)
	}
	version, err := t.nextVersion(owner, path, f, true)
	if err != nil {
		return 0, err
	}
	if err := t.pledge(op, owner, f.Pledged, 0, eventID, now); err != nil {
		return 0, err
	}
	return version, t.bury(&f, version, now)
}

// bury puts a tombstone in the place of a live file.
func (t *tx) bury(f *inos.FileInfo, version uint64, at inos.Micros) error {
	if err := t.exec(deleteFile, string(f.Owner), []byte(f.Path)); err != nil {
		return err
	}
	if _, err := t.count(f.Owner, -1, -int64(f.PlainBytes)); err != nil {
		return err
	}
	return t.exec(insertTombstone, string(f.Owner), []byte(f.Path), int64(version), int64(at))
}

// otherVersion refuses what was decided from a version that is not the path's present one.
func otherVersion(op string, owner inos.Subject, path inos.Path, version, present uint64) error {
	return inos.Errorf(inos.CodeConflict, op, "%.1024q of %.256q has version %d, not %d", string(path), string(owner), present, version)
}

func notFound(op string, owner inos.Subject, path inos.Path) error {
	return inos.Errorf(inos.CodeFileNotFound, op, "%.256q has no file %.1024q", string(owner), string(path))
}
