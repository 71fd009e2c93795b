package event

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNames: every constant of names.go is an event type, none twice, and the protocol files speak of each.
func TestNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	protos := ""
	paths, err := filepath.Glob("proto/*.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		protos += string(b)
	}
	seen := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := spec.Names[0].Name
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseType(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, twice := seen[value]; twice {
			t.Errorf("%s and %s are both %s", name, other, value)
		}
		seen[value] = name
		if !strings.Contains(protos, Stage(value)+":v1") {
			t.Errorf("%s: no file in proto/ speaks of %s:v1", name, Stage(value))
		}
		return true
	})
	if len(seen) < 40 {
		t.Errorf("%d names found", len(seen))
	}
	stages := map[string]bool{}
	for value := range seen {
		stages[Stage(value)] = true
	}
	for _, m := range regexp.MustCompile(`\b([a-z][a-z_]*:[a-z_]+):v1`).FindAllStringSubmatch(protos, -1) {
		if !stages[m[1]] {
			t.Errorf("proto/ speaks of %s:v1, names.go does not name it", m[1])
		}
	}
}

// TestFormatIsDescribed: docs/format.md speaks of every event type and lists the whole error catalogue.
func TestFormatIsDescribed(t *testing.T) {
	b, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	names, err := os.ReadFile("names.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"([a-z_]+:[a-z_]+:v[0-9]+)(:[a-z]+)"`).FindAllStringSubmatch(string(names), -1) {
		row := "| `" + m[1]
		if m[2] == ":requested" {
			row += "` |"
		}
		if !strings.Contains(doc, row) {
			t.Errorf("docs/format.md has no row for %s", m[1])
		}
	}
	raw, err := os.ReadFile("errors.json")
	if err != nil {
		t.Fatal(err)
	}
	var codes []struct {
		Code, HTTP    int
		Name, Meaning string
	}
	if err := json.Unmarshal(raw, &codes); err != nil {
		t.Fatal(err)
	}
	for _, c := range codes {
		row := fmt.Sprintf("| %d | `%s` | %d | %s |", c.Code, c.Name, c.HTTP, c.Meaning)
		if !strings.Contains(doc, row) {
			t.Errorf("docs/format.md lacks the row %s", row)
		}
	}
}
