package host

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Who is a member finds the places that are kept from strangers: the switchboard vouches for those whose join or heartbeat its kernel has taken, and for nobody
// else who asks.
func TestMembersAreVouchedFor(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	stranger := newRawPeer(t, nil, nil)
	var reply eventpb.HeartbeatReply
	if _, err := stranger.ask(m.board.Node, event.NodeHeartbeat, &eventpb.HeartbeatRequest{}, nil, &reply); err != nil || !reply.Unknown {
		t.Errorf("a stranger's heartbeat: unknown %t, %v", reply.Unknown, err)
	}
	if _, err := stranger.ask(m.board.Node, event.NodeJoin, &eventpb.NodeJoinRequest{}, nil, nil); err == nil {
		t.Error("a stranger's join was taken")
	}
	vouched := map[inos.NodeID]bool{}
	for _, p := range m.board.mesh.Peers() {
		vouched[p.ID] = p.Vouched
	}
	if provider := m.providers[0].id; !vouched[provider] {
		t.Errorf("nobody vouches for the provider %s: %v", provider, vouched)
	}
	if known, connected := vouched[stranger.node]; known || !connected {
		t.Errorf("the stranger is vouched for: %t, connected: %t", known, connected)
	}
}
