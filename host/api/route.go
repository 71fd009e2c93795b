package api

import (
	"net/url"
	"sort"
	"strings"

	"github.com/inos-mesh/inos"
)

// route is one kind of address.
type route int

const (
	routeNone route = iota
	routeHome
	routeHealth
	routeReady
	routeMetrics
	routeVersion
	routeStatus
	routeFiles // the list
	routeFile
	routeBlob
	routeStat
	routeUploads
	routeUpload
	routeUploadMissing
	routeUploadChunk
	routeUploadCommit
	routeChunk
	routeProof
	routeVerify
	routeEvents
	routeTrace
	routeNodes
	routeNode
	routeInvites
	routeRepairs
	routeChallenge
	routeLogin
	routeRefresh
	routeUsers
	routeUser
	routeWhoami
	routeEnrolments
	routeDevices
	routeDevice
	routeGroups
	routeGroup
	routeTokens
	routeToken
	routeGrants
	routeGrant
	routeLedger
	routeKeys
	routeKey
	routeLink
	routeLinkList
	routePublic
	routeCodes
	routeDashboard
	routeOpenAPI
)

// target is a parsed address.
type target struct {
	route   route
	path    inos.Path
	fileID  *inos.FileID
	chunk   *inos.ChunkID
	traceID string
	node    inos.NodeID
	name    string // of a user, a group, a device, a token, a grant, an upload, a kind of key
	secret  string // of a link
}

type method struct {
	method string
	serve  func(*exchange, target) error
}

type methods []method

// allow returns the value of an Allow header.
func (m methods) allow() string {
	names := make([]string, len(m))
	for i := range m {
		names[i] = m[i].method
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// routes is the whole interface: what each address is called in metrics, whether it needs a token, and its methods.
var routes = map[route]struct {
	name    string
	open    bool // no token
	methods methods
}{
	routeNone:    {name: "none"},
	routeHome:    {"home", true, methods{{"GET", (*exchange).home}, {"HEAD", (*exchange).home}}},
	routeHealth:  {"health", true, methods{{"GET", (*exchange).health}, {"HEAD", (*exchange).health}}},
	routeReady:   {"ready", true, methods{{"GET", (*exchange).readiness}, {"HEAD", (*exchange).readiness}}},
	routeMetrics: {"metrics", false, methods{{"GET", (*exchange).metrics}}},
	routeVersion: {"version", false, methods{{"GET", (*exchange).version}}},
	routeStatus:  {"status", false, methods{{"GET", (*exchange).status}}},
	routeFiles:   {"files", false, methods{{"GET", (*exchange).list}}},
	routeFile: {"file", false, methods{
		{"GET", (*exchange).get},
		{"HEAD", (*exchange).head},
		{"PUT", (*exchange).put},
		{"PATCH", (*exchange).setFile},
		{"DELETE", (*exchange).remove},
	}},
	routeBlob:          {"blob", false, methods{{"GET", (*exchange).get}, {"HEAD", (*exchange).head}}},
	routeChunk:         {"chunk", false, methods{{"GET", (*exchange).chunk}, {"HEAD", (*exchange).chunk}}},
	routeProof:         {"proof", false, methods{{"GET", (*exchange).proof}}},
	routeStat:          {"stat", false, methods{{"GET", (*exchange).stat}}},
	routeUploads:       {"uploads", false, methods{{"GET", (*exchange).uploads}, {"POST", (*exchange).openUpload}}},
	routeUpload:        {"upload", false, methods{{"GET", (*exchange).statUpload}, {"DELETE", (*exchange).dropUpload}}},
	routeUploadMissing: {"upload_missing", false, methods{{"POST", (*exchange).claimChunks}}},
	routeUploadChunk:   {"upload_chunk", false, methods{{"PUT", (*exchange).sendChunk}}},
	routeUploadCommit:  {"upload_commit", false, methods{{"POST", (*exchange).commitUpload}}},
	routeVerify:        {"verify", false, methods{{"POST", (*exchange).verify}}},
	routeEvents:        {"events", false, methods{{"GET", (*exchange).events}, {"POST", (*exchange).submit}}},
	routeTrace:         {"trace", false, methods{{"GET", (*exchange).traces}}},

	routeNodes:   {"nodes", false, methods{{"GET", (*exchange).nodes}}},
	routeNode:    {"node", false, methods{{"PATCH", (*exchange).setNode}}},
	routeInvites: {"invites", false, methods{{"POST", (*exchange).invite}}},
	routeRepairs: {"repairs", false, methods{{"GET", (*exchange).repairs}}},

	routeChallenge:  {"challenge", true, methods{{"POST", (*exchange).challenge}}},
	routeLogin:      {"login", true, methods{{"POST", (*exchange).login}}},
	routeRefresh:    {"refresh", true, methods{{"POST", (*exchange).refresh}}},
	routeUsers:      {"users", false, methods{{"GET", (*exchange).users}}},
	routeUser:       {"user", false, methods{{"GET", (*exchange).user}, {"PUT", (*exchange).putUser}}},
	routeWhoami:     {"whoami", false, methods{{"GET", (*exchange).whoami}}},
	routeEnrolments: {"enrolments", false, methods{{"POST", (*exchange).enrol}}},
	routeDevices:    {"devices", false, methods{{"GET", (*exchange).devices}}},
	routeDevice:     {"device", false, methods{{"DELETE", (*exchange).revokeDevice}}},
	routeGroups:     {"groups", false, methods{{"GET", (*exchange).groups}}},
	routeGroup:      {"group", false, methods{{"GET", (*exchange).group}, {"PUT", (*exchange).putGroup}, {"DELETE", (*exchange).removeGroup}}},
	routeTokens:     {"tokens", false, methods{{"GET", (*exchange).tokens}, {"POST", (*exchange).issueToken}, {"DELETE", (*exchange).revokeTokens}}},
	routeToken:      {"token", false, methods{{"DELETE", (*exchange).revokeToken}}},
	routeGrants:     {"grants", false, methods{{"GET", (*exchange).grants}, {"POST", (*exchange).putGrant}}},
	routeGrant:      {"grant", false, methods{{"DELETE", (*exchange).removeGrant}}},
	routeLedger:     {"ledger", false, methods{{"GET", (*exchange).ledger}, {"POST", (*exchange).transfer}}},
	routeKeys:       {"keys", false, methods{{"GET", (*exchange).keys}}},
	routeKey:        {"key", false, methods{{"POST", (*exchange).rotateKey}}},
	routeLink:       {"link", true, methods{{"GET", (*exchange).getLink}, {"HEAD", (*exchange).getLink}}},
	routeLinkList:   {"link_list", true, methods{{"GET", (*exchange).listLink}}},
	routePublic:     {"public", true, methods{{"GET", (*exchange).getPublic}, {"HEAD", (*exchange).getPublic}}},
	routeCodes:      {"dashboard_code", false, methods{{"POST", (*exchange).dashboardCode}}},
	routeOpenAPI:    {"openapi", true, methods{{"GET", (*exchange).openAPI}, {"HEAD", (*exchange).openAPI}}},
	routeDashboard:  {"dashboard", true, methods{{"POST", (*exchange).openDashboard}, {"DELETE", (*exchange).closeDashboard}}},
}

// content tells whether the route answers with what people stored.
func (r route) content() bool { return r == routeFile || r == routeBlob || r.stranger() }

// inNamespace tells whether the route is about files of one namespace.
func (r route) inNamespace() bool {
	switch r {
	case routeUploads, routeUpload, routeUploadMissing, routeUploadChunk, routeUploadCommit:
		return true
	}
	return r == routeFile || r == routeFiles || r == routeBlob || r == routeStat || r == routeChunk || r == routeProof || r == routeVerify
}

// stranger tells whether the route is for who is nobody here.
func (r route) stranger() bool { return r == routeLink || r == routeLinkList || r == routePublic }

func (r route) name() string     { return routes[r].name }
func (r route) open() bool       { return routes[r].open }
func (r route) methods() methods { return routes[r].methods }

var exact = map[string]route{
	"/": routeHome, "/healthz": routeHealth, "/readyz": routeReady, "/metrics": routeMetrics,
	"/v1/version": routeVersion, "/v1/status": routeStatus, "/v1/files": routeFiles, "/v1/stat": routeStat, "/v1/uploads": routeUploads,
	"/v1/verify": routeVerify, "/v1/events": routeEvents, "/v1/nodes": routeNodes, "/v1/invites": routeInvites, "/v1/repairs": routeRepairs,
	"/v1/login": routeLogin, "/v1/login/challenge": routeChallenge, "/v1/login/refresh": routeRefresh, "/v1/users": routeUsers, "/v1/whoami": routeWhoami, "/v1/devices": routeDevices,
	"/v1/groups": routeGroups, "/v1/tokens": routeTokens, "/v1/grants": routeGrants, "/v1/ledger": routeLedger, "/v1/keys": routeKeys,
	"/v1/dashboard/codes": routeCodes, "/v1/dashboard/session": routeDashboard, "/v1/openapi.json": routeOpenAPI,
}

// named are the addresses that end in one name, and what a name has to be.
var named = []struct {
	prefix string
	route  route
	check  func(string) error
}{
	{"/v1/users/", routeUser, inos.CheckName},
	{"/v1/groups/", routeGroup, inos.CheckName},
	{"/v1/devices/", routeDevice, checkNodeID},
	{"/v1/tokens/", routeToken, checkID},
	{"/v1/grants/", routeGrant, checkID},
	{"/v1/keys/", routeKey, checkKeyKind},
}

// parseTarget reads the address of a request. It works on the escaped path and cleans nothing: an address with an
// empty element, ".", ".." or an escaped slash is refused as it stands, so that a permission can never be asked for
// another path than the one that is used. The route is known even when its argument is refused.
func parseTarget(u *url.URL) (target, error) {
	escaped := u.EscapedPath()
	if r, ok := exact[escaped]; ok {
		return target{route: r}, nil
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/files/"); ok {
		p, err := parsePath(rest)
		return target{route: routeFile, path: p}, err
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/stat/"); ok {
		p, err := parsePath(rest)
		return target{route: routeStat, path: p}, err
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/blobs/"); ok {
		id, err := inos.ParseFileID(rest)
		return target{route: routeBlob, fileID: &id}, err
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/chunks/"); ok {
		r := routeChunk
		if below, ok := strings.CutSuffix(rest, "/proof"); ok {
			r, rest = routeProof, below
		}
		id, err := inos.ParseChunkID(rest)
		return target{route: r, chunk: &id}, err
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/uploads/"); ok {
		return parseUpload(rest)
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/traces/"); ok {
		if !isTraceID(rest) {
			return target{route: routeTrace}, inos.Errorf(inos.CodeBadRequest, "parse trace id", "%.80q is not 32 lower-case hexadecimal digits", rest)
		}
		return target{route: routeTrace, traceID: rest}, nil
	}
	if rest, ok := strings.CutPrefix(escaped, "/v1/nodes/"); ok {
		return target{route: routeNode, node: inos.NodeID(rest)}, checkNodeID(rest)
	}
	for _, n := range named {
		if rest, ok := strings.CutPrefix(escaped, n.prefix); ok {
			if user, ok := strings.CutSuffix(rest, "/enrolments"); ok && n.route == routeUser {
				return target{route: routeEnrolments, name: user}, n.check(user)
			}
			return target{route: n.route, name: rest}, n.check(rest)
		}
	}
	if rest, ok := strings.CutPrefix(escaped, linksPrefix); ok {
		return parseLink(rest)
	}
	if rest, ok := strings.CutPrefix(escaped, publicPrefix); ok {
		owner, below, _ := strings.Cut(rest, "/")
		if err := inos.CheckName(owner); err != nil {
			return target{route: routePublic}, inos.Errorf(inos.CodeUserUnknown, "find owner", "%w", err)
		}
		p, err := parsePath(below)
		return target{route: routePublic, name: owner, path: p}, err
	}
	return target{}, inos.Errorf(inos.CodeRouteNotFound, "find route", "%.200q", escaped)
}

// parseLink reads a link's secret and a path below what it was made for. Nothing that goes wrong repeats the secret.
func parseLink(rest string) (target, error) {
	secret, below, further := strings.Cut(rest, "/")
	t := target{route: routeLink, secret: secret}
	if secret == "" || len(secret) > loginSecretMax || strings.Contains(secret, "%") {
		return t, inos.Errorf(inos.CodeGrantUnknown, "find link", "its form is not that of a link")
	}
	if !further {
		return t, nil
	}
	if below == "" {
		t.route = routeLinkList
		return t, nil
	}
	var err error
	t.path, err = parsePath(below)
	return t, err
}

// parsePath reads a file's path from the rest of an escaped URL path.
func parsePath(escaped string) (inos.Path, error) {
	const op = "parse path"
	if len(escaped) > 3*inos.PathBytesMax { // %xx for each byte
		return "", inos.Errorf(inos.CodeBadPath, op, "the path is longer than %d bytes", inos.PathBytesMax)
	}
	var b strings.Builder
	for _, element := range strings.Split(escaped, "/") {
		plain, err := url.PathUnescape(element)
		if err != nil {
			return "", inos.Errorf(inos.CodeBadPath, op, "%.80q is not escaped as a URL: %w", element, err)
		}
		if strings.Contains(plain, "/") {
			return "", inos.Errorf(inos.CodeBadPath, op, "%.80q hides a slash", element)
		}
		b.WriteByte('/')
		b.WriteString(plain)
	}
	p := inos.Path(b.String())
	return p, inos.CheckPath(p)
}

// checkNodeID refuses what is no node's id: letters and digits, of which base58 is made.
func checkNodeID(s string) error {
	const op = "parse node id"
	if s == "" || len(s) > nodeIDMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d characters are not 1 to %d", len(s), nodeIDMax)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return inos.Errorf(inos.CodeBadRequest, op, "%.80q has other characters than letters and digits", s)
		}
	}
	return nil
}

// checkID refuses what is no id of a token or a grant: letters, digits and dashes.
func checkID(s string) error {
	if s == "" || len(s) > nodeIDMax || strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return inos.Errorf(inos.CodeBadRequest, "parse id", "%.80q is not 1 to %d letters, digits and dashes", s, nodeIDMax)
	}
	return nil
}

// checkKeyKind refuses what is no kind of key that can be rotated here.
func checkKeyKind(s string) error {
	if s != "token" && s != "operator" {
		return inos.Errorf(inos.CodeRouteNotFound, "find key", "%.40q is neither token nor operator", s)
	}
	return nil
}

// checkPrefix refuses what no path begins with. The prefix of all is "" or "/"; the last element may be a part of one.
func checkPrefix(prefix string) error {
	if prefix == "" || prefix == "/" {
		return nil
	}
	return inos.CheckPath(inos.Path(strings.TrimSuffix(prefix, "/")))
}

// escapePath is the inverse of parsePath: the rest of a URL path for a valid path.
func escapePath(p inos.Path) string {
	elements := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i := range elements {
		elements[i] = url.PathEscape(elements[i])
	}
	return strings.Join(elements, "/")
}
