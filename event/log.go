package event

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/inos-mesh/inos"
)

// A segment of the replay log is what one kernel was stepped with, from a snapshot on: a header, then records to the end
// of the file. Integers are little-endian. docs/format.md describes it byte for byte.

// Sizes and bounds of a segment.
const (
	// LogVersion is the version this package writes, and the only one it reads.
	LogVersion = 1
	// LogRecordHeadBytes is what a record adds to its envelope: time, length, digest, checksum.
	LogRecordHeadBytes = 8 + 4 + DigestBytes + 4
	// LogSnapshotBytesMax bounds the snapshot in a header.
	LogSnapshotBytesMax = 64 << 20
	// DigestBytes is the length of an EffectsDigest.
	DigestBytes = 16

	logMagic           = "INOSKLOG"
	logHeadBytes       = len(logMagic) + 2 + 2 + inos.HashBytes + 4
	logRecordStart     = 8 + 4
	logReadBufferBytes = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EffectsDigest names what one step did: the first 16 bytes of the SHA-256 of the wanted wake-up (8 bytes, microseconds)
// and of each effect's length (4 bytes) and envelope, in order. It tells kernels apart; it is no protection from forgery.
func EffectsDigest(wake inos.Micros, effects [][]byte) (digest [DigestBytes]byte) {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(wake))
	h.Write(n[:])
	for _, effect := range effects {
		binary.LittleEndian.PutUint32(n[:4], uint32(len(effect)))
		h.Write(n[:4])
		h.Write(effect)
	}
	copy(digest[:], h.Sum(nil))
	return digest
}

// LogWriter appends records to one segment. It is not safe for concurrent use, and neither flushes nor closes what it
// writes to.
type LogWriter struct {
	w       io.Writer
	scratch []byte
	err     error
}

// NewLogWriter writes the header of a segment in one Write: the kernel's id and its snapshot before the first record, empty
// for a kernel that has taken no step. It returns the writer's error as it is.
func NewLogWriter(w io.Writer, kernelID [inos.HashBytes]byte, snapshot []byte) (*LogWriter, error) {
	if len(snapshot) > LogSnapshotBytesMax {
		return nil, inos.Errorf(inos.CodeInternal, "write replay log", "the snapshot has %d bytes, at most %d", len(snapshot), LogSnapshotBytesMax)
	}
	b := make([]byte, 0, logHeadBytes+len(snapshot)+4)
	b = append(b, logMagic...)
	b = binary.LittleEndian.AppendUint16(b, LogVersion)
	b = append(b, 0, 0)
	b = append(b, kernelID[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(snapshot)))
	b = append(b, snapshot...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := w.Write(b)
	return &LogWriter{w: w, err: err}, err
}

// Append writes one record in one Write: the time and the encoded envelope the kernel was stepped with, and the digest of
// what it did. After an error every call returns it, because a record may be there in part.
func (l *LogWriter) Append(now inos.Micros, envelope []byte, digest [DigestBytes]byte) error {
	if l.err != nil {
		return l.err
	}
	if len(envelope) > inos.EnvelopeBytesMax {
		return inos.Errorf(inos.CodeEnvelopeTooLarge, "write replay log", "%d bytes, at most %d", len(envelope), inos.EnvelopeBytesMax)
	}
	b := binary.LittleEndian.AppendUint64(l.scratch[:0], uint64(now))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(envelope)))
	b = append(b, envelope...)
	b = append(b, digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	l.scratch = b
	_, l.err = l.w.Write(b)
	return l.err
}

// LogHeader is how a segment begins.
type LogHeader struct {
	KernelID [inos.HashBytes]byte
	Snapshot []byte // empty: a kernel that has taken no step
}

// LogRecord is one step of a kernel.
type LogRecord struct {
	Now      inos.Micros
	Envelope []byte // encoded
	Digest   [DigestBytes]byte
}

// LogReader reads one segment. It is not safe for concurrent use and does not close what it reads from.
type LogReader struct {
	r      *bufio.Reader
	header LogHeader
	torn   int64
	err    error
}

// NewLogReader reads the header of a segment. A header that is not whole, as a crash can leave it, gives an error with
// CodeBadFormat that wraps io.ErrUnexpectedEOF; no record follows it.
func NewLogReader(r io.Reader) (*LogReader, error) {
	const op = "read replay log"
	l := &LogReader{r: bufio.NewReaderSize(r, logReadBufferBytes)}
	head := make([]byte, logHeadBytes)
	if _, err := io.ReadFull(l.r, head); err != nil {
		return nil, logReadError(op, "the header", err)
	}
	if string(head[:len(logMagic)]) != logMagic {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "it does not begin with %s", logMagic)
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != LogVersion || head[10] != 0 || head[11] != 0 {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "version %d with flags %x, this program reads version %d", v, head[10:12], LogVersion)
	}
	copy(l.header.KernelID[:], head[12:])
	length := binary.LittleEndian.Uint32(head[44:])
	if length > LogSnapshotBytesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the snapshot has %d bytes, at most %d", length, LogSnapshotBytesMax)
	}
	// The buffer grows with the bytes that are there, not with the length that is claimed.
	var rest bytes.Buffer
	if _, err := io.CopyN(&rest, l.r, int64(length)+4); err != nil {
		return nil, logReadError(op, "the snapshot", err)
	}
	snapshot, sum := rest.Bytes()[:length], rest.Bytes()[length:]
	if crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, snapshot); crc != binary.LittleEndian.Uint32(sum) {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the header does not match its checksum")
	}
	l.header.Snapshot = snapshot
	return l, nil
}

// Header returns the segment's header.
func (l *LogReader) Header() LogHeader { return l.header }

// Next returns the next record, or io.EOF behind the last whole one: a record that is cut short or does not match its
// checksum is where a crash tore the segment, and TornBytes says how much was left out. Another error is the reader's own.
func (l *LogReader) Next() (LogRecord, error) {
	if l.err != nil {
		return LogRecord{}, l.err
	}
	start := make([]byte, logRecordStart)
	n, err := io.ReadFull(l.r, start)
	if err != nil {
		return LogRecord{}, l.tear(int64(n), err)
	}
	length := binary.LittleEndian.Uint32(start[8:])
	if length > uint32(inos.EnvelopeBytesMax) {
		return LogRecord{}, l.tear(int64(n), nil)
	}
	var rest bytes.Buffer
	m, err := io.CopyN(&rest, l.r, int64(length)+DigestBytes+4)
	if err != nil {
		return LogRecord{}, l.tear(int64(n)+m, err)
	}
	body := rest.Bytes()
	end := len(body) - 4
	if crc := crc32.Update(crc32.Checksum(start, castagnoli), castagnoli, body[:end]); crc != binary.LittleEndian.Uint32(body[end:]) {
		return LogRecord{}, l.tear(int64(n)+m, nil)
	}
	record := LogRecord{Now: inos.Micros(binary.LittleEndian.Uint64(start)), Envelope: body[:length:length]}
	copy(record.Digest[:], body[length:end])
	return record, nil
}

// TornBytes returns how many bytes behind the last whole record were left out; it is known once Next has returned io.EOF.
func (l *LogReader) TornBytes() int64 { return l.torn }

// tear ends the reading: read bytes of a record that is not whole were seen, and whatever follows is left out as well.
func (l *LogReader) tear(read int64, err error) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		l.err = inos.Errorf(inos.CodeIO, "read replay log", "%w", err)
		return l.err
	}
	rest, err := io.Copy(io.Discard, l.r)
	if err != nil {
		l.err = inos.Errorf(inos.CodeIO, "read replay log", "%w", err)
		return l.err
	}
	l.torn, l.err = read+rest, io.EOF
	return l.err
}

func logReadError(op, what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return inos.Errorf(inos.CodeBadFormat, op, "%s is not whole: %w", what, io.ErrUnexpectedEOF)
	}
	return inos.Errorf(inos.CodeIO, op, "%s: %w", what, err)
}
