package kernel

import (
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// origin is the request that a unit of work serves: who asked, under which trace, and what is to be answered.
type origin struct {
	work      uint64
	id        string
	eventType string
	subject   inos.Subject
	owner     inos.Subject // whose namespace it is about
	token     string
	path      inos.Path
	trace     string
	started   inos.Micros
	deadline  inos.Micros // 0: none
	turn      uint64      // of its last module call, for fair sharing of the workers
	begun     bool        // taken by a unit, and counted as under way
	answered  bool
	meta      *eventpb.Metadata // passed on with every effect; holds no token
}

func (o *origin) code(c *coder) {
	num(c, &o.work)
	text(c, &o.id)
	text(c, &o.eventType)
	if _, err := event.ParseType(o.eventType); c.reading && c.err == nil && err != nil {
		c.fail("%v", err)
	}
	text(c, &o.subject)
	text(c, &o.owner)
	text(c, &o.token)
	text(c, &o.path)
	text(c, &o.trace)
	num(c, &o.started)
	num(c, &o.deadline)
	num(c, &o.turn)
	c.bool(&o.begun)
	c.bool(&o.answered)
	metadata(c, &o.meta)
}

// metadata codes what effects carry, or nil.
func metadata(c *coder, m **eventpb.Metadata) {
	present := *m != nil
	c.bool(&present)
	if !present {
		return
	}
	if c.reading {
		*m = &eventpb.Metadata{}
	}
	text(c, &(*m).UserId)
	text(c, &(*m).DeviceId)
	table(c, &(*m).TraceContext, traceContextMax, text[string], text[string])
}

// key identifies a request among those under way.
func (o *origin) key() string { return string(o.subject) + "\x00" + o.id + "\x00" + o.eventType }

// envelope returns an envelope like the request, for the helpers that answer one.
func (o *origin) envelope() *eventpb.Envelope {
	return &eventpb.Envelope{Id: o.id, EventType: o.eventType, Metadata: o.meta}
}

// originOf takes from an admitted request what its work needs.
func (k *Kernel) originOf(e *eventpb.Envelope, subject inos.Subject, device, token string) origin {
	o := origin{
		work: k.work(), id: e.Id, eventType: e.EventType, subject: subject, owner: subject, token: token, started: k.now,
		meta: &eventpb.Metadata{UserId: string(subject), DeviceId: device},
	}
	if e.Metadata != nil {
		o.meta.TraceContext = e.Metadata.TraceContext
	}
	if o.trace = event.TraceID(e); o.trace == "" {
		o.trace = strings.ReplaceAll(o.id, "-", "")
	}
	o.deadline, _ = event.Deadline(e)
	return o
}

// progress tells the client how far its request is.
func (k *Kernel) progress(o *origin, m event.Message) {
	if !o.answered {
		k.emit(event.Reply(o.envelope(), event.StateProcessing, k.now, event.Payload(m)))
	}
}

// complete answers a request; detail is its line of history.
func (k *Kernel) complete(o *origin, m event.Message, detail string) {
	if o.answered {
		return
	}
	k.finish(o)
	k.emit(event.Reply(o.envelope(), event.StateCompleted, k.now, event.Payload(m)))
	k.watcher.ended(o, event.StateCompleted, detail, nil)
}

// fail answers a request with an error.
func (k *Kernel) fail(o *origin, err *inos.Error) {
	if o.answered {
		return
	}
	k.finish(o)
	k.emit(event.Failed(o.envelope(), k.now, err))
	k.watcher.ended(o, event.StateFailed, err.Code.Name()+": "+err.Error(), err)
}

func (k *Kernel) finish(o *origin) {
	o.answered = true
	delete(k.open, o.key())
}

// because returns err with the place it happened in before its message; code and hint stay.
func because(op string, err *inos.Error, where string) *inos.Error {
	message := err.Message
	if err.Op != "" && err.Op != op {
		message = err.Op + ": " + message
	}
	if where != "" {
		message = where + ": " + message
	}
	return &inos.Error{Code: err.Code, Op: op, Message: message, Hint: err.Hint, RetryAfter: err.RetryAfter}
}

// busy returns the error of a full queue.
func busy(op, what string, limit int) *inos.Error {
	err := inos.Errorf(inos.CodeBusy, op, "%d %s wait already", limit, what)
	err.RetryAfter = busyRetryAfter
	return err
}

// plural counts things for a person.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}

// requestGone cancels a request whose client went away: nobody waits for its answer, and its work would keep places from others.
func (k *Kernel) requestGone(e *eventpb.Envelope) {
	var x eventpb.RequestGone
	if event.Open(e, &x) != nil {
		return
	}
	k.governance.gone(x.Id)
	k.puts.gone(x.Id)
	k.gets.gone(x.Id)
	k.verifies.gone(x.Id)
}
