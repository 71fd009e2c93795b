package inos

import (
	"strings"
	"unicode/utf8"
)

// CheckPath refuses what is not a path of a file: absolute, UTF-8, at most PathBytesMax bytes, without empty, "." or ".."
// elements, control characters or a trailing slash.
func CheckPath(p Path) error {
	const op = "check path"
	s := string(p)
	switch {
	case s == "":
		return Errorf(CodeBadPath, op, "the path is empty")
	case len(s) > PathBytesMax:
		return Errorf(CodeBadPath, op, "%q is longer than %d bytes", clip(s), PathBytesMax)
	case s[0] != '/':
		return Errorf(CodeBadPath, op, "%q does not begin with /", clip(s))
	case !utf8.ValidString(s):
		return Errorf(CodeBadPath, op, "%q is not UTF-8", clip(s))
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return Errorf(CodeBadPath, op, "%q has the control character %U", clip(s), r)
		}
	}
	for _, element := range strings.Split(s[1:], "/") {
		switch element {
		case "":
			return Errorf(CodeBadPath, op, "%q has an empty element", clip(s))
		case ".", "..":
			return Errorf(CodeBadPath, op, "%q has the element %q", clip(s), element)
		}
	}
	return nil
}

// In says whether the path is prefix or below it. A prefix is never one of text: /photos2 is not in /photos.
func (p Path) In(prefix Path) bool {
	if prefix == "/" || prefix == p {
		return p != ""
	}
	rest, ok := strings.CutPrefix(string(p), string(prefix))
	return ok && prefix != "" && rest[0] == '/'
}
