package episodic

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Events implements inos.Episodic.
func (s *Store) Events(ctx context.Context, f inos.EventFilter) (events []inos.Event, err error) {
	const op = "episodic:events"
	query, args := eventsQuery(f)
	rows, err := s.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var e inos.Event
		var id sql.NullString
		if err := rows.Scan(&e.Seq, &id, &e.Type, &e.At, &e.TraceID, &e.Subject, &e.Path, &e.Detail, &e.Duration); err != nil {
			return nil, s.wrap(op, err)
		}
		e.ID = id.String
		events = append(events, e)
	}
	if f.Last {
		slices.Reverse(events)
	}
	return events, s.wrap(op, rows.Err())
}

// eventsQuery writes the conditions of a filter; every value is a parameter.
func eventsQuery(f inos.EventFilter) (query string, args []any) {
	var conditions []string
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf("%s $%d", condition, len(args)))
	}
	if f.TypePrefix != "" {
		where("event_type >=", f.TypePrefix)
		if end, ok := sqlite.PrefixEnd(f.TypePrefix); ok {
			where("event_type <", end)
		}
	}
	if f.TraceID != "" {
		where("trace_id =", f.TraceID)
	}
	if f.Subject != "" {
		where("subject =", string(f.Subject))
	}
	if f.AfterSeq > 0 {
		where("seq >", int64(min(f.AfterSeq, math.MaxInt64)))
	}
	if f.After != 0 {
		where("at_us >", int64(f.After))
	}
	query = selectEvents
	if len(conditions) > 0 {
		query += " WHERE " + strings.Join(conditions, " AND ")
	}
	order := "ASC"
	if f.Last {
		order = "DESC"
	}
	args = append(args, eventsLimit(f.Limit))
	return query + fmt.Sprintf(" ORDER BY seq %s LIMIT $%d", order, len(args)), args
}

// Spans implements inos.Episodic.
func (s *Store) Spans(ctx context.Context, traceID string) (spans []inos.Span, err error) {
	const op = "episodic:spans"
	rows, err := s.db.Reader.QueryContext(ctx, selectSpans, traceID, SpansMax)
	if err != nil {
		return nil, s.wrap(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p inos.Span
		if err := rows.Scan(&p.TraceID, &p.Stage, &p.Calls, &p.FirstStart, &p.LastEnd, &p.Total, &p.Max, &p.Failed, &p.Stalled, &p.Bytes); err != nil {
			return nil, s.wrap(op, err)
		}
		spans = append(spans, p)
	}
	return spans, s.wrap(op, rows.Err())
}

// wrap gives an error of a query its code.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if s.closed.Load() {
		return closed(op)
	}
	return sqlite.Wrap(op, s.db.Path, err)
}
