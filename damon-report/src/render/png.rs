//! Pixels to PNG bytes: the same pixels give the same bytes.

use png::{DeflateCompression, Filter};

use super::RenderError;

/// Encodes RGB pixels, as a palette image where at most 256 colours occur.
pub(super) fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    // Cells are runs and repeated lines, not gradients: filters only hide them from the compressor, and its higher
    // levels need eight times as long for a fifth of the bytes.
    encoder.set_deflate_compression(DeflateCompression::Level(1));
    encoder.set_filter(Filter::NoFilter);
    let indexed = indexed(rgb, usize::try_from(width).unwrap_or(0));
    let data = if let Some((palette, pixels)) = &indexed {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
        pixels.as_slice()
    } else {
        encoder.set_color(png::ColorType::Rgb);
        rgb
    };
    let mut writer = encoder.write_header()?;
    writer.write_image_data(data)?;
    writer.finish()?;
    Ok(bytes)
}

/// Palette (in order of appearance) and one byte per pixel, if 256 colours suffice or those that come late are as good as
/// one of them: lines across all cells have edges of too many shades.
fn indexed(rgb: &[u8], width: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut numbers = Numbers::new();
    let mut pixels = Vec::with_capacity(rgb.len() / 3);
    let mut last: Option<(Colour, u8)> = None;
    let mut above: &[u8] = &[];
    for line in rgb.chunks(width.max(1).saturating_mul(3)) {
        // Regions are higher than a pixel: most lines are like the one above.
        if line == above {
            pixels.extend_from_within(pixels.len().saturating_sub(width)..);
            continue;
        }
        above = line;
        for pixel in line.chunks_exact(3) {
            let &[r, g, b] = pixel else { continue };
            let colour = [r, g, b];
            let number = match last {
                Some((before, number)) if before == colour => number,
                _ => numbers.of(colour)?,
            };
            last = Some((colour, number));
            pixels.push(number);
        }
    }
    let palette = numbers.palette.into_iter().flatten().collect();
    Some((palette, pixels))
}

type Colour = [u8; 3];

/// Numbers of colours: a hash table with open addresses.
struct Numbers {
    slots: Vec<Option<(Colour, u8)>>,
    free: usize,
    palette: Vec<Colour>,
}

impl Numbers {
    const SLOTS: usize = 4096;

    /// A channel may be wrong by so much: invisible on the edge of a line.
    const SLACK: u8 = 20;

    fn new() -> Self {
        Self { slots: vec![None; Self::SLOTS], free: Self::SLOTS / 2, palette: Vec::new() }
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
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
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
