//! Bits, least significant first (RFC 7932 section 1.5.1).

use super::Result;

pub struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn at_end(&self) -> bool {
        self.position == 8 * self.bytes.len()
    }

    pub fn read(&mut self, n: u32) -> Result<u32> {
        let mut value = 0;
        for i in 0..n {
            let byte = *self.bytes.get(self.position / 8).ok_or("the chunk ends inside a meta-block")?;
            value |= u32::from(byte >> (self.position % 8) & 1) << i;
            self.position += 1;
        }
        Ok(value)
    }

    /// Skips to the next byte boundary; the bits between have to be zero.
    pub fn align(&mut self) -> Result<()> {
        let n = (8 - self.position % 8) % 8;
        if self.read(n as u32)? != 0 {
            return Err("the padding is not zero".into());
        }
        Ok(())
    }

    /// Takes whole bytes at a byte boundary.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let start = self.position / 8;
        let bytes = self.bytes.get(start..start + n).ok_or("the chunk ends inside a meta-block")?;
        self.position += 8 * n;
        Ok(bytes)
    }
}
