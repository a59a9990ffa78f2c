//! Whatever is asked as data can be typed: its command line is read back into the same request. What
//! commands say of themselves fits a terminal, and is a page of the documents.

use std::fmt::Debug;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use expect_test::expect_file;
use hafnia_model::Shape;
use hafnia_onnx::Pixels;
use hafnia_sim::EngineKind;
use hafnia_study::{
    AttributeRequest, BenchRequest, CodesRequest, CostRequest, DataSource, EvaluateRequest,
    FrontierRequest, ImportRequest, Leave, MacroSource, MapRequest, MappingOrigin, MergeRequest,
    NetworkSource, NewMacroRequest, On, Part, PowerGrid, ProfileRequest, Request, SearchOptions,
    ShapesRequest, SimulateRequest, SweepRequest, TrainRequest, limits,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::macros::{Macros, MacrosCommand};
use crate::model::ModelCommand;
use crate::options::request;
use crate::{Cli, Command, EVERYWHERE};

/// Holds that words typed into a shell become this request again.
fn check<R: PartialEq + Debug>(asked: &R, words: Vec<String>, read: impl Fn(Command) -> Option<R>) {
    let typed = std::iter::once("hafnia".to_owned()).chain(words.clone());
    let cli = Cli::try_parse_from(typed).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert_eq!(read(cli.command).as_ref(), Some(asked), "{words:?}");
}

fn text() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._/ ='-]{0,11}"
}

fn path() -> impl Strategy<Value = PathBuf> {
    text().prop_map(PathBuf::from)
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9.=-]{0,9}"
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(name(), 0..3)
}

fn network() -> impl Strategy<Value = NetworkSource> {
    prop_oneof![path().prop_map(NetworkSource::File), text().prop_map(NetworkSource::Model)]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![Just(Part::Train), Just(Part::Validation), Just(Part::Test)]
}

fn spec() -> impl Strategy<Value = MacroSource> {
    (text(), vec(text(), 0..3)).prop_map(|(name, set)| MacroSource { name, set })
}

fn data() -> impl Strategy<Value = DataSource> {
    let hold_out = any::<Option<usize>>();
    (option::of(path()), hold_out, path(), any::<bool>(), any::<bool>()).prop_map(
        |(data, hold_out, cache, offline, or_subset)| DataSource {
            data,
            hold_out,
            cache,
            offline,
            or_subset,
        },
    )
}

/// What `sim` and `cost` are run on, and where the outcome goes.
fn run()
-> impl Strategy<Value = (Part, Option<usize>, u64, Option<PathBuf>, MacroSource, DataSource)> {
    (part(), any::<Option<usize>>(), any::<u64>(), option::of(path()), spec(), data())
}

fn search() -> impl Strategy<Value = SearchOptions> {
    let numbers = (any::<u32>(), any::<i32>(), any::<f32>(), 0.0..0.9, option::of(1..9u32));
    (names(), numbers, any::<u64>()).prop_map(|(layers, numbers, seed)| {
        let (passes, reach, sigmas, held_back, images) = numbers;
        SearchOptions { layers, passes, reach, sigmas: sigmas.into(), held_back, images, seed }
    })
}

/// Every command below this one with its full name, itself first.
fn commands(name: &str, command: &clap::Command) -> Vec<(String, clap::Command)> {
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    let below = below.flat_map(|below| commands(&format!("{name} {}", below.get_name()), below));
    std::iter::once((name.to_owned(), command.clone())).chain(below).collect()
}

/// All commands, laid out for a terminal of 80 columns.
fn all_commands() -> Vec<(String, clap::Command)> {
    let mut command = Cli::command().term_width(80);
    command.build();
    commands("hafnia", &command)
}

/// What stands above the commands in docs/commands.md.
const COMMANDS: &str = "\
# Commands

What every command says of itself by `-h`, on a terminal of 80 columns; `--help` says more of each option.
A test holds this page to the program; `UPDATE_EXPECT=1 cargo test -p hafnia-cli --lib page` writes it.
";

#[test]
fn the_page_of_commands_is_what_they_say() {
    let mut page = COMMANDS.to_owned();
    for (name, mut command) in all_commands() {
        let level = if name.split(' ').count() > 2 { "###" } else { "##" };
        let help = command.render_help().to_string();
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        page += &format!("\n{level} {name}\n\n```text\n{}\n```\n", lines.join("\n"));
    }
    // A line of usage is as long as it is.
    let blocks = page.split("```").skip(1).step_by(2).flat_map(str::lines);
    let is_wide = |line: &&str| line.chars().count() > 80 && !line.starts_with("Usage:");
    assert_eq!(blocks.filter(is_wide).collect::<Vec<_>>(), [""; 0]);
    expect_file!["../../../docs/commands.md"].assert_eq(&page);
}

#[test]
fn examples_are_not_broken() {
    for (name, command) in all_commands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (_, examples) = after.split_once("Examples:\n").unwrap_or_default();
        for line in examples.lines().take_while(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn options_of_every_command_stand_last() {
    for (name, mut command) in all_commands() {
        let help = command.render_long_help().to_string();
        let (_, last) = help.split_once(EVERYWHERE).expect("options of every command");
        let is_heading = |line: &&str| line.ends_with(':') && !line.starts_with(' ');
        let headings: Vec<&str> = last.lines().skip(1).filter(is_heading).collect();
        assert!(
            headings.iter().all(|of| ["Examples:", "A sweep:"].contains(of)),
            "{name}: {headings:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn map(
        (network, out, spec, seed) in (network(), path(), spec(), any::<u64>()),
        (origin, profile, until, dump_ir) in (
            (any::<bool>(), text()),
            option::of(path()),
            option::of(text()),
            option::of("[a-z]{0,4}"),
        ),
        (code_table, program, explain) in (option::of(path()), option::of(path()), any::<bool>()),
    ) {
        let mut asked = MapRequest { code_table, seed, program, spec, network, out, ..MapRequest::default() };
        asked.from = MappingOrigin::Pipeline(origin.1.clone());
        match origin.0 {
            true => asked.from = MappingOrigin::FromProgram(origin.1.into()),
            false => asked = MapRequest { profile, until, dump_ir, explain, ..asked },
        }
        check(&asked, asked.words(), |command| match command {
            Command::Map(map) => map.request().ok(),
            _ => None,
        });
    }

    #[test]
    fn simulate(
        (models, files, pipelines) in (vec(text(), 1..3), vec(path(), 0..3), vec(text(), 0..3)),
        engine in prop_oneof![Just(EngineKind::Exact), Just(EngineKind::Table), Just(EngineKind::Device)],
        (chips, until, most_chips) in (limits::CHIPS, option::of(0.001..100.0), limits::CHIPS),
        (yield_at, noise_in, replicates) in (option::of(0.0..100.0), text(), limits::REPLICATES),
        power in option::of((vec(2..99usize, 1..3), vec(2..99usize, 1..3))),
        (attribute, code_table) in (option::of((any::<Option<usize>>(), any::<Option<u32>>(), option::of(path()))), option::of(path())),
        saved in vec(path(), 0..2),
        (part, images, seed, out, spec, data) in run(),
    ) {
        let mut asked = SimulateRequest {
            models, files, pipelines, engine, chips, until, yield_at, noise_in, replicates,
            part, images, seed, out, spec, data,
            power: power.map(|(networks, chips)| PowerGrid { networks, chips }),
            ..SimulateRequest::default()
        };
        if until.is_some() {
            asked.most_chips = most_chips;
        }
        match attribute {
            Some((images, chips, plot)) => {
                asked.attribute = Some(AttributeRequest { images, chips, plot });
            }
            None => asked.code_table = code_table,
        }
        if !saved.is_empty() && asked.attribute.is_none() && until.is_none() {
            let SimulateRequest { chips, seed, .. } = SimulateRequest::default();
            asked = SimulateRequest { saved, chips, seed, ..asked };
        }
        check(&asked, asked.words(), |command| match command {
            Command::Sim(sim) => Some(sim.request()),
            _ => None,
        });
    }

    #[test]
    fn macros(
        (spec, out, plot) in (spec(), option::of(path()), option::of(path())),
        (file, from, force) in (path(), text(), any::<bool>()),
    ) {
        let asked = CodesRequest { spec, out, plot };
        check(&asked, asked.words(), |command| match command {
            Command::Macros(Macros { command: Some(MacrosCommand::Codes(codes)), .. }) => codes.request().ok(),
            _ => None,
        });
        let asked = NewMacroRequest { file, from, force };
        check(&asked, asked.words(), |command| match command {
            Command::Macros(Macros { command: Some(MacrosCommand::New(new)), .. }) => new.request().ok(),
            _ => None,
        });
    }

    #[test]
    fn cost(
        (network, mapping, pipeline) in (network(), option::of(path()), option::of(text())),
        (against, plot) in (option::of(text()), option::of(path())),
        (cost_model, constants, draws) in (text(), vec(text(), 0..3), any::<usize>()),
        (part, images, seed, out, spec, data) in run(),
    ) {
        let plot = plot.filter(|_| against.is_some());
        let asked = CostRequest {
            network, mapping, pipeline, against, plot, cost_model, constants, draws,
            part, images, seed, out, spec, data,
        };
        check(&asked, asked.words(), |command| match command {
            Command::Cost(cost) => cost.request().ok(),
            _ => None,
        });
    }

    #[test]
    fn frontier(
        (network, profile, out) in (network(), path(), path()),
        (steps, chips, seed) in (limits::STEPS, limits::CHIPS, any::<u64>()),
        (noise_in, part, spec, data) in (text(), part(), spec(), data()),
    ) {
        let asked = FrontierRequest {
            network, profile, out, steps, chips, noise_in, part, seed, spec, data,
        };
        check(&asked, asked.words(), |command| match command {
            Command::Frontier(frontier) => request(&frontier).ok(),
            _ => None,
        });
    }

    #[test]
    fn sweep(
        (file, out, shards) in (option::of(path()), path(), option::of(path())),
        (plan, yes, collect, wait) in any::<(bool, bool, bool, bool)>(),
        share in option::of((0..5usize, 5..9usize)),
        (slurm, tasks, cores) in any::<(bool, usize, usize)>(),
        (sbatch, data) in (vec("-?[a-z =-]{1,9}", 0..3), data()),
        (plot, plot_file) in (vec(text(), 0..4), option::of(path())),
    ) {
        let plot_file = plot_file.filter(|_| !plot.is_empty());
        let share = share.map(|(first, of)| format!("{first}/{of}").parse().expect("a share"));
        let on = if slurm { On::Slurm } else { On::Local };
        let asked = SweepRequest {
            file, out, plan, yes, on, share, shards, collect, plot, plot_file, tasks, cores, sbatch,
            wait, data,
        };
        check(&asked, asked.words(), |command| match command {
            Command::Sweep(sweep) => request(&sweep).ok(),
            _ => None,
        });
    }

    #[test]
    fn profile_evaluate_and_bench(
        (network, out, against, pipeline) in (network(), path(), option::of(path()), text()),
        (images, positions, seed, seconds) in (any::<usize>(), any::<usize>(), any::<u64>(), any::<f32>()),
        (part, spec, data, names) in (part(), spec(), data(), names()),
    ) {
        let (of, from, shaped) = (network.clone(), data.clone(), spec.clone());
        let some = Some(images).filter(|images| images % 2 == 0);
        let asked =
            ProfileRequest { network: of, out, images: some, positions, seed, data: from };
        check(&asked, asked.words(), |command| match command {
            Command::Profile(profile) => request(&profile).ok(),
            _ => None,
        });
        let asked = EvaluateRequest { network: network.clone(), against, part, images: some, data };
        check(&asked, asked.words(), |command| match command {
            Command::Model(model) => match model.command {
                ModelCommand::Evaluate(evaluate) => request(&evaluate).ok(),
                _ => None,
            },
            _ => None,
        });
        let asked = BenchRequest { network, pipeline, images: some, seconds: seconds.into(), spec };
        check(&asked, asked.words(), |command| match command {
            Command::Bench(bench) => Some(bench.request()),
            _ => None,
        });
        let asked = ShapesRequest { names, seconds: seconds.into(), spec: shaped };
        check(&asked, asked.words(), |command| match command {
            Command::Shapes(shapes) => request(&shapes).ok(),
            _ => None,
        });
    }

    #[test]
    fn merge(
        (network, out, layer) in (network(), path(), text()),
        leave in prop_oneof![
            any::<usize>().prop_map(Leave::Rows),
            (0.0..100.0).prop_map(Leave::Budget),
            vec(any::<usize>(), 1..4).prop_map(Leave::Curve),
        ],
        (no_tune, part, search, data) in (any::<bool>(), part(), search(), data()),
    ) {
        let out = Some(out).filter(|_| !matches!(leave, Leave::Curve(_)));
        let asked = MergeRequest { network, out, layer, leave, no_tune, part, search, data };
        check(&asked, asked.words(), |command| match command {
            Command::Model(model) => match model.command {
                ModelCommand::Merge(merge) => request(&merge).ok(),
                _ => None,
            },
            _ => None,
        });
    }

    #[test]
    fn import(
        (file, out, approximate) in (path(), path(), any::<bool>()),
        pixels in option::of(prop_oneof![
            Just(Pixels::Raw),
            Just(Pixels::Signed),
            Just(Pixels::Unit),
            (vec(-9.0..9f32, 1..4), vec(0.0..9f32, 1..4))
                .prop_map(|(means, deviations)| Pixels::Normalised { means, deviations }),
        ]),
        image in option::of((1..9usize, 1..99usize, 1..=16384usize).prop_map(
            |(channels, height, width)| Shape { channels, height, width },
        )),
        check_files in option::of((path(), path()).prop_map(|(a, b)| [a, b])),
    ) {
        let asked = ImportRequest { file, out, pixels, image, approximate, check: check_files };
        check(&asked, asked.words(), |command| match command {
            Command::Model(model) => match model.command {
                ModelCommand::Import(import) => Some(import.onnx.request(&import.folder, &import.out)),
                _ => None,
            },
            _ => None,
        });
        let json = serde_json::to_value(&asked).expect("JSON");
        assert_eq!(serde_json::from_value::<ImportRequest>(json).expect("a request"), asked);
    }

    #[test]
    fn train(
        (recipe, out, checkpoint) in (option::of(path()), path(), option::of(path())),
        (seed, seeds, epochs, final_patterns) in (
            any::<Option<u64>>(),
            option::of(1..=1000u64),
            any::<Option<usize>>(),
            any::<Option<usize>>(),
        ),
        (backend, data) in (option::of(text()), data()),
    ) {
        let checkpoint = checkpoint.filter(|_| seeds.is_none());
        let asked = TrainRequest {
            recipe, out, checkpoint, seed, seeds, epochs, final_patterns, backend, data,
        };
        check(&asked, asked.words(), |command| match command {
            Command::Train(train) => request(&train).ok(),
            _ => None,
        });
    }
}
