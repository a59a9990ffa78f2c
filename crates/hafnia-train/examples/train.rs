//! Trains by a recipe and says how it goes: `train RECIPE FOLDER [FINAL_PATTERNS] [SEED]`.
//!
//! FOLDER holds the four MNIST files; the test images in it are not looked at.
use hafnia_train::{Event, TrainConfig};
fn idx(path: &str, skip: usize) -> Vec<u8> {
    let out = std::process::Command::new("zcat").arg(path).output().unwrap().stdout;
    out[skip..].to_vec()
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut config = TrainConfig::from_toml(&std::fs::read_to_string(&args[1]).unwrap()).unwrap();
    for arg in &args[3..] {
        let (k, v) = arg.split_once('=').unwrap();
        match k {
            "k" => config.final_patterns = if v == "0" { None } else { Some(v.parse().unwrap()) },
            "epochs" => config.epochs = v.parse().unwrap(),
            "lr" => config.learning_rate = v.parse().unwrap(),
            "seed" => config.seed = v.parse().unwrap(),
            "clean" => config.augmentation.as_mut().unwrap().last_epochs_clean = v.parse().unwrap(),
            "plain" => config.augmentation = None,
            "aug" => {
                let f: f32 = v.parse().unwrap();
                let a = config.augmentation.as_mut().unwrap();
                a.rotation_degrees *= f;
                a.scale *= f;
                a.shear *= f;
                a.shift_pixels *= f;
            }
            _ => panic!(),
        }
    }
    let images = idx(&format!("{}/train-images-idx3-ubyte.gz", args[2]), 16);
    let labels = idx(&format!("{}/train-labels-idx1-ubyte.gz", args[2]), 8);
    let dataset =
        hafnia_data::Dataset { name: "mnist".into(), rows: 28, columns: 28, images, labels };
    let split =
        hafnia_data::Split { train: (0..55000).collect(), validation: (55000..60000).collect() };
    println!("{:?}", &args[3..]);
    let mut v = Vec::new();
    let report = hafnia_train::train(&config, &dataset, &split, None, &mut |event| {
        if let Event::Epoch(e) = event {
            v.push(e.validation_accuracy);
            println!(
                "{:2} loss {:.4} train {:.2} valid {:.2} {:.1} s",
                e.epoch,
                e.loss,
                e.train_accuracy * 100.0,
                e.validation_accuracy * 100.0,
                e.seconds
            );
        }
    })
    .unwrap();
    println!(
        "RESULT {:?} valid {:.2} shifts {:?} {:.0} s, {:.0} images/s",
        &args[3..],
        100.0 * v.last().unwrap(),
        report.shifts,
        report.epochs.iter().map(|e| e.seconds).sum::<f64>(),
        report.images_per_second
    );
}
