//! `report.html`: a report as one page that needs nothing but itself.
//!
//! The verdict stands in its head; claims come first, then the sections by what they are about, the
//! metrics, how to repeat the run and how to cite it; what a report has not is not there. The page fetches nothing and says so to the browser; its
//! script toggles the theme and shows what a row of a macro holds, and without it everything is still
//! there to read. The same report gives the same bytes. Most of a page are the cells of macros,
//! 250 kB for LeNet-5 in one mapping.

mod cells;
mod comparison;
mod head;
mod markup;
mod picture;

use std::fmt::Write as _;

use self::markup::{escape, inline, table, text, verdict};
use crate::judged::{Column, JudgedClaim};
use crate::number::digits;
use crate::plot;
use crate::report::{Figure, Part, Report, Section};
use crate::table::Table;

/// A part of a page, with a heading and a place among the contents.
struct Chapter {
    title: String,
    /// Markup below the heading.
    body: String,
}

/// The page of a report, `report.html`, which needs nothing but itself.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut chapters = vec![claims(report)];
    let mut sections: Vec<&Section> = report.sections.iter().collect();
    sections.sort_by_key(|section| section.part);
    chapters.extend(sections.into_iter().map(section));
    chapters.extend(metrics(report));
    chapters.extend(repeat(report));
    let cited = head::cite(report);
    chapters.extend(cited.map(|body| Chapter { title: "How to cite".to_owned(), body }));
    document(report.title(), &head::head(report), &chapters)
}

/// The whole page: `head` is markup.
fn document(title: &str, head: &str, chapters: &[Chapter]) -> String {
    let title = escape(title);
    let mut contents = String::new();
    let mut main = String::new();
    for (Chapter { title, body }, id) in chapters.iter().zip(ids(chapters)) {
        let title = inline(title);
        let _ = writeln!(contents, "<li><a href=\"#{id}\">{title}</a></li>");
        let _ = writeln!(
            main,
            "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{title} \
             <a class=\"permalink\" href=\"#{id}\" aria-label=\"Link to this section\">#</a></h2>\n{body}</section>"
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"hafnia\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the report</a>\n\
         <header>\n<button id=\"theme\" type=\"button\" aria-pressed=\"false\" hidden>Dark theme</button>\n\
         <div>\n<h1>{title}</h1>\n{head}</div>\n</header>\n\
         <nav aria-label=\"Contents\">\n<ol>\n{contents}</ol>\n</nav>\n\
         <main id=\"main\" tabindex=\"-1\">\n{main}</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The ids of chapters, which do not hang on their order: a title in small letters and digits, and a
/// number for the second of the same title and those after it.
fn ids(chapters: &[Chapter]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for Chapter { title, .. } in chapters {
        let words = title.to_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let id = words.join("-");
        let numbered = (2..).map(|number| format!("{id}-{number}"));
        let free = std::iter::once(id.clone()).chain(numbered).find(|id| !ids.contains(id));
        ids.push(free.expect("numbers do not end"));
    }
    ids
}

fn claims(report: &Report) -> Chapter {
    let table = report.verdict_table();
    let mut body = String::from(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Claims\">\n<table class=\"claims\" role=\"table\">\n\
         <caption class=\"unseen\">What the paper claims, and what this run found</caption>\n<thead role=\"rowgroup\">\n<tr role=\"row\">",
    );
    for name in table.header() {
        let _ = write!(body, "<th scope=\"col\" role=\"columnheader\">{}</th>", escape(name));
    }
    body += "</tr>\n</thead>\n<tbody role=\"rowgroup\">\n";
    for claim in report.claims() {
        let _ = write!(
            body,
            "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\"><b>{}</b> {}</th>{}",
            escape(&claim.id),
            escape(&claim.what()),
            cell("paper", &escape(&claim.paper_cell()))
        );
        for column in Column::ALL {
            let found = claim.answer(column).map(|answer| verdict(answer.verdict));
            body += &cell(column.name(), &inline(&claim.answer_cell(column)));
            body += &cell("verdict", &found.unwrap_or("–".to_owned()));
        }
        body += "</tr>\n";
    }
    body +=
        "</tbody>\n</table>\n</div>\n<details>\n<summary>How each claim was read</summary>\n<dl>\n";
    let mut read: Vec<&JudgedClaim> = report.claims().iter().collect();
    read.dedup_by_key(|claim| &claim.id);
    for claim in read {
        let _ = writeln!(
            body,
            "<dt>{} {}</dt>\n<dd>{}</dd>",
            escape(&claim.id),
            escape(&claim.title),
            inline(&claim.note)
        );
    }
    body += "</dl>\n</details>\n";
    Chapter { title: "Claims".to_owned(), body }
}

/// A cell of the table of claims. In a narrow window its heading stands beside it, as each row is a
/// block there: hence the roles, which such a layout would take away.
fn cell(heading: &str, markup: &str) -> String {
    format!("<td role=\"cell\" data-heading=\"{heading}\">{markup}</td>")
}

fn section(section: &Section) -> Chapter {
    let Section { title, text: words, tables, figures, maps, .. } = section;
    let pictures: String =
        figures.iter().map(|of| self::figure(of, Some(&of.name), &of.caption)).collect();
    // What to build is seen before it is looked up.
    let (first, last) = match section.part {
        Part::Build => (pictures, String::new()),
        _ => (String::new(), pictures),
    };
    let mut body = text(words) + &first;
    for (index, given) in tables.iter().enumerate() {
        let name = match index {
            0 => title.clone(),
            _ => format!("{title}, table {}", index + 1),
        };
        body += &table(&name, given);
    }
    body += &last;
    for map in maps {
        body += &cells::cells(map);
    }
    Chapter { title: title.clone(), body }
}

/// A plot, what is written below it, and links that keep it and its data; with an id if it has a name
/// that no other has.
fn figure(figure: &Figure, name: Option<&str>, caption: &str) -> String {
    let Figure { name: file, svg, caption: label } = figure;
    let id = name.map_or(String::new(), |name| format!(" id=\"figure-{}\"", escape(name)));
    let mut links = picture::download(&format!("{file}.svg"), "image/svg+xml", svg);
    if let Some(data) = plot::data(svg) {
        links += " ";
        links += &picture::download(&format!("{file}.csv"), "text/csv", &data);
    }
    format!(
        "<figure{id}>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n{}\n</div>\n\
         <figcaption>{} <span class=\"downloads\">{links}</span></figcaption>\n</figure>\n",
        escape(label),
        picture::picture(svg, label).trim_end(),
        inline(caption)
    )
}

fn metrics(report: &Report) -> Option<Chapter> {
    let mut found = Table::of(["metric", ">value"]);
    for (key, value) in report.metrics().iter() {
        found.row([format!("`{key}`"), digits(value)]);
    }
    let count = found.rows().len();
    (count > 0).then(|| Chapter {
        title: "All metrics".to_owned(),
        body: format!(
            "<details>\n<summary>{count} numbers of this run</summary>\n{}</details>\n",
            table("All metrics", &found)
        ),
    })
}

/// How to repeat the run.
fn repeat(report: &Report) -> Option<Chapter> {
    let mut body = String::new();
    if !report.manifest.is_empty() {
        let _ = writeln!(body, "<pre>{}</pre>", escape(&report.manifest.join("\n")));
    }
    if let Some(record) = &report.record {
        // `{:#}` of a JSON value is pretty JSON.
        let _ = writeln!(
            body,
            "<details>\n<summary>Configuration and digests (manifest.json)</summary>\n<pre>{}</pre>\n</details>",
            escape(&format!("{record:#}"))
        );
    }
    (!body.is_empty()).then(|| Chapter { title: "How to repeat this".to_owned(), body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellMap;
    use crate::layout::tests::layouts;
    use crate::report::tests::report;
    use crate::{Claims, Metrics, Scope};

    /// The small report with cells, and a title and cells of a table that are not markup.
    fn whole() -> Report {
        let mut report = report(Scope::default());
        let mut table = Table::of(["<i>"]);
        table.row(["</td><script>"]);
        report.sections.push(Section {
            part: Part::Mapping,
            title: "Cells & <b>".to_owned(),
            text: "Before, and <after>.".to_owned(),
            tables: vec![table],
            maps: vec![CellMap {
                name: "cells".to_owned(),
                caption: "Rows.".to_owned(),
                layouts: layouts(),
            }],
            ..Section::default()
        });
        report.record = Some(serde_json::json!({"config": "<x>"}));
        report
    }

    #[test]
    fn nothing_but_the_page_itself_is_markup_or_fetched() {
        let page = page(&whole());
        for text in ["<i>", "</td><script>", "<after>", "<b>", "<x>", "fc<3>"] {
            // `<b>` stands around the ids of claims, which are P1 to P3.
            let page = page.replace("<b>P", "");
            assert!(!page.contains(text), "{text}");
            assert!(page.contains(&escape(text)), "{text}");
        }
        // The one address that is not in the page is the paper's.
        let page = page.replace("href=\"https://doi.org/", "");
        for text in ["http://", "https://", "@import", "url("] {
            assert!(!page.contains(text), "{text}");
        }
        assert_eq!(page.matches("src=").count(), page.matches("src=\"data:").count());
        let page = super::page(&whole());
        assert_eq!(page, super::page(&whole()));
    }

    #[test]
    fn claims_come_first_and_sections_by_what_they_are_about() {
        let page = page(&whole());
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is there"));
        assert!(at("<h2 id=\"claims-heading\">") < at(">Cells &amp; &lt;b&gt; <a"));
        assert!(at(">Cells &amp; &lt;b&gt; <a") < at(">Noise <a"));
        assert!(at(">Noise <a") < at(">How to repeat this <a"));
        assert!(page.contains("<span class=\"verdict reproduced\">"));
    }

    #[test]
    fn ids_do_not_hang_on_the_order() {
        let chapter = |title: &str| Chapter { title: title.to_owned(), body: String::new() };
        let of = |titles: [&str; 3]| ids(&titles.map(chapter));
        assert_eq!(of(["A & b", "C, d", "C d"]), ["a-b", "c-d", "c-d-2"]);
        assert_eq!(of(["C, d", "A & b", "C d"]), ["c-d", "a-b", "c-d-2"]);
    }

    #[test]
    fn figures_and_their_data_can_be_kept() {
        let mut report = whole();
        let svg = crate::plot::scaling("n", &[crate::plot::Measured { size: 1.0, seconds: 2.0 }]);
        report.sections[0].figures[0].svg = svg.unwrap();
        let page = page(&report);
        assert!(page.contains("<figure id=\"figure-noise\">"));
        assert!(page.contains("<a download=\"noise.svg\" href=\"data:image/svg+xml,%3Csvg "));
        assert!(page.contains("<a download=\"noise.csv\" href=\"data:text/csv,series,n,"));
        assert!(page.contains("<title>measured, 1: 2</title>") && !page.contains("<metadata>"));
    }

    #[test]
    fn what_a_report_has_not_is_not_there() {
        let text = include_str!("../../../../docs/claims.toml");
        let claims = Claims::parse(text, "claims".as_ref()).unwrap();
        let report = Report::new("Bare", Scope::default(), &claims, Metrics::default()).unwrap();
        let page = page(&report);
        for text in
            ["All metrics", "How to repeat", "<figure", "class=\"notice\"", "class=\"cells\""]
        {
            assert!(!page.contains(text), "{text}");
        }
        assert_eq!(page.matches("<li><a href").count(), 2, "claims, and how to cite");
    }

    #[test]
    fn a_report_is_read_back_from_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let report = whole();
        for (name, bytes) in crate::files(&report) {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        std::fs::write(folder.path().join("manifest.json"), "{\"config\": \"<x>\"}").unwrap();
        let read = Report::open(folder.path()).unwrap();
        assert_eq!(read.sections, report.sections);
        assert_eq!(page(&read), page(&report));

        std::fs::write(folder.path().join("report.json"), "{}").unwrap();
        let error = Report::open(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("report.json is not a report"), "{error}");
        std::fs::remove_file(folder.path().join("report.json")).unwrap();
        let error = Report::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("holds no report.json: make one with `cargo xtask reproduce"),
            "{error}"
        );
    }
}
