package api

import (
	"sync"

	"github.com/inos-mesh/inos"
)

// shares bounds what all users have at a time, and what one of them has: who takes more than his share keeps nobody else from theirs. Strangers, who are
// nobody, have one share together.
type shares struct {
	mu  sync.Mutex // guards the fields below
	of  map[inos.Subject]int
	all int
}

// enter takes a place of a user's, which leave gives back. What says what there are as many of as may be.
func (s *shares) enter(op, what string, user inos.Subject, userMax, allMax int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[user] >= userMax:
		return inos.Errorf(inos.CodeBusy, op, "%d %s for one user, no more may", userMax, what)
	case s.all >= allMax:
		return inos.Errorf(inos.CodeBusy, op, "%d %s, no more may", allMax, what)
	}
	if s.of == nil {
		s.of = map[inos.Subject]int{}
	}
	s.of[user]++
	s.all++
	return nil
}

func (s *shares) leave(user inos.Subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[user]--; s.of[user] == 0 {
		delete(s.of, user)
	}
}

func (s *shares) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
