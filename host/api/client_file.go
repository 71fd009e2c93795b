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
			return got, fileError(name, err)
		}
		defer f.Close()
		return c.Get(ctx, ref, f, o)
	}
	target := name
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		target = resolved // replace what a link points to, not the link
	} else if info, err := os.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return got, &inos.Error{
			Code: inos.CodeBadRequest, Op: "write what is got", Message: name + " is a link to what is not there",
			Hint: "Name another file behind -o, or remove the link.",
		}
	}
	root, err := os.OpenRoot(filepath.Dir(target))
	if err != nil {
		return got, fileError(name, err)
	}
	defer root.Close()
	return c.getInto(ctx, ref, root, filepath.Base(target), name, o)
}

// GetInto writes a file to a name below root, like GetFile, and never outside of it, whatever links are there. The
// folder of the name must exist; a regular file of that name is replaced.
func (c *Client) GetInto(ctx context.Context, ref Ref, root *os.Root, name string, o GetOptions) (Got, error) {
	return c.getInto(ctx, ref, root, name, filepath.Join(root.Name(), name), o)
}

// getInto is GetInto; its errors call the file by the name that a person knows.
func (c *Client) getInto(ctx context.Context, ref Ref, root *os.Root, name, known string, o GetOptions) (got Got, err error) {
	f, temporary, err := createBeside(root, name)
	if err != nil {
		return got, fileError(known, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = root.Remove(temporary) // the first error tells more
		}
	}()
	if got, err = c.Get(ctx, ref, f, o); err != nil {
		if errors.As(err, new(*fs.PathError)) { // a write failed, not the get
			err = fileError(known, err)
		}
		return got, err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return got, fileError(known, err)
	}
	if err = root.Rename(temporary, name); err != nil {
		return got, fileError(known, err)
	}
	return got, fileError(known, syncFolder(root, filepath.Dir(name)))
}

// createBeside creates a file with the permissions of name, or that it would get, in the same folder so that it can be renamed: what only its
// owner may read is not opened to others by being replaced, at no moment.
func createBeside(root *os.Root, name string) (f *os.File, temporary string, err error) {
	var random [6]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	temporary = filepath.Join(filepath.Dir(name), ".inos-"+hex.EncodeToString(random[:]))
	before, err := root.Lstat(name)
	if err != nil || !before.Mode().IsRegular() {
		f, err = root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return f, temporary, err
	}
	permissions := before.Mode().Perm()
	if f, err = root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, permissions); err != nil {
		return f, temporary, err
	}
	if err = f.Chmod(permissions); err != nil { // those that umask took
		_ = f.Close()
		_ = root.Remove(temporary)
	}
	return f, temporary, err
}

func syncFolder(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fileError gives an error of a local file its code. It names the file that a person asked for, not the temporary one.
func fileError(name string, err error) error {
	const op = "write what is got"
	if err == nil {
		return nil
	}
	var cause error = err
	var local *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &local):
		cause = local.Err
	case errors.As(err, &link):
		cause = link.Err
	}
	coded := &inos.Error{Code: inos.CodeIO, Op: op, Message: name + ": " + cause.Error(), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		coded.Code, coded.Hint = inos.CodeBadRequest, "Create the folder first."
	case errors.Is(err, fs.ErrPermission):
		coded.Hint = "Choose a place that you may write to with -o."
	}
	return coded
}
