package content_test

import (
	"bytes"
	"context"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// badSector is a file layer that cannot read one chunk where it is held.
type badSector struct {
	*crashFS
	name string
}

func (b badSector) Open(name string, fresh bool) (content.File, error) {
	if strings.Contains(name, "/chunks/") && strings.HasSuffix(name, b.name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EIO}
	}
	return b.crashFS.Open(name, fresh)
}

// A chunk that cannot be read is not taken for a bad one, because the fault may pass; but a Put replaces it.
func TestAChunkThatCannotBeRead(t *testing.T) {
	ctx := context.Background()
	w := newWorld("")
	first, second := w.chunks[0], w.chunks[1]
	if bytes.Compare(first.id[:], second.id[:]) > 0 {
		first, second = second, first
	}
	open := func(files content.FileLayer) *content.Store {
		s, err := content.Open(worldDir, content.Options{Files: files, Now: func() inos.Micros { return w.now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(w.fs)
	for _, c := range []worldChunk{first, second} {
		if _, err := s.Put(ctx, c.id, c.stored); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(badSector{w.fs, first.id.String()})
	if _, err := s.Get(ctx, first.id, nil); inos.CodeOf(err) != inos.CodeIO {
		t.Fatalf("get: %v", err)
	}
	page, err := s.Scrub(ctx, inos.ChunkID{}, 10)
	if inos.CodeOf(err) != inos.CodeIO || page.Next != first.id || len(page.Bad) != 0 {
		t.Fatalf("scrub: %+v, %v", page, err)
	}
	if page, err = s.Scrub(ctx, page.Next, 10); err != nil || page.Chunks != 1 || !page.End {
		t.Fatalf("the scrub goes on: %+v, %v", page, err)
	}
	if u := s.Usage(); u.Chunks != 2 {
		t.Fatalf("%d chunks are held, want 2", u.Chunks)
	}
	if existed, err := s.Put(ctx, first.id, first.stored); err != nil || existed {
		t.Fatalf("put: existed %v, %v", existed, err)
	}
	if u := s.Usage(); u.Chunks != 2 || u.UsedBytes != int64(len(first.stored)+len(second.stored)) {
		t.Fatalf("after the put: %+v", u)
	}
}
