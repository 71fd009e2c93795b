// check.mjs DIR BYTES: inflates DIR/*.br by Node's zlib and compares with DIR/*.plain, 64 KiB at a time; and one byte at
// a time for as many of the streams as fit into BYTES, because a write costs Node microseconds, not nanoseconds.
import { createBrotliDecompress } from 'node:zlib'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'

const [dir, oneByteBytes] = [process.argv[2], Number(process.argv[3])]

async function inflate(stream, step) {
  const parts = []
  const pieces = (function* () {
    for (let at = 0; at < stream.length; at += step) yield stream.subarray(at, at + step)
  })()
  for await (const part of Readable.from(pieces).pipe(createBrotliDecompress())) parts.push(part)
  return Buffer.concat(parts)
}

let left = oneByteBytes
const names = readdirSync(dir).filter((name) => name.endsWith('.br'))
if (names.length === 0) throw new Error(`no stream in ${dir}`)
for (const name of names.sort((a, b) => parseInt(a) - parseInt(b))) {
  const stream = readFileSync(join(dir, name))
  const plain = readFileSync(join(dir, name.replace(/br$/, 'plain')))
  const steps = [65536]
  if (stream.length <= left) {
    steps.push(1)
    left -= stream.length
  }
  for (const step of steps) {
    const got = await inflate(stream, step)
    if (!got.equals(plain)) throw new Error(`${name}, ${step} bytes at a time: other bytes`)
  }
}
console.log(`one byte at a time: ${oneByteBytes - left} bytes`)
