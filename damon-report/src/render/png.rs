//! Pixels to PNG bytes: the same pixels give the same bytes, whatever the number of threads.

use flate2::{Compress, Compression, FlushCompress, Status};
use rayon::prelude::*;
use simd_adler32::adler32;
use std::io;

use super::RenderError;

/// Pixels that are numbered, and bytes that are compressed, by one thread at a time.
const PART: usize = 1 << 18;

/// Encodes RGB pixels, as a palette image where at most 256 colours occur.
pub(super) fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    let columns = usize::try_from(width).unwrap_or(0);
    let indexed = indexed(rgb, columns);
    let data = if let Some((palette, lines)) = indexed {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
        lines
    } else {
        encoder.set_color(png::ColorType::Rgb);
        let line = |pixels: &[u8]| [&[NO_FILTER], pixels].concat();
        rgb.chunks(columns.max(1).saturating_mul(3)).flat_map(line).collect()
    };
    let mut writer = encoder.write_header()?;
    writer.write_chunk(png::chunk::IDAT, &compress(&data)?)?;
    writer.finish()?;
    Ok(bytes)
}

/// In front of each line. Cells are runs and repeated lines, not gradients: filters only hide them from the compressor.
const NO_FILTER: u8 = 0;

/// A zlib stream (RFC 1950) of parts that are compressed at the same time, each of which ends at a byte; they know nothing of
/// each other, which costs some bytes.
fn compress(data: &[u8]) -> Result<Vec<u8>, RenderError> {
    let last = data.len().div_ceil(PART).saturating_sub(1);
    let parts = data.par_chunks(PART).enumerate().map(|(index, part)| deflate(part, index == last));
    // Deflate in a window of 32 KiB, by a fast compressor.
    let mut stream = vec![0x78, 0x01];
    for part in parts.collect::<Vec<_>>() {
        stream.extend(part?);
    }
    let [low, b, c, high] = adler32(&data).to_le_bytes();
    stream.extend([high, c, b, low]);
    Ok(stream)
}

fn deflate(part: &[u8], is_last: bool) -> Result<Vec<u8>, RenderError> {
    // Higher levels need eight times as long for a fifth of the bytes.
    let mut compressor = Compress::new(Compression::new(1), false);
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(part.len() / 4 + 64);
    loop {
        let used = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let rest = part.get(used..).unwrap_or_default();
        let status = compressor.compress_vec(rest, &mut out, flush).map_err(io::Error::other);
        let status = status.map_err(png::EncodingError::from)?;
        // Room that is left over says that nothing is held back.
        let is_done =
            if is_last { status == Status::StreamEnd } else { out.len() < out.capacity() };
        if is_done {
            return Ok(out);
        }
        out.reserve(out.capacity());
    }
}

/// Palette (in order of appearance) and the lines of an image with one byte per pixel, if 256 colours suffice or those that come
/// late are as good as one of them: lines across all cells have edges of too many shades.
fn indexed(rgb: &[u8], width: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let width = width.max(1);
    let lines = (PART / width).max(1);
    let mut image = vec![NO_FILTER; rgb.len() / 3 / width * (width + 1)];
    let parts = || rgb.par_chunks(lines * width * 3);
    let numbered = parts().zip(image.par_chunks_mut(lines * (width + 1)));
    let palettes = numbered.map(|(rgb, image)| {
        let mut numbers = Numbers::new(Late::Refuse);
        number(rgb, width, &mut numbers, image).map(|()| numbers.palette)
    });
    let palettes: Option<Vec<Vec<Colour>>> = palettes.collect::<Vec<_>>().into_iter().collect();
    let mut all = Numbers::new(Late::Refuse);
    let numbers = palettes.and_then(|palettes| {
        let renumber = |palette: Vec<Colour>| palette.into_iter().map(|c| all.of(c)).collect();
        palettes.into_iter().map(renumber).collect::<Option<Vec<Vec<u8>>>>()
    });
    let Some(numbers) = numbers else {
        let mut all = Numbers::new(Late::Nearest);
        number(rgb, width, &mut all, &mut image)?;
        return Some((all.palette.into_flattened(), image));
    };
    let renumbered = numbers.into_par_iter().zip(image.par_chunks_mut(lines * (width + 1)));
    renumbered.for_each(|(numbers, image)| {
        if (0..).zip(&numbers).any(|(number, new): (usize, _)| usize::from(*new) != number) {
            for line in image.chunks_mut(width + 1) {
                let pixels = line.iter_mut().skip(1);
                pixels.for_each(|p| *p = numbers.get(usize::from(*p)).copied().unwrap_or(*p));
            }
        }
    });
    Some((all.palette.into_flattened(), image))
}

/// Numbers the colours of lines, after the byte that each line of the image begins with.
fn number(rgb: &[u8], width: usize, numbers: &mut Numbers, image: &mut [u8]) -> Option<()> {
    let mut last: Option<(Colour, u8)> = None;
    let (mut above, mut above_numbers): (&[u8], &[u8]) = (&[], &[]);
    for (line, numbered) in rgb.chunks(width * 3).zip(image.chunks_mut(width + 1)) {
        let numbered = numbered.get_mut(1..)?;
        // Regions are higher than a pixel: most lines are like the one above.
        if line == above {
            numbered.copy_from_slice(above_numbers);
        } else {
            for (pixel, slot) in line.as_chunks::<3>().0.iter().zip(numbered.iter_mut()) {
                let number = match last {
                    Some((before, number)) if before == *pixel => number,
                    _ => numbers.of(*pixel)?,
                };
                last = Some((*pixel, number));
                *slot = number;
            }
        }
        (above, above_numbers) = (line, numbered);
    }
    Some(())
}

type Colour = [u8; 3];

/// What becomes of colours when there are no more numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    Refuse,
    Nearest,
}

/// Numbers of colours: a hash table with open addresses.
struct Numbers {
    late: Late,
    slots: Vec<Option<(Colour, u8)>>,
    free: usize,
    palette: Vec<Colour>,
}

impl Numbers {
    const SLOTS: usize = 4096;

    /// A channel may be wrong by so much: invisible on the edge of a line.
    const SLACK: u8 = 20;

    fn new(late: Late) -> Self {
        Self { late, slots: vec![None; Self::SLOTS], free: Self::SLOTS / 2, palette: Vec::new() }
    }

    fn of(&mut self, colour: Colour) -> Option<u8> {
        let [r, g, b] = colour.map(usize::from);
        let first = (r * 31 + g * 331 + b * 7919) % Self::SLOTS;
        for slot in (first..Self::SLOTS).chain(0..first) {
            match self.slots.get(slot)? {
                Some((there, number)) if *there == colour => return Some(*number),
                Some(_) => {}
                None => {
                    self.free = self.free.checked_sub(1)?;
                    let number = self.number(colour)?;
                    *self.slots.get_mut(slot)? = Some((colour, number));
                    return Some(number);
                }
            }
        }
        None
    }

    /// The next number, or that of the nearest colour when there are no more.
    fn number(&mut self, colour: Colour) -> Option<u8> {
        if let Ok(number) = u8::try_from(self.palette.len()) {
            self.palette.push(colour);
            return Some(number);
        }
        if self.late == Late::Refuse {
            return None;
        }
        let apart = |other: &Colour| {
            other.iter().zip(colour).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(u8::MAX)
        };
        let (number, best) = (0..=u8::MAX).zip(&self.palette).min_by_key(|(_, c)| apart(c))?;
        (apart(best) <= Self::SLACK).then_some(number)
    }
}

/// Base64 of RFC 4648, section 4, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| {
        let index = usize::try_from(bits & 63).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'A'))
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let part = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        text.push(digit(bits >> 18));
        text.push(digit(bits >> 12));
        text.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        text.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = png::Decoder::new(io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    fn spread(colours: u32, step: u32) -> Vec<u8> {
        let pixel = |i: u32| {
            let [a, b, c, _] = (i % colours * step).to_le_bytes();
            [a, b, c]
        };
        (0..64 * 64).flat_map(pixel).collect()
    }

    #[test]
    fn pixels_survive_with_few_and_with_many_colours() {
        for colours in [3, 256, 3000] {
            let rgb = spread(colours, 977);
            let bytes = encode(&rgb, 64, 64).unwrap();
            assert!(decode(&bytes) == rgb, "{colours} colours");
            assert!(encode(&rgb, 64, 64).unwrap() == bytes);
        }
    }

    #[test]
    fn colours_that_come_late_become_one_that_looks_the_same() {
        // Red runs through all its values and a few again, with a little green.
        let rgb = spread(300, 1);
        let decoded = decode(&encode(&rgb, 64, 64).unwrap());
        let apart = rgb.iter().zip(&decoded).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart.is_some_and(|apart| (1..=Numbers::SLACK).contains(&apart)), "{apart:?}");
    }

    #[test]
    fn base64_matches_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
