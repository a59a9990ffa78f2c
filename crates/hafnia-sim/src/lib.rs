//! The RRAM macro simulator: virtual chips, engines, evaluation, profiles and statistics.
