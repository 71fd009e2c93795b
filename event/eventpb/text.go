// Package eventpb holds the payload messages of the event standard, generated from event/proto.
package eventpb

import (
	"errors"
	"slices"
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

// sortedKeys returns the keys of a map in order. A trace context has one key, nearly always.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	if len(keys) > 1 {
		slices.Sort(keys)
	}
	return keys
}
