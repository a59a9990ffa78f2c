//! A plot inside a page: its colours follow the page's theme, and it cannot do anything but be seen.
//!
//! Only elements and attributes that plots are made of are let through. A picture with anything else
//! becomes an image of itself, in which nothing runs and nothing is fetched, and whose colours stay.

use std::fmt::Write as _;

use super::markup::escape;
use crate::number::set;

const ELEMENTS: &[&str] = &[
    "svg", "g", "rect", "line", "polyline", "polygon", "path", "circle", "ellipse", "text", "tspan",
];

const ATTRIBUTES: &[&str] = &[
    "cx",
    "cy",
    "d",
    "dx",
    "dy",
    "fill",
    "fill-opacity",
    "font-family",
    "font-size",
    "font-weight",
    "height",
    "opacity",
    "points",
    "r",
    "rx",
    "ry",
    "stroke",
    "stroke-dasharray",
    "stroke-linejoin",
    "stroke-opacity",
    "stroke-width",
    "text-anchor",
    "transform",
    "viewBox",
    "width",
    "x",
    "x1",
    "x2",
    "xmlns",
    "y",
    "y1",
    "y2",
];

/// The colours of plots, and what the page calls them.
const COLOURS: &[(&str, &str)] = &[
    ("#FFFFFF", "--paper"),
    ("#000000", "--ink"),
    ("#222222", "--ink"),
    ("#888888", "--grey"),
    ("#E4E4E4", "--grid"),
    ("#0072B2", "--p0"),
    ("#D55E00", "--p1"),
    ("#009E73", "--p2"),
    ("#E69F00", "--p3"),
    ("#CC79A7", "--p4"),
    ("#56B4E9", "--p5"),
];

/// What a plot says of its points where it is pointed at, and the table of them, which is no part of the
/// picture.
const TITLE: &str = "title";
const TABLE: &str = "metadata";

/// What is so without being said: attributes with these values are left out.
const DEFAULTS: &[(&str, &str)] =
    &[("opacity", "1"), ("stroke", "none"), ("stroke-width", "1"), ("text-anchor", "start")];

/// The picture as an element with this name.
pub(super) fn picture(svg: &str, name: &str) -> String {
    let name = escape(name);
    themed(svg, &name).unwrap_or_else(|| {
        let data = encoded(svg);
        format!("<img alt=\"{name}\" src=\"data:image/svg+xml,{data}\">")
    })
}

/// A link that keeps a file of this name and type, which is in the link itself.
pub(super) fn download(name: &str, kind: &str, content: &str) -> String {
    let (file, data) = (escape(name), encoded(content));
    let label = name.rsplit('.').next().unwrap_or(name).to_uppercase();
    format!(
        "<a download=\"{file}\" href=\"data:{kind},{data}\" aria-label=\"Download {file}\">{label}</a>"
    )
}

/// Text as a part of an address, and of an attribute.
fn encoded(text: &str) -> String {
    // Quotes of markup may be of either kind, and one of them is a byte as it is.
    let swapped = (!text.contains('\'') && text.starts_with('<')).then(|| text.replace('"', "'"));
    let mut encoded = String::with_capacity(text.len() + text.len() / 4);
    for byte in swapped.as_deref().unwrap_or(text).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b' ' | b'-' | b'_' | b'.' | b',' | b';' | b'=' | b'/' | b'(' | b')' | b'\'' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// The picture in the colours of the page; nothing if it is not one that plots are made of.
fn themed(svg: &str, name: &str) -> Option<String> {
    let mut html = String::with_capacity(svg.len());
    let mut open = Vec::new();
    let mut rest = svg.trim();
    let mut is_first = true;
    while let Some(tag) = rest.strip_prefix('<') {
        let (inside, after) = tag.split_once('>')?;
        if inside == TABLE {
            rest = after.split_once("</metadata>")?.1.trim_start();
            continue;
        }
        if let Some(element) = inside.strip_prefix('/') {
            if open.pop()? != element.trim() {
                return None;
            }
            let _ = write!(html, "</{}>", element.trim());
        } else {
            let (inside, is_closed) =
                inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
            let (element, attributes) =
                inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
            if !(ELEMENTS.contains(&element) || element == TITLE) || (element == "svg") != is_first
            {
                return None;
            }
            html += "<";
            html += element;
            if is_first {
                let _ = write!(html, " role=\"img\" aria-label=\"{name}\"");
            }
            push_attributes(&mut html, attributes, is_first)?;
            html += if is_closed { "/>" } else { ">" };
            if !is_closed {
                open.push(element);
            }
        }
        is_first = false;
        let (content, next) = after.split_at(after.find('<').unwrap_or(after.len()));
        let is_text = matches!(open.last(), Some(&("text" | TITLE)));
        if !content.trim().is_empty() && !is_text {
            return None;
        }
        match is_text {
            true => html += &set(content.trim()),
            false => html.push('\n'),
        }
        rest = next;
    }
    (rest.is_empty() && open.is_empty() && !is_first).then_some(html)
}

/// Copies attributes; nothing if there is one that no plot has.
fn push_attributes(html: &mut String, mut attributes: &str, is_root: bool) -> Option<()> {
    loop {
        attributes = attributes.trim_start();
        if attributes.is_empty() {
            return Some(());
        }
        let (key, value) = attributes.split_once("=\"")?;
        let (value, next) = value.split_once('"')?;
        attributes = next;
        if !ATTRIBUTES.contains(&key)
            || value.contains(['<', '&'])
            || value.contains('(') && key != "transform"
        {
            return None;
        }
        // The page sets fonts; the root takes its size from where it stands.
        let is_set = match key {
            "font-family" | "xmlns" => true,
            "width" | "height" => is_root,
            _ => DEFAULTS.contains(&(key, value)),
        };
        if is_set {
            continue;
        }
        let value = value.trim();
        let colour = COLOURS.iter().find(|(colour, _)| *colour == value);
        let _ = match (key, colour) {
            ("fill" | "stroke", Some((_, name))) => write!(html, " {key}=\"var({name})\""),
            // The back end gives 17 digits of it.
            ("font-size", _) => {
                let size: f64 = value.parse().ok()?;
                write!(html, " {key}=\"{}\"", (100.0 * size).round() / 100.0)
            }
            _ => write!(html, " {key}=\"{value}\""),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{CurvePoint, CurveRun, training_curve};

    #[track_caller]
    fn check(svg: &str, expected: &str) {
        assert_eq!(picture(svg, "a \"b\""), expected);
    }

    #[test]
    fn colours_follow_the_theme() {
        check(
            "<svg width=\"9\" height=\"8\" viewBox=\"0 0 9 8\" xmlns=\"x\">\n\
             <rect x=\"0\" opacity=\"1\" fill=\"#FFFFFF\" stroke=\"none\"/>\n\
             <text font-family=\"A\" font-size=\"13.000000000000002\" fill=\"#222222\">\na &lt; b\n</text>\n</svg>\n",
            "<svg role=\"img\" aria-label=\"a &quot;b&quot;\" viewBox=\"0 0 9 8\">\n\
             <rect x=\"0\" fill=\"var(--paper)\"/>\n\
             <text font-size=\"13\" fill=\"var(--ink)\">a &lt; b</text>\n</svg>\n",
        );
    }

    #[test]
    fn plots_go_in_as_they_are() {
        let point = CurvePoint { epoch: 1, loss: 0.5, validation_accuracy_pct: 98.0 };
        let run = CurveRun { label: "<a> & 'b'".into(), points: vec![point] };
        let svg = picture(&training_curve(&[run]).unwrap(), "curve");
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"curve\""), "{svg}");
        assert!(!svg.contains('#'), "a colour that no theme knows");
    }

    #[test]
    fn a_download_is_what_was_given() {
        let svg = "<svg a=\"http://x\">a & b %\n</svg>";
        assert_eq!(
            download("a.svg", "image/svg+xml", svg),
            "<a download=\"a.svg\" href=\"data:image/svg+xml,%3Csvg a='http%3A//x'%3Ea %26 b %25%0A%3C/svg%3E\" aria-label=\"Download a.svg\">SVG</a>"
        );
        let csv = download("a.csv", "text/csv", "it's,\"x\"\n");
        assert!(csv.contains("href=\"data:text/csv,it's,%22x%22%0A\""), "{csv}");
    }

    #[test]
    fn anything_else_is_an_image_in_which_nothing_runs() {
        for svg in [
            "<svg><script>alert(1)</script></svg>",
            "<svg><rect onclick=\"x\"/></svg>",
            "<svg><rect fill=\"url(http://x)\"/></svg>",
            "<svg><rect fill=\"url&#40;http://x)\"/></svg>",
            "<svg><a href=\"x\"></a></svg>",
            "<svg></svg><svg></svg>",
            "<svg><g></svg></g>",
            "<svg>",
            "<svg><g/>text</svg>",
            "<rect/>",
            "<svg><!-- x --></svg>",
            "",
        ] {
            let image = picture(svg, "x");
            assert!(image.starts_with("<img alt=\"x\" src=\"data:image/svg+xml,"), "{svg}");
            let data = image.split_once(',').unwrap().1.trim_end_matches("\">");
            assert!(!data.contains(['<', '>', '"', '#', '&', '\n']), "{data}");
        }
    }
}
