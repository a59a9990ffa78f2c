//! Several runs side by side as a page.

use hafnia_text::counted;

use super::markup::{escape, inline, table};
use super::{Chapter, document, figure};
use crate::compare::Comparison;
use crate::error::ReportError;
use crate::report::{Figure, Report};
use crate::table::Table;

impl Comparison {
    /// The runs side by side on one page, as [`page`](super::page) makes one of a single run:
    /// what changed of claims and metrics, all of both folded, the figures that they have in
    /// common, and how to repeat each.
    ///
    /// # Errors
    /// As [`Comparison::of`].
    pub fn page(runs: &[(String, Report)]) -> Result<String, ReportError> {
        let compared = Self::of(runs)?;
        let (claims, metrics) = (compared.changed_claims_table(), compared.changed_table());
        let mut chapters = vec![
            changed("claim", compared.claims.len(), &claims, &compared.claims_table()),
            changed("metric", compared.metrics.len(), &metrics, &compared.metrics_table()),
        ];
        chapters.extend(figures(runs));
        chapters.push(Chapter {
            title: "How to repeat these".to_owned(),
            body: runs
                .iter()
                .map(|(name, report)| {
                    let lines = escape(&report.manifest.join("\n"));
                    format!("<h3>{}</h3>\n<pre>{lines}</pre>\n", escape(name))
                })
                .collect(),
        });
        let notices: String = runs
            .iter()
            .filter(|(_, report)| report.scope().subset || report.scope().quick)
            .map(|(name, _)| {
                format!(
                    "<p class=\"notice\">{}: a quick run, or one on the committed subset of MNIST; its claims are not judged.</p>\n",
                    escape(name)
                )
            })
            .collect();
        Ok(document(&format!("{} runs side by side", runs.len()), &notices, &chapters))
    }
}

/// What changed of claims or metrics, and folded below it all of them.
fn changed(noun: &str, count: usize, changed: &Table, all: &Table) -> Chapter {
    let mut body = match changed.rows().len() {
        0 => format!("<p>No {noun} differs.</p>\n"),
        _ => table(&format!("What differs of every {noun}"), changed),
    };
    let of = counted(count, noun);
    let name = format!("Every {noun} of every run");
    body += &format!("<details>\n<summary>All, {of}</summary>\n{}</details>\n", table(&name, all));
    Chapter { title: format!("{}s that changed", capital(noun)), body }
}

fn capital(noun: &str) -> String {
    let (first, rest) = noun.split_at(1);
    first.to_uppercase() + rest
}

/// The figures of the first run, beside those of the same name in the others; folded where all runs
/// have the same.
fn figures(runs: &[(String, Report)]) -> Option<Chapter> {
    let all = |report: &Report| -> Vec<Figure> {
        report.sections.iter().flat_map(|section| section.figures.clone()).collect()
    };
    let all: Vec<(&String, Vec<Figure>)> =
        runs.iter().map(|(name, report)| (name, all(report))).collect();
    let (mut body, mut same) = (String::new(), String::new());
    for of_first in &all[0].1 {
        let beside: Vec<(&String, &Figure)> = all
            .iter()
            .filter_map(|(name, figures)| {
                Some((*name, figures.iter().find(|figure| figure.name == of_first.name)?))
            })
            .collect();
        if beside.iter().all(|(_, figure)| figure.svg == of_first.svg) {
            same += &figure(of_first, None, &of_first.caption);
            continue;
        }
        let pictures: String = beside.iter().map(|(name, of)| figure(of, None, name)).collect();
        let caption = inline(&of_first.caption);
        body += &format!("<h3>{caption}</h3>\n<div class=\"beside\">\n{pictures}</div>\n");
    }
    if !same.is_empty() {
        body += &format!("<details>\n<summary>The same in all runs</summary>\n{same}</details>\n");
    }
    (!body.is_empty()).then(|| Chapter { title: "Figures".to_owned(), body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::runs;

    #[test]
    fn a_page_of_several_runs() {
        let page = Comparison::page(&runs()).unwrap();
        for text in [
            "<h1>3 runs side by side</h1>",
            "+1.25",
            "&lt;empty&gt;",
            "Metrics that changed",
            "<summary>All, 8 metrics</summary>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<empty>"));
        assert_eq!(page, Comparison::page(&runs()).unwrap());
    }
}
