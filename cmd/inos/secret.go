package main

import (
	"bufio"
	"io"
	"strings"

	"github.com/inos-mesh/inos"
)

// secretBytesMax bounds a line of standard input that is an invite or a code.
const secretBytesMax = 64 << 10

// secret returns an argument that others must not see: "-" stands for the first line of standard input. What is in the command line every user of the
// machine can read for as long as the command runs, and the shell's history keeps it.
func (a *app) secret(what, argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	line, err := bufio.NewReader(io.LimitReader(a.stdin, secretBytesMax+1)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", inos.Errorf(inos.CodeIO, "read standard input", "%s: %w", what, err)
	}
	text := strings.TrimSpace(line)
	switch {
	case len(line) > secretBytesMax:
		return "", inos.Errorf(inos.CodeBadRequest, "read standard input", "%s is longer than %d bytes", what, secretBytesMax)
	case text == "":
		return "", &inos.Error{
			Code: inos.CodeBadRequest, Op: "read standard input", Message: what + " is missing: the first line is empty",
			Hint: "Hand it over as the first line, such as with < FILE.",
		}
	}
	return text, nil
}
