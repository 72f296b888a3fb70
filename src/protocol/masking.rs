//! Masking (RFC 6455 section 5.3): taking it off a payload that may come in parts.

/// Unmasks `len` bytes at `from` and moves them to `to`, which does not lie after `from`.
///
/// Forward and block by block: a block is written only after it was read, and never reaches the next one's source.
#[inline]
pub fn unmask(bytes: &mut [u8], from: usize, to: usize, len: usize, key: [u8; 4]) {
    let gap = from - to;
    let window = &mut bytes[to..from + len];
    let mut at = 0;
    while let Some(block) = window[at + gap..].first_chunk::<64>() {
        let block = unmasked(*block, key);
        window[at..at + 64].copy_from_slice(&block);
        at += 64;
    }
    // Less than 64 bytes: no loops, which would cost more than all of the above.
    let has_ends = unmask_ends::<32>(window, at, gap, key)
        || unmask_ends::<16>(window, at, gap, key)
        || unmask_ends::<8>(window, at, gap, key)
        || unmask_ends::<4>(window, at, gap, key);
    if !has_ends {
        unmask_few(window, at, gap, key);
    }
}

/// The rest, of less than two blocks: its first and its last one, which may overlap, so both are read before one is written.
/// `false` if it is shorter than one.
#[inline]
fn unmask_ends<const LEN: usize>(window: &mut [u8], at: usize, gap: usize, key: [u8; 4]) -> bool {
    let source = &window[at + gap..];
    let (Some(first), Some(last)) = (source.first_chunk::<LEN>(), source.last_chunk::<LEN>())
    else {
        return false;
    };
    let len = source.len();
    let first = unmasked(*first, key);
    let last = unmasked(*last, rotate(key, len - LEN));
    let target = &mut window[at..at + len];
    target[..LEN].copy_from_slice(&first);
    target[len - LEN..].copy_from_slice(&last);
    true
}

/// The rest, of less than 4 bytes.
#[inline]
fn unmask_few(window: &mut [u8], at: usize, gap: usize, key: [u8; 4]) {
    let [first, second, third, _] = key;
    let len = window.len() - gap - at;
    if len > 0 {
        window[at] = window[at + gap] ^ first;
    }
    if len > 1 {
        window[at + 1] = window[at + gap + 1] ^ second;
    }
    if len > 2 {
        window[at + 2] = window[at + gap + 2] ^ third;
    }
}

/// Written so that the compiler makes vector instructions of it.
#[inline]
fn unmasked<const LEN: usize>(mut block: [u8; LEN], key: [u8; 4]) -> [u8; LEN] {
    let key = u32::from_ne_bytes(key);
    let (words, _) = block.as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    block
}

/// The key for what follows after `done` bytes of payload.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "it is less than 4")]
pub const fn rotate(key: [u8; 4], done: usize) -> [u8; 4] {
    u32::from_le_bytes(key)
        .rotate_right(8 * (done % 4) as u32)
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmasking_moves_to_the_left() {
        let key = [1, 20, 3, 255];
        for len in 0..200 {
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
