package datatest

import "github.com/inos-mesh/inos"

// memberOf is a member as an invite lets it in.
func memberOf(id inos.NodeID) inos.Member {
	return inos.Member{
		ID: id, Operator: "ann", Zone: "zone of " + string(id), Host: "host of " + string(id), Tier: inos.TierCold, OfferedBytes: 1 << 40,
		Addrs: []string{"/ip4/127.0.0.1/tcp/4001/p2p/" + string(id)}, Grant: []byte("grant of " + string(id)),
	}
}

// failer is what *testing.T and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// admit lets nodes in, each by an invite of its own.
func admit(t failer, m inos.Semantic, nodes ...inos.NodeID) {
	t.Helper()
	for _, node := range nodes {
		if _, err := m.AdmitNode(background, memberOf(node), "invite of "+string(node), 1); err != nil {
			t.Fatalf("admit %s: %v", node, err)
		}
	}
}
