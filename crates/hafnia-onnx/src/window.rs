//! The windows of convolutions and pools, as nodes describe them.

use hafnia_model::{Padding, Shape, Window};

use crate::graph::{integer, integers, word};
use crate::proto::Node;

/// The window of a node over images of a shape, `kernel` being its rows and columns; `padded` is what
/// a `Pad` before has added, which must go with the window's own padding.
pub(crate) fn window(
    node: &Node,
    kernel: (usize, usize),
    shape: Shape,
    padded: Padding,
) -> Result<Window, String> {
    let is_line =
        integers(node, "kernel_shape").map_or(shape.height == 1, |kernel| kernel.len() == 1);
    let pair = |name: &str, default: usize| -> Result<(usize, usize), String> {
        let given = integers(node, name).unwrap_or_default();
        let side = |value: i64| {
            usize::try_from(value)
                .ok()
                .filter(|&side| (1..=1 << 14).contains(&side))
                .ok_or_else(|| format!("its {name} are {given:?}, they must be at least 1"))
        };
        match *given {
            [] => Ok((default, default)),
            [across] => Ok((1, side(across)?)),
            [down, across] => Ok((side(down)?, side(across)?)),
            _ => Err(format!("its {name} are {given:?}: windows have one or two sides")),
        }
    };
    let (stride, dilation) = (pair("strides", 1)?, pair("dilations", 1)?);
    let (height, width) =
        (shape.height + padded.top + padded.bottom, shape.width + padded.left + padded.right);
    let reach = |kernel: usize, dilation: usize| (kernel - 1) * dilation + 1;
    let reaches = (reach(kernel.0, dilation.0), reach(kernel.1, dilation.1));
    let same = |side: usize, reach: usize, stride: usize| {
        let whole = (side.div_ceil(stride) - 1) * stride + reach;
        whole.saturating_sub(side)
    };
    let auto = word(node, "auto_pad", "NOTSET");
    let padding = match &*auto {
        "NOTSET" | "" => {
            let given = integers(node, "pads").unwrap_or_default();
            let side = |value: i64| {
                usize::try_from(value)
                    .ok()
                    .filter(|&side| side <= 1 << 14)
                    .ok_or_else(|| format!("its pads are {given:?}, they must be at least 0"))
            };
            match *given {
                [] => Padding::default(),
                [left, right] if is_line => {
                    Padding { top: 0, left: side(left)?, bottom: 0, right: side(right)? }
                }
                [top, left, bottom, right] => Padding {
                    top: side(top)?,
                    left: side(left)?,
                    bottom: side(bottom)?,
                    right: side(right)?,
                },
                _ => return Err(format!("its pads are {given:?}, not one for each side")),
            }
        }
        "VALID" => Padding::default(),
        "SAME_UPPER" | "SAME_LOWER" => {
            let (down, across) =
                (same(height, reaches.0, stride.0), same(width, reaches.1, stride.1));
            let less = Padding {
                top: down / 2,
                left: across / 2,
                bottom: down - down / 2,
                right: across - across / 2,
            };
            if auto == "SAME_UPPER" {
                less
            } else {
                Padding { top: less.bottom, left: less.right, bottom: less.top, right: less.left }
            }
        }
        other => return Err(format!("its auto_pad is {}", hafnia_text::quoted(other))),
    };
    let mut padding = Padding {
        top: padding.top + padded.top,
        left: padding.left + padded.left,
        bottom: padding.bottom + padded.bottom,
        right: padding.right + padded.right,
    };
    if integer(node, "ceil_mode", 0) != 0 {
        let rest = |side: usize, before: usize, after: usize, reach: usize, stride: usize| {
            let free = (side + before + after).checked_sub(reach)?;
            let mut windows = free.div_ceil(stride) + 1;
            // A window that would begin behind the image and what is padded before it is left out.
            if (windows - 1) * stride >= side + before {
                windows -= 1;
            }
            Some(((windows - 1) * stride + reach).saturating_sub(side + before))
        };
        let misfit = || format!("its window of {reaches:?} does not fit images of {shape}");
        let (top, left) = (padding.top, padding.left);
        padding.bottom =
            rest(shape.height, top, padding.bottom, reaches.0, stride.0).ok_or_else(misfit)?;
        padding.right =
            rest(shape.width, left, padding.right, reaches.1, stride.1).ok_or_else(misfit)?;
    }
    let window = Window { kernel, stride, dilation, padding };
    match window.output(shape.height, shape.width) {
        Some(_) => Ok(window),
        None => Err(format!("a {window} does not fit images of {shape}")),
    }
}

/// The rows and columns of a pool.
pub(crate) fn kernel(node: &Node) -> Result<(usize, usize), String> {
    let given = integers(node, "kernel_shape").unwrap_or_default();
    let side = |value: i64| usize::try_from(value).ok().filter(|side| (1..=1 << 14).contains(side));
    let found = match *given {
        [across] => side(across).map(|across| (1, across)),
        [down, across] => side(down).zip(side(across)),
        _ => None,
    };
    found.ok_or_else(|| format!("its kernel_shape is {given:?}: windows have one or two sides"))
}

/// Whether anything is padded.
pub(crate) fn is_padded(padding: Padding) -> bool {
    padding != Padding::default()
}
