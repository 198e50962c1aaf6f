//! A message cut into shards, any k of which give it back: systematic Reed-Solomon over GF(2^8).

use super::PackError;
use crate::id::SetId;
use crate::sphinx::geometry::PAYLOAD_LEN;
use crate::wire::Malformed;
use reed_solomon_erasure::galois_8::ReedSolomon;
use std::collections::BTreeMap;

/// What a fragment says in front of its shard: kind, set id, k, n, index, zero, length.
pub const FRAGMENT_HEAD_LEN: usize = 1 + SetId::LEN + 1 + 1 + 1 + 1 + 4;
/// One shard fills one packet.
pub const SHARD_LEN: usize = PAYLOAD_LEN - FRAGMENT_HEAD_LEN;
/// Most shards of one message: the field has 256 elements, and an index is one byte.
pub const MAX_SHARDS: usize = 255;

const _: () = assert!(SHARD_LEN == 58_380, "docs/spec-message.md names this figure");

/// One packet's worth of a message.
pub type Shard = [u8; SHARD_LEN];

/// How a message was cut. Whatever is in here fits together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shape {
    k: u8,
    n: u8,
    length: u32,
}

impl Shape {
    /// `length` bytes in `k` shards, and `n - k` spare ones.
    ///
    /// # Errors
    /// `Malformed` unless `k` is just what `length` needs, and at least 1 and at most `n`.
    pub fn new(k: u8, n: u8, length: u32) -> Result<Self, Malformed> {
        let needed = usize::try_from(length).map_err(|_| Malformed)?.div_ceil(SHARD_LEN);
        if k == 0 || k > n || needed != usize::from(k) {
            return Err(Malformed);
        }
        Ok(Self { k, n, length })
    }

    /// How many shards are needed.
    #[must_use]
    pub const fn k(&self) -> u8 {
        self.k
    }

    /// How many shards there are.
    #[must_use]
    pub const fn n(&self) -> u8 {
        self.n
    }

    /// How long the message is.
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length
    }
}

/// Cuts `packed` into as many shards as it needs, and adds `spare` ones. A shard's index is its place.
///
/// # Errors
/// `DoesNotFit` if `packed` is empty, or if there would be more than `MAX_SHARDS`.
pub fn split(packed: &[u8], spare: usize) -> Result<(Shape, Vec<Shard>), PackError> {
    let shape = shape_of(packed.len(), spare).ok_or(PackError::DoesNotFit)?;
    let mut shards: Vec<Shard> = Vec::with_capacity(usize::from(shape.n));
    let (whole, rest) = packed.as_chunks::<SHARD_LEN>();
    shards.extend(whole);
    if !rest.is_empty() {
        let mut last = [0; SHARD_LEN];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        shards.push(last);
    }
    if spare > 0 {
        let mut parity = vec![[0; SHARD_LEN]; spare];
        codec(shape)
            .and_then(|codec| codec.encode_sep(&shards, &mut parity).map_err(|_| Malformed))
            .map_err(|_| PackError::DoesNotFit)?;
        shards.append(&mut parity);
    }
    Ok((shape, shards))
}

/// Gives back what was cut, from any `k` of the `n` shards with their indices, in any order.
///
/// # Errors
/// `Malformed` for too few shards, an index twice or outside `shape`, or non-zero bytes behind the message's end.
pub fn join(shape: Shape, shards: &[(u8, &Shard)]) -> Result<Vec<u8>, Malformed> {
    let by_index: BTreeMap<u8, &Shard> = shards.iter().copied().collect();
    let beyond = by_index.last_key_value().is_some_and(|(&index, _)| index >= shape.n);
    if by_index.len() != shards.len() || by_index.len() < usize::from(shape.k) || beyond {
        return Err(Malformed);
    }
    // The lowest ones: data shards as far as they are there, which need no arithmetic.
    let chosen: Vec<(u8, &Shard)> = by_index.into_iter().take(usize::from(shape.k)).collect();
    let mut message = if chosen.iter().all(|&(index, _)| index < shape.k) {
        chosen.iter().map(|(_, shard)| shard.as_slice()).collect::<Vec<_>>().concat()
    } else {
        reconstruct(shape, &chosen)?
    };
    let length = usize::try_from(shape.length).map_err(|_| Malformed)?;
    if message.iter().skip(length).any(|&byte| byte != 0) {
        return Err(Malformed);
    }
    message.truncate(length);
    Ok(message)
}

fn shape_of(length: usize, spare: usize) -> Option<Shape> {
    let k = length.div_ceil(SHARD_LEN);
    let n = k.checked_add(spare).filter(|&n| n <= MAX_SHARDS)?;
    Shape::new(u8::try_from(k).ok()?, u8::try_from(n).ok()?, u32::try_from(length).ok()?).ok()
}

fn codec(shape: Shape) -> Result<ReedSolomon, Malformed> {
    let spare = usize::from(shape.n).saturating_sub(usize::from(shape.k));
    ReedSolomon::new(usize::from(shape.k), spare).map_err(|_| Malformed)
}

/// All data shards, one behind the other.
fn reconstruct(shape: Shape, chosen: &[(u8, &Shard)]) -> Result<Vec<u8>, Malformed> {
    let mut slots: Vec<Option<Vec<u8>>> = vec![None; usize::from(shape.n)];
    for &(index, shard) in chosen {
        *slots.get_mut(usize::from(index)).ok_or(Malformed)? = Some(shard.to_vec());
    }
    codec(shape)?.reconstruct_data(&mut slots).map_err(|_| Malformed)?;
    let data = slots.into_iter().take(usize::from(shape.k)).collect::<Option<Vec<_>>>().ok_or(Malformed)?;
    Ok(data.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
    }

    fn indexed(shards: &[Shard]) -> Vec<(u8, &Shard)> {
        (0..).zip(shards).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_k_shards_in_any_order_give_the_message_back(
            length in 1..5 * SHARD_LEN,
            spare in 0usize..5,
            order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle(),
            more in 0usize..3,
        ) {
            let message = bytes(length);
            let (shape, shards) = split(&message, spare).unwrap();
            prop_assert_eq!(shards.len(), usize::from(shape.n()));
            let all = indexed(&shards);
            let arrived: Vec<_> = order.iter().filter_map(|&at| all.get(at)).take(usize::from(shape.k()) + more).copied().collect();
            prop_assert!(join(shape, &arrived) == Ok(message));
            let (_, too_few) = arrived.split_at(arrived.len() + 1 - usize::from(shape.k()));
            prop_assert_eq!(join(shape, too_few), Err(Malformed));
        }
    }

    #[test]
    fn data_shards_are_the_message_itself_and_zeros() {
        for (length, k) in [(1, 1), (SHARD_LEN, 1), (SHARD_LEN + 1, 2), (3 * SHARD_LEN, 3)] {
            let message = bytes(length);
            let (shape, shards) = split(&message, 0).unwrap();
            assert_eq!((shape.k(), shape.n()), (k, k), "{length} bytes");
            let (said, padding) = shards.as_flattened().split_at(length);
            assert_eq!(said, message);
            assert!(padding.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn the_most_shards_are_cut_and_joined_and_one_more_is_refused() {
        let message = bytes(240 * SHARD_LEN);
        let (shape, shards) = split(&message, 15).unwrap();
        assert_eq!((shape.k(), shape.n()), (240, 255));
        let arrived: Vec<_> = indexed(&shards).into_iter().skip(15).collect();
        assert_eq!(join(shape, &arrived), Ok(message.clone()));
        assert_eq!(split(&message, 16), Err(PackError::DoesNotFit));
        assert_eq!(split(&message, usize::MAX), Err(PackError::DoesNotFit));
        assert_eq!(split(&vec![1; 255 * SHARD_LEN + 1], 0), Err(PackError::DoesNotFit));
        assert_eq!(split(&[], 0), Err(PackError::DoesNotFit));
    }

    #[test]
    fn a_shape_that_does_not_fit_its_length_is_malformed() {
        let one = u32::try_from(SHARD_LEN).unwrap();
        assert!(Shape::new(2, 2, one + 1).is_ok());
        for (k, n, length) in [
            (0, 0, 0),
            (0, 1, 0),
            (1, 1, 0),
            (1, 0, 1),
            (2, 1, one + 1),
            (1, 1, one + 1),
            (2, 2, one),
            (255, 255, u32::MAX),
        ] {
            assert_eq!(Shape::new(k, n, length), Err(Malformed), "{k} of {n}, {length} bytes");
        }
    }

    #[test]
    fn shards_that_do_not_belong_together_are_malformed() {
        let (shape, shards) = split(&bytes(SHARD_LEN + 9), 1).unwrap();
        let [a, b, c] = [&shards[0], &shards[1], &shards[2]];
        assert!(join(shape, &[(2, c), (0, a)]).is_ok());
        assert_eq!(join(shape, &[(0, a)]), Err(Malformed), "too few");
        assert_eq!(join(shape, &[(0, a), (0, a)]), Err(Malformed), "one twice");
        assert_eq!(join(shape, &[(0, a), (1, b), (1, b)]), Err(Malformed), "one twice among enough");
        assert_eq!(join(shape, &[(0, a), (3, c)]), Err(Malformed), "an index outside");
        assert_eq!(join(shape, &[(0, a), (1, b), (3, c)]), Err(Malformed), "an index outside among enough");
        assert_eq!(join(shape, &[(1, a), (0, b)]), Err(Malformed), "swapped: no zeros behind the end");
        let mut marked = *b;
        marked[SHARD_LEN - 1] = 1;
        assert_eq!(join(shape, &[(0, a), (1, &marked)]), Err(Malformed), "a mark behind the end");
        let mut damaged = *c;
        damaged[SHARD_LEN - 1] ^= 1;
        assert_eq!(join(shape, &[(0, a), (2, &damaged)]), Err(Malformed), "a mark behind the end, from a spare shard");
    }
}
