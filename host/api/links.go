package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// linksPrefix and publicPrefix begin the addresses that need no token.
const (
	linksPrefix  = "/v1/links/"
	publicPrefix = "/v1/public/"
)

// Shared is what a stranger was let into.
type Shared struct {
	Session inos.Session // of the subject link:ID or public
	Owner   inos.Subject
	Prefix  inos.Path // of a link
}

// getLink answers with a file to whoever has a link to it, or to a folder above it: GET and HEAD /v1/links/{secret}[/{path below}].
func (x *exchange) getLink(t target) error {
	s, err := x.openLink(t)
	if err != nil {
		return err
	}
	t.path = s.Prefix + t.path
	if s.Prefix == "/" {
		t.path = t.path[1:]
	}
	if err := inos.CheckPath(t.path); err != nil {
		return err
	}
	return x.getShared(t, s)
}

// openLink returns what the link of an address is good for.
func (x *exchange) openLink(t target) (Shared, error) {
	s, err := x.h.node.OpenLink(x.r.Context(), t.secret)
	if inos.CodeOf(err) == inos.CodeGrantUnknown {
		x.h.node.Refused("a link that is not good")
	}
	return s, err
}

// listLink answers with a page of the files below what a link is for: GET /v1/links/{secret}/?prefix=&after=&limit=. Paths are what the address of the
// link is followed by: whose the files are and where they lie is not in them. It counts as no use of the link.
func (x *exchange) listLink(t target) error {
	values, after, limit, err := x.page("prefix")
	if err != nil {
		return err
	}
	prefix := values.Get("prefix")
	if prefix == "" {
		prefix = "/"
	}
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	s, err := x.openLink(t)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = listLimitMax
	}
	above := strings.TrimSuffix(string(s.Prefix), "/")
	q := &eventpb.FilesListRequest{Prefix: above + prefix, Limit: limit}
	if after != "" {
		q.After = above + after
	}
	x.session, x.owner = s.Session, s.Owner
	var reply eventpb.FilesListReply
	if err := x.ask(event.FilesList, q, &reply); err != nil {
		return err
	}
	out := SharedListReply{Files: make([]SharedFile, len(reply.Files)), Next: strings.TrimPrefix(reply.Next, above)}
	for i, f := range reply.Files {
		out.Files[i] = SharedFile{
			Path: strings.TrimPrefix(f.Path, above), FileID: hash(f.FileId), PlainBytes: f.PlainBytes, ContentType: f.ContentType, CreatedUs: f.CreatedUs,
		}
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// getPublic answers with a file that its owner shows to everybody: GET and HEAD /v1/public/{owner}/{path}.
func (x *exchange) getPublic(t target) error {
	s, err := x.h.node.Public(x.r.Context())
	if err != nil {
		return err
	}
	s.Owner = inos.Subject(t.name)
	return x.getShared(t, s)
}

// getShared reads in another's namespace with what the stranger's session is good for; the kernel decides, as it does of all.
func (x *exchange) getShared(t target, s Shared) error {
	x.session, x.owner = s.Session, s.Owner
	if x.r.Method == http.MethodHead {
		return x.head(t)
	}
	return x.get(t)
}

// takeOwner takes owner= out of the address of a file: whose namespace it is in. Without it is the session's own.
func (x *exchange) takeOwner() error {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return inos.Errorf(inos.CodeBadRequest, "parse query", "%w", err)
	}
	owners, named := values["owner"]
	if !named {
		return nil
	}
	if len(owners) != 1 {
		return inos.Errorf(inos.CodeBadRequest, "parse query", "owner is given %d times", len(owners))
	}
	if err := inos.CheckName(owners[0]); err != nil {
		return err
	}
	values.Del("owner")
	x.owner, x.r.URL.RawQuery = inos.Subject(owners[0]), values.Encode()
	return nil
}

// inNamespaceOf sets whose namespace a request is about.
func inNamespaceOf(owner inos.Subject, payload event.Message) {
	switch q := payload.(type) {
	case *eventpb.FilesPutRequest:
		q.Owner = string(owner)
	case *eventpb.FilesDeleteRequest:
		q.Owner = string(owner)
	case *eventpb.FilesSetRequest:
		q.Owner = string(owner)
	case *eventpb.FilesListRequest:
		q.Owner = string(owner)
	case *eventpb.FilesVerifyRequest:
		q.Owner = string(owner)
	case *eventpb.FilesGetRequest:
		q.Owner = string(owner)
	case *eventpb.FilesStatRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsOpenRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsListRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsStatRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsClaimRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsSendRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsCommitRequest:
		q.Owner = string(owner)
	case *eventpb.UploadsDropRequest:
		q.Owner = string(owner)
	}
}

// strangersError is what a stranger is told: that there is nothing, whether the address is wrong, was good once, or is somebody's who shows it to others
// alone; or that the node cannot answer now. No message of the node's goes out, for it may name the owner or a path.
func strangersError(err error) error {
	code := inos.CodeOf(err)
	switch code {
	case inos.CodeFileNotFound, inos.CodePermissionDenied, inos.CodeUnauthenticated, inos.CodeGrantUnknown, inos.CodeUserUnknown, inos.CodeBadPath, inos.CodeRouteNotFound:
		return &inos.Error{Code: inos.CodeFileNotFound, Op: "read shared file", Message: "there is nothing at this address, or not any more", Hint: "Ask whoever gave it to you for another."}
	}
	out := &inos.Error{Code: code, Op: "read shared file", Message: "it cannot be read now: " + strings.ReplaceAll(code.Name(), "_", " ")}
	if e := asError(err); e != nil {
		out.RetryAfter = e.RetryAfter
	}
	return out
}
