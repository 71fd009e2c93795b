package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// sizeText returns bytes for a person, in binary units with three digits.
func sizeText[T int64 | uint64](n T) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f /= 1024; f < 999.5 {
			break
		}
	}
	digits := 2
	if f >= 99.95 {
		digits = 0
	} else if f >= 9.995 {
		digits = 1
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + " " + unit
}

// rateText returns bytes per time.
func rateText(n int64, d time.Duration) string {
	if d <= 0 {
		return "– B/s"
	}
	return sizeText(int64(float64(n)/d.Seconds())) + "/s"
}

// percentText returns part of whole; "–" when there is no whole.
func percentText(part, whole uint64) string {
	if whole == 0 {
		return "–"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// spanText returns a duration in microseconds for a person.
func spanText(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d µs", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.1f ms", float64(us)/1e3)
	case us < 60_000_000:
		return fmt.Sprintf("%.2f s", float64(us)/1e6)
	}
	return (time.Duration(us) * time.Microsecond).Round(time.Second).String()
}

// groupText returns a count with its digits in groups of three.
func groupText(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// timeText returns a time in microseconds as the local date and time.
func timeText(us int64) string {
	return time.UnixMicro(us).Local().Format("2006-01-02 15:04:05")
}

// printable makes a string from outside harmless on a terminal: control characters, what is not UTF-8, and what breaks a line or turns its direction
// around, so that a name reads as another, are escaped.
func printable(s string) string {
	if !strings.ContainsFunc(s, harmful) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch _, size := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case harmful(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func harmful(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == utf8.RuneError
}

// printableLines is printable, and keeps the ends of lines and tabs.
func printableLines(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexAny(s, "\n\t")
		if i < 0 {
			b.WriteString(printable(s))
			return b.String()
		}
		b.WriteString(printable(s[:i]))
		b.WriteByte(s[i])
		s = s[i+1:]
	}
}

// shellWord returns a word as a shell reads it back.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:@,=", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}

// plural returns "1 file" or "2 files"; a noun with another plural than with an s is given with it: "1 copy" or "2 copies".
func plural(n uint64, noun string, nouns ...string) string {
	if n == 1 {
		return "1 " + noun
	}
	if len(nouns) > 0 {
		return groupText(n) + " " + nouns[0]
	}
	return groupText(n) + " " + noun + "s"
}

// wrap breaks a text at spaces into lines of at most width characters; the first begins with label, the others are
// indented as far. A longer word has a line of its own.
func wrap(label, text string, width int) (lines []string) {
	indent := strings.Repeat(" ", len(label))
	line, begun := label, false
	for _, word := range strings.Fields(text) {
		if begun && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line, begun = indent, false
		}
		if begun {
			line += " "
		}
		line, begun = line+word, true
	}
	return append(lines, line)
}

// fold breaks a text at spaces to fit the terminal, the lines behind the first indented as far as the label. Where
// nobody's terminal bounds it, it is one line.
func (a *app) fold(label, text string) []string {
	if a.width == 0 {
		return []string{label + text}
	}
	width := a.width - 1
	indent := strings.Repeat(" ", len(label))
	var lines []string
	line, begun := label, false
	for _, word := range strings.Split(text, " ") {
		if begun && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line, begun = indent, word != "" // the space that was broken at is not kept
			line += word
			continue
		}
		if begun {
			line += " "
		}
		line, begun = line+word, true
	}
	return append(lines, line)
}
