//! A mutational fuzzer of the text form and of programs, for stable Rust: what the example `fuzz`
//! runs for minutes and the test `fuzz` for a fixed number of inputs.
//!
//! An input is a text of the corpus, changed a few times: bytes flipped, words swapped or taken from
//! elsewhere, numbers moved to where limits lie, lines doubled, dropped or spliced in from another
//! text, the end cut off. In place of coverage it watches what is said: a text whose outcome, numbers
//! aside, was not seen before joins the pool that is changed further. All is drawn from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, Matrix, Program, Stage, Tile, prove, verify};
use hafnia_model::{Network, random};
use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;

/// The texts that all inputs come from.
const CORPUS: [&str; 11] = [
    include_str!("../../tests/corpus/documented.map"),
    include_str!("../../tests/corpus/stripped.map"),
    include_str!("../../tests/corpus/pre-add.map"),
    include_str!("../../tests/corpus/layout.map"),
    include_str!("../../tests/corpus/limits.map"),
    include_str!("../../tests/corpus/names.map"),
    include_str!("../../tests/corpus/logical.map"),
    include_str!("../../tests/corpus/tiled.map"),
    include_str!("../../tests/corpus/placed.map"),
    include_str!("../../tests/corpus/truncated.map"),
    include_str!("../../tests/corpus/levels.map"),
];

/// The longest input in bytes.
const LONGEST: usize = 1 << 14;
/// The most texts in the pool.
const POOL: usize = 4096;
/// Programs are made of mappings with at most so many cells on their macros.
const PROGRAM_CELLS: usize = 1 << 12;

/// What a text may ask for. The dearest is a row table: a tile of R rows takes 2 R characters for its
/// cells, and then 16 for a run of R entries of 12 bytes, up to the 2^20 rows of a matrix; per
/// character that is most at R = 2896, namely 1086 bytes. Cells and columns are below 40.
const BYTES_PER_CHARACTER: usize = 1200;
/// The lists of all matrices hold at most 2^20 numbers, of 8 bytes at most.
const BYTES_OF_LISTS: usize = 8 << 20;

/// Numbers at which limits lie.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "7",
    "63",
    "64",
    "65",
    "255",
    "65536",
    "1048576",
    "1048577",
    "268435456",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "00",
];

/// Words of the grammar, and some that are none.
const WORDS: [&str; 33] = [
    "hafnia-mapping",
    "network",
    "macro",
    "stage",
    "logical",
    "tiled",
    "placed",
    "matrix",
    "m0",
    "tile",
    "t0",
    "replica",
    "size",
    "1x1",
    "at",
    "row",
    "column",
    "columns",
    "rows",
    "bits",
    "~0",
    "-0:0",
    "0..4:0..4",
    "pre-add",
    "weights",
    "dead",
    "digital",
    "+0",
    "-1",
    "~",
    "#",
    "%",
    "\u{feff}",
];

/// What was tried so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Inputs.
    pub(crate) inputs: u64,
    /// Texts that were read.
    pub(crate) read: u64,
    /// Texts that kept the rules too.
    pub(crate) valid: u64,
    /// Mappings whose programs went round.
    pub(crate) programs: u64,
    /// Programs with a changed file.
    pub(crate) changed_programs: u64,
    /// Outcomes that differ by more than numbers.
    pub(crate) outcomes: u64,
}

/// An input on which something went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) input: String,
}

/// A fuzzer and what it has learned.
pub(crate) struct Fuzzer {
    rng: ChaCha8Rng,
    pool: Vec<String>,
    seen: BTreeSet<String>,
    networks: Vec<Network>,
    pub(crate) counts: Counts,
}

impl Fuzzer {
    pub(crate) fn new(seed: Seed) -> Self {
        Self {
            rng: seed.site("ir/fuzz").rng(),
            pool: CORPUS.map(str::to_owned).to_vec(),
            seen: BTreeSet::new(),
            networks: (1..4).map(|seed| random::network(Seed(seed), Default::default())).collect(),
            counts: Counts::default(),
        }
    }

    /// Tries one more input.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        self.counts.inputs += 1;
        let mut text = self.pick();
        for _ in 0..self.rng.random_range(1..=6) {
            text = self.mutate(text);
        }
        let networks = &self.networks;
        let input = text.clone();
        let outcome = catch_unwind(|| check(&text, networks))
            .unwrap_or_else(|_| Err("a panic".to_owned()))
            .map_err(|what| Failure { what, input: input.clone() })?;
        self.counts.read += u64::from(outcome.mapping.is_some());
        self.counts.valid += u64::from(outcome.is_valid);
        // Numbers aside: these are where something stands, or how large it is.
        let kind: String = outcome.said.chars().filter(|c| !c.is_ascii_digit()).collect();
        if self.seen.insert(kind) {
            self.counts.outcomes += 1;
            if self.pool.len() < POOL {
                self.pool.push(input);
            }
        }
        match outcome.program {
            None => Ok(()),
            Some(program) => {
                self.counts.programs += 1;
                self.change_program(&program)
            }
        }
    }

    /// Reads a program after a change to one of its files.
    fn change_program(&mut self, program: &Program) -> Result<(), Failure> {
        self.counts.changed_programs += 1;
        let mut files: BTreeMap<String, Vec<u8>> = program.files().collect();
        let index = self.rng.random_range(0..files.len());
        let Some((name, bytes)) = files.iter_mut().nth(index) else { return Ok(()) };
        *bytes = match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = text.to_owned();
                self.mutate(text).into_bytes()
            }
            Err(_) => flipped(&mut self.rng, bytes),
        };
        let input = format!("{name}\n{}", String::from_utf8_lossy(bytes));
        let read =
            || Program::from_files(&files).map(|program| (program.files().collect(), program));
        match catch_unwind(read) {
            Err(_) => Err(Failure { what: "a panic on a program".to_owned(), input }),
            Ok(Ok((again, program))) => {
                let again: BTreeMap<String, Vec<u8>> = again;
                match Program::from_files(&again) {
                    Ok(back) if back == program => Ok(()),
                    _ => Err(Failure { what: "a program does not go round".to_owned(), input }),
                }
            }
            Ok(Err(_)) => Ok(()),
        }
    }

    fn pick(&mut self) -> String {
        let index = self.rng.random_range(0..self.pool.len());
        self.pool[index].clone()
    }

    /// One change.
    fn mutate(&mut self, text: String) -> String {
        let mutated = match self.rng.random_range(0..8) {
            0 => {
                let bytes = flipped(&mut self.rng, text.as_bytes());
                String::from_utf8_lossy(&bytes).into_owned()
            }
            1 | 2 => self.change_word(&text),
            3 | 4 => self.change_number(&text),
            5 => {
                let end = self.rng.random_range(0..=text.len());
                text[..text.floor_char_boundary(end)].to_owned()
            }
            _ => self.change_lines(&text),
        };
        match mutated.len() {
            0..=LONGEST => mutated,
            _ => mutated[..mutated.floor_char_boundary(LONGEST)].to_owned(),
        }
    }

    /// Swaps, drops, doubles or replaces words.
    fn change_word(&mut self, text: &str) -> String {
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', ',']).collect();
        if words.is_empty() {
            return WORDS[self.rng.random_range(0..WORDS.len())].to_owned();
        }
        let (at, other) =
            (self.rng.random_range(0..words.len()), self.rng.random_range(0..words.len()));
        let word = format!("{} ", WORDS[self.rng.random_range(0..WORDS.len())]);
        match self.rng.random_range(0..5) {
            0 => words.swap(at, other),
            1 => drop(words.remove(at)),
            2 => words.insert(at, words[other]),
            3 => words[at] = &word,
            _ => words.insert(at, &word),
        }
        words.concat()
    }

    /// Puts another number in the place of one.
    fn change_number(&mut self, text: &str) -> String {
        let is_start = |at: usize| {
            let bytes = text.as_bytes();
            bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit())
        };
        let starts: Vec<usize> = (0..text.len()).filter(|&at| is_start(at)).collect();
        if starts.is_empty() {
            return text.to_owned();
        }
        let start = starts[self.rng.random_range(0..starts.len())];
        let (before, rest) = text.split_at(start);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let number: u64 = number.parse().unwrap_or(0);
        let new = match self.rng.random_range(0..4) {
            0 => number.wrapping_add(1).to_string(),
            1 => number.saturating_sub(1).to_string(),
            2 => self.rng.random_range(0..10u8).to_string(),
            _ => NUMBERS[self.rng.random_range(0..NUMBERS.len())].to_owned(),
        };
        format!("{before}{new}{after}")
    }

    /// Doubles, drops, swaps or takes over lines.
    fn change_lines(&mut self, text: &str) -> String {
        let other = self.pick();
        let theirs: Vec<&str> = other.split_inclusive('\n').collect();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.is_empty() || theirs.is_empty() {
            return other;
        }
        let (at, to) =
            (self.rng.random_range(0..lines.len()), self.rng.random_range(0..lines.len()));
        let few = self.rng.random_range(1..=8);
        match self.rng.random_range(0..5) {
            0 => lines.swap(at, to),
            1 => drop(lines.drain(at..lines.len().min(at + few))),
            2 => {
                let block = lines[at..lines.len().min(at + few)].to_vec();
                lines.splice(to..to, block);
            }
            3 => {
                let from = self.rng.random_range(0..theirs.len());
                let block = theirs[from..theirs.len().min(from + few)].to_vec();
                lines.splice(to..to, block);
            }
            _ => {
                let from = self.rng.random_range(0..theirs.len());
                lines.truncate(at);
                lines.extend(&theirs[from..]);
            }
        }
        lines.concat()
    }
}

/// Some bytes flipped, put in or taken out.
fn flipped(rng: &mut ChaCha8Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..3) {
            0 => bytes.insert(at, rng.random()),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
    }
    bytes
}

/// What became of a text.
struct Outcome {
    /// What is said of it.
    said: String,
    mapping: Option<Mapping>,
    is_valid: bool,
    /// Its program, if it makes a small one.
    program: Option<Program>,
}

/// Reads a text and checks all that must hold of it, whatever it is.
fn check(text: &str, networks: &[Network]) -> Result<Outcome, String> {
    let mapping = match text.parse::<Mapping>() {
        Err(error) => {
            let said = format!("expected {}", error.expected);
            return Ok(Outcome { said, mapping: None, is_valid: false, program: None });
        }
        Ok(mapping) => mapping,
    };
    let most = BYTES_PER_CHARACTER * text.len() + BYTES_OF_LISTS;
    if held(&mapping) > most {
        return Err(format!("{} bytes are held, {most} at most may be", held(&mapping)));
    }
    let printed = mapping.to_string();
    match printed.parse::<Mapping>() {
        Ok(again) if again == mapping && again.to_string() == printed => {}
        Ok(_) => return Err("what is printed reads as another mapping".to_owned()),
        Err(error) => return Err(format!("what is printed cannot be read: {error}")),
    }
    let verified = verify(&mapping);
    let proofs: Vec<String> = networks.iter().map(|network| proof(&mapping, network)).collect();
    let said = match &verified {
        Ok(()) => format!("valid, {}", proofs.join(", ")),
        Err(violations) => violations.first().to_string(),
    };
    let program = match verified {
        Ok(()) if mapping.stage == Stage::Placed => small_program(&mapping)?,
        _ => None,
    };
    Ok(Outcome { said, mapping: Some(mapping), is_valid: verified.is_ok(), program })
}

/// Bytes of the lists and cells of a mapping.
fn held(mapping: &Mapping) -> usize {
    let lists = |matrix: &Matrix| 4 * matrix.dead.len();
    let tile = |tile: &Tile| {
        let words = tile.bits.rows() * tile.bits.words_per_row();
        12 * tile.rows.len() + 8 * tile.columns.len() + 8 * words
    };
    mapping.matrices.iter().map(lists).sum::<usize>()
        + mapping.tiles.iter().map(tile).sum::<usize>()
}

/// The rule that the proof finds broken first, were the mapping made for this network.
fn proof(mapping: &Mapping, network: &Network) -> String {
    let mapping = Mapping { network: network.digest(), ..mapping.clone() };
    match prove(&mapping, network) {
        Ok(()) => "proved".to_owned(),
        Err(violations) => format!("{:?}", violations.first().rule),
    }
}

/// The program of a mapping that is not large; it has to go round.
fn small_program(mapping: &Mapping) -> Result<Option<Program>, String> {
    let (rows, columns) = (mapping.geometry.rows, mapping.geometry.columns);
    let is_large = rows * columns * mapping.macros() > PROGRAM_CELLS;
    if is_large || mapping.geometry.cell_bits > 1 {
        return Ok(None);
    }
    let name = mapping.geometry.name.clone();
    let spec = MacroSpec::preset("ideal").map_err(|error| error.to_string())?;
    let spec = MacroSpec { name, rows, columns, ..spec };
    let program = Program::of(mapping, &spec).map_err(|error| error.to_string())?;
    match Program::from_files(&program.files().collect()) {
        Ok(back) if back == program => Ok(Some(program)),
        Ok(_) => Err("a program reads as another".to_owned()),
        Err(error) => Err(format!("a program cannot be read: {error}")),
    }
}
