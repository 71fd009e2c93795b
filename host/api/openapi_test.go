package api

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/inos-mesh/inos/host/api/contract"
)

// served is the document that every answer of these tests is held against.
var served = sync.OnceValues(func() (*contract.Document, error) { return contract.Read(openAPIDocument()) })

// holdToDocument holds an answer against the document, unless only the double can give it.
func holdToDocument(t *testing.T, method, path string, r *http.Response, body []byte) {
	t.Helper()
	d, err := served()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte(`"operation":"double"`)) {
		return
	}
	if err := d.Check(method, path, r.StatusCode, r.Header, body); err != nil {
		t.Errorf("the answer is not as the OpenAPI document says: %v", err)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	_, s := serve(t, Options{})
	a := call(t, s, "GET", "/v1/openapi.json", "", "Authorization", "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	d, err := contract.Read([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	operations := d.Operations()
	for r, entry := range routes {
		if r == routeNone {
			continue
		}
		if len(described[r].addresses) == 0 {
			t.Errorf("route %s is not described", r.name())
		}
		for _, m := range entry.methods {
			for _, address := range described[r].addresses {
				if operations[m.method+" "+address] == nil {
					t.Errorf("%s %s is not described", m.method, address)
				}
				delete(operations, m.method+" "+address)
			}
		}
	}
	for o := range operations {
		t.Errorf("%s is described, and there is no such route", o)
	}
}

// example are values for the names in addresses.
var example = strings.NewReplacer("{path}", "a/b", "{file_id}", strings.Repeat("0", 64), "{chunk_id}", strings.Repeat("0", 64), "{trace_id}", strings.Repeat("1", 32),
	"{node}", "n1", "{name}", "ann", "{id}", "i1", "{kind}", "token", "{secret}", "inos-link-x", "{owner}", "ann")

// An address that is described leads to its route, and each that leads to a route is described.
func TestOpenAPIAddressesAreTheRoutes(t *testing.T) {
	for r, d := range described {
		for _, address := range d.addresses {
			for name := range addressNames(address) {
				if inAddress[name] == "" {
					t.Errorf("%s: nothing says what {%s} is", address, name)
				}
			}
			u, err := url.Parse(example.Replace(address))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parseTarget(u); err != nil || got.route != r {
				t.Errorf("%s leads to %s, %v; it is described for %s", address, got.route.name(), err, r.name())
			}
		}
	}
	for address, r := range exact {
		if !slices.Contains(described[r].addresses, address) {
			t.Errorf("%s is not described", address)
		}
	}
	for _, n := range named {
		if !strings.HasPrefix(described[n.route].addresses[0], n.prefix) {
			t.Errorf("%s… is not described", n.prefix)
		}
	}
}

// The parameters of the query that an operation is described with are those that it knows, which it says of one that it does not know.
func TestOpenAPIParametersAreKnown(t *testing.T) {
	_, s := serve(t, Options{})
	asked := 0
	for r, d := range described {
		for method, o := range d.operations {
			var want []string
			for _, p := range o.parameters {
				if p.in == "query" && p.name != "owner" || p.name == "owner" && !r.inNamespace() {
					want = append(want, p.name)
				}
				if p.name == "owner" && p.in == "query" {
					a := call(t, s, method, example.Replace(d.addresses[0])+"?owner=..", "")
					if a.status != 400 && r.inNamespace() {
						t.Errorf("%s %s takes owner=..: %d", method, d.addresses[0], a.status)
					}
				}
			}
			query := "?unknown=1"
			if slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.required && p.name == "user" }) {
				query += "&user=ann"
			}
			a := call(t, s, method, example.Replace(d.addresses[0])+query, "")
			_, list, says := strings.Cut(a.body, "there are: ")
			if !says {
				if len(want) > 0 && method != "HEAD" && !r.stranger() { // strangers are told nothing
					t.Errorf("%s %s is described with %v and takes what it does not know: %d %s", method, d.addresses[0], want, a.status, a.body)
				}
				continue
			}
			asked++
			list, _, _ = strings.Cut(list, `"`)
			got := strings.Split(list, ", ")
			slices.Sort(got)
			slices.Sort(want)
			if fmt.Sprint(got) != fmt.Sprint(want) && list+fmt.Sprint(want) != "[]" {
				t.Errorf("%s %s knows %v, and is described with %v", method, d.addresses[0], got, want)
			}
		}
	}
	if asked < 15 {
		t.Errorf("only %d operations said what they know", asked)
	}
}

// Every header of this interface's own, and every parameter that the sources read, is in the document.
func TestOpenAPIHeadersAreThoseOfTheSources(t *testing.T) {
	document := string(openAPIDocument())
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || strings.HasPrefix(e.Name(), "openapi") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if name, err := strconv.Unquote(literal.Value); err == nil && strings.HasPrefix(name, "Inos-") && http.CanonicalHeaderKey(name) == name {
				found++
				if !strings.Contains(document, name) {
					t.Errorf("%s speaks of the header %s, which the document does not have", e.Name(), name)
				}
			}
			return true
		})
	}
	if found < 10 {
		t.Errorf("only %d headers were found", found)
	}
}
