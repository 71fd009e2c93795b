package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/inos-mesh/inos"
)

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		name           string
		envelope, bulk int
	}{
		{"empty", 0, 0},
		{"envelope alone", 100, 0},
		{"bulk alone", 0, 100},
		{"largest envelope", inos.EnvelopeBytesMax, 0},
		{"largest frame", 1000, frameBytesMax - 4 - 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			envelope, bulk := bytes.Repeat([]byte{1}, c.envelope), bytes.Repeat([]byte{2}, c.bulk)
			var pipe bytes.Buffer
			if _, err := writeFrame(&pipe, nil, envelope, bulk); err != nil {
				t.Fatal(err)
			}
			e, b, err := readFrame(iotest.HalfReader(&pipe), nil)
			if err != nil || !bytes.Equal(e, envelope) || !bytes.Equal(b, bulk) {
				t.Errorf("%d and %d bytes came back as %d and %d (%v)", c.envelope, c.bulk, len(e), len(b), err)
			}
			if _, _, err := readFrame(&pipe, nil); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestFrameFaults(t *testing.T) {
	frame := func(total, envelope uint32, rest int) []byte {
		b := binary.LittleEndian.AppendUint32(nil, total)
		b = binary.LittleEndian.AppendUint32(b, envelope)
		return append(b, make([]byte, rest)...)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"half a length", []byte{1, 0}},
		{"shorter than the envelope's length", frame(3, 0, 0)},
		{"longer than a frame", frame(frameBytesMax+1, 0, 0)},
		{"no envelope length", []byte{8, 0, 0, 0}},
		{"envelope longer than the frame", frame(8, 5, 8)},
		{"envelope above its bound", frame(frameBytesMax, inos.EnvelopeBytesMax+1, 0)},
		{"truncated envelope", frame(20, 16, 15)},
		{"truncated bulk", frame(20, 0, 15)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := readFrame(bytes.NewReader(c.bytes), nil); inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("%v", err)
			}
		})
	}
	if _, _, err := readFrame(iotest.ErrReader(errors.New("cable pulled")), nil); inos.CodeOf(err) != inos.CodeIO {
		t.Errorf("a pipe that fails: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, parts := range [][2]string{{"", ""}, {"e", ""}, {"", "b"}, {"envelope", "bulk"}} {
		var pipe bytes.Buffer
		if _, err := writeFrame(&pipe, nil, []byte(parts[0]), []byte(parts[1])); err != nil {
			f.Fatal(err)
		}
		f.Add(pipe.Bytes(), 2)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 0)
	f.Add([]byte{8, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4}, 0)
	f.Fuzz(func(t *testing.T, in []byte, outBytes int) {
		out := make([]byte, 0, uint(outBytes)%1024)
		envelope, bulk, err := readFrame(bytes.NewReader(in), out)
		if err != nil {
			if err != io.EOF && inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("%v", err)
			}
			return
		}
		var again bytes.Buffer
		if _, err := writeFrame(&again, nil, envelope, bulk); err != nil || !bytes.HasPrefix(in, again.Bytes()) {
			t.Errorf("%x was read as %x", in, again.Bytes())
		}
	})
}
