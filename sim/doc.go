/*
Package sim runs the mesh from a seed: production kernels, natively, each with a model of its host, on a model of the network, in
one goroutine and in virtual time. All randomness comes from the seed, so a seed is a world, and running it again gives the
same transcript, to the hash.

# What is real and what is a model

The kernels are the ones that nodes run, and the memories are the twins in memory that pass the acceptance suites of
data/datatest. Everything else is a model that keeps the promises of the host (kernel/doc.go, interfaces.go) and no more: what
may fail fails, what may be late is late, what may come twice comes twice.

Bytes are symbolic: a chunk of 1 MiB is a descriptor of a few dozen bytes whose BLAKE3 is its id; lengths are numbers. The
storage module's twin keeps the relations between plain bytes, stored forms, entries, nodes and proofs.

# What goes wrong

Processes are killed and started again, stopped and continued; links lose, delay, duplicate and reorder calls, and are cut in one
direction or both; disks rot, fill, fail, forget what was not flushed, and are emptied; the semantic memory does a verb and loses its
answer; clocks differ and jump; the switchboard is stopped, or its clock leaps, for longer than every grace; workers die; clients go away, in the middle of an upload too, and come back to it; a provider lies; nodes join, drain and leave; and the switchboard's map is made
again from the mesh. A world's faults are a list, drawn before it begins, so that a failing world can be run again with fewer of them.

# What must hold

The checkers (check*.go) stand outside of the kernels and know the truth: every disk, every chunk's bytes, every answer that a
client has had. They look when a client is answered, when a chunk is trashed and when a version is committed; and after
the faults have stopped everything has to become whole and quiet within a bound.
*/
package sim
