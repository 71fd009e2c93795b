package trust

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// revocationRig is a mesh with two switchboards, and who believes them.
type revocationRig struct {
	root     *Root
	boards   [2]*Signer
	verifier *Verifier
}

const revocationNow = 1_700_000_000 * inos.Second

func newRevocationRig(t *testing.T) *revocationRig {
	t.Helper()
	root, err := NewRoot(make([]byte, RootSeedBytes))
	if err != nil {
		t.Fatal(err)
	}
	r := &revocationRig{root: root}
	if r.verifier, err = NewVerifier(root.PublicKey()); err != nil {
		t.Fatal(err)
	}
	for i := range r.boards {
		key := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), byte(i+1)))
		raw, err := root.Certify(NodeOf(key.Public().(ed25519.PublicKey)), revocationNow-inos.Day, revocationNow+inos.Day)
		if err == nil {
			r.boards[i], err = NewSigner(root.Verifier(), key, raw, revocationNow)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// What a revoked switchboard shows or has signed does not count, whether it was read before or not; another switchboard's does.
func TestARevokedSwitchboardIsNone(t *testing.T) {
	r := newRevocationRig(t)
	var certificates, tickets [2][]byte
	for i, b := range r.boards {
		certificates[i] = b.Certificate()
		var err error
		if tickets[i], err = b.SignTicket(&eventpb.Grant{ChunkId: make([]byte, 32), Verb: "read", Holder: "h", Node: "n", ExpiresUs: int64(revocationNow + inos.Hour)}, revocationNow); err != nil {
			t.Fatal(err)
		}
	}
	look := func(v *Verifier, i int, counts bool) {
		t.Helper()
		if _, err := v.Certificate(certificates[i], revocationNow); (err == nil) != counts || !counts && inos.CodeOf(err) != inos.CodeUnauthenticated {
			t.Errorf("the certificate of %d: %v", i, err)
		}
		if _, err := v.Ticket(tickets[i], "h", "n", revocationNow); (err == nil) != counts || !counts && inos.CodeOf(err) != inos.CodePermissionDenied {
			t.Errorf("a ticket of %d: %v", i, err)
		}
	}
	look(r.verifier, 0, true)
	look(r.verifier, 1, true)
	bad := r.boards[0].About().Node
	raw, err := r.root.Revoke(bad, revocationNow)
	if err != nil {
		t.Fatal(err)
	}
	if got, fresh, err := r.verifier.Revoke(raw); err != nil || !fresh || got.Node != bad || got.At != revocationNow {
		t.Fatalf("%+v, %t, %v", got, fresh, err)
	}
	if _, fresh, err := r.verifier.Revoke(raw); err != nil || fresh {
		t.Errorf("twice is once: %t, %v", fresh, err)
	}
	look(r.verifier, 0, false)
	look(r.verifier, 1, true)
	// Another node is told by what this one has.
	other, err := NewVerifier(r.root.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	look(other, 0, true)
	for _, raw := range r.verifier.SignedRevocations() {
		if _, _, err := other.Revoke(raw); err != nil {
			t.Fatal(err)
		}
	}
	look(other, 0, false)
	// A new certificate changes nothing, and the switchboard itself notices.
	again, err := r.root.Certify(bad, revocationNow, revocationNow+2*inos.Day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSigner(r.verifier, r.boards[0].key, again, revocationNow+1); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("certified again: %v", err)
	}
}

// What is revoked is listed by node id, whatever came first, with the time that the root key gave it.
func TestRevocationsAreListed(t *testing.T) {
	r := newRevocationRig(t)
	first, second := r.boards[0].About().Node, r.boards[1].About().Node
	if second < first {
		first, second = second, first
	}
	for _, order := range [][]inos.NodeID{{first, second}, {second, first}} {
		v, err := NewVerifier(r.root.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range order {
			raw, err := r.root.Revoke(node, revocationNow)
			if err != nil {
				t.Fatal(err)
			}
			if _, fresh, err := v.Revoke(raw); err != nil || !fresh {
				t.Fatalf("fresh %t, %v", fresh, err)
			}
		}
		all, signed := v.Revocations(), v.SignedRevocations()
		if len(all) != 2 || all[0].Node != first || all[1].Node != second || all[0].At != revocationNow || !bytes.Equal(signed[0], all[0].Raw) || !bytes.Equal(signed[1], all[1].Raw) {
			t.Errorf("in the order %v: %+v", order, all)
		}
	}
}

// Only the root key revokes: no bit of a revocation may differ, no other root or switchboard can have signed it, and no other statement is taken for one.
func TestOnlyTheRootKeyRevokes(t *testing.T) {
	r := newRevocationRig(t)
	node := r.boards[1].About().Node
	raw, err := r.root.Revoke(node, revocationNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > RevocationBytesMax {
		t.Errorf("a revocation has %d bytes, at most %d are read", len(raw), RevocationBytesMax)
	}
	foreign, err := NewRoot(append(make([]byte, RootSeedBytes-1), 1))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := foreign.Revoke(node, revocationNow)
	if err != nil {
		t.Fatal(err)
	}
	content := &eventpb.SwitchboardRevocation{Node: string(node), RevokedUs: int64(revocationNow)}
	for name, bad := range map[string][]byte{
		"nothing": nil, "of a foreign root": stranger, "too long": append(raw, make([]byte, RevocationBytesMax)...),
		"by a switchboard":       sign(kindRevocation, r.boards[0].key, r.boards[0].Certificate(), content, revocationNow),
		"of another kind":        sign(kindCertificate, r.root.key, nil, content, revocationNow),
		"of no node":             sign(kindRevocation, r.root.key, nil, &eventpb.SwitchboardRevocation{Node: "x"}, revocationNow),
		"with a certificate too": sign(kindRevocation, r.root.key, []byte{1}, content, revocationNow),
	} {
		if _, _, err := r.verifier.Revoke(bad); inos.CodeOf(err) != inos.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 8 * len(raw) {
		raw[i/8] ^= 1 << (i % 8)
		if _, _, err := r.verifier.Revoke(raw); err == nil {
			t.Fatalf("bit %d may differ", i)
		}
		raw[i/8] ^= 1 << (i % 8)
	}
	if r.verifier.Revoked(node) || len(r.verifier.SignedRevocations()) != 0 {
		t.Error("something was revoked")
	}
	if _, err := r.root.Revoke("nobody", revocationNow); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a node without a key: %v", err)
	}
}

// The list is bounded.
func TestRevocationsAreBounded(t *testing.T) {
	r := newRevocationRig(t)
	for i := range RevocationsMax + 1 {
		key := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), byte(i)))
		raw, err := r.root.Revoke(NodeOf(key.Public().(ed25519.PublicKey)), revocationNow)
		if err != nil {
			t.Fatal(err)
		}
		_, fresh, err := r.verifier.Revoke(raw)
		if full := i == RevocationsMax; full != (inos.CodeOf(err) == inos.CodeConflict) || fresh == full {
			t.Errorf("revocation %d: %t, %v", i, fresh, err)
		}
	}
}
