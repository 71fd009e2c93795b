package content

import (
	"bytes"
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// Inventory implements inos.Content. It holds at most two pages in memory, and reads the shard of each page once.
func (s *Store) Inventory(ctx context.Context, after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool, err error) {
	const op = "list chunks"
	if limit, err = checkPage(op, ctx, limit); err != nil {
		return nil, false, err
	}
	if err := s.enter(op); err != nil {
		return nil, false, err
	}
	defer s.leave()
	return s.page(op, ctx, after, limit)
}

// page returns the limit smallest ids above after. Shards are in the order of ids.
func (s *Store) page(op string, ctx context.Context, after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool, err error) {
	for shard := s.layout.shard(after); shard < s.layout.shards(); shard++ {
		if ctx.Err() != nil {
			return nil, false, contextError(op, ctx)
		}
		// One more than fits, to learn whether any follows.
		picked := smallest{limit: limit + 1 - len(ids), after: after}
		err := s.files.List(s.layout.chunkDir(shard), func(name string) error {
			if id, ok := s.layout.parse(shard, name); ok {
				picked.add(id)
			}
			return nil
		})
		if err != nil {
			return nil, false, ioError(op, err)
		}
		if ids = append(ids, picked.sorted()...); len(ids) > limit {
			return ids[:limit], false, nil
		}
	}
	return ids, true, nil
}

// smallest picks the limit smallest of the ids above after; it holds at most twice as many.
type smallest struct {
	limit int
	after inos.ChunkID
	ids   []inos.ChunkID
	full  bool // ids[limit-1] is the largest that still counts
	max   inos.ChunkID
}

func (p *smallest) add(id inos.ChunkID) {
	if compareIDs(id, p.after) <= 0 || p.full && compareIDs(id, p.max) >= 0 {
		return
	}
	if p.ids = append(p.ids, id); len(p.ids) >= 2*p.limit {
		p.cut()
	}
}

func (p *smallest) cut() {
	slices.SortFunc(p.ids, compareIDs)
	if len(p.ids) >= p.limit {
		p.ids = p.ids[:p.limit]
		p.full, p.max = true, p.ids[p.limit-1]
	}
}

func (p *smallest) sorted() []inos.ChunkID {
	p.cut()
	return p.ids
}

func compareIDs(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) }
