//! Finds the end of a request's body, pure, so that the stream passes on no byte after it.

use super::head::Framing;

/// Most bytes of a chunked body that are not data: sizes, extensions, line ends and trailers. In addition to
/// [`OVERHEAD_A_BYTE`] for each byte of data.
const OVERHEAD_MAX: u64 = 16_384;

/// Overhead allowed per byte of data: a chunk of one byte takes six.
const OVERHEAD_A_BYTE: u64 = 8;

/// The chunks are malformed (RFC 9112 section 7.1), or have too much overhead.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedBody;

/// The rest of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum RemainingBody {
    /// Nothing remains.
    Done,
    /// This many bytes.
    Counted(u64),
    /// Chunks.
    Chunked(Chunks),
}

impl RemainingBody {
    /// The whole body.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Done,
            Framing::Counted(length) => Self::Counted(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
        }
    }

    /// How many bytes at the start of `input` belong to the body, with at most `most` bytes of data. Subtracts the data
    /// from `most`.
    ///
    /// # Errors
    /// [`MalformedBody`].
    pub fn take(&mut self, input: &[u8], most: &mut u64) -> Result<usize, MalformedBody> {
        let taken = match self {
            Self::Done => 0,
            Self::Counted(left) => {
                let taken = (*left).min(input.len() as u64).min(*most);
                *left -= taken;
                *most -= taken;
                usize::try_from(taken).unwrap_or(usize::MAX)
            }
            Self::Chunked(chunks) => chunks.take(input, most)?,
        };
        let is_done = match self {
            Self::Done => true,
            Self::Counted(left) => *left == 0,
            Self::Chunked(chunks) => chunks.step == ChunkStep::End,
        };
        if is_done {
            *self = Self::Done;
        }
        Ok(taken)
    }
}

/// The state of a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    step: ChunkStep,
    /// The size of the chunk while that is read, then its missing bytes.
    left: u64,
    data: u64,
    overhead: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkStep {
    #[default]
    FirstDigit,
    Digits,
    /// White space after the size.
    AfterSize,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    End,
}

impl Chunks {
    fn take(&mut self, input: &[u8], most: &mut u64) -> Result<usize, MalformedBody> {
        let mut at = 0;
        while let Some(&byte) = input.get(at).filter(|_| self.step != ChunkStep::End) {
            if self.step == ChunkStep::Data {
                let ready = (input.len() - at) as u64;
                let taken = self.left.min(ready).min(*most);
                if taken == 0 {
                    break;
                }
                *most -= taken;
                self.left -= taken;
                self.data += taken;
                at += usize::try_from(taken).unwrap_or(usize::MAX);
                if self.left == 0 {
                    self.step = ChunkStep::DataCr;
                }
                continue;
            }
            self.step = self.next(byte)?;
            at += 1;
            self.overhead += 1;
            if self.overhead > OVERHEAD_MAX + OVERHEAD_A_BYTE * self.data {
                return Err(MalformedBody);
            }
        }
        Ok(at)
    }

    /// The state after `byte`, which is not data.
    fn next(&mut self, byte: u8) -> Result<ChunkStep, MalformedBody> {
        Ok(match (self.step, byte) {
            (ChunkStep::FirstDigit, _) => {
                self.left = digit(byte)?;
                ChunkStep::Digits
            }
            (ChunkStep::Digits | ChunkStep::AfterSize | ChunkStep::Extension, b'\r') => ChunkStep::SizeLf,
            (ChunkStep::Digits | ChunkStep::AfterSize, b';') => ChunkStep::Extension,
            (ChunkStep::Digits | ChunkStep::AfterSize, b' ' | b'\t') => ChunkStep::AfterSize,
            (ChunkStep::Digits, _) => {
                let shifted = self.left.checked_mul(16).ok_or(MalformedBody)?;
                self.left = shifted + digit(byte)?;
                ChunkStep::Digits
            }
            (ChunkStep::Extension, b'\t' | b' '..=b'~' | 0x80..) => ChunkStep::Extension,
            (ChunkStep::SizeLf, b'\n') if self.left == 0 => ChunkStep::TrailerStart,
            (ChunkStep::SizeLf, b'\n') => ChunkStep::Data,
            (ChunkStep::DataCr, b'\r') => ChunkStep::DataLf,
            (ChunkStep::DataLf, b'\n') => ChunkStep::FirstDigit,
            (ChunkStep::TrailerStart, b'\r') => ChunkStep::LastLf,
            (ChunkStep::Trailer, b'\r') => ChunkStep::TrailerLf,
            (ChunkStep::TrailerStart | ChunkStep::Trailer, b'\t' | b' '..=b'~' | 0x80..) => ChunkStep::Trailer,
            (ChunkStep::TrailerLf, b'\n') => ChunkStep::TrailerStart,
            (ChunkStep::LastLf, b'\n') => ChunkStep::End,
            _ => return Err(MalformedBody),
        })
    }
}

fn digit(byte: u8) -> Result<u64, MalformedBody> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(MalformedBody)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of taking `input` in pieces of `piece` bytes: bytes taken, the remaining body, and the rest of
    /// `most`.
    fn taken(
        framing: Framing,
        input: &[u8],
        piece: usize,
        most: u64,
    ) -> Result<(usize, RemainingBody, u64), MalformedBody> {
        let (mut rest, mut most, mut total) = (RemainingBody::of(framing), most, 0);
        for part in input.chunks(piece) {
            let taken = rest.take(part, &mut most)?;
            total += taken;
            if taken < part.len() {
                break;
            }
        }
        Ok((total, rest, most))
    }

    #[test]
    fn a_counted_body_ends_at_its_length_and_the_next_request_is_not_touched() {
        for piece in [1, 3, 100] {
            assert_eq!(taken(Framing::Counted(5), b"helloGET /", piece, 100), Ok((5, RemainingBody::Done, 95)));
            assert_eq!(taken(Framing::Counted(5), b"hel", piece, 100), Ok((3, RemainingBody::Counted(2), 97)));
            assert_eq!(taken(Framing::Counted(5), b"hello", piece, 2), Ok((2, RemainingBody::Counted(3), 0)));
        }
        assert_eq!(taken(Framing::None, b"GET /", 10, 100), Ok((0, RemainingBody::Done, 100)));
    }

    #[test]
    fn a_chunked_body_ends_after_its_trailers_for_any_split() {
        let body = b"5;name=\"x\"\r\nhello\r\n1 \r\n!\r\n0\r\nDigest: x\r\n\r\n";
        let input = [&body[..], b"GET /"].concat();
        for piece in [1, 2, 7, 1_000] {
            assert_eq!(
                taken(Framing::Chunked, &input, piece, 100),
                Ok((body.len(), RemainingBody::Done, 94)),
                "{piece}"
            );
        }
    }

    #[test]
    fn data_is_taken_up_to_the_limit() {
        let (total, rest, most) = taken(Framing::Chunked, b"a\r\n0123456789\r\n0\r\n\r\n", 4, 6).unwrap();
        assert_eq!((total, most), (9, 0));
        assert_ne!(rest, RemainingBody::Done);
    }

    #[test]
    fn a_malformed_chunk_is_refused() {
        for bad in [
            &b"x\r\n"[..],
            b"\r\n",
            b"5\nhello",
            b"5\r\nhello!",
            b"5\r\nhello\n",
            b"5\r\rhello",
            b"ffffffffffffffff1\r\n",
            b"0\r\n\n",
            b"0\r\nA\0: b\r\n\r\n",
            b"5;\x07\r\nhello",
            b"5 x\r\nhello",
        ] {
            for piece in [1, 100] {
                let all = taken(Framing::Chunked, bad, piece, 1_000);
                assert_eq!(all.map(|(_, rest, _)| rest), Err(MalformedBody), "{}", bad.escape_ascii());
            }
        }
    }

    #[test]
    fn a_body_with_too_much_overhead_is_refused() {
        let honest = b"1\r\nx\r\n".repeat(100_000);
        assert!(taken(Framing::Chunked, &honest, 8_192, u64::MAX).is_ok());
        let extension = [b"5;", &b"e".repeat(20_000)[..]].concat();
        assert_eq!(taken(Framing::Chunked, &extension, 8_192, u64::MAX), Err(MalformedBody));
        let trailers = [b"0\r\n", &b"A: b\r\n".repeat(4_000)[..]].concat();
        assert_eq!(taken(Framing::Chunked, &trailers, 8_192, u64::MAX), Err(MalformedBody));
    }
}
