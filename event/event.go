// Package event is the event standard: the grammar of event types, the bounds and the canonical encoding of the
// envelope, identifiers, errors as payloads, and the framing of guest messages. The formats are described byte for byte
// in docs/format.md.
package event

import (
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Encode appends e's canonical bytes to dst: fields in order of their numbers, map entries sorted by key, unknown
// fields last, as they came. It does not check bounds; Check does.
func Encode(dst []byte, e *eventpb.Envelope) []byte {
	size := e.SizeVT()
	start := len(dst)
	dst = append(dst, make([]byte, size)...)
	if _, err := e.MarshalToSizedBufferVT(dst[start:]); err != nil {
		panic("event: encode an envelope in memory: " + err.Error()) // no input can cause it
	}
	return dst
}

// Decode reads one envelope that fills b. It refuses what exceeds the bounds before it allocates, a string that is not
// UTF-8, a group, a field with another wire type than its declaration's, a malformed event type, and a timestamp before
// the epoch. A singular field that comes again replaces the one before (metadata is merged), as protobuf says. The envelope
// shares no memory with b. On an error it returns no envelope.
func Decode(b []byte) (*eventpb.Envelope, error) {
	const op = "decode envelope"
	if len(b) > inos.EnvelopeHeadBytesMax+inos.PayloadBytesMax {
		return nil, inos.Errorf(inos.CodeEnvelopeTooLarge, op, "%d bytes, at most %d", len(b), inos.EnvelopeHeadBytesMax+inos.PayloadBytesMax)
	}
	if err := scanEnvelope(b); err != nil {
		return nil, err
	}
	e := &eventpb.Envelope{}
	if err := e.UnmarshalVT(b); err != nil {
		return nil, inos.Errorf(inos.CodeBadEnvelope, op, "%d bytes: %w", len(b), err)
	}
	if err := Check(e); err != nil {
		return nil, err
	}
	return e, nil
}

// Check holds an envelope to the standard, so that what it lets through decodes again: bounds, event type, timestamp, UTF-8.
func Check(e *eventpb.Envelope) error {
	const op = "check envelope"
	if err := checkSizes(op, e.SizeVT()-len(e.Payload), len(e.Payload)); err != nil {
		return err
	}
	if e.Timestamp < 0 {
		return inos.Errorf(inos.CodeBadEnvelope, op, "the timestamp %d is before 1970", e.Timestamp)
	}
	m := e.Metadata
	texts := []string{e.Id, m.GetUserId(), m.GetDeviceId(), m.GetSecurityToken()}
	for _, key := range slices.Sorted(maps.Keys(m.GetTraceContext())) {
		texts = append(texts, key, m.TraceContext[key])
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return inos.Errorf(inos.CodeBadEnvelope, op, "%.80q is not UTF-8", s)
		}
	}
	_, err := ParseType(e.EventType)
	return err
}

// Message is a payload message of eventpb.
type Message interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVT([]byte) error
}

// Payload returns m's bytes.
func Payload(m Message) []byte {
	b := make([]byte, m.SizeVT())
	if _, err := m.MarshalToSizedBufferVT(b); err != nil {
		panic("event: encode a payload in memory: " + err.Error()) // no input can cause it
	}
	return b
}

// Open reads e's payload into m; the error names the event type.
func Open(e *eventpb.Envelope, m Message) error {
	if err := m.UnmarshalVT(e.Payload); err != nil {
		return inos.Errorf(inos.CodeBadEnvelope, e.EventType, "the payload of %d bytes does not decode: %w", len(e.Payload), err)
	}
	return nil
}

// Reply answers a request: the same id, trace and type with another state.
func Reply(request *eventpb.Envelope, state State, now inos.Micros, payload []byte) *eventpb.Envelope {
	reply := &eventpb.Envelope{
		Id:        request.Id,
		EventType: WithState(request.EventType, state),
		Timestamp: int64(now),
		Payload:   payload,
	}
	if m := request.Metadata; m != nil {
		reply.Metadata = &eventpb.Metadata{UserId: m.UserId, DeviceId: m.DeviceId, TraceContext: m.TraceContext}
	}
	return reply
}

// Failed answers a request with an error.
func Failed(request *eventpb.Envelope, now inos.Micros, err error) *eventpb.Envelope {
	return Reply(request, StateFailed, now, Payload(ErrorPayload(err)))
}
