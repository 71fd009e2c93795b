package trust

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sealPrefix begins the info of the seal (RFC 9180, 5.1); the mesh's root key follows, so that a record of one mesh is none of another.
const sealPrefix = "inos sealed record v1\x00"

func sealInfo(root ed25519.PublicKey) []byte { return append([]byte(sealPrefix), root...) }

// SealRecord signs a commit record and encrypts it to the mesh's seal key: HPKE in base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256 and ChaCha20-Poly1305. Two calls give different bytes. CodeBadRequest for a record that is longer than RecordBytesMax when sealed.
func (s *Signer) SealRecord(record *eventpb.Record, now inos.Micros) ([]byte, error) {
	const op = "seal record"
	public, err := ecdh.X25519().NewPublicKey(s.about.SealKey)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the seal key of the certificate: %w", err)
	}
	key, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the seal key of the certificate: %w", err)
	}
	plain := sign(kindRecord, s.key, s.certificate, &eventpb.SignedRecord{Record: record}, now)
	sealed, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), sealInfo(s.root), plain)
	if err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "%w", err)
	}
	if len(sealed) > RecordBytesMax {
		return nil, inos.Errorf(inos.CodeBadRequest, op, "%d bytes, a sealed record has at most %d", len(sealed), RecordBytesMax)
	}
	return sealed, nil
}

// OpenRecord reads a sealed commit record and when it was signed. CodeBadFormat for what is damaged, was sealed to another mesh, or
// was not signed by a switchboard that this root had certified at the time.
func (r *Root) OpenRecord(sealed []byte) (*eventpb.Record, inos.Micros, error) {
	record, signed, err := r.openRecord(sealed)
	if err != nil {
		return nil, 0, inos.Errorf(inos.CodeBadFormat, "open record", "%w", err)
	}
	return record, signed, nil
}

func (r *Root) openRecord(sealed []byte) (*eventpb.Record, inos.Micros, error) {
	if len(sealed) > RecordBytesMax {
		return nil, 0, fmt.Errorf("%d bytes, a sealed record has at most %d", len(sealed), RecordBytesMax)
	}
	plain, err := hpke.Open(r.seal, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), sealInfo(r.PublicKey()), sealed)
	if err != nil {
		return nil, 0, fmt.Errorf("it is damaged or was sealed to another mesh: %w", err)
	}
	var content eventpb.SignedRecord
	_, signed, err := r.verifier.statement(kindRecord, plain, RecordBytesMax, &content)
	if err != nil {
		return nil, 0, err
	}
	if content.Record == nil {
		return nil, 0, errors.New("it holds no record")
	}
	return content.Record, signed, nil
}
