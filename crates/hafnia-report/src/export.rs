//! A report as files.

use crate::{Align, Html, Report, Scope, Table};

/// Turns a report into files. To add a format, implement this and add it to [`exporters`].
pub trait Exporter {
    /// Short name of the format, such as `markdown`.
    fn name(&self) -> &'static str;

    /// The files: name, without folder, and content.
    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)>;
}

/// Every exporter there is.
#[must_use]
pub fn exporters() -> [&'static dyn Exporter; 6] {
    [&Markdown, &Json, &Csv, &Svg, &Cells, &Html]
}

/// `report.md`: everything but the metrics, to be read.
///
/// The first line of a report made on the subset says so. Figures are linked.
#[derive(Debug, Clone, Copy)]
pub struct Markdown;

/// `report.json`: `title`, `subset`, `quick`, `claims` (a list of objects, one per reading),
/// `metrics` (a flat map), `sections`, `manifest`.
#[derive(Debug, Clone, Copy)]
pub struct Json;

/// `metrics.csv`: a line per metric.
#[derive(Debug, Clone, Copy)]
pub struct Csv;

/// The figures, each in `NAME.svg`.
#[derive(Debug, Clone, Copy)]
pub struct Svg;

/// The cells of mappings, each map in `NAME.json`: a list of layouts.
#[derive(Debug, Clone, Copy)]
pub struct Cells;

const SUBSET: &str =
    "**This report was made on the committed subset of MNIST: no claim is judged.**";
const QUICK: &str =
    "This was a quick run: less training, fewer chips, wider intervals; no claim is judged.";

impl Exporter for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)> {
        let Scope { subset, quick } = report.scope();
        let mut blocks = Vec::new();
        if subset {
            blocks.push(SUBSET.to_owned());
        }
        blocks.push(format!("# {}", report.title()));
        if quick {
            blocks.push(QUICK.to_owned());
        }
        blocks.push("## Claims".to_owned());
        blocks.push(report.verdict_table().to_markdown());
        blocks.push(notes(report));
        for section in &report.sections {
            blocks.push(format!("## {}", section.title));
            blocks.push(section.text.clone());
            blocks.extend(section.tables.iter().map(Table::to_markdown));
            for figure in &section.figures {
                blocks.push(format!("![{}]({}.svg)", figure.caption, figure.name));
                blocks.push(format!("*{}*", figure.caption));
            }
        }
        if !report.manifest.is_empty() {
            blocks.push("## Manifest".to_owned());
            blocks.push(format!("```text\n{}\n```", report.manifest.join("\n")));
        }
        let blocks: Vec<&str> =
            blocks.iter().map(|block| block.trim()).filter(|block| !block.is_empty()).collect();
        vec![("report.md".to_owned(), (blocks.join("\n\n") + "\n").into_bytes())]
    }
}

/// How each claim was read, a list item each.
fn notes(report: &Report) -> String {
    let mut claims: Vec<_> = report.claims().iter().collect();
    claims.dedup_by_key(|claim| &claim.id);
    claims.iter().map(|claim| format!("- {}: {}\n", claim.id, claim.note)).collect()
}

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)> {
        let mut text = serde_json::to_vec_pretty(report)
            .expect("a report is structs, strings and finite numbers, which JSON can hold");
        text.push(b'\n');
        vec![("report.json".to_owned(), text)]
    }
}

impl Exporter for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }

    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)> {
        let maps = report.sections.iter().flat_map(|section| &section.maps);
        let file = |map: &crate::CellMap| {
            let mut text = serde_json::to_vec(&map.layouts)
                .expect("layouts are structs, strings and numbers, which JSON can hold");
            text.push(b'\n');
            (format!("{}.json", map.name), text)
        };
        maps.map(file).collect()
    }
}

impl Exporter for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)> {
        let mut table = Table::new([("metric", Align::Left), ("value", Align::Right)]);
        for (key, value) in report.metrics().iter() {
            table.row([key.to_owned(), value.to_string()]);
        }
        vec![("metrics.csv".to_owned(), table.to_csv().into_bytes())]
    }
}

impl Exporter for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn export(&self, report: &Report) -> Vec<(String, Vec<u8>)> {
        let figures = report.sections.iter().flat_map(|section| &section.figures);
        figures
            .map(|figure| (format!("{}.svg", figure.name), figure.svg.clone().into_bytes()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::report::tests::report;

    #[track_caller]
    fn check(exporter: &dyn Exporter, scope: Scope, name: &str, expected: Expect) {
        let files = exporter.export(&report(scope));
        let [(file, bytes)] = &files[..] else { panic!("one file expected") };
        assert_eq!(file, name);
        expected.assert_eq(std::str::from_utf8(bytes).unwrap());
    }

    #[test]
    fn markdown() {
        check(
            &Markdown,
            Scope::default(),
            "report.md",
            expect![[r#"
                # Reproduction

                ## Claims

                | claim                              |      paper |         ours |   95 % interval | verdict                               |
                | :--------------------------------- | ---------: | -----------: | --------------: | :------------------------------------ |
                | P1 LeNet-5 test accuracy           |    96.66 % |      97.50 % |  [97.18, 97.79] | surpassed                             |
                | P2 final layer rows saved          |    45.24 % |      45.24 % |           exact | reproduced                            |
                | P3 noise impact removed (relative) |      5.6 % |      12.25 % |   [4.50, 19.00] | unit ambiguous (here: reproduced)     |
                | P3 noise impact removed (points)   | 5.6 points | 0.030 points | [-0.004, 0.060] | unit ambiguous (here: not reproduced) |

                - P1: 1-bit weights and 2-bit activations on the MNIST test set, 10 000 images, no analog noise; Wilson interval of the one deployed network.
                - P2: Row rename; the paper's area of -45.24 % is read as 46 physical of 84 logical rows; our count is exact and follows from the recipe's number of row patterns; the rename table is not in it, and what it costs in accuracy is the metric rename/final/accuracy_cost_points.
                - P3: Row reorder, noise in the final layer; the paper's -5.6 % may be a relative cut of the accuracy drop or percentage points of accuracy; both are judged, against the natural order at the operating point, for one network and one search; the found order may take up to a quarter more conversion cycles, see reorder/final/cycles_ratio.

                ## Noise

                The natural order, on 50 chips.

                | setting                    | drop, points |
                | :------------------------- | -----------: |
                | σ_LRS 5 %, offset 0.10 LSB |         0.01 |

                ![Accuracy over noise.](noise.svg)

                *Accuracy over noise.*

                ## Manifest

                ```text
                hafnia 0.1.0
                seed 1
                ```
            "#]],
        );
    }

    #[test]
    fn the_first_line_names_the_subset() {
        let files = Markdown.export(&report(Scope { subset: true, quick: true }));
        let text = std::str::from_utf8(&files[0].1).unwrap();
        assert_eq!(text.lines().next(), Some(SUBSET));
        assert!(text.contains(QUICK));
        assert!(!text.contains("reproduced"));
    }

    #[test]
    fn json() {
        check(
            &Json,
            Scope::default(),
            "report.json",
            expect![[r#"
                {
                  "title": "Reproduction",
                  "subset": false,
                  "quick": false,
                  "claims": [
                    {
                      "id": "P1",
                      "title": "LeNet-5 test accuracy",
                      "note": "1-bit weights and 2-bit activations on the MNIST test set, 10 000 images, no analog noise; Wilson interval of the one deployed network.",
                      "reading": null,
                      "paper": 96.66,
                      "ours": 97.5,
                      "lo": 97.18,
                      "hi": 97.78999999999999,
                      "unit": "%",
                      "verdict": "surpassed",
                      "reading_verdict": "surpassed",
                      "decimals": 2
                    },
                    {
                      "id": "P2",
                      "title": "final layer rows saved",
                      "note": "Row rename; the paper's area of -45.24 % is read as 46 physical of 84 logical rows; our count is exact and follows from the recipe's number of row patterns; the rename table is not in it, and what it costs in accuracy is the metric rename/final/accuracy_cost_points.",
                      "reading": null,
                      "paper": 45.24,
                      "ours": 45.23809523809524,
                      "lo": 45.23809523809524,
                      "hi": 45.23809523809524,
                      "unit": "%",
                      "verdict": "reproduced",
                      "reading_verdict": "reproduced",
                      "decimals": 2
                    },
                    {
                      "id": "P3",
                      "title": "noise impact removed",
                      "note": "Row reorder, noise in the final layer; the paper's -5.6 % may be a relative cut of the accuracy drop or percentage points of accuracy; both are judged, against the natural order at the operating point, for one network and one search; the found order may take up to a quarter more conversion cycles, see reorder/final/cycles_ratio.",
                      "reading": "relative",
                      "paper": 5.6,
                      "ours": 12.25,
                      "lo": 4.5,
                      "hi": 19.0,
                      "unit": "%",
                      "verdict": "unit ambiguous",
                      "reading_verdict": "reproduced",
                      "decimals": 1
                    },
                    {
                      "id": "P3",
                      "title": "noise impact removed",
                      "note": "Row reorder, noise in the final layer; the paper's -5.6 % may be a relative cut of the accuracy drop or percentage points of accuracy; both are judged, against the natural order at the operating point, for one network and one search; the found order may take up to a quarter more conversion cycles, see reorder/final/cycles_ratio.",
                      "reading": "points",
                      "paper": 5.6,
                      "ours": 0.03,
                      "lo": -0.004,
                      "hi": 0.06,
                      "unit": "points",
                      "verdict": "unit ambiguous",
                      "reading_verdict": "not reproduced",
                      "decimals": 1
                    }
                  ],
                  "metrics": {
                    "accuracy/exact": 0.975,
                    "accuracy/exact_hi": 0.9779,
                    "accuracy/exact_lo": 0.9718,
                    "rename/final/saving": 0.4523809523809524,
                    "reorder/final/reduction_points": 0.03,
                    "reorder/final/reduction_points_hi": 0.06,
                    "reorder/final/reduction_points_lo": -0.004,
                    "reorder/final/reduction_rel": 0.1225,
                    "reorder/final/reduction_rel_hi": 0.19,
                    "reorder/final/reduction_rel_lo": 0.045
                  },
                  "sections": [
                    {
                      "title": "Noise",
                      "text": "The natural order, on 50 chips.",
                      "tables": [
                        {
                          "header": [
                            "setting",
                            "drop, points"
                          ],
                          "align": [
                            "left",
                            "right"
                          ],
                          "rows": [
                            [
                              "σ_LRS 5 %, offset 0.10 LSB",
                              "0.01"
                            ]
                          ]
                        }
                      ],
                      "figures": [
                        {
                          "name": "noise",
                          "caption": "Accuracy over noise."
                        }
                      ]
                    }
                  ],
                  "manifest": [
                    "hafnia 0.1.0",
                    "seed 1"
                  ]
                }
            "#]],
        );
    }

    #[test]
    fn csv() {
        check(
            &Csv,
            Scope::default(),
            "metrics.csv",
            expect![[r#"
                metric,value
                accuracy/exact,0.975
                accuracy/exact_hi,0.9779
                accuracy/exact_lo,0.9718
                rename/final/saving,0.4523809523809524
                reorder/final/reduction_points,0.03
                reorder/final/reduction_points_hi,0.06
                reorder/final/reduction_points_lo,-0.004
                reorder/final/reduction_rel,0.1225
                reorder/final/reduction_rel_hi,0.19
                reorder/final/reduction_rel_lo,0.045
            "#]],
        );
    }

    #[test]
    fn svg() {
        check(&Svg, Scope::default(), "noise.svg", expect!["<svg/>"]);
    }

    #[test]
    fn names_differ() {
        assert_eq!(
            exporters().map(|e| e.name()),
            ["markdown", "json", "csv", "svg", "cells", "html"]
        );
    }
}
