//! Bits, least significant first (RFC 7932 section 1.5.1).

use super::Result;

/// A reader of bits. Bits that were peeked are not read; behind the end zeros are peeked.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize, // of the next byte that is not held
    held: u64,
    count: u32, // bits held
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0, held: 0, count: 0 }
    }

    /// The number of bits read.
    pub fn position(&self) -> usize {
        8 * self.at - self.count as usize
    }

    pub fn at_end(&self) -> bool {
        self.count == 0 && self.at == self.bytes.len()
    }

    fn fill(&mut self) {
        while self.count <= 56 && self.at < self.bytes.len() {
            self.held |= u64::from(self.bytes[self.at]) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    /// Returns the next `n` bits, at most 32, without reading them.
    pub fn peek(&mut self, n: u32) -> u32 {
        if self.count < n {
            self.fill();
        }
        (self.held & ((1 << n) - 1)) as u32
    }

    /// Reads bits that were peeked.
    pub fn skip(&mut self, n: u32) -> Result<()> {
        if self.count < n {
            return Err("the chunk ends inside a meta-block".into());
        }
        self.held >>= n;
        self.count -= n;
        Ok(())
    }

    pub fn read(&mut self, n: u32) -> Result<u32> {
        let value = self.peek(n);
        self.skip(n)?;
        Ok(value)
    }

    /// Skips to the next byte boundary; the bits between have to be zero.
    pub fn align(&mut self) -> Result<()> {
        if self.read(self.count % 8)? != 0 {
            return Err("the padding is not zero".into());
        }
        Ok(())
    }

    /// Takes whole bytes at a byte boundary.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let start = self.position() / 8;
        let bytes = self.bytes.get(start..start + n).ok_or("the chunk ends inside a meta-block")?;
        (self.at, self.held, self.count) = (start + n, 0, 0);
        Ok(bytes)
    }
}
