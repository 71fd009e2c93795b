package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
)

// modified returns a file's Last-Modified: when its version was committed, in whole seconds.
func (f *File) modified() time.Time {
	return time.UnixMicro(f.CreatedUs).UTC().Truncate(time.Second)
}

// tag returns the entity tag of the selected representation.
func (s *selection) tag(f *File) string {
	if s.encoded {
		return encodedTag(f)
	}
	return plainTag(f)
}

// conditional tells whether an answer to a read depends on the state of the file.
func conditional(header http.Header) bool {
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if len(header.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// conditions judges what a read demands of the selected representation, in the order of RFC 9110, 13.2.2; done means
// that it answered 304.
func (x *exchange) conditions(s *selection) (done bool, err error) {
	f, header := s.file, x.r.Header
	tag := s.tag(f)
	match, err := parseCondition("If-Match", header.Values("If-Match"))
	if err != nil {
		return false, err
	}
	none, err := parseCondition("If-None-Match", header.Values("If-None-Match"))
	if err != nil {
		return false, err
	}
	if match != nil {
		if !match.matches(false, tag) {
			return false, inos.Errorf(inos.CodePreconditionFailed, "judge precondition", "the current entity tag is %s", tag)
		}
	} else if since, ok := parseDate(header.Values("If-Unmodified-Since")); ok && f.modified().After(since) {
		return false, inos.Errorf(inos.CodePreconditionFailed, "judge precondition", "the file was changed at %s", f.modified().Format(http.TimeFormat))
	}
	unchanged := false
	if none != nil {
		unchanged = none.matches(true, tag)
	} else if since, ok := parseDate(header.Values("If-Modified-Since")); ok {
		unchanged = !f.modified().After(since)
	}
	if !unchanged {
		return false, nil
	}
	x.w.Header().Set("ETag", tag)
	x.w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// parseDate reads a date; one that is malformed or given twice is ignored (RFC 9110, 13.1.3 and 13.1.4).
func parseDate(values []string) (time.Time, bool) {
	if len(values) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(values[0])
	return t, err == nil
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
