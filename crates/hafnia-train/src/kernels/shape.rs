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
    /// Step of the kernel; 1 for a linear layer.
    pub(crate) stride: usize,
    /// Side of the pool window; 1 for none.
    pub(crate) pool: usize,
    /// Rows and columns of the windows of a sum over pixels, which is all that there is then: no
    /// matrix, and as many outputs as channels.
    pub(crate) average: Option<[usize; 2]>,
}

impl Shape {
    /// A linear layer.
    pub(crate) fn linear(features: usize, outputs: usize) -> Self {
        Self::conv([features, 1, 1], outputs, 1)
    }

    /// A convolution without padding and pool.
    pub(crate) const fn conv(input: [usize; 3], outputs: usize, kernel: usize) -> Self {
        Self { input, outputs, kernel, padding: 0, stride: 1, pool: 1, average: None }
    }

    /// Sums over windows of pixels.
    pub(crate) const fn average(input: [usize; 3], window: [usize; 2]) -> Self {
        Self { average: Some(window), ..Self::conv(input, input[0], 1) }
    }

    /// Rows and columns of the padded input.
    pub(super) fn padded(&self) -> [usize; 2] {
        [self.input[1] + 2 * self.padding, self.input[2] + 2 * self.padding]
    }

    /// Rows and columns before the pool.
    pub(super) fn sums(&self) -> [usize; 2] {
        self.padded().map(|side| (side - self.kernel) / self.stride + 1)
    }

    /// Rows and columns after the pool.
    pub(crate) fn pooled(&self) -> [usize; 2] {
        let ([height, width], [rows, columns]) =
            (self.sums(), self.average.unwrap_or([self.pool; 2]));
        [height / rows, width / columns]
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

    /// Rows of the matrix; 0 without one.
    pub(crate) fn rows(&self) -> usize {
        match self.average {
            None => self.input[0] * self.kernel * self.kernel,
            Some(_) => 0,
        }
    }

    pub(super) fn is_linear(&self) -> bool {
        self.average.is_none() && self.kernel == 1 && self.pool == 1 && self.input[1..] == [1, 1]
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
    /// Its place in the window, row by row; the first of equal ones. Empty without a convolution.
    pub(crate) place: Vec<u8>,
    /// Its derivative by the sum without errors; empty if there are none.
    pub(crate) by_exact: Vec<f32>,
}
