package trust

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	// RevocationBytesMax bounds a revocation.
	RevocationBytesMax = 256
	// RevocationsMax bounds those of a mesh; one more is refused.
	RevocationsMax = 64
)

// Revocation says that a node is no switchboard any more. It is for ever: the node's key is not the mesh's alone any longer.
type Revocation struct {
	Node inos.NodeID
	At   inos.Micros
	Raw  []byte // signed, to be shown to others
}

// Revoke says that a node is no switchboard any more; CodeBadFormat for a node id without a key.
func (r *Root) Revoke(node inos.NodeID, now inos.Micros) ([]byte, error) {
	if _, err := KeyOf(node); err != nil {
		return nil, err
	}
	return sign(kindRevocation, r.key, nil, &eventpb.SwitchboardRevocation{Node: string(node), RevokedUs: int64(now)}, now), nil
}

// Revoke takes note of a revocation: from here on the verifier believes no certificate of the node, and no ticket that it has signed. Fresh says
// that it was not known. CodeUnauthenticated when the root key did not sign it; CodeConflict when there are RevocationsMax.
func (v *Verifier) Revoke(raw []byte) (r Revocation, fresh bool, err error) {
	const op = "read revocation"
	s, err := parse(raw, RevocationBytesMax)
	var p eventpb.SwitchboardRevocation
	if err == nil && len(s.Certificate) != 0 {
		err = errors.New("only the root key revokes")
	}
	if err == nil {
		err = verify(kindRevocation, v.root, s, &p)
	}
	if err == nil {
		_, err = KeyOf(inos.NodeID(p.Node))
	}
	if err != nil {
		return Revocation{}, false, inos.Errorf(inos.CodeUnauthenticated, op, "it is not of this mesh's root key: %w", err)
	}
	r = Revocation{Node: inos.NodeID(p.Node), At: inos.Micros(p.RevokedUs), Raw: bytes.Clone(raw)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.revoked[r.Node]; known {
		return r, false, nil // once is enough
	}
	if len(v.revoked) >= RevocationsMax {
		return Revocation{}, false, inos.Errorf(inos.CodeConflict, op, "%d switchboards of this mesh are revoked already, more are not kept: it takes a new mesh", RevocationsMax)
	}
	if v.revoked == nil {
		v.revoked = map[inos.NodeID]Revocation{}
	}
	v.revoked[r.Node] = r
	return r, true, nil
}

// Revoked says whether a node was a switchboard and is none any more.
func (v *Verifier) Revoked(node inos.NodeID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, revoked := v.revoked[node]
	return revoked
}

// Revocations returns what Revoke has taken note of, by node id.
func (v *Verifier) Revocations() []Revocation {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]Revocation, 0, len(v.revoked))
	for _, r := range v.revoked {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Revocation) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return all
}

// SignedRevocations returns the same as it is shown to others.
func (v *Verifier) SignedRevocations() [][]byte {
	all := v.Revocations()
	raws := make([][]byte, len(all))
	for i := range all {
		raws[i] = all[i].Raw
	}
	return raws
}

// stands says why a certificate does not count at a time: it is not valid, or was revoked.
func (v *Verifier) stands(c *Certificate, at inos.Micros) error {
	if v.Revoked(c.Node) {
		return errors.New("the certificate of the switchboard " + string(c.Node) + " was revoked")
	}
	return c.validAt(at)
}
