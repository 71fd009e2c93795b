package engine

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/inos-mesh/inos"
)

// A frame on a worker's pipe is the length of a guest message (4 bytes, little-endian) and the guest message: the
// length of an envelope (4 bytes, little-endian), the envelope, and bulk bytes to the end.
const frameHeadBytes = 4 // of the frame's own length

// readFrameBytes reads a frame's length: the bytes of the guest message that follows. A clean end is io.EOF; an end
// within the length, or a length outside the bounds, is CodeBadFormat.
func readFrameBytes(r io.Reader) (int, error) {
	const op = "read frame"
	var head [frameHeadBytes]byte
	if _, err := io.ReadFull(r, head[:]); err == io.EOF {
		return 0, io.EOF
	} else if err != nil {
		return 0, frameFault(op, err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 4 || n > frameBytesMax {
		return 0, inos.Errorf(inos.CodeBadFormat, op, "a guest message of %d bytes; it has 4 to %d", n, frameBytesMax)
	}
	return int(n), nil
}

// readFrame reads a whole frame. The envelope is new memory; the bulk is read into out's capacity when it fits there,
// into new memory otherwise. Nothing is allocated for a length that is outside the bounds.
func readFrame(r io.Reader, out []byte) (envelope, bulk []byte, err error) {
	const op = "read frame"
	total, err := readFrameBytes(r)
	if err != nil {
		return nil, nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, frameFault(op, err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > inos.EnvelopeBytesMax || uint64(n) > uint64(total-4) {
		return nil, nil, inos.Errorf(inos.CodeBadFormat, op, "an envelope of %d bytes in a guest message of %d, at most %d", n, total, inos.EnvelopeBytesMax)
	}
	envelope = make([]byte, n)
	if _, err := io.ReadFull(r, envelope); err != nil {
		return nil, nil, frameFault(op, err)
	}
	if rest := total - 4 - int(n); rest <= cap(out) {
		bulk = out[:rest]
	} else {
		bulk = make([]byte, rest)
	}
	if _, err := io.ReadFull(r, bulk); err != nil {
		return nil, nil, frameFault(op, err)
	}
	return envelope, bulk, nil
}

// writeFrame writes a frame; head is memory to reuse, returned with whatever it grew to.
func writeFrame(w io.Writer, head, envelope, bulk []byte) ([]byte, error) {
	head = binary.LittleEndian.AppendUint32(head[:0], uint32(4+len(envelope)+len(bulk)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(envelope)))
	head = append(head, envelope...)
	if _, err := w.Write(head); err != nil {
		return head, err
	}
	if len(bulk) == 0 {
		return head, nil
	}
	_, err := w.Write(bulk)
	return head, err
}

// frameFault names an end within a frame.
func frameFault(op string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return inos.Errorf(inos.CodeBadFormat, op, "the pipe ended within a frame: %w", io.ErrUnexpectedEOF)
	}
	return inos.Errorf(inos.CodeIO, op, "%w", err)
}
