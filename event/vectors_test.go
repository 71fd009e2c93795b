package event

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The golden vectors are defined here, written with -update, and read by the tests of every language. Numbers of 64 bits are
// decimal strings, because JSON readers lose their low bits; bytes are hexadecimal.

var update = flag.Bool("update", false, "write the golden vectors")

// unknownField is field 100, "later", as a later version may send it.
var unknownField = []byte{0xa2, 0x06, 0x05, 'l', 'a', 't', 'e', 'r'}

type typeVectors struct {
	Valid   []validType   `json:"valid"`
	Invalid []invalidType `json:"invalid"`
}

type validType struct {
	Type    string `json:"type"`
	Service string `json:"service"`
	Action  string `json:"action"`
	Version uint32 `json:"version"`
	State   string `json:"state"`
}

type invalidType struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func typeVectorsOf() typeVectors {
	longest := "a:" + strings.Repeat("b", 128-len("a::v1:requested")) + ":v1:requested"
	v := typeVectors{
		Valid: []validType{
			{"storage:fetch_chunk:v1:requested", "storage", "fetch_chunk", 1, "requested"},
			{"vision:detect_face:v12:processing", "vision", "detect_face", 12, "processing"},
			{"files:put:v1:completed", "files", "put", 1, "completed"},
			{"files:put:v1:failed", "files", "put", 1, "failed"},
			{"a:b:v1:requested", "a", "b", 1, "requested"},
			{"a1_:b__2:v9:requested", "a1_", "b__2", 9, "requested"},
			{"a:b:v4294967295:requested", "a", "b", 4294967295, "requested"},
			{longest, "a", strings.Repeat("b", 128-len("a::v1:requested")), 1, "requested"},
		},
		Invalid: []invalidType{
			{"empty", ""},
			{"one byte longer than 128", strings.Replace(longest, "b", "bb", 1)},
			{"three parts", "storage:fetch_chunk:v1"},
			{"five parts", "storage:fetch_chunk:v1:requested:x"},
			{"only colons", ":::"},
			{"empty service", ":put:v1:requested"},
			{"empty action", "files::v1:requested"},
			{"empty version", "files:put::requested"},
			{"empty state", "files:put:v1:"},
			{"upper case service", "Files:put:v1:requested"},
			{"upper case inside", "fiLes:put:v1:requested"},
			{"service begins with a digit", "1files:put:v1:requested"},
			{"service begins with _", "_files:put:v1:requested"},
			{"action begins with a digit", "files:2put:v1:requested"},
			{"dash in action", "files:put-it:v1:requested"},
			{"dot in action", "files:put.it:v1:requested"},
			{"not ASCII", "files:pút:v1:requested"},
			{"a digit that is not ASCII", "files:put:v١:requested"},
			{"version zero", "files:put:v0:requested"},
			{"version with a leading zero", "files:put:v01:requested"},
			{"version without v", "files:put:1:requested"},
			{"version with upper case V", "files:put:V1:requested"},
			{"version without a number", "files:put:v:requested"},
			{"version with a sign", "files:put:v+1:requested"},
			{"negative version", "files:put:v-1:requested"},
			{"version with text behind", "files:put:v1a:requested"},
			{"version with an underscore", "files:put:v1_0:requested"},
			{"version above 32 bits", "files:put:v4294967296:requested"},
			{"unknown state", "files:put:v1:done"},
			{"upper case state", "files:put:v1:Requested"},
			{"space in front", " files:put:v1:requested"},
			{"space behind", "files:put:v1:requested "},
			{"line end behind", "files:put:v1:requested\n"},
			{"NUL inside", "files:p\x00ut:v1:requested"},
		},
	}
	return v
}

type envelopeVectors struct {
	Valid   []envelopeVector  `json:"valid"`
	Sizes   []sizeVector      `json:"sizes"`
	Invalid []invalidEnvelope `json:"invalid"`
}

type envelopeVector struct {
	Name      string       `json:"name"`
	Input     string       `json:"input"`     // as received
	Canonical string       `json:"canonical"` // as encoded again
	Envelope  envelopeJSON `json:"envelope"`
}

type envelopeJSON struct {
	ID        string        `json:"id"`
	EventType string        `json:"event_type"`
	Timestamp string        `json:"timestamp"`
	Metadata  *metadataJSON `json:"metadata"`
	Payload   string        `json:"payload"`
}

type metadataJSON struct {
	UserID        string            `json:"user_id"`
	DeviceID      string            `json:"device_id"`
	TraceContext  map[string]string `json:"trace_context"`
	SecurityToken string            `json:"security_token"`
}

// sizeVector describes an envelope too long to list: type files:put:v1:requested, id of so many bytes "a", payload of so
// many bytes 0x5a. Code is 0 when it is within the bounds.
type sizeVector struct {
	Name         string `json:"name"`
	IDBytes      int    `json:"id_bytes"`
	PayloadBytes int    `json:"payload_bytes"`
	Code         uint32 `json:"code"`
}

type invalidEnvelope struct {
	Name  string `json:"name"`
	Input string `json:"input"`
	Code  uint32 `json:"code"`
}

const (
	vectorID   = "019aaf6e-7c00-7abc-8def-0123456789ab"
	vectorType = "files:put:v1:requested"
)

func fullEnvelope() *eventpb.Envelope {
	return &eventpb.Envelope{
		Id: vectorID, EventType: vectorType, Timestamp: 1763856000000000,
		Metadata: &eventpb.Metadata{
			UserId: "ada", DeviceId: "laptop",
			TraceContext: map[string]string{
				KeyTraceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
				KeyTracestate:  "congo=t61rcWkgMzE",
				KeyDeadline:    "1763856030000000",
			},
			SecurityToken: "host",
		},
		Payload: []byte{0, 1, 2, 0xff},
	}
}

// field returns one length-delimited field with a tag of one byte.
func field(number byte, content ...byte) []byte {
	return append([]byte{number<<3 | 2, byte(len(content))}, content...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func mapEntry(k, v string) []byte {
	return field(3, join(field(1, []byte(k)...), field(2, []byte(v)...))...)
}

func envelopeVectorsOf(t *testing.T) envelopeVectors {
	typ := field(2, []byte("a:b:v1:failed")...)
	var v envelopeVectors
	valid := func(name string, input []byte) {
		e, err := Decode(input)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v.Valid = append(v.Valid, envelopeVector{name, hex.EncodeToString(input), hex.EncodeToString(Encode(nil, e)), envelopeToJSON(e)})
	}
	valid("only a type", typ)
	valid("full", Encode(nil, fullEnvelope()))
	valid("empty metadata", join(typ, field(4)))
	valid("largest timestamp", join(typ, []byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}))
	valid("not ASCII", Encode(nil, &eventpb.Envelope{
		EventType: "a:b:v1:failed", Id: "zażółć 🦀",
		Metadata: &eventpb.Metadata{UserId: "Ada Lovelace 🜁", TraceContext: map[string]string{"ключ": "значение", "é": "e and an accent", "e\u0301": "another e with an accent"}},
	}))
	valid("map entries out of order", join(typ, field(4, join(mapEntry("c", "3"), mapEntry("a", "1"), mapEntry("b", "2"))...)))
	valid("map keys sort by bytes", join(typ, field(4, join(mapEntry("é", "1"), mapEntry("z", "2"), mapEntry("Z", "3"), mapEntry("", "4"), mapEntry("🦀", "5"), mapEntry("\uffff", "6"))...)))
	valid("map key twice, the last counts", join(typ, field(4, join(mapEntry("a", "1"), mapEntry("a", "2"))...)))
	valid("map entry without key and value", join(typ, field(4, field(3)...)))
	valid("map entry with value before key and a field of a later version", join(typ, field(4, field(3, join(field(2, 'v'), field(9, 'x'), field(1, 'k'))...)...)))
	valid("unknown fields in the envelope and in its metadata", join(unknownField, field(4, join(unknownField, field(1, 'u'))...), typ, []byte{6 << 3, 7}, []byte{7<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8}, []byte{8<<3 | 5, 1, 2, 3, 4}))
	valid("unknown field with the largest number", join(typ, []byte{0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01}))
	valid("fields out of order", join(field(5, 9), field(4, field(2, 'd')...), []byte{3 << 3, 1}, typ, field(1, 'i')))
	valid("a field twice, the last counts", join(field(1, 'a'), typ, field(1, 'b'), field(5, 1, 2), field(5, 3), []byte{3 << 3, 1, 3 << 3, 2}))
	valid("metadata twice, merged", join(typ, field(4, join(field(1, 'a'), mapEntry("x", "1"))...), field(4, join(field(2, 'd'), mapEntry("y", "2"))...)))
	valid("defaults that are written out", join(field(1), typ, []byte{3 << 3, 0}, field(5)))
	valid("lengths and tags longer than need be", join([]byte{0x92, 0x00, 0x8d, 0x80, 0x00}, typ[2:]))

	for _, s := range []sizeVector{
		{"payload at the bound", 0, inos.PayloadBytesMax, 0},
		{"payload above the bound", 0, inos.PayloadBytesMax + 1, 0},
		{"head at the bound", inos.EnvelopeHeadBytesMax - 3 - 2 - len(vectorType), 0, 0},
		{"head above the bound", inos.EnvelopeHeadBytesMax - 3 - 2 - len(vectorType) + 1, 0, 0},
		{"head and payload at the bound", inos.EnvelopeHeadBytesMax - 3 - 5 - 2 - len(vectorType), inos.PayloadBytesMax, 0},
		{"head above the bound by the length of the payload's length", inos.EnvelopeHeadBytesMax - 3 - 5 - 2 - len(vectorType) + 1, inos.PayloadBytesMax, 0},
	} {
		_, err := Decode(Encode(nil, s.envelope()))
		s.Code = uint32(inos.CodeOf(err))
		if (s.Code != 0) != strings.Contains(s.Name, "above") {
			t.Errorf("%s: %v", s.Name, err)
		}
		v.Sizes = append(v.Sizes, s)
	}

	invalid := func(name string, input []byte) {
		_, err := Decode(input)
		if err == nil {
			t.Errorf("%s: decoded", name)
		}
		v.Invalid = append(v.Invalid, invalidEnvelope{name, hex.EncodeToString(input), uint32(inos.CodeOf(err))})
	}
	invalid("empty, for want of a type", nil)
	invalid("a type that is none", field(2, []byte("files:put")...))
	invalid("timestamp before 1970", join(typ, []byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}))
	invalid("tag cut", []byte{0x80})
	invalid("length cut", []byte{0x0a})
	invalid("string cut", []byte{0x0a, 0x05, 'a'})
	invalid("string of nearly 2^64 bytes", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	invalid("string of 2^63 - 1 bytes", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	invalid("varint of 65 bits", join(typ, []byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}))
	invalid("varint of 11 bytes", join(typ, []byte{3 << 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}))
	invalid("field number 0", join(typ, []byte{0x02, 0x00}))
	invalid("field number 2^29", join(typ, []byte{0x80, 0x80, 0x80, 0x80, 0x10, 0x00}))
	invalid("group", join(typ, []byte{6<<3 | 3, 6<<3 | 4}))
	invalid("end of a group", join(typ, []byte{6<<3 | 4}))
	invalid("wire type 6", join(typ, []byte{6<<3 | 6}))
	invalid("wire type 7", join(typ, []byte{6<<3 | 7}))
	invalid("fixed64 cut", join(typ, []byte{6<<3 | 1, 1, 2, 3}))
	invalid("fixed32 cut", join(typ, []byte{6<<3 | 5, 1, 2, 3}))
	invalid("id as a varint", join(typ, []byte{1 << 3, 1}))
	invalid("timestamp as bytes", join(typ, field(3, 1)))
	invalid("metadata as a varint", join(typ, []byte{4 << 3, 1}))
	invalid("payload as fixed32", join(typ, []byte{5<<3 | 5, 1, 2, 3, 4}))
	invalid("user id as a varint", join(typ, field(4, 1<<3, 1)))
	invalid("map entry as a varint", join(typ, field(4, 3<<3, 1)))
	invalid("map key as a varint", join(typ, field(4, field(3, 1<<3, 1)...)))
	invalid("map value as fixed32", join(typ, field(4, field(3, 2<<3|5, 1, 2, 3, 4)...)))
	invalid("map value that ends behind its entry", join(typ, field(4, join(field(3, 2<<3|2, 3, 'a'), field(1, 'u'))...)))
	invalid("group in a map entry", join(typ, field(4, field(3, 5<<3|3, 5<<3|4)...)))
	invalid("id is not UTF-8", join(field(1, 0xff), typ))
	invalid("type is not UTF-8", field(2, 0xc3, 0x28))
	invalid("user id is half a surrogate", join(typ, field(4, field(1, 0xed, 0xa0, 0x80)...)))
	invalid("map key is an overlong NUL", join(typ, field(4, field(3, field(1, 0xc0, 0x80)...)...)))
	invalid("map value is not UTF-8", join(typ, field(4, field(3, field(2, 0x80)...)...)))
	invalid("token above U+10FFFF", join(typ, field(4, field(4, 0xf4, 0x90, 0x80, 0x80)...)))
	return v
}

func (s sizeVector) envelope() *eventpb.Envelope {
	return &eventpb.Envelope{
		Id: strings.Repeat("a", s.IDBytes), EventType: vectorType, Payload: bytes.Repeat([]byte{0x5a}, s.PayloadBytes),
	}
}

func envelopeToJSON(e *eventpb.Envelope) envelopeJSON {
	j := envelopeJSON{e.Id, e.EventType, strconv.FormatInt(e.Timestamp, 10), nil, hex.EncodeToString(e.Payload)}
	if m := e.Metadata; m != nil {
		context := map[string]string{}
		for k, v := range m.TraceContext {
			context[k] = v
		}
		j.Metadata = &metadataJSON{m.UserId, m.DeviceId, context, m.SecurityToken}
	}
	return j
}

type guestVectors struct {
	Valid   []guestVector     `json:"valid"`
	Invalid []invalidEnvelope `json:"invalid"`
}

type guestVector struct {
	Name     string `json:"name"`
	Message  string `json:"message"`
	Envelope string `json:"envelope"`
	Bulk     string `json:"bulk"`
}

func guestVectorsOf(t *testing.T) guestVectors {
	var v guestVectors
	valid := func(name string, envelope, bulk []byte) {
		v.Valid = append(v.Valid, guestVector{name, hex.EncodeToString(AppendGuest(nil, envelope, bulk)), hex.EncodeToString(envelope), hex.EncodeToString(bulk)})
	}
	e := Encode(nil, &eventpb.Envelope{Id: vectorID, EventType: EncodeChunk})
	valid("envelope and bulk", e, []byte("bulk"))
	valid("no bulk", e, nil)
	valid("no envelope", nil, []byte("bulk"))
	valid("nothing", nil, nil)
	for _, c := range []struct {
		name  string
		input []byte
	}{
		{"empty", nil},
		{"length cut", []byte{1, 0, 0}},
		{"envelope cut by one byte", []byte{3, 0, 0, 0, 1, 2}},
		{"length of 2^32 - 1", []byte{0xff, 0xff, 0xff, 0xff, 1, 2}},
	} {
		_, _, err := SplitGuest(c.input)
		if err == nil {
			t.Errorf("%s: split", c.name)
		}
		v.Invalid = append(v.Invalid, invalidEnvelope{c.name, hex.EncodeToString(c.input), uint32(inos.CodeOf(err))})
	}
	return v
}

type payloadVector struct {
	Message string         `json:"message"`
	Bytes   string         `json:"bytes"`
	Fields  map[string]any `json:"fields"`
}

func vectorEntry() *inos.Entry {
	e := &inos.Entry{PlainBytes: 1 << 20, StoredBytes: 0x0102030405060708, Codec: inos.CodecBrotli, Quality: 5, Chunks: 0x0a0b0c0d}
	for i := range inos.HashBytes {
		e.ChunkID[i], e.PlainHash[i], e.Chain[i] = byte(i), byte(0x40+i), byte(0x80+i)
	}
	return e
}

func payloadVectorsOf() []payloadVector {
	entry := inos.AppendEntry(nil, vectorEntry())
	hash := entry[:32]
	var v []payloadVector
	for _, m := range []Message{
		&eventpb.Error{Code: 12, Name: "chunk_corrupt", Operation: "storage:inflate_chunk", Message: "chunk 00…: the bytes hash to 01…", Hint: "put it again", RetryAfterUs: 250000},
		&eventpb.EncodeChunkRequest{OffsetBytes: 3 << 20, Quality: 5, PlainHash: hash},
		&eventpb.EncodeChunkReply{Entry: entry},
		&eventpb.DescribeChunkRequest{OffsetBytes: 1<<63 + 1<<20, Entry: entry},
		&eventpb.DescribeChunkReply{Entry: entry},
		&eventpb.InflateChunkRequest{Entry: entry},
		&eventpb.InflateChunkReply{},
		&eventpb.AdmitChunkRequest{OffsetBytes: 1<<44 - 1<<20, ChunkId: hash, PlainBytes: 4294967295, Quality: 11},
		&eventpb.AdmitChunkReply{Entry: entry},
		&eventpb.BuildNodeRequest{Level: 1, Entries: append(append([]byte{}, entry...), entry...), Root: true},
		&eventpb.BuildNodeReply{Entry: entry, FileId: hash},
		&eventpb.OpenNodeRequest{ChunkId: hash},
		&eventpb.OpenNodeReply{Level: 4294967295, Entries: entry, Root: true, FileId: hash},
		&eventpb.ProveChunkRequest{Leaf: 1023},
		&eventpb.ProveChunkReply{},
		&eventpb.VerifyProofRequest{ChunkId: hash, Leaf: 1023},
		&eventpb.VerifyProofReply{StoredBytes: 18446744073709551615},
		&eventpb.ModuleManifest{Name: "storage", Version: "1.0.0", Services: []string{EncodeChunk, InflateChunk}, MemoryBytesMax: 64 << 20, DeadlineUs: 10000000},
	} {
		v = append(v, payloadVector{reflect.TypeOf(m).Elem().Name(), hex.EncodeToString(Payload(m)), fieldsOf(m)})
	}
	return v
}

// fieldsOf returns a message's fields by their names in the .proto.
func fieldsOf(m any) map[string]any {
	fields := map[string]any{}
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		_, name, ok := strings.Cut(v.Type().Field(i).Tag.Get("protobuf"), "name=")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ",")
		switch x := v.Field(i).Interface().(type) {
		case []byte:
			fields[name] = hex.EncodeToString(x)
		case uint64:
			fields[name] = strconv.FormatUint(x, 10)
		case int64:
			fields[name] = strconv.FormatInt(x, 10)
		default:
			fields[name] = x
		}
	}
	return fields
}

type entryVector struct {
	Bytes       string `json:"bytes"`
	ChunkID     string `json:"chunk_id"`
	PlainHash   string `json:"plain_hash"`
	Chain       string `json:"chain"`
	PlainBytes  string `json:"plain_bytes"`
	StoredBytes string `json:"stored_bytes"`
	Codec       uint8  `json:"codec"`
	Quality     uint8  `json:"quality"`
	Cipher      uint8  `json:"cipher"`
	Chunks      uint32 `json:"chunks"`
	KeyID       string `json:"key_id"`
}

func entryVectorsOf() []entryVector {
	var v []entryVector
	for _, e := range []*inos.Entry{vectorEntry(), {}} {
		v = append(v, entryVector{
			hex.EncodeToString(inos.AppendEntry(nil, e)), e.ChunkID.String(), e.PlainHash.String(), hex.EncodeToString(e.Chain[:]),
			strconv.FormatUint(e.PlainBytes, 10), strconv.FormatUint(e.StoredBytes, 10), e.Codec, e.Quality, e.Cipher, e.Chunks,
			strconv.FormatUint(e.KeyID, 10),
		})
	}
	return v
}

type idVector struct {
	NowUs  string `json:"now_us"`
	Random string `json:"random"`
	ID     string `json:"id"`
}

func idVectorsOf() []idVector {
	var v []idVector
	for _, c := range []struct {
		now    inos.Micros
		random [10]byte
	}{
		{0, [10]byte{}},
		{1763856000123999, [10]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{(1<<48 - 1) * inos.Millisecond, [10]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
	} {
		v = append(v, idVector{strconv.FormatInt(int64(c.now), 10), hex.EncodeToString(c.random[:]), NewID(c.now, c.random)})
	}
	return v
}

type logVectors struct {
	Segments []segmentVector `json:"segments"`
	Digests  []digestVector  `json:"digests"`
}

type segmentVector struct {
	Name     string         `json:"name"`
	Bytes    string         `json:"bytes"`
	KernelID string         `json:"kernel_id"`
	Snapshot string         `json:"snapshot"`
	Records  []recordVector `json:"records"`
	Torn     int64          `json:"torn_bytes"`
}

type recordVector struct {
	NowUs    string `json:"now_us"`
	Envelope string `json:"envelope"`
	Digest   string `json:"digest"`
}

type digestVector struct {
	WakeUs  string   `json:"wake_us"`
	Effects []string `json:"effects"`
	Digest  string   `json:"digest"`
}

func logVectorsOf(t *testing.T) logVectors {
	var v logVectors
	add := func(name string, b []byte) {
		header, records, torn, err := readLog(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := segmentVector{name, hex.EncodeToString(b), hex.EncodeToString(header.KernelID[:]), hex.EncodeToString(header.Snapshot), []recordVector{}, torn}
		for _, r := range records {
			s.Records = append(s.Records, recordVector{strconv.FormatInt(int64(r.Now), 10), hex.EncodeToString(r.Envelope), hex.EncodeToString(r.Digest[:])})
		}
		v.Segments = append(v.Segments, s)
	}
	whole := sampleLog(t, []byte("snapshot"))
	add("two records behind a snapshot", whole)
	add("no snapshot, no record", sampleLog(t, nil)[:logHeadBytes+4])
	add("torn in the second record", whole[:len(whole)-1])
	bad := bytes.Clone(whole)
	bad[len(bad)-LogRecordHeadBytes] ^= 1
	add("second record does not match its checksum", bad)

	for _, d := range []struct {
		wake    inos.Micros
		effects [][]byte
	}{{0, nil}, {-1, [][]byte{{}}}, {1763856000000000, [][]byte{[]byte("a"), []byte("bc")}}, {1763856000000000, [][]byte{[]byte("ab"), []byte("c")}}} {
		digest := EffectsDigest(d.wake, d.effects)
		dv := digestVector{strconv.FormatInt(int64(d.wake), 10), []string{}, hex.EncodeToString(digest[:])}
		for _, e := range d.effects {
			dv.Effects = append(dv.Effects, hex.EncodeToString(e))
		}
		v.Digests = append(v.Digests, dv)
	}
	return v
}

// What a module is asked and answers is there whole: each message of storage.proto has a vector.
func TestModuleMessagesHaveVectors(t *testing.T) {
	proto, err := os.ReadFile(filepath.Join("proto", "storage.proto"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, v := range payloadVectorsOf() {
		have[v.Message] = true
	}
	messages := 0
	for line := range strings.Lines(string(proto)) {
		if name, ok := strings.CutPrefix(line, "message "); ok {
			name, _, _ = strings.Cut(name, " ")
			if messages++; !have[name] {
				t.Errorf("no vector of %s", name)
			}
		}
	}
	if messages == 0 {
		t.Error("storage.proto has no message")
	}
}

// TestVectors holds this implementation to the committed vectors.
func TestVectors(t *testing.T) {
	for name, v := range map[string]any{
		"types": typeVectorsOf(), "envelopes": envelopeVectorsOf(t), "guest": guestVectorsOf(t), "payloads": payloadVectorsOf(),
		"entries": entryVectorsOf(), "ids": idVectorsOf(), "log": logVectorsOf(t),
	} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("vectors", name+".json")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v (write the vectors with: go test ./event -run TestVectors -update)", err)
		}
		if !bytes.Equal(committed, b.Bytes()) {
			t.Errorf("%s differs from what this code makes; a format changed, or write it anew with -update and review the diff", path)
		}
	}
}
