package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

// Bounds of a put that can be resumed.
const (
	uploadPage        = 16 // chunks that are hashed and asked about at a time
	sendersMax        = 4  // chunks on their way at a time
	encodersMax       = 4  // worker processes
	uploadTriesMax    = 8  // of what a broken connection ended
	uploadPauseMin    = 250 * time.Millisecond
	uploadPauseMax    = 20 * time.Second
	uploadRoundsMax   = 5 // in which chunks that turned out to be gone are sent again
	uploadKeptMessage = "The upload is kept for a day, and nothing that has arrived is sent again: run the same command once more to go on."
)

// uploadPut stores a file as an upload. Which upload it goes on with the node's list says, and what is to be sent the hashes of the chunks; what it
// keeps itself is which upload it has begun to commit (put_commits.go).
type uploadPut struct {
	a      *app
	client *api.Client
	file   *os.File
	size   int64
	upload api.Upload
	meter  *meter

	question pendingCommit // what is asked for, as commits are remembered
	commit   string        // file of the commit that is remembered; empty: none is

	encoder func() (*host.Encoder, error)
	there   atomic.Int64  // plain bytes that need not be sent any more
	sent    atomic.Uint64 // chunks
}

// putResumable stores a regular file by an upload, or goes on with one.
func (a *app) putResumable(f *putFlags, source, name string, target inos.Path, file *os.File, before os.FileInfo) error {
	if err := inos.CheckPath(target); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	p := &uploadPut{a: a, client: client, file: file, size: before.Size()}
	address, _, err := a.nodeURL()
	if err != nil {
		return err
	}
	o := f.options(name)
	p.question = pendingCommit{
		Node: address, Owner: string(a.owner), Path: string(target), PlainBytes: uint64(p.size), Replicas: o.Replicas, Sync: o.Sync, Tier: o.Tier,
	}
	reply, done, err := p.committed(f.ifAbsent)
	if done {
		a.note("an earlier run has stored it")
		return p.show(&reply)
	}
	if err != nil {
		return f.explain(target, err)
	}
	if f.ifAbsent {
		if _, err := client.Stat(a.ctx, api.Ref{Path: target}, 0, 0); err == nil {
			return f.explain(target, &inos.Error{Code: inos.CodePreconditionFailed, Op: "put", Message: "the path exists"})
		}
	}
	if _, err := readyCommitsDir(); err != nil {
		return err
	}
	if err := p.open(&o, target); err != nil {
		return err
	}
	encoder, closeEncoder := p.lazyEncoder()
	p.encoder = encoder
	defer closeEncoder()
	p.meter = a.meter("put "+printable(source), p.size)
	reply, err = p.run(f, before)
	p.meter.close()
	if err != nil {
		return p.kept(f.explain(target, err))
	}
	return p.show(&reply)
}

// show prints the answer to the commit: from now on it need not be asked for again.
func (p *uploadPut) show(reply *api.PutReply) (err error) {
	switch {
	case p.a.json:
		err = p.a.printJSON(*reply)
	case !p.a.quiet:
		err = p.a.printReceipt(reply)
	}
	if err == nil {
		p.forget()
	}
	return err
}

// open finds the open upload of this file, or opens one.
func (p *uploadPut) open(o *api.PutOptions, target inos.Path) error {
	for u, err := range p.client.Uploads(p.a.ctx) {
		if err != nil {
			return err
		}
		if u.Path == string(target) && u.PlainBytes == uint64(p.size) && u.Replicas == o.Replicas && u.Sync == o.Sync && u.Tier == o.Tier {
			p.upload = u // of several the last one
		}
	}
	if p.upload.ID != "" {
		p.a.note("%s of %d are there already", plural(p.upload.Held, "chunk"), p.upload.Chunks)
		return nil
	}
	var err error
	p.upload, err = p.client.OpenUpload(p.a.ctx, api.UploadQuestion{
		Path: string(target), PlainBytes: uint64(p.size), ContentType: o.ContentType, Replicas: o.Replicas, Sync: o.Sync, Tier: o.Tier,
	}, "")
	return err
}

// lazyEncoder starts the workers when the first chunk has to be encoded.
func (p *uploadPut) lazyEncoder() (start func() (*host.Encoder, error), end func()) {
	var made *host.Encoder
	start = sync.OnceValues(func() (*host.Encoder, error) {
		cache, err := moduleCache()
		if err != nil {
			return nil, err
		}
		made, err = host.NewEncoder(p.a.ctx, min(runtime.NumCPU(), encodersMax), cache, p.a.stderr)
		return made, err
	})
	return start, func() {
		if made != nil {
			_ = made.Close()
		}
	}
}

// moduleCache is where this user's compiled modules are.
func moduleCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &inos.Error{Code: inos.CodeIO, Op: "find cache", Message: err.Error(), Hint: "Set HOME or XDG_CACHE_HOME."}
	}
	dir = filepath.Join(dir, "inos", "modules")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", inos.Errorf(inos.CodeIO, "make cache", "%w", err)
	}
	return dir, nil
}

// kept says how to go on after an error.
func (p *uploadPut) kept(err error) error {
	var e *inos.Error
	if !errors.As(err, &e) || e.Code == inos.CodeUploadUnknown || e.Code == inos.CodePreconditionFailed {
		return err
	}
	out := *e
	if out.Hint != "" {
		out.Hint += " "
	}
	out.Hint += uploadKeptMessage
	return &out
}

// run sends what is missing and commits.
func (p *uploadPut) run(f *putFlags, before os.FileInfo) (reply api.PutReply, err error) {
	id, err := p.sendAll()
	if err != nil {
		return reply, err
	}
	if err := unchanged(p.file, before); err != nil {
		return reply, err
	}
	if err := p.remember(id); err != nil {
		return reply, err
	}
	for round := 1; ; round++ {
		err = p.patient(func(ctx context.Context) (err error) {
			reply, err = p.client.CommitUpload(ctx, p.upload.ID, id, f.ifAbsent, f.requestID)
			return err
		})
		if inos.CodeOf(err) != inos.CodeUploadIncomplete || round == uploadRoundsMax {
			return reply, err
		}
		if err := p.sendAgain(); err != nil {
			return reply, err
		}
	}
}

// sendAll reads the file once, from its start, and sends the chunks that are not there. It returns the file's id.
func (p *uploadPut) sendAll() (id inos.FileID, err error) {
	ctx, cancel := context.WithCancelCause(p.a.ctx)
	defer cancel(nil)
	chunks := make(chan piece)
	var senders sync.WaitGroup
	for range sendersMax {
		senders.Go(func() {
			for x := range chunks {
				if err := p.send(ctx, x); err != nil {
					cancel(err)
				}
			}
		})
	}
	sum := blake3.New(inos.HashBytes, nil)
	for first := uint64(0); first < p.upload.Chunks && err == nil; first += uploadPage {
		err = p.sendPage(ctx, first, sum, chunks)
	}
	close(chunks)
	senders.Wait()
	if cause := context.Cause(ctx); cause != nil && p.a.ctx.Err() == nil {
		return id, cause // it tells more than what it caused
	}
	if err == nil {
		err = ctx.Err()
	}
	if p.a.ctx.Err() != nil {
		err = inos.Errorf(inos.CodeCanceled, "put", "interrupted")
	}
	return inos.FileID(sum.Sum(nil)), err
}

// piece is a chunk that is to be sent.
type piece struct {
	index uint64
	plain []byte
	hash  inos.PlainHash
}

// sendPage reads a page of chunks, asks which are missing and hands those to the senders.
func (p *uploadPut) sendPage(ctx context.Context, first uint64, sum io.Writer, out chan<- piece) error {
	count := min(uploadPage, p.upload.Chunks-first)
	pieces := make([]piece, count)
	hashes := make([]inos.PlainHash, count)
	for i := range pieces {
		x, err := p.read(first + uint64(i))
		if err != nil {
			return err
		}
		_, _ = sum.Write(x.plain)
		pieces[i], hashes[i] = x, x.hash
	}
	var r api.ClaimReply
	if err := p.patient(func(context.Context) (err error) {
		r, err = p.client.ClaimChunks(ctx, p.upload.ID, first, hashes)
		return err
	}); err != nil {
		return err
	}
	missing := map[uint64]bool{}
	for _, index := range r.Missing {
		missing[index] = true
	}
	for _, x := range pieces {
		if !missing[x.index] {
			p.arrived(&x)
			continue
		}
		select {
		case out <- x:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *uploadPut) read(index uint64) (piece, error) {
	offset := int64(index) * inos.ChunkBytesMax
	plain := make([]byte, min(p.size-offset, inos.ChunkBytesMax))
	if _, err := p.file.ReadAt(plain, offset); err != nil && !errors.Is(err, io.EOF) {
		return piece{}, inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	} else if errors.Is(err, io.EOF) && offset+int64(len(plain)) < p.size {
		return piece{}, inos.Errorf(inos.CodeBodyTruncated, "read what is put", "%s shrank while it was read", printable(p.file.Name()))
	}
	return piece{index, plain, blake3.Sum256(plain)}, nil
}

func (p *uploadPut) arrived(x *piece) { p.meter.set(p.there.Add(int64(len(x.plain)))) }

// send encodes a chunk and sends it. When the connection breaks, the node is asked whether the chunk has come before it is sent again.
func (p *uploadPut) send(ctx context.Context, x piece) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	encoder, err := p.encoder()
	if err != nil {
		return err
	}
	stored, entry, err := encoder.Encode(ctx, x.plain, x.index*inos.ChunkBytesMax)
	if err != nil {
		return err
	}
	tried := false
	err = p.patient(func(context.Context) error {
		if tried {
			r, err := p.client.ClaimChunks(ctx, p.upload.ID, x.index, []inos.PlainHash{x.hash})
			if err != nil || len(r.Missing) == 0 {
				return err
			}
		}
		tried = true
		_, err := p.client.SendChunk(ctx, p.upload.ID, x.index, entry.ChunkID, stored, entry.Quality)
		return err
	})
	if err == nil {
		p.sent.Add(1)
		p.arrived(&x)
	}
	return err
}

// sendAgain sends the chunks that the upload lacks, whether or not the owner holds them: too few nodes have them.
func (p *uploadPut) sendAgain() error {
	for first := uint64(0); ; {
		page, err := p.client.StatUpload(p.a.ctx, p.upload.ID, first)
		if err != nil {
			return err
		}
		for _, r := range page.Missing {
			for index := r.First; index < r.First+r.Count; index++ {
				x, err := p.read(index)
				if err != nil {
					return err
				}
				if err := p.send(p.a.ctx, x); err != nil {
					return err
				}
			}
		}
		if first = page.Next; first == 0 {
			return nil
		}
	}
}

// patient does something again, a bounded number of times, that a broken connection ended, or a node that is not there for a while.
func (p *uploadPut) patient(do func(context.Context) error) error {
	for try, pause := 1, uploadPauseMin; ; try, pause = try+1, min(2*pause, uploadPauseMax) {
		err := do(p.a.ctx)
		switch code := inos.CodeOf(err); {
		case err == nil, try == uploadTriesMax, p.a.ctx.Err() != nil:
			return err
		case code != inos.CodeIO && code != inos.CodeNodeUnreachable && code != inos.CodeBusy && code != inos.CodeShuttingDown && code != inos.CodeBodyTruncated:
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.a.ctx.Done():
			timer.Stop()
			return err
		}
	}
}
