package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// redrawInterval is the least time between two drawings of a progress line.
const redrawInterval = 100 * time.Millisecond

// meterLabelMin is how much of what is drawn a line has room for, however narrow it is.
const meterLabelMin = 8

// terminalOf returns the width of the terminal behind w; ok is false when it is none.
func terminalOf(w io.Writer) (width int, ok bool) {
	width, _, ok = terminalSize(w)
	return width, ok
}

// terminalSize returns the columns and rows of the terminal behind w; ok is false when it is none.
func terminalSize(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	if err != nil || height < 5 {
		height = 24
	}
	return width, height, true
}

// meter draws one line of progress on a terminal: what, share, bytes, rate, time left. On anything else, and for
// --quiet and --json, it draws nothing. A nil meter does nothing.
type meter struct {
	out    io.Writer
	label  string
	width  int
	finish string // said when all bytes are sent and the node still works

	mu     sync.Mutex // guards the fields below, and the line
	began  time.Time
	drawn  time.Time
	done   int64
	total  int64 // -1: not known
	files  uint64
	extra  string
	closed bool
}

func (a *app) meter(label string, total int64) *meter {
	width, ok := terminalOf(a.stderr)
	if !ok || a.quiet || a.json {
		return nil
	}
	m := &meter{out: a.stderr, label: label, width: width, began: time.Now(), total: total}
	a.drawn.Store(m)
	return m
}

// set moves the progress to done bytes.
func (m *meter) set(done int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = done
	m.draw(false)
}

// add moves the progress by bytes and files.
func (m *meter) add(bytes int64, files uint64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += bytes
	m.files += files
	m.draw(false)
}

// know sets the total and a remark.
func (m *meter) know(total int64, extra string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total, m.extra = total, extra
	m.draw(false)
}

// sum returns the total that was told last; 0 for a meter that draws nothing.
func (m *meter) sum() int64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// print writes a line above the progress.
func (m *meter) print(w io.Writer, line string) {
	if m == nil {
		_, _ = io.WriteString(w, line)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erase()
	_, _ = io.WriteString(w, line)
	if !m.closed {
		m.draw(true)
	}
}

// close removes the line.
func (m *meter) close() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.erase()
}

func (m *meter) erase() {
	if !m.drawn.IsZero() {
		_, _ = io.WriteString(m.out, "\r\x1b[K")
	}
}

func (m *meter) draw(force bool) {
	now := time.Now()
	if m.closed || !force && now.Sub(m.drawn) < redrawInterval {
		return
	}
	m.drawn = now
	_, _ = io.WriteString(m.out, "\r\x1b[K"+clip(m.line(now), m.width-1))
}

func (m *meter) line(now time.Time) string {
	elapsed := now.Sub(m.began)
	label := m.label
	if most := max(m.width/2, meterLabelMin); m.width > 0 && len([]rune(label)) > most { // a name's end tells more than its beginning
		runes := []rune(label)
		label = "…" + string(runes[len(runes)-most+1:])
	}
	parts := []string{label}
	if m.files > 0 {
		parts = append(parts, plural(m.files, "file"))
	}
	if m.total > 0 {
		parts = append(parts, fmt.Sprintf("%3d %%", 100*m.done/m.total), sizeText(m.done)+" of "+sizeText(m.total))
	} else {
		parts = append(parts, sizeText(m.done))
	}
	parts = append(parts, rateText(m.done, elapsed))
	if m.total > m.done && m.done > 0 && elapsed > time.Second {
		left := time.Duration(float64(elapsed) * float64(m.total-m.done) / float64(m.done))
		parts = append(parts, "ETA "+left.Round(time.Second).String())
	}
	if m.finish != "" && m.done == m.total {
		parts = append(parts, m.finish)
	}
	if m.extra != "" {
		parts = append(parts, m.extra)
	}
	return strings.Join(parts, "  ")
}

// clip shortens a line to a width in characters.
func clip(s string, width int) string {
	count := 0
	for i := range s {
		if count == width {
			return s[:i]
		}
		count++
	}
	return s
}
