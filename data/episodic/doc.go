// Package episodic implements inos.Episodic, the memory of what happened: Store on SQLite, and Memory, its twin in
// plain slices for simulations.
//
// It is bounded at every moment: Record removes the oldest rows beyond Options.RowsMax in the transaction that adds new
// ones; Trim removes what is older than Options.AgeMax. No text is longer than its bound; what is longer is cut.
//
// Store runs with synchronous=NORMAL: a transaction is written to the log without a flush, so a power cut can lose the
// last batches (never tear one, never damage the file; a killed process loses nothing). No decision reads this memory,
// and a flush per batch would compete with the flushes that acknowledge files.
//
// What it leaves out: joins with the semantic memory, aggregation beyond spans, and any guarantee that an event was recorded.
package episodic
