//! Numbers in as few bytes as they need: seven bits each, the lowest first, the top bit set on all but the last
//! byte (LEB128).

use std::io::{self, Read, Write};

pub(super) fn write(out: &mut impl Write, mut value: u64) -> io::Result<()> {
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            *byte = low;
            break;
        }
        *byte = low | 0x80;
    }
    out.write_all(bytes.get(..length).unwrap_or(&bytes))
}

/// `InvalidData` if the number needs more than 64 bits.
pub(super) fn read(input: &mut impl Read) -> io::Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0_u8];
        input.read_exact(&mut byte)?;
        let [byte] = byte;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            break;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "a number of more than 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_number_takes_ten_bytes_and_an_eleventh_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, u64::MAX).unwrap();
        assert_eq!(bytes.len(), 10);
        assert_eq!(read(&mut bytes.as_slice()).unwrap(), u64::MAX);
        for bad in [&[0xff; 11][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(read(&mut &*bad).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(read(&mut &[0x80_u8][..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(values: Vec<u64>) {
            let mut bytes = Vec::new();
            for value in &values {
                write(&mut bytes, *value).unwrap();
            }
            let mut input = bytes.as_slice();
            for value in values {
                prop_assert_eq!(read(&mut input).unwrap(), value);
            }
            prop_assert!(input.is_empty());
        }
    }
}
