package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	stdhash "hash"
	"io"
	"net/http"
	"strings"

	"github.com/inos-mesh/inos"
)

// digestNames are the fields that say what a body hashes to (RFC 9530). A put takes only whole bodies without a coding,
// of which both say the same.
var digestNames = []string{"Content-Digest", "Repr-Digest"}

// digestAlgorithms are those of the registry that are neither broken nor reserved. BLAKE3 is not in it: it is what
// Inos-File-Id is for.
var digestAlgorithms = map[string]func() stdhash.Hash{"sha-256": sha256.New, "sha-512": sha512.New}

// digests are the sums that a client gave for a body, by algorithm.
type digests map[string][]byte

// parseDigests reads the digest fields of a header. Algorithms that are unknown are ignored, as RFC 9530 lets a server;
// what cannot be read is refused, because a client that gives a sum wants it to be compared.
func parseDigests(header http.Header) (digests, error) {
	out := digests{}
	for _, name := range digestNames {
		for _, value := range header.Values(name) {
			for item := range strings.SplitSeq(value, ",") {
				algorithm, text, _ := strings.Cut(strings.Trim(item, " \t"), "=")
				sized, known := digestAlgorithms[algorithm]
				if !known {
					continue
				}
				sum, err := parseByteSequence(text)
				if err != nil || len(sum) != sized().Size() {
					return nil, inos.Errorf(inos.CodeBadRequest, "parse "+name, "%.120q is not %s=: and %d bytes as base64 and a colon", item, algorithm, sized().Size())
				}
				if other, twice := out[algorithm]; twice && !bytes.Equal(other, sum) {
					return nil, inos.Errorf(inos.CodeBadRequest, "parse "+name, "two sums of %s for one body", algorithm)
				}
				out[algorithm] = sum
			}
		}
	}
	return out, nil
}

// parseByteSequence reads a byte sequence (RFC 9651, 3.3.5); parameters behind it say nothing here.
func parseByteSequence(s string) ([]byte, error) {
	text, found := strings.CutPrefix(s, ":")
	text, parameters, closed := strings.Cut(text, ":")
	if !found || !closed || parameters != "" && parameters[0] != ';' {
		return nil, errors.New("no byte sequence")
	}
	return base64.StdEncoding.DecodeString(text)
}

// digestReader compares a body with its sums while it is read. A body that has others ends with CodeBodyMismatch in
// place of io.EOF, so that nothing is stored.
type digestReader struct {
	r       io.Reader
	want    digests
	have    map[string]stdhash.Hash
	trailer http.Header // known when the body has ended
}

// checkDigests returns a reader that holds a body to what its request says of it, in the header or in a trailer.
func checkDigests(r *http.Request, body io.Reader) (io.Reader, error) {
	want, err := parseDigests(r.Header)
	if err != nil {
		return nil, err
	}
	d := &digestReader{r: body, want: want, have: map[string]stdhash.Hash{}}
	announced := false
	for _, name := range digestNames {
		if _, ok := r.Trailer[name]; ok {
			announced = true
			d.trailer = r.Trailer
		}
	}
	for algorithm, start := range digestAlgorithms {
		if _, given := want[algorithm]; given || announced {
			d.have[algorithm] = start()
		}
	}
	if len(d.have) == 0 {
		return body, nil
	}
	return d, nil
}

// Read implements io.Reader.
func (d *digestReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	for _, h := range d.have {
		h.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		if bad := d.compare(); bad != nil {
			return n, bad
		}
	}
	return n, err
}

func (d *digestReader) compare() error {
	late, err := parseDigests(d.trailer)
	if err != nil {
		return err
	}
	for _, want := range []digests{d.want, late} {
		for algorithm, sum := range want {
			if have := d.have[algorithm].Sum(nil); !bytes.Equal(have, sum) {
				return inos.Errorf(inos.CodeBodyMismatch, "read body", "the body's %s is :%s:, the request says :%s:", algorithm,
					base64.StdEncoding.EncodeToString(have), base64.StdEncoding.EncodeToString(sum))
			}
		}
	}
	return nil
}
