package kernel

import (
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// aim is what a request is about, read before anything is decided. Of bytes that do not decode nothing is known: whoever hears the request
// refuses it.
type aim struct {
	owner    inos.Subject // as it was named; empty: the subject's own
	path     inos.Path    // of a list the prefix
	length   int64        // of a body, when it is known
	file     bool         // it is about a namespace; else about the resource
	resource string
}

// ofOwner returns whose namespace a request is about.
func (a *aim) ofOwner(subject inos.Subject) inos.Subject {
	if a.owner == "" {
		return subject
	}
	return a.owner
}

// read returns a payload's message; one that does not decode gives an empty one.
func read[M any, P interface {
	*M
	event.Message
}](payload []byte,
) P {
	m := P(new(M))
	if m.UnmarshalVT(payload) != nil {
		return P(new(M))
	}
	return m
}

// aimOf reads what a request is about.
func aimOf(e *eventpb.Envelope, subject inos.Subject) aim {
	of := func(owner, path string) aim {
		return aim{owner: inos.Subject(owner), path: inos.Path(path), file: true}
	}
	self := func(user string) string {
		if user == "" {
			return string(subject)
		}
		return user
	}
	switch e.EventType {
	case event.FilesPut:
		q := read[eventpb.FilesPutRequest](e.Payload)
		a := of(q.Owner, q.Path)
		a.length = q.LengthBytes
		return a
	case event.FilesGet:
		q := read[eventpb.FilesGetRequest](e.Payload)
		return of(q.Owner, q.Path)
	case event.FilesSet:
		q := read[eventpb.FilesSetRequest](e.Payload)
		return of(q.Owner, q.Path)
	case event.FilesDelete:
		q := read[eventpb.FilesDeleteRequest](e.Payload)
		return of(q.Owner, q.Path)
	case event.FilesStat:
		q := read[eventpb.FilesStatRequest](e.Payload)
		return of(q.Owner, q.Path)
	case event.FilesList:
		q := read[eventpb.FilesListRequest](e.Payload)
		if q.Prefix == "" {
			q.Prefix = "/"
		}
		return of(q.Owner, q.Prefix)
	case event.FilesVerify:
		if q := read[eventpb.FilesVerifyRequest](e.Payload); q.Path != "" {
			return of(q.Owner, q.Path)
		}
	case event.UploadsOpen:
		q := read[eventpb.UploadsOpenRequest](e.Payload)
		a := of(q.Owner, q.Path)
		a.length = int64(min(q.PlainBytes, 1<<62))
		return a
	case event.UploadsList:
		return of(read[eventpb.UploadsListRequest](e.Payload).Owner, "")
	case event.UploadsStat:
		return of(read[eventpb.UploadsStatRequest](e.Payload).Owner, "")
	case event.UploadsClaim:
		return of(read[eventpb.UploadsClaimRequest](e.Payload).Owner, "")
	case event.UploadsSend:
		return of(read[eventpb.UploadsSendRequest](e.Payload).Owner, "")
	case event.UploadsCommit:
		return of(read[eventpb.UploadsCommitRequest](e.Payload).Owner, "")
	case event.UploadsDrop:
		return of(read[eventpb.UploadsDropRequest](e.Payload).Owner, "")
	case event.UsersPut:
		return aim{resource: read[eventpb.UsersPutRequest](e.Payload).User.GetName()}
	case event.UsersShow:
		return aim{resource: self(read[eventpb.UsersShowRequest](e.Payload).User)}
	case event.UsersEnrol:
		return aim{resource: self(read[eventpb.UsersEnrolRequest](e.Payload).User)}
	case event.DevicesList:
		return aim{resource: self(read[eventpb.DevicesListRequest](e.Payload).User)}
	case event.DevicesRevoke:
		return aim{resource: self(read[eventpb.DevicesRevokeRequest](e.Payload).User)}
	case event.GroupsPut:
		return aim{resource: read[eventpb.GroupsPutRequest](e.Payload).Group.GetName()}
	case event.TokensIssue:
		return aim{resource: string(subject)}
	case event.TokensList:
		return aim{resource: self(read[eventpb.TokensListRequest](e.Payload).User)}
	case event.TokensRevoke:
		return aim{resource: self(read[eventpb.TokensRevokeRequest](e.Payload).User)}
	case event.GrantsPut:
		g := read[eventpb.GrantsPutRequest](e.Payload).Grant
		return aim{resource: "~" + self(g.GetOwner()) + g.GetPrefix()}
	case event.GrantsList:
		q := read[eventpb.GrantsListRequest](e.Payload)
		if q.Received {
			q.Owner = ""
		}
		return aim{resource: "~" + self(q.Owner) + "/"}
	case event.GrantsRemove:
		return aim{resource: "~" + self(read[eventpb.GrantsRemoveRequest](e.Payload).Owner) + "/"}
	case event.LedgerTransfer:
		return aim{resource: read[eventpb.LedgerTransferRequest](e.Payload).From}
	case event.LedgerList:
		return aim{resource: read[eventpb.LedgerListRequest](e.Payload).Account}
	}
	return aim{resource: "*"}
}

// verbs says which capability each event needs that clients may send: its service and verb. What is not here nobody answers.
var verbs = map[string]need{
	event.FilesPut: {service: "files", verb: "write"}, event.FilesDelete: {service: "files", verb: "write"}, event.FilesSet: {service: "files", verb: "write"},
	event.FilesGet: {service: "files", verb: "read"}, event.FilesStat: {service: "files", verb: "read"}, event.FilesList: {service: "files", verb: "read"},
	event.FilesVerify: {service: "files", verb: "read"},
	event.UploadsOpen: {service: "files", verb: "write"}, event.UploadsList: {service: "files", verb: "write"}, event.UploadsStat: {service: "files", verb: "write"},
	event.UploadsClaim: {service: "files", verb: "write"}, event.UploadsSend: {service: "files", verb: "write"}, event.UploadsCommit: {service: "files", verb: "write"},
	event.UploadsDrop: {service: "files", verb: "write"},
	event.NodeStatus:  {service: "node", verb: "read"}, event.NodesList: {service: "node", verb: "read"}, event.RepairsList: {service: "node", verb: "read"},
	event.NodesInvite: {service: "node", verb: "operate"}, event.NodesSet: {service: "node", verb: "operate"},
	event.UsersPut: {service: "users", verb: "write"}, event.UsersList: {service: "users", verb: "read"}, event.UsersShow: {service: "users", verb: "read"}, event.UsersEnrol: {service: "devices", verb: "write"},
	event.DevicesList: {service: "devices", verb: "read"}, event.DevicesRevoke: {service: "devices", verb: "write"},
	event.GroupsPut: {service: "groups", verb: "write"}, event.GroupsList: {service: "groups", verb: "read"},
	event.TokensIssue: {service: "tokens", verb: "write"}, event.TokensList: {service: "tokens", verb: "read"}, event.TokensRevoke: {service: "tokens", verb: "write"},
	event.GrantsPut: {service: "grants", verb: "write"}, event.GrantsList: {service: "grants", verb: "read"}, event.GrantsRemove: {service: "grants", verb: "write"},
	event.LedgerTransfer: {service: "ledger", verb: "write"}, event.LedgerList: {service: "ledger", verb: "read"},
}

// needs returns what a client's request needs; ok is false for what no client may send.
func needs(e *eventpb.Envelope, a *aim, subject inos.Subject) (n need, ok bool) {
	n, ok = verbs[e.EventType]
	switch {
	case !ok:
	case e.EventType == event.FilesVerify && !a.file:
		n = need{service: "node", verb: "operate", resource: "*"}
	case a.file:
		n = fileNeed(n.verb, a.ofOwner(subject), a.path, subject)
		switch e.EventType {
		case event.FilesList:
			n.resource += "*"
		case event.FilesGet, event.FilesStat:
			n.byID = a.path == ""
		case event.UploadsList, event.UploadsStat, event.UploadsClaim, event.UploadsSend, event.UploadsCommit, event.UploadsDrop:
			n.byID = true // their paths are in the memory
		}
	default:
		n.resource = a.resource
	}
	return n, ok
}

// fileNeed returns the need of a verb on a path of an owner's namespace.
func fileNeed(verb string, owner inos.Subject, path inos.Path, subject inos.Subject) need {
	n := need{service: "files", verb: verb, resource: string(path)}
	if owner != subject {
		n.resource = "~" + string(owner) + n.resource
	}
	return n
}

// place names for the history what a request is about.
func (a *aim) place(subject inos.Subject) string {
	switch {
	case !a.file && a.resource == "*":
		return ""
	case !a.file:
		return a.resource[:min(len(a.resource), inos.PathBytesMax)]
	}
	return placeOf(a.ofOwner(subject), a.path, subject)
}

// placeOf names a path for a person: of somebody else's namespace with its owner.
func placeOf(owner inos.Subject, path inos.Path, subject inos.Subject) string {
	if owner == subject || strings.HasPrefix(string(path), "~") {
		return string(path)
	}
	return "~" + string(owner) + string(path)
}
