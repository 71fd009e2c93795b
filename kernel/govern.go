package kernel

import (
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// governance decides who may do what, before any other thread sees an envelope. It denies by default.
type governance struct {
	k        *Kernel
	sessions map[string]*session
	refused  uint64 // requests refused
	strays   uint64 // replies to effects that are not under way
}

// session is a verified token.
type session struct {
	subject      inos.Subject
	device       string
	capabilities []string
	expires      inos.Micros // 0: never
	used         uint64      // step of its last use
}

func (g *governance) init(k *Kernel) {
	g.k = k
	g.sessions = map[string]*session{}
}

func (g *governance) about() about {
	return about{name: "governance", kind: "governance", hears: []string{event.IdentitySession, event.IdentityRevoke}}
}

func (g *governance) answer(*answer)    {}
func (g *governance) act()              {}
func (g *governance) wake() inos.Micros { return 0 }

func (g *governance) code(c *coder) {
	num(c, &g.refused)
	num(c, &g.strays)
	objects(c, &g.sessions, sessionsMax, text[string], func(c *coder, s *session) {
		text(c, &s.subject)
		text(c, &s.device)
		list(c, &s.capabilities, capabilitiesMax, text[string])
		num(c, &s.expires)
		num(c, &s.used)
	})
}

// hear keeps the sessions that the host verified.
func (g *governance) hear(in *input) {
	if in.env.EventType == event.IdentityRevoke {
		var r eventpb.Revocation
		if event.Open(in.env, &r) == nil {
			delete(g.sessions, r.TokenId)
		}
		return
	}
	var s eventpb.Session
	if event.Open(in.env, &s) != nil || s.TokenId == "" || s.TokenId == hostToken || len(s.Capabilities) > capabilitiesMax {
		g.refused++
		return
	}
	if _, known := g.sessions[s.TokenId]; !known && len(g.sessions) >= sessionsMax {
		g.evict()
	}
	g.sessions[s.TokenId] = &session{
		subject: inos.Subject(s.Subject), device: s.Device, capabilities: s.Capabilities, expires: inos.Micros(s.ExpiresUs), used: g.k.steps,
	}
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

// admit decides whether a request goes on to the thread that hears it. What it refuses, it answers.
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
	if err == nil {
		err = g.permit(in, typ, s)
	}
	if err == nil {
		in.origin = g.k.originOf(e, s.subject, s.device, token)
		err = g.unique(&in.origin)
	}
	if err != nil {
		g.refuse(e, s, err)
		return false
	}
	in.origin.path = pathOf(in)
	g.k.open[in.origin.key()] = in.origin.work
	return true
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
		if in.env.EventType == event.NodeStatus || in.env.EventType == event.NodeDrain || in.env.EventType == event.MeshServe {
			k.emit(event.Failed(in.env, k.now, inos.Errorf(inos.CodeBusy, in.stage, "the kernel has not been booted")))
		}
		return false
	case in.env.EventType == event.NodeStatus || in.env.EventType == event.NodeDrain:
		in.origin = k.originOf(in.env, hostToken, "", hostToken)
		if err := g.unique(&in.origin); err != nil {
			g.refuse(in.env, nil, err)
			return false
		}
		k.open[in.origin.key()] = in.origin.work
	}
	return true
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
func (g *governance) permit(in *input, typ event.Type, s *session) *inos.Error {
	need, ok := needs(in)
	if !ok || typ.Version != 1 {
		return inos.Errorf(inos.CodeUnknownEvent, in.stage, "nobody answers %.128q", in.env.EventType)
	}
	if !g.k.node.booted {
		return inos.Errorf(inos.CodeBusy, in.stage, "the kernel has not been booted")
	}
	if !covers(s.capabilities, need) {
		return inos.Errorf(inos.CodePermissionDenied, in.stage, "it needs the capability %.200s", need.String())
	}
	if g.k.rebuilding.active() && need.service == "files" {
		return again(inos.Errorf(inos.CodeBusy, in.stage, "the map is being made again from the mesh"))
	}
	if g.k.node.draining && need.service == "files" {
		err := inos.Errorf(inos.CodeShuttingDown, in.stage, "the node is finishing what is under way and takes nothing new")
		err.RetryAfter = busyRetryAfter
		return err
	}
	return nil
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

// need is what a request asks for: service, verb and the path or prefix.
type need struct{ service, verb, resource string }

// String returns the capability that would cover the need.
func (n need) String() string { return n.service + ":" + n.verb + ":" + n.resource }

// needs returns what a client's request needs; ok is false for what no client may send.
func needs(in *input) (n need, ok bool) {
	switch in.env.EventType {
	case event.FilesPut, event.FilesDelete, event.FilesSet:
		return need{"files", "write", string(pathOf(in))}, true
	case event.FilesGet, event.FilesStat:
		path := pathOf(in)
		return need{"files", "read", string(path)}, true // a file asked for by its id: once its path is known
	case event.FilesList:
		return need{"files", "read", string(pathOf(in)) + "*"}, true
	case event.FilesVerify:
		if path := pathOf(in); path != "" {
			return need{"files", "read", string(path)}, true
		}
		return need{"node", "operate", "*"}, true
	case event.NodeStatus, event.NodesList, event.RepairsList:
		return need{"node", "read", "*"}, true
	case event.NodesInvite, event.NodesSet:
		return need{"node", "operate", "*"}, true
	}
	return need{}, false
}

// pathOf returns the path that a request names.
func pathOf(in *input) inos.Path {
	switch in.env.EventType {
	case event.FilesPut:
		var q eventpb.FilesPutRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesGet:
		var q eventpb.FilesGetRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesSet:
		var q eventpb.FilesSetRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesDelete:
		var q eventpb.FilesDeleteRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesStat:
		var q eventpb.FilesStatRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesVerify:
		var q eventpb.FilesVerifyRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Path)
		}
	case event.FilesList:
		var q eventpb.FilesListRequest
		if q.UnmarshalVT(in.env.Payload) == nil {
			return inos.Path(q.Prefix)
		}
	}
	return ""
}

// covers says that one of the capabilities allows what is needed. A capability is service:verb:resource; "*" alone
// matches everything in its place, and a resource that ends in "*" matches what begins like it.
func covers(capabilities []string, n need) bool {
	for _, c := range capabilities {
		parts := strings.SplitN(c, ":", 3)
		if len(parts) != 3 || parts[0] != "*" && parts[0] != n.service || parts[1] != "*" && parts[1] != n.verb {
			continue
		}
		resource := parts[2]
		prefix, open := strings.CutSuffix(resource, "*")
		switch {
		case resource == "*" || resource == "/*":
			return true
		case open && n.resource != "" && strings.HasPrefix(n.resource, prefix):
			return true
		case n.resource == resource:
			return true
		case n.resource == "" && n.service == "files":
			return true // asked for by file id: checked again when the path is known
		}
	}
	return false
}

// mayRead says that the request's token still allows reading a path that became known after admission.
func (g *governance) mayRead(o *origin, path inos.Path) *inos.Error {
	need := need{"files", "read", string(path)}
	s, ok := g.sessions[o.token]
	if ok && covers(s.capabilities, need) {
		return nil
	}
	return inos.Errorf(inos.CodePermissionDenied, event.Stage(o.eventType), "it needs the capability %.200s", need.String())
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
