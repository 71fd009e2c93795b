package event

import (
	"encoding/binary"
	"errors"

	"github.com/inos-mesh/inos"
)

// The generated decoder allocates as it reads, ends a map entry where its last field ends, and takes groups. The scan runs
// before it, allocates nothing, and lets through only what every language reads alike.

// Wire types of the protobuf encoding. Groups (3 and 4) are refused: proto3 has none.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

const fieldNumberMax = 1<<29 - 1

var (
	errFieldNumber = errors.New("a field number is not in 1..2^29")
	errWireType    = errors.New("a wire type is not varint, fixed or length-delimited")
	errWrongWire   = errors.New("a field has the wrong wire type")
	errFieldEnd    = errors.New("a field ends behind the input")
	errVarint      = errors.New("a varint does not end or exceeds 64 bits")
)

// scanEnvelope holds encoded bytes to the bounds and to the shape of inos.v1.Envelope, without allocating.
func scanEnvelope(b []byte) error {
	const op = "decode envelope"
	size, payload, longest := len(b), 0, 0
	for len(b) > 0 {
		number, wire, content, rest, err := nextField(b)
		if err != nil {
			return inos.Errorf(inos.CodeBadEnvelope, op, "%d bytes: %w", size, err)
		}
		switch number {
		case 1, 2:
			err = expectWire(wire, wireBytes)
		case 3:
			err = expectWire(wire, wireVarint)
		case 4:
			if err = expectWire(wire, wireBytes); err == nil {
				err = scanMetadata(content)
			}
		case 5:
			err = expectWire(wire, wireBytes)
			payload += len(content)
			longest = max(longest, len(content))
		}
		if err != nil {
			return inos.Errorf(inos.CodeBadEnvelope, op, "field %d of %d bytes: %w", number, size, err)
		}
		b = rest
	}
	return checkSizes(op, size-payload, longest)
}

func checkSizes(op string, head, payload int) error {
	if payload > inos.PayloadBytesMax {
		return inos.Errorf(inos.CodeEnvelopeTooLarge, op, "the payload has %d bytes, at most %d", payload, inos.PayloadBytesMax)
	}
	if head > inos.EnvelopeHeadBytesMax {
		return inos.Errorf(inos.CodeEnvelopeTooLarge, op, "the head has %d bytes, at most %d", head, inos.EnvelopeHeadBytesMax)
	}
	return nil
}

func scanMetadata(b []byte) error {
	for len(b) > 0 {
		number, wire, content, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if number <= 4 {
			if err := expectWire(wire, wireBytes); err != nil {
				return err
			}
		}
		if number == 3 {
			if err := scanMapEntry(content); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

func scanMapEntry(b []byte) error {
	for len(b) > 0 {
		number, wire, _, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if number <= 2 {
			if err := expectWire(wire, wireBytes); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

func expectWire(wire, want int) error {
	if wire != want {
		return errWrongWire
	}
	return nil
}

// IDOf returns the id of an encoded envelope, which shares memory with b, without reading the rest of it; nothing of one that is malformed.
func IDOf(b []byte) (id []byte) {
	for len(b) > 0 {
		number, wire, content, rest, err := nextField(b)
		if err != nil {
			return nil
		}
		if number == 1 && wire == wireBytes {
			id = content
		}
		b = rest
	}
	return id
}

// nextField reads one field of b. content is set for a length-delimited field.
func nextField(b []byte) (number uint32, wire int, content, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, nil, nil, errVarint
	}
	b = b[n:]
	if tag>>3 == 0 || tag>>3 > fieldNumberMax {
		return 0, 0, nil, nil, errFieldNumber
	}
	number, wire = uint32(tag>>3), int(tag&7)
	length := uint64(0)
	switch wire {
	case wireVarint:
		if _, n = binary.Uvarint(b); n <= 0 {
			return 0, 0, nil, nil, errVarint
		}
		return number, wire, nil, b[n:], nil
	case wireFixed64:
		length = 8
	case wireFixed32:
		length = 4
	case wireBytes:
		if length, n = binary.Uvarint(b); n <= 0 {
			return 0, 0, nil, nil, errVarint
		}
		b = b[n:]
	default:
		return 0, 0, nil, nil, errWireType
	}
	if length > uint64(len(b)) {
		return 0, 0, nil, nil, errFieldEnd
	}
	if wire == wireBytes {
		content = b[:length]
	}
	return number, wire, content, b[length:], nil
}
