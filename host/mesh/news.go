package mesh

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// news makes OnPeer be told of a peer.
func (m *Mesh) news(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newsLocked(id)
}

func (m *Mesh) newsLocked(id peer.ID) {
	if m.config.OnPeer == nil || slices.Contains(m.changed, id) {
		return
	}
	m.changed = append(m.changed, id) // bounded by the peers: those connected and those just lost
	select {
	case m.changes <- struct{}{}:
	default:
	}
}

// tell calls OnPeer with the latest state of each peer that has changed, in the order of their changes.
func (m *Mesh) tell() {
	told := map[peer.ID]Peer{} // those connected
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.changes:
		}
		for {
			m.mu.Lock()
			if len(m.changed) == 0 {
				m.mu.Unlock()
				break
			}
			id := m.changed[0]
			m.changed = m.changed[1:]
			now := m.stateLocked(id)
			m.mu.Unlock()
			before := told[id]
			if before.Connected == now.Connected && before.Switchboard == now.Switchboard && slices.Equal(before.Addrs, now.Addrs) {
				continue
			}
			if now.Connected {
				told[id] = now
			} else {
				delete(told, id)
			}
			m.config.OnPeer(now)
		}
	}
}
