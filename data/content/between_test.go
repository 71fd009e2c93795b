package content_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// between is a file layer that lets something else happen once, in the middle of a call.
type between struct {
	*crashFS
	openOf, listOf string // behind Open of such a name, or behind List of such a folder
	then           func()
}

func (b *between) happen() {
	then := b.then
	b.then = nil
	then()
}

func (b *between) Open(name string, fresh bool) (content.File, error) {
	f, err := b.crashFS.Open(name, fresh)
	if b.then != nil && b.openOf != "" && strings.Contains(name, b.openOf) {
		b.happen()
	}
	return f, err
}

func (b *between) List(dir string, visit func(name string) error) error {
	err := b.crashFS.List(dir, visit)
	if b.then != nil && b.listOf != "" && strings.Contains(dir, b.listOf) {
		b.happen()
	}
	return err
}

func betweenWorld(t *testing.T) (*world, *between) {
	w := newWorld("")
	b := &between{crashFS: w.fs}
	var err error
	if w.store, err = content.Open(worldDir, content.WithShardBits(content.Options{
		Files: b, Now: func() inos.Micros { return w.now },
	}, 2)); err != nil {
		t.Fatal(err)
	}
	return w, b
}

// A Get that has opened a bad file when a Put replaces it must not set the good one aside.
func TestAGetMeetsAPutThatRepairs(t *testing.T) {
	w, b := betweenWorld(t)
	c := w.chunks[0]
	if err := w.put(0); err != nil {
		t.Fatal(err)
	}
	name := worldDir + "/chunks/" + string([]byte{'0', '0' + c.id[0]>>6}) + "/" + c.id.String()
	if err := w.fs.Damage(name, func(b []byte) []byte { b[0] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
	w.chunks[0].claim = unsure // it is damaged
	var putErr error
	b.openOf, b.then = "/chunks/", func() { putErr = w.put(0) }
	got, err := w.store.Get(context.Background(), c.id, nil)
	if err := errors.Join(err, putErr); err != nil || string(got) != string(c.stored) {
		t.Fatalf("get: %d bytes, %v", len(got), err)
	}
	if err := w.counted(); err != nil {
		t.Fatal(err)
	}
}

// A chunk that comes back and is trashed again while the trash is listed is too young to go.
func TestEmptyTrashMeetsAChunkTrashedAgain(t *testing.T) {
	w, b := betweenWorld(t)
	if err := errors.Join(w.put(0), w.trash(0)); err != nil {
		t.Fatal(err)
	}
	before := w.now + 1
	var againErr error
	b.listOf, b.then = "/trash/", func() { againErr = errors.Join(w.put(0), w.trash(0)) }
	chunks, _, err := w.store.EmptyTrash(context.Background(), before, 10)
	if err := errors.Join(err, againErr); err != nil || chunks != 0 {
		t.Fatalf("%d chunks went, %v", chunks, err)
	}
	if chunks, _, err := w.store.EmptyTrash(context.Background(), w.now+1, 10); err != nil || chunks != 1 {
		t.Fatalf("later %d chunks went, %v", chunks, err)
	}
	if err := w.counted(); err != nil {
		t.Fatal(err)
	}
}
