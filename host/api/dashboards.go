package api

import (
	"sync"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

const (
	// dashboardUserCodesMax and dashboardUserMax are a user's share of the codes that wait and of the sessions: with one more, the oldest of his own goes.
	dashboardUserCodesMax = 8
	dashboardUserMax      = 16
	// dashboardCodesMax and dashboardsMax bound those of all users. One more is refused, so that nobody pushes out another's.
	dashboardCodesMax = 1024
	dashboardsMax     = 4096
)

// dashboards are the sessions of browsers and the codes for them, by the hash of their secrets. They are lost with the process; their tokens stay
// until they expire, and nobody has them.
type dashboards struct {
	mu       sync.Mutex // guards the fields below
	codes    map[[32]byte]*dashboardSession
	sessions map[[32]byte]*dashboardSession
	next     uint64
}

// dashboardSession is a token of its own, which can be listed and revoked like any other.
type dashboardSession struct {
	token   string // its id
	user    string
	csrf    string
	expires inos.Micros // of the code, then of the session
	used    inos.Micros // 0: it is a code still
	age     uint64
}

// over says that a code or a session has come to its end.
func (s *dashboardSession) over(now inos.Micros) bool {
	return now >= s.expires || s.used != 0 && now >= s.used+DashboardIdle
}

func hashOf(s string) [32]byte { return blake3.Sum256([]byte(s)) }

// keep puts a session into a table under a new secret. Those that are over go, and of a user who has his share the oldest one; false when there are as many
// as may be all the same.
func (d *dashboards) keep(table *map[[32]byte]*dashboardSession, share, limit int, s *dashboardSession, now inos.Micros) (secret string, ok bool) {
	if *table == nil {
		*table = map[[32]byte]*dashboardSession{}
	}
	var oldest [32]byte
	own, least := 0, ^uint64(0)
	for hash, other := range *table {
		switch {
		case other.over(now):
			delete(*table, hash)
		case other.user == s.user:
			if own++; other.age < least {
				oldest, least = hash, other.age
			}
		}
	}
	switch {
	case own >= share:
		delete(*table, oldest)
	case len(*table) >= limit:
		return "", false
	}
	d.next++
	s.age = d.next
	secret = randomText()
	(*table)[hashOf(secret)] = s
	return secret, true
}

// wait keeps a session that waits for its browser, and returns the code for it; false when too many wait.
func (d *dashboards) wait(s *dashboardSession, now inos.Micros) (code string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keep(&d.codes, dashboardUserCodesMax, dashboardCodesMax, s, now)
}

// find returns the session that waits under a code.
func (d *dashboards) find(code string, now inos.Micros) (dashboardSession, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.codes[hashOf(code)]
	if !ok || s.over(now) {
		return dashboardSession{}, false
	}
	return *s, true
}

// trade takes a code, once, and opens the session that was found under it. Is there no room for it, the code stays good.
func (d *dashboards) trade(code string, s *dashboardSession, now inos.Micros) (cookie string, good, room bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.codes[hashOf(code)] == nil {
		return "", false, false
	}
	cookie, room = d.keep(&d.sessions, dashboardUserMax, dashboardsMax, s, now)
	if room {
		delete(d.codes, hashOf(code))
	}
	return cookie, true, room
}

// use returns the session of a cookie and notes that it is in use.
func (d *dashboards) use(cookie string, now inos.Micros) (dashboardSession, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.sessions[hashOf(cookie)]
	if !ok {
		return dashboardSession{}, false
	}
	if s.over(now) {
		delete(d.sessions, hashOf(cookie))
		return dashboardSession{}, false
	}
	s.used = now
	return *s, true
}

// end forgets the session of a cookie.
func (d *dashboards) end(cookie string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, hashOf(cookie))
}
