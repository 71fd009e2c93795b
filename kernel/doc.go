/*
Package kernel makes every decision of a node and touches nothing: no clock, disk, network, randomness or goroutine, and no
floating point. It is stepped with envelopes and answers with envelopes. The same code runs natively in tests and
simulations, and as kernel.wasm (kernel/wasm) in every node and browser; the same envelopes give the same effects, to the byte.

# The loop

A host owns a Kernel from one goroutine and does, for ever:

 1. Wait for the next envelope: the end of an effect, a client's request, news of its own (a session, a client that went
    away, a worker that ended), or node:tick when the time of Effects.Wake has come.
 2. Log the time and the envelope, if it keeps a log. The log, from a snapshot on, is the whole history: stepping another
    kernel with it gives the same effects.
 3. Step the kernel with the time and the envelope.
 4. Go through Effects.Out in order. What has the state requested is an effect: perform it. Anything else is a reply for the
    client whose request has that id.
 5. Remember Effects.Wake; it replaces the time wanted before.

In code:

	k := kernel.New()
	wake := perform(k.Step(now(), boot))
	for {
		e := next(wake) // the next envelope, or a tick at wake
		wake = perform(k.Step(now(), e))
	}

# Duties of the host

The first envelope is node:boot. Its seed is the only randomness the kernel ever has, and it comes through the log like
everything else. A boot that is not valid is the host's fault and panics.

Every effect has exactly one end: an envelope with the effect's id, its type in the state completed or failed, and the token
id "host". Effects may be performed at the same time and end in any order; the kernel never has two reads or two writes of one
stream under way. buffer:fill and buffer:release have no end and are performed in order: what is released is used by nothing under way.

A worker gets its calls in the order of the effects, one by one, and their ends come in that order, before the news of its
exit: the first one that is lost with a worker is the one it was at.

A client's envelope carries the id of a verified token as security_token; the edge lets no client use "host". The host
announces each session by identity:session before the first request that carries its id.

Buffers live in the host. The kernel picks their numbers; an effect that completes fills the one it names as output, one that
fails fills none; it lives until buffer:release.

When Step panics (a trap in WASM), the instance is thrown away: a new kernel is booted, and what must survive is in the
semantic memory. The clients' requests of the old one are answered by the host.

# A step

Threads are called in a fixed order, each first with what it hears and then to act on what has become possible or due:

 1. governance admits or refuses: session, expiry, rate, capability, grants, quota, the id's age, requests that are under way already. Nothing
    else sees a request before. The ends of effects find their owner by id; what is not under way is dropped and counted.
 2. the supervisor owns the workers. Module calls queue by turn, so that many small requests and one large one share fairly;
    a call whose worker ends is tried again, and an input that ends two workers is set aside for a while.
 3. recovery boots, and drops what the last run left; rebuild makes an emptied map again.
 4. put, get, query, verify, fetch, loss, reconcile and collect are pipeline units: each keeps its requests as explicit state machines, with
    bounds on how many are active, wait, and have effects under way. A full queue answers busy.
 5. the adjusters tune: how many module calls are under way, and the Brotli quality of new chunks.
 6. the watcher sums what the others did into histograms and traces, flags what stalls, and hands history to the episodic memory.

# Who may do what

A request is admitted when a capability of its session covers it (capability.go, needs.go) and, in the namespace of somebody else, a grant covers
the path with the verb (access.go). A prefix covers a path by its elements: /photos does not cover /photos2. An operator has every
capability and, by that, not one grant. What is refused is refused alike whether there is such an owner, path or file id.

Rights are asked of the semantic memory (semantic:read_access) and remembered for accessLife; a change that this kernel makes forgets all of them,
and what was being asked meanwhile is asked again. A request waits for the answer in a bounded table (admission.go). Revocation is at
once: a request that waits, for an answer or for its turn, is refused; a transfer that has begun with a right ends.

The owner's quota is a precondition of the commit, whoever writes; a put that is too long for it is refused before its body is read (quota.go). Each
subject has a bucket of requests (rate.go). Replicas above the default are pledged for in the same transaction as the version (pledgeOf).

The identity thread does what is asked about users, devices, groups, tokens, grants and the ledger, in a few effects each (identity*.go). Nobody gets
more than the session has that asks: tokens, grants of others' files and enrolments are held to it. Secrets are made and tokens signed
by the host; here they are handles. What ends sessions has the host forget them (identity:forget) before it is answered.

# Two roles

A switchboard decides: it has the memories, the workers, and all of the threads. A provider that is no switchboard has a disk. It
answers no client; serve does on its disk what other nodes ask (serve.go), and beat tells its switchboards that it lives (beat.go).
A lone node is both, and its only member.

What a switchboard asks of a disk it asks by the same effect wherever the disk is: Kernel.content performs it here or sends it in a
mesh:call, and its end comes to the asker alike (mesh.go). The node that serves reads and writes a chunk under a ticket for this
verb, chunk, holder and node, and does everything else for switchboards only. A copy it reads itself from another node, under the
ticket that came with the order.

# A put

A body is read chunk by chunk within a window (puts.window), which is what slows a fast sender down. Each chunk goes its own
way (put_chunk.go) while the entries are collected in order (put_tree.go):

	read ─ find ─┬─ miss ── encode ── write ──────┬─ entry in the manifest
	             └─ found ─ pin and describe ─────┘
	root written ── commit ── commit record ── answered

The root of a file of one chunk, or of none, is laid out here (put_root.go) as soon as the chunk's entry is known; other nodes a module makes.

A chunk, and a manifest node, is sent to as many nodes as are wanted at once and is done when a quorum of domains has it on stable
storage (put_fanout.go). All chunks of a put are drawn to the same domains, so that each of these holds the whole file. A node that
fails is replaced by another; when too few are to be had the put looks again for a while, then fails. Copies that are late go on
without the put: they keep the buffer, and are added to the row (put_late.go). What stays short is handed to the repair. A chunk
that was found counts when a quorum says that it holds it (put_found.go).

Rows of written chunks are staged in batches under the upload's pin; the commit carries the last ones and makes the file
visible. A put that fails is answered at once; when nothing of it is under way its written chunks are staged, so that the
semantic memory knows them, and the pin is dropped, so that the collector finds them (put_end.go). Chunks are never trashed by
a put: another put may have written the same ones, and only references tell. A node that may have bytes of a write whose outcome
is not known is swept.

# An upload

A file that arrives in pieces (uploads.go, upload_put.go) is the same, cut apart. What of it is here is in the semantic memory, pinned, so that it outlives this
kernel. A piece is a put of one chunk whose stored form comes from outside: it is admitted by a worker, written, and put into its slot. A claim fills slots with
what the owner holds, and waits for pieces that are coming. The commit is a put whose chunks were all found; those that are known by another offset are read once more for
their chaining value. One with which nobody goes on for a day is ended.

	find upload ─ read ─ admit ─ write ─ slot filled ─ answered
	find upload ─ slots ─ found ─ entry in the manifest … root written ─ commit

# Commit records

A version is acknowledged when its record is on a quorum of domains too: what path it is of, what it says, signed and sealed by the
host (records_write.go); so are deletes and changes of the replicas (change.go). Then it goes to as many nodes as the file wants, and that is
noted; what the versions before had is needless from here on. A request whose record takes too long is told so; the version is
committed, its record follows, and the same request id gets the outcome. Versions whose records are not on all of their nodes are
looked through after a start, a loss and a change of the members (records_pending.go). On a mesh with fewer domains than files
want, all of them stay pending.

The nodes' stores of records are inspected (inspect.go), one node at a time: after a start, when a node has come back or started again, and in
turn. What is not there any more, or does not hash to its id, is written again; what no version stays for goes to the trash, but never while
some version is without a record that the map knows: it may be that one. Between, single records are read and hashed, so that a node which
lies about them is noticed and named as one that lies about chunks.

# A rebuild

From the records alone an emptied map is made again (rebuild.go). Nodes come by their heartbeats and are let in by the invites that these
carry; what they hold is noted in the semantic memory. Each record is read with the first of its nodes and opened by the host, which believes
none that a switchboard of the mesh has not signed. The highest version of a path counts, and of two with one number the one that was made later. A file's manifest is walked, its hashes
checked, and staged from the leaves up with the nodes that were seen to hold the chunks; one of which something is on no node is named
and not restored, and nodes that are missing are waited for. A node that was not read whole is marked in the map (unread): while there
is one, nothing goes from any disk for being unknown there. Requests are refused until it is done; one that is broken off begins anew.

# A read

A chunk is read from the best of its copies (fetch.go): alive, near, little loaded, quick. A node that has not answered in the time
in which nearly all of its answers come is not waited for alone; one that fails, or sends other bytes, is followed by the next, in
the middle of a stream too. When none is left the map is asked once more, for repair may have moved the chunk. Gets look up the
copies of the chunks to come in batches (get_copies.go). Every asker, of files, of manifests, of what a verification reads, has one
answer to take, with the buffer that the verified bytes are in.

# Collection

The collector trashes chunks that nothing refers to, on every node that holds them, while puts write and find chunks. It keeps out
of their way with three sets (collect.go): chunks that puts rely on, chunks they let go of during a round, and chunks the round is
trashing. Together with the generations of the semantic memory, and the numbers by which a node tells a late order from a new one
(order.go), they hold this: a chunk of a committed file is never in the trash.

A node that did not carry out an order is swept when it answers (sweep.go), and all are swept in turn: what has no row goes, and a
copy that the map does not name is adopted where copies are short, and goes where they are not.

A put that finds the disk full has the trash emptied before its time, as far as it needs, and tries once more (room.go).

# Losses

A copy that goes bad on a disk is set aside, and the semantic memory still names the node for it: the same bytes put again would
be found and acknowledged without being written. What a read or a scrub finds bad is therefore in doubt at once (loss.go): puts
neither rely on that copy nor write it there. It is read once more when no write of it is under way. If it is there after all, all go
on; if not, semantic:drop_copies takes the node off those that hold it, and the chunk is queued for repair. A put fails when too few
other copies are left to it.

Two gaps are known. A put remembers 1,024 plain hashes and the chunks whose rows or nodes are in work; it does not notice the
loss of others that it found before. And what is in doubt when the kernel stops is told only when a read finds it missing again.

# A node that returns

Nothing that a node holds counts after it was dead, or stopped without order, until it has been looked at (reconcile.go): it hashes
what the map names, page by page and for half of its time, what is there is trusted again, what is not is a loss. While a map is
made again from the mesh nothing is compared with it, and nothing is collected before
the records of what was restored lie on as many nodes as they can.

# Members, repair, audits

A switchboard keeps its members' liveness from their beats (liveness.go): suspected nodes are given nothing new, dead ones are repaired
for when their grace is over, and what was gone, or stopped without order, is trusted for nothing until it is compared with the map.
Where copies go is a pure function of the members (placement.go, domains.go). The map is looked through in turn and whenever the members
change (repair_scan.go); what is short is queued in the semantic memory, claimed with leases and copied from node to node
(repair_copy.go) at a bounded rate (repair_rate.go); what is surplus goes only when the copies kept are proved (trim.go). Audits challenge
random copies all the time (challenge.go): a copy that is not proved is doubted, a node that fails half of its challenges is named.

# Bounds

Every queue, table and buffer has a named bound in limits.go. The kernel's state is soft and small: Snapshot writes all of it,
and a kernel restored from a snapshot goes on to the byte. A struct of the state has one method code, which both writes
and reads it.

# What is not here

Performing anything; the wire; signatures: the host verifies those of a session once, and those of tickets, invites and records before the
kernel sees what they say.
*/
package kernel
