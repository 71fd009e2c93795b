//! A strict Brotli decoder (RFC 7932), written from the text of the standard, that decodes one chunk knowing
//! nothing of what came before it: what a chunk from somebody who is not trusted has to pass, and what the encoder's
//! chunks are held to in the tests. It decodes every command, and refuses
//!
//! - a meta-block that is the stream's last, and an end anywhere but on a byte boundary;
//! - a distance that reaches before the chunk's first byte (that is also how the static dictionary is named);
//! - a distance taken from the last four when the chunk itself did not put it there;
//! - a literal whose prefix code depends on bytes before the chunk;
//! - more plain bytes than asked for, and more meta-blocks than any encoder needs: each of them has a head that costs time.
//!
//! What is left decodes to the same bytes behind any other chunks: nothing else of a decoder's state outlives a
//! meta-block (RFC 7932 section 10: the ring buffer, the two last bytes, the last four distances).

mod bits;
mod prefix;

use bits::Bits;
use prefix::{Prefix, read_prefix_code};

/// A result of the walk: the error says what makes the chunk unfit, for a person.
pub type Result<T> = std::result::Result<T, String>;

/// Meta-blocks of one chunk, at most; the encoder makes a few of a MiB.
pub const META_BLOCKS_MAX: usize = 1024;

/// What was seen of a chunk.
#[derive(Debug, Default)]
pub struct Walk {
    /// The chunk's plain bytes.
    pub plain: Vec<u8>,
    /// Meta-blocks of raw bytes.
    pub raw_blocks: usize,
    /// Meta-blocks of commands.
    pub compressed_blocks: usize,
    /// Meta-blocks that are skipped.
    pub metadata_blocks: usize,
    /// Commands: literals, then a copy.
    pub commands: usize,
    /// Copies among them.
    pub copies: usize,
    /// Distances that were named by one of the last four.
    pub last_distance_uses: usize,
    /// The longest distance.
    pub distance_max: usize,
    /// Context maps with more than one tree.
    pub context_maps: usize,
    /// Switches from one block to the next.
    pub block_switches: usize,
    /// The last four distances at the end, the latest first; None: never set.
    pub distances: [Option<usize>; 4],
}

/// Decodes a chunk of at most `plain_max` bytes, or says what makes it unfit to stand behind any other.
pub fn walk(stored: &[u8], plain_max: usize) -> Result<Walk> {
    let mut bits = Bits::new(stored);
    let mut seen = Walk::default();
    let mut distances = [None; 4]; // last, second last, …; None: left by a chunk before
    // To the very last bit: a chunk that ends inside a byte leaves bits that are no meta-block.
    while !bits.at_end() {
        if seen.raw_blocks + seen.compressed_blocks + seen.metadata_blocks == META_BLOCKS_MAX {
            return Err(format!("more than {META_BLOCKS_MAX} meta-blocks"));
        }
        meta_block(&mut bits, &mut seen, &mut distances, plain_max)
            .map_err(|e| format!("bit {}: {e}", bits.position()))?;
    }
    seen.distances = distances;
    Ok(seen)
}

fn meta_block(bits: &mut Bits, seen: &mut Walk, distances: &mut [Option<usize>; 4], plain_max: usize) -> Result<()> {
    if bits.read(1)? == 1 {
        return Err("a last meta-block".into());
    }
    let nibbles = match bits.read(2)? {
        3 => {
            if bits.read(1)? != 0 {
                return Err("the reserved bit is set".into());
            }
            let bytes = bits.read(2)?;
            let skip = if bytes == 0 { 0 } else { bits.read(8 * bytes)? + 1 };
            if bytes > 1 && (skip - 1) >> (8 * (bytes - 1)) == 0 {
                return Err("a skip length longer than needed".into());
            }
            bits.align()?;
            bits.take(skip as usize)?;
            seen.metadata_blocks += 1;
            return Ok(());
        }
        n => n + 4,
    };
    let length = bits.read(4 * nibbles)? as usize + 1;
    if nibbles > 4 && (length - 1) >> (4 * (nibbles - 1)) == 0 {
        return Err("more nibbles than needed".into());
    }
    if length > plain_max - seen.plain.len() {
        return Err(format!("more than {plain_max} plain bytes"));
    }
    if bits.read(1)? == 1 {
        bits.align()?;
        seen.plain.extend_from_slice(bits.take(length)?);
        seen.raw_blocks += 1;
        return Ok(());
    }
    compressed(bits, seen, distances, length)?;
    seen.compressed_blocks += 1;
    Ok(())
}

/// The block types of one category: literals, commands or distances.
struct Blocks {
    types: u32,
    type_code: Option<Prefix>,
    count_code: Option<Prefix>,
    left: u32,
    current: usize,
    previous: usize,
    switches: usize,
}

impl Blocks {
    fn read(bits: &mut Bits) -> Result<Blocks> {
        let types = count(bits)?;
        let mut blocks =
            Blocks { types, type_code: None, count_code: None, left: 1 << 24, current: 0, previous: 1, switches: 0 };
        if types >= 2 {
            blocks.type_code = Some(read_prefix_code(bits, types + 2)?);
            blocks.count_code = Some(read_prefix_code(bits, 26)?);
            blocks.left = blocks.block_count(bits)?;
        }
        Ok(blocks)
    }

    /// Called before each element: switches to the next block when this one is used up.
    fn step(&mut self, bits: &mut Bits) -> Result<()> {
        if self.left == 0 {
            let code = self.type_code.as_ref().ok_or("a block of a single type ends")?;
            let next = match code.decode(bits)? {
                0 => self.previous,
                1 => (self.current + 1) % self.types as usize,
                n => n as usize - 2,
            };
            self.previous = std::mem::replace(&mut self.current, next);
            self.left = self.block_count(bits)?;
            self.switches += 1;
        }
        self.left -= 1;
        Ok(())
    }

    fn block_count(&self, bits: &mut Bits) -> Result<u32> {
        const BASE: [u32; 26] = [
            1, 5, 9, 13, 17, 25, 33, 41, 49, 65, 81, 97, 113, 145, 177, 209, 241, 305, 369, 497, 753, 1265, 2289, 4337,
            8433, 16_625,
        ];
        const EXTRA: [u32; 26] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 24];
        let symbol = self.count_code.as_ref().ok_or("no code of block counts")?.decode(bits)? as usize;
        Ok(BASE[symbol] + bits.read(EXTRA[symbol])?)
    }
}

/// The variable-length count of 1 to 256 of RFC 7932 section 9.2.
fn count(bits: &mut Bits) -> Result<u32> {
    if bits.read(1)? == 0 {
        return Ok(1);
    }
    let n = bits.read(3)?;
    Ok((1 << n) + 1 + bits.read(n)?)
}

fn context_map(bits: &mut Bits, size: usize) -> Result<(u32, Vec<u8>)> {
    let trees = count(bits)?;
    if trees == 1 {
        return Ok((1, vec![0; size]));
    }
    let run_max = if bits.read(1)? == 1 { bits.read(4)? + 1 } else { 0 };
    let code = read_prefix_code(bits, trees + run_max)?;
    let mut map = Vec::with_capacity(size);
    while map.len() < size {
        match code.decode(bits)? {
            0 => map.push(0),
            run if run <= run_max => {
                let zeros = (1 << run) + bits.read(run)?;
                map.resize(map.len() + zeros as usize, 0);
            }
            other => map.push((other - run_max) as u8),
        }
    }
    if map.len() > size {
        return Err("a context map longer than its size".into());
    }
    if bits.read(1)? == 1 {
        let mut front: [u8; 256] = std::array::from_fn(|i| i as u8);
        for entry in &mut map {
            let at = *entry as usize;
            *entry = front[at];
            front.copy_within(..at, 1);
            front[0] = *entry;
        }
    }
    Ok((trees, map))
}

fn compressed(bits: &mut Bits, seen: &mut Walk, distances: &mut [Option<usize>; 4], length: usize) -> Result<()> {
    let mut literals = Blocks::read(bits)?;
    let mut commands = Blocks::read(bits)?;
    let mut distance_blocks = Blocks::read(bits)?;
    let postfix = bits.read(2)?;
    let direct = bits.read(4)? << postfix;
    let modes = (0..literals.types).map(|_| bits.read(2)).collect::<Result<Vec<_>>>()?;
    let (literal_trees, literal_map) = context_map(bits, 64 * literals.types as usize)?;
    let (distance_trees, distance_map) = context_map(bits, 4 * distance_blocks.types as usize)?;
    seen.context_maps += (literal_trees > 1) as usize + (distance_trees > 1) as usize;
    let codes = |bits: &mut Bits, n: u32, alphabet: u32| {
        (0..n).map(|_| read_prefix_code(bits, alphabet)).collect::<Result<Vec<_>>>()
    };
    let literal_codes = codes(bits, literal_trees, 256)?;
    let command_codes = codes(bits, commands.types, 704)?;
    let distance_codes = codes(bits, distance_trees, 16 + direct + (48 << postfix))?;
    let end = seen.plain.len() + length;
    while seen.plain.len() < end {
        commands.step(bits)?;
        seen.commands += 1;
        let command = command_codes[commands.current].decode(bits)?;
        let (insert, copy, implicit) = insert_and_copy(bits, command)?;
        if insert > end - seen.plain.len() {
            return Err("literals beyond the meta-block".into());
        }
        for _ in 0..insert {
            literals.step(bits)?;
            let map = &literal_map[64 * literals.current..64 * literals.current + 64];
            let tree = literal_tree(map, modes[literals.current], &seen.plain)?;
            seen.plain.push(literal_codes[tree].decode(bits)? as u8);
        }
        if seen.plain.len() == end {
            break; // the last command's copy is not there
        }
        let symbol = if implicit {
            0
        } else {
            distance_blocks.step(bits)?;
            let context = copy.min(5) - 2;
            distance_codes[distance_map[4 * distance_blocks.current + context] as usize].decode(bits)?
        };
        let distance = distance_of(bits, symbol, distances, postfix, direct)?;
        if distance > seen.plain.len() {
            return Err(format!(
                "distance {distance} at byte {}: before the chunk, or the static dictionary",
                seen.plain.len()
            ));
        }
        if symbol != 0 {
            distances.rotate_right(1);
            distances[0] = Some(distance);
        }
        if copy > end - seen.plain.len() {
            return Err("a copy beyond the meta-block".into());
        }
        let from = seen.plain.len() - distance;
        if distance >= copy {
            seen.plain.extend_from_within(from..from + copy);
        } else {
            for at in from..from + copy {
                seen.plain.push(seen.plain[at]);
            }
        }
        seen.copies += 1;
        seen.last_distance_uses += (symbol < 16) as usize;
        seen.distance_max = seen.distance_max.max(distance);
    }
    seen.block_switches += literals.switches + commands.switches + distance_blocks.switches;
    Ok(())
}

/// Returns the insert length, the copy length, and whether the distance is the last one without being written.
fn insert_and_copy(bits: &mut Bits, symbol: u32) -> Result<(usize, usize, bool)> {
    const INSERT_BASE: [u32; 24] =
        [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 18, 26, 34, 50, 66, 98, 130, 194, 322, 578, 1090, 2114, 6210, 22_594];
    const INSERT_EXTRA: [u32; 24] = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12, 14, 24];
    const COPY_BASE: [u32; 24] =
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 18, 22, 30, 38, 54, 70, 102, 134, 198, 326, 582, 1094, 2118];
    const COPY_EXTRA: [u32; 24] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 24];
    // First insert code and first copy code of each run of 64 symbols.
    const CELLS: [(u32, u32); 11] =
        [(0, 0), (0, 8), (0, 0), (0, 8), (8, 0), (8, 8), (0, 16), (16, 0), (8, 16), (16, 8), (16, 16)];
    let (insert_base, copy_base) = CELLS[symbol as usize >> 6];
    let insert = (insert_base + (symbol >> 3 & 7)) as usize;
    let copy = (copy_base + (symbol & 7)) as usize;
    let insert_length = INSERT_BASE[insert] + bits.read(INSERT_EXTRA[insert])?;
    let copy_length = COPY_BASE[copy] + bits.read(COPY_EXTRA[copy])?;
    Ok((insert_length as usize, copy_length as usize, symbol < 128))
}

fn distance_of(bits: &mut Bits, symbol: u32, last: &[Option<usize>; 4], postfix: u32, direct: u32) -> Result<usize> {
    // RFC 7932 section 4: which of the last distances, and what is added.
    const LAST: [(usize, isize); 16] = [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 0),
        (0, -1),
        (0, 1),
        (0, -2),
        (0, 2),
        (0, -3),
        (0, 3),
        (1, -1),
        (1, 1),
        (1, -2),
        (1, 2),
        (1, -3),
        (1, 3),
    ];
    if let Some((which, add)) = LAST.get(symbol as usize) {
        let distance = last[*which].ok_or(format!("distance symbol {symbol}: a distance left by a chunk before"))?;
        return distance.checked_add_signed(*add).filter(|d| *d > 0).ok_or("a distance below one".into());
    }
    if symbol < 16 + direct {
        return Ok(symbol as usize - 15);
    }
    let code = symbol - direct - 16;
    let extra = 1 + (code >> (postfix + 1));
    let high = code >> postfix;
    let low = code & ((1 << postfix) - 1);
    let offset = ((2 + (high & 1)) << extra) - 4;
    Ok((((offset + bits.read(extra)?) << postfix) + low + direct + 1) as usize)
}

/// The literal code for the next byte. Where one of the two bytes before it is not the chunk's, every value that byte
/// could have must lead to the same code.
fn literal_tree(map: &[u8], mode: u32, plain: &[u8]) -> Result<usize> {
    let n = plain.len();
    if n >= 2 {
        return Ok(map[context_id(mode, plain[n - 1], plain[n - 2])] as usize);
    }
    let ones = if n == 1 { plain[0]..=plain[0] } else { 0..=255 };
    let mut trees = ones.flat_map(|p1| (0..=255).map(move |p2| map[context_id(mode, p1, p2)]));
    let first = trees.next().ok_or("no context")?;
    if trees.any(|tree| tree != first) {
        return Err(format!("the literal at byte {n} depends on bytes before the chunk"));
    }
    Ok(first as usize)
}

/// RFC 7932 section 7.1.
fn context_id(mode: u32, p1: u8, p2: u8) -> usize {
    (match mode {
        0 => p1 & 0x3f,
        1 => p1 >> 2,
        2 => utf8_first(p1) | utf8_second(p2),
        _ => signed(p1) << 3 | signed(p2),
    }) as usize
}

fn utf8_first(p1: u8) -> u8 {
    match p1 {
        b'\t' | b'\n' | b'\r' => 4,
        0..=0x1f | 0x7f => 0,
        b' ' => 8,
        b'"' | b'\'' => 16,
        b'%' => 20,
        b'(' | b'<' | b'[' | b'{' => 24,
        b')' | b'>' | b']' | b'}' => 28,
        b',' | b':' | b';' => 32,
        b'.' => 36,
        b'=' => 40,
        b'0'..=b'9' => 44,
        b'A' | b'E' | b'I' | b'O' | b'U' => 48,
        b'A'..=b'Z' => 52,
        b'a' | b'e' | b'i' | b'o' | b'u' => 56,
        b'a'..=b'z' => 60,
        0x21..=0x7e => 12,
        0x80..=0xbf => p1 & 1,
        0xc0..=0xff => 2 | p1 & 1,
    }
}

fn utf8_second(p2: u8) -> u8 {
    match p2 {
        0..=0x20 | 0x7f..=0xdf => 0,
        b'0'..=b'9' | b'A'..=b'Z' | 0xe0..=0xff => 2,
        b'a'..=b'z' => 3,
        0x21..=0x7e => 1,
    }
}

fn signed(p: u8) -> u8 {
    match p {
        0 => 0,
        1..=15 => 1,
        16..=63 => 2,
        64..=127 => 3,
        128..=191 => 4,
        192..=239 => 5,
        240..=254 => 6,
        255 => 7,
    }
}
