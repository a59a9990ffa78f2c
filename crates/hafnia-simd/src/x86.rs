//! The instruction sets of x86-64 beyond the portable level.
//!
//! The `unsafe` code of hafnia is in this file and the two below it: calls of instructions that a
//! processor may lack. A token of a level is made only by its `run`, and a [`Level`] only after the
//! processor was asked.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use crate::simd::Kernel;

/// Methods that are instructions of their level.
macro_rules! instructions {
    ($(fn $name:ident($self:ident $(, $arg:ident: $type:ty)*) $(-> $out:ty)? { $($body:tt)* })*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $type)*) $(-> $out)? {
            // SAFETY: a token exists only within the `run` of its level, whose caller knows that the
            // processor has these instructions; pointers come from references to arrays, or from
            // slices that were cut to the length that is read or written.
            unsafe { $($body)* }
        }
    )*};
}

mod avx2;
mod avx512;

/// A level that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level(Name);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Avx2,
    Avx512,
}

impl Level {
    /// The levels of this processor, the narrowest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let avx2 = avx2::is_there();
        let there = [(Name::Avx2, avx2), (Name::Avx512, avx2 && avx512::is_there())];
        there.into_iter().filter_map(|(name, is_there)| is_there.then_some(Self(name)))
    }

    /// Runs a kernel as compiled for this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: this level was made after the processor said that it has the instructions.
        match self.0 {
            Name::Avx2 => unsafe { avx2::run(kernel) },
            Name::Avx512 => unsafe { avx512::run(kernel) },
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Name::Avx2 => "avx2",
            Name::Avx512 => "avx512",
        }
    }
}
