//! The keys of recipes and sweeps in Markdown, from the source of the types that files are read into:
//! what a doc comment says of a field is what it means, and its attributes say whether it must be given.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, bail};
use syn::{Attribute, Field, Fields, GenericArgument, Item, PathArguments, Type};

use crate::workspace::root;

/// Types of a source file, each with the table or key of the file that it is read from.
pub(super) struct Keys {
    pub(super) source: &'static str,
    pub(super) types: &'static [(&'static str, &'static str)],
}

pub(super) const RECIPES: Keys = Keys {
    source: "crates/hafnia-train/src/config.rs",
    types: &[
        ("TrainConfig", "A recipe"),
        ("InputConfig", "`[input]`"),
        ("LayerConfig", "`[[layer]]`"),
        ("Tie", "`tie` of a layer"),
        ("Loss", "`[loss]`"),
        ("Optimiser", "`[optimiser]`"),
        ("Augmentation", "`[augmentation]`"),
        ("Teacher", "`[teacher]`"),
        ("Noise", "`[noise]`"),
        ("Backend", "`backend`"),
    ],
};

pub(super) const SWEEPS: Keys = Keys {
    source: "crates/hafnia-study/src/sweep/config.rs",
    types: &[
        ("Sweep", "A sweep"),
        ("Range", "A range as an axis"),
        ("Scale", "`scale` of a range"),
        ("Sampling", "`[sample]`"),
        ("Method", "`method` of a sample"),
    ],
};

impl Keys {
    /// A section with a table per type.
    pub(super) fn to_markdown(&self) -> anyhow::Result<String> {
        let text = fs::read_to_string(root().join(self.source)).context(self.source)?;
        let file = syn::parse_file(&text).context(self.source)?;
        let mut sections = Vec::new();
        for &(name, title) in self.types {
            let item = file.items.iter().find(|item| match item {
                Item::Struct(of) => of.ident == name,
                Item::Enum(of) => of.ident == name,
                _ => false,
            });
            let (rows, heads) = match item {
                Some(Item::Struct(of)) => {
                    let is_defaulted = has_default(&of.attrs);
                    let field =
                        |field| Self::row(field, is_defaulted.then_some(name), (&text, &file));
                    let rows: anyhow::Result<Vec<_>> = of.fields.iter().map(field).collect();
                    (rows?, "| key | is | default | meaning |\n| :-- | :-- | :-- | :-- |\n")
                }
                Some(Item::Enum(of)) => {
                    let is_tagged = text_of(&of.attrs, "tag").is_some();
                    let case = text_of(&of.attrs, "rename_all").unwrap_or_default();
                    let mut rows = Vec::new();
                    for variant in &of.variants {
                        let value = cased(&variant.ident.to_string(), &case);
                        let key = if is_tagged { "kind = " } else { "" };
                        let meaning = documentation(&variant.attrs);
                        rows.push(format!("| `{key}\"{value}\"` | | | {meaning} |"));
                        if let Fields::Named(fields) = &variant.fields {
                            for field in &fields.named {
                                rows.push(Self::row(field, None, (&text, &file))?);
                            }
                        }
                    }
                    (
                        rows,
                        "| value, and its keys | is | default | meaning |\n| :-- | :-- | :-- | :-- |\n",
                    )
                }
                _ => bail!("{} has no type `{name}`", self.source),
            };
            sections.push(format!("### {title}\n\n{heads}{}\n", rows.join("\n")));
        }
        Ok(sections.join("\n"))
    }

    /// The row of a field; `of` is the type whose `Default` fills it in, if one does.
    fn row(
        field: &Field,
        of: Option<&str>,
        (text, file): (&str, &syn::File),
    ) -> anyhow::Result<String> {
        let name = field.ident.as_ref().context("a field with a name")?.to_string();
        let (is, is_option) = described(&field.ty);
        let default = match (of, default_function(&field.attrs)) {
            (Some(of), _) => default_of(text, of, &name)?,
            (None, Some(function)) => body(text, &function)?,
            (None, None) if is_option => "None".to_owned(),
            (None, None) if has_default(&field.attrs) => usual(&is, &field.ty, file),
            (None, None) => "must be given".to_owned(),
        };
        let default = match &*default {
            "" | "None" => "none".to_owned(),
            "must be given" => default,
            _ => toml_of(&default, is == "table"),
        };
        let meaning = documentation(&field.attrs).replace('|', "\\|");
        Ok(format!("| `{name}` | {is} | {default} | {meaning} |"))
    }
}

/// What a value is in TOML, and whether it may be missing.
fn described(of: &Type) -> (String, bool) {
    let Type::Path(path) = of else {
        return match of {
            Type::Array(array) => (format!("list of {}s", described(&array.elem).0), false),
            _ => ("value".to_owned(), false),
        };
    };
    let Some(last) = path.path.segments.last() else { return ("value".to_owned(), false) };
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(of) => Some(described(of).0),
                _ => None,
            })
        }
        _ => None,
    };
    match (last.ident.to_string().as_str(), inner) {
        ("Option", Some(inner)) => (inner, true),
        ("Vec", Some(inner)) => (format!("list of {inner}s"), false),
        ("usize" | "u8" | "u32" | "u64", _) => ("whole number".to_owned(), false),
        ("f64", _) => ("number".to_owned(), false),
        ("bool", _) => ("true or false".to_owned(), false),
        (
            "String" | "EngineKind" | "Part" | "Objective" | "Tie" | "Backend" | "Scale" | "Method",
            _,
        ) => ("text".to_owned(), false),
        _ => ("table".to_owned(), false),
    }
}

/// The `Default` of a type that is none of the file's own structs.
fn usual(is: &str, of: &Type, file: &syn::File) -> String {
    match is {
        "true or false" => return "false".to_owned(),
        "number" | "whole number" => return "0".to_owned(),
        _ => {}
    }
    let Type::Path(path) = of else { return String::new() };
    let variants = file.items.iter().find_map(|item| match item {
        Item::Enum(found) if path.path.is_ident(&found.ident) => Some(&found.variants),
        _ => None,
    });
    let is_default = |variant: &&syn::Variant| {
        variant.attrs.iter().any(|attribute| attribute.path().is_ident("default"))
    };
    let variant = variants.and_then(|variants| variants.iter().find(is_default));
    variant.map_or(String::new(), |variant| format!("{is}::{}", variant.ident))
}

/// Whether serde fills in what is missing.
fn has_default(attributes: &[Attribute]) -> bool {
    let mut found = false;
    serde(attributes, |meta| {
        found |= meta.path.is_ident("default");
        Ok(())
    });
    found
}

/// The function that makes the default, if one does.
fn default_function(attributes: &[Attribute]) -> Option<String> {
    text_of(attributes, "default")
}

/// The text that an attribute of serde gives to `key`.
fn text_of(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    serde(attributes, |meta| {
        if meta.path.is_ident(key) && meta.input.peek(syn::Token![=]) {
            found = Some(meta.value()?.parse::<syn::LitStr>()?.value());
        }
        Ok(())
    });
    found
}

/// Visits the attributes of serde, whose values it skips where `visit` does not take them.
fn serde(
    attributes: &[Attribute],
    mut visit: impl FnMut(&syn::meta::ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What cannot be parsed is no attribute of serde.
        let _ = attribute.parse_nested_meta(|meta| {
            visit(&meta)?;
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Lit>()?;
            }
            Ok(())
        });
    }
}

/// What a function without arguments returns, as its source has it.
fn body(text: &str, function: &str) -> anyhow::Result<String> {
    if function.contains("::") {
        return Ok(format!("{function}()"));
    }
    let found = text.split_once(&format!("fn {function}() -> "));
    let body = found.and_then(|(_, rest)| rest.split_once("{\n")?.1.split_once("\n}"));
    Ok(body.with_context(|| format!("no function `{function}`"))?.0.trim().to_owned())
}

/// What `Default` of a type gives a field, as its source has it.
fn default_of(text: &str, name: &str, field: &str) -> anyhow::Result<String> {
    let found = text.split_once(&format!("impl Default for {name} {{"));
    let line = found.and_then(|(_, rest)| {
        rest.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: ")))
    });
    let line = line.with_context(|| format!("no default of `{name}.{field}`"))?;
    Ok(line.trim_end_matches(',').to_owned())
}

/// An expression of Rust in the words of a file: `Optimiser::Adam { average: 0.0 }` is
/// `{ kind = "adam", average = 0.0 }`.
fn toml_of(expression: &str, is_table: bool) -> String {
    let expression = expression.replace("vec![", "[");
    let (head, fields) = match expression.split_once(" { ") {
        Some((head, fields)) => (head, Some(fields.replace(": ", " = "))),
        None => (&*expression, None),
    };
    let kind = head.rsplit_once("::").map(|(_, kind)| cased(kind, "kebab-case"));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match (kind, fields) {
        (Some(kind), Some(fields)) => write!(text, "`{{ kind = \"{kind}\", {fields}`"),
        // A function, of whose value the meaning tells.
        (Some(kind), None) if kind.ends_with(')') => Ok(()),
        (Some(kind), None) if is_table => write!(text, "`{{ kind = \"{kind}\" }}`"),
        (Some(kind), None) => write!(text, "`\"{kind}\"`"),
        (None, Some(fields)) => write!(text, "`{{ {fields}`"),
        (None, None) => write!(text, "`{expression}`"),
    };
    text
}

/// A name of Rust as serde writes it.
fn cased(name: &str, case: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() && case == "kebab-case" {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// What is said of an item, in one line.
pub(super) fn documentation(attributes: &[syn::Attribute]) -> String {
    let line = |attribute: &syn::Attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }),
            ..
        }) if path.is_ident("doc") => Some(text.value().trim().to_owned()),
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}
