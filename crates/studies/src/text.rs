//! The decompressed text of an input.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;
use memchr::memchr_iter;

use crate::work::count;

pub(crate) const BUFFER_BYTES: usize = 65_536;

/// The decompressed text of an input, with push-back.
pub(crate) struct Text<'a> {
    again: Cursor<Vec<u8>>,
    inner: BufReader<Box<dyn Read + 'a>>,
    /// The line of the next byte, from 1.
    pub(crate) line: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
}

impl<'a> Text<'a> {
    /// Decompresses what is gzipped and drops a byte order mark. Fails for UTF-16.
    pub(crate) fn open(raw: impl Read + 'a) -> io::Result<Self> {
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let gzip = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let inner: Box<dyn Read + 'a> = if gzip { Box::new(Members::new(raw)) } else { Box::new(raw) };
        let mut inner = BufReader::with_capacity(BUFFER_BYTES, inner);
        match inner.fill_buf()? {
            [0xef, 0xbb, 0xbf, ..] => inner.consume(3),
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..] => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is UTF-16; convert it to UTF-8"));
            }
            _ => {}
        }
        Ok(Self { again: Cursor::default(), inner, line: 1, bytes: 0 })
    }

    /// Reads these bytes, the last ones that were read, again.
    pub(crate) fn push_back(&mut self, mut bytes: Vec<u8>) {
        self.line -= newlines(&bytes);
        self.bytes -= bytes.len() as u64;
        let read = usize::try_from(self.again.position()).unwrap_or(usize::MAX);
        bytes.extend_from_slice(self.again.get_ref().get(read..).unwrap_or_default());
        self.again = Cursor::new(bytes);
    }

    /// Goes to the next byte that is not white space, and returns it; `None` at the end. `line_start` becomes true if
    /// that takes a line end.
    pub(crate) fn skip_space(&mut self, line_start: &mut bool) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.fill_buf()?;
            let spaces = buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            *line_start |= buffer[..spaces].contains(&b'\n');
            let (ended, next) = (buffer.is_empty(), buffer.get(spaces).copied());
            self.consume(spaces);
            if ended || next.is_some() {
                return Ok(next);
            }
        }
    }

    /// Goes to the next line that begins with a brace. `line_start`: whether the next byte begins a line.
    pub(crate) fn skip_to_brace(&mut self, mut line_start: bool) -> io::Result<()> {
        loop {
            match self.fill_buf()? {
                [] => return Ok(()),
                [b'{', ..] if line_start => return Ok(()),
                _ => line_start = self.skip_line()?,
            }
        }
    }

    /// Goes to the next line, or to the end of what has arrived; whether that begins a line.
    fn skip_line(&mut self) -> io::Result<bool> {
        let buffer = self.fill_buf()?;
        let end = buffer.iter().position(|b| *b == b'\n').map(|end| end + 1);
        let skipped = end.unwrap_or(buffer.len());
        self.consume(skipped);
        Ok(end.is_some())
    }

    /// Goes to the next line if that begins within so many bytes.
    pub(crate) fn skip_line_within(&mut self, bytes: usize) -> io::Result<bool> {
        let last = self.bytes + bytes as u64;
        while self.bytes < last {
            if self.skip_line()? {
                return Ok(true);
            }
            if self.fill_buf()?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether nothing but white space is left of the line.
    pub(crate) fn ends_line(&mut self) -> io::Result<bool> {
        loop {
            match self.fill_buf()?.first() {
                Some(b'\n') => return Ok(true),
                Some(b' ' | b'\t' | b'\r') => self.consume(1),
                _ => return Ok(false),
            }
        }
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let again = self.again.get_ref().len() as u64 > self.again.position();
        if again { self.again.fill_buf() } else { self.inner.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        count(amount);
        let again = self.again.get_ref().len() as u64 > self.again.position();
        let buffer = if again { self.again.fill_buf().unwrap_or_default() } else { self.inner.buffer() };
        self.line += newlines(&buffer[..amount]);
        self.bytes += amount as u64;
        if again { self.again.consume(amount) } else { self.inner.consume(amount) }
    }
}

impl Read for Text<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

pub(crate) fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// The gzip members of an input (RFC 1952 §2.2), perhaps padded with zeros, which gzip ignores too: tapes and block
/// devices leave them.
struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(raw: R) -> Self {
        Self { member: Some(GzDecoder::new(raw)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some(mut raw) = self.member.take().map(GzDecoder::into_inner) else { break };
            loop {
                let buffer = raw.fill_buf()?;
                let zeros = buffer.iter().take_while(|b| **b == 0).count();
                match (buffer.len(), zeros) {
                    (0, _) => break,
                    (_, 0) => {
                        self.member = Some(GzDecoder::new(raw));
                        break;
                    }
                    _ => raw.consume(zeros),
                }
            }
        }
        Ok(0)
    }
}
