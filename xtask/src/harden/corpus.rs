//! What is changed, and the commands that read it: a small network with everything that hafnia makes
//! of it, from the files in `xtask/harden`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hafnia_rng::Seed;
use rand::RngExt;

use crate::harden::change::Form;
use crate::harden::trial::{Binary, copy};
use crate::workspace::root;

/// Files of a kind, and the commands that read them.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) files: &'static [&'static str],
    pub(crate) form: Form,
    pub(crate) commands: &'static [&'static str],
}

/// The command that takes no program with any change.
pub(crate) const FROM_PROGRAM: &str =
    "map network.hafnia --from-program program --macro macro.toml --out out/x.map -q";

const SIM: &str = "sim network.hafnia natural.map --macro macro.toml --data data --chips 2 \
    --noise-in all --replicates 50 -q";
const NOISY: &str = "sim network.hafnia compact.map --macro noisy.toml --data data --chips 2 \
    --noise-in all --replicates 50 -q";
const MAP: &str = "map network.hafnia --pipeline natural --macro macro.toml --out out/x.map -q";
const COST: &str = "cost network.hafnia natural.map --macro macro.toml --data data --draws 20 -q";
const CHIP: &str = "sim network.hafnia natural.map --macro macro.toml --data data --engine device \
    --chip x.chip --noise-in all -q";
const TRAIN: &str = "train --recipe recipe.toml --out out --data data -q";
const RESUME: &str = "train --recipe long.toml --checkpoint checkpoint --out out --data data \
    --epochs 3 -q";
const EVALUATE: &str = "model evaluate network.hafnia --data data";
const IMPORT: &str = "model import interchange --out out/x.hafnia -q";
const CODES: &str = "fit codes codes.csv --macro macro.toml --out out/codes.csv -q";

/// Everything that is changed.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "network",
        files: &["network.hafnia"],
        form: Form::Sealed,
        commands: &["inspect network.hafnia", EVALUATE, MAP, SIM, COST],
    },
    Kind {
        name: "mapping",
        files: &["natural.map", "compact.map"],
        form: Form::Text,
        commands: &["inspect natural.map --full", "inspect compact.map", SIM, NOISY, COST],
    },
    Kind {
        name: "chip",
        files: &["x.chip"],
        form: Form::Sealed,
        commands: &[
            "chip show x.chip",
            "chip show x.chip --mapping natural.map",
            "chip export x.chip --out out",
            CHIP,
        ],
    },
    Kind {
        name: "profile",
        files: &["x.profile"],
        form: Form::Sealed,
        commands: &[
            "inspect x.profile",
            "map network.hafnia --pipeline pipeline.toml --profile x.profile --macro macro.toml \
             --out out/x.map -q",
            "frontier network.hafnia --profile x.profile --out out --data data \
             --steps 20 --chips 2 -q",
        ],
    },
    Kind {
        name: "program",
        files: &[
            "program/program.json",
            "program/tiles.csv",
            "program/sums.csv",
            "program/macro-0/cells.hex",
            "program/macro-0/columns.csv",
        ],
        form: Form::Text,
        commands: &["inspect program", FROM_PROGRAM],
    },
    Kind {
        name: "network.json",
        files: &["interchange/network.json"],
        form: Form::Json,
        commands: &[IMPORT],
    },
    Kind {
        name: "NumPy arrays",
        files: &[
            "interchange/conv1.weights.npy",
            "interchange/conv1.thresholds.npy",
            "interchange/fc2.weights.npy",
        ],
        form: Form::Npy,
        commands: &[IMPORT],
    },
    Kind {
        name: "data",
        files: &["data/t10k-images-idx3-ubyte", "data/t10k-labels-idx1-ubyte"],
        form: Form::Bytes,
        commands: &["data --data data", EVALUATE, SIM],
    },
    Kind {
        name: "macro",
        files: &["macro.toml", "noisy.toml"],
        form: Form::Toml,
        commands: &["macros show noisy.toml", MAP, SIM, NOISY, COST, CODES],
    },
    Kind {
        name: "fault map",
        files: &["faults.csv"],
        form: Form::Text,
        commands: &["macros show noisy.toml", NOISY],
    },
    Kind {
        name: "pipeline",
        files: &["pipeline.toml"],
        form: Form::Toml,
        commands: &[
            "map network.hafnia --pipeline pipeline.toml --profile x.profile --macro macro.toml \
             --out out/x.map -q",
        ],
    },
    Kind { name: "recipe", files: &["recipe.toml"], form: Form::Toml, commands: &[TRAIN] },
    Kind {
        name: "checkpoint",
        files: &["checkpoint/checkpoint.hafnia"],
        form: Form::Sealed,
        commands: &[RESUME],
    },
    Kind {
        name: "sweep",
        files: &["sweep.toml"],
        form: Form::Toml,
        commands: &[
            "sweep sweep.toml --out out --data data --plan",
            "sweep sweep.toml --out out --data data -q",
        ],
    },
    Kind {
        name: "plan of a sweep",
        files: &["half/sweep.json"],
        form: Form::Json,
        commands: &["sweep --out half --collect --data data -q"],
    },
    Kind {
        name: "shard",
        files: &["half/shards/p00000-c00000.shard"],
        form: Form::Sealed,
        commands: &["sweep --out half --collect --data data -q"],
    },
    Kind {
        name: "measurements",
        files: &["cells.csv"],
        form: Form::Text,
        commands: &["fit cells cells.csv --out out/cells.toml -q"],
    },
    Kind {
        name: "counts of codes",
        files: &["codes.csv"],
        form: Form::Text,
        commands: &[
            CODES,
            "sim network.hafnia natural.map --macro macro.toml --data data --chips 2 \
             --engine table --code-table codes.csv --noise-in all -q",
        ],
    },
    Kind {
        name: "cost model",
        files: &["cost.toml"],
        form: Form::Toml,
        commands: &["cost network.hafnia natural.map --macro macro.toml --data data --draws 20 \
             --cost-model cost.toml -q"],
    },
    Kind {
        name: "report",
        files: &["run/report.json", "run/cells.json", "run/manifest.json"],
        form: Form::Json,
        commands: &["report run --out out/report.html -q", "inspect run/manifest.json"],
    },
];

/// Commands that succeed, one or more for every subcommand.
pub(crate) const COMMANDS: &[&str] = &[
    "data --data data",
    TRAIN,
    IMPORT,
    "model export network.hafnia out --logits 3 --data data",
    EVALUATE,
    "model refine network.hafnia --out out/x.hafnia --data data --passes 1",
    "model merge network.hafnia --layer fc2 --rows 3 --out out/x.hafnia --data data --no-tune",
    "profile network.hafnia --data data --out out/x.profile",
    "map network.hafnia --pipeline compact --macro macro.toml --out out/x.map --emit program=out/p",
    SIM,
    NOISY,
    CHIP,
    "sim network.hafnia natural.map --macro macro.toml --data data --chips 2 --out out/sim.json",
    "sweep sweep.toml --out out --data data",
    COST,
    "frontier network.hafnia --profile x.profile --out out --data data \
     --steps 20 --chips 2",
    "passes",
    "models",
    "macros show noisy.toml",
    "chip program natural.map --macro macro.toml --out out/x.chip",
    "chip show x.chip",
    "chip export x.chip --out out",
    "fit cells cells.csv --out out/cells.toml",
    CODES,
    "inspect natural.map",
    "completions bash",
    "man --out out",
    "report run --out out/report.html",
];

/// Makes the seeds in an empty folder.
pub(crate) fn make(binary: &Binary, seeds: &Path) -> anyhow::Result<()> {
    copy(&root().join("xtask/harden"), seeds)?;
    fs::copy(root().join("crates/hafnia-cost/models/gt-n40.toml"), seeds.join("cost.toml"))
        .context("the cost model")?;
    data(&seeds.join("data"))?;
    for command in [
        "train --recipe recipe.toml --out net --data data -q",
        "model export net/network.hafnia interchange --logits 3 --data data -q",
        "model import interchange --out network.hafnia -q",
        "map network.hafnia --pipeline natural --macro macro.toml --out natural.map -q",
        "map network.hafnia --pipeline compact --macro macro.toml --out compact.map -q \
         --emit program=program",
        "chip program natural.map --macro macro.toml --out x.chip -q",
        "profile network.hafnia --data data --out x.profile -q",
        "sweep sweep.toml --out half --data data --share 0/2 -q",
    ] {
        let ended = binary.run(seeds, command)?;
        ensure!(ended.code == Some(0), "`{command}` failed: {}", ended.stderr);
    }
    checkpoint(binary, seeds)?;
    for command in COMMANDS {
        let ended = binary.run(seeds, command)?;
        ensure!(ended.code == Some(0), "`{command}` failed: {}", ended.stderr);
        let _ = fs::remove_dir_all(seeds.join("out"));
    }
    Ok(())
}

/// Images of 6x6 pixels in three classes, in MNIST's form.
fn data(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let rng = &mut Seed(1).site("harden/data").rng();
    for (part, count) in [("train", 240u32), ("t10k", 60)] {
        let mut images = [0x803u32, count, 6, 6].map(u32::to_be_bytes).concat();
        let mut labels = [0x801u32, count].map(u32::to_be_bytes).concat();
        for index in 0..count {
            let label = (index % 3) as u8;
            let pixel = |at: u32| at % 3 == u32::from(label);
            images.extend(
                (0..36).map(|at| if pixel(at) { rng.random_range(90..=255) } else { rng.random() }),
            );
            labels.push(label);
        }
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images)?;
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels)?;
    }
    Ok(())
}

/// A checkpoint, which only a training that was stopped leaves.
fn checkpoint(binary: &Binary, seeds: &Path) -> anyhow::Result<()> {
    let recipe = fs::read_to_string(seeds.join("recipe.toml"))?;
    fs::write(seeds.join("long.toml"), recipe.replace("epochs = 2", "epochs = 10000"))?;
    let mut training = Command::new(&binary.0)
        .args(["train", "--recipe", "long.toml", "--checkpoint", "checkpoint", "--out", "stopped"])
        .args(["--data", "data", "-q"])
        .current_dir(seeds)
        .stderr(Stdio::null())
        .spawn()?;
    let (file, start) = (seeds.join("checkpoint/checkpoint.hafnia"), Instant::now());
    while !file.exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    training.kill()?;
    training.wait()?;
    ensure!(file.exists(), "a training left no checkpoint");
    Ok(())
}
