//! Profiles that do not belong to the network are refused.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hafnia_artifact::Digest;
use hafnia_ir::{MatrixProfile, Profile};

use crate::sample;

fn profile() -> Profile {
    let matrices = vec![
        MatrixProfile { rows: 6, bits: 2, activations: vec![3; 12] },
        MatrixProfile { rows: 4, bits: 2, activations: vec![0, 1, 2, 3] },
    ];
    Profile { network: sample::network().digest(), images: 2, matrices }
}

fn check(changes: &[fn(&mut Profile)], expected: Expect) {
    let network = sample::network();
    let mut lines = String::new();
    for change in changes {
        let mut profile = profile();
        change(&mut profile);
        writeln!(lines, "{}", profile.check(&network).unwrap_err()).unwrap();
    }
    expected.assert_eq(&lines.replace(&network.digest().to_string(), "<digest>"));
}

#[test]
fn a_right_profile_is_taken() {
    assert_eq!(profile().check(&sample::network()), Ok(()));
    assert_eq!(profile().matrices[0].samples(), 2);
    assert_eq!(profile().matrices[1].sample(0), [0, 1, 2, 3]);
}

#[test]
fn wrong_profiles_are_refused() {
    check(
        &[
            |p| p.network = Digest([0; 32]),
            |p| p.matrices.truncate(1),
            |p| p.matrices[1].rows = 5,
            |p| p.matrices[1].bits = 3,
            |p| p.matrices[0].activations.truncate(11),
            |p| p.matrices[0].activations[7] = 4,
        ],
        expect![[r#"
            profile is of network 0000000000000000000000000000000000000000000000000000000000000000, not of <digest>
            profile has 1 matrices, the network has 2
            matrix m1: profile has 5 rows, the network has 4
            matrix m1: profile has activations of 3 bits, the network of 2
            matrix m0: 11 activations are not a multiple of 6 rows
            matrix m0: activation of sample 1, row 1 is 4, it must lie in 0..=3
        "#]],
    );
}
