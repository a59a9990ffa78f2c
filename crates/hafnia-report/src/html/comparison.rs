//! Several runs side by side as a page.

use super::markup::{escape, table};
use super::{Chapter, document, figure};
use crate::compare::Comparison;
use crate::error::ReportError;
use crate::report::{Figure, Report};

impl Comparison {
    /// The runs side by side on one page, as [`page`](super::page) makes one of a single run:
    /// claims, metrics, the figures that they have in common, and how to repeat each.
    ///
    /// # Errors
    /// As [`Comparison::of`].
    pub fn page(runs: &[(String, Report)]) -> Result<String, ReportError> {
        let compared = Self::of(runs)?;
        let mut chapters = vec![
            Chapter {
                title: "Claims".to_owned(),
                body: table("Claims of every run", &compared.claims_table()),
            },
            Chapter {
                title: "Metrics".to_owned(),
                body: table("Metrics of every run", &compared.metrics_table()),
            },
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

/// The figures of the first run, beside those of the same name in the others.
fn figures(runs: &[(String, Report)]) -> Option<Chapter> {
    let all = |report: &Report| -> Vec<Figure> {
        report.sections.iter().flat_map(|section| section.figures.clone()).collect()
    };
    let all: Vec<(&String, Vec<Figure>)> =
        runs.iter().map(|(name, report)| (name, all(report))).collect();
    let mut body = String::new();
    for of_first in &all[0].1 {
        body += &format!("<h3>{}</h3>\n<div class=\"beside\">\n", escape(&of_first.caption));
        for (name, figures) in &all {
            if let Some(same) = figures.iter().find(|same| same.name == of_first.name) {
                body += &figure(&same.svg, &format!("{name}: {}", same.caption), name);
            }
        }
        body += "</div>\n";
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
        for text in
            ["<h1>3 runs side by side</h1>", "+1.25", "&lt;empty&gt;", "Metrics of every run"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<empty>"));
        assert_eq!(page, Comparison::page(&runs()).unwrap());
    }
}
