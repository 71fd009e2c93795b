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
//	copies      chunk -> node that holds it; a chunk without one is lost until somebody writes it again
//	holdings    (plain hash, owner) -> chunk: what FindChunks asks; it never answers for another owner
//	uploads     puts under way; pins are what they have staged and no staged parent refers to yet
//	files       live files; tombstones keep the versions of deleted ones
//	replies     what was answered under a request key
//	tokens      sessions by the hash of their secret
//	totals      one row: the counters, and the last generation given out
//
// The count of references is edges to the chunk + live files with it as root + pins. Each statement that adds or
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
// What it leaves out: policy (permission, expiry, when to collect, where copies belong), history of versions (only the
// live one and tombstones are kept), and file bytes.
package semantic
