package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A remembered reply is one byte that says of which verb, and the protobuf message of what the verb returned.
const (
	replyCommit = 1 // eventpb.FileInfo
	replyDelete = 2 // eventpb.DeleteFileReply
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

func encodeFile(f *inos.FileInfo) []byte {
	return encodeReply(replyCommit, &eventpb.FileInfo{
		Owner: string(f.Owner), Path: string(f.Path), Version: f.Version, FileId: f.FileID[:], ManifestId: f.ManifestID[:],
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedUs: int64(f.CreatedAt),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
	})
}

func decodeFile(op string, b []byte) (f inos.FileInfo, err error) {
	var m eventpb.FileInfo
	if err := decodeReply(op, replyCommit, b, &m); err != nil {
		return f, err
	}
	if len(m.FileId) != inos.HashBytes || len(m.ManifestId) != inos.HashBytes {
		return f, inos.Errorf(inos.CodeBadFormat, op, "the remembered file has ids of %d and %d bytes, they have %d", len(m.FileId), len(m.ManifestId), inos.HashBytes)
	}
	return inos.FileInfo{
		Owner: inos.Subject(m.Owner), Path: inos.Path(m.Path), Version: m.Version, FileID: inos.FileID(m.FileId), ManifestID: inos.ChunkID(m.ManifestId),
		PlainBytes: m.PlainBytes, StoredBytes: m.StoredBytes, Chunks: m.Chunks, CreatedAt: inos.Micros(m.CreatedUs),
		ContentType: m.ContentType, ReplicasWanted: m.ReplicasWanted, ReplicasReached: m.ReplicasReached,
	}, nil
}

func encodeVersion(version uint64) []byte {
	return encodeReply(replyDelete, &eventpb.DeleteFileReply{Version: version})
}

func decodeVersion(op string, b []byte) (uint64, error) {
	var m eventpb.DeleteFileReply
	err := decodeReply(op, replyDelete, b, &m)
	return m.Version, err
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
