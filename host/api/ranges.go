package api

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/inos-mesh/inos"
)

// byteRange is one range of a Range header, not yet resolved against a length.
type byteRange struct {
	first  uint64
	last   uint64 // inclusive; with suffix: how many bytes from the end
	open   bool   // "first-"
	suffix bool   // "-last"
}

// span is a range of a file's plain bytes; it is never empty.
type span struct{ offset, length uint64 }

// parseRanges reads a Range header (RFC 9110, 14.2). nil is what a server may and this one does ignore: another unit, a
// malformed list, more than rangesMax ranges.
func parseRanges(values []string) []byteRange {
	if len(values) != 1 {
		return nil
	}
	unit, list, found := strings.Cut(values[0], "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return nil
	}
	var out []byteRange
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.Trim(item, " \t"); item == "" {
			continue // an empty element of a list is none (RFC 9110, 5.6.1.2)
		}
		r, ok := parseRange(item)
		if !ok || len(out) == rangesMax {
			return nil
		}
		out = append(out, r)
	}
	return out
}

// parseRange reads one range.
func parseRange(s string) (r byteRange, ok bool) {
	first, last, found := strings.Cut(s, "-")
	if !found {
		return r, false
	}
	switch {
	case first == "":
		r.suffix = true
		r.last, ok = parseDigits(last)
	case last == "":
		r.open = true
		r.first, ok = parseDigits(first)
	default:
		var okLast bool
		r.first, ok = parseDigits(first)
		r.last, okLast = parseDigits(last)
		ok = ok && okLast && r.first <= r.last
	}
	return r, ok
}

// resolve returns the range within a representation of size bytes; ok is false when it has no byte there.
func (r byteRange) resolve(size uint64) (offset, length uint64, ok bool) {
	switch {
	case r.suffix:
		length = min(r.last, size)
		return size - length, length, length > 0
	case r.first >= size:
		return 0, 0, false
	case r.open:
		return r.first, size - r.first, true
	default:
		return r.first, min(r.last, size-1) - r.first + 1, true
	}
}

// resolveRanges returns the parts of a file that ranges name, in their order, without those behind its end. Parts that
// overlap so much that they are longer than the file are none: the whole of it is less work (RFC 9110, 14.2 and 17.15).
func resolveRanges(ranges []byteRange, size uint64) ([]span, error) {
	var parts []span
	var sum uint64 // at most rangesMax times size: of files no overflow
	for _, r := range ranges {
		if offset, length, ok := r.resolve(size); ok {
			parts = append(parts, span{offset, length})
			sum += length
		}
	}
	if len(parts) == 0 {
		return nil, inos.Errorf(inos.CodeRangeNotSatisfiable, "files:get", "none of %d ranges has a byte in a file of %d", len(ranges), size)
	}
	if len(parts) > 1 && sum > size {
		return nil, nil
	}
	return parts, nil
}

// contentRange returns the value of a Content-Range.
func (p span) contentRange(size uint64) string {
	return fmt.Sprintf("bytes %d-%d/%d", p.offset, p.offset+p.length-1, size)
}

// multipart is the framing of several parts in one body (RFC 9110, 14.6; RFC 2046, 5.1).
type multipart struct {
	boundary    string
	contentType string // of the file
	size        uint64 // of the file
}

func newMultipart(contentType string, size uint64) *multipart {
	var random [30]byte         // 60 digits; a boundary has at most 70 characters
	_, _ = rand.Read(random[:]) // it cannot fail
	return &multipart{boundary: hex.EncodeToString(random[:]), contentType: contentType, size: size}
}

// before returns what stands before the bytes of a part.
func (m *multipart) before(i int, p span) string {
	line := "\r\n"
	if i == 0 {
		line = ""
	}
	return line + "--" + m.boundary + "\r\nContent-Range: " + p.contentRange(m.size) + "\r\nContent-Type: " + m.contentType + "\r\n\r\n"
}

// end returns what stands behind the last part.
func (m *multipart) end() string { return "\r\n--" + m.boundary + "--\r\n" }

// bytes returns the length of the body.
func (m *multipart) bytes(parts []span) uint64 {
	n := uint64(len(m.end()))
	for i, p := range parts {
		n += uint64(len(m.before(i, p))) + p.length
	}
	return n
}
