//! UTF-8 in pieces: a text message may be cut anywhere, also inside a character. Fails at the first byte that no
//! continuation could make valid (RFC 6455 section 8.1, RFC 3629).

/// The state between two pieces: the bytes of a character that has begun, at most three.
#[derive(Debug, Default, Clone, Copy)]
pub struct Utf8 {
    begun: [u8; 3],
    len: u8,
}

/// The bytes are not UTF-8, whatever may follow.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

impl Utf8 {
    /// At the start of a text.
    pub const NEW: Self = Self {
        begun: [0; 3],
        len: 0,
    };

    /// Checks the next piece of a text.
    ///
    /// # Errors
    /// [`Invalid`] as soon as the text cannot become valid any more.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            let begun = usize::from(self.len);
            let mut character = [0; 4];
            character[..begun].copy_from_slice(&self.begun[..begun]);
            character[begun] = byte;
            self.len = 0;
            self.keep(&character[..=begun])?;
        }
        self.keep(piece)
    }

    /// Checks that the text may end here.
    ///
    /// # Errors
    /// [`Invalid`] inside a character.
    pub const fn finish(&self) -> Result<(), Invalid> {
        if self.len == 0 { Ok(()) } else { Err(Invalid) }
    }

    /// Checks bytes that begin at a character boundary and keeps an incomplete character at their end.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        let Err(error) = std::str::from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        let tail = &bytes[error.valid_up_to()..];
        self.begun[..tail.len()].copy_from_slice(tail);
        self.len = u8::try_from(tail.len()).unwrap_or(u8::MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pieces: &[&[u8]]) -> Result<(), Invalid> {
        let mut utf8 = Utf8::default();
        for piece in pieces {
            utf8.push(piece)?;
        }
        utf8.finish()
    }

    #[test]
    fn any_split_gives_the_verdict_of_the_whole() {
        let texts: [&[u8]; 9] = [
            "κόσμε \u{feff}\u{0}\u{10ffff} 🦀".as_bytes(),
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xe2\x82",
            b"ok \xff",
            b"\xf0\x9f\xa6",
            b"\x80",
            b"\xc3\xa9\xc3",
        ];
        for text in texts {
            let expected = std::str::from_utf8(text).is_ok();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let pieces = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(
                        whole(&pieces).is_ok(),
                        expected,
                        "{text:?} at {first}, {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_first_bad_byte_fails() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(b"ab\xf4"), Ok(()));
        assert_eq!(utf8.push(b"\x90"), Err(Invalid));
        assert_eq!(Utf8::default().push(b"\xed\xa0"), Err(Invalid));
    }
}
