package mesh

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/inos-mesh/inos"
)

func rawHead(envelope, bulk, third uint32, fourth, fifth uint16) (b [headBytes]byte) {
	binary.LittleEndian.PutUint32(b[0:], envelope)
	binary.LittleEndian.PutUint32(b[4:], bulk)
	binary.LittleEndian.PutUint32(b[8:], third)
	binary.LittleEndian.PutUint16(b[12:], fourth)
	binary.LittleEndian.PutUint16(b[14:], fifth)
	return b
}

// Each bound at its value and one above; 2^32 − 1 for what a sign or a sum might turn small.
func TestParseCall(t *testing.T) {
	const most = 1<<32 - 1
	for _, c := range []struct {
		name string
		head [headBytes]byte
		kind protocolKind
		ok   bool
	}{
		{"nothing", rawHead(0, 0, 0, 0, 0), forEvents, true},
		{"largest", rawHead(inos.EnvelopeBytesMax, 0, 0, TicketBytesMax, 0), forEvents, true},
		{"largest with bulk", rawHead(inos.EnvelopeBytesMax, inos.StoredBytesMax, inos.StoredBytesMax, TicketBytesMax, 0), forChunks, true},
		{"envelope", rawHead(inos.EnvelopeBytesMax+1, 0, 0, 0, 0), forEvents, false},
		{"envelope at most", rawHead(most, 0, 0, 0, 0), forEvents, false},
		{"ticket", rawHead(1, 0, 0, TicketBytesMax+1, 0), forEvents, false},
		{"bulk", rawHead(1, inos.StoredBytesMax+1, 0, 0, 0), forChunks, false},
		{"bulk at most", rawHead(1, most, 0, 0, 0), forChunks, false},
		{"taken", rawHead(1, 0, inos.StoredBytesMax+1, 0, 0), forChunks, false},
		{"bulk with an event", rawHead(1, 1, 0, 0, 0), forEvents, false},
		{"taken with an event", rawHead(1, 0, 1, 0, 0), forEvents, false},
		{"reserved", rawHead(1, 0, 0, 0, 1), forEvents, false},
	} {
		h, err := parseCall(&c.head, c.kind)
		if (err == nil) != c.ok || err != nil && inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		name  string
		head  [headBytes]byte
		takes int
		ok    bool
	}{
		{"nothing", rawHead(0, 0, 0, 0, 0), 0, true},
		{"largest", rawHead(inos.EnvelopeBytesMax, inos.StoredBytesMax, 0, 0, 0), inos.StoredBytesMax, true},
		{"envelope", rawHead(inos.EnvelopeBytesMax+1, 0, 0, 0, 0), 0, false},
		{"more than taken", rawHead(1, 10, 0, 0, 0), 9, false},
		{"all at most", rawHead(1, 1<<32-1, 0, 0, 0), inos.StoredBytesMax, false},
		{"refusal", rawHead(RefusalBytesMax, 0, 0, 19, 0), 0, true},
		{"long refusal", rawHead(RefusalBytesMax+1, 0, 0, 19, 0), 0, false},
		{"refusal with bulk", rawHead(1, 1, 0, 19, 0), 10, false},
		{"reserved", rawHead(1, 0, 1, 0, 0), 0, false},
		{"reserved at the end", rawHead(1, 0, 0, 0, 1), 0, false},
	} {
		h, err := parseReply(&c.head, c.takes)
		if (err == nil) != c.ok || err != nil && inos.CodeOf(err) != inos.CodeBadFormat {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
	}
}

// Whatever arrives is refused as it should be, or is within all bounds and written again as the same bytes.
func FuzzHeads(f *testing.F) {
	for _, b := range [][headBytes]byte{
		rawHead(0, 0, 0, 0, 0),
		rawHead(inos.EnvelopeBytesMax, inos.StoredBytesMax, inos.StoredBytesMax, TicketBytesMax, 0),
		rawHead(1<<32-1, 1<<32-1, 1<<32-1, 1<<16-1, 1<<16-1),
		rawHead(RefusalBytesMax, 0, 0, 38, 0),
	} {
		f.Add(b[:], inos.StoredBytesMax, true)
		f.Add(b[:], 0, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, takes int, chunks bool) {
		if len(data) < headBytes {
			return
		}
		b, kind := [headBytes]byte(data), forEvents
		if chunks {
			kind = forChunks
		}
		takes = min(max(0, takes), inos.StoredBytesMax)
		if h, err := parseCall(&b, kind); err != nil {
			if inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("call: %v", err)
			}
		} else if !bytes.Equal(h.appendCall(nil), b[:]) || h.bodyBytes() > inos.EnvelopeBytesMax+TicketBytesMax+inos.StoredBytesMax || h.refusal != 0 {
			t.Errorf("call: %+v of %x", h, b)
		}
		if h, err := parseReply(&b, takes); err != nil {
			if inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("reply: %v", err)
			}
		} else if !bytes.Equal(h.appendReply(nil), b[:]) || h.bodyBytes() > inos.EnvelopeBytesMax+takes {
			t.Errorf("reply: %+v of %x", h, b)
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0})
	f.Add([]byte{3, 0, 1, 2})
	f.Add([]byte{0xff, 0xff, 1, 2})
	f.Add(appendGreeting(nil, make([]byte, CertificateBytesMax)))
	f.Fuzz(func(t *testing.T, data []byte) {
		certificate, err := readGreeting(bytes.NewReader(data))
		if err == nil && (len(certificate) > CertificateBytesMax || !bytes.HasPrefix(data, appendGreeting(nil, certificate))) {
			t.Errorf("%d bytes of certificate from %x", len(certificate), data)
		}
	})
}
