//! [`Shape`]: the sizes of a block; [`Operands`], what its kernels read, and [`Sums`].

/// The shape of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Channels, rows and columns of the input; a linear layer sees features as channels.
    pub(crate) input: [usize; 3],
    /// Outputs of the matrix.
    pub(crate) outputs: usize,
    /// Side of the kernel; 1 for a linear layer.
    pub(crate) kernel: usize,
    /// Zeros around the input.
    pub(crate) padding: usize,
    /// Side of the pool window; 1 for none.
    pub(crate) pool: usize,
}

impl Shape {
    /// A linear layer.
    pub(crate) fn linear(features: usize, outputs: usize) -> Self {
        Self { input: [features, 1, 1], outputs, kernel: 1, padding: 0, pool: 1 }
    }

    /// Rows and columns of the padded input.
    pub(super) fn padded(&self) -> [usize; 2] {
        [self.input[1] + 2 * self.padding, self.input[2] + 2 * self.padding]
    }

    /// Rows and columns before the pool.
    pub(super) fn sums(&self) -> [usize; 2] {
        self.padded().map(|side| side + 1 - self.kernel)
    }

    /// Rows and columns after the pool.
    pub(crate) fn pooled(&self) -> [usize; 2] {
        self.sums().map(|side| side / self.pool)
    }

    /// Floats of an image's input.
    pub(crate) fn features_in(&self) -> usize {
        self.input.iter().product()
    }

    /// Floats of an image's output.
    pub(crate) fn features_out(&self) -> usize {
        let [height, width] = self.pooled();
        self.outputs * height * width
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.input[0] * self.kernel * self.kernel
    }

    pub(super) fn is_linear(&self) -> bool {
        self.kernel == 1 && self.pool == 1 && self.input[1..] == [1, 1]
    }
}

/// What the product of a block reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) shape: &'a Shape,
    /// (image, feature).
    pub(crate) input: &'a [f32],
    /// (row, output), as in the network.
    pub(crate) weights: &'a [f32],
}

/// What the forward pass leaves for the backward pass: per image, output and pooled position.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// The largest sum of the pool window.
    pub(crate) largest: Vec<f32>,
    /// Its place in the window, row by row; the first of equal ones. Empty in a linear layer.
    pub(crate) place: Vec<u8>,
    /// Its derivative by the sum without errors; empty if there are none.
    pub(crate) by_exact: Vec<f32>,
}
