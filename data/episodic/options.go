package episodic

import (
	"unicode/utf8"

	"github.com/inos-mesh/inos"
)

// Bounds.
const (
	RowsDefault    = 500_000 // events, and as many spans
	AgeDefault     = 30 * inos.Day
	RecordRowsMax  = 16_384 // events and spans of one Record; more are refused with CodeBadRequest
	EventsDefault  = 1000   // of one query that names no limit
	EventsMax      = 10_000 // of one query; a larger limit is lowered
	SpansMax       = 1000   // of one trace that are returned
	TextBytesMax   = 1024   // of each text of an event or span but the detail; longer ones are cut
	DetailBytesMax = 4096
	cacheKiB       = 4 << 10 // of the database's pages that the writer keeps in memory: history is written at its end and read now and then
	TrimRowsMax    = 4096    // rows after which Trim begins another transaction
)

// Options bound an episodic memory.
type Options struct {
	RowsMax int         // events kept, and as many spans; 0: RowsDefault
	AgeMax  inos.Micros // of what Trim keeps; 0: AgeDefault
}

func (o Options) withDefaults() Options {
	if o.RowsMax <= 0 {
		o.RowsMax = RowsDefault
	}
	if o.AgeMax <= 0 {
		o.AgeMax = AgeDefault
	}
	return o
}

func checkRecord(op string, events []inos.Event, spans []inos.Span) error {
	if n := len(events) + len(spans); n > RecordRowsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d events and spans, at most %d in one call", n, RecordRowsMax)
	}
	return nil
}

// cut shortens a text to a bound without splitting a character.
func cut(s string, bytesMax int) string {
	if len(s) <= bytesMax {
		return s
	}
	for bytesMax > 0 && !utf8.RuneStart(s[bytesMax]) {
		bytesMax--
	}
	return s[:bytesMax]
}

func cutEvent(e inos.Event) inos.Event {
	e.ID, e.Type, e.TraceID = cut(e.ID, TextBytesMax), cut(e.Type, TextBytesMax), cut(e.TraceID, TextBytesMax)
	e.Subject, e.Path, e.Detail = inos.Subject(cut(string(e.Subject), TextBytesMax)), cut(e.Path, TextBytesMax), cut(e.Detail, DetailBytesMax)
	return e
}

func cutSpan(s inos.Span) inos.Span {
	s.TraceID, s.Stage = cut(s.TraceID, TextBytesMax), cut(s.Stage, TextBytesMax)
	s.Bytes = min(s.Bytes, 1<<63-1)
	return s
}

func eventsLimit(limit int) int {
	switch {
	case limit <= 0:
		return EventsDefault
	case limit > EventsMax:
		return EventsMax
	}
	return limit
}

func closed(op string) error {
	return inos.Errorf(inos.CodeShuttingDown, op, "the episodic memory is closed")
}
