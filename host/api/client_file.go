package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/inos-mesh/inos"
)

// GetFile writes a file to name, whole or not at all: the bytes go to a temporary file beside it, which is verified,
// synced and renamed. A name that exists and is not a regular file, such as a device or a pipe, is written to directly.
func (c *Client) GetFile(ctx context.Context, ref Ref, name string, o GetOptions) (got Got, err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return got, &inos.Error{Code: inos.CodeBadRequest, Op: "write what is got", Message: name + " is a folder", Hint: "Name a file behind -o."}
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return got, fileError(err)
		}
		defer f.Close()
		return c.Get(ctx, ref, f, o)
	}
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		name = resolved // replace what a link points to, not the link
	}
	f, err := createBeside(name)
	if err != nil {
		return got, fileError(err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name()) // the first error tells more
		}
	}()
	if got, err = c.Get(ctx, ref, f, o); err != nil {
		return got, err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return got, fileError(err)
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return got, fileError(err)
	}
	return got, fileError(syncFolder(filepath.Dir(name)))
}

// createBeside creates a file with the permissions that name would get, in the same folder so that it can be renamed.
func createBeside(name string) (*os.File, error) {
	var random [6]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	temporary := filepath.Join(filepath.Dir(name), ".inos-"+hex.EncodeToString(random[:]))
	return os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fileError gives an error of a local file its code.
func fileError(err error) error {
	const op = "write what is got"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &inos.Error{Code: inos.CodeBadRequest, Op: op, Message: err.Error(), Hint: "Create the folder first.", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &inos.Error{Code: inos.CodeIO, Op: op, Message: err.Error(), Hint: "Choose a place that you may write to with -o.", Err: err}
	}
	return inos.Errorf(inos.CodeIO, op, "%w", err)
}
