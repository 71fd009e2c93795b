package api

import (
	"reflect"
	"strings"
)

// schemas are JSON Schemas by the name of the Go type that they were made of.
type schemas map[string]any

// content returns what the document says of a body: a media type whose bytes are nobody's business, or a JSON value.
func (s schemas) content(body any) object {
	if media, ok := body.(string); ok {
		return object{media: object{"schema": object{}}}
	}
	if lines, ok := body.(jsonLines); ok {
		return object{"application/x-ndjson": object{"schema": object{"description": "one JSON value on each line", "x-line": s.of(lines.line)}}}
	}
	return object{"application/json": object{"schema": s.of(body)}}
}

// jsonLines is a body of lines, each of the type of line.
type jsonLines struct{ line any }

// of returns the schema of a value's type; of a struct with a name, a reference to it.
func (s schemas) of(v any) object { return s.schema(reflect.TypeOf(v)) }

func (s schemas) schema(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		return object{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.Struct:
		return s.structure(t)
	}
	panic("api: no JSON of this interface has a " + t.String())
}

func (s schemas) structure(t reflect.Type) object {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if s[name] == nil {
		s[name] = object{} // for a type that has itself
		properties, required := object{}, []string{}
		s.fields(t, properties, &required)
		out := object{"type": "object", "properties": properties}
		if asks(name) {
			out["additionalProperties"] = false // decodeQuestion refuses them, and takes what is left away for its zero value
		} else if len(required) > 0 {
			out["required"] = required
		}
		s[name] = out
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func asks(name string) bool { return strings.HasSuffix(name, "Question") }

// fields adds those of a struct, and as encoding/json does those of structs embedded in it.
func (s schemas) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			s.fields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = s.schema(f.Type)
		if options != "omitempty" {
			*required = append(*required, name)
		}
	}
}
