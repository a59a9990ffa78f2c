//! The head of a page: the verdict in a sentence, what was reproduced, and by which run; and how both
//! are cited.

use std::fmt::Write as _;

use super::markup::{escape, verdict};
use crate::claims::Paper;
use crate::judged::{Column, JudgedClaim};
use crate::report::{Report, Scope};
use crate::verdict::Verdict;

/// What stands below the title, as markup.
pub(super) fn head(report: &Report) -> String {
    let mut head = format!("<p class=\"outcome\">{}</p>\n", outcome(report.claims()));
    if let Some(Paper { title, authors, venue, year, doi, known }) = report.paper() {
        let _ = writeln!(
            head,
            "<p>The paper: <cite>{}</cite>, {}, {} {year}, <a href=\"{RESOLVER}{doi}\">doi {doi}</a>; {}.</p>",
            escape(title),
            escape(&authors.join(", ")),
            escape(venue),
            escape(known),
            doi = escape(doi),
        );
    }
    let run = Run::of(report);
    let parts = [
        run.date.map(|date| format!("of {date}")),
        run.version.map(|version| format!("by hafnia {version}")),
        run.host.map(|host| format!("on {host}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        let _ = writeln!(head, "<p>The run: {}.</p>", escape(&parts.join(" ")));
    }
    head + &scope(report.scope())
}

/// What a run that is not whole says.
fn scope(scope: Scope) -> String {
    let mut notices = String::new();
    if scope.subset {
        notices +=
            "<p class=\"notice\">Made on the committed subset of MNIST: no claim is judged.</p>\n";
    }
    if scope.quick {
        notices += "<p class=\"notice\">A quick run: less training, fewer chips, wider intervals; no claim is judged.</p>\n";
    }
    notices
}

/// What every identifier of a publication is appended to.
const RESOLVER: &str = "https://doi.org/";

/// How many of the claims are met by networks like the paper's, and which.
fn outcome(claims: &[JudgedClaim]) -> String {
    let mut ids: Vec<&JudgedClaim> = claims.iter().collect();
    ids.dedup_by_key(|claim| &claim.id);
    let noun = if ids.len() == 1 { "claim" } else { "claims" };
    let whole = format!("the paper's {} {noun}", ids.len());
    if ids.iter().all(|claim| claim.verdict == Verdict::NotJudged) {
        return format!("None of {whole} is judged.");
    }
    let groups = [
        Verdict::Surpassed,
        Verdict::Reproduced,
        Verdict::UnitAmbiguous,
        Verdict::NotReproduced,
        Verdict::NotJudged,
    ];
    let parts: Vec<String> = groups
        .into_iter()
        .filter_map(|group| {
            let of: Vec<&JudgedClaim> =
                ids.iter().copied().filter(|claim| claim.verdict == group).collect();
            let (count, verb) = (of.len(), if of.len() == 1 { "is" } else { "are" });
            let names: Vec<String> = of.iter().map(|claim| named(claim, claims)).collect();
            let names = names.join(", ");
            (count > 0).then(|| format!("{count} {verb} {} ({names})", verdict(group)))
        })
        .collect();
    let parts = match parts.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => parts.concat(),
    };
    format!("Of {whole}, by networks like the paper's, {parts}.")
}

/// The id of a claim and, where its readings disagree, what becomes of each.
fn named(claim: &JudgedClaim, all: &[JudgedClaim]) -> String {
    let id = escape(&claim.id);
    if claim.verdict != Verdict::UnitAmbiguous {
        return id;
    }
    let readings = all.iter().filter(|other| other.id == claim.id).map(|other| {
        let reading = other.reading.as_deref().unwrap_or(&other.title);
        let answer = other.answer(Column::Like).map_or(Verdict::NotJudged, |of| of.verdict);
        format!("{} {answer}", escape(reading))
    });
    format!("{id}: {}", readings.collect::<Vec<_>>().join(", "))
}

/// What the record of a run says of it.
#[derive(Default)]
struct Run<'a> {
    /// The day, such as `2026-11-28`.
    date: Option<&'a str>,
    version: Option<String>,
    host: Option<&'a str>,
}

impl<'a> Run<'a> {
    fn of(report: &'a Report) -> Self {
        let Some(record) = &report.record else { return Self::default() };
        let version = record["version"].as_str().map(|version| {
            let revision = record["git_revision"].as_str();
            version.to_owned() + &revision.map_or(String::new(), |of| format!(" (git {of})"))
        });
        Self {
            date: record["started"].as_str().and_then(|started| started.get(..10)),
            version,
            host: record["config"]["host"].as_str(),
        }
    }
}

/// How the paper and hafnia are cited; nothing without a paper.
pub(super) fn cite(report: &Report) -> Option<String> {
    let paper = report.paper()?;
    let record = report.record.as_ref();
    let version = record.and_then(|record| record["version"].as_str());
    let year = Run::of(report).date.and_then(|date| date.get(..4));
    let fields = [version.map(|of| ("version", of)), year.map(|of| ("year", of))];
    let mut software = vec![("title", TITLE), ("author", AUTHOR)];
    software.extend(fields.into_iter().flatten());
    let key = paper.authors.first().map(|name| name.to_lowercase()).unwrap_or_default();
    let (authors, year) = (paper.authors.join(" and "), paper.year.to_string());
    let paper = [
        ("title", format!("{{{}}}", paper.title)),
        ("author", authors),
        ("booktitle", paper.venue.clone()),
        ("year", year.clone()),
        ("doi", paper.doi.clone()),
    ];
    let paper = entry("inproceedings", &format!("{key}{year}"), &paper);
    let software = entry("software", "hafnia", &software);
    let entries = escape(&format!("{paper}\n{software}"));
    Some(format!("<p>The paper and hafnia, as BibTeX:</p>\n<pre>{entries}</pre>\n"))
}

/// As CITATION.cff has them.
const TITLE: &str = "hafnia";
const AUTHOR: &str = "{The hafnia authors}";

/// An entry of BibTeX.
fn entry(kind: &str, key: &str, fields: &[(&str, impl AsRef<str>)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("  {name} = {{{}}},\n", value.as_ref()));
    format!("@{kind}{{{key},\n{}}}\n", fields.collect::<String>())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::report::tests::report;

    /// The text of markup.
    fn words(html: &str) -> String {
        let text = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        text.collect()
    }

    #[test]
    fn the_verdict_is_a_sentence() {
        expect![[
            r#"Of the paper's 3 claims, by networks like the paper's, 1 is ✓reproduced (P2), 1 is ≈unit ambiguous (P3: share of the loss reproduced, in points not reproduced) and 1 is ○not judged (P1)."#
        ]]
        .assert_eq(&words(&outcome(report(Scope::default()).claims())));
        let quick = report(Scope { subset: false, quick: true });
        expect!["None of the paper's 3 claims is judged."]
            .assert_eq(&words(&outcome(quick.claims())));
    }

    #[test]
    fn the_run_is_that_of_the_record() {
        let mut report = report(Scope::default());
        assert!(!head(&report).contains("The run"));
        report.record = Some(json!({
            "started": "2026-11-28T10:00:00Z",
            "version": "0.1.0",
            "git_revision": "0123abc",
            "config": {"host": "linux x86_64, 2 processors"},
        }));
        let head = head(&report);
        let run =
            "The run: of 2026-11-28 by hafnia 0.1.0 (git 0123abc) on linux x86_64, 2 processors.";
        assert!(head.contains(run), "{head}");
    }

    #[test]
    fn citations_are_those_of_the_citation_file() {
        let file = include_str!("../../../../CITATION.cff");
        let report = report(Scope::default());
        let paper = report.paper().expect("a paper");
        for (key, value) in [
            ("title", TITLE),
            ("- name", AUTHOR.trim_matches(['{', '}'])),
            ("title", &paper.title),
            ("conference:\n      name", &paper.venue),
            ("year", &paper.year.to_string()),
            ("doi", &paper.doi),
        ] {
            assert!(file.contains(&format!("{key}: {value}\n")), "{key}: {value}");
        }
        let authors = paper.authors.iter().map(|name| format!("      - family-names: {name}\n"));
        assert!(file.contains(&format!("    authors:\n{}", authors.collect::<String>())));
        let body = cite(&report).expect("a paper");
        expect![[r#"
            <p>The paper and hafnia, as BibTeX:</p>
            <pre>@inproceedings{weinstock2023,
              title = {{Machine Learning Algorithm Co-Design for a 40 nm RRAM Analog Compute-in-Memory Accelerator}},
              author = {Weinstock and Tan and Li and Yu},
              booktitle = {IEEE Opportunity Research Scholars Symposium (ORSS)},
              year = {2023},
              doi = {10.1109/ORSS58323.2023.10161812},
            }

            @software{hafnia,
              title = {hafnia},
              author = {{The hafnia authors}},
            }
            </pre>
        "#]]
        .assert_eq(&body);
    }
}
