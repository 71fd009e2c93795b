package trust

import (
	"testing"

	"github.com/inos-mesh/inos"
)

// The decoders take bytes from strangers: whatever comes, they refuse it or it is what was signed.

func FuzzTicket(f *testing.F) {
	m := newMesh(f, "mesh")
	raw, err := m.signer.SignTicket(grant(), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(m.signer.Certificate())
	revocation, err := m.root.Revoke(other, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(revocation)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := m.root.Verifier().Revoke(b); err == nil && string(b) != string(revocation) {
			t.Fatalf("a revocation that nobody signed: %x", b)
		}
		got, err := m.root.Verifier().Ticket(b, provider, other, now)
		if err == nil && !got.EqualVT(grant()) {
			t.Fatalf("a grant that nobody signed: %v", got)
		}
		if _, err := m.root.Verifier().Certificate(b, now); err == nil && string(b) != string(m.signer.Certificate()) {
			t.Fatalf("a certificate that nobody signed: %x", b)
		}
	})
}

func FuzzInvite(f *testing.F) {
	m := newMesh(f, "mesh")
	text, err := m.signer.SignInvite(inviteContent(), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(InvitePrefix)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		invite, err := ReadInvite(text, now)
		if err != nil {
			return
		}
		v, err := NewVerifier(invite.Content.RootKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Invite(invite.Raw); err != nil {
			t.Fatalf("an invite that its own mesh refuses: %v", err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	m := newMesh(f, "mesh")
	sealed, err := m.signer.SealRecord(record(), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := m.root.OpenRecord(b)
		if err == nil && !got.EqualVT(record()) {
			t.Fatalf("a record that nobody sealed: %v", got)
		}
		// What a holder of the seal key may put inside the seal.
		if _, _, err := m.root.Verifier().statement(kindRecord, b, RecordBytesMax, got); err == nil {
			t.Fatalf("a record that nobody signed: %x", b)
		}
	})
}

func FuzzNodeID(f *testing.F) {
	f.Add(string(provider))
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		key, err := KeyOf(inos.NodeID(id))
		if err == nil && string(NodeOf(key)) != id {
			t.Fatalf("%q is read as the key of %q", id, NodeOf(key))
		}
	})
}
