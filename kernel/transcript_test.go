package kernel

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

var rewrite = flag.Bool("rewrite", false, "write what the kernel does into testdata")

// A transcript is a file of commands, each followed by a line "----" and what the kernel did, up to an empty line:
//
//	boot workers=2 [unclean] [quality=Q] [buffers=MiB] [deadline=D of a module call] [page=members of one]
//	session token=T [subject=S] [caps=a,b] [ttl=1h]      revoke token=T
//	put path=P bytes=N[MiB] [same] [name=N] [length=N] [replicas=N] [expect] [id=K] [token=T]
//	get path=P [encoded] [discard] [offset=N] [length=N]
//	delete path=P    set path=P replicas=N    list [prefix=P]    stat path=P [chunks=N]    verify [path=P]    status [host]    drain
//	… deadline=D                          of any request: its inos-deadline, from now
//	send type=T [user=U] [token=T]        an envelope without a payload
//	corrupt plain=PREFIX                  the disk loses the chunks of these plain bytes
//	perform type=PREFIX                   performs the first such effect; complete tells its end
//	complete [type=PREFIX] [all]          performs the first pending effect, or all that follow from it too
//	fail type=PREFIX code=NAME            ends the first such effect with an error
//	kill worker=N    gone path=P    tick [DURATION|wake] [awake]   in one leap; awake: with every tick that the kernel wants
//	wake                                  how long from now the kernel wants to be woken
//	hang name=N                           the module loops for ever at the body of that name
//	nodes [ZONE/]HOST/NODE …              other members, each with a disk; before boot
//	up node=N    down node=N    full node=N    beat node=N    lose node=N plain=PREFIX
//	boot provider [switchboards=a,b]      a node that decides nothing
//	serve peer=N [sb] type=T chunk=NAME [holder=N] [at=N] [verb=V] [expired] [free] [order=N] [source=N]
//	                                      another node's call about a chunk of its own; free: without a ticket
//	… owner=O                             of requests about files: in whose namespace; file=P: by the id of the owner's file there
//	news peer=N [sb] [gone]               a connection was made or lost
//
// An effect for another node is found as mesh:call/NODE/STAGE.
//
// Each transcript runs natively, is restored from a snapshot before every step, and runs again in kernel.wasm.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			recorder := &recording{stepper: &pair{t: t, k: New(), every: 1}}
			transcript(t, file, recorder)
			recorder.replayInWASM(t)
		})
	}
}

// recording keeps what a kernel was stepped with and what it did.
type recording struct {
	stepper
	steps []recordedStep
}

type recordedStep struct {
	now  inos.Micros
	in   []byte
	out  [][]byte
	wake inos.Micros
}

func (r *recording) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	s := recordedStep{now: now, in: event.Encode(nil, e)}
	out, wake := r.stepper.step(now, e)
	for _, e := range out {
		s.out = append(s.out, event.Encode(nil, e))
	}
	s.wake = wake
	r.steps = append(r.steps, s)
	return out, wake
}

func transcript(t *testing.T, file string, k stepper) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{w: newWorld(k), named: map[string]string{}, paths: map[string]uint64{}, asked: map[string]string{}}
	var result bytes.Buffer
	rest := string(raw)
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		if line == "" || strings.HasPrefix(line, "#") {
			result.WriteString(line + "\n")
			continue
		}
		if separator, after, ok := strings.Cut(rest, "\n"); ok && separator == "----" {
			rest = after
			for rest != "" {
				old, after, _ := strings.Cut(rest, "\n")
				rest = after
				if old == "" {
					break
				}
			}
		}
		s.lines = nil
		s.run(line)
		for _, p := range s.w.problems {
			t.Errorf("%s: %s: %s", file, line, p)
		}
		s.w.problems = nil
		text := madeID.ReplaceAllString(strings.Join(append(s.lines, ""), "\n"), "${1}ID")
		fmt.Fprintf(&result, "%s\n----\n%s\n", line, text)
	}
	s.w.sound()
	if len(s.w.pending) == 0 && len(s.w.buffers) > 0 {
		s.w.problem("%d buffers are left", len(s.w.buffers))
	}
	for _, p := range s.w.problems {
		t.Errorf("%s: %s", file, p)
	}
	got := strings.TrimRight(result.String(), "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(raw) {
		wantLines, gotLines := strings.Split(string(raw), "\n"), strings.Split(got, "\n")
		for i := range gotLines {
			if i >= len(wantLines) || wantLines[i] != gotLines[i] {
				t.Fatalf("%s:%d: the kernel does\n  %s\nand -rewrite would write it; it was\n  %s", file, i+1, gotLines[i], strings.Join(wantLines[min(i, len(wantLines)):min(i+1, len(wantLines))], ""))
			}
		}
		t.Fatalf("%s is longer than what the kernel does", file)
	}
}

// madeID finds the ids that the kernel makes for what is kept.
var madeID = regexp.MustCompile(`(link:|token |session )[0-9a-f]{8}-[0-9a-f-]{27}`)

type script struct {
	w     *world
	lines []string
	named map[string]string // id= of a request -> its id
	paths map[string]uint64 // path -> stream of its last put or get
	asked map[string]string // path -> id of the last request about it; empty: of all
}

func arguments(line string) (verb string, args map[string]string) {
	fields := strings.Fields(line)
	args = map[string]string{}
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		args[k] = v
	}
	return fields[0], args
}

func size(s string) uint64 {
	unit := uint64(1)
	if n, ok := strings.CutSuffix(s, "MiB"); ok {
		s, unit = n, 1<<20
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n * unit
}

func (s *script) run(line string) {
	w := s.w
	verb, args := arguments(line)
	_, same := args["same"]
	number := func(name string, other int64) int64 {
		if v, ok := args[name]; ok {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				panic(err)
			}
			return n
		}
		return other
	}
	duration := func(name string) inos.Micros {
		if args[name] == "" {
			return 0
		}
		d, err := time.ParseDuration(args[name])
		if err != nil {
			panic(err)
		}
		return inos.Micros(d.Microseconds())
	}
	token := "t"
	if v, ok := args["token"]; ok {
		token = v
	}
	request := func(typ string, m event.Message) {
		e := w.request(token, typ, m)
		if name, ok := args["id"]; ok {
			if old, again := s.named[name]; again {
				e.Id = old
			}
			s.named[name] = e.Id
		}
		s.asked[args["path"]] = e.Id
		e.Metadata.UserId = args["user"]
		if d := duration("deadline"); d != 0 {
			limitTime(e, w.now+d)
		}
		s.give(e)
	}
	has := func(name string) bool { _, ok := args[name]; return ok }
	switch verb {
	case "boot":
		w.boot.Workers = uint32(number("workers", 2))
		w.boot.Unclean = has("unclean")
		w.page = uint32(number("page", 0))
		w.boot.BrotliQuality = uint32(number("quality", 0))
		w.boot.BufferBytesMax = uint64(number("buffers", 64)) << 20
		w.boot.ModuleDeadlineUs = uint64(duration("deadline"))
		if has("provider") {
			w.boot.Switchboard, w.boot.Workers, w.boot.Invite = false, 0, []byte("invite")
			w.boot.Switchboards = strings.FieldsFunc(args["switchboards"], func(r rune) bool { return r == ',' })
			w.beats = s.switchboard
		}
		s.give(w.host(event.NodeBoot, w.boot))
	case "session":
		caps := []string{"files:*:*", "node:*:*"}
		if has("caps") {
			caps = strings.Split(args["caps"], ",")
		}
		m := &eventpb.Session{TokenId: token, Subject: "ann", Device: "laptop", Capabilities: caps, Audience: args["audience"], Peer: args["peer"]}
		if has("program") {
			m.Device = ""
		}
		if has("subject") {
			m.Subject = args["subject"]
		}
		if has("ttl") {
			m.ExpiresUs = int64(w.now + duration("ttl"))
		}
		s.give(w.host(event.IdentitySession, m))
	case "nodes":
		for _, f := range strings.Fields(line)[1:] {
			parts := strings.Split(f, "/")
			zone := "home"
			if len(parts) > 2 {
				zone = parts[0]
			}
			w.join(parts[len(parts)-1], zone, parts[len(parts)-2], "cold", 1<<40)
		}
	case "up":
		w.others[args["node"]].down = false
	case "down":
		w.others[args["node"]].down = true
	case "full":
		w.others[args["node"]].full = true
	case "beat":
		s.capture(func() { w.beat(args["node"]) })
	case "lose":
		d := w.others[args["node"]]
		if has("records") {
			clear(d.records)
			break
		}
		for _, id := range sortedKeys(d.chunks) {
			if c := d.chunks[id]; strings.HasPrefix(c.plain, args["plain"]) {
				delete(d.chunks, id)
			}
		}
	case "serve":
		s.serve(args, has)
	case "news":
		s.give(w.host(event.MeshPeer, &eventpb.MeshPeer{Peer: args["peer"], Connected: !has("gone"), Switchboard: has("sb")}))
	case "revoke":
		s.give(w.host(event.IdentityRevoke, &eventpb.Revocation{TokenId: token}))
	case "orphan":
		id := string(hashOf("orphan", args["name"]))
		w.chunks[id] = stored{id: id, size: 100}
	case "free":
		w.free = size(args["bytes"])
	case "put":
		n := size(args["bytes"])
		name := args["path"]
		if has("name") {
			name = args["name"]
		}
		w.ids++
		w.streams[w.ids] = &body{name: name, length: n, same: same}
		s.paths[args["path"]] = w.ids
		q := &eventpb.FilesPutRequest{Path: args["path"], Stream: w.ids, LengthBytes: number("length", int64(n)), Replicas: uint32(number("replicas", 0))}
		if has("expect") {
			q.ExpectedFileId = hashOf("expected")
		}
		q.Owner = args["owner"]
		request(event.FilesPut, q)
	case "get":
		w.ids++
		w.streams[w.ids] = &body{}
		s.paths[args["path"]] = w.ids
		request(event.FilesGet, &eventpb.FilesGetRequest{
			Path: args["path"], Stream: w.ids, Encoded: has("encoded"), Discard: has("discard"), OffsetBytes: uint64(number("offset", 0)), LengthBytes: number("length", -1), Owner: args["owner"], FileId: s.fileID(args["file"]),
		})
	case "delete":
		request(event.FilesDelete, &eventpb.FilesDeleteRequest{Path: args["path"], Owner: args["owner"]})
	case "set":
		request(event.FilesSet, &eventpb.FilesSetRequest{Path: args["path"], Replicas: uint32(number("replicas", 0)), Owner: args["owner"]})
	case "list":
		request(event.FilesList, &eventpb.FilesListRequest{Prefix: args["prefix"], Limit: uint32(number("limit", 0)), After: args["after"], Owner: args["owner"]})
	case "stat":
		request(event.FilesStat, &eventpb.FilesStatRequest{Path: args["path"], FirstChunk: uint64(number("first", 0)), ChunkLimit: uint32(number("chunks", 0)), Owner: args["owner"], FileId: s.fileID(args["file"])})
	case "verify":
		request(event.FilesVerify, &eventpb.FilesVerifyRequest{Path: args["path"], Owner: args["owner"]})
	case "status":
		if has("host") {
			token = hostToken
		}
		request(event.NodeStatus, &eventpb.NodeStatusRequest{})
	case "drain":
		token = hostToken
		request(event.NodeDrain, nil)
	case "send":
		request(args["type"], nil)
	case "complete":
		s.complete(args["type"], has("all"))
	case "perform":
		w.act(s.find(args["type"]))
	case "fail":
		s.fail(args["type"], args["code"])
	case "corrupt":
		for _, id := range sortedKeys(w.chunks) {
			if c := w.chunks[id]; c.plain != "" && strings.HasPrefix(c.plain, args["plain"]) {
				w.rot(id)
			}
		}
	case "kill":
		s.capture(func() { w.killWorker(uint32(number("worker", 0)), "killed") })
	case "gone":
		if b := w.streams[s.paths[args["path"]]]; b != nil {
			b.gone = true
		}
		s.give(w.host(event.RequestGone, &eventpb.RequestGone{Id: s.asked[args["path"]]}))
	case "tick":
		to := w.wake
		if f := strings.Fields(line); len(f) > 1 && f[1] != "wake" {
			d, err := time.ParseDuration(f[1])
			if err != nil {
				panic(err)
			}
			to = w.now + inos.Micros(d.Microseconds())
		}
		s.capture(func() {
			for has("awake") && w.wake != 0 && w.wake < to {
				w.tick(w.wake)
			}
			w.tick(to)
		})
	case "wake":
		s.lines = append(s.lines, (time.Duration(w.wake-w.now) * time.Microsecond).String())
	case "hang":
		w.hangs[args["name"]] = true
	case "pending":
		for _, e := range w.pending {
			s.lines = append(s.lines, describe(e))
		}
	case "sent":
		s.lines = append(s.lines, w.streams[s.paths[args["path"]]].parts...)
	default:
		if !s.read(verb, args, has) && !s.mend(verb, args, has) && !s.identity(verb, args, has, request) && !s.uploads(verb, args, has, request) {
			panic("unknown command " + verb)
		}
	}
}

func (s *script) give(e *eventpb.Envelope) { s.capture(func() { s.w.give(e) }) }

// capture writes what comes out of the steps of f.
func (s *script) capture(f func()) {
	inner := s.w.kernel
	s.w.kernel = tee{inner, s}
	f()
	s.w.kernel = inner
}

type tee struct {
	stepper
	s *script
}

func (t tee) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	out, wake := t.stepper.step(now, e)
	for _, e := range out {
		if e.EventType != event.ReadAccess || t.s.w.slowAccess {
			t.s.lines = append(t.s.lines, describe(e))
		}
	}
	return out, wake
}

func (s *script) find(prefix string) int {
	for i, e := range s.w.pending {
		if strings.HasPrefix(stageOf(e), prefix) && s.w.canEnd(e) {
			return i
		}
	}
	return -1
}

func (s *script) complete(prefix string, all bool) {
	for {
		i := s.find(prefix)
		if i < 0 {
			return
		}
		s.w.now += 100
		s.capture(func() { s.w.finish(i) })
		if !all {
			return
		}
	}
}

func (s *script) fail(prefix, name string) {
	i := s.find(prefix)
	if i < 0 {
		s.lines = append(s.lines, "nothing of "+prefix+" is pending")
		return
	}
	for code := inos.Code(1); code < 64; code++ {
		if code.Name() == name {
			s.w.now += 100
			s.capture(func() { s.w.fail(i, code) })
			return
		}
	}
	panic("unknown code " + name)
}

// stageOf names an effect; of a module call, the module's; of a call to another node, the node and what it is asked.
func stageOf(e *eventpb.Envelope) string {
	var m eventpb.MeshCallRequest
	if e.EventType == event.MeshCall && event.Open(e, &m) == nil {
		if inner, err := event.Decode(m.Envelope); err == nil {
			return "mesh:call/" + m.Node + "/" + event.Stage(inner.EventType)
		}
	}
	var q eventpb.WorkerCallRequest
	if e.EventType == event.WorkerCall && event.Open(e, &q) == nil {
		if inner, err := event.Decode(q.Envelope); err == nil {
			return event.Stage(inner.EventType)
		}
	}
	return event.Stage(e.EventType)
}

// describe writes an envelope as one line.
func describe(e *eventpb.Envelope) string {
	if state := event.StateOf(e.EventType); state != event.StateRequested {
		return "reply " + event.Stage(e.EventType) + " " + string(state) + describeReply(e, state)
	}
	line := event.Stage(e.EventType)
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	short := func(b []byte) string { return fmt.Sprintf("%x", b[:min(4, len(b))]) }
	var (
		read    eventpb.StreamReadRequest
		write   eventpb.StreamWriteRequest
		call    eventpb.WorkerCallRequest
		start   eventpb.WorkerStartRequest
		stop    eventpb.WorkerStopRequest
		chunk   eventpb.ContentReadRequest
		fill    eventpb.BufferFill
		release eventpb.BufferRelease
		find    eventpb.FindChunksRequest
		stage   eventpb.StageChunksRequest
		commit  eventpb.CommitFileRequest
		abort   eventpb.AbortUploadRequest
		trash   eventpb.ContentTrashRequest
		missing eventpb.ContentMissingRequest
		drop    eventpb.DropCopiesRequest
		record  eventpb.RecordRequest
	)
	rows := func(chunks []*eventpb.ChunkRow) string {
		data, nodes, known := 0, 0, 0
		for _, c := range chunks {
			switch {
			case c.Known:
				known++
			case c.Node:
				nodes++
			default:
				data++
			}
		}
		return fmt.Sprintf(" data=%d nodes=%d known=%d", data, nodes, known)
	}
	switch {
	case e.EventType == event.StreamRead && open(&read):
		line += fmt.Sprintf(" out=%d", read.Output)
	case e.EventType == event.StreamWrite && open(&write):
		line += fmt.Sprintf(" in=%d offset=%d length=%d %x", write.Input, write.Offset, write.Length, write.Bytes)
	case e.EventType == event.WorkerCall && open(&call):
		line += fmt.Sprintf(" worker=%d %s in=%d out=%d", call.Worker, stageOf(e), call.Input, call.Output)
		inner, err := event.Decode(call.Envelope)
		var encode eventpb.EncodeChunkRequest
		if err == nil && inner.EventType == event.EncodeChunk && event.Open(inner, &encode) == nil {
			line += fmt.Sprintf(" offset=%d quality=%d", encode.OffsetBytes, encode.Quality)
		}
	case e.EventType == event.WorkerStart && open(&start):
		line += fmt.Sprintf(" worker=%d", start.Worker)
	case e.EventType == event.WorkerStop && open(&stop):
		line += fmt.Sprintf(" worker=%d kill=%t", stop.Worker, stop.Kill)
	case (e.EventType == event.ContentWrite || e.EventType == event.ContentRead) && open(&chunk):
		line += fmt.Sprintf(" %s buffer=%d", short(chunk.ChunkId), chunk.Output)
	case e.EventType == event.BufferFill && open(&fill):
		line += fmt.Sprintf(" %d with %d bytes", fill.Buffer, len(fill.Bytes))
	case e.EventType == event.BufferRelease && open(&release):
		line += fmt.Sprint(" ", release.Buffers)
	case e.EventType == event.FindChunks && open(&find):
		line += fmt.Sprintf(" hashes=%d", len(find.PlainHashes))
	case e.EventType == event.StageChunks && open(&stage):
		line += rows(stage.Chunks)
	case e.EventType == event.CommitFile && open(&commit):
		line += fmt.Sprintf(" %s plain=%d stored=%d chunks=%d", commit.File.Path, commit.File.PlainBytes, commit.File.StoredBytes, commit.File.Chunks) + rows(commit.Chunks)
	case e.EventType == event.AbortUpload && open(&abort):
		line += fmt.Sprintf(" all=%t", abort.Upload == "")
	case (e.EventType == event.ContentTrash || e.EventType == event.ForgetChunks) && open(&trash):
		line += fmt.Sprintf(" chunks=%d", len(trash.Chunks))
	case e.EventType == event.ContentMissing && open(&missing):
		line += fmt.Sprintf(" chunks=%d", len(missing.ChunkIds))
	case e.EventType == event.MeshCall:
		line += describeCall(e)
	case e.EventType == event.DropCopies && open(&drop):
		line += fmt.Sprintf(" node=%s chunks=%d", drop.Node, len(drop.ChunkIds))
	case e.EventType == event.EpisodicRecord && open(&record):
		for _, r := range record.Events {
			line += fmt.Sprintf("\n  event %s %s %s (%d us)", r.EventType, r.Path, r.Detail, r.DurationUs)
		}
		for _, r := range record.Spans {
			line += fmt.Sprintf("\n  span %s calls=%d failed=%d stalled=%d bytes=%d", r.Stage, r.Calls, r.Failed, r.Stalled, r.Bytes)
		}
	default:
		line += describeIdentity(e) + describeMesh(e) + describeUploads(e)
	}
	return line
}

func describeReply(e *eventpb.Envelope, state event.State) string {
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		put      eventpb.FilesPutReply
		progress eventpb.FilesPutProgress
		header   eventpb.FilesGetHeader
		get      eventpb.FilesGetReply
		stat     eventpb.FilesStatReply
		list     eventpb.FilesListReply
		verify   eventpb.FilesVerifyReply
		status   eventpb.NodeStatusReply
		deleted  eventpb.FilesDeleteReply
		set      eventpb.FilesSetReply
	)
	switch stage := event.Stage(e.EventType); {
	case e.EventType == event.WithState(event.MeshServe, event.StateCompleted):
		return describeServed(e)
	case state == event.StateFailed:
		err := event.FailureOf(e)
		return fmt.Sprintf(" %s: %s (retry %d us)", err.Code.Name(), err.Error(), err.RetryAfter)
	case stage == "files:put" && state == event.StateProcessing && open(&progress):
		return fmt.Sprintf(" plain=%d chunks=%d", progress.PlainBytes, progress.Chunks)
	case stage == "files:put" && open(&put):
		return fmt.Sprintf(" %s version=%d plain=%d stored=%d chunks=%d deduplicated=%d degraded=%t", put.File.Path, put.File.Version, put.File.PlainBytes,
			put.File.StoredBytes, put.File.Chunks, put.DeduplicatedBytes, put.File.Degraded) + describeReceipt(put.Receipt)
	case stage == "files:set" && open(&set):
		return fmt.Sprintf(" %s version=%d replicas=%d", set.File.Path, set.File.Version, set.File.ReplicasWanted)
	case stage == "files:get" && state == event.StateProcessing && open(&header):
		return fmt.Sprintf(" offset=%d length=%d of %d", header.OffsetBytes, header.LengthBytes, header.File.PlainBytes)
	case stage == "files:get" && open(&get):
		return fmt.Sprintf(" plain=%d stored=%d chunks=%d", get.PlainBytes, get.StoredBytes, get.Chunks)
	case stage == "files:stat" && open(&stat):
		line := fmt.Sprintf(" %s plain=%d chunks=%d", stat.File.Path, stat.File.PlainBytes, stat.File.Chunks)
		for _, c := range stat.Chunks {
			line += fmt.Sprintf("\n  chunk %d %x plain=%d stored=%d on %v", c.Index, c.ChunkId[:4], c.PlainBytes, c.StoredBytes, nodesOf(c.Copies))
		}
		return line
	case stage == "files:list" && open(&list):
		line := " next=" + list.Next
		for _, f := range list.Files {
			line += "\n  " + f.Path
		}
		return line
	case stage == "files:verify" && open(&verify):
		line := fmt.Sprintf(" chunks=%d bad=%d", verify.Chunks, verify.Bad)
		if len(verify.Nodes) > 1 {
			line += describeNodes(verify.Nodes)
		}
		return line
	case stage == "files:delete" && open(&deleted):
		return fmt.Sprintf(" version=%d", deleted.Version)
	case stage == "node:status" && open(&status):
		line := fmt.Sprintf(" ready=%t puts=%d gets=%d queued=%d buffers=%d limit=%d quality=%d in_flight=%d refused=%d quarantined=%d",
			status.Ready, status.Puts, status.Gets, status.Queued, status.BufferBytes, status.ConcurrencyLimit, status.BrotliQuality, status.InFlight, status.Refused, status.Quarantined)
		for _, n := range status.Notices {
			line += "\n  notice " + n
		}
		for _, w := range status.Workers {
			line += fmt.Sprintf("\n  worker %d %s pid=%d calls=%d restarts=%d %s", w.Worker, w.State, w.Pid, w.Calls, w.Restarts, w.Reason)
		}
		return line
	}
	if line, ok := describeUploadsReply(e, state); ok {
		return line
	}
	return describeIdentityReply(e, state)
}

// nodesOf names the nodes of copies.
func nodesOf(copies []*eventpb.CopyInfo) (names []string) {
	for _, c := range copies {
		names = append(names, c.Node)
	}
	return names
}
