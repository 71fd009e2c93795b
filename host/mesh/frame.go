package mesh

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/inos-mesh/inos"
)

// headBytes is the length of the head of a call or a reply.
const headBytes = 16

// head is the head of a call or a reply.
type head struct {
	envelope uint32
	bulk     uint32
	takes    uint32 // of a call: the bulk of the reply has at most this many bytes
	ticket   uint16 // of a call
	refusal  uint16 // of a reply: the code of the error by which it was refused; 0: it was served
}

// bodyBytes is what follows the head.
func (h head) bodyBytes() int { return int(h.envelope) + int(h.bulk) + int(h.ticket) }

// appendCall appends the head of a call, 16 bytes, little-endian: envelope, bulk and taken bytes (u32 each), ticket bytes (u16), 0 (u16).
func (h head) appendCall(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.envelope)
	b = binary.LittleEndian.AppendUint32(b, h.bulk)
	b = binary.LittleEndian.AppendUint32(b, h.takes)
	b = binary.LittleEndian.AppendUint16(b, h.ticket)
	return binary.LittleEndian.AppendUint16(b, 0)
}

// appendReply appends the head of a reply, 16 bytes, little-endian: envelope and bulk bytes, 0 (u32 each), refusal, 0 (u16 each).
func (h head) appendReply(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.envelope)
	b = binary.LittleEndian.AppendUint32(b, h.bulk)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint16(b, h.refusal)
	return binary.LittleEndian.AppendUint16(b, 0)
}

// parseCall reads the head of a call that came by a protocol, and refuses what exceeds a bound.
func parseCall(b *[headBytes]byte, p protocolKind) (head, error) {
	const op = "read call"
	h := head{
		envelope: binary.LittleEndian.Uint32(b[0:]), bulk: binary.LittleEndian.Uint32(b[4:]),
		takes: binary.LittleEndian.Uint32(b[8:]), ticket: binary.LittleEndian.Uint16(b[12:]),
	}
	switch {
	case h.envelope > inos.EnvelopeBytesMax:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "an envelope of %d bytes, at most %d", h.envelope, inos.EnvelopeBytesMax)
	case h.ticket > TicketBytesMax:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "a ticket of %d bytes, at most %d", h.ticket, TicketBytesMax)
	case h.bulk > inos.StoredBytesMax || h.takes > inos.StoredBytesMax:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "%d bytes of bulk, %d taken, at most %d", h.bulk, h.takes, inos.StoredBytesMax)
	case p == forEvents && (h.bulk != 0 || h.takes != 0):
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "%d bytes of bulk, %d taken, on %s", h.bulk, h.takes, p.id())
	case binary.LittleEndian.Uint16(b[14:]) != 0:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "bytes 14 and 15 of the head are %x, not 0", b[14:16])
	}
	return h, nil
}

// parseReply reads the head of a reply to a call that takes so much bulk.
func parseReply(b *[headBytes]byte, takes int) (head, error) {
	const op = "read reply"
	h := head{
		envelope: binary.LittleEndian.Uint32(b[0:]), bulk: binary.LittleEndian.Uint32(b[4:]),
		refusal: binary.LittleEndian.Uint16(b[12:]),
	}
	switch {
	case h.envelope > inos.EnvelopeBytesMax:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "an envelope of %d bytes, at most %d", h.envelope, inos.EnvelopeBytesMax)
	case int64(h.bulk) > int64(takes):
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "%d bytes of bulk, at most %d are taken", h.bulk, takes)
	case h.refusal != 0 && (h.bulk != 0 || h.envelope > RefusalBytesMax):
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "a refusal of %d bytes with %d of bulk, at most %d and 0", h.envelope, h.bulk, RefusalBytesMax)
	case binary.LittleEndian.Uint32(b[8:]) != 0 || binary.LittleEndian.Uint16(b[14:]) != 0:
		return head{}, inos.Errorf(inos.CodeBadFormat, op, "reserved bytes of the head are not 0: %x", b[:])
	}
	return h, nil
}

// appendGreeting appends the first frame of a stream: the length of the certificate (u16) and the certificate.
func appendGreeting(b, certificate []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(certificate)))
	return append(b, certificate...)
}

// readGreeting reads the first frame of a stream.
func readGreeting(r io.Reader) (certificate []byte, err error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint16(length[:])
	if n > CertificateBytesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, "read greeting", "a certificate of %d bytes, at most %d", n, CertificateBytesMax)
	}
	certificate = make([]byte, n)
	_, err = io.ReadFull(r, certificate)
	return certificate, err
}

// firstBytes is what memory for bytes that a peer has promised begins with.
const firstBytes = 16 << 10

// readGrowing reads n bytes. Its memory grows with what has come, not with what was promised.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, 0, min(n, firstBytes))
	for len(b) < n {
		b = slices.Grow(b, min(n-len(b), max(len(b), firstBytes)))
		got, err := io.ReadFull(r, b[len(b):min(n, cap(b))])
		b = b[:len(b)+got]
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}
