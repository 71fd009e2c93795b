/*
Package trust holds what a mesh believes and why: pure functions over bytes, without clock, disk or network.

# Who signs what

The root seed, 32 bytes, is the mesh. Three keys come from it, and whoever has the seed can make them again:

	root key         Ed25519   certifies switchboards
	switchboard key  Ed25519   the first switchboard's node key: made again after a loss, it has the same peer id
	seal key         X25519    opens commit records

A switchboard has its own key, a certificate that the root key signed, and in it the public half of the seal key; the seed
itself need not be where a switchboard runs. With these it signs invites, tickets and commit records.

# Who believes what

A node of the mesh knows the root's public key and nothing else beforehand: an invite names it, and whoever accepts the
invite pins it. A Verifier, made of that key, checks offline what a switchboard says: the signature by the key that is the
switchboard's peer id, and the certificate that is sent along. What was signed is checked as it was received, never encoded
again, and each kind of statement has a prefix of its own, so that none can be taken for another.

Tickets count only while their switchboard's certificate is valid. Invites and records are kept for long: their certificate has
to be valid at the time at which they say they were signed.

Access tokens are another matter: they are for users and programs, signed by keys of their own that change often, in a form that
others read too (token.go).

# What is not here

Permissions (the kernel decides what a ticket's grant covers and whether an invite may still be used), revocation of
certificates before they expire and of tokens, and where keys are kept.
*/
package trust
