package semantic

import "github.com/inos-mesh/inos"

// The checks of uploads that need no database, and their refusals; the twin's are the same.

func checkUpload(op string, u *inos.Upload) error {
	for _, c := range []struct{ what, text string }{{"upload id", string(u.ID)}, {"subject", string(u.Subject)}, {"owner", string(u.Owner)}} {
		if err := checkText(op, c.what, c.text, 1); err != nil {
			return err
		}
	}
	if err := inos.CheckPath(u.Path); err != nil {
		return err
	}
	if err := checkText(op, "content type", u.ContentType, 0); err != nil {
		return err
	}
	if err := checkText(op, "tier", string(u.Tier), 0); err != nil {
		return err
	}
	if u.PlainBytes > FileBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the file has %d bytes, at most %d", u.PlainBytes, uint64(FileBytesMax))
	}
	return nil
}

// sameUpload refuses an id that is used for another file.
func sameUpload(op string, was, now *inos.Upload) error {
	if was.Subject != now.Subject || was.Owner != now.Owner || was.Path != now.Path || was.PlainBytes != now.PlainBytes {
		return conflict(op, "the id %.80s is that of another upload", now.ID)
	}
	return nil
}

func checkOpen(op string, u *inos.Upload, uploads, bytes uint64, uploadsMax int, bytesMax uint64) error {
	if uploads >= uint64(max(uploadsMax, 0)) {
		return inos.Errorf(inos.CodeQuotaExceeded, op, "%.80s has %d uploads open of at most %d: commit or drop some", u.Subject, uploads, uploadsMax)
	}
	if u.PlainBytes > bytesMax-min(bytes, bytesMax) {
		return inos.Errorf(inos.CodeQuotaExceeded, op, "%.80s has uploads of %d bytes open and begins one of %d, at most %d together", u.Subject, bytes, u.PlainBytes, bytesMax)
	}
	return nil
}

func uploadUnknown(op string, id inos.UploadID) error {
	return inos.Errorf(inos.CodeUploadUnknown, op, "no upload %.80q is open", string(id))
}

func orUnknown(op string, id inos.UploadID, err error) error {
	if err == nil {
		err = uploadUnknown(op, id)
	}
	return err
}

func checkIndex(op string, index uint64) error {
	if index > FileBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %d is behind the end of any file", index)
	}
	return nil
}

func checkHashes(op string, first uint64, hashes int) error {
	if hashes > StageRowsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d hashes, at most %d in one call", hashes, StageRowsMax)
	}
	return checkIndex(op, first)
}

func checkSlots(op string, u *inos.Upload, first, count uint64) error {
	if end := u.Chunks(); first > end || count > end-first {
		return inos.Errorf(inos.CodeBadRequest, op, "chunks %d to %d of a file of %d", first, first+count-1, end)
	}
	return nil
}

func checkFill(op string, index uint64, r *inos.ChunkRow) error {
	if r.Manifest || r.Known {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %s is a manifest node, or was not written", r.Entry.ChunkID)
	}
	if err := checkIndex(op, index); err != nil {
		return err
	}
	return checkRow(op, r)
}

func checkLength(op string, u *inos.Upload, index uint64, e *inos.Entry) error {
	if want := u.ChunkBytes(index); e.PlainBytes != want {
		return inos.Errorf(inos.CodeBadRequest, op, "chunk %d has %d plain bytes, this file's has %d", index, e.PlainBytes, want)
	}
	return nil
}

func checkEmpty(op string, indexes []uint64) error {
	if len(indexes) > StageRowsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d indexes, at most %d in one call", len(indexes), StageRowsMax)
	}
	for _, index := range indexes {
		if err := checkIndex(op, index); err != nil {
			return err
		}
	}
	return nil
}
