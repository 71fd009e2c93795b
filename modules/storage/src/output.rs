//! Where results are written: at the end of a buffer that may hold something before.

/// Output is a growing buffer of bytes, such as a `Vec<u8>` or the bulk of a reply. Functions of this crate append to
/// it, and cut it back to where it was when they fail.
pub trait Output {
    /// The bytes so far.
    fn bytes(&self) -> &[u8];
    /// The bytes so far, to change in place.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Makes room for `additional` bytes more.
    fn reserve(&mut self, additional: usize);
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]);
    /// Appends zeros up to `length`.
    fn grow(&mut self, length: usize);
    /// Cuts the buffer to `length`.
    fn cut(&mut self, length: usize);

    /// The number of bytes so far.
    fn length(&self) -> usize {
        self.bytes().len()
    }
}

impl Output for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
    fn reserve(&mut self, additional: usize) {
        Vec::reserve(self, additional);
    }
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn grow(&mut self, length: usize) {
        self.resize(length, 0);
    }
    fn cut(&mut self, length: usize) {
        self.truncate(length);
    }
}
