package mesh

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

// vouchedMax bounds the peers that are remembered to be of this mesh.
const vouchedMax = 4096

// Vouch says that a peer is of this mesh: its calls find the places that are kept from strangers, by whatever connection they come. Of too many the ones
// that are not connected are forgotten.
func (m *Mesh) Vouch(node inos.NodeID) {
	id, err := peer.Decode(string(node))
	if err != nil {
		return // no peer has such an id
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.vouched[id] {
		return
	}
	if len(m.vouched) >= vouchedMax {
		for other := range m.vouched {
			if m.remotes[other] == nil {
				delete(m.vouched, other)
				break
			}
		}
	}
	if len(m.vouched) < vouchedMax {
		m.vouched[id] = true
	}
}

// stranger says that nothing is known of the peer of a connection: it is no switchboard, and nobody has vouched for it.
func (m *Mesh) stranger(l *link) bool {
	if m.isSwitchboard(l) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.vouched[l.remote.id]
}
