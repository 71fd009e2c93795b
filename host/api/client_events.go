package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/inos-mesh/inos"
)

// EventsOptions select history.
type EventsOptions struct {
	Prefix string // of the event type
	Trace  string
	Last   int  // how many of the newest; with Follow 0 means none
	Follow bool // go on with each that is recorded, until ctx ends
}

// Events calls each for every event, oldest first, and ends at its first error. Following, it connects again when the
// connection breaks and misses nothing that the node still remembers; a node that refuses ends it.
func (c *Client) Events(ctx context.Context, o EventsOptions, each func(Event) error) error {
	lastSeq := ""
	for wait := followWaitMin; ; {
		count, err := c.eventsOnce(ctx, o, &lastSeq, each)
		if err == nil && !o.Follow {
			return nil
		}
		if err != nil && (!o.Follow || !reconnects(ctx, err) || lastSeq == "" && count == 0 && inos.CodeOf(err) == inos.CodeNodeUnreachable) {
			return err
		}
		if count > 0 {
			wait = followWaitMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return inos.Errorf(inos.CodeCanceled, "follow events", "%w", ctx.Err())
		}
		wait = min(2*wait, followWaitMax)
	}
}

// stopped is an error of the callback, which no new connection mends.
type stopped struct{ error }

func reconnects(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.As(err, new(stopped)) {
		return false
	}
	switch inos.CodeOf(err) {
	case inos.CodeIO, inos.CodeNodeUnreachable, inos.CodeShuttingDown, inos.CodeBusy:
		return true
	}
	return false
}

func (c *Client) eventsOnce(ctx context.Context, o EventsOptions, lastSeq *string, each func(Event) error) (count int, err error) {
	values := url.Values{"last": {strconv.Itoa(o.Last)}}
	if o.Prefix != "" {
		values.Set("prefix", o.Prefix)
	}
	if o.Trace != "" {
		values.Set("trace", o.Trace)
	}
	if o.Follow {
		values.Set("follow", "1")
	}
	r, err := c.newRequest(ctx, "GET", "/v1/events?"+values.Encode(), nil)
	if err != nil {
		return 0, err
	}
	if *lastSeq != "" {
		r.Header.Set("Last-Event-ID", *lastSeq)
	}
	response, err := c.do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := newLines(response.Body)
	id := ""
	for lines.Scan() {
		line := lines.Bytes()
		if rest, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			id = string(rest)
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return count, inos.Errorf(inos.CodeBadFormat, "read event", "%w", err)
		}
		if err := each(e); err != nil {
			return count, stopped{err}
		}
		*lastSeq = id
		count++
	}
	if err := lines.Err(); err != nil {
		return count, c.connectionError(ctx, err)
	}
	return count, nil
}

// Unwrap returns the callback's error.
func (s stopped) Unwrap() error { return s.error }

func newLines(r io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	return lines
}
