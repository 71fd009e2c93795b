package trust

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// RootSeedBytes is the length of a root seed.
const RootSeedBytes = 32

// Names under which HKDF-SHA256 (RFC 5869, no salt) derives keys from the root seed.
const (
	deriveSwitchboard = "inos switchboard key v1"
	deriveSeal        = "inos seal key v1"
)

// Root is the holder of a mesh's root seed.
type Root struct {
	key         ed25519.PrivateKey
	switchboard ed25519.PrivateKey
	seal        hpke.PrivateKey
	sealPublic  []byte
	verifier    *Verifier
}

// NewRoot makes the keys of a root seed; CodeBadFormat unless it has RootSeedBytes.
func NewRoot(seed []byte) (*Root, error) {
	const op = "read root seed"
	if len(seed) != RootSeedBytes {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%d bytes, a root seed has %d", len(seed), RootSeedBytes)
	}
	switchboard, err := hkdf.Key(sha256.New, seed, nil, deriveSwitchboard, ed25519.SeedSize)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "derive the switchboard key: %w", err)
	}
	scalar, err := hkdf.Key(sha256.New, seed, nil, deriveSeal, 32)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "derive the seal key: %w", err)
	}
	private, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "make the seal key: %w", err)
	}
	seal, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "make the seal key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	verifier, err := NewVerifier(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &Root{
		key: key, switchboard: ed25519.NewKeyFromSeed(switchboard), seal: seal, sealPublic: private.PublicKey().Bytes(), verifier: verifier,
	}, nil
}

// PublicKey returns the key that the nodes of the mesh pin.
func (r *Root) PublicKey() ed25519.PublicKey { return r.key.Public().(ed25519.PublicKey) }

// Verifier returns one that believes what this root certifies.
func (r *Root) Verifier() *Verifier { return r.verifier }

// SwitchboardKey returns the node key of the mesh's first switchboard.
func (r *Root) SwitchboardKey() ed25519.PrivateKey { return r.switchboard }

// SealKey returns the X25519 public key to which commit records are sealed.
func (r *Root) SealKey() []byte { return r.sealPublic }

// Certify makes a node a switchboard from notBefore until expires; CodeBadFormat for a node id without a key.
func (r *Root) Certify(node inos.NodeID, notBefore, expires inos.Micros) ([]byte, error) {
	if _, err := KeyOf(node); err != nil {
		return nil, err
	}
	return sign(kindCertificate, r.key, nil, &eventpb.Certificate{
		Node: string(node), NotBeforeUs: int64(notBefore), ExpiresUs: int64(expires), SealKey: r.sealPublic,
	}, notBefore), nil
}
