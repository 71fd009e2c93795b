package api

import "github.com/inos-mesh/inos"

// Codes by what an operation does. One that a group names can come of any operation that has the group.
var (
	// everywhere is what any request can get: the door is shut, the client left, the node is at fault.
	everywhere = []inos.Code{inos.CodeInternal, inos.CodeBusy, inos.CodeCanceled, inos.CodeDeadlineExceeded, inos.CodeShuttingDown, inos.CodeBadRequest}
	// whereGuarded is what a request that needs a token can get.
	whereGuarded = []inos.Code{
		inos.CodeUnauthenticated, inos.CodePermissionDenied, inos.CodeOriginRefused, inos.CodeRateLimited, inos.CodeNotSwitchboard, inos.CodeIO,
	}
	// whereQuestion is what a JSON body can get.
	whereQuestion = []inos.Code{inos.CodeEnvelopeTooLarge, inos.CodeBodyTruncated}
	// whereRepeated is what a request with an id of the client's can get.
	whereRepeated = []inos.Code{inos.CodeConflict, inos.CodeRequestExpired}
	// whereFile is what a request about one file can get.
	whereFile = []inos.Code{inos.CodeBadPath, inos.CodeFileNotFound, inos.CodePeerUnreachable}
	// whereStored is what a request that reads chunks can get.
	whereStored = []inos.Code{
		inos.CodeChunkNotFound, inos.CodeChunkCorrupt, inos.CodeBadFormat, inos.CodeWorkerLost, inos.CodeModuleFailed, inos.CodeInputQuarantined,
	}
	// whereRepresented is what a choice among a file's forms and parts can get.
	whereRepresented = []inos.Code{inos.CodePreconditionFailed, inos.CodeNotAcceptable}
	// whereRange is what a range can get.
	whereRange = []inos.Code{inos.CodeRangeNotSatisfiable}
	// whereVersion is what a request that makes a version of a path can get.
	whereVersion = []inos.Code{
		inos.CodePreconditionFailed, inos.CodeQuorumLost, inos.CodeReplicasUnreachable, inos.CodeCreditsShort, inos.CodeQuotaExceeded, inos.CodeReadOnly, inos.CodeDiskFull,
	}
	// whereBody is what a file's body can get.
	whereBody = []inos.Code{inos.CodeBodyTruncated, inos.CodeBodyMismatch, inos.CodeWorkerLost, inos.CodeModuleFailed, inos.CodeInputQuarantined}
	// whereUpload is what a request about one upload can get.
	whereUpload = []inos.Code{inos.CodeUploadUnknown}
	// whereLogin is what a login can get; it says nothing of why.
	whereLogin = []inos.Code{inos.CodeUnauthenticated, inos.CodeRateLimited, inos.CodeNotSwitchboard, inos.CodeIO}
	// whereStranger is what a link or a public address can get.
	whereStranger = []inos.Code{inos.CodeFileNotFound, inos.CodeOriginRefused, inos.CodeRateLimited, inos.CodeNotSwitchboard, inos.CodeIO, inos.CodePeerUnreachable}
)

// inAddress says what the names in the braces of addresses are.
var inAddress = map[string]string{
	"path": "a file's path without its first slash, each element escaped", "file_id": "BLAKE3 of the plain file", "chunk_id": "BLAKE3 of the stored chunk",
	"trace_id": "32 lower-case hexadecimal digits", "node": "a node's id", "name": "a user's or a group's name", "id": "an id as the list of its kind has it",
	"kind": "token or operator", "secret": "what the link was made with", "owner": "a user's name",
}

func inQuery(name, text string, schema object) parameter {
	return parameter{in: "query", name: name, text: text, schema: schema}
}

func inHeader(name, text string) parameter {
	return parameter{in: "header", name: name, text: text, schema: object{"type": "string"}}
}

func (p parameter) needed() parameter { p.required = true; return p }

var (
	aText   = object{"type": "string"}
	aNumber = object{"type": "integer", "minimum": 0}
	aFlag   = object{"type": "string", "enum": []string{"", "0", "1"}}

	inOwner   = inQuery("owner", "whose namespace; one's own when it is left away", aText)
	inLimit   = inQuery("limit", "how many at most", aNumber)
	inAfter   = inQuery("after", "where the page before ended: its next", aText)
	inUser    = inQuery("user", "whose; one's own when it is left away", aText)
	inAccount = inQuery("account", "user:NAME, escrow:NAME or grant", aText)
	inIndex   = inQuery("index", "the chunk's place in the file, from 0", aNumber).needed()
	inPath    = inQuery("path", "a file's path", aText)
	inFile    = inQuery("file", "a file's id, instead of its path", aText)

	inRequestID = inHeader("Inos-Request-Id", "a UUIDv7; the same one within 24 hours has one effect")
	inMatch     = inHeader("If-Match", "entity tags, or *")
	inNoneMatch = inHeader("If-None-Match", "entity tags, or *")

	ofRead = []parameter{
		inHeader("Accept-Encoding", "br gets the chunks as they are stored"), inMatch, inNoneMatch, inHeader("If-Modified-Since", "a date"), inHeader("If-Unmodified-Since", "a date"),
	}
	ofRange = []parameter{inHeader("Range", "up to 16 ranges of the plain bytes"), inHeader("If-Range", "an entity tag")}
	ofPut   = []parameter{
		inOwner, inRequestID, inMatch, inNoneMatch, inHeader("Inos-File-Id", "BLAKE3 that the body has to have"),
		inHeader("Content-Digest", "sha-256 or sha-512 of the body (RFC 9530)"), inHeader("Repr-Digest", "the same of the file"),
		inHeader("Inos-Replicas", "1 to 255"), inHeader("Inos-Sync", "on how many domains before the answer"), inHeader("Inos-Tier", "hot or cold"),
	}
)

// headerTexts says what the headers of answers are.
var headerTexts = map[string]string{
	"Inos-Trace-Id": "what GET /v1/traces/{trace_id} wants", "ETag": "of the form that was sent", "Inos-File-Id": "BLAKE3 of the plain file",
	"Inos-Version": "of the path", "Content-Range": "which bytes these are", "Content-Encoding": "br for the stored form", "Content-Disposition": "the file's name",
	"Location": "the upload", "Inos-Leaf": "which leaf of 1 KiB", "Inos-Stored-Bytes": "length of the stored form", "Retry-After": "seconds", "Set-Cookie": "the dashboard's session",
	"Last-Modified": "when the version was made", "Vary": "Accept-Encoding", "Accept-Ranges": "bytes",
}

// ofFile are the headers of an answer with a file.
var ofFile = []string{"ETag", "Inos-File-Id", "Inos-Version", "Content-Encoding", "Content-Disposition", "Last-Modified", "Vary", "Accept-Ranges"}
