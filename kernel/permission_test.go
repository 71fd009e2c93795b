package kernel

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// who asks, in the matrix: a session and, beside its own name, what it was granted in ann's /shared.
type who struct {
	subject string
	verbs   []string // of a grant to the user
	denied  inos.Code
}

// matrixWho are the columns. All that is asked is about ann.
var matrixWho = map[string]who{
	"owner":    {subject: "ann"},
	"reader":   {subject: "rita", verbs: []string{"read"}},
	"writer":   {subject: "will", verbs: []string{"write"}},
	"sharer":   {subject: "shea", verbs: []string{"read", "share"}},
	"admin":    {subject: "adam", verbs: []string{"admin", "read"}},
	"member":   {subject: "mel"},
	"stranger": {subject: "stan"},
	"late":     {subject: "lee"},
	"link":     {subject: "link:L"},
	"public":   {subject: "public"},
	"operator": {subject: "olga"},
	"expired":  {subject: "ann", denied: inos.CodeUnauthenticated},
	"revoked":  {subject: "ann", denied: inos.CodeUnauthenticated},
	"forged":   {subject: "ann", denied: inos.CodeUnauthenticated},
}

// matrixRow is an event that clients may send: a request, and who may. Everybody else is denied.
type matrixRow struct {
	event string
	ask   func(w *world) event.Message
	may   string
	// hidden: everybody has a grant somewhere in the namespace, so that the question is asked; who may not know is told that there is nothing.
	hidden bool
	// own: it is about an upload of ann's. Who may write somewhere in the namespace is told that there is none.
	own bool
}

var (
	readers = "owner reader sharer admin member link"
	users   = "owner reader writer sharer admin member stranger late operator"
)

func (w *world) stream(n uint64) uint64 {
	w.ids++
	w.streams[w.ids] = &body{name: "/shared/x", length: n}
	return w.ids
}

var matrix = []matrixRow{
	{event: event.FilesPut, ask: func(w *world) event.Message {
		return &eventpb.FilesPutRequest{Owner: "ann", Path: "/shared/x", Stream: w.stream(1), LengthBytes: 1}
	}, may: "owner writer"},
	{event: event.FilesDelete, ask: func(*world) event.Message { return &eventpb.FilesDeleteRequest{Owner: "ann", Path: "/shared/x"} }, may: "owner writer"},
	{event: event.FilesSet, ask: func(*world) event.Message {
		return &eventpb.FilesSetRequest{Owner: "ann", Path: "/shared/x", Replicas: 1}
	}, may: "owner writer"},
	{event: event.FilesGet, ask: func(w *world) event.Message {
		return &eventpb.FilesGetRequest{Owner: "ann", Path: "/shared/x", Stream: w.stream(0), LengthBytes: -1}
	}, may: readers},
	{event: event.FilesGet, ask: func(w *world) event.Message { // by its id, and it is covered
		return &eventpb.FilesGetRequest{Owner: "ann", FileId: w.files["ann/shared/x"].FileId, Stream: w.stream(0), LengthBytes: -1}
	}, may: readers, hidden: true},
	{event: event.FilesGet, ask: func(w *world) event.Message { // beside what is shared, under a name that begins alike
		return &eventpb.FilesGetRequest{Owner: "ann", Path: "/shared2/x", Stream: w.stream(0), LengthBytes: -1}
	}, may: "owner"},
	{event: event.FilesGet, ask: func(w *world) event.Message { // to everybody
		return &eventpb.FilesGetRequest{Owner: "ann", Path: "/open/x", Stream: w.stream(0), LengthBytes: -1}
	}, may: users + " public link"},
	{event: event.FilesStat, ask: func(*world) event.Message { return &eventpb.FilesStatRequest{Owner: "ann", Path: "/shared/x"} }, may: readers},
	{event: event.FilesList, ask: func(*world) event.Message { return &eventpb.FilesListRequest{Owner: "ann", Prefix: "/shared/"} }, may: readers},
	{event: event.FilesList, ask: func(*world) event.Message { return &eventpb.FilesListRequest{Owner: "ann", Prefix: "/sh"} }, may: "owner"},
	{event: event.FilesVerify, ask: func(*world) event.Message { return &eventpb.FilesVerifyRequest{Owner: "ann", Path: "/shared/x"} }, may: readers},
	{event: event.FilesVerify, ask: func(*world) event.Message { return &eventpb.FilesVerifyRequest{} }, may: "operator"},
	{event: event.UploadsOpen, ask: func(*world) event.Message {
		return &eventpb.UploadsOpenRequest{Owner: "ann", Path: "/shared/u", PlainBytes: 1}
	}, may: "owner writer"},
	{event: event.UploadsOpen, ask: func(*world) event.Message {
		return &eventpb.UploadsOpenRequest{Owner: "ann", Path: "/shared2/u", PlainBytes: 1}
	}, may: "owner"},
	{event: event.UploadsList, ask: func(*world) event.Message { return &eventpb.UploadsListRequest{Owner: "ann"} }, may: "owner writer"},
	{event: event.UploadsStat, ask: func(*world) event.Message { return &eventpb.UploadsStatRequest{Owner: "ann", Upload: "up"} }, may: "owner", own: true},
	{event: event.UploadsClaim, ask: func(*world) event.Message {
		return &eventpb.UploadsClaimRequest{Owner: "ann", Upload: "up", PlainHashes: [][]byte{hashOf("plain", "/shared/x/0/1")}}
	}, may: "owner", own: true},
	{event: event.UploadsSend, ask: func(w *world) event.Message {
		form, _ := encoded("/shared/x/0/1", 1, 0, 0)
		stream := w.stream(uint64(form.size))
		w.streams[stream].form = form
		return &eventpb.UploadsSendRequest{Owner: "ann", Upload: "up", ChunkId: []byte(form.id), Stream: stream, StoredBytes: uint64(form.size)}
	}, may: "owner", own: true},
	{event: event.UploadsCommit, ask: func(*world) event.Message { return &eventpb.UploadsCommitRequest{Owner: "ann", Upload: "up"} }, may: "owner", own: true},
	{event: event.UploadsDrop, ask: func(*world) event.Message { return &eventpb.UploadsDropRequest{Owner: "ann", Upload: "up"} }, may: "owner", own: true},
	{event: event.NodeStatus, ask: func(*world) event.Message { return &eventpb.NodeStatusRequest{} }, may: "operator"},
	{event: event.NodesList, ask: func(*world) event.Message { return &eventpb.NodesListRequest{} }, may: "operator"},
	{event: event.NodesInvite, ask: func(*world) event.Message { return &eventpb.NodesInviteRequest{} }, may: "operator"},
	{event: event.NodesSet, ask: func(*world) event.Message { return &eventpb.NodesSetRequest{Node: "n"} }, may: "operator"},
	{event: event.RepairsList, ask: func(*world) event.Message { return &eventpb.RepairsListRequest{} }, may: "operator"},
	{event: event.UsersPut, ask: func(*world) event.Message { return &eventpb.UsersPutRequest{User: &eventpb.User{Name: "ann"}} }, may: "operator"},
	{event: event.UsersList, ask: func(*world) event.Message { return &eventpb.UsersListRequest{} }, may: "operator"},
	{event: event.UsersShow, ask: func(*world) event.Message { return &eventpb.UsersShowRequest{User: "ann"} }, may: "owner operator"},
	{event: event.UsersShow, ask: func(*world) event.Message { return &eventpb.UsersShowRequest{} }, may: users},
	{event: event.UsersEnrol, ask: func(*world) event.Message { return &eventpb.UsersEnrolRequest{User: "ann"} }, may: "owner operator"},
	{event: event.DevicesList, ask: func(*world) event.Message { return &eventpb.DevicesListRequest{User: "ann"} }, may: "owner operator"},
	{event: event.DevicesRevoke, ask: func(*world) event.Message { return &eventpb.DevicesRevokeRequest{User: "ann", Device: "d"} }, may: "owner operator"},
	{event: event.GroupsPut, ask: func(*world) event.Message {
		return &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "friends", Members: []string{"stan"}}}
	}, may: "operator"},
	{event: event.GroupsList, ask: func(*world) event.Message { return &eventpb.GroupsListRequest{} }, may: "operator"},
	{event: event.TokensIssue, ask: func(*world) event.Message {
		return &eventpb.TokensIssueRequest{Capabilities: []string{"files:read:/a"}}
	}, may: users},
	{event: event.TokensIssue, ask: func(*world) event.Message {
		return &eventpb.TokensIssueRequest{Capabilities: []string{"node:operate:*"}}
	}, may: "operator"},
	{event: event.TokensList, ask: func(*world) event.Message { return &eventpb.TokensListRequest{User: "ann"} }, may: "owner operator"},
	{event: event.TokensRevoke, ask: func(*world) event.Message { return &eventpb.TokensRevokeRequest{User: "ann"} }, may: "owner operator"},
	{event: event.GrantsPut, ask: func(*world) event.Message {
		return &eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Owner: "ann", Prefix: "/shared/y", Grantee: "user:stan", Verbs: []string{"read"}}}
	}, may: "owner admin"},
	{event: event.GrantsPut, ask: func(*world) event.Message {
		return &eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Owner: "ann", Prefix: "/shared/y", Verbs: []string{"read"}}, Link: true}
	}, may: "owner sharer"},
	{event: event.GrantsPut, ask: func(*world) event.Message {
		return &eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Owner: "ann", Prefix: "/shared2", Grantee: "public", Verbs: []string{"read"}}}
	}, may: "owner"},
	{event: event.GrantsList, ask: func(*world) event.Message { return &eventpb.GrantsListRequest{Owner: "ann"} }, may: "owner"},
	{event: event.GrantsRemove, ask: func(*world) event.Message { return &eventpb.GrantsRemoveRequest{Owner: "ann", Id: "group"} }, may: "owner admin"},
	{event: event.LedgerTransfer, ask: func(*world) event.Message {
		return &eventpb.LedgerTransferRequest{From: "grant", To: "user:ann", Amount: 1}
	}, may: "operator"},
	{event: event.LedgerList, ask: func(*world) event.Message { return &eventpb.LedgerListRequest{Account: "user:ann"} }, may: "owner operator"},
}

// matrixWorld is a world with ann's files and grants, and a session "x" of who asks.
func matrixWorld(t *testing.T, column string) *world {
	t.Helper()
	x := matrixWho[column]
	w := newWorld(native{New()})
	w.give(w.host(event.NodeBoot, w.boot))
	for _, c := range sortedKeys(matrixWho) {
		if s := matrixWho[c].subject; hasNamespace(inos.Subject(s)) {
			w.users[s] = &eventpb.User{Name: s, Operator: c == "operator"}
		}
	}
	grant := func(id, prefix, to string, expires inos.Micros, verbs ...string) {
		w.grants[id] = &eventpb.AccessGrant{Id: id, Owner: "ann", Prefix: prefix, Grantee: to, Verbs: verbs, ExpiresUs: int64(expires), By: "ann"}
	}
	if x.verbs != nil {
		grant("own", "/shared", "user:"+x.subject, 0, x.verbs...)
	}
	w.opened["up"] = &eventpb.UploadInfo{Id: "up", Subject: "ann", Owner: "ann", Path: "/shared/u", PlainBytes: 1, Chunks: 1, ExpiresUs: int64(w.now + inos.Day)}
	w.slots["up"], w.pins["up"] = map[uint64]*eventpb.UploadSlot{}, map[string]bool{}
	w.groups["friends"] = []string{"mel"}
	grant("group", "/shared", "group:friends", 0, "read")
	grant("late", "/shared", "user:lee", w.now+inos.Second, "admin", "read", "share", "write")
	grant("L", "/shared", "link:L", 0, "read")
	grant("public", "/open", "public", 0, "read")
	session := func(token, subject string, expires inos.Micros, capabilities ...string) {
		w.give(w.host(event.IdentitySession, &eventpb.Session{TokenId: token, Subject: subject, Capabilities: capabilities, ExpiresUs: int64(expires)}))
	}
	session("t", "ann", 0, "files:*:*")
	w.run(1000)
	for _, path := range []string{"/shared/x", "/shared2/x", "/open/x"} {
		w.put(path, 1, false)
	}
	if !w.run(1000) || len(w.files) != 3 {
		t.Fatalf("%d files are there", len(w.files))
	}
	capabilities := []string{"files:read:*"}
	if hasNamespace(inos.Subject(x.subject)) {
		capabilities = userCapabilities(w.users[x.subject])
	}
	if column != "forged" {
		session("x", x.subject, w.now+inos.Minute, capabilities...)
	}
	switch column {
	case "revoked":
		w.give(w.host(event.IdentityRevoke, &eventpb.Revocation{TokenId: "x"}))
	case "expired":
		w.tick(w.now + inos.Minute)
	}
	w.tick(w.now + 2*inos.Second) // the grant of who is late is over
	w.run(1000)
	return w
}

// What lets its sender in again is handed to nobody when the token that asked for it was revoked meanwhile, however far it had come.
func TestNoWayBackIn(t *testing.T) {
	for name, ask := range map[string]struct {
		event string
		m     event.Message
		last  string // effect that is under way when the token is revoked
	}{
		"token, opened": {event.TokensIssue, &eventpb.TokensIssueRequest{Capabilities: []string{"files:*:*"}}, event.OpenSession},
		"token, signed": {event.TokensIssue, &eventpb.TokensIssueRequest{Capabilities: []string{"files:*:*"}}, event.TokenSign},
		"enrolment":     {event.UsersEnrol, &eventpb.UsersEnrolRequest{}, event.PutEnrolment},
	} {
		t.Run(name, func(t *testing.T) {
			w := matrixWorld(t, "owner")
			e := w.request("x", ask.event, ask.m)
			w.give(e)
			waits := func() int {
				return slices.IndexFunc(w.pending, func(p *eventpb.Envelope) bool { return p.EventType == ask.last })
			}
			for range 10 {
				if waits() < 0 && len(w.pending) > 0 {
					w.finish(0)
				}
			}
			if waits() < 0 {
				t.Fatalf("%s was not asked for", ask.last)
			}
			w.act(waits())
			w.give(w.host(event.IdentityRevoke, &eventpb.Revocation{TokenId: "x"}))
			w.run(1000)
			answer, ends := w.last(e.Id)
			if ends != 1 || event.FailureOf(answer).Code != inos.CodeUnauthenticated {
				t.Errorf("%d answers, %v", ends, answer)
			}
			if len(w.sessions) != 0 {
				t.Errorf("%d sessions were left", len(w.sessions))
			}
		})
	}
}

// Every event that clients may send, by everybody: who may is answered, all others are denied, and what is denied has no effect.
func TestPermissionMatrix(t *testing.T) {
	for i, row := range matrix {
		for _, column := range sortedKeys(matrixWho) {
			t.Run(fmt.Sprintf("%d-%s/%s", i, event.Stage(row.event), column), func(t *testing.T) {
				w := matrixWorld(t, column)
				e := w.request("x", row.event, row.ask(w))
				before := len(w.history)
				asked := &effects{stepper: w.kernel}
				w.kernel = asked
				w.give(e)
				w.run(1000)
				answer, ends := w.last(e.Id)
				if ends != 1 {
					t.Fatalf("%d answers", ends)
				}
				code := inos.Code(0)
				if event.StateOf(answer.EventType) == event.StateFailed {
					code = event.FailureOf(answer).Code
				}
				denied := code == inos.CodePermissionDenied || code == inos.CodeUnauthenticated || row.hidden && code == inos.CodeFileNotFound || row.own && code == inos.CodeUploadUnknown
				if may := slices.Contains(strings.Fields(row.may), column); may == denied {
					t.Errorf("may %t, answered with %q", may, code.Name())
				}
				if !denied {
					return
				}
				want := inos.CodePermissionDenied
				if x := matrixWho[column]; x.denied != 0 {
					want = x.denied
				}
				if row.own && column == "writer" {
					want = inos.CodeUploadUnknown
				}
				reason := want.Name()
				if row.hidden && want == inos.CodePermissionDenied {
					want = inos.CodeFileNotFound
				}
				if code != want {
					t.Errorf("denied with %s, not with %s", code.Name(), want.Name())
				}
				for _, typ := range asked.types {
					if typ != event.ReadAccess && typ != event.ListGrants && typ != event.EpisodicRecord && (!row.hidden || typ != event.LookupFile) && (!row.own || typ != event.FindUpload) {
						t.Errorf("what is denied has the effect %s", typ)
					}
				}
				w.tick(w.now + inos.Second)
				w.run(1000)
				if !slices.ContainsFunc(w.history[before:], func(r *eventpb.EventRecord) bool {
					return event.Stage(r.EventType) == event.Stage(row.event) && strings.HasPrefix(r.Detail, reason) && (want == inos.CodeUnauthenticated || r.Subject == matrixWho[column].subject)
				}) {
					t.Error("the refusal is not in the history")
				}
			})
		}
	}
}

// effects notes what a kernel asks.
type effects struct {
	stepper
	types []string
}

func (x *effects) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	out, wake := x.stepper.step(now, e)
	for _, o := range out {
		if event.StateOf(o.EventType) == event.StateRequested && o.EventType != event.BufferRelease && o.EventType != event.BufferFill {
			x.types = append(x.types, o.EventType)
		}
	}
	return out, wake
}

// An event that names.go says clients may send has a row, and one that it does not is answered to nobody.
func TestPermissionMatrixIsWhole(t *testing.T) {
	raw, err := os.ReadFile("../event/names.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "// What clients ask.")
	clients, others, ok := strings.Cut(rest, "// What the host tells its kernel.")
	if !ok {
		t.Fatal("names.go does not say what clients ask")
	}
	types := regexp.MustCompile(`"([a-z_]+:[a-z_]+:v1:[a-z]+)"`)
	rows := map[string]bool{}
	for _, row := range matrix {
		rows[row.event] = true
	}
	for _, m := range types.FindAllStringSubmatch(clients, -1) {
		if !rows[m[1]] {
			t.Errorf("clients may send %s, and no row of the matrix says who", m[1])
		}
		if _, ok := verbs[m[1]]; !ok {
			t.Errorf("clients may send %s, and the kernel knows no capability for it", m[1])
		}
	}
	w := matrixWorld(t, "operator")
	for _, m := range types.FindAllStringSubmatch(others, -1) {
		if event.StateOf(m[1]) != event.StateRequested {
			continue
		}
		e := w.request("x", m[1], nil)
		w.give(e)
		if answer, ends := w.last(e.Id); ends != 1 || event.StateOf(answer.EventType) != event.StateFailed || event.FailureOf(answer).Code != inos.CodeUnknownEvent {
			t.Errorf("an operator's %s is not refused", m[1])
		}
	}
}

// To whom may not know, a file that is there and one that is not answer alike, byte for byte; so do owners.
func TestStrangersLearnNothing(t *testing.T) {
	for _, column := range []string{"stranger", "member", "link", "public", "operator", "late"} {
		w := matrixWorld(t, column)
		ask := func(typ string, m event.Message) string {
			e := w.request("x", typ, m)
			w.give(e)
			w.run(1000)
			answer, _ := w.last(e.Id)
			if event.StateOf(answer.EventType) != event.StateFailed {
				return "completed"
			}
			err := event.FailureOf(answer)
			return err.Code.Name() + " " + err.Message
		}
		for _, typ := range []string{event.FilesStat, event.FilesGet, event.FilesVerify} {
			of := func(owner, path string, id []byte) event.Message {
				switch typ {
				case event.FilesStat:
					return &eventpb.FilesStatRequest{Owner: owner, Path: path, FileId: id}
				case event.FilesGet:
					return &eventpb.FilesGetRequest{Owner: owner, Path: path, FileId: id, Discard: true, LengthBytes: -1}
				}
				return &eventpb.FilesVerifyRequest{Owner: owner, Path: path}
			}
			same := func(what, a, b string) {
				if strings.ReplaceAll(a, "/shared2/x", "/shared2/z") != b {
					t.Errorf("%s, %s by %s: %q, but %q for what is not there", what, typ, column, a, b)
				}
			}
			there := ask(typ, of("ann", "/shared2/x", nil))
			if !strings.HasPrefix(there, "permission_denied") {
				t.Errorf("%s by %s: %s", typ, column, there)
			}
			same("a path", there, ask(typ, of("ann", "/shared2/z", nil)))
			same("an owner", strings.ReplaceAll(there, "~ann", "~who"), ask(typ, of("who", "/shared2/z", nil)))
			if typ != event.FilesVerify {
				same("a file id", ask(typ, of("ann", "", w.files["ann/shared2/x"].FileId)), ask(typ, of("ann", "", hashOf("no file"))))
			}
		}
	}
}
