package kernel

import (
	"strings"

	"github.com/inos-mesh/inos"
)

// rates bounds how many requests a subject sends: a bucket of tokens each, filled with the passing of time. Of the buckets that do not fit
// the one used longest ago is forgotten: it was full, or will be soon.
type rates struct {
	k     *Kernel
	table map[string]*bucket // by subject
}

// bucket holds tokens in millionths; a request takes a whole one.
type bucket struct {
	level int64
	at    inos.Micros
}

func (u *rates) code(c *coder) {
	objects(c, &u.table, ratesMax, text[string], func(c *coder, b *bucket) {
		num(c, &b.level)
		num(c, &b.at)
	})
}

// take counts one request of a subject that may send rate requests per second; 0 is no bound.
func (u *rates) take(subject inos.Subject, rate uint32, op string) *inos.Error {
	if rate == 0 {
		return nil
	}
	const whole = int64(inos.Second) // microseconds times requests per second are millionths of a request
	full := int64(rate) * whole * rateBurst
	b := u.table[string(subject)]
	if b == nil {
		if len(u.table) >= ratesMax {
			u.evict()
		}
		b = &bucket{level: full, at: u.k.now}
		u.table[string(subject)] = b
	}
	passed := min(int64(u.k.now-b.at), rateBurst*whole)
	b.level, b.at = min(full, b.level+passed*int64(rate)), u.k.now
	if b.level < whole {
		err := inos.Errorf(inos.CodeRateLimited, op, "%.80s may send %s a second", subject, plural(uint64(rate), "request", "requests"))
		err.RetryAfter = inos.Micros((whole-b.level)/int64(rate) + 1)
		return err
	}
	b.level -= whole
	return nil
}

// left says how many requests a subject with a rate may send now, and how many at most at once; it counts none.
func (u *rates) left(subject inos.Subject, rate uint32) (left, most uint32) {
	const whole = int64(inos.Second)
	most = uint32(min(int64(rate)*rateBurst, 1<<32-1))
	b := u.table[string(subject)]
	if b == nil {
		return most, most
	}
	passed := min(int64(u.k.now-b.at), rateBurst*whole)
	return uint32(min(int64(most), (b.level+passed*int64(rate))/whole)), most
}

func (u *rates) evict() {
	oldest := ""
	for _, s := range sortedKeys(u.table) {
		if oldest == "" || u.table[s].at < u.table[oldest].at {
			oldest = s
		}
	}
	delete(u.table, oldest)
}

// rateOf returns the requests per second of a subject: a user's own, or what everybody has who is no user. Of a user whose row is not known
// yet it is 0.
func (g *governance) rateOf(subject inos.Subject) uint32 {
	switch {
	case subject == publicSubject:
		return publicRate
	case strings.HasPrefix(string(subject), linkPrefix):
		return linkRate
	}
	if a := g.access.known(subject, subject); a != nil {
		return a.row.rate
	}
	return 0
}
