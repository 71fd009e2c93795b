package event

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

var sampleKernel = [inos.HashBytes]byte{0: 1, 31: 2}

// sampleLog returns a segment of two records.
func sampleLog(t testing.TB, snapshot []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewLogWriter(&b, sampleKernel, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	tick := Encode(nil, &eventpb.Envelope{EventType: NodeTick})
	for i := range 2 {
		now := inos.Micros(1763856000000000 + i)
		if err := w.Append(now, tick, EffectsDigest(now, [][]byte{tick})); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func readLog(b []byte) (header LogHeader, records []LogRecord, torn int64, err error) {
	r, err := NewLogReader(bytes.NewReader(b))
	if err != nil {
		return header, nil, 0, err
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header(), records, r.TornBytes(), nil
		}
		if err != nil {
			return header, nil, 0, err
		}
		records = append(records, record)
	}
}

// TestLogTornAnywhere cuts a segment at every byte: the reader returns the records that are whole and counts the rest.
func TestLogTornAnywhere(t *testing.T) {
	whole := sampleLog(t, []byte("snapshot"))
	head := logHeadBytes + len("snapshot") + 4
	record := (len(whole) - head) / 2
	for n := range len(whole) + 1 {
		_, records, torn, err := readLog(whole[:n])
		if n < head {
			if inos.CodeOf(err) != inos.CodeBadFormat || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d, in the header: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if want := (n - head) / record; len(records) != want || torn != int64(n-head-want*record) {
			t.Fatalf("cut at %d: %d records and %d torn bytes", n, len(records), torn)
		}
	}
}

// TestLogFlippedBit flips each bit of a segment: a record that was read is one that was written.
func TestLogFlippedBit(t *testing.T) {
	whole := sampleLog(t, []byte("snapshot"))
	_, want, _, err := readLog(whole)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		_, got, torn, err := readLog(b)
		if err != nil {
			continue
		}
		if len(got) == len(want) || torn == 0 {
			t.Fatalf("bit %d: the flip went unseen", bit)
		}
		for i := range got {
			if got[i].Now != want[i].Now || !bytes.Equal(got[i].Envelope, want[i].Envelope) || got[i].Digest != want[i].Digest {
				t.Fatalf("bit %d: record %d is not the one written", bit, i)
			}
		}
	}
}

// brokenWriter takes so many bytes and then fails.
type brokenWriter struct{ left int }

var errBroken = errors.New("broken")

func (w *brokenWriter) Write(b []byte) (int, error) {
	n := min(w.left, len(b))
	w.left -= n
	if n < len(b) {
		return n, errBroken
	}
	return n, nil
}

// TestLogWriterStaysBroken: behind a record that is there in part no other may follow.
func TestLogWriterStaysBroken(t *testing.T) {
	out := &brokenWriter{left: logHeadBytes + 4 + 10}
	w, err := NewLogWriter(out, sampleKernel, nil)
	if err != nil {
		t.Fatal(err)
	}
	var digest [DigestBytes]byte
	if err := w.Append(1, []byte("envelope"), digest); !errors.Is(err, errBroken) {
		t.Fatalf("the first append: %v", err)
	}
	out.left = 1 << 20
	if err := w.Append(2, []byte("envelope"), digest); !errors.Is(err, errBroken) {
		t.Fatalf("the append after it: %v", err)
	}
}

// failingReader returns a segment's bytes and then an error that is not the end.
type failingReader struct{ *bytes.Reader }

func (r failingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return n, err
}

// TestLogReaderError: a disk that fails is no torn tail.
func TestLogReaderError(t *testing.T) {
	r, err := NewLogReader(failingReader{bytes.NewReader(sampleLog(t, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := r.Next(); inos.CodeOf(err) != inos.CodeIO || !errors.Is(err, errBroken) {
			t.Fatalf("after the last record: %v", err)
		}
	}
}

func TestLogBounds(t *testing.T) {
	w, err := NewLogWriter(io.Discard, sampleKernel, nil)
	if err != nil {
		t.Fatal(err)
	}
	var digest [DigestBytes]byte
	if err := w.Append(0, make([]byte, inos.EnvelopeBytesMax), digest); err != nil {
		t.Errorf("an envelope at the bound: %v", err)
	}
	if err := w.Append(0, make([]byte, inos.EnvelopeBytesMax+1), digest); inos.CodeOf(err) != inos.CodeEnvelopeTooLarge {
		t.Errorf("an envelope above the bound: %v", err)
	}
	if _, err := NewLogWriter(io.Discard, sampleKernel, make([]byte, LogSnapshotBytesMax+1)); err == nil {
		t.Error("a snapshot above the bound was written")
	}
	// A claimed length allocates nothing: the bytes are not there.
	header := sampleLog(t, nil)[:logHeadBytes]
	header[44], header[45], header[46], header[47] = 0, 0, 0, 4 // 64 MiB
	if n := allocated(func() { _, _ = NewLogReader(bytes.NewReader(header)) }); n > 1<<20 {
		t.Errorf("%d bytes allocated for a header that claims 64 MiB", n)
	}
	header[44] = 1
	if _, err := NewLogReader(bytes.NewReader(header)); inos.CodeOf(err) != inos.CodeBadFormat || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a snapshot above the bound: %v", err)
	}
}

func FuzzLogReader(f *testing.F) {
	whole := sampleLog(f, []byte("snapshot"))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte(logMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		header, records, torn, err := readLog(b)
		if err != nil {
			return
		}
		// What was read is exactly what a writer makes of it.
		var again bytes.Buffer
		w, err := NewLogWriter(&again, header.KernelID, header.Snapshot)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if err := w.Append(r.Now, r.Envelope, r.Digest); err != nil {
				t.Fatal(err)
			}
		}
		if want := b[:len(b)-int(torn)]; !bytes.Equal(again.Bytes(), want) {
			t.Fatalf("%d bytes read, written again as %d others", len(want), again.Len())
		}
	})
}
