package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// kind separates the statements: a signature over one is none over another.
type kind string

const (
	kindCertificate kind = "inos certificate v1\x00"
	kindInvite      kind = "inos invite v1\x00"
	kindTicket      kind = "inos ticket v1\x00"
	kindRecord      kind = "inos record v1\x00"
	kindRevocation  kind = "inos revocation v1\x00"
)

// Bounds of the encoded statements, certificate and signatures included.
const (
	// CertificateBytesMax bounds a certificate.
	CertificateBytesMax = 512
	// TicketBytesMax bounds a ticket.
	TicketBytesMax = 1 << 10
	// InviteBytesMax bounds a signed invite; its text is a third longer.
	InviteBytesMax = 8 << 10
	// RecordBytesMax bounds a sealed commit record.
	RecordBytesMax = 64 << 10
)

// toSign is what a signature covers.
func toSign(k kind, signed inos.Micros, content []byte) []byte {
	b := make([]byte, 0, len(k)+8+len(content))
	b = append(b, k...)
	b = binary.LittleEndian.AppendUint64(b, uint64(signed))
	return append(b, content...)
}

// sign makes a statement. Only a root key signs without a certificate.
func sign(k kind, key ed25519.PrivateKey, certificate []byte, content event.Message, now inos.Micros) []byte {
	raw := event.Payload(content)
	return event.Payload(&eventpb.Signed{
		Content: raw, SignedUs: int64(now), Signature: ed25519.Sign(key, toSign(k, now, raw)), Certificate: certificate,
	})
}

// parse reads a statement that nobody has checked yet. Its container has one encoding: what means the same in other bytes is refused, and so
// are fields that this version does not know.
func parse(raw []byte, max int) (*eventpb.Signed, error) {
	if len(raw) > max {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), max)
	}
	var s eventpb.Signed
	if err := s.UnmarshalVT(raw); err != nil {
		return nil, fmt.Errorf("its %d bytes do not decode: %w", len(raw), err)
	}
	known := eventpb.Signed{Content: s.Content, SignedUs: s.SignedUs, Signature: s.Signature, Certificate: s.Certificate}
	if !bytes.Equal(event.Payload(&known), raw) {
		return nil, errors.New("its bytes are not encoded as they should be")
	}
	if s.SignedUs < 0 {
		return nil, errors.New("it was signed before 1970")
	}
	return &known, nil
}

// verify checks that key signed the statement and reads its content.
func verify(k kind, key ed25519.PublicKey, s *eventpb.Signed, content event.Message) error {
	if !ed25519.Verify(key, toSign(k, inos.Micros(s.SignedUs), s.Content), s.Signature) {
		return errors.New("its signature does not verify")
	}
	if err := content.UnmarshalVT(s.Content); err != nil {
		return fmt.Errorf("its content does not decode: %w", err)
	}
	return nil
}
