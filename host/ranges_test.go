package host

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// A node's HTTP interface answers random ranges of chunks that were compressed and of such that were not with the bytes
// that net/http's own file server sends; the api's own test asks it for more, over a double. INOS_RANGES raises how many.
func TestRangesOverHTTP(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	defer n.close()
	secret, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	body := append(text(1, 2*inos.ChunkBytesMax+777), noise(2, inos.ChunkBytesMax)...)
	n.mustPut("/a", body)
	count := 150
	if s := os.Getenv("INOS_RANGES"); s != "" {
		if count, err = strconv.Atoi(s); err != nil {
			t.Fatalf("INOS_RANGES=%s: %v", s, err)
		}
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range count {
		items := make([]string, 1+r.IntN(4))
		for i := range items {
			first := uint64(r.IntN(5))*inos.ChunkBytesMax + r.Uint64N(7)
			first -= min(first, 3)
			items[i] = fmt.Sprintf("%d-%d", first, first+r.Uint64N(20))
			if r.IntN(8) == 0 {
				items[i] = fmt.Sprintf("-%d", 1+r.Uint64N(inos.ChunkBytesMax))
			}
		}
		value := "bytes=" + strings.Join(items, ",")
		question := httptest.NewRequest("GET", "/", nil)
		question.Header.Set("Range", value)
		want := httptest.NewRecorder()
		want.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(want, question, "", time.Time{}, bytes.NewReader(body))
		status, media, got := readRange(t, n.URL()+"/v1/files/a", strings.TrimSpace(string(secret)), value)
		if same := strip(got, media); status != want.Code || status == http.StatusPartialContent && same != strip(want.Body.Bytes(), want.Header().Get("Content-Type")) {
			t.Fatalf("seed %d: Range %s: status %d, want %d; %d bytes, want %d", seed, value, status, want.Code, len(got), want.Body.Len())
		}
	}
}

// strip takes the boundary, which is random, out of a body of several parts.
func strip(body []byte, media string) string {
	if _, boundary, several := strings.Cut(media, "boundary="); several {
		return strings.ReplaceAll(string(body), boundary, "")
	}
	return string(body)
}

func readRange(t *testing.T, url, secret, value string) (status int, media string, body []byte) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	if value != "" {
		r.Header.Set("Range", value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatalf("Range %s: %v", value, err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), body
}
