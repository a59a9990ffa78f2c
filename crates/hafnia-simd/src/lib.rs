//! Vector code for several instruction sets: written once, chosen when the program runs.
//!
//! A [`Kernel`] is a loop over the vectors of [`Simd`]; [`Isa::run`] compiles it for every
//! instruction set and calls the one it is given.
//!
//! ```
//! use hafnia_simd::{Isa, Kernel, LANES, Simd};
//!
//! /// Multiplies all values by a factor.
//! struct Scale<'a>(&'a mut [[i32; LANES]], i32);
//!
//! impl Kernel for Scale<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<S: Simd>(self, simd: S) {
//!         let Self(values, factor) = self;
//!         for values in values {
//!             let scaled = simd.mul_i32(simd.load_i32(values), simd.splat_i32(factor));
//!             simd.store_i32(scaled, values);
//!         }
//!     }
//! }
//!
//! for isa in Isa::all() {
//!     let mut values = [[3; LANES]; 3];
//!     isa.run(Scale(&mut values, 2));
//!     assert_eq!(values, [[6; LANES]; 3], "{isa}");
//! }
//! ```
//!
//! All instruction sets return the same bits: no operation rounds differently from the scalar one,
//! and lanes are never added across. Only [`Words::look_up`] finds either of two bounds
//! ([`ByteTable::of`]): a kernel must come to the same result with both.
//!
//! [`Simd`] has integers of 32 bits and masks of [`LANES`] lanes, [`Shorts`] integers of 16 bits,
//! [`Bits`] vectors of 512 bits, [`Words`] what kernels do with words of word lines, and [`Floats`]
//! floats as wide as a register.
//!
//! On x86-64 there are AVX-512, AVX2 with FMA, and the portable level. On aarch64 the portable level
//! is NEON, which every such processor has: the compiler vectorises its arrays.
//!
//! This crate does not know what a kernel computes.

mod isa;
mod portable;
mod simd;
mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::{Isa, UnknownIsa};
pub use simd::{Bits, Floats, Kernel, LANES, Shorts, Simd};
pub use words::{ByteTable, Words, places};
