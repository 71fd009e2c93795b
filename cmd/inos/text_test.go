package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

func TestSizeText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10_230: "9.99 KiB", 10_240: "10.0 KiB", 102_400: "100 KiB", 1 << 20: "1.00 MiB",
		1<<20 - 1: "1.00 MiB", 1536 << 20: "1.50 GiB", 1 << 62: "4.00 EiB",
	} {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		groupText(0): "0", groupText(999): "999", groupText(1000): "1,000", groupText(1_234_567): "1,234,567",
		spanText(999): "999 µs", spanText(1500): "1.5 ms", spanText(2_340_000): "2.34 s", spanText(61_000_000): "1m1s",
		percentText(1, 0): "–", percentText(1, 3): "33.3 %", rateText(1<<20, time.Second): "1.00 MiB/s", rateText(1, 0): "– B/s",
		plural(1, "file"): "1 file", plural(2000, "file"): "2,000 files",
		printable("ümlaut /a b"): "ümlaut /a b", printable("\x1b[2J"): `\x1b[2J`, printable("a\nb"): `a\nb`, printable("\u009b1m"): `\u009b1m`,
		clip("abc", 2): "ab", clip("äöü", 3): "äöü",
		bar(0, 0, 0): strings.Repeat("=", traceBarWidth), bar(0, 1, 32): "=" + strings.Repeat(" ", 31),
		bar(32, 32, 32): strings.Repeat(" ", 31) + "=", bar(8, 24, 32): strings.Repeat(" ", 8) + strings.Repeat("=", 16) + strings.Repeat(" ", 8),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := strings.Join(wrap("n  ", "one two three-is-long four", 11), "|")
	if want := "n  one two|   three-is-long|   four"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRangeFlag(t *testing.T) {
	for s, want := range map[string]api.GetOptions{
		"": {}, "0-0": {Length: 1}, "5-9": {Offset: 5, Length: 5}, "5-": {Offset: 5}, "-5": {Offset: -5},
	} {
		got, err := parseRangeFlag(s)
		if err != nil || got.Offset != want.Offset || got.Length != want.Length {
			t.Errorf("%q: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{"-", "5", "9-5", "-0", "+1-2", "1-+2", "--5", "a-b", "1-2-3", "99999999999999999999-"} {
		if got, err := parseRangeFlag(s); err == nil {
			t.Errorf("%q gave %+v", s, got)
		}
	}
}

func TestByteCount(t *testing.T) {
	for s, want := range map[string]byteCount{"1": 1, "10G": 10e9, "10Gi": 10 << 30, "2Ti": 2 << 40, "3T": 3e12, "7K": 7000, "7Ki": 7168, "5M": 5e6, "8Mi": 8 << 20} {
		var b byteCount
		if err := b.Set(s); err != nil || b != want {
			t.Errorf("%q: %d %v, want %d", s, b, err, want)
		}
	}
	for _, s := range []string{"", "0", "0G", "-1", "+1", "10X", "10GB", "1.5G", "G", "Gi", " 1", "9999999999999999999", "99999999999Ti"} {
		var b byteCount
		if err := b.Set(s); err == nil {
			t.Errorf("%q gave %d", s, b)
		}
	}
}

// The token of this machine's node must not be shown to a node elsewhere.
func TestTokenStaysOnTheMachine(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INOS_TOKEN", "")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{data: dir}
	for address, want := range map[string]string{
		"http://127.0.0.1:7770": "secret", "http://[::1]:7770": "secret", "http://localhost": "secret",
		"http://192.0.2.1:7770": "", "https://example.com": "", "http://127.0.0.1.example.com": "", "http://localhost.example.com": "",
	} {
		if got, err := a.token(address, false); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", address, got, err, want)
		}
	}
	t.Setenv("INOS_TOKEN", "given")
	if got, _ := a.token("https://example.com", false); got != "given" {
		t.Errorf("a token that is given goes where it is told to, not %q", got)
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"nothing", nil, 0, ""},
		{"not found", inos.Errorf(inos.CodeFileNotFound, "files:get", "/a"), 3, "inos: files:get: /a\nhint: List"},
		{"denied", inos.Errorf(inos.CodePermissionDenied, "files:get", "/a"), 4, "inos: "},
		{"damage", found{inos.Errorf(inos.CodeChunkCorrupt, "files:verify", "1 bad")}, 6, "inos: files:verify"},
		{"said before", said{inos.Errorf(inos.CodeIO, "put", "x")}, 1, ""},
		{"nobody reads", outputError(readerLeft{syscall.EPIPE}), 1, ""},
		{"connection broke", inos.Errorf(inos.CodeIO, "call node", "the connection broke: %w", syscall.EPIPE), 1, "inos: call node: the connection broke: broken pipe"},
		{"interrupted", context.Canceled, 130, "inos: wait: interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{stderr: &out}
			if got := a.report(c.err); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			if got := out.String(); !strings.HasPrefix(got, c.text) || c.text == "" && got != "" {
				t.Errorf("%q", got)
			}
		})
	}
}

// A pipe whose reader has left makes the output fail in a way that is not told, also through a client that wraps it.
func TestReaderLeft(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	_ = r.Close()
	var out bytes.Buffer
	a := &app{stdout: output{w}, stderr: &out}
	if got := a.report(a.printf("x")); got != statusFailure || out.Len() > 0 {
		t.Errorf("status %d, %q", got, out.String())
	}
	_, err = a.stdout.Write([]byte("x"))
	if got := a.report(inos.Errorf(inos.CodeIO, "write what is got", "%w", err)); got != statusFailure || out.Len() > 0 {
		t.Errorf("status %d, %q", got, out.String())
	}
}

func TestMeterLine(t *testing.T) {
	began := time.Unix(0, 0)
	m := &meter{label: "put a", began: began, total: 100 << 20, done: 25 << 20}
	if got, want := m.line(began.Add(5*time.Second)), "put a   25 %  25.0 MiB of 100 MiB  5.00 MiB/s  ETA 15s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m.done, m.finish = m.total, "waiting for the disk"
	if got := m.line(began.Add(20 * time.Second)); !strings.HasSuffix(got, "waiting for the disk") || strings.Contains(got, "ETA") {
		t.Errorf("%q", got)
	}
	m.total = -1
	if got := m.line(began.Add(20 * time.Second)); strings.Contains(got, "%") {
		t.Errorf("%q", got)
	}
	var none *meter // on no terminal
	none.set(1)
	none.add(1, 1)
	none.close()
}
