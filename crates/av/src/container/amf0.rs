//! AMF0, the value notation of FLV script data and of RTMP commands.
//!
//! Follows Action Message Format, AMF 0 (Adobe, 2007). Left out because no encoder or player sends
//! them: references (§2.9), record sets and movie clips, which are errors. AMF3 behind the
//! `avmplus-object` marker is an error too.
//!
//! What comes from outside is bounded: [`DEPTH_MAX`], [`VALUES_MAX`], and strings by the input itself.

/// Deepest nesting read; real metadata and commands stay within 3.
pub const DEPTH_MAX: usize = 16;
/// Most values read by one [`Reader`], counted over all levels; a long `keyframes` table of an FLV
/// file has some ten thousand.
pub const VALUES_MAX: usize = 65_536;

/// One AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// §2.2, also every integer.
    Number(f64),
    /// §2.3.
    Boolean(bool),
    /// §2.4 and §2.14; written long where it must be.
    String(String),
    /// §2.5, and §2.18 without its class name. In the order of sending.
    Object(Vec<(String, Value)>),
    /// §2.10: what ECMAScript calls an array, keys and values.
    EcmaArray(Vec<(String, Value)>),
    /// §2.12: values without keys.
    StrictArray(Vec<Value>),
    /// §2.13: milliseconds since the epoch, UTC. The time zone field is reserved and dropped.
    Date(f64),
    /// §2.7.
    Null,
    /// §2.8, and §2.15 `unsupported`.
    Undefined,
}

impl Value {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(yes) => Some(*yes),
            _ => None,
        }
    }

    /// Keys and values of an object or an ECMA array; empty for anything else.
    pub fn pairs(&self) -> &[(String, Value)] {
        match self {
            Value::Object(pairs) | Value::EcmaArray(pairs) => pairs,
            _ => &[],
        }
    }

    /// The first value under `key` of an object or an ECMA array.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Boolean(yes)
    }
}

/// Why bytes are not AMF0. `at` is the offset of the value from the beginning of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends within a value.
    #[error("AMF0 value at byte {at} is cut off")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A marker that is reserved, AMF3 or a reference.
    #[error("AMF0 marker {marker:#04x} at byte {at} is not supported")]
    Marker {
        /// Where.
        at: usize,
        /// The marker.
        marker: u8,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("AMF0 value at byte {at} is nested too deep")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// More than [`VALUES_MAX`] values.
    #[error("too many AMF0 values at byte {at}")]
    TooMany {
        /// Where.
        at: usize,
    },
}

mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0A;
    pub const DATE: u8 = 0x0B;
    pub const LONG_STRING: u8 = 0x0C;
    pub const UNSUPPORTED: u8 = 0x0D;
    pub const XML_DOCUMENT: u8 = 0x0F;
    pub const TYPED_OBJECT: u8 = 0x10;
}

/// Appends one value. A key longer than 65,535 bytes is cut there, at a character.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(yes) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*yes)]),
        Value::String(text) => match u16::try_from(text.len()) {
            Ok(_) => {
                out.push(marker::STRING);
                write_key(text, out);
            }
            Err(_) => {
                out.push(marker::LONG_STRING);
                let len = text.floor_char_boundary(u32::MAX as usize);
                out.extend_from_slice(&(len as u32).to_be_bytes());
                out.extend_from_slice(&text.as_bytes()[..len]);
            }
        },
        Value::Object(pairs) => {
            out.push(marker::OBJECT);
            write_pairs(pairs, out);
        }
        Value::EcmaArray(pairs) => {
            out.push(marker::ECMA_ARRAY);
            out.extend_from_slice(&(pairs.len() as u32).to_be_bytes());
            write_pairs(pairs, out);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            out.extend_from_slice(&(values.len() as u32).to_be_bytes());
            values.iter().for_each(|value| write(value, out));
        }
        Value::Date(millis) => {
            out.push(marker::DATE);
            out.extend_from_slice(&millis.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
    }
}

fn write_pairs(pairs: &[(String, Value)], out: &mut Vec<u8>) {
    for (key, value) in pairs {
        write_key(key, out);
        write(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn write_key(key: &str, out: &mut Vec<u8>) {
    let len = key.floor_char_boundary(usize::from(u16::MAX));
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(&key.as_bytes()[..len]);
}

/// Reads values one after another.
///
/// Accepts, because encoders send it: text that is not UTF-8 (replaced by U+FFFD), and an ECMA array
/// without its end marker at the very end of the input.
#[derive(Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `data`.
    pub fn new(data: &'a [u8]) -> Reader<'a> {
        Reader { data, at: 0, values: 0 }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.at == self.data.len()
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Reads the next value.
    ///
    /// # Errors
    /// See [`Error`]; the reader is of no use afterwards.
    pub fn read(&mut self) -> Result<Value, Error> {
        self.value(0)
    }

    /// Reads all that is left.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_all(&mut self) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        while !self.is_empty() {
            values.push(self.read()?);
        }
        Ok(values)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let at = self.at;
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep { at });
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Error::TooMany { at });
        }
        Ok(match self.byte()? {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => Value::Boolean(self.byte()? != 0),
            marker::STRING => Value::String(self.key()?),
            marker::LONG_STRING | marker::XML_DOCUMENT => {
                let len = self.u32()? as usize;
                Value::String(self.text(len)?)
            }
            marker::OBJECT => Value::Object(self.pairs(depth, usize::MAX)?),
            marker::TYPED_OBJECT => {
                self.key()?;
                Value::Object(self.pairs(depth, usize::MAX)?)
            }
            marker::ECMA_ARRAY => {
                let count = self.u32()? as usize;
                Value::EcmaArray(self.pairs(depth, count)?)
            }
            marker::STRICT_ARRAY => {
                let count = self.u32()?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            marker::DATE => {
                let millis = self.number()?;
                self.take::<2>()?;
                Value::Date(millis)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker => return Err(Error::Marker { at, marker }),
        })
    }

    /// Keys and values up to the end marker. `enough`: with this many the end of the input will do.
    fn pairs(&mut self, depth: usize, enough: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut pairs = Vec::new();
        loop {
            if self.is_empty() && pairs.len() >= enough {
                return Ok(pairs);
            }
            let key = self.key()?;
            if key.is_empty() && self.data.get(self.at) == Some(&marker::OBJECT_END) {
                self.at += 1;
                return Ok(pairs);
            }
            pairs.push((key, self.value(depth + 1)?));
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, _) = self.data[self.at..].split_first_chunk().ok_or(Error::Truncated { at: self.at })?;
        self.at += N;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.take().map(u32::from_be_bytes)
    }

    fn number(&mut self) -> Result<f64, Error> {
        self.take().map(f64::from_be_bytes)
    }

    fn key(&mut self) -> Result<String, Error> {
        let len = self.take().map(u16::from_be_bytes)?;
        self.text(usize::from(len))
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        let bytes = self.data[self.at..].get(..len).ok_or(Error::Truncated { at: self.at })?;
        self.at += len;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn round_trip(value: &Value) {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.read().as_ref(), Ok(value));
        assert!(reader.is_empty());
        // Whatever is cut off is an error, never a panic and never another value.
        for len in 0..bytes.len() {
            assert!(Reader::new(&bytes[..len]).read().is_err() || matches!(value, Value::EcmaArray(_)), "{len}");
        }
    }

    #[test]
    fn values_survive_writing_and_reading() {
        let pairs = vec![
            ("width".to_owned(), Value::Number(1920.0)),
            (String::new(), Value::Boolean(true)),
            ("名称".to_owned(), Value::from("通道")),
            ("nested".to_owned(), Value::StrictArray(vec![Value::Null, Value::Undefined, Value::Date(1e12)])),
        ];
        round_trip(&Value::Number(-0.5));
        round_trip(&Value::from("x".repeat(65_535).as_str()));
        round_trip(&Value::Object(pairs.clone()));
        round_trip(&Value::EcmaArray(pairs.clone()));
        round_trip(&Value::StrictArray(vec![Value::Object(pairs)]));
    }

    #[test]
    fn long_string_gets_the_long_marker() {
        let mut bytes = Vec::new();
        write(&Value::from("x".repeat(65_536).as_str()), &mut bytes);
        assert_eq!(bytes[..5], [0x0C, 0, 1, 0, 0]);
        assert_eq!(Reader::new(&bytes).read().unwrap().as_str().map(str::len), Some(65_536));
    }

    #[test]
    fn reads_the_metadata_ffmpeg_writes() {
        // libavformat 59 flvenc, shortened by hand to its first and last entries.
        let bytes = b"\x02\0\x0aonMetaData\x08\0\0\0\x02\0\x08duration\0\0\0\0\0\0\0\0\0\0\x07encoder\x02\0\x0dLavf59.27.100\0\0\x09";
        let values = Reader::new(bytes).read_all().unwrap();
        assert_eq!(values[0].as_str(), Some("onMetaData"));
        assert_eq!(values[1].get("duration"), Some(&Value::Number(0.0)));
        assert_eq!(values[1].get("encoder"), Some(&Value::from("Lavf59.27.100")));
    }

    #[test]
    fn ecma_array_may_lack_its_end_at_the_end() {
        let bytes = b"\x08\0\0\0\x01\0\x01a\x05";
        assert_eq!(Reader::new(bytes).read(), Ok(Value::EcmaArray(vec![("a".into(), Value::Null)])));
        // With fewer entries than it promised it was cut off.
        assert!(Reader::new(b"\x08\0\0\0\x02\0\x01a\x05").read().is_err());
    }

    #[test]
    fn gbk_text_is_replaced_not_refused() {
        assert_eq!(Reader::new(b"\x02\0\x02\xb5\xc0").read().unwrap().as_str(), Some("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn nesting_is_limited() {
        let bytes = [0x0A, 0, 0, 0, 1].repeat(DEPTH_MAX + 2);
        assert!(matches!(Reader::new(&bytes).read(), Err(Error::TooDeep { .. })));
    }

    #[test]
    fn number_of_values_is_limited() {
        let mut bytes = vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF];
        bytes.resize(VALUES_MAX + 16, 0x05);
        assert!(matches!(Reader::new(&bytes).read(), Err(Error::TooMany { .. })));
    }

    #[test]
    fn unknown_markers_are_named() {
        for marker in [0x04, 0x07, 0x09, 0x0E, 0x11, 0xFF] {
            assert_eq!(Reader::new(&[0x05, marker]).read_all(), Err(Error::Marker { at: 1, marker }));
        }
    }
}
