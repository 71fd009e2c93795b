package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// certificatesMax bounds the certificates that a Verifier remembers to have checked; there is one per switchboard.
const certificatesMax = 64

// Certificate says that a node is a switchboard.
type Certificate struct {
	Node      inos.NodeID
	NotBefore inos.Micros
	Expires   inos.Micros // not valid from here on
	SealKey   []byte      // X25519 public key to which commit records are sealed

	key ed25519.PublicKey
}

// validAt says why the certificate does not count at a time, or nil.
func (c *Certificate) validAt(at inos.Micros) error {
	if at < c.NotBefore {
		return fmt.Errorf("the switchboard %s is certified from %d us on, and this is %d", c.Node, c.NotBefore, at)
	}
	if at >= c.Expires {
		return fmt.Errorf("the certificate of the switchboard %s expired at %d us, and this is %d", c.Node, c.Expires, at)
	}
	return nil
}

// Verifier believes what the switchboards of one mesh sign. Its methods may be called from many goroutines.
type Verifier struct {
	root ed25519.PublicKey

	mu      sync.Mutex // guards the fields below
	checked map[[sha256.Size]byte]*Certificate
	revoked map[inos.NodeID]Revocation
}

// NewVerifier pins a root key; CodeBadFormat unless it has 32 bytes.
func NewVerifier(root []byte) (*Verifier, error) {
	if len(root) != ed25519.PublicKeySize {
		return nil, inos.Errorf(inos.CodeBadFormat, "pin root key", "%d bytes, an Ed25519 public key has %d", len(root), ed25519.PublicKeySize)
	}
	return &Verifier{root: bytes.Clone(root), checked: map[[sha256.Size]byte]*Certificate{}}, nil
}

// RootKey returns the key that was pinned.
func (v *Verifier) RootKey() ed25519.PublicKey { return v.root }

// Certificate reads a certificate that is valid now and was not revoked; CodeUnauthenticated says why it does not count.
func (v *Verifier) Certificate(raw []byte, now inos.Micros) (Certificate, error) {
	c, err := v.certificate(raw)
	if err == nil {
		err = v.stands(c, now)
	}
	if err != nil {
		return Certificate{}, inos.Errorf(inos.CodeUnauthenticated, "check certificate", "%w", err)
	}
	return *c, nil
}

// ReadCertificate reads a certificate of this mesh whenever it is valid; CodeUnauthenticated when the root key did not sign it.
func (v *Verifier) ReadCertificate(raw []byte) (Certificate, error) {
	c, err := v.certificate(raw)
	if err != nil {
		return Certificate{}, inos.Errorf(inos.CodeUnauthenticated, "read certificate", "%w", err)
	}
	return *c, nil
}

// certificate reads a certificate that the root key signed, whenever it is valid. Those that were read before are remembered.
func (v *Verifier) certificate(raw []byte) (*Certificate, error) {
	sum := sha256.Sum256(raw)
	v.mu.Lock()
	c := v.checked[sum]
	v.mu.Unlock()
	if c != nil {
		return c, nil
	}
	s, err := parse(raw, CertificateBytesMax)
	if err != nil {
		return nil, fmt.Errorf("the certificate is not valid: %w", err)
	}
	if len(s.Certificate) != 0 {
		return nil, errors.New("the certificate is not valid: only the root key certifies")
	}
	var p eventpb.Certificate
	if err := verify(kindCertificate, v.root, s, &p); err != nil {
		return nil, fmt.Errorf("the certificate is not of this mesh: %w", err)
	}
	c = &Certificate{Node: inos.NodeID(p.Node), NotBefore: inos.Micros(p.NotBeforeUs), Expires: inos.Micros(p.ExpiresUs), SealKey: p.SealKey}
	if c.key, err = KeyOf(c.Node); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.checked) >= certificatesMax {
		clear(v.checked) // they are checked again when they come again
	}
	v.checked[sum] = c
	return c, nil
}

// statement checks what a switchboard signed and reads its content. The certificate has to be valid when it was signed; whether
// it still is, is for the caller to ask.
func (v *Verifier) statement(k kind, raw []byte, max int, content event.Message) (*Certificate, inos.Micros, error) {
	s, err := parse(raw, max)
	if err != nil {
		return nil, 0, err
	}
	c, err := v.certificate(s.Certificate)
	if err != nil {
		return nil, 0, err
	}
	if err := verify(k, c.key, s, content); err != nil {
		return nil, 0, err
	}
	return c, inos.Micros(s.SignedUs), c.validAt(inos.Micros(s.SignedUs))
}

// Signer is a switchboard that can prove to be one.
type Signer struct {
	key         ed25519.PrivateKey
	certificate []byte
	about       Certificate
	root        ed25519.PublicKey
}

// NewSigner returns a signer with a switchboard's key and the certificate that names it; CodeUnauthenticated when the certificate
// is not of the verifier's mesh, not valid now, or another node's.
func NewSigner(v *Verifier, key ed25519.PrivateKey, certificate []byte, now inos.Micros) (*Signer, error) {
	c, err := v.Certificate(certificate, now)
	if err != nil {
		return nil, err
	}
	if node := NodeOf(key.Public().(ed25519.PublicKey)); node != c.Node {
		return nil, inos.Errorf(inos.CodeUnauthenticated, "check certificate", "it names the node %s, and this is %s", c.Node, node)
	}
	return &Signer{key: key, certificate: bytes.Clone(certificate), about: c, root: v.root}, nil
}

// Certificate returns the signer's certificate, to be shown to others.
func (s *Signer) Certificate() []byte { return s.certificate }

// About returns what the signer's certificate says.
func (s *Signer) About() Certificate { return s.about }
