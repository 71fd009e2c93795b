package content

import (
	"context"
	"sync"

	"github.com/inos-mesh/inos"
)

// keyLocks serialises what changes one chunk. It holds an entry per chunk that somebody holds or waits for.
type keyLocks struct {
	mu   sync.Mutex // guards held
	held map[inos.ChunkID]*keyLock
}

type keyLock struct {
	token chan struct{} // has room while nobody holds the lock
	users int           // holders and waiters; guarded by keyLocks.mu
}

// lock waits for the chunk's lock, or for the end of ctx. Who locks several does it in the order of ids.
func (k *keyLocks) lock(ctx context.Context, id inos.ChunkID) error {
	k.mu.Lock()
	if k.held == nil {
		k.held = make(map[inos.ChunkID]*keyLock)
	}
	l := k.held[id]
	if l == nil {
		l = &keyLock{token: make(chan struct{}, 1)}
		k.held[id] = l
	}
	l.users++
	k.mu.Unlock()
	select {
	case l.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		k.leave(id, l)
		return contextError("lock chunk", ctx)
	}
}

func (k *keyLocks) unlock(id inos.ChunkID) {
	k.mu.Lock()
	l := k.held[id]
	k.mu.Unlock()
	<-l.token
	k.leave(id, l)
}

func (k *keyLocks) leave(id inos.ChunkID, l *keyLock) {
	k.mu.Lock()
	if l.users--; l.users == 0 {
		delete(k.held, id)
	}
	k.mu.Unlock()
}
