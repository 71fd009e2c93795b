package kernel

import (
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// governance decides who may do what, before any other thread sees an envelope. It denies by default.
type governance struct {
	k         *Kernel
	sessions  map[string]*session
	access    accesses
	rates     rates
	petitions map[uint64]*petition // requests that wait until it is known what their senders may do, by work
	lookups   map[uint64]string    // work of a question under way -> key of the access that it is for
	names     rng                  // of its questions, and of those about old uploads and numbers of orders: when they are asked depends on what is remembered, and nothing else shall depend on that
	held      uint64               // bytes of the petitions
	refused   uint64               // requests refused
	strays    uint64               // replies to effects that are not under way
}

// session is a verified token.
type session struct {
	subject      inos.Subject
	device       string
	capabilities []string
	expires      inos.Micros // 0: never
	audience     string
	peer         string
	issuedBy     string // device that issued a session without one
	used         uint64 // step of its last use
}

func (g *governance) init(k *Kernel) {
	g.sessions, g.access.table, g.rates.table = map[string]*session{}, map[string]*access{}, map[string]*bucket{}
	g.petitions, g.lookups = map[uint64]*petition{}, map[uint64]string{}
	g.own(k)
}

// own points governance at its kernel.
func (g *governance) own(k *Kernel) { g.k, g.access.k, g.rates.k = k, k, k }

func (g *governance) about() about {
	return about{
		name: "governance", kind: "governance", inFlightMax: accessesMax + petitionsMax,
		hears: []string{event.IdentitySession, event.IdentityRevoke},
	}
}

func (g *governance) code(c *coder) {
	num(c, &g.refused)
	num(c, &g.strays)
	objects(c, &g.sessions, sessionsMax, text[string], func(c *coder, s *session) {
		text(c, &s.subject)
		text(c, &s.device)
		list(c, &s.capabilities, inos.SessionCapsMax, text[string])
		num(c, &s.expires)
		text(c, &s.audience)
		text(c, &s.peer)
		text(c, &s.issuedBy)
		num(c, &s.used)
	})
	g.access.code(c)
	g.rates.code(c)
	objects(c, &g.petitions, petitionsMax, num[uint64], func(c *coder, x *petition) { x.code(c) })
	table(c, &g.lookups, accessesMax, num[uint64], text[string])
	g.names.code(c)
	num(c, &g.held)
	if c.reading && c.err == nil {
		for _, work := range sortedKeys(g.lookups) {
			if g.access.table[g.lookups[work]] == nil {
				c.fail("a question is about an access that is not remembered")
			}
		}
	}
}

// hear keeps the sessions that the host verified.
func (g *governance) hear(in *input) {
	if in.env.EventType == event.IdentityRevoke {
		var r eventpb.Revocation
		if event.Open(in.env, &r) == nil {
			g.revoke(r.TokenId)
		}
		return
	}
	var s eventpb.Session
	if event.Open(in.env, &s) != nil || s.TokenId == "" || s.TokenId == hostToken || len(s.Capabilities) > inos.SessionCapsMax {
		g.refused++
		return
	}
	if _, known := g.sessions[s.TokenId]; !known && len(g.sessions) >= sessionsMax {
		g.evict()
	}
	g.sessions[s.TokenId] = &session{
		subject: inos.Subject(s.Subject), device: s.Device, capabilities: s.Capabilities, expires: inos.Micros(s.ExpiresUs),
		audience: s.Audience, peer: s.Peer, issuedBy: s.IssuedBy, used: g.k.steps,
	}
}

// issuer returns the device that what a session issues is issued by.
func (s *session) issuer() string {
	if s.device != "" {
		return s.device
	}
	return s.issuedBy
}

// revoke ends a session at once.
func (g *governance) revoke(token string) {
	delete(g.sessions, token)
	g.withdraw(token)
}

// evict forgets the session that was not used for longest.
func (g *governance) evict() {
	var oldest string
	for _, id := range sortedKeys(g.sessions) {
		if oldest == "" || g.sessions[id].used < g.sessions[oldest].used {
			oldest = id
		}
	}
	delete(g.sessions, oldest)
}

func tokenOf(e *eventpb.Envelope) string {
	if e.Metadata == nil {
		return ""
	}
	return e.Metadata.SecurityToken
}

// admit decides whether a request goes on to the thread that hears it. What it refuses, it answers; a request about files goes on when it is
// known what its sender may do.
func (g *governance) admit(in *input, typ event.Type) bool {
	e := in.env
	token := tokenOf(e)
	if token == hostToken {
		return g.admitHost(in, typ)
	}
	if g.k.node.booted && !g.k.node.switchboard {
		g.refuse(e, nil, inos.Errorf(inos.CodeNotSwitchboard, in.stage, "node %s holds chunks and answers no client", g.k.node.id))
		return false
	}
	s, err := g.identify(e, token)
	if err != nil {
		g.refuse(e, s, err)
		return false
	}
	a := aimOf(e, s.subject)
	if !a.file || !hasNamespace(s.subject) {
		if err := g.rates.take(s.subject, g.rateOf(s.subject), in.stage); err != nil {
			g.refuse(e, s, err)
			return false
		}
	}
	need, err := g.permit(in, typ, s, &a)
	if err == nil {
		in.origin = g.k.originOf(e, s.subject, s.device, token)
		err = g.unique(&in.origin)
	}
	if err != nil {
		g.refuse(e, s, err)
		return false
	}
	in.origin.owner, in.origin.path = a.ofOwner(s.subject), a.path
	if !a.file {
		in.origin.path = inos.Path(a.place(s.subject))
	}
	g.k.open[in.origin.key()] = in.origin.work
	if !a.file {
		return true
	}
	g.enter(&petition{env: e, origin: in.origin, aim: a, need: need, counted: !hasNamespace(s.subject)})
	return false
}

// admitHost lets the node itself do what concerns the node.
func (g *governance) admitHost(in *input, typ event.Type) bool {
	k := g.k
	_, heard := k.routes[in.env.EventType]
	booting := in.env.EventType == event.NodeBoot
	switch {
	case !heard || typ.Version != 1 || typ.Service != "node" && typ.Service != "identity" && in.env.EventType != event.MeshServe || booting == k.node.booted:
		if in.env.EventType != event.NodeTick {
			g.refused++
		}
		if hostAsks(in.env.EventType) || in.env.EventType == event.MeshServe {
			k.emit(event.Failed(in.env, k.now, inos.Errorf(inos.CodeBusy, in.stage, "the kernel has not been booted")))
		}
		return false
	case hostAsks(in.env.EventType):
		in.origin = k.originOf(in.env, hostToken, "", hostToken)
		if user := read[eventpb.LoginRequest](in.env.Payload).User; in.env.EventType == event.IdentityLogin && userName(user) {
			in.origin.subject, in.origin.owner = inos.Subject(user), inos.Subject(user)
		}
		if err := g.unique(&in.origin); err != nil {
			g.refuse(in.env, nil, err)
			return false
		}
		k.open[in.origin.key()] = in.origin.work
	}
	return true
}

// hostAsks says that the node waits for an answer to what it asks its kernel.
func hostAsks(eventType string) bool {
	switch eventType {
	case event.NodeStatus, event.NodeDrain, event.IdentityLogin, event.IdentityRefresh:
		return true
	}
	return false
}

// identify returns the session of a request and checks what the request says of itself.
func (g *governance) identify(e *eventpb.Envelope, token string) (*session, *inos.Error) {
	s, ok := g.sessions[token]
	if !ok {
		return nil, inos.Errorf(inos.CodeUnauthenticated, event.Stage(e.EventType), "the token is not known to this node")
	}
	s.used = g.k.steps
	if s.expires != 0 && s.expires <= g.k.now {
		delete(g.sessions, token)
		return s, inos.Errorf(inos.CodeUnauthenticated, event.Stage(e.EventType), "the token has expired")
	}
	if m := e.Metadata; m.UserId != "" && m.UserId != string(s.subject) || m.DeviceId != "" && m.DeviceId != s.device {
		return s, inos.Errorf(inos.CodePermissionDenied, event.Stage(e.EventType), "user_id %.80q and device_id %.80q are not the token's", m.UserId, m.DeviceId)
	}
	if len(e.Metadata.TraceContext) > traceContextMax {
		return s, inos.Errorf(inos.CodeBadRequest, event.Stage(e.EventType), "the trace context has %d entries, at most %d", len(e.Metadata.TraceContext), traceContextMax)
	}
	return s, nil
}

// permit checks that somebody answers the event, and that a capability of the session covers it.
func (g *governance) permit(in *input, typ event.Type, s *session, a *aim) (need, *inos.Error) {
	n, ok := needs(in.env, a, s.subject)
	if !ok || typ.Version != 1 {
		return n, inos.Errorf(inos.CodeUnknownEvent, in.stage, "nobody answers %.128q", in.env.EventType)
	}
	if !g.k.node.booted {
		return n, inos.Errorf(inos.CodeBusy, in.stage, "the kernel has not been booted")
	}
	if !covers(s.capabilities, n) {
		return n, inos.Errorf(inos.CodePermissionDenied, in.stage, "it needs the capability %.200s", n.String())
	}
	if a.file {
		if owner := a.ofOwner(s.subject); owner != s.subject && !userName(string(owner)) || !hasNamespace(owner) {
			return n, inos.Errorf(inos.CodePermissionDenied, in.stage, "%.80q has no namespace; name the owner of the files", owner)
		}
	}
	if g.k.rebuilding.active() && n.service == "files" {
		return n, again(inos.Errorf(inos.CodeBusy, in.stage, "the map is being made again from the mesh"))
	}
	if g.k.node.draining && n.service == "files" {
		err := inos.Errorf(inos.CodeShuttingDown, in.stage, "the node is finishing what is under way and takes nothing new")
		err.RetryAfter = busyRetryAfter
		return n, err
	}
	return n, nil
}

// unique checks a request's id: a UUIDv7 of the last day that is not under way.
func (g *governance) unique(o *origin) *inos.Error {
	at, err := event.IDTime(o.id)
	if err != nil {
		return inos.Errorf(inos.CodeBadEnvelope, event.Stage(o.eventType), "%w", err)
	}
	if at < g.k.now-idPastMax || at > g.k.now+idFutureMax {
		return inos.Errorf(inos.CodeRequestExpired, event.Stage(o.eventType), "the id %s was made %s from now; at most 24 hours ago and 5 minutes ahead are taken",
			o.id, seconds(at-g.k.now))
	}
	if o.deadline != 0 && o.deadline <= g.k.now {
		return inos.Errorf(inos.CodeDeadlineExceeded, event.Stage(o.eventType), "the request's deadline had passed when it came")
	}
	if _, under := g.k.open[o.key()]; under {
		return inos.Errorf(inos.CodeConflict, event.Stage(o.eventType), "a request with the id %s is under way", o.id)
	}
	return nil
}

// refuse answers a request that is not admitted and leaves a line of history.
func (g *governance) refuse(e *eventpb.Envelope, s *session, err *inos.Error) {
	g.refused++
	g.k.emit(event.Failed(e, g.k.now, err))
	g.k.watcher.refused(e, s, err)
}

// mayRead says that the request's sender still may read a file that was asked for by its id, now that its path is known. To whom may not, there is
// no such file.
func (g *governance) mayRead(o *origin, path inos.Path) *inos.Error {
	n := fileNeed("read", o.owner, path, o.subject)
	why := "it needs the capability " + n.String()
	if s, ok := g.sessions[o.token]; ok && covers(s.capabilities, n) {
		if o.owner == o.subject {
			return nil
		}
		a := g.access.known(o.owner, o.subject)
		if a == nil {
			return again(inos.Errorf(inos.CodeBusy, event.Stage(o.eventType), "rights are being changed"))
		}
		if ok, _ := a.allows(path, mayReadFiles, g.k.now); ok {
			return nil
		}
		why = g.denied(o, "read", path).Message
	}
	g.refused++
	g.k.watcher.record(&eventpb.EventRecord{
		EventType: event.WithState(o.eventType, event.StateProcessing), TraceId: o.trace, Subject: string(o.subject),
		Path: placeOf(o.owner, path, o.subject), Detail: inos.CodePermissionDenied.Name() + ": " + why,
	})
	return noFile(o)
}

// mayWrite says that the request's sender may write the path of an upload that was named by its id.
func (g *governance) mayWrite(o *origin, path inos.Path) *inos.Error {
	op := event.Stage(o.eventType)
	n := fileNeed("write", o.owner, path, o.subject)
	if s, ok := g.sessions[o.token]; !ok || !covers(s.capabilities, n) {
		return inos.Errorf(inos.CodePermissionDenied, op, "it needs the capability %.200s", n.String())
	}
	if o.owner == o.subject {
		return nil
	}
	a := g.access.known(o.owner, o.subject)
	if a == nil {
		return again(inos.Errorf(inos.CodeBusy, op, "rights are being changed"))
	}
	if ok, _ := a.allows(path, mayWriteFiles, g.k.now); !ok {
		return g.denied(o, "write", path)
	}
	return nil
}

// readsAll says that a request's sender may read every file of the namespace that it is about. Who may not could, by the hash of a chunk, have one that
// he has never seen put into a file of his.
func (g *governance) readsAll(o *origin) bool {
	s, ok := g.sessions[o.token]
	return ok && o.owner == o.subject && covers(s.capabilities, need{service: "files", verb: "read", resource: "/*"})
}

// noFile is the answer to who asks by a file id for what is not there for him.
func noFile(o *origin) *inos.Error {
	return inos.Errorf(inos.CodeFileNotFound, event.Stage(o.eventType), "no file has this id")
}

// hostToken is the token id of the node itself; the edge lets no client use it.
const hostToken = "host"

// seconds writes a duration for a person.
func seconds(d inos.Micros) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return sign + strconv.FormatInt(int64(d/inos.Second), 10) + " s"
}
