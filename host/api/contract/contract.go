// Package contract reads the OpenAPI document that a node serves, and holds answers of nodes against it. Tests use it; no program does.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/inos-mesh/inos"
)

// Document is an OpenAPI document that was found valid.
type Document struct {
	document *openapi3.T
	paths    []path
}

type path struct {
	address string
	pattern *regexp.Regexp
	item    *openapi3.PathItem
}

// Read reads a document and validates it.
func Read(raw []byte) (*Document, error) {
	const op = "read OpenAPI document"
	loader := openapi3.NewLoader()
	d, err := loader.LoadFromData(raw)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%w", err)
	}
	if err := d.Validate(context.Background()); err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%w", err)
	}
	out := &Document{document: d}
	for address, item := range d.Paths.Map() {
		out.paths = append(out.paths, path{address, patternOf(address), item})
	}
	// Of two that match, the one with more of it written out is meant.
	sort.Slice(out.paths, func(i, j int) bool { return literal(out.paths[i].address) > literal(out.paths[j].address) })
	return out, nil
}

var names = regexp.MustCompile(`\{[a-z_]+\}`)

func literal(address string) int { return len(names.ReplaceAllString(address, "")) }

// patternOf matches the addresses that one with names stands for: {path} is any number of elements, another name is one.
func patternOf(address string) *regexp.Regexp {
	escaped := strings.NewReplacer(`\{path\}`, "{path}", `\{`, "{", `\}`, "}").Replace(regexp.QuoteMeta(address))
	escaped = strings.ReplaceAll(escaped, "{path}", ".+")
	return regexp.MustCompile("^" + names.ReplaceAllString(escaped, "[^/]+") + "$")
}

// Operations returns every operation as its method and address.
func (d *Document) Operations() map[string]*openapi3.Operation {
	out := map[string]*openapi3.Operation{}
	for _, p := range d.paths {
		for method, o := range p.item.Operations() {
			out[method+" "+p.address] = o
		}
	}
	return out
}

// Check holds an answer against the document. What the document does not describe, addresses and methods that there are not, it leaves alone.
func (d *Document) Check(method, escapedPath string, status int, header http.Header, body []byte) error {
	for _, p := range d.paths {
		if !p.pattern.MatchString(escapedPath) {
			continue
		}
		o := p.item.GetOperation(method)
		if o == nil {
			return nil
		}
		if err := check(o, status, header, body, method == http.MethodHead); err != nil {
			return inos.Errorf(inos.CodeBadFormat, "check answer", "%s %s as %s: status %d: %w", method, escapedPath, p.address, status, err)
		}
		return nil
	}
	return nil
}

func check(o *openapi3.Operation, status int, header http.Header, body []byte, headless bool) error {
	response := o.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("the status is not described; %.300s", body)
	}
	content := response.Value.Content
	if headless || len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("a body of %d bytes is not described", len(body))
		}
		return nil
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	described := content[media]
	if described == nil {
		described = content["*/*"]
	}
	if described == nil {
		return fmt.Errorf("Content-Type %q is not described", media)
	}
	if media != "application/json" && media != "application/problem+json" || content[media] == nil {
		return nil
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	if err := described.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		return fmt.Errorf("%w; %.500s", err, body)
	}
	return nil
}
