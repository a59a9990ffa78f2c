//! A report as files.

use serde::Serialize;

use crate::html;
use crate::report::{Report, Scope};
use crate::table::Table;

/// The files of a report, each with its name, without a folder, and its content.
///
/// - `report.md`: everything but the metrics, to be read; figures are linked. The first line of a
///   report on the committed subset says so.
/// - `report.json`: `title`, `subset`, `quick`, `claims` (a list of objects, one per reading),
///   `metrics` (a flat map), `sections`, `manifest`.
/// - `metrics.csv`: one line per metric.
/// - `NAME.svg` for every figure, and `NAME.json` for every map of cells: a list of layouts.
/// - `report.html`: all of it on one page.
#[must_use]
pub fn files(report: &Report) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("report.md".to_owned(), markdown(report).into_bytes()),
        ("report.json".to_owned(), json(report, true)),
        ("metrics.csv".to_owned(), csv(report).into_bytes()),
    ];
    for section in &report.sections {
        let figures = section.figures.iter();
        files.extend(
            figures.map(|figure| (format!("{}.svg", figure.name), figure.svg.clone().into_bytes())),
        );
        let maps = section.maps.iter();
        files.extend(maps.map(|map| (format!("{}.json", map.name), json(&map.layouts, false))));
    }
    files.push(("report.html".to_owned(), html::page(report).into_bytes()));
    files
}

const SUBSET: &str =
    "**This report was made on the committed subset of MNIST: no claim is judged.**";
const QUICK: &str =
    "This was a quick run: less training, fewer chips, wider intervals; no claim is judged.";

fn markdown(report: &Report) -> String {
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
    blocks.join("\n\n") + "\n"
}

/// How each claim was read, a list item each.
fn notes(report: &Report) -> String {
    let mut claims: Vec<_> = report.claims().iter().collect();
    claims.dedup_by_key(|claim| &claim.id);
    claims.iter().map(|claim| format!("- {}: {}\n", claim.id, claim.note)).collect()
}

fn json(value: &impl Serialize, is_pretty: bool) -> Vec<u8> {
    let text = if is_pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut text =
        text.expect("reports and layouts are structs, strings and finite numbers, as JSON has");
    text.push(b'\n');
    text
}

fn csv(report: &Report) -> String {
    let mut table = Table::of(["metric", ">value"]);
    for (key, value) in report.metrics().iter() {
        table.row([key.to_owned(), value.to_string()]);
    }
    table.to_csv()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::report::tests::report;

    #[track_caller]
    fn check(name: &str, expected: Expect) {
        let files = files(&report(Scope::default()));
        let (_, bytes) = files.iter().find(|(file, _)| file == name).expect("the file");
        expected.assert_eq(std::str::from_utf8(bytes).unwrap());
    }

    #[test]
    fn markdown() {
        check(
            "report.md",
            expect![[r#"
                # Reproduction

                ## Claims

                | claim                                                   |      paper |                               like for like (95 % interval) | verdict        |     ours (95 % interval) | verdict    |
                | :------------------------------------------------------ | ---------: | ----------------------------------------------------------: | :------------- | -----------------------: | :--------- |
                | P1 MNIST accuracy, our training                         |    96.66 % |                                    97.50 % (97.18 to 97.79) | surpassed      | 99.00 % (98.78 to 99.18) | surpassed  |
                | P1 MNIST accuracy, integers throughout                  |    96.66 % |                                                           – | not judged     |                        – | –          |
                | P2 rows of the final layer saved                        |    45.24 % | 45.24 %, exact; accuracy cost 0.100 points (0.020 to 0.180) | reproduced     |                        – | not judged |
                | P3 noise impact removed by row order, share of the loss |      5.6 % |                                     12.25 % (4.50 to 19.00) | reproduced     |                        – | not judged |
                | P3 noise impact removed by row order, in points         | 5.6 points |                              0.030 points (-0.004 to 0.060) | not reproduced |                        – | not judged |

                - P1: The 10 000 test images, no analog noise. Networks like the paper's count a tie for the largest output as wrong, as the paper's figure does: mean over ten seeds with Student's t, by our own training and in integers throughout, as the paper trains. Ours is the one deployed network, first of equals, with Wilson's interval.
                - P2: The paper's area of -45.24 % is read as 46 physical of 84 logical rows; the count is exact, the rename table is not in it; net of the table is what is saved of the area of its cells and table, from 5 % to 95 % of the draws of what the cost model assumes. Networks like the paper's are trained freely and then merged to 46 rows; ours is trained with tied rows. The accuracy cost, over the networks with Student's t, must end below 0.3 points.
                - P3: Noise in the final layer, renamed rows, the found order against the natural one of the same rows, pooled over the networks. The paper's -5.6 % may be a share of the accuracy drop or percentage points of accuracy: each has its own operating point, chosen on validation images. The found order may take more conversion cycles, see reorder/like/cycles_ratio.

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
        let text = super::markdown(&report(Scope { subset: true, quick: true }));
        assert_eq!(text.lines().next(), Some(SUBSET));
        assert!(text.contains(QUICK));
        assert!(!text.contains("reproduced"));
    }

    #[test]
    fn json() {
        check(
            "report.json",
            expect![[r#"
                {
                  "title": "Reproduction",
                  "paper": {
                    "title": "Machine Learning Algorithm Co-Design for a 40 nm RRAM Analog Compute-in-Memory Accelerator",
                    "authors": [
                      "Weinstock",
                      "Tan",
                      "Li",
                      "Yu"
                    ],
                    "venue": "IEEE Opportunity Research Scholars Symposium (ORSS)",
                    "year": 2023,
                    "doi": "10.1109/ORSS58323.2023.10161812",
                    "known": "it is known here by its abstract and by its first author's public repository"
                  },
                  "subset": false,
                  "quick": false,
                  "claims": [
                    {
                      "id": "P1",
                      "title": "MNIST accuracy",
                      "note": "The 10 000 test images, no analog noise. Networks like the paper's count a tie for the largest output as wrong, as the paper's figure does: mean over ten seeds with Student's t, by our own training and in integers throughout, as the paper trains. Ours is the one deployed network, first of equals, with Wilson's interval.",
                      "reading": "our training",
                      "paper": 96.66,
                      "decimals": 2,
                      "unit": "%",
                      "like": {
                        "found": {
                          "value": 97.5,
                          "lo": 97.18,
                          "hi": 97.78999999999999
                        },
                        "bounded": null,
                        "verdict": "surpassed"
                      },
                      "ours": {
                        "found": {
                          "value": 99.0,
                          "lo": 98.78,
                          "hi": 99.18
                        },
                        "bounded": null,
                        "verdict": "surpassed"
                      },
                      "verdict": "not judged"
                    },
                    {
                      "id": "P1",
                      "title": "MNIST accuracy",
                      "note": "The 10 000 test images, no analog noise. Networks like the paper's count a tie for the largest output as wrong, as the paper's figure does: mean over ten seeds with Student's t, by our own training and in integers throughout, as the paper trains. Ours is the one deployed network, first of equals, with Wilson's interval.",
                      "reading": "integers throughout",
                      "paper": 96.66,
                      "decimals": 2,
                      "unit": "%",
                      "like": {
                        "found": null,
                        "bounded": null,
                        "verdict": "not judged"
                      },
                      "ours": null,
                      "verdict": "not judged"
                    },
                    {
                      "id": "P2",
                      "title": "rows of the final layer saved",
                      "note": "The paper's area of -45.24 % is read as 46 physical of 84 logical rows; the count is exact, the rename table is not in it; net of the table is what is saved of the area of its cells and table, from 5 % to 95 % of the draws of what the cost model assumes. Networks like the paper's are trained freely and then merged to 46 rows; ours is trained with tied rows. The accuracy cost, over the networks with Student's t, must end below 0.3 points.",
                      "reading": null,
                      "paper": 45.24,
                      "decimals": 2,
                      "unit": "%",
                      "like": {
                        "found": {
                          "value": 45.23809523809524,
                          "lo": 45.23809523809524,
                          "hi": 45.23809523809524
                        },
                        "bounded": {
                          "name": "accuracy cost",
                          "unit": "points",
                          "below": 0.3,
                          "found": {
                            "value": 0.1,
                            "lo": 0.02,
                            "hi": 0.18
                          }
                        },
                        "verdict": "reproduced"
                      },
                      "ours": {
                        "found": null,
                        "bounded": null,
                        "verdict": "not judged"
                      },
                      "verdict": "reproduced"
                    },
                    {
                      "id": "P3",
                      "title": "noise impact removed by row order",
                      "note": "Noise in the final layer, renamed rows, the found order against the natural one of the same rows, pooled over the networks. The paper's -5.6 % may be a share of the accuracy drop or percentage points of accuracy: each has its own operating point, chosen on validation images. The found order may take more conversion cycles, see reorder/like/cycles_ratio.",
                      "reading": "share of the loss",
                      "paper": 5.6,
                      "decimals": 1,
                      "unit": "%",
                      "like": {
                        "found": {
                          "value": 12.25,
                          "lo": 4.5,
                          "hi": 19.0
                        },
                        "bounded": null,
                        "verdict": "reproduced"
                      },
                      "ours": {
                        "found": null,
                        "bounded": null,
                        "verdict": "not judged"
                      },
                      "verdict": "unit ambiguous"
                    },
                    {
                      "id": "P3",
                      "title": "noise impact removed by row order",
                      "note": "Noise in the final layer, renamed rows, the found order against the natural one of the same rows, pooled over the networks. The paper's -5.6 % may be a share of the accuracy drop or percentage points of accuracy: each has its own operating point, chosen on validation images. The found order may take more conversion cycles, see reorder/like/cycles_ratio.",
                      "reading": "in points",
                      "paper": 5.6,
                      "decimals": 1,
                      "unit": "points",
                      "like": {
                        "found": {
                          "value": 0.03,
                          "lo": -0.004,
                          "hi": 0.06
                        },
                        "bounded": null,
                        "verdict": "not reproduced"
                      },
                      "ours": {
                        "found": null,
                        "bounded": null,
                        "verdict": "not judged"
                      },
                      "verdict": "unit ambiguous"
                    }
                  ],
                  "metrics": {
                    "accuracy/exact": 0.99,
                    "accuracy/exact_hi": 0.9918,
                    "accuracy/exact_lo": 0.9878,
                    "like/accuracy_ties_wrong": 0.975,
                    "like/accuracy_ties_wrong_hi": 0.9779,
                    "like/accuracy_ties_wrong_lo": 0.9718,
                    "rename/like/accuracy_cost_points": 0.1,
                    "rename/like/accuracy_cost_points_hi": 0.18,
                    "rename/like/accuracy_cost_points_lo": 0.02,
                    "rename/like/saving": 0.4523809523809524,
                    "reorder/like/reduction_points": 0.03,
                    "reorder/like/reduction_points_hi": 0.06,
                    "reorder/like/reduction_points_lo": -0.004,
                    "reorder/like/reduction_rel": 0.1225,
                    "reorder/like/reduction_rel_hi": 0.19,
                    "reorder/like/reduction_rel_lo": 0.045
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
            "metrics.csv",
            expect![[r#"
                metric,value
                accuracy/exact,0.99
                accuracy/exact_hi,0.9918
                accuracy/exact_lo,0.9878
                like/accuracy_ties_wrong,0.975
                like/accuracy_ties_wrong_hi,0.9779
                like/accuracy_ties_wrong_lo,0.9718
                rename/like/accuracy_cost_points,0.1
                rename/like/accuracy_cost_points_hi,0.18
                rename/like/accuracy_cost_points_lo,0.02
                rename/like/saving,0.4523809523809524
                reorder/like/reduction_points,0.03
                reorder/like/reduction_points_hi,0.06
                reorder/like/reduction_points_lo,-0.004
                reorder/like/reduction_rel,0.1225
                reorder/like/reduction_rel_hi,0.19
                reorder/like/reduction_rel_lo,0.045
            "#]],
        );
    }

    #[test]
    fn svg() {
        check("noise.svg", expect!["<svg/>"]);
    }
}
