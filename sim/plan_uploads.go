package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/inos-mesh/inos"
)

// uploadStream is where the draw of a world's uploads begins: one with which the kept seeds' worlds have none.
const uploadStream = 85139209

// uploadPlan is a file that a client sends in pieces.
type uploadPlan struct {
	at     inos.Micros
	who    int // of sessions
	path   string
	body   body
	tries  int // of each request
	wanted uint32
	sync   uint32
	cuts   []inos.Micros // the client is gone so long after it has begun, or gone on
	fate   uploadFate
	again  int // commits of what is committed
	expect bool
}

// uploadFate is what becomes of an upload when nothing is missing.
type uploadFate int

const (
	fateCommit uploadFate = iota
	fateDrop
	fateForget // nobody comes back to it
	fates
)

// drawUploads draws what is sent in pieces, in a third of the worlds: to the same paths as puts and of the same bodies, so that they share chunks.
func (p *Plan) drawUploads() {
	r := rand.New(rand.NewPCG(p.Seed, uploadStream))
	if r.IntN(3) > 0 {
		return
	}
	paths := []string{"/a", "/b", "/u", "/v"}
	span := func(d inos.Micros) inos.Micros { return inos.Micros(r.Int64N(int64(d))) }
	for range 2 + r.IntN(6) {
		u := uploadPlan{at: opsFrom + span(p.faultsTo()-opsFrom-inos.Minute), path: paths[r.IntN(len(paths))], tries: 1 + r.IntN(4), expect: r.IntN(2) == 0, again: r.IntN(3)}
		u.body = body{name: uint64(r.IntN(6)), bytes: uint64(r.IntN(8 * inos.ChunkBytesMax))}
		switch r.IntN(6) {
		case 0:
			u.body.bytes = uint64(r.IntN(2))
		case 1:
			u.body.period = 1 + uint64(r.IntN(3))
		}
		if r.IntN(4) == 0 {
			u.wanted = 2 + uint32(r.IntN(3))
		}
		for range r.IntN(4) {
			u.cuts = append(u.cuts, span([]inos.Micros{200 * inos.Millisecond, 2 * inos.Second, 20 * inos.Second}[r.IntN(3)]))
		}
		if r.IntN(3) == 0 {
			u.fate = uploadFate(r.IntN(int(fates)))
		}
		p.uploads = append(p.uploads, u)
	}
	slices.SortStableFunc(p.uploads, func(a, b uploadPlan) int { return int(a.at - b.at) })
}
