package semantic

import (
	"unicode/utf8"

	"github.com/inos-mesh/inos"
)

// The checks that need no database; the twin makes the same.

func checkStage(op string, upload inos.UploadID, owner inos.Subject, rows []inos.ChunkRow) error {
	if err := checkText(op, "upload id", string(upload), 1); err != nil {
		return err
	}
	if err := checkText(op, "owner", string(owner), 1); err != nil {
		return err
	}
	if len(rows) > StageRowsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d chunk rows, at most %d in one call", len(rows), StageRowsMax)
	}
	for i := range rows {
		if err := checkRow(op, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRow(op string, r *inos.ChunkRow) error {
	id := r.Entry.ChunkID
	if len(r.Children) > 0 && !r.Manifest || len(r.Children) > inos.ManifestEntriesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %s has %d children, a manifest node has at most %d and data has none", id, len(r.Children), inos.ManifestEntriesMax)
	}
	for _, child := range r.Children {
		if child == id {
			return inos.Errorf(inos.CodeBadRequest, op, "chunk %s is its own child", id)
		}
	}
	if len(r.Nodes) > NodesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %s names %d nodes, at most %d in one call", id, len(r.Nodes), NodesMax)
	}
	for _, node := range r.Nodes {
		if err := checkText(op, "node id", string(node), 1); err != nil {
			return err
		}
	}
	plainMax, storedMax := uint64(inos.ChunkBytesMax), uint64(chunkFileBytes)
	if r.Manifest {
		plainMax, storedMax = FileBytesMax, FileBytesMax
	}
	if r.Entry.PlainBytes > plainMax || r.Entry.StoredBytes > storedMax {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %s has %d plain and %d stored bytes, at most %d and %d", id, r.Entry.PlainBytes, r.Entry.StoredBytes, plainMax, storedMax)
	}
	return nil
}

func checkFile(op string, f *inos.FileInfo) error {
	if err := checkText(op, "owner", string(f.Owner), 1); err != nil {
		return err
	}
	if err := inos.CheckPath(f.Path); err != nil {
		return err
	}
	if err := checkText(op, "content type", f.ContentType, 0); err != nil {
		return err
	}
	if f.PlainBytes > FileBytesMax || f.StoredBytes > FileBytesMax || f.Chunks > FileBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%s has %d plain bytes, %d stored bytes and %d chunks, each is at most %d", f.Path, f.PlainBytes, f.StoredBytes, f.Chunks, uint64(FileBytesMax))
	}
	return checkPledge(op, f.Pledged)
}

func checkKey(op string, k inos.RequestKey) error {
	if err := checkText(op, "request id", k.ID, 1); err != nil {
		return err
	}
	if err := checkText(op, "subject of the request", string(k.Subject), 0); err != nil {
		return err
	}
	return checkText(op, "event type of the request", k.EventType, 1)
}

func checkText(op, what, s string, least int) error {
	if len(s) < least || len(s) > TextBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the %s has %d bytes, it has %d to %d", what, len(s), least, TextBytesMax)
	}
	if !utf8.ValidString(s) {
		return inos.Errorf(inos.CodeBadRequest, op, "the %s is not UTF-8", what)
	}
	return nil
}

func checkDrop(op string, node inos.NodeID, ids []inos.ChunkID) error {
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return err
	}
	return checkCount(op, "ids", len(ids))
}

func checkCount(op, what string, n int) error {
	if n > IDsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d %s, at most %d in one call", n, what, IDsMax)
	}
	return nil
}

func checkToken(op string, s *inos.Session) error {
	for _, c := range []struct{ what, text string }{{"token id", s.TokenID}, {"subject", string(s.Subject)}} {
		if err := checkText(op, c.what, c.text, 1); err != nil {
			return err
		}
	}
	bytes := len(s.Device)
	for _, c := range s.Capabilities {
		bytes += len(c)
	}
	if bytes > tokenBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the token %s has %d bytes of capabilities, at most %d", s.TokenID, bytes, tokenBytesMax)
	}
	return nil
}

// contradicts reports whether two rows of one chunk in one role differ in what its bytes determine. The chaining
// value depends on the offset, codec and quality only say how the bytes came about.
func contradicts(a, b *inos.Entry) bool {
	return a.PlainHash != b.PlainHash || a.PlainBytes != b.PlainBytes || a.StoredBytes != b.StoredBytes
}

func conflict(op, format string, args ...any) error {
	return inos.Errorf(inos.CodeConflict, op, format, args...)
}

// page lowers a limit to a bound; a limit that is not positive becomes the bound.
func page(limit, most int) int {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}
