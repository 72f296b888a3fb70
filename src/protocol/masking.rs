//! Masking (RFC 6455 section 5.3): taking it off a payload that may come in parts.

/// Unmasks `len` bytes at `from` and moves them to `to`, which does not lie after `from`.
///
/// Forward and block by block: a block is written only after it was read, and never reaches the next one's source.
#[inline]
pub fn unmask(bytes: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4]) {
    let gap = from - to;
    let window = &mut bytes[to..from + len];
    let half = u32::from_ne_bytes(key);
    let word = u64::from(half) << 32 | u64::from(half);
    let mut at = 0;
    while len - at >= 64 {
        unmask_words::<8>(window, at, gap, word);
        at += 64;
    }
    // Less than 64 bytes: no loops, which would cost more than all of the above.
    if len - at >= 32 {
        unmask_words::<4>(window, at, gap, word);
        at += 32;
    }
    if len - at >= 16 {
        unmask_words::<2>(window, at, gap, word);
        at += 16;
    }
    if len - at >= 8 {
        unmask_words::<1>(window, at, gap, word);
        at += 8;
    }
    if len - at >= 4 {
        let mut source = [0; 4];
        source.copy_from_slice(&window[at + gap..at + gap + 4]);
        source = (u32::from_ne_bytes(source) ^ half).to_ne_bytes();
        window[at..at + 4].copy_from_slice(&source);
        at += 4;
    }
    let [first, second, third, _] = key;
    if at < len {
        window[at] = window[at + gap] ^ first;
    }
    if at + 1 < len {
        window[at + 1] = window[at + gap + 1] ^ second;
    }
    if at + 2 < len {
        window[at + 2] = window[at + gap + 2] ^ third;
    }
}

/// Written so that the compiler makes vector instructions of it.
#[inline]
fn unmask_words<const WORDS: usize>(window: &mut [u8], at: usize, gap: usize, word: u64) {
    let end = at + WORDS * 8;
    let mut block = [0; WORDS];
    let (source, _) = window[at + gap..end + gap].as_chunks();
    for (unmasked, bytes) in block.iter_mut().zip(source) {
        *unmasked = u64::from_ne_bytes(*bytes) ^ word;
    }
    let (target, _) = window[at..end].as_chunks_mut();
    for (bytes, unmasked) in target.iter_mut().zip(block) {
        *bytes = unmasked.to_ne_bytes();
    }
}

/// The key for what follows after `done` bytes of payload.
#[must_use]
pub const fn rotate(key: [u8; 4], done: usize) -> [u8; 4] {
    [
        key[done % 4],
        key[(done + 1) % 4],
        key[(done + 2) % 4],
        key[(done + 3) % 4],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmasking_moves_to_the_left() {
        let key = [1, 20, 3, 255];
        for len in 0..100 {
            for gap in 0..12 {
                let plain: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
                let mut bytes = vec![0xee; gap];
                bytes.extend(plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
                unmask(&mut bytes, gap, 0, len, key);
                assert_eq!(bytes[..len], plain[..], "{len} bytes by {gap}");
            }
        }
    }

    #[test]
    fn a_rotated_key_goes_on_where_the_first_part_ended() {
        let key = [9, 8, 7, 6];
        for cut in 0..9 {
            let mut whole = *b"a payload";
            let mut parts = whole;
            unmask(&mut whole, 0, 0, 9, key);
            unmask(&mut parts, 0, 0, cut, key);
            unmask(&mut parts, cut, cut, 9 - cut, rotate(key, cut));
            assert_eq!(whole, parts);
        }
    }
}
