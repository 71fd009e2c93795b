package episodic

// The schema and the statements, in standard SQL; what is SQLite's own is in data/internal/sqlite.

// migrations[i] brings version i to i+1. A released migration never changes.
var migrations = []string{`
CREATE TABLE history (
	id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
	next_seq BIGINT NOT NULL,
	events BIGINT NOT NULL CHECK (events >= 0),
	spans BIGINT NOT NULL CHECK (spans >= 0)
);
INSERT INTO history (id, next_seq, events, spans) VALUES (1, 1, 0, 0);
CREATE TABLE events (
	seq BIGINT NOT NULL PRIMARY KEY,
	event_id TEXT,
	event_type TEXT NOT NULL,
	at_us BIGINT NOT NULL,
	trace_id TEXT NOT NULL,
	subject TEXT NOT NULL,
	path TEXT NOT NULL,
	detail TEXT NOT NULL,
	duration_us BIGINT NOT NULL,
	UNIQUE (event_id, event_type)
);
CREATE INDEX events_by_trace ON events (trace_id, seq);
CREATE INDEX events_by_time ON events (at_us);
CREATE TABLE spans (
	trace_id TEXT NOT NULL,
	stage TEXT NOT NULL,
	calls BIGINT NOT NULL,
	first_start_us BIGINT NOT NULL,
	last_end_us BIGINT NOT NULL,
	total_us BIGINT NOT NULL,
	max_us BIGINT NOT NULL,
	failed BIGINT NOT NULL,
	stalled BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	PRIMARY KEY (trace_id, stage)
);
CREATE INDEX spans_by_time ON spans (last_end_us, trace_id, stage);
`}

// statement is a statement prepared once on the writer's connection.
type statement int

const (
	insertEvent statement = iota
	insertSpan
	updateSpan
	oldEvents
	firstEvents
	oldSpans
	firstSpans
	selectHistory
	updateHistory

	statements
)

const (
	eventColumns = `seq, event_id, event_type, at_us, trace_id, subject, path, detail, duration_us`
	spanColumns  = `trace_id, stage, calls, first_start_us, last_end_us, total_us, max_us, failed, stalled, bytes`
	selectSpans  = `SELECT ` + spanColumns + ` FROM spans WHERE trace_id = $1 ORDER BY first_start_us, stage LIMIT $2`
	selectEvents = `SELECT ` + eventColumns + ` FROM events`
)

var text = [statements]string{
	insertEvent: `INSERT INTO events (` + eventColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (event_id, event_type) DO NOTHING`,
	insertSpan:  `INSERT INTO spans (` + spanColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (trace_id, stage) DO NOTHING`,
	updateSpan: `UPDATE spans SET calls = $3, first_start_us = $4, last_end_us = $5, total_us = $6, max_us = $7, failed = $8, stalled = $9, bytes = $10
		WHERE trace_id = $1 AND stage = $2`,
	oldEvents:     `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at_us < $1 ORDER BY at_us LIMIT $2)`,
	firstEvents:   `DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT $1)`,
	oldSpans:      `DELETE FROM spans WHERE (trace_id, stage) IN (SELECT trace_id, stage FROM spans WHERE last_end_us < $1 ORDER BY last_end_us LIMIT $2)`,
	firstSpans:    `DELETE FROM spans WHERE (trace_id, stage) IN (SELECT trace_id, stage FROM spans ORDER BY last_end_us, trace_id, stage LIMIT $1)`,
	selectHistory: `SELECT next_seq, events, spans FROM history WHERE id = 1`,
	updateHistory: `UPDATE history SET next_seq = $1, events = $2, spans = $3 WHERE id = 1`,
}
