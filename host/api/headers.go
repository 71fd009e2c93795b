package api

import (
	"fmt"
	"mime"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/inos-mesh/inos"
)

// codings are what a client takes of the two that a file has (RFC 9110, 12.5.3).
type codings struct {
	br    bool // named, and not liked less than identity
	plain bool // not refused
}

// parseCodings reads Accept-Encoding. A wildcard asks for br only when identity is refused: who sends one alone seldom
// can inflate Brotli.
func parseCodings(values []string) codings {
	br, identity, other := -1, -1, -1
	for _, v := range values {
		for _, item := range strings.Split(v, ",") {
			name, q := parseWeighted(item)
			switch strings.ToLower(name) {
			case "br":
				br = q
			case "identity":
				identity = q
			case "*":
				other = q
			}
		}
	}
	if identity < 0 && other == 0 {
		identity = 0
	}
	c := codings{br: br > 0 && br >= identity, plain: identity != 0}
	if !c.plain && br < 0 {
		c.br = other > 0
	}
	return c
}

func parseDigits(s string) (uint64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' { // ParseUint takes no sign, but say so
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil
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

// inline lists the media types that a browser may show in place. Everything else is offered as a download, because it
// could act on the page that shows it.
var inline = map[string]bool{
	"text/plain": true, "application/json": true,
	"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/avif": true,
	"audio/mpeg": true, "audio/ogg": true, "audio/wav": true, "audio/flac": true,
	"video/mp4": true, "video/webm": true, "video/ogg": true,
}

// disposition returns the Content-Disposition of a file (RFC 6266): its name as a quoted string, and when that cannot
// say it exactly to every client, with "_" for what it cannot and the exact one as filename* (RFC 8187).
func disposition(p inos.Path, contentType string) string {
	kind := "attachment"
	if media, _, err := mime.ParseMediaType(contentType); err == nil && inline[media] {
		kind = "inline"
	}
	const exact = "!#$&+-.^_`|~" // attr-char of RFC 8187, 3.2.1, beside letters and digits
	var plain, extended strings.Builder
	same := true
	name := path.Base(string(p))
	for i, r := range name {
		// Clients read a backslash and a percent sign inside the quotes in different ways (RFC 6266, D).
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			same = false
			plain.WriteByte('_')
		} else {
			plain.WriteByte(byte(r))
		}
		for _, c := range []byte(name[i : i+utf8.RuneLen(r)]) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(exact, c) >= 0 {
				extended.WriteByte(c)
			} else {
				fmt.Fprintf(&extended, "%%%02X", c)
			}
		}
	}
	v := kind + `; filename="` + plain.String() + `"`
	if !same {
		v += "; filename*=UTF-8''" + extended.String()
	}
	return v
}

// checkContentType returns the Content-Type to keep with a file.
func checkContentType(s string) (string, error) {
	if s == "" {
		return "application/octet-stream", nil
	}
	if len(s) > inos.ContentTypeBytesMax {
		return "", inos.Errorf(inos.CodeBadRequest, "parse Content-Type", "%d bytes, at most %d", len(s), inos.ContentTypeBytesMax)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) { // no header could name it to who gets the file
		return "", inos.Errorf(inos.CodeBadRequest, "parse Content-Type", "%.80q is not text without control characters", s)
	}
	if _, _, err := mime.ParseMediaType(s); err != nil {
		return "", inos.Errorf(inos.CodeBadRequest, "parse Content-Type", "%.80q: %w", s, err)
	}
	return s, nil
}
