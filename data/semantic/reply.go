package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A remembered reply is one byte that says of which verb, and the protobuf message of what the verb returned.
const (
	replyCommit = 1 // eventpb.FileInfo
	replyDelete = 2 // eventpb.FileInfo with the owner, the path and the tombstone's version
	replySet    = 3 // eventpb.FileInfo of SetReplicas
	replyUser   = 4 // eventpb.User
	replyGrant  = 5 // eventpb.AccessGrant
	replyUse    = 6 // nothing: the use was counted
)

// reply returns what was remembered under a key, or nil.
func (t *tx) reply(k inos.RequestKey) (reply []byte, err error) {
	_, err = found(t.row(selectReply, k.ID, k.EventType, string(k.Subject)), &reply)
	return reply, err
}

func (t *tx) remember(k inos.RequestKey, now inos.Micros, reply []byte) error {
	return t.exec(insertReply, string(k.Subject), k.ID, k.EventType, int64(now), reply)
}

func encodeReply(kind byte, m interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
},
) []byte {
	b := make([]byte, 1+m.SizeVT())
	b[0] = kind
	if _, err := m.MarshalToSizedBufferVT(b[1:]); err != nil {
		panic("semantic: encode a reply in memory: " + err.Error()) // no input can cause it
	}
	return b
}

func decodeReply(op string, kind byte, b []byte, m interface{ UnmarshalVT([]byte) error }) error {
	if len(b) == 0 || b[0] != kind {
		return conflict(op, "the request's key was used by another verb before")
	}
	if err := m.UnmarshalVT(b[1:]); err != nil {
		return inos.Errorf(inos.CodeBadFormat, op, "the remembered reply of %d bytes does not decode: %w", len(b), err)
	}
	return nil
}

func encodeFile(kind byte, f *inos.FileInfo) []byte {
	return encodeReply(kind, &eventpb.FileInfo{
		Owner: string(f.Owner), Path: string(f.Path), Version: f.Version, FileId: f.FileID[:], ManifestId: f.ManifestID[:],
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedUs: int64(f.CreatedAt),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
		Pledged: f.Pledged,
	})
}

func decodeFile(op string, kind byte, b []byte) (f inos.FileInfo, err error) {
	var m eventpb.FileInfo
	if err := decodeReply(op, kind, b, &m); err != nil {
		return f, err
	}
	if len(m.FileId) != inos.HashBytes || len(m.ManifestId) != inos.HashBytes {
		return f, inos.Errorf(inos.CodeBadFormat, op, "the remembered file has ids of %d and %d bytes, they have %d", len(m.FileId), len(m.ManifestId), inos.HashBytes)
	}
	return inos.FileInfo{
		Owner: inos.Subject(m.Owner), Path: inos.Path(m.Path), Version: m.Version, FileID: inos.FileID(m.FileId), ManifestID: inos.ChunkID(m.ManifestId),
		PlainBytes: m.PlainBytes, StoredBytes: m.StoredBytes, Chunks: m.Chunks, CreatedAt: inos.Micros(m.CreatedUs),
		ContentType: m.ContentType, ReplicasWanted: m.ReplicasWanted, ReplicasReached: m.ReplicasReached,
		Pledged: m.Pledged,
	}, nil
}

func encodeDelete(owner inos.Subject, path inos.Path, version uint64) []byte {
	return encodeReply(replyDelete, &eventpb.FileInfo{Owner: string(owner), Path: string(path), Version: version})
}

func decodeDelete(op string, b []byte) (owner inos.Subject, path inos.Path, version uint64, err error) {
	var m eventpb.FileInfo
	err = decodeReply(op, replyDelete, b, &m)
	return inos.Subject(m.Owner), inos.Path(m.Path), m.Version, err
}

// sameTarget refuses a key that comes again for another path: the answer remembered is not that of this request.
func sameTarget(op string, owner inos.Subject, path inos.Path, nowOwner inos.Subject, nowPath inos.Path) error {
	if owner != nowOwner {
		return conflict(op, "the request's key was used for a file of %.256q before, and comes now for one of %.256q", string(owner), string(nowOwner))
	}
	if path != nowPath {
		return conflict(op, "the request's key was used for the path %.1024q before, and comes now for %.1024q", string(path), string(nowPath))
	}
	return nil
}

// sameFile refuses a key that comes again with another file: answering with the one committed would lose this one.
func sameFile(op string, was, now *inos.FileInfo) error {
	if err := sameTarget(op, was.Owner, was.Path, now.Owner, now.Path); err != nil {
		return err
	}
	if was.FileID != now.FileID {
		return conflict(op, "the request's key stored the file %s at %.1024q before, and comes now with %s", was.FileID, string(was.Path), now.FileID)
	}
	return nil
}

// PruneReplies implements inos.Semantic.
func (s *Store) PruneReplies(ctx context.Context, before inos.Micros) (pruned int, err error) {
	for {
		var n int64
		err := s.write(ctx, "semantic:prune_replies", SweepRowsMax, func(t *tx) error {
			r, err := t.stmts[pruneReplies].ExecContext(context.Background(), int64(before), SweepRowsMax)
			if err != nil {
				return err
			}
			n, err = r.RowsAffected()
			return err
		})
		pruned += int(n)
		if err != nil || n < SweepRowsMax {
			return pruned, err
		}
	}
}
