package content

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/inos-mesh/inos"
)

// ioError gives a failure of the file layer its code.
func ioError(op string, err error) error {
	var known *inos.Error
	if errors.As(err, &known) {
		return err
	}
	code := inos.CodeIO
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		code = inos.CodeDiskFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		code = inos.CodeReadOnly
	}
	return inos.Errorf(code, op, "%w", err)
}

// contextError gives the end of a context its code.
func contextError(op string, ctx context.Context) error {
	code := inos.CodeCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = inos.CodeDeadlineExceeded
	}
	return inos.Errorf(code, op, "%w", context.Cause(ctx))
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func notFound(op string, id inos.ChunkID) error {
	return inos.Errorf(inos.CodeChunkNotFound, op, "%s is not held", id)
}
