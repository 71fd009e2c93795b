package content

import (
	"context"

	"github.com/inos-mesh/inos"
)

// Missing implements inos.Content. It takes no lock and costs one look at each chunk's name. Who asks believes that the
// chunks are held: one that is not may have been removed behind the store's back, and then the counters are wrong.
func (s *Store) Missing(ctx context.Context, ids []inos.ChunkID) (gone []inos.ChunkID, err error) {
	const op = "look for chunks"
	if err := s.enter(op); err != nil {
		return nil, err
	}
	defer s.leave()
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, contextError(op, ctx)
		}
		switch _, err := s.files.Stat(s.layout.chunk(id)); {
		case missing(err):
			gone = append(gone, id)
		case err != nil:
			return nil, ioError(op, err)
		}
	}
	if len(gone) > 0 {
		s.doubt()
	}
	return gone, nil
}
