package kernel

import (
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// need is what a request needs: a service, a verb and a resource. Of files, the resource is a path, or begins with ~OWNER in the
// namespace of somebody else; of a list, it ends in "*".
type need struct {
	service, verb, resource string
	byID                    bool // a file or an upload asked for by its id: checked again when the path is known
}

// String returns the capability that would cover the need.
func (n need) String() string { return n.service + ":" + n.verb + ":" + n.resource }

// covers says that one of the capabilities allows what is needed. A capability is service:verb:resource; "*" alone
// matches everything in its place, and a resource that ends in "/*" matches what is below it.
func covers(capabilities []string, n need) bool {
	for _, c := range capabilities {
		parts := strings.SplitN(c, ":", 3)
		if len(parts) != 3 || parts[0] != "*" && parts[0] != n.service || parts[1] != "*" && parts[1] != n.verb {
			continue
		}
		if n.byID && (parts[2] == "*" || strings.HasPrefix(parts[2], n.resource+"/")) || comprises(parts[2], n.resource) {
			return true
		}
	}
	return false
}

// comprises says that a resource, or all that another one which ends in "*" stands for, belongs to what a capability names.
func comprises(resource, other string) bool {
	if resource == "*" || resource == other {
		return true
	}
	below, open := strings.CutSuffix(resource, "*")
	return open && strings.HasSuffix(below, "/") && strings.HasPrefix(other, below)
}

// attenuates says that capabilities allow nothing that those one has do not.
func attenuates(have, want []string) bool {
	for _, c := range want {
		parts := strings.SplitN(c, ":", 3)
		if len(parts) != 3 || !covers(have, need{service: parts[0], verb: parts[1], resource: parts[2]}) {
			return false
		}
	}
	return true
}

// checkCapabilities refuses what is no list of capabilities: too many, too long, or not of their grammar.
func checkCapabilities(op string, capabilities []string) *inos.Error {
	if len(capabilities) > inos.SessionCapsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d capabilities, at most %d", len(capabilities), inos.SessionCapsMax)
	}
	for _, c := range capabilities {
		parts := strings.SplitN(c, ":", 3)
		if len(c) > capabilityBytes || len(parts) != 3 || !word(parts[0]) || !word(parts[1]) || !resource(parts[2]) {
			return inos.Errorf(inos.CodeBadRequest, op, "%.200q is no capability; one is service:verb:resource, like files:read:/photos/*", c)
		}
	}
	return nil
}

// word says that s is "*" or a name as event types have them.
func word(s string) bool {
	if s == "*" {
		return true
	}
	for i, r := range []byte(s) {
		if (r < 'a' || r > 'z') && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= wordBytesMax
}

// resource says that s is one: "*", a path, ~OWNER and a path, or a name. What ends in "/*" stands for all that is below.
func resource(s string) bool {
	if s == "*" {
		return true
	}
	path := s
	if rest, other := strings.CutPrefix(s, "~"); other {
		owner, below, ok := strings.Cut(rest, "/")
		if !ok || !userName(owner) {
			return false
		}
		path = "/" + below
	}
	if !strings.HasPrefix(path, "/") {
		return name(s)
	}
	path, open := strings.CutSuffix(path, "/*")
	return open && path == "" || !strings.Contains(path, "*") && inos.CheckPath(inos.Path(path)) == nil
}

// name says that s names a user, a group, an account or a node.
func name(s string) bool {
	for _, r := range []byte(s) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:-", rune(r)) {
			return false
		}
	}
	return s != "" && len(s) <= nameBytesMax
}

// userName says that s can be a user's or a group's: [a-z][a-z0-9._-]{0,63}, and nobody's of these two.
func userName(s string) bool {
	for i, r := range []byte(s) {
		if (r < 'a' || r > 'z') && (i == 0 || (r < '0' || r > '9') && !strings.ContainsRune("._-", rune(r))) {
			return false
		}
	}
	return s != "" && len(s) <= inos.NameBytesMax && s != publicSubject && s != hostToken
}

// Subjects of sessions without a user. They have no namespace.
const (
	publicSubject = "public" // nobody has logged in
	linkPrefix    = "link:"  // and the id of its grant: who holds a link's secret
)

// hasNamespace says that a subject is a user.
func hasNamespace(s inos.Subject) bool {
	return s != "" && s != publicSubject && s != hostToken && !strings.Contains(string(s), ":")
}

// linkOf returns the grant of a subject that holds a link.
func linkOf(s inos.Subject) (id string, ok bool) { return strings.CutPrefix(string(s), linkPrefix) }

// userCapabilities returns all that a user has: of an operator everything, of others their files and those they are let in to, and what
// is of themselves.
func userCapabilities(u *eventpb.User) []string {
	if u.Operator {
		return []string{"*:*:*"}
	}
	return []string{
		"files:*:*", "grants:*:*", "tokens:*:" + u.Name, "devices:*:" + u.Name, "users:read:" + u.Name, "ledger:read:user:" + u.Name, "ledger:read:escrow:" + u.Name,
	}
}
