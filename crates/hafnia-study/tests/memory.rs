//! A data set is held once, however many of its images are shown.
//!
//! The only test of its process, whose peak the system tells.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use hafnia_model::{Input, Layer, Linear, Network, Weights};
use hafnia_passes::Registry;
use hafnia_sim::EngineKind;
use hafnia_study::{DataSource, Request as _, Session, SimulateRequest};

/// Pixels of an image.
const SIZE: usize = 28 * 28;

/// Writes a data set in MNIST's form, which is never held here.
fn write(folder: &Path, part: &str, images: u32) {
    let file = |name: &str, header: &[u32]| {
        let file = File::create(folder.join(format!("{part}-{name}"))).expect("a file");
        let mut file = BufWriter::new(file);
        header.iter().for_each(|word| file.write_all(&word.to_be_bytes()).expect("written"));
        file
    };
    let mut pixels = file("images-idx3-ubyte", &[0x0803, images, 28, 28]);
    let mut labels = file("labels-idx1-ubyte", &[0x0801, images]);
    for image in 0..images {
        let image: Vec<u8> = (0..SIZE).map(|at| (at * (image as usize + 1)) as u8).collect();
        pixels.write_all(&image).expect("written");
        labels.write_all(&[image[9] % 10]).expect("written");
    }
}

/// The most memory that this process had, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("of this process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_data_set_is_held_once() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "train", 1);
    write(folder.path(), "t10k", 20_000);
    let weights = Weights::from_fn(SIZE, 10, |row, column| if row % 7 == column { 1 } else { -1 });
    let last = Linear { name: "last".into(), weights, thresholds: None };
    let layers = vec![Layer::Flatten, Layer::Linear(last)];
    let network = Network::new(Input::upper_bits(1, 28, 28, 2), layers).expect("they fit");
    let file = folder.path().join("net.hafnia");
    hafnia_artifact::save(&file, &network).expect("saved");

    let registry = Registry::builtin();
    let session = Session::new(&registry, &());
    let data = DataSource { data: Some(folder.path().to_owned()), ..DataSource::default() };
    let after = |images| {
        let asked = SimulateRequest {
            files: vec![file.clone()],
            engine: EngineKind::Exact,
            chips: 1,
            images: Some(images),
            data: data.clone(),
            ..SimulateRequest::default()
        };
        assert_eq!(asked.run(&session).expect("it runs").images, images);
        peak()
    };
    let few = after(100);
    let grown = after(20_000) - few;
    // 40 bytes of outputs each, and a few of what comes of them; a copy would take 15 300 KiB.
    assert!(grown < 4000, "{grown} KiB more for 20 000 images of {SIZE} bytes");
}
