package event

import (
	"errors"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// ErrorPayload returns err as the payload of a failed event. An error without a code is internal.
func ErrorPayload(err error) *eventpb.Error {
	var e *inos.Error
	if !errors.As(err, &e) {
		e = &inos.Error{Code: inos.CodeInternal, Op: "unknown", Message: err.Error()}
	}
	return &eventpb.Error{
		Code: uint32(e.Code), Name: e.Code.Name(), Operation: e.Op, Message: e.Message,
		Hint: e.HintText(), RetryAfterUs: int64(e.RetryAfter),
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
