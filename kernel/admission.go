package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of governance.
const (
	opReadAccess = iota + 1 // semantic:read_access; the work is of the lookup
	opReplaced              // semantic:lookup_file, of what a put would replace
)

// petition is a request that waits until it is known what its sender may do.
type petition struct {
	env      *eventpb.Envelope
	origin   origin
	aim      aim
	need     need
	counted  bool // against the rate
	again    bool // its owner's quota was read anew for it
	compared bool // with what it replaces
	replaced uint64
	replaces bool
}

func (x *petition) code(c *coder) {
	var b []byte
	if !c.reading {
		b = event.Encode(nil, x.env)
	}
	c.bytes(&b)
	if c.reading && c.err == nil {
		var err error
		if x.env, err = event.Decode(b); err != nil {
			c.fail("a request that waits does not decode: %v", err)
			x.env = &eventpb.Envelope{}
		}
	}
	x.origin.code(c)
	text(c, &x.aim.owner)
	text(c, &x.aim.path)
	num(c, &x.aim.length)
	c.bool(&x.aim.file)
	text(c, &x.aim.resource)
	text(c, &x.need.service)
	text(c, &x.need.verb)
	text(c, &x.need.resource)
	c.bool(&x.need.byID)
	c.bool(&x.counted)
	c.bool(&x.again)
	c.bool(&x.compared)
	num(c, &x.replaced)
	c.bool(&x.replaces)
}

// enter begins the admission of a request about files: of what is known already it is decided at once.
func (g *governance) enter(x *petition) {
	held := uint64(len(x.env.Payload)) + petitionBytes
	if len(g.petitions) >= petitionsMax || g.held+held > petitionBytesMax {
		g.drop(x, busy(event.Stage(x.env.EventType), "requests for what their senders may do", len(g.petitions)))
		return
	}
	g.petitions[x.origin.work] = x
	g.held += held
	g.proceed(x)
}

// proceed goes on with a petition as far as what is known allows.
func (g *governance) proceed(x *petition) {
	o := &x.origin
	var own *access
	if hasNamespace(o.subject) {
		if own = g.access.fresh(o.subject, o.subject); own == nil {
			g.lookUp(x, o.subject, o.subject)
			return
		}
	}
	if !x.counted {
		x.counted = true
		if err := g.rates.take(o.subject, g.rateOf(o.subject), event.Stage(o.eventType)); err != nil {
			g.drop(x, err)
			return
		}
	}
	row := &ownerRow{}
	if own != nil {
		row = &own.row
	}
	if o.owner != o.subject {
		let := g.access.fresh(o.owner, o.subject)
		if let == nil {
			g.lookUp(x, o.owner, o.subject)
			return
		}
		if !g.granted(let, x) {
			g.drop(x, g.denied(o, x.need.verb, x.aim.path))
			return
		}
		row = &let.row
	}
	if (x.env.EventType == event.FilesPut || x.env.EventType == event.UploadsOpen) && !g.fits(x, row) {
		return
	}
	g.pass(x, row)
}

// granted says that grants let a subject do what it asks for in somebody else's namespace.
func (g *governance) granted(a *access, x *petition) bool {
	verb := uint8(mayReadFiles)
	if x.need.verb == "write" {
		verb = mayWriteFiles
	}
	if x.need.byID {
		return a.somewhere(verb, g.k.now)
	}
	ok, _ := a.allows(folder(x.aim.path), verb, g.k.now)
	return ok
}

// folder returns a list's prefix as a path: without the slash at its end.
func folder(prefix inos.Path) inos.Path {
	if n := len(prefix); n > 1 && prefix[n-1] == '/' {
		return prefix[:n-1]
	}
	return prefix
}

// denied is the refusal of what no grant allows. It says nothing of what there is: it is the same whether there is such an owner or such a file.
func (g *governance) denied(o *origin, verb string, path inos.Path) *inos.Error {
	op := event.Stage(o.eventType)
	if _, link := linkOf(o.subject); link {
		return inos.Errorf(inos.CodePermissionDenied, op, "the link does not let anybody %s this: it has expired, was taken back, or is for something else", verb)
	}
	return inos.Errorf(inos.CodePermissionDenied, op, "no grant lets %.80s %s %.200s", o.subject, verb, placeOf(o.owner, path, o.subject))
}

// lookUp has a petition wait for what a subject may do in an owner's namespace.
func (g *governance) lookUp(x *petition, owner, subject inos.Subject) {
	if !g.access.ask(owner, subject, x.origin.work) {
		g.drop(x, busy(event.Stage(x.env.EventType), "questions about what subjects may do", accessesMax))
	}
}

// answer takes what was looked up.
func (g *governance) answer(a *answer) {
	if a.op == opReplaced {
		if x := g.petitions[a.work]; x != nil {
			g.replacing(x, a)
		}
		return
	}
	key := g.lookups[a.work]
	delete(g.lookups, a.work)
	waiting, err := g.access.learned(key, a)
	if a.err == nil && len(waiting) == 0 && err == nil && g.access.table[key].asking {
		return
	}
	slices.Sort(waiting)
	for _, work := range waiting {
		x := g.petitions[work]
		switch {
		case x == nil: // answered meanwhile
		case err != nil:
			g.drop(x, because(event.Stage(x.env.EventType), err, ""))
		default:
			g.proceed(x)
		}
	}
}

// gone ends what has waited for longer than its client.
func (g *governance) gone(id string) {
	for _, work := range sortedKeys(g.petitions) {
		if x := g.petitions[work]; x.origin.id == id {
			g.drop(x, inos.Errorf(inos.CodeCanceled, event.Stage(x.env.EventType), "the client went away before the request was admitted"))
		}
	}
}

// act ends what has waited too long.
func (g *governance) act() {
	for _, work := range sortedKeys(g.petitions) {
		if x := g.petitions[work]; x.origin.deadline != 0 && x.origin.deadline <= g.k.now {
			g.drop(x, inos.Errorf(inos.CodeDeadlineExceeded, event.Stage(x.env.EventType), "the request's deadline passed before it was admitted"))
		}
	}
}

func (g *governance) wake() (at inos.Micros) {
	for _, work := range sortedKeys(g.petitions) {
		at = earlier(at, g.petitions[work].origin.deadline)
	}
	return at
}

// idle says that no request waits to be admitted.
func (g *governance) idle() bool { return len(g.petitions) == 0 }

// leave takes a petition out of the table.
func (g *governance) leave(x *petition) {
	if _, ok := g.petitions[x.origin.work]; ok {
		delete(g.petitions, x.origin.work)
		g.held -= uint64(len(x.env.Payload)) + petitionBytes
	}
}

// drop refuses a request that waited.
func (g *governance) drop(x *petition, err *inos.Error) {
	g.leave(x)
	delete(g.k.open, x.origin.key())
	g.refuse(x.env, &session{subject: x.origin.subject}, err)
}

// pass hands an admitted request to the thread that hears it.
func (g *governance) pass(x *petition, row *ownerRow) {
	g.leave(x)
	in := &input{env: x.env, stage: event.Stage(x.env.EventType), origin: x.origin, quota: row.quota()}
	id := g.k.routes[x.env.EventType]
	g.k.counters[id].envelopes++
	g.k.threads[id].hear(in)
}

// withdraw refuses every request of a session that has not begun. What is under way with the right that it had ends.
func (g *governance) withdraw(token string) {
	refusal := func(o *origin) *inos.Error {
		if o.token != token || o.answered {
			return nil
		}
		return inos.Errorf(inos.CodeUnauthenticated, event.Stage(o.eventType), "the token was revoked before the request's turn came")
	}
	for _, work := range sortedKeys(g.petitions) {
		if x := g.petitions[work]; refusal(&x.origin) != nil {
			g.drop(x, refusal(&x.origin))
		}
	}
	k := g.k
	for _, work := range slices.Concat(k.puts.looking, k.puts.waiting) {
		if p := k.puts.table[work]; refusal(&p.origin) != nil {
			k.puts.fail(p, refusal(&p.origin))
		}
	}
	for _, work := range slices.Clone(k.gets.waiting) {
		if p := k.gets.table[work]; refusal(&p.origin) != nil {
			k.gets.fail(p, refusal(&p.origin))
		}
	}
	for _, work := range slices.Clone(k.queries.waiting) {
		if p := k.queries.table[work]; refusal(&p.origin) != nil {
			k.queries.fail(p, refusal(&p.origin))
		}
	}
	for _, work := range slices.Clone(k.changes.waiting) {
		if p := k.changes.table[work]; refusal(&p.origin) != nil {
			k.changes.end(p, refusal(&p.origin))
		}
	}
	for _, work := range slices.Clone(k.verifies.waiting) {
		if p := k.verifies.table[work]; refusal(&p.origin) != nil {
			k.fail(&p.origin, refusal(&p.origin))
			k.verifies.clean(p)
		}
	}
}

// sessionsOf returns the sessions of a subject that this kernel knows.
func (g *governance) sessionsOf(subject inos.Subject) (tokens []string) {
	for _, token := range sortedKeys(g.sessions) {
		if g.sessions[token].subject == subject {
			tokens = append(tokens, token)
		}
	}
	return tokens
}
