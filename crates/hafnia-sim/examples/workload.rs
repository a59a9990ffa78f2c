//! A fixed amount of work, whose instructions are counted: `workload ENGINE MAPPING ISA IMAGES`, the
//! mapping being `natural` or `shared`.
//!
//! `cargo xtask instructions` runs it under valgrind and counts within [`Run::on`](hafnia_sim::Run::on) only.

#[path = "../benches/lenet5/mod.rs"]
mod lenet5;

use hafnia_cim::MacroSpec;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Kernels, NoiseScope, Programmed, Reference};
use hafnia_simd::Isa;
use lenet5::{check, images, mapped, recorded};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, mapping, isa, count] = &arguments[..] else {
        panic!("workload ENGINE MAPPING ISA IMAGES")
    };
    let is_shared = match mapping.as_str() {
        "natural" => false,
        "shared" => true,
        other => panic!("there is no mapping {other}"),
    };
    let engine: EngineKind = engine.parse().expect("an engine");
    let engines = engine.try_into().expect("it has a name");
    let isa = Isa::all().into_iter().find(|of| of.to_string() == *isa);
    let kernels = Kernels::Vectors(isa.expect("this processor has the instruction set"));
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let network = recorded();
    let images = images(&network, count.parse().expect("a number of images"));
    let reference = Reference::with_kernels(&network, &images, kernels).expect("it fits");
    let mapping = mapped(&network, &spec, is_shared);
    let programmed =
        Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).expect("it fits");
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let evaluation = one_thread.install(|| programmed.run(0..1, Seed(3)).on(&engines));
    check(&evaluation.expect("it fits"), &NoiseScope::All);
}
