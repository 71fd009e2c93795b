package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// getsAtOnce bounds the files of a folder that are under way.
const getsAtOnce = 8

// getSummary is what a get of a folder did.
type getSummary struct {
	Files     uint64 `json:"files"`
	Bytes     int64  `json:"bytes"`
	Unchanged uint64 `json:"unchanged"` // files that were there with the same bytes
	Failed    uint64 `json:"failed"`
	ElapsedUs int64  `json:"elapsed_us"`
}

// folderGet writes the files below a path into a folder, and nothing outside of it. A file that fails does not end it,
// unless no other could succeed.
type folderGet struct {
	a      *app
	client *api.Client
	prefix string // ends in a slash
	output string
	root   *os.Root
	force  bool
	meter  *meter
	cancel context.CancelFunc

	mu      sync.Mutex // guards the fields below and the output
	summary getSummary
	err     error // the first
	fatal   bool
}

func (a *app) getFolder(c *cobra.Command, source, output string, force bool) error {
	folder := folderPath(source, true)
	if folder != "" { // the root has no name
		if err := inos.CheckPath(inos.Path(folder)); err != nil {
			return err
		}
	}
	if output == "" || output == "-" {
		return usage(c, "-r writes files: it needs -o DIR")
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	g := &folderGet{a: a, client: client, prefix: folder + "/", output: output, force: force, cancel: cancel}
	first, err := g.size(ctx)
	if err != nil {
		return err
	}
	if !first {
		return &inos.Error{
			Code: inos.CodeFileNotFound, Op: "files:get", Message: "there is nothing below " + g.prefix,
			Hint: "With -r the files below a path are read; one file is read without it. 'inos ls' lists what there is.",
		}
	}
	if err := os.MkdirAll(output, 0o777); err != nil {
		return inos.Errorf(inos.CodeIO, "write what is got", "%w", err)
	}
	if g.root, err = os.OpenRoot(output); err != nil {
		return inos.Errorf(inos.CodeIO, "write what is got", "%w", err)
	}
	defer g.root.Close()
	began := time.Now()
	files := make(chan api.File)
	var workers sync.WaitGroup
	for range getsAtOnce {
		workers.Go(func() {
			for f := range files {
				g.get(ctx, &f)
			}
		})
	}
	g.walk(ctx, files)
	close(files)
	workers.Wait()
	g.meter.close()
	g.summary.ElapsedUs = time.Since(began).Microseconds()
	return g.finish()
}

// size tells whether there is a file at all. For a person who watches it sums what will come, for the time left.
func (g *folderGet) size(ctx context.Context) (found bool, err error) {
	g.meter = g.a.meter("get "+printable(g.prefix), -1)
	var total int64
	for f, err := range g.client.List(ctx, g.prefix) {
		if err != nil {
			return found, err
		}
		found = true
		if g.meter == nil {
			break
		}
		total += int64(f.PlainBytes)
	}
	g.meter.know(total, "")
	return found, nil
}

// walk lists the files; it is as fast as they are got. A path that is a file and a folder too cannot be both in a file
// system: the file is written, which comes first, and each path below it is refused. Paths that begin with another
// come behind it without a gap, so the files that can still be a folder are those that the current path begins with.
func (g *folderGet) walk(ctx context.Context, files chan<- api.File) {
	var open []string
	for f, err := range g.client.List(ctx, g.prefix) {
		if err == nil && !strings.HasPrefix(f.Path, g.prefix) {
			err = inos.Errorf(inos.CodeBadFormat, "files:list", "%.200q is not below %s", f.Path, g.prefix)
		}
		if err == nil {
			err = inos.CheckPath(inos.Path(f.Path))
		}
		if err != nil {
			g.failed(g.prefix, err, true)
			return
		}
		for len(open) > 0 && !strings.HasPrefix(f.Path, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		if file := fileAbove(open, f.Path); file != "" {
			g.failed(f.Path, &inos.Error{
				Code: inos.CodeConflict, Op: "write what is got", Message: file + " is a file, so it cannot be a folder too",
			}, false)
			continue
		}
		open = append(open, f.Path)
		select {
		case files <- f:
		case <-ctx.Done():
			if g.a.ctx.Err() != nil {
				g.failed(g.prefix, inos.Errorf(inos.CodeCanceled, "get", "interrupted"), true)
			}
			return
		}
	}
}

// fileAbove returns the file that a path lies below as if it were a folder, or "".
func fileAbove(open []string, p string) string {
	for _, file := range open {
		if strings.HasPrefix(p, file+"/") {
			return file
		}
	}
	return ""
}

func (g *folderGet) get(ctx context.Context, f *api.File) {
	name := filepath.FromSlash(strings.TrimPrefix(f.Path, g.prefix))
	there, err := g.occupied(f, name)
	if err != nil {
		g.failed(f.Path, err, false)
		return
	}
	if there {
		g.meter.add(int64(f.PlainBytes), 1)
		g.mu.Lock()
		g.summary.Unchanged++
		g.mu.Unlock()
		return
	}
	if err := g.root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		g.failed(f.Path, localError(g.output, filepath.Dir(name), err), false)
		return
	}
	var before int64
	o := api.GetOptions{Progress: func(received, _ int64) {
		g.meter.add(received-before, 0)
		before = received
	}}
	got, err := g.client.GetInto(ctx, api.Ref{Path: inos.Path(f.Path)}, g.root, name, o)
	if err != nil {
		g.failed(f.Path, err, errors.Is(err, syscall.ENOSPC))
		return
	}
	g.meter.add(0, 1)
	g.written(f.Path, filepath.Join(g.output, name), &got)
}

// occupied looks at what is at the place of a file: nothing, the same bytes already, or something that must not be lost.
func (g *folderGet) occupied(f *api.File, name string) (same bool, err error) {
	info, err := g.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil // the creation of the folder says what is in the way
	case err != nil:
		return false, localError(g.output, name, err)
	case !info.Mode().IsRegular():
		return false, inos.Errorf(inos.CodeConflict, "write what is got", "%s exists and is not a regular file", filepath.Join(g.output, name))
	}
	if uint64(info.Size()) == f.PlainBytes && g.hash(name) == f.FileID {
		return true, nil
	}
	if g.force {
		return false, nil
	}
	return false, inos.Errorf(inos.CodeConflict, "write what is got", "%s exists with other bytes; --force replaces it", filepath.Join(g.output, name))
}

// hash returns the FileID of a file that is there, or "" when it cannot be read.
func (g *folderGet) hash(name string) string {
	file, err := g.root.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	sum := blake3.New(inos.HashBytes, nil)
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func localError(output, name string, err error) error {
	var local *fs.PathError
	if errors.As(err, &local) {
		err = local.Err
	}
	return inos.Errorf(inos.CodeIO, "write what is got", "%s: %w", filepath.Join(output, name), err)
}

func (g *folderGet) written(source, output string, got *api.Got) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.summary.Files++
	g.summary.Bytes += got.Bytes
	if g.a.json {
		if err := g.a.printJSON(struct {
			Path string `json:"path"`
			*api.Got
			Output string `json:"output"`
		}{source, got, output}); err != nil && g.err == nil {
			g.err, g.fatal = err, true
			g.cancel()
		}
	}
}

// failed tells of a file that was not written. When no other could be, that ends the get and is told once.
func (g *folderGet) failed(name string, err error, fatal bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fatal {
		return
	}
	g.summary.Failed++
	if g.err == nil {
		g.err = err
	}
	switch inos.CodeOf(err) {
	case inos.CodeNodeUnreachable, inos.CodeUnauthenticated, inos.CodeShuttingDown, inos.CodeCanceled:
		fatal = true
	}
	if fatal {
		g.fatal, g.err = true, err
		g.cancel()
		return
	}
	g.a.printFailure(g.meter, name, err)
}

func (g *folderGet) finish() error {
	s := &g.summary
	if g.a.json {
		if err := g.a.printJSON(struct {
			Summary *getSummary `json:"summary"`
		}{s}); err != nil {
			return err
		}
	} else if !g.a.quiet {
		text := fmt.Sprintf("got %s, %s", plural(s.Files, "file"), sizeText(s.Bytes))
		if s.Unchanged > 0 {
			text += fmt.Sprintf(", %s there already", groupText(s.Unchanged))
		}
		text += fmt.Sprintf(", verified, in %s (%s)\n", spanText(s.ElapsedUs), rateText(s.Bytes, time.Duration(s.ElapsedUs)*time.Microsecond))
		if err := g.a.printf("%s", text); err != nil {
			return err
		}
	}
	if g.err == nil || g.fatal {
		return g.err
	}
	if s.Failed == 1 {
		return partly{said{g.err}}
	}
	return partly{&inos.Error{
		Code: inos.CodeOf(g.err), Op: "get", Message: groupText(s.Failed) + " files below " + g.prefix + " were not written",
		Hint: "The lines above say why; the others are there.",
	}}
}

// asFolder returns the error of a command that found no file, with the hint when something is below the path.
func (a *app) asFolder(client *api.Client, ref api.Ref, err error, hint string) error {
	var coded *inos.Error
	if ref.Path == "" || !errors.As(err, &coded) || coded.Code != inos.CodeFileNotFound {
		return err
	}
	for _, listErr := range client.List(a.ctx, string(ref.Path)+"/") {
		if listErr == nil {
			hinted := *coded
			hinted.Message = fmt.Sprintf("no file %q, but there are files below it", ref.Path)
			hinted.Hint = hint
			return &hinted
		}
		break
	}
	return err
}
