package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"syscall"

	"github.com/inos-mesh/inos"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	errReadOnlyFS = syscall.EROFS
	errNoSpace    = syscall.ENOSPC
)

// Wrap gives an error of the database or of its file a code of the catalogue. An error that has one is returned as it is.
func Wrap(op, where string, err error) error {
	if err == nil {
		return nil
	}
	var coded *inos.Error
	if errors.As(err, &coded) {
		return coded
	}
	return inos.Errorf(codeOf(err), op, "%s: %w", where, err)
}

func codeOf(err error) inos.Code {
	var e *sqlite.Error
	switch {
	case errors.As(err, &e):
		return resultCode(e.Code())
	case errors.Is(err, context.Canceled):
		return inos.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return inos.CodeDeadlineExceeded
	case errors.Is(err, sql.ErrConnDone):
		return inos.CodeShuttingDown
	case denied(err):
		return inos.CodeReadOnly
	case errors.Is(err, errNoSpace), errors.Is(err, syscall.EDQUOT):
		return inos.CodeDiskFull
	}
	return inos.CodeIO
}

// resultCode translates a result code; the low byte is the kind, the rest a detail that the message carries.
func resultCode(code int) inos.Code {
	switch code & 0xff {
	case lib.SQLITE_FULL:
		return inos.CodeDiskFull
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return inos.CodeReadOnly
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_FORMAT:
		return inos.CodeBadFormat
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return inos.CodeBusy
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_MISUSE, lib.SQLITE_RANGE, lib.SQLITE_MISMATCH, lib.SQLITE_ERROR:
		return inos.CodeInternal // the statements are ours
	}
	return inos.CodeIO
}
