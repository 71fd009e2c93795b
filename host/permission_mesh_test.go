package host

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// who asks over the mesh: the mesh's switchboard, another one that the root key has certified, nodes whose certificate is over, not valid yet, of a foreign
// root, another's, or revoked; a provider of the mesh, a node that was removed from it, and a stranger who shows no certificate.
var meshWho = strings.Fields("board certified expired early foreign borrowed revoked provider removed stranger")

// Columns that are obeyed as switchboards, and all.
const (
	boards   = "board certified"
	everyone = "board certified expired early foreign borrowed revoked provider removed stranger"
)

// meshRow is what is asked of a node, on which of the two, and who is answered; everybody else is denied with the code.
type meshRow struct {
	event, what string
	of          string // provider, or board
	ask         func(m *meshMatrix, column string) event.Message
	ticket      func(m *meshMatrix, column string) []byte // nil: none
	may         string
	denied      inos.Code
}

// meshMatrix is a mesh with two providers, and those who ask.
type meshMatrix struct {
	*testMesh
	columns map[string]*mesh.Mesh
	ids     map[string]inos.NodeID
	signers map[string]*trust.Signer // who can sign tickets, each in its own way
	chunk   inos.ChunkID             // that the first provider holds
	stored  []byte
	invite  []byte // that let in the node which was removed
	invites int
}

func newMeshMatrix(t *testing.T) *meshMatrix {
	t.Helper()
	m := &meshMatrix{testMesh: openMesh(t, 2), columns: map[string]*mesh.Mesh{}, ids: map[string]inos.NodeID{}, signers: map[string]*trust.Signer{}, stored: noise(80, 1000)}
	root := m.root()
	foreign, err := trust.NewRoot(bytes.Repeat([]byte{7}, trust.RootSeedBytes))
	if err != nil {
		t.Fatal(err)
	}
	peer := func(column string, certificate func(inos.NodeID) []byte) *rawPeer {
		p := newRawPeer(t, certificate, nil)
		m.columns[column], m.ids[column] = p.Mesh, p.node
		return p
	}
	signer := func(name string, key ed25519.PrivateKey, of *trust.Root, certificate []byte, at inos.Micros) {
		s, err := trust.NewSigner(of.Verifier(), key, certificate, at)
		if err != nil {
			t.Fatal(err)
		}
		m.signers[name] = s
	}
	now := m.board.clock.Now()
	m.columns["board"], m.ids["board"], m.signers["board"] = m.board.mesh, m.board.id, m.board.signer()
	m.columns["provider"], m.ids["provider"] = m.providers[1].mesh, m.providers[1].id
	valid := certifiedBy(t, root, -inos.Hour, inos.Hour)
	peer("certified", valid)
	over := certifiedBy(t, root, -2*inos.Hour, -inos.Hour)
	p := peer("expired", over)
	signer("expired", p.key, root, over(p.node), now-inos.Hour-inos.Minute)
	peer("early", certifiedBy(t, root, inos.Hour, 2*inos.Hour))
	elsewhere := certifiedBy(t, foreign, -inos.Hour, inos.Hour)
	p = peer("foreign", elsewhere)
	signer("foreign", p.key, foreign, elsewhere(p.node), now)
	peer("borrowed", func(inos.NodeID) []byte { return m.board.signer().Certificate() })
	p = peer("revoked", valid)
	signer("revoked", p.key, root, valid(p.node), now)
	raw, err := root.Revoke(p.node, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{m.board.Node, m.providers[0], m.providers[1]} {
		if err := n.revoke([][]byte{raw}); err != nil {
			t.Fatal(err)
		}
	}
	peer("stranger", nil)
	m.chunk = m.hold(m.stored)
	invite, err := root.Verifier().InviteText(m.testMesh.invite("another"))
	if err != nil {
		t.Fatal(err)
	}
	m.invite = invite.Raw
	p = peer("removed", nil)
	if _, err := p.ask(m.board.Node, event.NodeJoin, &eventpb.NodeJoinRequest{Invite: m.invite}, nil, nil); err != nil {
		t.Fatal(err)
	}
	set := func(state inos.MemberState) error {
		return m.board.request(t.Context(), event.NodesSet, &eventpb.NodesSetRequest{Node: string(p.node), State: uint32(state)}, &eventpb.NodesSetReply{})
	}
	if err := set(inos.MemberDraining); err != nil {
		t.Fatal(err)
	}
	m.board.waitFor("a node that is empty can be removed", func(*eventpb.NodeStatusReply) bool { return set(inos.MemberRemoved) == nil })
	return m
}

// grantOf changes a grant that lets the column do what it asks of the first provider's chunk, and has somebody sign it.
func (m *meshMatrix) grantOf(column, verb, signer string, change func(*eventpb.Grant)) []byte {
	m.t.Helper()
	now := m.board.clock.Now()
	g := &eventpb.Grant{ChunkId: m.chunk[:], Verb: verb, Holder: string(m.ids[column]), Node: string(m.providers[0].id), ExpiresUs: int64(now + inos.Hour)}
	if change != nil {
		change(g)
	}
	if signer == "expired" {
		now -= inos.Hour + inos.Minute // its certificate counted then
	}
	raw, err := m.signers[signer].SignTicket(g, now)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

// ticketsOf are the tickets that each verb is tried with.
func ticketsOf(verb, eventType string, ask func(m *meshMatrix, column string) event.Message) []meshRow {
	other := map[string]string{"read": "write", "write": "read"}[verb]
	ticket := func(signer string, change func(*eventpb.Grant)) func(*meshMatrix, string) []byte {
		return func(m *meshMatrix, column string) []byte { return m.grantOf(column, verb, signer, change) }
	}
	row := func(what, may string, ticket func(*meshMatrix, string) []byte) meshRow {
		return meshRow{eventType, what, "provider", ask, ticket, may, inos.CodePermissionDenied}
	}
	return []meshRow{
		row("without a ticket", "", nil),
		row("with a ticket", everyone, ticket("board", nil)),
		row("with an expired ticket", "", ticket("board", func(g *eventpb.Grant) { g.ExpiresUs -= int64(inos.Hour + trust.TicketSkew + inos.Minute) })),
		row("with a ticket for another holder", "", ticket("board", func(g *eventpb.Grant) { g.Holder = string(trust.NodeOf(make([]byte, 32))) })),
		row("with a ticket for another node", "", ticket("board", func(g *eventpb.Grant) { g.Node = string(trust.NodeOf(make([]byte, 32))) })),
		row("with a ticket for another chunk", "", ticket("board", func(g *eventpb.Grant) { g.ChunkId = bytes.Repeat([]byte{1}, 32) })),
		row("with a ticket for another verb", "", ticket("board", func(g *eventpb.Grant) { g.Verb = other })),
		row("with a ticket of an expired switchboard", "", ticket("expired", nil)),
		row("with a ticket of a revoked switchboard", "", ticket("revoked", nil)),
		row("with a ticket of a foreign mesh", "", ticket("foreign", nil)),
		row("with a ticket whose last bit differs", "", func(m *meshMatrix, column string) []byte {
			raw := m.grantOf(column, verb, "board", nil)
			raw[len(raw)-1] ^= 1
			return raw
		}),
		row("with a replayed ticket of the switchboard's", "board", func(m *meshMatrix, _ string) []byte { return m.grantOf("board", verb, "board", nil) }),
	}
}

// order is a row of what only switchboards may ask of a provider.
func order(eventType string, ask func(m *meshMatrix) event.Message) meshRow {
	return meshRow{eventType, "", "provider", func(m *meshMatrix, _ string) event.Message { return ask(m) }, nil, boards, inos.CodePermissionDenied}
}

// withInvite is a row of a join or heartbeat with an invite, or without.
func withInvite(eventType, what, may string, invite func(m *meshMatrix) []byte) meshRow {
	return meshRow{eventType, what, "board", func(m *meshMatrix, _ string) event.Message {
		if eventType == event.NodeJoin {
			return &eventpb.NodeJoinRequest{Invite: invite(m)}
		}
		return &eventpb.HeartbeatRequest{Grant: invite(m)}
	}, nil, may, inos.CodeInviteRefused}
}

// meshRows are the calls of a mesh. The board does not call itself, and holds no chunks.
var meshRows = slices.Concat(
	ticketsOf("read", event.ContentRead, func(m *meshMatrix, _ string) event.Message { return &eventpb.ContentReadRequest{ChunkId: m.chunk[:]} }),
	ticketsOf("write", event.ContentWrite, func(m *meshMatrix, _ string) event.Message { return &eventpb.ContentWriteRequest{ChunkId: m.chunk[:]} }),
	[]meshRow{
		order(event.ContentProve, func(m *meshMatrix) event.Message { return &eventpb.ContentProveRequest{ChunkId: m.chunk[:]} }),
		order(event.ContentMissing, func(m *meshMatrix) event.Message {
			return &eventpb.ContentMissingRequest{ChunkIds: [][]byte{m.chunk[:]}}
		}),
		order(event.ContentTrash, func(m *meshMatrix) event.Message {
			return &eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: bytes.Repeat([]byte{1}, 32)}}}
		}),
		order(event.ContentEmptyTrash, func(*meshMatrix) event.Message { return &eventpb.ContentEmptyTrashRequest{Limit: 1} }),
		order(event.ContentInventory, func(*meshMatrix) event.Message { return &eventpb.ContentInventoryRequest{Limit: 1} }),
		order(event.ContentScrub, func(*meshMatrix) event.Message { return &eventpb.ContentScrubRequest{Limit: 1} }),
		order(event.ContentUsage, func(*meshMatrix) event.Message { return &eventpb.ContentUsageRequest{} }),
		{event.ContentCopy, "from another provider, with a ticket", "provider", func(m *meshMatrix, _ string) event.Message {
			return &eventpb.ContentCopyRequest{ChunkId: m.chunk[:], Source: string(m.providers[0].id), SourceAddrs: m.providers[0].MeshAddrs(), StoredBytes: 1000}
		}, func(m *meshMatrix, _ string) []byte {
			return m.grantOf("provider", "read", "board", nil) // the second provider is to read from the first
		}, boards, inos.CodePermissionDenied},
		{event.ContentCopy, "without a ticket", "provider", func(m *meshMatrix, _ string) event.Message {
			return &eventpb.ContentCopyRequest{ChunkId: m.chunk[:], Source: string(m.providers[0].id), SourceAddrs: m.providers[0].MeshAddrs(), StoredBytes: 1000}
		}, nil, "", inos.CodePermissionDenied},
		withInvite(event.NodeJoin, "with an invite", "certified expired early foreign borrowed revoked provider stranger", func(m *meshMatrix) []byte { return m.inviteBy("board") }),
		withInvite(event.NodeJoin, "with an invite that has let in another node", "", func(m *meshMatrix) []byte { return m.invite }),
		withInvite(event.NodeJoin, "without an invite", "", func(*meshMatrix) []byte { return nil }),
		withInvite(event.NodeJoin, "with an invite whose last bit differs", "", func(m *meshMatrix) []byte {
			raw := bytes.Clone(m.invite)
			raw[len(raw)-1] ^= 1
			return raw
		}),
		withInvite(event.NodeJoin, "with an invite of a revoked switchboard", "", func(m *meshMatrix) []byte { return m.inviteBy("revoked") }),
		withInvite(event.NodeJoin, "with an invite of a foreign mesh", "", func(m *meshMatrix) []byte { return m.inviteBy("foreign") }),
		withInvite(event.NodeHeartbeat, "with an invite of a foreign mesh", "", func(m *meshMatrix) []byte { return m.inviteBy("foreign") }),
		// Whom the map does not know is told so, and nothing else.
		withInvite(event.NodeHeartbeat, "without an invite", "certified expired early foreign borrowed revoked provider removed stranger", func(*meshMatrix) []byte { return nil }),
	},
)

// inviteBy has somebody sign an invite.
func (m *meshMatrix) inviteBy(signer string) []byte {
	m.t.Helper()
	now := m.board.clock.Now()
	m.invites++
	text, err := m.signers[signer].SignInvite(&eventpb.Invite{
		Id: fmt.Sprintf("i%d", m.invites), Operator: "o", Zone: "z", Host: "h", Tier: "cold", OfferedBytes: 1 << 30, ExpiresUs: int64(now + inos.Hour), Switchboards: m.board.MeshAddrs(),
	}, now)
	if err != nil {
		m.t.Fatal(err)
	}
	invite, err := trust.ReadInvite(text, now)
	if err != nil {
		m.t.Fatal(err)
	}
	return invite.Raw
}

// TestPermissionMatrixOfTheMesh has everybody make every call of the mesh's.
func TestPermissionMatrixOfTheMesh(t *testing.T) {
	m := newMeshMatrix(t)
	defer m.close()
	t.Run("whole", m.whole)
	for _, row := range meshRows {
		for _, column := range meshWho {
			to := m.providers[0]
			if row.event == event.ContentCopy {
				to = m.providers[1]
			}
			if row.of == "board" {
				to = m.board.Node
			}
			if m.ids[column] == to.id {
				continue // nobody calls himself
			}
			var ticket, bulk []byte
			if row.ticket != nil {
				ticket = row.ticket(m, column)
			}
			if row.event == event.ContentWrite {
				bulk = bytes.Clone(m.stored)
			}
			got, err := ask(t.Context(), m.columns[column], to, row.event, row.ask(m, column), ticket, bulk, nil)
			name := event.Stage(row.event) + " " + row.what + " by " + column
			if may := slices.Contains(strings.Fields(row.may), column); may != (err == nil) || !may && inos.CodeOf(err) != row.denied {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil && row.event == event.ContentRead && content.Sum(got) != m.chunk {
				t.Errorf("%s: %d bytes that are not the chunk's", name, len(got))
			}
			if err != nil && len(got) > 0 {
				t.Errorf("%s is refused, with %d bytes", name, len(got))
			}
		}
	}
}

// whole: an event that nodes send each other has a row, and one that they do not is answered to nobody, whoever asks.
func (m *meshMatrix) whole(t *testing.T) {
	raw, err := os.ReadFile("../event/names.go")
	if err != nil {
		t.Fatal(err)
	}
	_, between, ok := strings.Cut(string(raw), "// What a node asks of another")
	between, _, ok2 := strings.Cut(between, "// What the storage module answers")
	if !ok || !ok2 {
		t.Fatal("names.go does not say what nodes ask each other")
	}
	types := regexp.MustCompile(`"([a-z_]+:[a-z_]+:v1:requested)"`)
	rows := map[string]bool{}
	for _, row := range meshRows {
		rows[row.event] = true
	}
	served := map[string]bool{}
	for _, found := range types.FindAllStringSubmatch(between, -1) {
		served[found[1]] = true
	}
	others := 0
	for _, found := range types.FindAllStringSubmatch(string(raw), -1) {
		typ := found[1]
		if served[typ] || strings.HasPrefix(typ, "content:") {
			if !rows[typ] {
				t.Errorf("nodes ask each other %s, and no row says who may", typ)
			}
			continue
		}
		others++
		for to, columns := range map[*Node][]string{m.providers[0]: {"board", "certified", "provider"}, m.board.Node: {"certified", "provider", "stranger"}} {
			for _, column := range columns {
				if _, err := ask(t.Context(), m.columns[column], to, typ, nil, nil, nil, nil); inos.CodeOf(err) != inos.CodeUnknownEvent {
					t.Errorf("%s by %s: %v", typ, column, err)
				}
			}
		}
	}
	if len(served) < 3 || others < 80 {
		t.Errorf("only %d events between nodes and %d others were found", len(served), others)
	}
}
