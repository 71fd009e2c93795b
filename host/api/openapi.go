package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
)

// The OpenAPI document (3.1) is made of three things that exist anyway: the routes with their methods, what described says of each, and the Go types
// of the JSON bodies. So a body cannot differ from it; that a route is described at all, tests see to.

// operation describes one method of a route.
type operation struct {
	summary    string
	parameters []parameter // beside those in the address
	request    any         // a value of the type of a JSON body, or a media type; nil: no body
	answers    []reply     // that are no errors
	codes      [][]inos.Code
	guarded    bool // needs a token though its route is open
}

// reply is one status that is no error.
type reply struct {
	status  int
	body    any // a value of the type of a JSON body, or a media type; nil: no body
	headers []string
}

// description describes a route: its addresses with names in braces, and its operations.
type description struct {
	addresses  []string
	operations map[string]operation
}

// parameter is one of the query or a header.
type parameter struct {
	in, name, text string
	schema         object
	required       bool
}

type object = map[string]any

// openAPI answers with the document that describes this interface: GET /v1/openapi.json. It says nothing of this node, so it needs no token.
func (x *exchange) openAPI(target) error {
	document := x.h.document()
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(document)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(document) // a client that left has no use for the error
	}
	return nil
}

// openAPIDocument makes the document.
func openAPIDocument() []byte {
	s := schemas{}
	problemSchema := s.of(problem{})
	paths := object{}
	for r, d := range described {
		for _, address := range d.addresses {
			item := object{}
			for method, o := range d.operations {
				item[strings.ToLower(method)] = o.document(r, method, address, s, problemSchema)
			}
			paths[address] = item
		}
	}
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "INOS", "version": "1",
			"summary": "The HTTP interface of a node of a storage mesh.",
			"description": "Sizes are bytes, names that end in _us are microseconds, ids and hashes are 64 hexadecimal digits. " +
				"{path} stands for one or more elements with slashes between them. What is not HTTP at all, and a header that is too long, get 400 and 431 as text/plain.",
			"license": object{"name": "see LICENSE of the project"},
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": s,
			"securitySchemes": object{
				"token": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The operator's secret, or an access token."},
				"dashboard": object{
					"type": "apiKey", "in": "cookie", "name": cookieName,
					"description": "The cookie of a dashboard's session; over TLS " + secureCookie + ". What changes something needs the header " + csrfHeader + " and an Origin that is the host asked.",
				},
			},
		},
	}
	out, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		panic("api: encode the OpenAPI document: " + err.Error()) // it is made of constants
	}
	return append(out, '\n')
}

// document returns the operation as the document has it.
func (o *operation) document(r route, method, address string, s schemas, problemSchema object) object {
	parameters := []any{}
	for name := range addressNames(address) {
		parameters = append(parameters, object{"name": name, "in": "path", "required": true, "description": inAddress[name], "schema": object{"type": "string"}})
	}
	for _, p := range o.parameters {
		parameters = append(parameters, object{"name": p.name, "in": p.in, "required": p.required, "description": p.text, "schema": p.schema})
	}
	responses := object{}
	for _, a := range o.answers {
		headers := object{"Inos-Trace-Id": headerOf("Inos-Trace-Id")}
		for _, name := range a.headers {
			headers[name] = headerOf(name)
		}
		response := object{"description": http.StatusText(a.status), "headers": headers}
		if a.body != nil && method != http.MethodHead {
			response["content"] = s.content(a.body)
		}
		responses[strconv.Itoa(a.status)] = response
	}
	guarded := o.guarded || !r.open()
	o.documentErrors(responses, method, guarded, problemSchema)
	out := object{
		"operationId": strings.ToLower(method) + "_" + r.name(), "summary": o.summary, "parameters": parameters, "responses": responses,
		"security": []any{},
	}
	if index := slices.Index(described[r].addresses, address); index > 0 {
		out["operationId"] = fmt.Sprintf("%s_%s_%d", strings.ToLower(method), r.name(), index+1)
	}
	if guarded {
		out["security"] = []any{object{"token": []string{}}, object{"dashboard": []string{}}}
	}
	if o.request != nil {
		out["requestBody"] = object{"required": true, "content": s.content(o.request)}
	}
	return out
}

// documentErrors adds an answer for each status that an error of the operation has, with the codes that it stands for.
func (o *operation) documentErrors(responses object, method string, guarded bool, problemSchema object) {
	groups := append([][]inos.Code{everywhere}, o.codes...)
	if guarded {
		groups = append(groups, whereGuarded)
	}
	names := map[int][]string{}
	for _, group := range groups {
		for _, code := range group {
			status := code.HTTPStatus()
			if !slices.Contains(names[status], code.Name()) {
				names[status] = append(names[status], code.Name())
			}
		}
	}
	for status, codes := range names {
		slices.Sort(codes)
		response := object{"description": strings.Join(codes, ", "), "headers": object{"Inos-Trace-Id": headerOf("Inos-Trace-Id")}}
		content := object{}
		if answer, ok := responses[strconv.Itoa(status)].(object); ok { // of /readyz, whose no is no error
			response = answer
			given, _ := answer["content"].(object)
			maps.Copy(content, given)
		}
		if o.request == protobufType {
			content[protobufType] = object{"schema": object{}} // the reply says what failed
		}
		content[problemType] = object{"schema": object{"allOf": []any{problemSchema, object{"properties": object{"code": object{"enum": codes}}}}}}
		if method != http.MethodHead {
			response["content"] = content
		}
		responses[strconv.Itoa(status)] = response
	}
}

// addressNames returns the names in braces of an address.
func addressNames(address string) map[string]bool {
	out := map[string]bool{}
	for _, part := range strings.Split(address, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		out[name] = true
	}
	return out
}

func headerOf(name string) object {
	return object{"description": headerTexts[name], "schema": object{"type": "string"}}
}
