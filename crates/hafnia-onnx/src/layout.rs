//! Places of elements in memory: sides, strides and axes, as ONNX counts them.

/// The strides of elements in C order.
pub(crate) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Where the elements of these sides lie if a step along an axis is a stride long, in C order.
pub(crate) fn places(dims: &[usize], strides: &[usize], start: usize) -> Vec<usize> {
    let mut places = vec![start];
    for (&side, &stride) in dims.iter().zip(strides) {
        places = places
            .iter()
            .flat_map(|&place| (0..side).map(move |index| place + index * stride))
            .collect();
    }
    places
}

/// An axis that may be counted from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("its axis is {axis}, its tensor has {rank} sides"))
}

/// Axes that may be counted from the end, in order.
pub(crate) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The sides that two tensors have together, by ONNX's rules of broadcasting.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let side = |dims: &[usize], at: usize| match (at + dims.len()).checked_sub(rank) {
        Some(at) => dims[at],
        None => 1,
    };
    (0..rank)
        .map(|at| match (side(a, at), side(b, at)) {
            (a, b) if a == b => Ok(a),
            (1, side) | (side, 1) => Ok(side),
            _ => Err(format!("its tensors have sides {a:?} and {b:?}, which do not go together")),
        })
        .collect()
}

/// The strides by which a tensor of sides `dims` is read as one of sides `wide`.
pub(crate) fn spread(dims: &[usize], wide: &[usize]) -> Vec<usize> {
    let own = strides(dims);
    let missing = wide.len() - dims.len();
    (0..wide.len())
        .map(|at| match at.checked_sub(missing) {
            Some(at) if dims[at] != 1 => own[at],
            _ => 0,
        })
        .collect()
}

/// The sides that a reshape asks for: 0 keeps a side, −1 is what is left.
pub(crate) fn reshaped(dims: &[usize], asked: &[i64], keep: bool) -> Result<Vec<usize>, String> {
    let count: usize = dims.iter().product();
    let misfit = || format!("it brings {count} elements of sides {dims:?} to sides {asked:?}");
    let mut sides = Vec::new();
    let mut open = None;
    for (at, &side) in asked.iter().enumerate() {
        match side {
            -1 if open.is_none() => {
                open = Some(at);
                sides.push(1);
            }
            0 if keep => sides.push(*dims.get(at).ok_or_else(misfit)?),
            side => sides.push(usize::try_from(side).map_err(|_| misfit())?),
        }
    }
    let known = sides.iter().try_fold(1usize, |known, &side| known.checked_mul(side));
    let known = known.ok_or_else(misfit)?;
    if let Some(at) = open {
        if known == 0 || !count.is_multiple_of(known) {
            return Err(misfit());
        }
        sides[at] = count / known;
    } else if known != count {
        return Err(misfit());
    }
    Ok(sides)
}

/// The sides after a permutation.
pub(crate) fn permuted(dims: &[usize], order: &[usize]) -> Vec<usize> {
    order.iter().map(|&axis| dims[axis]).collect()
}

/// The order of axes of a transposition; the reverse if none is given.
pub(crate) fn order(given: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(given) = given else { return Ok((0..rank).rev().collect()) };
    let order = given.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.iter().copied().eq(0..rank) {
        true => Ok(order),
        false => Err(format!("its perm is {given:?}, no order of {rank} axes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_strides() {
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(places(&[2, 3], &[3, 1], 0), [0, 1, 2, 3, 4, 5]);
        // A transposition, and a column that is spread.
        assert_eq!(places(&[3, 2], &[1, 3], 0), [0, 3, 1, 4, 2, 5]);
        assert_eq!(places(&[2, 3], &spread(&[2, 1], &[2, 3]), 0), [0, 0, 0, 1, 1, 1]);
        assert_eq!(places(&[], &[], 7), [7]);
        assert!(places(&[2, 0], &[1, 1], 0).is_empty());
    }

    #[test]
    fn reshapes_keep_all_elements() {
        assert_eq!(reshaped(&[1, 6, 2], &[0, -1], true), Ok(vec![1, 12]));
        assert_eq!(reshaped(&[1, 6], &[2, 3], true), Ok(vec![2, 3]));
        assert!(reshaped(&[1, 6], &[4, -1], true).is_err());
        assert!(reshaped(&[1, 6], &[-1, -1], true).is_err());
        assert!(reshaped(&[6], &[0, 0, 6], true).is_err());
        assert!(reshaped(&[6], &[i64::MAX, i64::MAX], true).is_err());
    }

    #[test]
    fn axes_and_orders_are_checked() {
        assert_eq!(axes(&[-1, 1, -1], 3), Ok(vec![1, 2]));
        assert_eq!(axis(3, 3), Err("its axis is 3, its tensor has 3 sides".to_owned()));
        assert_eq!(order(None, 3), Ok(vec![2, 1, 0]));
        assert!(order(Some(&[0, 0, 1]), 3).is_err());
        assert_eq!(broadcast(&[2, 1], &[3]), Ok(vec![2, 3]));
        assert!(broadcast(&[2], &[3]).is_err());
    }
}
