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
		printable("\xff\"\x7f"): `\xff"\x7f`, printable("a\u202etxt.exe"): `a\u202etxt.exe`, printable("\u2028\u2066"): `\u2028\u2066`, printable("می\u200cشود"): "می\u200cشود",
		printableLines("a\n\tb\x1b[m\n"): "a\n\tb\\x1b[m\n", printableLines(""): "",
		shellWord("/a-b/c.d"): "/a-b/c.d", shellWord("/a b"): "'/a b'", shellWord("it's"): `'it'\''s'`, shellWord(""): "''",
		clip("abc", 2): "ab", clip("äöü", 3): "äöü",
		bar(0, 0, 0, traceBarWidth): strings.Repeat("=", traceBarWidth), bar(0, 1, 32, traceBarWidth): "=" + strings.Repeat(" ", 31),
		bar(32, 32, 32, traceBarWidth): strings.Repeat(" ", 31) + "=", bar(8, 24, 32, traceBarWidth): strings.Repeat(" ", 8) + strings.Repeat("=", 16) + strings.Repeat(" ", 8),
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

// What a person reads on a terminal of 80 columns is broken at spaces, if at all.
func TestEightyColumns(t *testing.T) {
	id := strings.Repeat("a1", 26)
	s := &api.Status{
		NodeID: id, Zone: "attic", Host: "a-host-with-a-long-name.example.com", Version: "v0.1.0-123-g0123456789ab-dirty",
		Notices: []string{strings.Repeat("notice ", 30)}, Puts: 1, Gets: 2,
		Workers: []api.Worker{{State: "ready", Restarts: 1, Reason: strings.Repeat("it ended ", 20)}},
		Stages:  []api.Stage{{Stage: "storage:describe_chunk", Calls: 123_456, P50Us: 123_400, P95Us: 123_400, P99Us: 999_400, InFlight: 64}},
	}
	e := api.Event{Type: "files:put:v1:completed", DurationUs: 1, Path: "/a/path/of a file.bin", Detail: strings.Repeat("detail ", 12), TraceID: strings.Repeat("a", 32)}
	tr := &api.Trace{Events: []api.Event{e}, Spans: []api.Span{{Stage: "storage:describe_chunk", Calls: 12_345, FirstStartUs: 10, LastEndUs: 999_400_000, Failed: 1, Stalled: 2}}}
	var out bytes.Buffer
	a := &app{stdout: &out, width: 80}
	for _, err := range []error{a.printStatus(s, true), a.printTrace(tr)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if len([]rune(line)) >= 80 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	for _, want := range []string{"node      …a1a1a1a1 (not ready)", "1 put, 2 gets", "1 restart,", "1 failure"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	a.width = 0
	if err := a.printEvent(e); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v: elsewhere an event is one line: %s", err, out.String())
	}
}

// An event of another day says which.
func TestEventDate(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	now := time.Now()
	before := now.AddDate(-1, 0, 0) // the same day of another year
	if err := a.printEvent(api.Event{Type: "x", AtUs: before.UnixMicro()}); err != nil || !strings.HasPrefix(out.String(), before.Format("2006-01-02 15:04:05.")) {
		t.Errorf("%q (%v)", out.String(), err)
	}
}

func TestNotReadyText(t *testing.T) {
	for want, notices := range map[string][]string{
		"no worker is ready":          {"degraded: one node"},
		"recovering: requests wait":   {"degraded: one node", "recovering: requests wait"},
		"draining: a; the disk: gone": {"draining: a", "the disk: gone"},
	} {
		if got := notReadyText(&api.Status{Notices: notices}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	a := &app{ctx: ctx, stderr: &out}
	if got := a.report(inos.Errorf(inos.CodeCanceled, "call node", "%w", ctx.Err())); got != statusInterrupted || out.String() != "inos: interrupted\n" {
		t.Errorf("status %d, %q", got, out.String())
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
	for s, want := range map[string]byteCount{"1": 1, "10G": 10e9, "10Gi": 10 << 30, "2Ti": 2 << 40, "3T": 3e12, "7K": 7000, "7Ki": 7168, "5M": 5e6, "8Mi": 8 << 20, "1152921504606846976": 1 << 60, "1048576Ti": 1 << 60} {
		var b byteCount
		if err := b.Set(s); err != nil || b != want {
			t.Errorf("%q: %d %v, want %d", s, b, err, want)
		}
	}
	for _, s := range []string{"", "0", "0G", "-1", "+1", "10X", "10GB", "1.5G", "G", "Gi", " 1", "9999999999999999999", "99999999999Ti", "1152921504606846977", "1048577Ti", "1152922T"} {
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
		{"interrupted", context.Canceled, 130, "inos: interrupted\n"},
		{"a name with orders to the terminal", &inos.Error{Code: inos.CodeBadRequest, Op: "a", Message: "\x1b[31m\nhint: no", Hint: "\x1b[0m"}, 1, "inos: a: \\x1b[31m\\nhint: no\nhint: \\x1b[0m\n"},
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
	m.label, m.width = "put "+strings.Repeat("long/", 30)+"name", 40
	if got := m.line(began.Add(20 * time.Second)); !strings.Contains(got, "…long/long/long/name  100 %  100 MiB") {
		t.Errorf("the name leaves no room for the rest: %q", clip(got, 39))
	}
	m.label, m.width = "put a", 0
	m.total = -1
	if got := m.line(began.Add(20 * time.Second)); strings.Contains(got, "%") {
		t.Errorf("%q", got)
	}
	var none *meter // on no terminal
	none.set(1)
	none.add(1, 1)
	none.close()
}

// A signal that comes twice at once is one; a later one is the second.
func TestAwaitSecond(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signals <- os.Interrupt
	second := make(chan struct{})
	go func() {
		awaitSecond(signals)
		close(second)
	}()
	for {
		select {
		case <-second:
			return
		case signals <- os.Interrupt: // each that is taken early is passed over
		}
	}
}

func TestOnLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:7770": true, "http://127.9.9.9:1": true, "http://[::1]:7770": true, "http://localhost:7770": true,
		"http://[::]:7770": false, "http://0.0.0.0:7770": false, "http://192.0.2.1:7770": false, "http://nas:7770": false, "": false,
	} {
		if got := onLoopback(address); got != want {
			t.Errorf("%q is on the loopback interface: %v, want %v", address, got, want)
		}
	}
}
