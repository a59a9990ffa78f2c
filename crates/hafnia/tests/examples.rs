//! The examples run to their end.

#[path = "../examples/from_measurements.rs"]
mod from_measurements;
#[path = "../examples/own_macro.rs"]
mod own_macro;
#[path = "../examples/own_network.rs"]
mod own_network;
#[path = "../examples/own_noise.rs"]
mod own_noise;
#[path = "../examples/own_pass_alone.rs"]
mod own_pass_alone;

#[test]
fn a_network_of_ones_own() {
    own_network::main().unwrap();
}

#[test]
fn a_macro_of_ones_own() {
    own_macro::main().unwrap();
}

#[test]
fn a_noise_model_of_ones_own() {
    own_noise::main().unwrap();
}

#[test]
fn a_pass_of_ones_own() {
    own_pass_alone::main().unwrap();
}

#[test]
fn a_macro_from_measurements() {
    from_measurements::main().unwrap();
}
