package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// uploadOfOne opens an upload of a chunk and sends it.
func uploadOfOne(t *testing.T) (k *Kernel, w *world, upload string) {
	k = New()
	w = newWorld(&pair{t: t, k: k, every: 1000})
	w.join("node-1", "home", "nas", "cold", 1<<40)
	w.start()
	w.run(1000)
	open := w.request("t", event.UploadsOpen, &eventpb.UploadsOpenRequest{Path: "/up", PlainBytes: inos.ChunkBytesMax})
	w.give(open)
	w.run(1000)
	form, _ := encoded(pieceName("/up", 0, inos.ChunkBytesMax), inos.ChunkBytesMax, 0, 0)
	w.ids++
	w.streams[w.ids] = &body{name: "/up", length: uint64(form.size), form: form}
	send := w.request("t", event.UploadsSend, &eventpb.UploadsSendRequest{Upload: open.Id, ChunkId: []byte(form.id), StoredBytes: uint64(form.size), Stream: w.ids})
	w.give(send)
	w.run(1000)
	w.mustComplete(t, send.Id)
	return k, w, open.Id
}

// until performs effects until one of a type is next, and returns where it is.
func (w *world) until(t *testing.T, typ string) int {
	t.Helper()
	is := func(e *eventpb.Envelope) bool { return e.EventType == typ }
	for range 1000 {
		if i := slices.IndexFunc(w.pending, is); i >= 0 {
			return i
		}
		if len(w.pending) == 0 {
			break
		}
		w.now += 100
		w.finish(0)
	}
	t.Fatalf("%s is not asked for", typ)
	return -1
}

// A commit of an upload fails, and gives what it has written to the collector, while the upload is ended: whichever comes first, nothing stays pinned. An
// upload that is not ended keeps its chunk, and nothing else.
func TestFailedCommitLeavesNoPins(t *testing.T) {
	for name, first := range map[string]string{"the upload ends first": event.AbortUpload, "the rows are staged first": event.StageChunks, "it is not ended": ""} {
		t.Run(name, func(t *testing.T) {
			_, w, upload := uploadOfOne(t)
			commit := w.request("t", event.UploadsCommit, &eventpb.UploadsCommitRequest{Upload: upload})
			w.give(commit)
			w.fail(w.until(t, event.CommitFile), inos.CodeQuotaExceeded)
			if reply, _ := w.last(commit.Id); reply == nil || event.StateOf(reply.EventType) != event.StateFailed {
				t.Fatalf("the commit is answered %v", reply)
			}
			if first == "" {
				w.run(1000)
				if w.opened[upload] == nil || len(w.pins) != 1 || len(w.pins[upload]) != 1 {
					t.Errorf("pinned: %v", w.pins)
				}
				return
			}
			stage := w.pending[w.until(t, event.StageChunks)]
			w.pending = slices.DeleteFunc(w.pending, func(e *eventpb.Envelope) bool { return e == stage })
			drop := w.request("t", event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: upload})
			w.give(drop)
			if i := w.until(t, event.AbortUpload); first == event.AbortUpload {
				w.finish(i)
			}
			w.pending = append(w.pending, stage)
			w.finish(len(w.pending) - 1)
			w.run(1000)
			w.mustComplete(t, drop.Id)
			if len(w.pins) > 0 {
				t.Errorf("pinned: %v", w.pins)
			}
			w.check(t)
		})
	}
}

// While the pins of a failed commit are on their way the upload is not ended, nor committed once more; and while it is being ended, it is not committed.
func TestPinsOnTheirWay(t *testing.T) {
	k, w, upload := uploadOfOne(t)
	commit := w.request("t", event.UploadsCommit, &eventpb.UploadsCommitRequest{Upload: upload})
	limitTime(commit, w.now+inos.Minute)
	w.give(commit)
	i := w.until(t, event.StageChunks)
	pin := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	w.tick(w.now + 2*inos.Minute)
	ask := func(typ string, m event.Message) *eventpb.Envelope {
		e := w.request("t", typ, m)
		w.give(e)
		w.run(1000)
		reply, _ := w.last(e.Id)
		return reply
	}
	if r := ask(event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: upload}); event.FailureOf(r).Code != inos.CodeConflict {
		t.Errorf("the upload is dropped: %v", r)
	}
	if r := ask(event.UploadsCommit, &eventpb.UploadsCommitRequest{Upload: upload}); event.FailureOf(r).Code != inos.CodeBusy {
		t.Errorf("the upload is committed once more: %v", r)
	}
	w.pending = append(w.pending, pin)
	w.run(1000)
	drop := w.request("t", event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: upload})
	w.give(drop)
	i = w.until(t, event.AbortUpload)
	abort := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	if r := ask(event.UploadsCommit, &eventpb.UploadsCommitRequest{Upload: upload}); event.FailureOf(r).Code != inos.CodeUploadUnknown {
		t.Errorf("the upload is committed while it is dropped: %v", r)
	}
	w.pending = append(w.pending, abort)
	w.run(1000)
	w.mustComplete(t, drop.Id)
	if len(w.pins) > 0 || len(k.uploads.table) > 0 {
		t.Errorf("pinned: %v", w.pins)
	}
	w.check(t)
}
