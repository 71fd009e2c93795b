//! Prefix codes (RFC 7932 section 3).

use super::Result;
use super::bits::Bits;

/// Bits that one look into a table decodes; longer codes are rare.
const TABLE_BITS: u32 = 8;
/// The longest code.
const CODE_BITS_MAX: u32 = 15;

/// A complete canonical prefix code, or a single symbol that takes no bits.
pub struct Prefix {
    /// Number of symbols of each length.
    counts: [u32; 16],
    /// Symbols by length, then by value.
    symbols: Vec<u16>,
    /// By the next bits: the symbol and its length, 0 when it is longer. Empty of a code of few symbols.
    table: Vec<(u16, u8)>,
}

impl Prefix {
    fn new(lengths: &[u8]) -> Result<Prefix> {
        let mut counts = [0u32; 16];
        for &length in lengths {
            counts[length as usize] += 1;
        }
        counts[0] = 0;
        let space: u32 = (1..16).map(|length| counts[length] << (15 - length)).sum();
        let used = counts.iter().sum::<u32>() as usize;
        match used {
            0 => return Err("a prefix code without symbols".into()),
            1 => {}
            _ if space != 1 << 15 => return Err("a prefix code that is not complete".into()),
            _ => {}
        }
        // By length, then by value: where each length begins, and then symbol by symbol.
        let mut next = [0usize; 16];
        for length in 1..16 {
            next[length] = next[length - 1] + counts[length - 1] as usize;
        }
        let mut symbols = vec![0; used];
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            symbols[next[length as usize]] = symbol as u16;
            next[length as usize] += 1;
        }
        if used == 1 {
            counts = [0; 16];
        }
        let mut code = Prefix { counts, symbols, table: Vec::new() };
        if used > 4 {
            code.tabulate(lengths);
        }
        Ok(code)
    }

    fn tabulate(&mut self, lengths: &[u8]) {
        let mut table = vec![(0, 0); 1 << TABLE_BITS];
        let (mut code, mut before) = (0u32, 0);
        for &symbol in &self.symbols {
            let length = u32::from(lengths[symbol as usize]);
            if length > TABLE_BITS {
                break;
            }
            code <<= length - before;
            before = length;
            let reversed = code.reverse_bits() >> (u32::BITS - length);
            for high in 0..1 << (TABLE_BITS - length) {
                table[(high << length | reversed) as usize] = (symbol, length as u8);
            }
            code += 1;
        }
        self.table = table;
    }

    pub fn decode(&self, bits: &mut Bits) -> Result<u32> {
        if self.symbols.len() == 1 {
            return Ok(u32::from(self.symbols[0]));
        }
        let next = bits.peek(CODE_BITS_MAX);
        if let Some(&(symbol, length)) = self.table.get(next as usize & ((1 << TABLE_BITS) - 1))
            && length > 0
        {
            bits.skip(u32::from(length))?;
            return Ok(u32::from(symbol));
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..=CODE_BITS_MAX {
            code |= next >> (length - 1) & 1;
            let count = self.counts[length as usize];
            if code < first + count {
                bits.skip(length)?;
                return Ok(u32::from(self.symbols[(index + code - first) as usize]));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("no such code".into())
    }
}

pub fn read_prefix_code(bits: &mut Bits, alphabet: u32) -> Result<Prefix> {
    match bits.read(2)? {
        1 => simple(bits, alphabet),
        skip => complex(bits, alphabet, skip as usize),
    }
}

/// A code of one to four symbols. A chunk can have hundreds of thousands of them, a few bits each: nothing here takes time by the alphabet.
fn simple(bits: &mut Bits, alphabet: u32) -> Result<Prefix> {
    let n = bits.read(2)? as usize + 1;
    let width = u32::BITS - (alphabet - 1).leading_zeros();
    let mut symbols: Vec<u16> = Vec::with_capacity(n);
    for _ in 0..n {
        let symbol = bits.read(width)?;
        if symbol >= alphabet {
            return Err("a symbol beyond the alphabet".into());
        }
        if symbols.contains(&(symbol as u16)) {
            return Err("a symbol named twice".into());
        }
        symbols.push(symbol as u16);
    }
    let mut counts = [0; 16];
    // Symbols of equal length are in order of their values.
    let sorted_from = match (n, n == 4 && bits.read(1)? == 1) {
        (1, _) => 0, // takes no bits
        (2, _) => {
            counts[1] = 2;
            0
        }
        (3, _) => {
            (counts[1], counts[2]) = (1, 2);
            1
        }
        (_, false) => {
            counts[2] = 4;
            0
        }
        (_, true) => {
            (counts[1], counts[2], counts[3]) = (1, 1, 2);
            2
        }
    };
    symbols[sorted_from..].sort_unstable();
    Ok(Prefix { counts, symbols, table: Vec::new() })
}

fn complex(bits: &mut Bits, alphabet: u32, skip: usize) -> Result<Prefix> {
    const ORDER: [usize; 18] = [1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut code_lengths = [0u8; 18];
    let mut space = 32i32;
    for &symbol in &ORDER[skip..] {
        if space <= 0 {
            break;
        }
        let length = code_length(bits)?;
        code_lengths[symbol] = length;
        if length > 0 {
            space -= 32 >> length;
        }
    }
    let used = code_lengths.iter().filter(|l| **l > 0).count();
    if space != 0 && used != 1 {
        return Err("a code of code lengths that is not complete".into());
    }
    let code = Prefix::new(&code_lengths)?;
    let mut lengths: Vec<u8> = Vec::new();
    let (mut space, mut previous, mut repeat, mut repeated) = (1i32 << 15, 8u8, 0usize, 0u8);
    while space > 0 && lengths.len() < alphabet as usize {
        let symbol = code.decode(bits)? as u8;
        if symbol < 16 {
            lengths.push(symbol);
            repeat = 0;
            if symbol > 0 {
                previous = symbol;
                space -= (1 << 15) >> symbol;
            }
            continue;
        }
        let (extra, value) = if symbol == 16 { (2, previous) } else { (3, 0) };
        if repeat > 0 && repeated != symbol {
            repeat = 0;
        }
        repeated = symbol;
        let before = repeat;
        if repeat > 0 {
            repeat = (repeat - 2) << extra;
        }
        repeat += bits.read(extra)? as usize + 3;
        let more = repeat - before;
        if lengths.len() + more > alphabet as usize {
            return Err("more code lengths than symbols".into());
        }
        lengths.resize(lengths.len() + more, value);
        if value > 0 {
            space -= (more as i32) << (15 - value);
        }
    }
    if space != 0 {
        return Err("code lengths that do not fill the code".into());
    }
    lengths.resize(alphabet as usize, 0);
    Prefix::new(&lengths)
}

/// The fixed code of code lengths 0 to 5.
fn code_length(bits: &mut Bits) -> Result<u8> {
    Ok(match bits.read(2)? {
        0 => 0,
        1 => 4,
        2 => 3,
        _ if bits.read(1)? == 0 => 2,
        _ if bits.read(1)? == 0 => 1,
        _ => 5,
    })
}
