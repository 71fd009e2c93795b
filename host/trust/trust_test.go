package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The world of the tests: one mesh, its switchboard, a provider and another one, and another mesh.
const (
	now     = 1_700_000_000 * inos.Second
	expires = now + 365*inos.Day
)

// mesh is what a switchboard has.
type mesh struct {
	root   *Root
	signer *Signer
}

func newMesh(t testing.TB, name string) mesh {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	root, err := NewRoot(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return mesh{root, newSigner(t, root, now, expires)}
}

func newSigner(t testing.TB, root *Root, from, until inos.Micros) *Signer {
	t.Helper()
	certificate, err := root.Certify(NodeOf(root.SwitchboardKey().Public().(ed25519.PublicKey)), from, until)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(root.Verifier(), root.SwitchboardKey(), certificate, from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nodeNamed(name string) inos.NodeID {
	seed := sha256.Sum256([]byte(name))
	return NodeOf(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
}

var (
	provider = nodeNamed("provider")
	other    = nodeNamed("other provider")
)

func grant() *eventpb.Grant {
	chunk := sha256.Sum256([]byte("chunk"))
	return &eventpb.Grant{ChunkId: chunk[:], Verb: "read", Holder: string(provider), Node: string(other), ExpiresUs: int64(now + inos.Minute)}
}

func inviteContent() *eventpb.Invite {
	return &eventpb.Invite{
		Id: "invite-1", Operator: "ann", Zone: "home", Host: "nas", Tier: "cold", OfferedBytes: 1 << 40, ExpiresUs: int64(now + inos.Day),
		Switchboards: []string{"/ip4/127.0.0.1/tcp/7771/p2p/" + string(provider)},
	}
}

func record() *eventpb.Record {
	id := sha256.Sum256([]byte("manifest"))
	return &eventpb.Record{File: &eventpb.FileInfo{Owner: "operator", Path: "/photos/cat.jpg", Version: 7, FileId: id[:], ManifestId: id[:], PlainBytes: 3 << 20}}
}

func TestWhatASwitchboardSignsIsBelieved(t *testing.T) {
	m := newMesh(t, "mesh")
	v := m.root.Verifier()
	for range 2 { // the second time from the certificates remembered
		raw, err := m.signer.SignTicket(grant(), now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Ticket(raw, provider, other, now)
		if err != nil || !got.EqualVT(grant()) {
			t.Fatalf("ticket: %v, %v", got, err)
		}
		if _, err := v.Ticket(raw, inos.NodeID(m.signer.About().Node), provider, now); err != nil {
			t.Fatalf("a ticket handed over to its holder: %v", err)
		}
	}
	text, err := m.signer.SignInvite(inviteContent(), now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := ReadInvite("\n "+text+"\r\n", now)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(invite.Content.RootKey, m.root.PublicKey()) || invite.Content.Zone != "home" || invite.By != m.signer.About().Node {
		t.Fatalf("invite: %+v", invite)
	}
	if again, err := v.Invite(invite.Raw); err != nil || !again.Content.EqualVT(invite.Content) {
		t.Fatalf("the invite shown to its switchboard: %v, %v", again, err)
	}
	sealed, err := m.signer.SealRecord(record(), now)
	if err != nil {
		t.Fatal(err)
	}
	got, signed, err := m.root.OpenRecord(sealed)
	if err != nil || signed != now || !got.EqualVT(record()) {
		t.Fatalf("record: %v, signed at %d, %v", got, signed, err)
	}
}

func TestTheSameSeedMakesTheSameMesh(t *testing.T) {
	a, b := newMesh(t, "mesh"), newMesh(t, "mesh")
	if !bytes.Equal(a.root.PublicKey(), b.root.PublicKey()) || a.signer.About().Node != b.signer.About().Node {
		t.Fatal("a rebuilt switchboard is another node")
	}
	sealed, err := a.signer.SealRecord(record(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.root.OpenRecord(sealed); err != nil {
		t.Fatalf("the record of the mesh before: %v", err)
	}
}

// Every byte of every statement is guarded: with any bit of it flipped it is refused.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	m := newMesh(t, "mesh")
	ticket, err := m.signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.signer.SignInvite(inviteContent(), now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := ReadInvite(text, now)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := m.signer.SealRecord(record(), now)
	if err != nil {
		t.Fatal(err)
	}
	v := m.root.Verifier()
	cases := []struct {
		name string
		raw  []byte
		read func([]byte) error
		code inos.Code
	}{
		{"certificate", m.signer.Certificate(), func(b []byte) error { _, err := v.Certificate(b, now); return err }, inos.CodeUnauthenticated},
		{"ticket", ticket, func(b []byte) error { _, err := v.Ticket(b, provider, other, now); return err }, inos.CodePermissionDenied},
		{"invite shown", invite.Raw, func(b []byte) error { _, err := v.Invite(b); return err }, inos.CodeInviteRefused},
		{"invite text", []byte(text), func(b []byte) error { _, err := ReadInvite(string(b), now); return err }, inos.CodeInviteRefused},
		{"record", sealed, func(b []byte) error { _, _, err := m.root.OpenRecord(b); return err }, inos.CodeBadFormat},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.read(c.raw); err != nil {
				t.Fatalf("untouched: %v", err)
			}
			for i := range c.raw {
				for bit := range 8 {
					damaged := bytes.Clone(c.raw)
					damaged[i] ^= 1 << bit
					if err := c.read(damaged); inos.CodeOf(err) != c.code {
						t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
					}
				}
			}
			for _, cut := range []int{0, 1, len(c.raw) / 2, len(c.raw) - 1} {
				if err := c.read(c.raw[:cut]); inos.CodeOf(err) != c.code {
					t.Fatalf("cut to %d bytes: %v", cut, err)
				}
			}
			if err := c.read(append(bytes.Clone(c.raw), 0)); inos.CodeOf(err) != c.code {
				t.Fatalf("a byte behind: %v", err)
			}
		})
	}
}

// A statement of one kind is none of another, even of the same mesh and the same content.
func TestKindsAreSeparate(t *testing.T) {
	m := newMesh(t, "mesh")
	kinds := []kind{kindCertificate, kindInvite, kindTicket, kindRecord}
	for _, signed := range kinds {
		raw := sign(signed, m.signer.key, m.signer.certificate, grant(), now)
		for _, read := range kinds {
			_, _, err := m.root.Verifier().statement(read, raw, TicketBytesMax, &eventpb.Grant{})
			if (err == nil) != (signed == read) {
				t.Errorf("signed as %q, read as %q: %v", signed, read, err)
			}
		}
	}
	for i, a := range kinds {
		for j, b := range kinds {
			if i != j && strings.HasPrefix(string(a), string(b)) {
				t.Errorf("the prefix %q begins with %q", a, b)
			}
		}
	}
}

func TestWrongRootIsRefused(t *testing.T) {
	m, foreign := newMesh(t, "mesh"), newMesh(t, "another mesh")
	v := m.root.Verifier()
	if _, err := v.Certificate(foreign.signer.Certificate(), now); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("certificate: %v", err)
	}
	ticket, err := foreign.signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Ticket(ticket, provider, other, now); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("ticket: %v", err)
	}
	text, err := foreign.signer.SignInvite(inviteContent(), now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := ReadInvite(text, now) // a newcomer believes any mesh that invites it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Invite(invite.Raw); inos.CodeOf(err) != inos.CodeInviteRefused {
		t.Errorf("invite: %v", err)
	}
	sealed, err := foreign.signer.SealRecord(record(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.root.OpenRecord(sealed); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("record: %v", err)
	}
	if _, err := NewSigner(v, foreign.root.SwitchboardKey(), foreign.signer.Certificate(), now); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("signer: %v", err)
	}
	if _, err := NewSigner(v, foreign.root.SwitchboardKey(), m.signer.Certificate(), now); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("signer with another's certificate: %v", err)
	}
}

// A foreigner who knows the seal key, the root key and a certificate still cannot make a record that is believed.
func TestForgedRecordIsRefused(t *testing.T) {
	m, foreign := newMesh(t, "mesh"), newMesh(t, "another mesh")
	forger := *foreign.signer
	forger.about.SealKey, forger.root = m.root.SealKey(), m.root.PublicKey()
	for name, certificate := range map[string][]byte{"its own certificate": foreign.signer.Certificate(), "a stolen certificate": m.signer.Certificate(), "no certificate": nil} {
		forger.certificate = certificate
		sealed, err := forger.SealRecord(record(), now)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.root.OpenRecord(sealed); inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyTheRootCertifies(t *testing.T) {
	m := newMesh(t, "mesh")
	// A switchboard signs a certificate for a provider with its own key, and with its own certificate beside.
	p := &eventpb.Certificate{Node: string(provider), NotBeforeUs: int64(now), ExpiresUs: int64(expires), SealKey: m.root.SealKey()}
	for name, raw := range map[string][]byte{
		"as if it were the root":     sign(kindCertificate, m.signer.key, nil, p, now),
		"below its own":              sign(kindCertificate, m.signer.key, m.signer.certificate, p, now),
		"the root's, with one below": sign(kindCertificate, m.root.key, m.signer.certificate, p, now),
	} {
		if _, err := m.root.Verifier().Certificate(raw, now); inos.CodeOf(err) != inos.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidity(t *testing.T) {
	m := newMesh(t, "mesh")
	v := m.root.Verifier()
	for _, c := range []struct {
		name string
		at   inos.Micros
		ok   bool
	}{
		{"before", now - 1, false}, {"first moment", now, true}, {"last moment", expires - 1, true}, {"expired", expires, false},
	} {
		if _, err := v.Certificate(m.signer.Certificate(), c.at); (err == nil) != c.ok {
			t.Errorf("certificate, %s: %v", c.name, err)
		}
		g := grant()
		g.ExpiresUs = int64(expires + inos.Day)
		ticket, err := m.signer.SignTicket(g, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Ticket(ticket, provider, other, c.at); (err == nil) != c.ok {
			t.Errorf("ticket, certificate %s: %v", c.name, err)
		}
		sealed, err := m.signer.SealRecord(record(), c.at)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.root.OpenRecord(sealed); (err == nil) != c.ok {
			t.Errorf("record signed %s: %v", c.name, err)
		}
		text, err := m.signer.SignInvite(&eventpb.Invite{ExpiresUs: int64(expires + inos.Day)}, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadInvite(text, c.at); (err == nil) != c.ok {
			t.Errorf("invite signed %s: %v", c.name, err)
		}
	}
	ticket, err := m.signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	until := inos.Micros(grant().ExpiresUs) + TicketSkew
	if _, err := v.Ticket(ticket, provider, other, until-1); err != nil {
		t.Errorf("ticket at its last moment: %v", err)
	}
	if _, err := v.Ticket(ticket, provider, other, until); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("expired ticket: %v", err)
	}
	text, err := m.signer.SignInvite(inviteContent(), now)
	if err != nil {
		t.Fatal(err)
	}
	invite, err := ReadInvite(text, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadInvite(text, now+inos.Day); inos.CodeOf(err) != inos.CodeInviteRefused {
		t.Errorf("expired invite: %v", err)
	}
	if shown, err := v.Invite(invite.Raw); err != nil || !shown.Expired(now+inos.Day) || shown.Expired(now+inos.Day-1) {
		t.Errorf("expired invite of a node that joined: %v", err)
	}
}

func TestTicketOfOthersIsRefused(t *testing.T) {
	m := newMesh(t, "mesh")
	board := m.signer.About().Node
	raw, err := m.signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		peer, self inos.NodeID
		ok         bool
	}{
		{"holder at the node", provider, other, true},
		{"handed to the holder", board, provider, true},
		{"holder elsewhere", provider, board, false},
		{"another at the node", board, other, false},
		{"the node at the holder", other, provider, true}, // a hand-over, whoever brings it
		{"strangers", board, nodeNamed("third"), false},
	} {
		if _, err := m.root.Verifier().Ticket(raw, c.peer, c.self, now); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		} else if err != nil && inos.CodeOf(err) != inos.CodePermissionDenied {
			t.Errorf("%s: code of %v", c.name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	m := newMesh(t, "mesh")
	longest := grant()
	longest.Verb = "write"
	raw, err := m.signer.SignTicket(longest, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a ticket has %d bytes, a certificate %d", len(raw), len(m.signer.Certificate()))
	longest.Verb = strings.Repeat("v", TicketBytesMax)
	if _, err := m.signer.SignTicket(longest, now); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Errorf("ticket above its bound: %v", err)
	}
	if _, err := m.signer.SignInvite(&eventpb.Invite{Zone: strings.Repeat("z", InviteBytesMax)}, now); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Errorf("invite above its bound: %v", err)
	}
	long := record()
	long.File.ContentType = strings.Repeat("c", RecordBytesMax)
	if _, err := m.signer.SealRecord(long, now); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Errorf("record above its bound: %v", err)
	}
	for i := range 3 * certificatesMax {
		certificate, err := m.root.Certify(nodeNamed(fmt.Sprint(i)), now, expires)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.root.Verifier().Certificate(certificate, now); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.root.Verifier().checked); n > certificatesMax {
		t.Errorf("%d certificates are remembered, at most %d may be", n, certificatesMax)
	}
}

func TestNodeIDs(t *testing.T) {
	key, err := KeyOf(provider)
	if err != nil || NodeOf(key) != provider {
		t.Fatalf("KeyOf(%s): %x, %v", provider, key, err)
	}
	for _, bad := range []inos.NodeID{"", "1", "0OIl", provider + "1", "1" + provider, provider[1:], inos.NodeID(strings.Repeat("z", 1<<20)), "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"} {
		if _, err := KeyOf(bad); inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("KeyOf(%.60q): %v", bad, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := NewRoot(make([]byte, n)); inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("a seed of %d bytes: %v", n, err)
		}
		if _, err := NewVerifier(make([]byte, n)); inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("a root key of %d bytes: %v", n, err)
		}
	}
}

// A container that means the same in other bytes is refused: fields in another order, or one that nobody knows.
func TestContainerHasOneEncoding(t *testing.T) {
	m := newMesh(t, "mesh")
	raw, err := m.signer.SignTicket(grant(), now)
	if err != nil {
		t.Fatal(err)
	}
	withUnknown := append(bytes.Clone(raw), 0xa2, 0x06, 0x01, 'x')
	var s eventpb.Signed
	if err := s.UnmarshalVT(raw); err != nil {
		t.Fatal(err)
	}
	last := event.Payload(&eventpb.Signed{Certificate: s.Certificate})
	s.Certificate = nil
	swapped := append(last, event.Payload(&s)...)
	for name, b := range map[string][]byte{"unknown field": withUnknown, "swapped": swapped} {
		if _, err := m.root.Verifier().Ticket(b, provider, other, now); inos.CodeOf(err) != inos.CodePermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
}
