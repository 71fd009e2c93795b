package api

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/inos-mesh/inos"
)

// What people stored is served from the same origin as the dashboard, so a browser must never take it for a part of the dashboard. Every answer
// carries nosniff and a policy that sandboxes a document; what a page may embed is checked here, since a stored script would come from 'self'.

// embeddable are the destinations (Fetch, Sec-Fetch-Dest) for which a browser may get content: bytes for a script that runs already, a document,
// which is sandboxed, and what is only shown. Scripts, workers, styles, frames and plug-ins are not among them.
var embeddable = map[string]bool{"": true, "empty": true, "document": true, "image": true, "audio": true, "video": true, "track": true}

// active are the types that a browser runs or applies when a page refers to them: who comes without an Authorization header, which no
// page can make a browser send, gets them as plain text.
var active = map[string]bool{
	"text/javascript": true, "application/javascript": true, "application/x-javascript": true, "application/ecmascript": true, "text/ecmascript": true,
	"text/jscript": true, "text/livescript": true, "text/x-javascript": true, "text/x-ecmascript": true, "application/x-ecmascript": true,
	"text/javascript1.0": true, "text/javascript1.1": true, "text/javascript1.2": true, "text/javascript1.3": true, "text/javascript1.4": true, "text/javascript1.5": true,
	"text/css": true, "application/wasm": true, "application/manifest+json": true, "text/xsl": true, "application/xslt+xml": true,
}

// guardContent refuses to hand what people stored to a browser that would run it here, and sees to it that the rest is not shown as a page of this
// origin's when a cookie let it out.
func (x *exchange) guardContent() error {
	dest := x.r.Header.Get("Sec-Fetch-Dest")
	if !embeddable[dest] {
		return inos.Errorf(inos.CodeOriginRefused, "serve content", "content is not served as a part of a page (%.20s)", dest)
	}
	if x.cookie != "" && dest == "" && !x.script {
		// A browser that does not say what for, over HTTP without TLS: only what the dashboard's own script asked for goes out.
		return inos.Errorf(inos.CodeOriginRefused, "serve content", "without Sec-Fetch-Dest, content needs the header %s", csrfHeader)
	}
	if len(x.r.Header.Values("Authorization")) == 0 {
		byCookie := x.cookie != ""
		x.w.before = func(header http.Header) { defuse(header, byCookie && dest == "document") }
	}
	return nil
}

// defuse changes the header of an answer with content, before it goes out.
func defuse(header http.Header, attach bool) {
	if media, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && active[media] {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if attach {
		if rest, inline := strings.CutPrefix(header.Get("Content-Disposition"), "inline"); inline {
			header.Set("Content-Disposition", "attachment"+rest)
		}
	}
}

func asError(err error) *inos.Error {
	var e *inos.Error
	errors.As(err, &e)
	return e
}
