package api

import (
	"mime"
	"path"
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
)

// byteRange is a Range header's only range, not yet resolved against a length.
type byteRange struct {
	first  uint64
	last   uint64 // inclusive; with suffix: how many bytes from the end
	open   bool   // "first-"
	suffix bool   // "-last"
}

// parseRange reads a Range header (RFC 9110, 14.2). ok is false for what a server may and this one does ignore:
// another unit, several ranges, a malformed one.
func parseRange(s string) (r byteRange, ok bool) {
	unit, spec, found := strings.Cut(s, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return r, false
	}
	first, last, found := strings.Cut(strings.TrimSpace(spec), "-")
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

func parseDigits(s string) (uint64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' { // ParseUint takes no sign, but say so
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil
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

// wantsBrotli tells whether an Accept-Encoding header names br and does not like identity better (RFC 9110, 12.5.3).
// A wildcard alone does not ask for it: who sends one seldom can inflate Brotli.
func wantsBrotli(values []string) bool {
	br, identity := -1, -1
	for _, v := range values {
		for _, item := range strings.Split(v, ",") {
			name, q := parseWeighted(item)
			switch strings.ToLower(name) {
			case "br":
				br = q
			case "identity":
				identity = q
			}
		}
	}
	return br > 0 && br >= identity
}

// parseWeighted reads "name;q=0.5"; the weight is in thousandths, 0 when it is malformed.
func parseWeighted(item string) (name string, q int) {
	name, parameters, found := strings.Cut(item, ";")
	name = strings.TrimSpace(name)
	if !found {
		return name, 1000
	}
	key, value, _ := strings.Cut(strings.TrimSpace(parameters), "=")
	if !strings.EqualFold(strings.TrimSpace(key), "q") {
		return name, 0
	}
	whole, fraction, _ := strings.Cut(strings.TrimSpace(value), ".")
	if len(fraction) > 3 || (whole != "0" && whole != "1") {
		return name, 0
	}
	n, ok := parseDigits(whole + fraction + "000"[len(fraction):])
	if !ok || n > 1000 {
		return name, 0
	}
	return name, int(n)
}

// condition is an If-Match or If-None-Match header: "*" or a list of entity tags.
type condition struct {
	any  bool
	tags []string // with their quotes and W/
}

// parseCondition reads a condition; a malformed one is refused, because to ignore it could overwrite a file.
func parseCondition(name string, values []string) (*condition, error) {
	if len(values) == 0 {
		return nil, nil
	}
	s := strings.TrimSpace(strings.Join(values, ","))
	if s == "*" {
		return &condition{any: true}, nil
	}
	c := &condition{}
	for s != "" {
		weak := ""
		rest := s
		if strings.HasPrefix(rest, "W/") {
			weak, rest = "W/", rest[2:]
		}
		end := -1
		if strings.HasPrefix(rest, `"`) {
			end = strings.IndexByte(rest[1:], '"')
		}
		if end < 0 || len(c.tags) == conditionValuesMax {
			return nil, inos.Errorf(inos.CodeBadRequest, "parse "+name, "%.80q is neither * nor a list of at most %d quoted entity tags", s, conditionValuesMax)
		}
		c.tags = append(c.tags, weak+rest[:end+2])
		s = strings.TrimSpace(rest[end+2:])
		if s != "" {
			if s[0] != ',' {
				return nil, inos.Errorf(inos.CodeBadRequest, "parse "+name, "%.80q does not follow a comma", s)
			}
			s = strings.TrimLeft(s, ", \t")
		}
	}
	return c, nil
}

// matches compares with the tags of what exists; weakly when weak is set (RFC 9110, 8.8.3.2). Every tag made here is strong.
func (c *condition) matches(weak bool, current ...string) bool {
	if c.any {
		return len(current) > 0
	}
	for _, tag := range c.tags {
		if weak {
			tag = strings.TrimPrefix(tag, "W/")
		}
		for _, have := range current {
			if tag == have {
				return true
			}
		}
	}
	return false
}

// inline lists the media types that a browser may show in place. Everything else is offered as a download, because it
// could act on the page that shows it.
var inline = map[string]bool{
	"text/plain": true, "application/json": true,
	"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/avif": true,
	"audio/mpeg": true, "audio/ogg": true, "audio/wav": true, "audio/flac": true,
	"video/mp4": true, "video/webm": true, "video/ogg": true,
}

// disposition returns the Content-Disposition of a file.
func disposition(p inos.Path, contentType string) string {
	kind := "attachment"
	if media, _, err := mime.ParseMediaType(contentType); err == nil && inline[media] {
		kind = "inline"
	}
	if v := mime.FormatMediaType(kind, map[string]string{"filename": path.Base(string(p))}); v != "" {
		return v
	}
	return kind
}

// checkContentType returns the Content-Type to keep with a file.
func checkContentType(s string) (string, error) {
	if s == "" {
		return "application/octet-stream", nil
	}
	if len(s) > contentTypeMax {
		return "", inos.Errorf(inos.CodeBadRequest, "parse Content-Type", "%d bytes, at most %d", len(s), contentTypeMax)
	}
	if _, _, err := mime.ParseMediaType(s); err != nil {
		return "", inos.Errorf(inos.CodeBadRequest, "parse Content-Type", "%.80q: %w", s, err)
	}
	return s, nil
}
