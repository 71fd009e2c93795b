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
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// putsAtOnce bounds the files of a folder that are under way.
const putsAtOnce = 8

// folderSummary is what a put of a folder did.
type folderSummary struct {
	Files             uint64 `json:"files"`
	PlainBytes        uint64 `json:"plain_bytes"`
	StoredBytes       uint64 `json:"stored_bytes"`
	DeduplicatedBytes uint64 `json:"deduplicated_bytes"`
	Skipped           uint64 `json:"skipped"` // symbolic links, special files, empty folders and folders of nodes
	Failed            uint64 `json:"failed"`
	ElapsedUs         int64  `json:"elapsed_us"`
	degraded          string
}

// folderPut stores the regular files below a folder. A file that fails does not end it, unless no other could succeed.
type folderPut struct {
	a      *app
	f      *putFlags
	client *api.Client
	source string
	target string
	meter  *meter
	cancel context.CancelFunc

	mu      sync.Mutex // guards the fields below and the output
	summary folderSummary
	err     error // the first
	fatal   bool
}

func (a *app) putFolder(f *putFlags, source, target string) error {
	if err := inos.CheckPath(inos.Path(target)); err != nil && target != "/" {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	p := &folderPut{a: a, f: f, client: client, source: source, target: strings.TrimSuffix(target, "/"), cancel: cancel}
	if p.meter = a.meter("put "+printable(source), -1); p.meter != nil {
		p.meter.total = p.bytes(ctx)
	}
	began := time.Now()
	files := make(chan string)
	var workers sync.WaitGroup
	for range putsAtOnce {
		workers.Go(func() {
			for name := range files {
				p.put(ctx, name)
			}
		})
	}
	p.walk(ctx, files)
	close(files)
	workers.Wait()
	p.meter.close()
	p.summary.ElapsedUs = time.Since(began).Microseconds()
	return p.finish()
}

// top is where a walk begins: behind a slash, because the source itself may be a link to a folder.
func (p *folderPut) top() string { return p.source + string(filepath.Separator) }

// bytes sums what will be sent, for the time left.
func (p *folderPut) bytes(ctx context.Context) (total int64) {
	_ = filepath.WalkDir(p.top(), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case d.IsDir() && name != p.top() && isNodeFolder(name):
			return fs.SkipDir
		case d.Type().IsRegular():
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return ctx.Err()
	})
	return total
}

// walk finds the files; it is as fast as they are put.
func (p *folderPut) walk(ctx context.Context, files chan<- string) {
	err := filepath.WalkDir(p.top(), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			p.failed(name, inos.Errorf(inos.CodeIO, "read what is put", "%w", err))
			return nil
		case d.IsDir() && emptyFolder(name):
			p.skipped(name, "an empty folder, only files are kept")
			return ctx.Err()
		case d.IsDir() && name != p.top() && isNodeFolder(name):
			p.skipped(name, "the folder of a node, with its keys; the node keeps what is in it")
			return fs.SkipDir
		case d.IsDir():
			return ctx.Err()
		case !d.Type().IsRegular():
			what := "a special file"
			if d.Type()&fs.ModeSymlink != 0 {
				what = "a symbolic link"
			}
			p.skipped(name, what)
			return nil
		}
		select {
		case files <- name:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil && p.a.ctx.Err() != nil {
		p.failed(p.source, inos.Errorf(inos.CodeCanceled, "put", "interrupted"))
	}
}

func (p *folderPut) put(ctx context.Context, name string) {
	below, err := filepath.Rel(p.source, name)
	if err != nil {
		p.failed(name, inos.Errorf(inos.CodeInternal, "put", "%w", err))
		return
	}
	f, err := os.Open(name)
	if err != nil {
		p.failed(name, inos.Errorf(inos.CodeIO, "read what is put", "%w", err))
		return
	}
	defer f.Close()
	body, length, err := openSource(f)
	if err != nil {
		p.failed(name, err)
		return
	}
	var before int64
	o := p.f.options(name)
	o.Progress = func(sent int64) {
		p.meter.add(sent-before, 0)
		before = sent
	}
	target := inos.Path(p.target + "/" + filepath.ToSlash(below))
	reply, err := p.client.Put(ctx, target, body, length, o)
	if err != nil {
		p.failed(name, p.f.explain(target, err))
		return
	}
	p.meter.add(0, 1)
	p.stored(&reply)
}

func (p *folderPut) stored(r *api.PutReply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.summary
	s.Files++
	s.PlainBytes += r.PlainBytes
	s.StoredBytes += r.StoredBytes
	s.DeduplicatedBytes += r.DeduplicatedBytes
	if r.Degraded && s.degraded == "" {
		s.degraded = replicasText(&r.File)
	}
	if p.a.json {
		if err := p.a.printJSON(r); err != nil && p.err == nil {
			p.err = err
			p.cancel()
		}
	}
}

// emptyFolder tells whether nothing is in a folder; one that cannot be read is told by the walk.
func emptyFolder(name string) bool {
	d, err := os.Open(name)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

func (p *folderPut) skipped(name, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.summary.Skipped++
	if !p.a.quiet {
		p.meter.print(p.a.stderr, fmt.Sprintf("inos: skipped %s: %s\n", printable(name), what))
	}
}

// failed tells of a file that was not stored. When the node is gone, full or refuses the token, every other would fail
// too: that ends the put and is told once.
func (p *folderPut) failed(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fatal {
		return
	}
	p.summary.Failed++
	if p.err == nil {
		p.err = err
	}
	switch inos.CodeOf(err) {
	case inos.CodeNodeUnreachable, inos.CodeUnauthenticated, inos.CodeDiskFull, inos.CodeReadOnly, inos.CodeShuttingDown, inos.CodeCanceled:
		p.fatal, p.err = true, err
		p.cancel()
		return
	}
	p.a.printFailure(p.meter, name, err)
}

func (p *folderPut) finish() error {
	s := &p.summary
	if p.a.json {
		if err := p.a.printJSON(struct {
			Summary *folderSummary `json:"summary"`
		}{s}); err != nil {
			return err
		}
	} else if !p.a.quiet {
		elapsed := time.Duration(s.ElapsedUs) * time.Microsecond
		text := fmt.Sprintf("put %s, %s plain, %s stored", plural(s.Files, "file"), sizeText(s.PlainBytes), sizeText(s.StoredBytes))
		if s.DeduplicatedBytes > 0 {
			text += fmt.Sprintf(", %s held already", sizeText(s.DeduplicatedBytes))
		}
		text += fmt.Sprintf(" in %s (%s)\n", spanText(s.ElapsedUs), rateText(int64(s.PlainBytes), elapsed))
		if s.degraded != "" {
			text += "replicas " + s.degraded + "\n"
		}
		if err := p.a.printf("%s", text); err != nil {
			return err
		}
	}
	if p.err == nil || p.fatal {
		return p.err
	}
	var coded *inos.Error
	if errors.As(p.err, &coded) && s.Failed == 1 {
		return partly{said{p.err}}
	}
	return partly{&inos.Error{
		Code: inos.CodeOf(p.err), Op: "put", Message: plural(s.Failed, "file") + " of " + p.source + " were not stored",
		Hint: "The lines above say why; the others are stored.",
	}}
}
