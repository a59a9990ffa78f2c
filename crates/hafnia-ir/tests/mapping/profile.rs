//! Profiles that do not belong to the network are refused.

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

fn check(change: impl FnOnce(&mut Profile), expected: Expect) {
    let mut profile = profile();
    change(&mut profile);
    expected.assert_eq(&profile.check(&sample::network()).unwrap_err().to_string());
}

#[test]
fn a_right_profile_is_taken() {
    assert_eq!(profile().check(&sample::network()), Ok(()));
}

#[test]
fn wrong_profiles_are_refused() {
    check(
        |p| p.network = Digest([0; 32]),
        expect![
            "profile taken from another network: from 0000000000000000000000000000000000000000000000000000000000000000, not 9936000730b03c077e4481ad17a4da6a246e058f60329f102d011c3a8db788b0"
        ],
    );
    check(|p| p.matrices.truncate(1), expect!["profile has 1 matrices, the network has 2"]);
    check(
        |p| p.matrices[1].rows = 5,
        expect!["matrix m1 has 5 rows in the profile, 4 in the network"],
    );
    check(
        |p| p.matrices[1].bits = 3,
        expect!["matrix m1 takes 3 bits in the profile, 2 in the network"],
    );
    check(
        |p| p.matrices[0].activations.truncate(11),
        expect!["matrix m0 has 11 activations, no multiple of its 6 rows"],
    );
    check(
        |p| p.matrices[0].activations[7] = 4,
        expect!["matrix m0, sample 1, row 1: activation 4 must lie in 0..=3"],
    );
}
