//! Text and tables as HTML.

use std::fmt::Write as _;

use crate::number::set;
use crate::table::{Align, Table};
use crate::verdict::Verdict;

/// Text with what HTML would take for its own replaced, for elements and attributes alike.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // What no page may hold, even escaped.
            c if c.is_control() && !c.is_whitespace() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A line of Markdown, of which only code spans are known.
pub(super) fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // A single accent, without one that closes, is just that.
    let closed = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let mut html = String::new();
    for (index, part) in parts.iter().enumerate() {
        let is_code = index < closed && index % 2 == 1;
        let escaped = if is_code { escape(part) } else { escape(&set(part)) };
        match index {
            _ if index >= closed => html += &format!("`{escaped}"),
            _ if is_code => html += &format!("<code>{escaped}</code>"),
            _ => html += &escaped,
        }
    }
    html
}

/// Markdown as the sections have it: paragraphs, and lists whose items begin with `- `.
pub(super) fn text(markdown: &str) -> String {
    let mut html = String::new();
    for block in markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.peek() {
            let is_item = line.starts_with("- ");
            let mut run = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with("- ") == is_item) {
                run.push(inline(line.strip_prefix("- ").unwrap_or(line)));
            }
            html += &match is_item {
                true => format!("<ul>\n<li>{}</li>\n</ul>\n", run.join("</li>\n<li>")),
                false => format!("<p>{}</p>\n", run.join("\n")),
            };
        }
    }
    html
}

/// A table by this name, which is read out and not seen; the first cell of a row names it, and every
/// number has its interval in its own cell.
pub(super) fn table(name: &str, table: &Table) -> String {
    let table = table.joined();
    let class = |align: &Align| match align {
        Align::Left => "",
        Align::Right => " class=\"number\"",
    };
    let mut html = format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n\
         <caption class=\"unseen\">{0}</caption>\n<thead>\n<tr>",
        escape(name)
    );
    for (cell, align) in table.header().iter().zip(table.align()) {
        let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(align), inline(cell));
    }
    html += "</tr>\n</thead>\n<tbody>\n";
    for row in table.rows() {
        html += "<tr>";
        for (column, (cell, align)) in row.iter().zip(table.align()).enumerate() {
            let (class, cell) = (class(align), inline(cell));
            let _ = match column {
                0 => write!(html, "<th scope=\"row\"{class}>{cell}</th>"),
                _ => write!(html, "<td{class}>{cell}</td>"),
            };
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table>\n</div>\n"
}

/// A verdict: its word, and a sign that does not hang on colour.
pub(super) fn verdict(verdict: Verdict) -> String {
    let sign = match verdict {
        Verdict::Surpassed => "▲",
        Verdict::Reproduced => "✓",
        Verdict::NotReproduced => "✕",
        Verdict::UnitAmbiguous => "≈",
        Verdict::NotJudged => "○",
    };
    let word = verdict.to_string();
    let class = word.replace(' ', "-");
    format!("<span class=\"verdict {class}\"><span aria-hidden=\"true\">{sign}</span>{word}</span>")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escape("<a href=\"x\">'&\0"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{fffd}");
    }

    #[test]
    fn code_spans() {
        assert_eq!(inline("by `a<b>`, `c`"), "by <code>a&lt;b&gt;</code>, <code>c</code>");
        assert_eq!(inline("one ` is <none>"), "one ` is &lt;none&gt;");
        assert_eq!(inline("`a` and `b"), "<code>a</code> and `b");
    }

    #[test]
    fn paragraphs_and_lists() {
        expect![[r#"
            <p>One.
            Two.</p>
            <ul>
            <li>a</li>
            <li>b</li>
            </ul>
            <p>Three.</p>
        "#]]
        .assert_eq(&text("One.\nTwo.\n- a\n- b\n\nThree.\n"));
    }

    #[test]
    fn tables() {
        let mut given = Table::new([("layer", Align::Left), ("σ, %", Align::Right)]);
        given.row(["`fc3`", "<5"]);
        expect![[r#"
            <div class="wide" tabindex="0" role="region" aria-label="Rows &amp; cells">
            <table>
            <caption class="unseen">Rows &amp; cells</caption>
            <thead>
            <tr><th scope="col">layer</th><th scope="col" class="number">σ, %</th></tr>
            </thead>
            <tbody>
            <tr><th scope="row"><code>fc3</code></th><td class="number">&lt;5</td></tr>
            </tbody>
            </table>
            </div>
        "#]]
        .assert_eq(&table("Rows & cells", &given));
    }
}
