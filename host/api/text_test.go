package api

import (
	"net/http"
	"strings"
	"testing"
)

// A parameter that is no text is refused here: the kernel, which cannot read it, would take a request for one without it.
func TestParametersAreText(t *testing.T) {
	d, s := serve(t, Options{})
	for _, c := range []string{
		"DELETE /v1/tokens?user=%ff", "DELETE /v1/tokens/t1?user=%ff", "GET /v1/tokens?user=a%ff", "GET /v1/devices?user=%c3", "GET /v1/grants?owner=%ff", "GET /v1/ledger?account=%ff",
		"GET /v1/files?after=/%ff", "GET /v1/files?owner=%ff",
	} {
		method, target, _ := strings.Cut(c, " ")
		if a := call(t, s, method, target, ""); a.status/100 != 4 {
			t.Errorf("%s: %d %s", c, a.status, a.body)
		}
	}
	if len(d.seen) != 0 {
		t.Errorf("the node was asked: %v", d.seen)
	}
}

// What a file is said to be has to fit into the header of an answer, also when JSON said it.
func TestContentTypeFitsAHeader(t *testing.T) {
	d, s := serve(t, Options{})
	for _, bad := range []string{`\ntext/plain`, `text/plain\r\n;a=b`, `text/plain;a=\"\u0000\"`, `text/plain;a=\"\u007f\"`} {
		a := call(t, s, "POST", "/v1/uploads", `{"path":"/a","plain_bytes":1,"content_type":"`+bad+`"}`)
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, "control characters") {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	text := "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\nContent-Type: text/plain; a=\"\xff\"\r\nAuthorization: Bearer " + operatorSecret + "\r\n\r\nx"
	if got := answered(t, s, text); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "is not text") {
		t.Errorf("%s", got)
	}
	if len(d.seen) != 0 {
		t.Errorf("the node was asked: %v", d.seen)
	}
}
