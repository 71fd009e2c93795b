package host

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

// A revocation that is laid into the switchboard's folder reaches the provider with a heartbeat: the connection of who is revoked is closed, nothing that it
// says or has signed counts any more, and after a start of either neither.
func TestARevokedSwitchboardIsObeyedNoMore(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	root := m.root()
	certify := certifiedBy(t, root, -inos.Hour, inos.Hour)
	thief := newRawPeer(t, certify, nil)
	chunk := m.hold(noise(70, 1000))
	ticket, err := thief.signer(root, certify(thief.node)).SignTicket(&eventpb.Grant{
		ChunkId: chunk[:], Verb: "read", Holder: string(thief.node), Node: string(m.providers[0].id), ExpiresUs: int64(thief.now() + inos.Hour),
	}, thief.now())
	if err != nil {
		t.Fatal(err)
	}
	obeyed := func(want bool) {
		t.Helper()
		p := m.providers[0]
		if err := thief.answered(p, event.ContentUsage, &eventpb.ContentUsageRequest{}, nil); (err == nil) != want || !want && inos.CodeOf(err) != inos.CodePermissionDenied {
			t.Errorf("an order: %v", err)
		}
		if err := thief.answered(p, event.ContentRead, &eventpb.ContentReadRequest{ChunkId: chunk[:]}, ticket); (err == nil) != want || !want && inos.CodeOf(err) != inos.CodePermissionDenied {
			t.Errorf("a ticket: %v", err)
		}
	}
	obeyed(true)
	if stand := m.providers[0].connectedSwitchboards(); stand != 2 {
		t.Errorf("%d switchboards are connected to the provider", stand)
	}
	if err := RevokeSwitchboard(m.board.folder.dir, filepath.Join(m.parent, "root.key"), thief.node); err != nil {
		t.Fatal(err)
	}
	m.board.takeRevocations()
	m.board.waitFor("the provider knows, and has let go of the thief", func(*eventpb.NodeStatusReply) bool {
		return m.providers[0].authority.verifier.Revoked(thief.node) && m.providers[0].connectedSwitchboards() == 1
	})
	obeyed(false)
	closeNode(t, m.providers[0])
	m.openProvider(0, "")
	m.waitAlive(1)
	obeyed(false)
	if state, err := m.board.folder.meshState(); err != nil || len(state.Revocations) != 1 {
		t.Errorf("the switchboard keeps %+v, %v", state, err)
	}
	if _, err := os.Stat(m.board.folder.path(revocationsFile)); err == nil {
		t.Error("what was taken is still laid")
	}

	// Whom the thief has invited, nobody lets in.
	text, err := thief.signer(root, certify(thief.node)).SignInvite(&eventpb.Invite{
		Id: "i", Operator: "o", Zone: "z", Host: "h", Tier: "cold", OfferedBytes: 1 << 30, ExpiresUs: int64(thief.now() + inos.Hour), Switchboards: m.board.MeshAddrs(),
	}, thief.now())
	if err != nil {
		t.Fatal(err)
	}
	invite, err := root.Verifier().InviteText(text)
	if err != nil {
		t.Fatal(err)
	}
	accomplice := newRawPeer(t, nil, nil)
	if _, err := accomplice.ask(m.board.Node, event.NodeJoin, &eventpb.NodeJoinRequest{Invite: invite.Raw}, nil, nil); inos.CodeOf(err) != inos.CodeInviteRefused {
		t.Errorf("an invite of a revoked switchboard: %v", err)
	}
	m.board.mustPut("/still", []byte("works"))
	m.board.mustHold("/still", []byte("works"))
}

// A revocation counts at once, on connections that are there, and when the disk does not take it too.
func TestARevocationCountsThoughItCannotBeWrittenDown(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	root, p := m.root(), m.providers[0]
	thief := newRawPeer(t, certifiedBy(t, root, -inos.Hour, inos.Hour), nil)
	order := func() error { return thief.answered(p, event.ContentUsage, &eventpb.ContentUsageRequest{}, nil) }
	if err := order(); err != nil {
		t.Fatalf("a switchboard's order before it is revoked: %v", err)
	}
	state := p.folder.path(meshStateFile)
	if err := errors.Join(os.Rename(state, state+".away"), os.Mkdir(state, 0o700)); err != nil { // a folder is not replaced by a file
		t.Fatal(err)
	}
	raw, err := root.Revoke(thief.node, m.board.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.revoke([][]byte{raw}); err == nil {
		t.Error("nobody is told that it could not be written down")
	}
	if err := order(); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("an order of a switchboard that was revoked: %v", err)
	}
	if err := errors.Join(os.Remove(state), os.Rename(state+".away", state), p.revoke([][]byte{raw})); err != nil {
		t.Fatal(err)
	}
	if kept, err := p.folder.meshState(); err != nil || len(kept.Revocations) != 1 {
		t.Errorf("it is written down when that is possible again: %+v, %v", kept, err)
	}
}

// hold has the only provider keep a chunk.
func (m *testMesh) hold(stored []byte) inos.ChunkID {
	m.t.Helper()
	chunk := content.Sum(stored)
	p := m.providers[0]
	ticket, err := m.board.signer().SignTicket(&eventpb.Grant{
		ChunkId: chunk[:], Verb: "write", Holder: string(m.board.id), Node: string(p.id), ExpiresUs: int64(m.board.clock.Now() + inos.Hour),
	}, m.board.clock.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := ask(m.t.Context(), m.board.mesh, p, event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: chunk[:]}, ticket, bytes.Clone(stored), nil); err != nil {
		m.t.Fatal(err)
	}
	return chunk
}

func (n *Node) connectedSwitchboards() (count int) {
	for _, p := range n.mesh.Peers() {
		if p.Switchboard {
			count++
		}
	}
	return count
}

// A switchboard that is itself revoked stops. With the root key it starts as another node, the providers join it again, and every file is there.
func TestARevokedSwitchboardGetsAnotherKey(t *testing.T) {
	m := openMesh(t, 2)
	body := noise(71, 2<<20)
	m.board.mustPut("/file", body)
	before := m.board.id
	if err := RevokeSwitchboard(m.board.folder.dir, filepath.Join(m.parent, "root.key"), before); err != nil {
		t.Fatal(err)
	}
	m.board.takeRevocations()
	<-m.board.done
	if err := m.board.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("the switchboard ended with %v", err)
	}
	away := filepath.Join(t.TempDir(), "root.key")
	if err := os.Rename(filepath.Join(m.parent, "root.key"), away); err != nil {
		t.Fatal(err)
	}
	if n, err := openSwitchboard(t, m.parent, "switchboard", nil); err == nil {
		closeNode(t, n)
		t.Error("a revoked switchboard starts without the root key")
	} else if inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Error(err)
	}
	if err := os.Rename(away, filepath.Join(m.parent, "root.key")); err != nil {
		t.Fatal(err)
	}
	m.startBoard(nil) // its members cannot come before they are let in by it
	if m.board.id == before {
		t.Fatal("it is the node that was revoked")
	}
	if revoked := m.board.Revoked(); len(revoked) != 1 || revoked[0].Node != string(before) || revoked[0].RevokedUs == 0 {
		t.Errorf("it lists as revoked %+v", revoked)
	}
	for i, p := range m.providers {
		closeNode(t, p)
		m.openProvider(i, m.invite("host-"+string(rune('0'+i))))
		if !m.providers[i].authority.verifier.Revoked(before) {
			m.board.waitFor("the provider knows", func(*eventpb.NodeStatusReply) bool { return m.providers[i].authority.verifier.Revoked(before) })
		}
	}
	m.waitAlive(2)
	m.board.mustHold("/file", body)
	m.board.mustPut("/more", body[:1000])
	m.close()
	m.startBoard(nil)
	defer m.board.close()
	if m.board.id == before || m.board.authority.verifier.Revoked(m.board.id) {
		t.Error("it does not stay who it has become")
	}
}

// RevokeSwitchboard says what is wrong before it lays anything down.
func TestRevokingRefuses(t *testing.T) {
	parent := t.TempDir()
	closeNode(t, mustOpenSwitchboard(t, parent, "a", nil))
	closeNode(t, mustOpenSwitchboard(t, filepath.Join(parent, "other"), "b", nil))
	dir, key := filepath.Join(parent, "a"), filepath.Join(parent, "root.key")
	node := trust.NodeOf(make(ed25519.PublicKey, ed25519.PublicKeySize))
	for name, c := range map[string]struct {
		key, node string
		code      inos.Code
	}{
		"no key":             {filepath.Join(parent, "none"), string(node), inos.CodeBadRequest},
		"another mesh's key": {filepath.Join(parent, "other", "root.key"), string(node), inos.CodeUnauthenticated},
		"no node":            {key, "somebody", inos.CodeBadFormat},
	} {
		if err := RevokeSwitchboard(dir, c.key, inos.NodeID(c.node)); inos.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, revocationsFile)); err == nil {
		t.Error("something was laid down")
	}
	for range 2 {
		if err := RevokeSwitchboard(dir, key, node); err != nil {
			t.Fatal(err)
		}
	}
	n := mustOpenSwitchboard(t, parent, "a", nil)
	if !n.authority.verifier.Revoked(node) {
		t.Error("what was laid down while the node was stopped is not taken at its start")
	}
	closeNode(t, n)
	if err := os.WriteFile(filepath.Join(dir, revocationsFile), []byte("00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSwitchboard(t, parent, "a", nil); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("a start with a revocation that the root key has not signed: %v", err)
	}
}
