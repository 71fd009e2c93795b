// Package semantic implements inos.Semantic, the memory of facts: Store on SQLite, and Memory, its twin in plain maps,
// for simulations and to hold Store to.
//
// # How a verb is written
//
// One goroutine owns the connection that writes. It takes the verbs that wait (at most BatchVerbsMax), runs each in a
// savepoint of one transaction, commits with one flush (synchronous=FULL) and answers all of them. A verb that refuses
// (a precondition, an error with a code) is rolled back alone; a fault of the database rolls back the batch and every
// verb of it learns why. A verb that waits can be given up by its context; one that was taken is waited for, so that
// its caller knows the outcome and may reuse its arguments. Reading verbs use connections of their own and never wait for the writer.
//
// # Tables
//
//	chunks      a chunk's entry, the roles it has, its count of references, generation, whether it is condemned
//	edges       manifest node -> child, once per pair however often the child is repeated
//	copies      chunk -> node that holds it, the epoch it was written or confirmed in, the last proof; a chunk without one
//	            is lost until somebody writes it again
//	members     nodes that were let in, what they were granted, the number of the last write, their epoch, how much they hold
//	holdings    (plain hash, owner) -> chunk: what FindChunks asks; it never answers for another owner
//	uploads     puts under way; pins are what they have staged and no staged parent refers to yet
//	files       live files; tombstones keep the versions of deleted ones
//	records     of every path that ever had a version: the highest, its sealed record if it is settled, whether it is
//	            pending; record_copies says which nodes hold that record
//	superseded  versions below the highest that stay until a later one is settled
//	repairs     chunks to be repaired, and who has leased them
//	sightings   what nodes were seen to hold, while a map is made again
//	replies     what was answered under a request key
//	tokens      sessions by the hash of their secret
//	users       and devices, user_groups, group_members, grants: the facts of identity; each has a row in records under the owner ""
//	enrolments  hashes of secrets that are good for one device
//	sessions    by token id, with the hash of the present refresh secret; refreshes has those that were used before, RefreshesMax of a session
//	namespaces  the counters of each owner's live files
//	accounts    the balances of the ledger, and entries what they are sums of
//	totals      one row: the counters, the last generation and the last lease given out
//
// The count of references is edges to the chunk + live files with it as root + superseded versions with it as root + pins. Each statement that adds or
// removes one of these changes the count beside it, and each change of a count to or from zero changes the counter of
// collectable chunks; the counters of a batch are written once, before its commit.
//
// # Collecting
//
// A chunk's life after its last reference: collectable, condemned (CondemnChunks named it), its bytes trashed by the
// caller, forgotten (ForgetChunks). Generations come from one counter that never goes back, so an order to forget names
// one life of a chunk at one moment: staging the chunk anew, or forgetting and staging it, makes the order void. A
// condemned chunk gains no reference; it returns only when somebody who has written its bytes stages it. Forgetting a
// manifest node drops its edges, and its children come up next: a tree goes level by level, in bounded transactions.
//
// # The mesh
//
// A copy is trusted while its epoch is its node's: distrusting a node is one row, however many copies it holds. What is
// wanted of a chunk is not kept anywhere, and so cannot be wrong: it is found by walking the edges upwards to the files,
// versions and uploads that reach the chunk. The counters of a member are written once per batch, like the totals.
//
// A version may have been acknowledged, with its record on the mesh, before anybody settles it here. So every version
// stays, with the reference of its root, until a later one is settled: whichever of them a rebuild would find, its content
// is there. Settling names the records that this makes needless; they are not kept after that, so a caller that stops
// before it has trashed them leaves them on their nodes, where a rebuild passes them over for the higher version and UnknownRecords names them.
//
// # Identity
//
// A fact of identity is in a table of its own and has versions in records as a file has: its record on the mesh is made of the row as it is when
// the record is asked for. Restoring one checks what it says by itself, and not that what it names is there: that may be restored after it.
// A refresh secret that comes twice ends its session in a transaction that succeeds, for a refusal would undo it.
//
// Bounds are per user or owner and counted when a row is added; what is over makes room first. Entries of the ledger are what explains
// a balance: they are kept until FoldEntries makes one of an account's old ones, whose sum goes on explaining it.
//
// What it leaves out: policy (permission, expiry, when to collect, where copies belong, when to repair), history of versions (only the
// live one, tombstones and what is not settled yet are kept), and file bytes.
package semantic
