// Package content keeps chunks on a node's disk, one file per chunk, addressed by the BLAKE3-256 of the file's bytes.
//
// # What is promised
//
// When Put has returned, the chunk survives a loss of power. At any point of any call a crash leaves each chunk whole or
// absent, never cut. Get never returns bytes that do not hash to the id. The counters of Usage are those that a walk
// over the folder would find, at any time between calls; they are kept, not measured.
//
// # The folder
//
//	state               64 bytes, below
//	chunks/ab/abcd…     held chunks: the file's name is the chunk id as 64 lower-case hexadecimal digits, its folder the
//	                    first two of them (256 shards); its bytes are the chunk's stored form and nothing else, so that
//	                    b3sum of the file prints its name
//	trash/ab/abcd…      chunks out of service that can come back; the modification time says when they were trashed
//	corrupt/time-abcd…  the last CorruptChunksMax files that failed verification: microseconds since 1970 as 16
//	                    hexadecimal digits, "-", the chunk id
//	tmp/                files being written; what is there when a store is opened is removed
//
// Folders have mode 0700, files 0600. Files with other names are not the store's; it neither reads nor counts them.
//
// # The state file
//
//	 0  8  "INOSCONT"
//	 8  2  version, 1
//	10  1  flags: bit 0, the store was closed cleanly and the counters below are right
//	11  1  bits of the id that name a shard, 8
//	12  4  zero
//	16  8  held chunks
//	24  8  held bytes
//	32  8  trashed chunks
//	40  8  trashed bytes
//	48 16  the first 16 bytes of the BLAKE3-256 of bytes 0 to 47
//
// Integers are little-endian. Every version has this length, magic, place of the version, and checksum. A file that does
// not is torn, and is taken for one without bit 0.
//
// # How a chunk gets there, and goes
//
// Put writes tmp/n, syncs it, renames it to its place and syncs the shard's folder; concurrent Puts write in parallel and
// share the folder's syncs. Trash sets the time, links the chunk into the trash, syncs there, removes the first name and
// syncs here, so that a crash leaves one name or two, never none. A chunk with two names is held, and Open removes the
// other one. Coming back from the trash is the same the other way round.
//
// While a store is open its state file has bit 0 unset. An Open that finds it so syncs what a killed process may have
// left in the page cache only, and counts the files.
//
// # What is left out
//
// The store does not decide when to empty the trash or how fast to scrub, and does not lock its folder against other
// processes: the host does. It does not know what a stored form means. Many small chunks cost a file each; packing them
// can come behind the same interface, since nothing outside this package knows the paths.
package content
