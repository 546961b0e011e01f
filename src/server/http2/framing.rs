//! Where messages begin and end in what a call sends: five bytes before each say whether it is
//! compressed, and how long it is.
//!
//! It only counts. What stands in a message is read by whoever the call is for.

/// Whether a message is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What is wrong with a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The message is compressed, or its first byte says nothing that is known.
    Flag(u8),
    /// The message is longer than what is decoded at all.
    TooLong(usize),
}

/// How far a sequence of messages has come.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Framing {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that are there.
    has: usize,
    /// Bytes of the message that are missing, once the prefix is there.
    missing: usize,
    /// Bytes of the message so far, with its prefix.
    begun: usize,
    /// Whether a message has ended.
    has_ended: bool,
}

impl Framing {
    /// Goes on by some bytes. Tells whether a message ended within them.
    ///
    /// # Errors
    /// [`Malformed`]; nothing that follows can be told apart then.
    pub(super) fn advance(&mut self, mut bytes: &[u8], most: usize) -> Result<bool, Malformed> {
        let mut ended = false;
        while !bytes.is_empty() {
            if self.has < PREFIX_BYTES {
                let count = bytes.len().min(PREFIX_BYTES - self.has);
                let (now, rest) = bytes.split_at(count);
                self.prefix[self.has..self.has + count].copy_from_slice(now);
                (self.has, self.begun, bytes) = (self.has + count, self.begun + count, rest);
                if self.has < PREFIX_BYTES {
                    break;
                }
                let [flag, length @ ..] = self.prefix;
                self.missing = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if flag != 0 {
                    return Err(Malformed::Flag(flag));
                }
                if self.missing > most {
                    return Err(Malformed::TooLong(self.missing));
                }
            } else {
                let count = bytes.len().min(self.missing);
                (self.missing, self.begun, bytes) = (self.missing - count, self.begun + count, &bytes[count..]);
            }
            if self.has == PREFIX_BYTES && self.missing == 0 {
                (self.has, self.begun, self.has_ended, ended) = (0, 0, true, true);
            }
        }
        Ok(ended)
    }

    /// Bytes of a message that is not whole; none between two messages.
    pub(super) fn begun(&self) -> usize {
        self.begun
    }

    /// Bytes that are missing to it, as far as that is known; none between two messages.
    pub(super) fn missing(&self) -> usize {
        match self.has {
            0 => 0,
            PREFIX_BYTES => self.missing,
            has => PREFIX_BYTES - has,
        }
    }

    /// How many bytes that message has in all, as far as that is known.
    pub(super) fn expected(&self) -> usize {
        self.begun + self.missing()
    }

    /// Whether any message was whole.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lengths: &[u8]) -> Vec<u8> {
        let message = |length: &u8| [vec![0, 0, 0, 0, *length], vec![0xFF; usize::from(*length)]].concat();
        lengths.iter().flat_map(message).collect()
    }

    #[test]
    fn messages_end_where_they_do_however_they_are_cut() {
        let bytes = messages(&[3, 0, 200, 1]);
        let ends: Vec<usize> = [8, 13, 218, 224].into();
        for piece in [1, 2, 3, 5, 7, 64, bytes.len()] {
            let mut framing = Framing::default();
            let mut read = 0;
            for piece in bytes.chunks(piece) {
                let ended = framing.advance(piece, 200);
                let range = read + 1..=read + piece.len();
                assert_eq!(ended, Ok(ends.iter().any(|end| range.contains(end))), "after {read}");
                read += piece.len();
                let last = ends.iter().rev().find(|end| **end <= read).copied().unwrap_or(0);
                assert_eq!(framing.begun(), read - last);
                assert_eq!(framing.has_ended(), last > 0);
            }
        }
    }

    #[test]
    fn a_bad_prefix_is_told_as_soon_as_it_is_there() {
        assert_eq!(Framing::default().advance(&[0, 0, 0, 0, 5], 4), Err(Malformed::TooLong(5)));
        assert_eq!(Framing::default().advance(&[1, 0, 0, 0, 0], 4), Err(Malformed::Flag(1)));
        let mut framing = Framing::default();
        assert_eq!(framing.advance(&messages(&[2, 4])[..10], 4), Ok(true));
        assert_eq!((framing.begun(), framing.expected()), (3, 5));
        assert_eq!(framing.advance(&[0, 4, 1], 4), Ok(false));
        assert_eq!((framing.begun(), framing.expected()), (6, 9));
    }
}
