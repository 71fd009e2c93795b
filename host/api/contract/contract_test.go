package contract

import (
	"net/http"
	"strings"
	"testing"
)

const small = `{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {
 "/f/{path}": {"get": {"responses": {
  "200": {"description": "d", "content": {"application/json": {"schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}}}},
  "304": {"description": "d"}}, "parameters": [{"name": "path", "in": "path", "required": true, "schema": {"type": "string"}}]}},
 "/f/{id}/x": {"get": {"responses": {"204": {"description": "d"}}, "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]}}}}`

// What passes here says nothing unless what is wrong does not.
func TestCheck(t *testing.T) {
	d, err := Read([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address, media, body string
		status               int
		fine                 bool
	}{
		{"/f/a/b", "application/json", `{"n":1}`, 200, true},
		{"/f/a", "application/json; charset=utf-8", `{"n":1}`, 200, true},
		{"/f/a", "application/json", `{"n":"1"}`, 200, false},
		{"/f/a", "application/json", `{}`, 200, false},
		{"/f/a", "application/json", `{"n":`, 200, false},
		{"/f/a", "text/plain", `{"n":1}`, 200, false},
		{"/f/a", "", "", 304, true},
		{"/f/a", "", "x", 304, false},
		{"/f/a", "application/json", `{"n":1}`, 201, false},
		{"/f/a/x", "", "", 204, true}, // more of it is written out
		{"/f/a/x", "application/json", `{"n":1}`, 200, false},
		{"/other", "", "", 500, true},
	} {
		err := d.Check("GET", c.address, c.status, http.Header{"Content-Type": {c.media}}, []byte(c.body))
		if (err == nil) != c.fine {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := Read([]byte(strings.Replace(small, `"description": "d"`, `"descriptio": "d"`, 1))); err == nil {
		t.Error("a document with a response that nothing describes is read")
	}
	if got := len(d.Operations()); got != 2 {
		t.Errorf("%d operations", got)
	}
}
