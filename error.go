package inos

import (
	"errors"
	"fmt"
)

// Code is a number of the error catalogue, event/errors.json: append-only, the same in every language.
type Code uint32

// Error says what failed, where, and what a person can do about it.
type Error struct {
	Code       Code
	Op         string // what was being done: "files:put", "write chunk"
	Message    string // what was wrong, with the value and the place
	Hint       string // empty: the catalogue's
	RetryAfter Micros // 0: a retry alone does not help
	Err        error  // cause, or nil
}

// Error returns "op: message"; the message includes the cause.
func (e *Error) Error() string {
	s := e.Op
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HintText returns the error's hint, or the catalogue's when it has none of its own.
func (e *Error) HintText() string {
	if e.Hint != "" {
		return e.Hint
	}
	return e.Code.Hint()
}

// Errorf makes an Error whose message is formatted; an operand of %w becomes its cause.
func Errorf(code Code, op, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Op: op, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal when there is none, and 0 for nil.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
