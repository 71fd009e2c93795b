package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/inos-mesh/inos"
)

func TestSecretOfStandardInput(t *testing.T) {
	long := strings.Repeat("x", secretBytesMax-1)
	for name, test := range map[string]struct {
		argument string
		stdin    io.Reader
		want     string
		code     inos.Code
	}{
		"as it is given":           {"inos1abc", iotest.ErrReader(errors.New("nobody reads it")), "inos1abc", 0},
		"a line":                   {"-", strings.NewReader("inos1abc\nmore\n"), "inos1abc", 0},
		"of another system":        {"-", strings.NewReader(" inos1abc\r\n"), "inos1abc", 0},
		"without an end":           {"-", strings.NewReader("inos1abc"), "inos1abc", 0},
		"byte by byte":             {"-", iotest.OneByteReader(strings.NewReader("inos1abc\n")), "inos1abc", 0},
		"as long as it may be":     {"-", strings.NewReader(long + "\n"), long, 0},
		"longer":                   {"-", strings.NewReader(long + "xx\n"), "", inos.CodeBadRequest},
		"nothing":                  {"-", strings.NewReader(""), "", inos.CodeBadRequest},
		"an empty line":            {"-", strings.NewReader("\ninos1abc\n"), "", inos.CodeBadRequest},
		"what cannot be read":      {"-", iotest.ErrReader(errors.New("gone")), "", inos.CodeIO},
		"what breaks off":          {"-", io.MultiReader(strings.NewReader("inos1"), iotest.ErrReader(errors.New("gone"))), "", inos.CodeIO},
		"endless without any line": {"-", iotest.DataErrReader(endless{}), "", inos.CodeBadRequest},
	} {
		a := &app{stdin: test.stdin}
		got, err := a.secret("the invite", test.argument)
		if got != test.want || inos.CodeOf(err) != test.code {
			t.Errorf("%s: got %.20q and %v, want %.20q and %d", name, got, err, test.want, test.code)
		}
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
