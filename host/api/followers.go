package api

import (
	"sync"

	"github.com/inos-mesh/inos"
)

// followers bounds the clients that follow the events, of all users and of one: who opens more than his share keeps nobody else from following.
type followers struct {
	mu sync.Mutex // guards of
	of map[inos.Subject]int
}

// enter takes a place for a user's client; leave gives it back.
func (f *followers) enter(user inos.Subject) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch all := f.sum(); {
	case f.of[user] >= FollowersUserMax:
		return inos.Errorf(inos.CodeBusy, "node:events", "%d clients of this user follow the events, no more may", FollowersUserMax)
	case all >= FollowersMax:
		return inos.Errorf(inos.CodeBusy, "node:events", "%d clients follow the events, no more may", FollowersMax)
	}
	if f.of == nil {
		f.of = map[inos.Subject]int{}
	}
	f.of[user]++
	return nil
}

func (f *followers) leave(user inos.Subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[user]--; f.of[user] == 0 {
		delete(f.of, user)
	}
}

func (f *followers) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sum()
}

func (f *followers) sum() (n int) {
	for _, own := range f.of {
		n += own
	}
	return n
}
