package api

import (
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

const (
	anyMedia  = "*/*"
	plainText = "text/plain"
)

func all[T any](lists ...[]T) []T { return slices.Concat(lists...) }

func ok(body any, headers ...string) []reply { return []reply{{200, body, headers}} }

func created(body any) []reply { return []reply{{201, body, nil}} }

// ofContent are the answers of a get of a file.
var ofContent = []reply{{200, anyMedia, ofFile}, {206, anyMedia, append([]string{"Content-Range"}, ofFile...)}, {304, nil, ofFile}}

// described says of every route what its addresses are and what its methods take and answer. A route or method that is missing here fails a test.
var described = joined(describedFiles, describedIdentity)

func joined(tables ...map[route]description) map[route]description {
	out := map[route]description{}
	for _, table := range tables {
		maps.Copy(out, table)
	}
	return out
}

// describedFiles is the part of described about files, history and nodes.
var describedFiles = map[route]description{
	routeHome:    {[]string{"/"}, readable("says what this is", plainText)},
	routeHealth:  {[]string{"/healthz"}, readable("says that the process serves", plainText)},
	routeOpenAPI: {[]string{"/v1/openapi.json"}, readable("this document", "application/json")},
	routeReady: {[]string{"/readyz"}, map[string]operation{
		"GET":  {summary: "says whether the node takes work", answers: []reply{{200, plainText, nil}, {503, plainText, []string{"Retry-After"}}}},
		"HEAD": {summary: "says whether the node takes work", answers: []reply{{200, nil, nil}, {503, nil, []string{"Retry-After"}}}},
	}},
	routeMetrics: {[]string{"/metrics"}, map[string]operation{"GET": {summary: "status for Prometheus", answers: ok(plainText)}}},
	routeVersion: {[]string{"/v1/version"}, map[string]operation{"GET": {summary: "names the node and its build", answers: ok(Info{})}}},
	routeStatus:  {[]string{"/v1/status"}, map[string]operation{"GET": {summary: "the node's state", answers: ok(Status{})}}},

	routeFiles: {[]string{"/v1/files"}, map[string]operation{"GET": {
		summary: "a page of files by path", answers: ok(ListReply{}), codes: [][]inos.Code{{inos.CodeBadPath}},
		parameters: []parameter{inOwner, inQuery("prefix", "what paths begin with", aText), inAfter, inLimit},
	}}},
	routeFile: {[]string{"/v1/files/{path}"}, map[string]operation{
		"GET": {
			summary: "reads a file", answers: ofContent, parameters: all([]parameter{inOwner}, ofRead, ofRange),
			codes: [][]inos.Code{whereFile, whereStored, whereRepresented, whereRange},
		},
		"HEAD": {
			summary: "the headers of a get without Range", answers: []reply{{200, nil, ofFile}, {304, nil, ofFile}}, parameters: all([]parameter{inOwner}, ofRead),
			codes: [][]inos.Code{whereFile, whereRepresented},
		},
		"PUT": {
			summary: "stores the body", request: anyMedia, answers: []reply{{200, PutReply{}, []string{"ETag"}}, {201, PutReply{}, []string{"ETag"}}}, parameters: ofPut,
			codes: [][]inos.Code{whereFile, whereVersion, whereBody, whereRepeated},
		},
		"PATCH": {
			summary: "changes how a file is kept", request: FileQuestion{}, answers: ok(SetReply{}, "ETag"), parameters: []parameter{inOwner, inRequestID, inMatch, inNoneMatch},
			codes: [][]inos.Code{whereFile, whereVersion, whereRepeated, whereQuestion},
		},
		"DELETE": {
			summary: "removes a file", answers: ok(DeleteReply{}), parameters: []parameter{inOwner, inRequestID, inMatch, inNoneMatch},
			codes: [][]inos.Code{whereFile, whereVersion, whereRepeated},
		},
	}},
	routeBlob: {[]string{"/v1/blobs/{file_id}"}, map[string]operation{
		"GET": {
			summary: "reads a file by its id", answers: ofContent, parameters: all([]parameter{inOwner}, ofRead, ofRange),
			codes: [][]inos.Code{whereFile, whereStored, whereRepresented, whereRange},
		},
		"HEAD": {
			summary: "the headers of a get without Range", answers: []reply{{200, nil, ofFile}, {304, nil, ofFile}}, parameters: all([]parameter{inOwner}, ofRead),
			codes: [][]inos.Code{whereFile, whereRepresented},
		},
	}},
	routeChunk: {[]string{"/v1/chunks/{chunk_id}"}, map[string]operation{
		"GET": {
			summary: "the stored form of a chunk of a file", answers: []reply{{200, "application/octet-stream", []string{"ETag"}}, {304, nil, []string{"ETag"}}},
			parameters: []parameter{inOwner, inPath, inFile, inIndex, inNoneMatch}, codes: [][]inos.Code{whereFile, whereStored},
		},
		"HEAD": {
			summary: "the headers of a get", answers: []reply{{200, nil, []string{"ETag"}}, {304, nil, []string{"ETag"}}},
			parameters: []parameter{inOwner, inPath, inFile, inIndex, inNoneMatch}, codes: [][]inos.Code{whereFile, whereStored},
		},
	}},
	routeProof: {[]string{"/v1/chunks/{chunk_id}/proof"}, map[string]operation{"GET": {
		summary: "the Bao slice of a leaf of a chunk of a file", answers: ok("application/octet-stream", "Inos-Leaf", "Inos-Stored-Bytes"),
		parameters: []parameter{inOwner, inPath, inFile, inIndex, inQuery("offset", "a byte of the stored form", aNumber)}, codes: [][]inos.Code{whereFile, whereStored, whereRange},
	}}},
	routeStat: {[]string{"/v1/stat/{path}", "/v1/stat"}, map[string]operation{"GET": {
		summary: "one file, and a page of its chunks", answers: ok(StatReply{}), codes: [][]inos.Code{whereFile, whereStored},
		parameters: []parameter{inOwner, inQuery("id", "a file's id, instead of a path", aText), inQuery("first", "chunk of the page", aNumber), inLimit},
	}}},
	routeUploads: {[]string{"/v1/uploads"}, map[string]operation{
		"GET": {summary: "a page of one's own open uploads", answers: ok(UploadsReply{}), parameters: []parameter{inOwner, inAfter, inLimit}},
		"POST": {
			summary: "opens an upload: a file that arrives as stored chunks", request: UploadQuestion{}, answers: []reply{{201, Upload{}, []string{"Location"}}},
			parameters: []parameter{inOwner, inRequestID}, codes: [][]inos.Code{whereFile, whereVersion, whereRepeated, whereQuestion},
		},
	}},
	routeUpload: {[]string{"/v1/uploads/{id}"}, map[string]operation{
		"GET": {
			summary: "an upload, with a page of what is there of it and what is missing", answers: ok(UploadPage{}), codes: [][]inos.Code{whereUpload},
			parameters: []parameter{inOwner, inQuery("first", "chunk of the page", aNumber), inLimit},
		},
		"DELETE": {summary: "gives an upload up", answers: []reply{{204, nil, nil}}, parameters: []parameter{inOwner}, codes: [][]inos.Code{whereUpload, {inos.CodeConflict}}},
	}},
	routeUploadMissing: {[]string{"/v1/uploads/{id}/missing"}, map[string]operation{"POST": {
		summary: "which of the client's chunks have to be sent", request: ClaimQuestion{}, answers: ok(ClaimReply{}), parameters: []parameter{inOwner},
		codes: [][]inos.Code{whereUpload, whereQuestion},
	}}},
	routeUploadChunk: {[]string{"/v1/uploads/{id}/chunks/{chunk_id}"}, map[string]operation{"PUT": {
		summary: "one chunk in its stored form", request: "application/octet-stream", answers: []reply{{200, SentReply{}, nil}, {201, SentReply{}, nil}},
		parameters: []parameter{inOwner, inIndex, inQuery("quality", "of Brotli, as a note", aNumber)}, codes: [][]inos.Code{whereUpload, whereFile, whereVersion, whereBody},
	}}},
	routeUploadCommit: {[]string{"/v1/uploads/{id}/commit"}, map[string]operation{"POST": {
		summary: "makes the file visible", request: CommitQuestion{}, answers: []reply{{200, PutReply{}, []string{"ETag"}}, {201, PutReply{}, []string{"ETag"}}},
		parameters: []parameter{inOwner, inRequestID, inMatch, inNoneMatch},
		codes:      [][]inos.Code{whereUpload, {inos.CodeUploadIncomplete}, whereFile, whereVersion, whereBody, whereStored, whereRepeated, whereQuestion},
	}}},
	routeVerify: {[]string{"/v1/verify"}, map[string]operation{"POST": {
		summary: "reads what is stored, and checks it", answers: ok(jsonLines{VerifyLine{}}), parameters: []parameter{inOwner, inPath}, codes: [][]inos.Code{whereFile, whereStored},
	}}},

	routeEvents: {[]string{"/v1/events"}, map[string]operation{
		"GET": {
			summary: "history, and what happens; with Upgrade: websocket a socket", answers: []reply{{200, "text/event-stream", nil}, {101, nil, nil}},
			parameters: []parameter{
				inQuery("prefix", "what event types begin with", aText), inQuery("trace", "of one trace", aText), inQuery("last", "how many of the newest", aNumber),
				inQuery("after", "a sequence number", aNumber), inQuery("follow", "goes on with what happens", aFlag), inHeader("Last-Event-ID", "the same as after"),
			},
		},
		"POST": {
			summary: "one request as a binary envelope; its reply is one too, with the status of its code", request: protobufType, answers: ok(protobufType),
			codes: [][]inos.Code{{inos.CodeBadEnvelope, inos.CodeBadEventType, inos.CodeEnvelopeTooLarge, inos.CodeUnknownEvent, inos.CodeBodyTruncated}, whereRepeated, whereFile, whereStored, whereVersion},
		},
	}},
	routeTrace: {[]string{"/v1/traces/{trace_id}"}, map[string]operation{"GET": {summary: "the stages of one request", answers: ok(Trace{})}}},

	routeNodes: {[]string{"/v1/nodes"}, map[string]operation{"GET": {summary: "the members of the mesh, a page", parameters: []parameter{inAfter, inLimit}, answers: ok(NodesReply{})}}},
	routeNode: {[]string{"/v1/nodes/{node}"}, map[string]operation{"PATCH": {
		summary: "what the operator wants of a member", request: NodeQuestion{}, answers: ok(Member{}), codes: [][]inos.Code{whereQuestion, {inos.CodeNodeUnknown, inos.CodeConflict}},
	}}},
	routeInvites: {[]string{"/v1/invites"}, map[string]operation{"POST": {
		summary: "signs an invite for one newcomer", request: InviteQuestion{}, answers: created(InviteReply{}), codes: [][]inos.Code{whereQuestion, {inos.CodeConflict}},
	}}},
	routeRepairs: {[]string{"/v1/repairs"}, map[string]operation{"GET": {summary: "the repair queue", answers: ok(RepairsReply{}), parameters: []parameter{inLimit}}}},
	routeLink:    {[]string{"/v1/links/{secret}", "/v1/links/{secret}/{path}"}, shared("a file, to whoever has the link")},
	routeLinkList: {[]string{"/v1/links/{secret}/"}, map[string]operation{"GET": {
		summary: "a page of the files below a folder, to whoever has a link to it", answers: ok(SharedListReply{}), codes: [][]inos.Code{whereStranger, whereQuestion},
		parameters: []parameter{inQuery("prefix", "what paths begin with", aText), inAfter, inLimit},
	}}},
	routePublic: {[]string{"/v1/public/{owner}/{path}"}, shared("a file that its owner shows to everybody")},
}

// readable are the operations of an address that everybody may read.
func readable(summary, media string) map[string]operation {
	return map[string]operation{"GET": {summary: summary, answers: ok(media)}, "HEAD": {summary: summary, answers: ok(nil)}}
}

// shared are the operations of a file that a stranger may read.
func shared(summary string) map[string]operation {
	return map[string]operation{
		"GET": {summary: summary, answers: ofContent, parameters: all(ofRead, ofRange), codes: [][]inos.Code{whereStranger, whereStored, whereRepresented, whereRange}},
		"HEAD": {
			summary: summary, answers: []reply{{200, nil, ofFile}, {304, nil, ofFile}}, parameters: ofRead, codes: [][]inos.Code{whereStranger, whereRepresented},
		},
	}
}
