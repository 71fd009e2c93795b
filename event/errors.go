package event

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// ErrorTextBytesMax bounds each text of an error payload; longer ones are cut.
const ErrorTextBytesMax = 4 << 10

// ErrorPayload returns err as the payload of a failed event. An error without a code is internal. Texts are cut to
// ErrorTextBytesMax bytes, and what is not UTF-8 in them is replaced.
func ErrorPayload(err error) *eventpb.Error {
	var e *inos.Error
	if !errors.As(err, &e) {
		e = &inos.Error{Code: inos.CodeInternal, Op: "unknown", Message: err.Error()}
	}
	return &eventpb.Error{
		Code: uint32(e.Code), Name: e.Code.Name(), Operation: errorText(e.Op), Message: errorText(e.Message),
		Hint: errorText(e.HintText()), RetryAfterUs: int64(e.RetryAfter),
	}
}

// ErrorFrom returns the error that a payload carries.
func ErrorFrom(p *eventpb.Error) *inos.Error {
	return &inos.Error{
		Code: inos.Code(p.Code), Op: p.Operation, Message: p.Message, Hint: p.Hint, RetryAfter: inos.Micros(p.RetryAfterUs),
	}
}

// FailureOf returns the error of a failed event.
func FailureOf(e *eventpb.Envelope) *inos.Error {
	var p eventpb.Error
	if err := p.UnmarshalVT(e.Payload); err != nil || p.Code == 0 {
		return inos.Errorf(inos.CodeBadEnvelope, e.EventType, "a failed event of %s without an error payload", Stage(e.EventType))
	}
	return ErrorFrom(&p)
}

// errorText makes s fit for a string field: a message may quote a file name or bytes from outside.
func errorText(s string) string {
	if len(s) > ErrorTextBytesMax {
		end := ErrorTextBytesMax
		for end > ErrorTextBytesMax-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	return strings.ToValidUTF8(s, "?")
}
