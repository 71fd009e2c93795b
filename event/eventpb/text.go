// Package eventpb holds the payload messages of the event standard, generated from event/proto.
package eventpb

import (
	"errors"
	"unicode/utf8"
)

var errText = errors.New("proto: a string is not UTF-8")

// text returns b as a string. proto3 wants UTF-8 in every field of type string; the generated decoders call this for each.
func text(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errText
	}
	return string(b), nil
}
