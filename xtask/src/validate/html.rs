//! `report.html` in a headless Chromium: opened, read, and used by keyboard and pointer.
//!
//! A page must say its claims, open in a second and take 1.5 MB at most, fetch nothing, leave no
//! error on the console, be readable in both themes, on narrow windows and on paper, and show what
//! rows of macros hold. The example is a page of invented numbers with real cells; the same page with
//! faults put in, one at a time, shows that each kind of fault is found.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::random;
use hafnia_passes::{Context as PassContext, Pipeline, Registry};
use hafnia_report::plot::{CurvePoint, CurveRun, training_curve};
use hafnia_report::{
    Align, CellMap, Claims, Figure, Layout, Metrics, Part, Report, Scope, Section, Table,
};
use hafnia_rng::Seed;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::{Browser, PROGRAM};
use crate::workspace::root;

pub(crate) use super::browser::is_there;

/// Bytes that a page stays below.
const MOST_BYTES: usize = 1_500_000;
/// Milliseconds in which it is opened and painted.
const MOST_MS: f64 = 1000.0;
/// Times that a page may be opened until once it is fast enough, since others may use the machine.
const LOADS: usize = 10;

/// Looks at the example, at the example with faults, and at this page if there is one.
pub(crate) fn run(page: Option<&Path>, screenshot: Option<&Path>) -> anyhow::Result<()> {
    ensure!(is_there(), "{PROGRAM} is missing: it is a package of Debian by that name");
    let mut browser = Browser::launch()?;
    let example = example()?;
    let html = hafnia_report::page(&example);
    let claims = claims_of(&example);
    let seen = look(&mut browser, &html, Some(&claims), LOADS).context("the example")?;
    seen.pass("the example")?;
    for (fault, break_page, sign) in FAULTS {
        let broken = break_page(&html);
        ensure!(broken != html, "bug: fault `{fault}` changes nothing");
        let seen = look(&mut browser, &broken, Some(&claims), 1)
            .with_context(|| format!("a page with {fault}"))?;
        ensure!(
            seen.faults.iter().any(|found| found.contains(sign)),
            "a page with {fault} passes: found only {:?}",
            seen.faults
        );
    }
    println!("{} kinds of faults put into the example are found", FAULTS.len());
    if let Some(page) = page {
        let html =
            std::fs::read_to_string(page).with_context(|| format!("page {}", page.display()))?;
        let folder = page.parent().unwrap_or(Path::new("."));
        let claims = Report::open(folder).ok().map(|report| claims_of(&report));
        look(&mut browser, &html, claims.as_deref(), LOADS)?.pass(&page.display().to_string())?;
        drop(browser);
        if let Some(file) = screenshot {
            pictures(page, file)?;
        }
    }
    Ok(())
}

/// What was seen of a page.
struct Seen {
    bytes: usize,
    load_ms: f64,
    claims: usize,
    faults: Vec<String>,
}

impl Seen {
    fn pass(&self, what: &str) -> anyhow::Result<()> {
        if !self.faults.is_empty() {
            bail!("{what}: {}", self.faults.join("; "));
        }
        println!(
            "{what}: {} claims, {} kB, opened and painted in {:.0} ms",
            self.claims,
            self.bytes / 1000,
            self.load_ms
        );
        Ok(())
    }
}

/// The claims of a report as its page has them: the cells of every row.
fn claims_of(report: &Report) -> Vec<Vec<String>> {
    report.verdict_table().rows().to_vec()
}

/// Opens a page, so many times at most, and uses it.
fn look(
    browser: &mut Browser,
    html: &str,
    claims: Option<&[Vec<String>]>,
    loads: usize,
) -> anyhow::Result<Seen> {
    let folder = TempDir::new()?;
    let path = folder.path().join("report.html");
    std::fs::write(&path, html)?;
    let mut faults = Vec::new();
    if html.len() >= MOST_BYTES {
        faults.push(format!("it takes {} bytes, which must be below {MOST_BYTES}", html.len()));
    }

    browser.events.clear();
    browser.resize(1280, 900)?;
    browser.emulate("screen", "light")?;
    let mut load_ms = f64::INFINITY;
    for _ in 0..loads {
        browser.open(&path)?;
        // Two frames on, what was laid out has been painted.
        let painted = browser.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))",
        )?;
        load_ms = load_ms.min(painted.as_f64().context("a time")?);
        if load_ms < MOST_MS {
            break;
        }
    }
    if load_ms >= MOST_MS {
        faults.push(format!("it opens in {load_ms:.0} ms, which must be below {MOST_MS}"));
    }
    let read = read_claims(browser)?;
    match claims {
        _ if read.is_empty() => faults.push("it says no claim".to_owned()),
        Some(claims) if read != claims => {
            faults.push(format!("it says claims {read:?} instead of {claims:?}"));
        }
        _ => (),
    }
    audit(browser, "light theme", &mut faults)?;
    themes(browser, &path, &mut faults)?;
    rows(browser, &mut faults)?;
    browser.resize(360, 800)?;
    audit(browser, "narrow window", &mut faults)?;
    browser.resize(390, 844)?;
    first_screen(browser, &mut faults)?;
    browser.resize(1280, 900)?;
    paper(browser, &mut faults)?;
    faults.extend(complaints(&browser.events, &path));
    Ok(Seen { bytes: html.len(), load_ms, claims: read.len(), faults })
}

/// On a phone the first screen says what became of every claim, and shows the first of them as a card.
fn first_screen(browser: &mut Browser, faults: &mut Vec<String>) -> anyhow::Result<()> {
    browser.evaluate("scrollTo({ top: 0, behavior: 'instant' })")?;
    let found = browser.evaluate(
        "(() => {
            const isSeen = element => element && element.getBoundingClientRect().bottom < innerHeight;
            const outcome = document.querySelector('header .outcome');
            const ids = [...new Set([...document.querySelectorAll('.claims b')].map(id => id.textContent))];
            const card = document.querySelector('.claims tbody tr');
            return [
                isSeen(outcome) && (/^None /.test(outcome.textContent) || ids.every(id => outcome.textContent.includes(id))),
                isSeen(card?.querySelector('.verdict')),
                card !== null && getComputedStyle(card).display === 'grid',
            ]; })()",
    )?;
    let parts = ["the verdict in a sentence", "the first claim's verdict", "claims as cards"];
    for (index, part) in parts.iter().enumerate() {
        if found[index] != true {
            faults.push(format!("a phone's first screen lacks {part}"));
        }
    }
    Ok(())
}

/// The table of claims: the words of every cell, without what only the eye sees.
fn read_claims(browser: &mut Browser) -> anyhow::Result<Vec<Vec<String>>> {
    let rows = browser.evaluate(
        "[...document.querySelectorAll('#claims table tbody tr')].map(row => [...row.cells].map(cell => {
            const words = cell.cloneNode(true);
            words.querySelectorAll('[aria-hidden]').forEach(hidden => hidden.remove());
            return words.textContent.trim().replaceAll('−', '-').replaceAll('\u{a0}', ' ');
        }))",
    )?;
    Ok(serde_json::from_value(rows)?)
}

fn audit(browser: &mut Browser, when: &str, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let found: Vec<String> = serde_json::from_value(browser.evaluate(include_str!("audit.js"))?)?;
    faults.extend(found.into_iter().map(|fault| format!("{when}: {fault}")));
    Ok(())
}

/// The theme follows the system's, changes by keyboard, and is kept.
fn themes(browser: &mut Browser, path: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let paper = "getComputedStyle(document.body).backgroundColor";
    let pressed = "document.getElementById('theme')?.getAttribute('aria-pressed')";
    let light = browser.evaluate(paper)?;
    browser.emulate("screen", "dark")?;
    let dark = browser.evaluate(paper)?;
    if light == dark {
        faults.push("the theme does not follow the system's".to_owned());
    }
    audit(browser, "dark theme", faults)?;
    browser.emulate("screen", "light")?;
    // The first stop of the keyboard is the way past the head, the second the theme.
    browser.evaluate("document.activeElement?.blur()")?;
    browser.press("Tab", 9)?;
    browser.press("Tab", 9)?;
    let stop = browser.evaluate("document.activeElement?.id")?;
    if stop != "theme" {
        faults.push(format!("the keyboard's second stop is {stop}, not the theme"));
    }
    // Elsewhere it might follow a link.
    if stop == "theme" {
        browser.press("Enter", 13)?;
    }
    if browser.evaluate(paper)? != dark || browser.evaluate(pressed)? != "true" {
        faults.push("the theme cannot be changed by keyboard".to_owned());
    }
    browser.open(path)?;
    if browser.evaluate(paper)? != dark {
        faults.push("the theme is forgotten".to_owned());
    }
    browser.evaluate("document.getElementById('theme')?.click()")?;
    if browser.evaluate(paper)? != light {
        faults.push("the theme cannot be changed back".to_owned());
    }
    // Pages of one folder share their storage.
    browser.evaluate("localStorage.clear()")?;
    Ok(())
}

/// Rows of macros say what they hold, to the keyboard and to the pointer; a page may have none.
fn rows(browser: &mut Browser, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let status = "document.querySelector('.status')?.textContent ?? null";
    let active = "(() => { const at = document.activeElement;
        return document.getElementById(at?.getAttribute('aria-activedescendant'))?.querySelector('title').textContent })()";
    if browser.evaluate("document.querySelectorAll('.r').length")? == 0 {
        return Ok(());
    }
    browser.evaluate("document.querySelector('[role=listbox]').focus()")?;
    for key in [("ArrowDown", 40), ("ArrowDown", 40), ("ArrowUp", 38), ("End", 35)] {
        browser.press(key.0, key.1)?;
    }
    let last = "[...document.querySelector('[role=listbox]').querySelectorAll('.r title')].at(-1).textContent";
    let last = browser.evaluate(last)?;
    if browser.evaluate(active)? != last || browser.evaluate(status)? != last {
        faults.push("the keyboard does not show what a row holds".to_owned());
    }
    browser.evaluate("document.activeElement.blur()")?;
    let shared = browser.evaluate(
        "(async () => { const row = document.querySelector('.r.s') ?? document.querySelector('.r');
            // Macros are drawn when they come near the window, which may move them.
            for (let frame = 0; frame < 3; frame++) {
                row.scrollIntoView({ block: 'center', behavior: 'instant' });
                await new Promise(requestAnimationFrame);
            }
            const box = row.querySelector('rect').getBoundingClientRect();
            // Rows can be less than two pixels high: the one that is under a whole pixel counts.
            const [x, y] = [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
            const under = document.elementFromPoint(x, y)?.closest('.r');
            return [x, y, under?.querySelector('title').textContent]; })()",
    )?;
    let coordinate = |index: usize| shared[index].as_f64().context("a row has a place");
    browser.point(coordinate(0)?, coordinate(1)?)?;
    let said = browser.evaluate(status)?;
    if said != shared[2] || !said.as_str().is_some_and(|said| said.contains("logical row")) {
        faults.push(format!("the pointer does not show what a row holds, but {said}"));
    }
    Ok(())
}

/// On paper a page is light, whatever its theme, and without what only a screen needs.
fn paper(browser: &mut Browser, faults: &mut Vec<String>) -> anyhow::Result<()> {
    browser.emulate("print", "dark")?;
    let seen = browser.evaluate(
        "[getComputedStyle(document.body).backgroundColor,
          getComputedStyle(document.querySelector('nav') ?? document.body).display]",
    )?;
    if seen != json!(["rgb(255, 255, 255)", "none"]) {
        faults.push(format!("on paper it has background and contents {seen}"));
    }
    let printed = browser.call("Page.printToPDF", json!({"printBackground": true}))?;
    if printed["data"].as_str().is_none_or(str::is_empty) {
        faults.push("it cannot be printed".to_owned());
    }
    browser.emulate("screen", "light")
}

/// Errors and warnings on the console, and what was fetched beside the page.
fn complaints(events: &[Value], page: &Path) -> Vec<String> {
    let url = format!("file://{}", page.display());
    let complaint = |event: &Value| {
        let parameters = &event["params"];
        match event["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(format!(
                "error: {}",
                parameters["exceptionDetails"]["exception"]["description"]
            )),
            "Runtime.consoleAPICalled" => {
                let kind = parameters["type"].as_str()?;
                let is_fault = ["error", "warning", "assert"].contains(&kind);
                is_fault.then(|| format!("console {kind}: {}", parameters["args"]))
            }
            "Log.entryAdded" => Some(format!("browser says: {}", parameters["entry"]["text"])),
            "Network.requestWillBeSent" => {
                let fetched = parameters["request"]["url"].as_str()?;
                let is_own = fetched == url || fetched.starts_with("data:");
                (!is_own).then(|| format!("it fetches {fetched}"))
            }
            _ => None,
        }
    };
    let mut all: Vec<String> = events.iter().filter_map(complaint).collect();
    all.sort();
    all.dedup();
    all
}

/// A way to break a page, and what is then said.
type Fault = (&'static str, fn(&str) -> String, &'static str);

const FAULTS: &[Fault] = &[
    ("an error in its script", |page| page.replace("'use strict';", "nothing();"), "error: "),
    (
        "something on the console",
        |page| page.replace("'use strict';", "console.error('x');"),
        "console error",
    ),
    (
        "an image from elsewhere",
        |page| {
            // The page itself forbids it, so that goes too.
            let open = page.replace("default-src 'none'; img-src data:;", "");
            open.replace("<main", "<img alt=\"\" src=\"http://127.0.0.1:9/x.png\"><main")
        },
        "it fetches http://127.0.0.1:9/x.png",
    ),
    (
        "an image that it forbids itself",
        |page| page.replace("<main", "<img alt=\"\" src=\"http://127.0.0.1:9/x.png\"><main"),
        "browser says: ",
    ),
    ("another claim", |page| page.replacen("97.50 %", "99.50 %", 1), "instead of"),
    (
        "a verdict below the first screen",
        |page| {
            page.replace(
                "<p class=\"outcome\">",
                "<p style=\"height: 900px\"></p><p class=\"outcome\">",
            )
        },
        "first screen lacks the verdict",
    ),
    (
        "claims that are no cards",
        |page| page.replace(".claims tr { display: grid;", ".claims tr { display: block;"),
        "lacks claims as cards",
    ),
    (
        "a figure that cannot be kept",
        |page| page.replace("data:image/svg+xml,%3Csvg", "data:image/svg+xml,"),
        "cannot be kept",
    ),
    (
        "a figure without its data",
        |page| page.replace("<a download=\"training-curve.csv\"", "<a title=\"x\""),
        "links that keep",
    ),
    (
        "points that say nothing",
        |page| page.replace("<title>a training", "<title></title><title>a training"),
        "points of a figure say nothing",
    ),
    (
        "a heading without a link to itself",
        |page| {
            page.replace(
                "class=\"permalink\" href=\"#training\"",
                "class=\"permalink\" href=\"#claims\"",
            )
        },
        "has no link to itself",
    ),
    (
        "an id twice",
        |page| page.replace("id=\"figure-training-curve\"", "id=\"training\""),
        "is given twice",
    ),
    ("no claims", |page| page.replace("id=\"claims\"", "id=\"other\""), "it says no claim"),
    (
        "a theme that does nothing",
        |page| page.replace("root.dataset.theme = isDark()", "root.dataset.other = isDark()"),
        "changed by keyboard",
    ),
    ("a theme that is forgotten", |page| page.replace("keep(root", "String(root"), "is forgotten"),
    (
        "pale text",
        |page| page.replace("--muted: light-dark(#55606b,", "--muted: light-dark(#b0b8c0,"),
        "hard to read",
    ),
    ("a table without caption", |page| page.replace("caption", "colgroup"), "has no caption"),
    (
        "rows that say nothing",
        |page| page.replace("status.textContent = row ?", "status.title = row ?"),
        "what a row holds",
    ),
    (
        "a wide line",
        |page| page.replace("<main", "<p style=\"width: 2000px\">x</p><main"),
        "pixels wide in a window",
    ),
    ("contents on paper", |page| page.replace("nav, .skip, .status", ".skip, .status"), "on paper"),
    (
        "too much in it",
        |page| page.replace("</main>", &(" ".repeat(MOST_BYTES) + "</main>")),
        "bytes",
    ),
    (
        "a long wait",
        |page| {
            let wait = "{ const end = Date.now() + 1200; while (Date.now() < end); }";
            page.replace("'use strict';", wait)
        },
        "it opens in",
    ),
];

/// Invented numbers, and the cells of a random network.
fn example() -> anyhow::Result<Report> {
    let claims = Claims::load(root().join("docs/claims.toml"))?;
    let mut metrics = Metrics::default();
    for (key, value) in [
        ("like/accuracy_ties_wrong", 0.975),
        ("like/accuracy_ties_wrong_lo", 0.9718),
        ("like/accuracy_ties_wrong_hi", 0.9779),
        ("rename/like/saving", 38.0 / 84.0),
        ("rename/like/accuracy_cost_points", 0.1),
        ("rename/like/accuracy_cost_points_lo", 0.0),
        ("rename/like/accuracy_cost_points_hi", 0.2),
        ("reorder/like/reduction_rel", 0.1225),
        ("reorder/like/reduction_rel_lo", 0.045),
        ("reorder/like/reduction_rel_hi", 0.19),
        ("reorder/final/reduction_points", 0.03),
        ("reorder/final/reduction_points_lo", -0.004),
        ("reorder/final/reduction_points_hi", 0.06),
    ] {
        metrics.insert(key, value)?;
    }
    let mut report = Report::new("An example", Scope::default(), &claims, metrics)?;
    let mut table = Table::new([("layer", Align::Left), ("drop, points", Align::Right)]);
    table.row(["`fc3` <of all>", "0.01"]);
    let point = |epoch: u32| CurvePoint {
        epoch,
        loss: 1.0 / f64::from(epoch),
        validation_accuracy_pct: 98.0 - 4.0 / f64::from(epoch),
    };
    let run = CurveRun { label: "a training".to_owned(), points: (1..=10).map(point).collect() };
    report.sections = vec![
        Section {
            part: Part::Training,
            title: "Training".to_owned(),
            text: "Invented.".to_owned(),
            tables: vec![table],
            figures: vec![Figure {
                name: "training-curve".to_owned(),
                caption: "Loss and accuracy.".to_owned(),
                svg: training_curve(&[run])?,
            }],
            ..Section::default()
        },
        Section {
            part: Part::Mapping,
            title: "The macros, cell by cell".to_owned(),
            maps: vec![CellMap {
                name: "cells".to_owned(),
                caption: "A random network.".to_owned(),
                layouts: vec![layout("natural")?, layout("rename")?],
            }],
            ..Section::default()
        },
    ];
    report.manifest = vec!["command: cargo xtask validate --html".to_owned()];
    report.record = Some(json!({"seed": 1}));
    Ok(report)
}

/// A random network by a pipeline.
fn layout(pipeline: &str) -> anyhow::Result<Layout> {
    let network = random::lenet5(Seed(1));
    let spec = MacroSpec::preset("gt-n40")?;
    let context = PassContext {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let logical = Mapping::logical(&network, &spec);
    let passes = Pipeline::load(pipeline, &Registry::builtin())?;
    hafnia_study::layout(pipeline, &passes.run(logical, &context, &mut |_| Ok(()))?.mapping)
}

/// The top of a page: as it is, and beside it on a phone, `-390`, and in the dark theme, `-dark`.
fn pictures(page: &Path, file: &Path) -> anyhow::Result<()> {
    let [page, file]: [PathBuf; 2] = [std::path::absolute(page)?, std::path::absolute(file)?];
    let stem = file.file_stem().context("a picture has a name")?.display().to_string();
    let beside = |end: &str| file.with_file_name(format!("{stem}{end}.png"));
    // No window is as narrow as a phone, but a frame is.
    let place = TempDir::new()?;
    let phone = place.path().join("phone.html");
    let frame = format!(
        "<body style=\"margin: 0\"><iframe src=\"file://{}\" width=\"390\" height=\"844\" style=\"border: 0\"></iframe>",
        page.display()
    );
    std::fs::write(&phone, frame)?;
    for (page, file, size, flags) in [
        (&page, &file, "1280,880", &[][..]),
        (&phone, &beside("-390"), "390,844", &[]),
        (&page, &beside("-dark"), "1280,880", &["--force-dark-mode"]),
    ] {
        let profile = TempDir::new()?;
        let mut chromium = Command::new(PROGRAM);
        chromium
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={size}"))
            .args(flags)
            .arg(format!("--screenshot={}", file.display()))
            .arg(format!("file://{}", page.display()))
            .stderr(Stdio::null());
        crate::workspace::run(&mut chromium)?;
        println!("{} written", file.display());
    }
    Ok(())
}
