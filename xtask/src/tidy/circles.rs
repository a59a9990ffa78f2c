//! Which file of a crate uses which: no circles, and no name taken through the crate root.
//!
//! A file uses another if a path in it, outside of tests, leads to something that the other defines.
//! Re-exports are followed to the file that owns the name, so that a `mod.rs` or `lib.rs` which only
//! declares and re-exports uses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// The position of a module in its crate, from the root.
type Module = Vec<String>;

/// What a file says of others.
#[derive(Default)]
struct Source {
    path: PathBuf,
    /// Paths that it uses, from the root of the crate.
    used: BTreeSet<Module>,
    /// Names that it re-exports, and the paths they lead to; none leads out of the crate.
    exported: BTreeMap<String, Option<Module>>,
}

/// The faults of the crate whose sources these are.
pub(super) fn check(folder: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut sources = BTreeMap::new();
    for path in files {
        let module = module_of(path.strip_prefix(folder)?);
        // A program beside a library uses it from outside.
        if path.ends_with("src/main.rs") && folder.join("lib.rs").exists() {
            continue;
        }
        let text = fs::read_to_string(path)?;
        let file = syn::parse_file(&text).with_context(|| path.display().to_string())?;
        let children = children(&file.items);
        let source = Source { path: path.clone(), ..Source::default() };
        let mut reader = Reader { module: module.clone(), children, source };
        reader.visit_file(&file);
        sources.insert(module, reader.source);
    }
    let mut faults = Vec::new();
    let mut arrows: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, source) in &sources {
        let targets = arrows.entry(module).or_default();
        for path in &source.used {
            let Some((owner, through_root)) = owner(path, &sources) else { continue };
            if through_root && !module.is_empty() {
                let shown = source.path.display();
                let name = path.join("::");
                let owner = match owner.is_empty() {
                    true => "the crate that has it".to_owned(),
                    false => format!("`crate::{}`", owner.join("::")),
                };
                faults.push(format!(
                    "{shown}: `crate::{name}` goes through the crate root: take it from {owner}"
                ));
            }
            if owner != module {
                targets.insert(owner);
            }
        }
    }
    faults.extend(circles(&arrows).into_iter().map(|circle| {
        let files: Vec<_> =
            circle.iter().map(|module| sources[*module].path.display().to_string()).collect();
        format!("these files use each other: {}", files.join(", "))
    }));
    Ok(faults)
}

/// The module of a file, by its path below `src`.
fn module_of(path: &Path) -> Module {
    let mut module: Module = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        module.pop();
    }
    module
}

/// The module that defines what a path leads to, and whether the crate root re-exports it.
fn owner<'a>(path: &Module, sources: &'a BTreeMap<Module, Source>) -> Option<(&'a Module, bool)> {
    let mut path = path.clone();
    let mut through_root = false;
    // As many steps as no chain of re-exports has.
    for _ in 0..8 {
        let length = (0..=path.len()).rev().find(|&n| sources.contains_key(&path[..n]))?;
        let (module, source) = sources.get_key_value(&path[..length])?;
        let Some(target) = path.get(length).and_then(|name| source.exported.get(name)) else {
            return Some((module, through_root));
        };
        through_root |= module.is_empty();
        let Some(target) = target else { return Some((module, through_root)) };
        path = target.iter().chain(&path[length + 1..]).cloned().collect();
    }
    None
}

/// Sets of modules that reach each other.
fn circles<'a>(arrows: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> Vec<Vec<&'a Module>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|&start| {
            let mut reached = BTreeSet::new();
            let mut open = vec![start];
            while let Some(module) = open.pop() {
                let next = arrows.get(module).into_iter().flatten();
                open.extend(next.filter(|&&module| reached.insert(module)));
            }
            (start, reached)
        })
        .collect();
    let mut circles: Vec<Vec<&Module>> = Vec::new();
    for (&start, from_start) in &reached {
        if from_start.contains(start) && !circles.iter().any(|circle| circle.contains(&start)) {
            let returns = |module: &&&Module| reached[**module].contains(start);
            circles.push(from_start.iter().filter(returns).copied().collect());
        }
    }
    circles
}

/// Reads the paths of one file.
struct Reader {
    module: Module,
    /// The modules declared in it.
    children: BTreeSet<String>,
    source: Source,
}

fn children(items: &[Item]) -> BTreeSet<String> {
    let declared = |item: &Item| match item {
        Item::Mod(child) if child.content.is_none() => Some(child.ident.to_string()),
        _ => None,
    };
    items.iter().filter_map(declared).collect()
}

impl Reader {
    /// A path as it is written, from the root of the crate; nothing if it leads out of the crate.
    fn resolve(&self, segments: &[String]) -> Option<Module> {
        let mut base = match segments.first()?.as_str() {
            "crate" => return Some(segments[1..].to_vec()),
            "self" | "super" => self.module.clone(),
            first if self.children.contains(first) => {
                return Some(self.module.iter().chain(segments).cloned().collect());
            }
            _ => return None,
        };
        let mut rest = segments;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "self" => {}
                "super" => {
                    base.pop();
                }
                _ => break,
            }
            rest = tail;
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn read_use(&mut self, tree: &UseTree, prefix: &[String], is_exported: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.read_use(&path.tree, &with(&path.ident), is_exported),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.read_use(tree, prefix, is_exported));
            }
            UseTree::Name(name) => self.record(&with(&name.ident), &name.ident, is_exported),
            UseTree::Rename(name) => self.record(&with(&name.ident), &name.rename, is_exported),
            UseTree::Glob(_) => self.source.used.extend(self.resolve(prefix)),
        }
    }

    fn record(&mut self, path: &[String], name: &syn::Ident, is_exported: bool) {
        let path = match path {
            [prefix @ .., last] if last == "self" => prefix,
            path => path,
        };
        let path = self.resolve(path);
        if is_exported {
            self.source.exported.insert(name.to_string(), path);
        } else {
            self.source.used.extend(path);
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list)
                if ["test", "doctest"].contains(&list.tokens.to_string().as_str()))
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            let is_exported = !matches!(item.vis, Visibility::Inherited);
            self.read_use(&item.tree, &[], is_exported);
        }
    }

    /// `pub(crate)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.source.used.extend(self.resolve(&segments));
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a crate of these files.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |(name, text): &(&str, &str)| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(&path, text).expect("a file");
            path
        };
        let paths: Vec<PathBuf> = files.iter().map(write).collect();
        let found = check(folder.path(), &paths).expect("readable");
        let root = format!("{}/", folder.path().display());
        found.into_iter().map(|fault| fault.replace(&root, "")).collect()
    }

    #[test]
    fn a_facade_is_no_circle() {
        let found = faults(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn files_that_use_each_other_are_found() {
        let found = faults(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c; pub struct A; fn f() -> crate::b::B { c::f() }"),
            ("a/c.rs", "use super::A; pub(super) fn f() {}"),
            ("b.rs", "pub struct B;"),
        ]);
        assert_eq!(found, ["these files use each other: a.rs, a/c.rs"]);
    }

    #[test]
    fn names_are_taken_from_the_module_that_owns_them() {
        let found = faults(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use other::O; pub const N: u8 = 1;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", "use crate::{A, N, O};"),
        ]);
        let through = "goes through the crate root: take it from";
        assert_eq!(
            found,
            [
                format!("b.rs: `crate::A` {through} `crate::a`"),
                format!("b.rs: `crate::O` {through} the crate that has it"),
            ]
        );
    }
}
