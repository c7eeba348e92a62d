//! The modules of one crate and which of them use which, read from their sources.
//!
//! An edge is a path to another module's item. `mod` and `pub use` lines are none, nor is what only tests use, nor a
//! path from a module to one that it lies in. A name that a module hands on with `pub use` counts as the module's that
//! has the item.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, Meta, UseTree, Visibility};

/// A module's path from the crate's root, which is the empty one.
pub type Module = Vec<String>;

/// Edges of one crate.
pub type Edges = BTreeMap<Module, BTreeSet<Module>>;

/// Reads a crate from its root file.
///
/// # Panics
/// When a file is missing or is no Rust.
#[must_use]
pub fn edges_of(root: &Path) -> Edges {
    let mut files = BTreeMap::new();
    read(root, &Vec::new(), true, &mut files);
    let handed_on: BTreeMap<Module, Vec<(String, Vec<String>)>> =
        files.iter().map(|(module, file)| (module.clone(), reexports(file))).collect();
    let modules: BTreeSet<&Module> = files.keys().collect();
    let mut edges = Edges::new();
    for (module, file) in &files {
        let mut paths = Paths { module, found: Vec::new() };
        paths.visit_file(file);
        let own = edges.entry(module.clone()).or_default();
        for path in paths.found {
            if let Some(target) = resolve(module, &path, &modules, &handed_on, 8)
                && target != *module
                && !module.starts_with(&target)
            {
                own.insert(target);
            }
        }
    }
    edges
}

/// Groups of modules that use each other, each in alphabetical order.
#[must_use]
pub fn circles(edges: &Edges) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (module, reach(edges, module))).collect();
    let mut circles = BTreeSet::new();
    for (module, targets) in &reached {
        let back = |other: &&&Module| reached.get(**other).is_some_and(|from_there| from_there.contains(module));
        let circle: BTreeSet<Module> = targets.iter().filter(back).map(|other| (*other).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reach<'a>(edges: &'a Edges, from: &'a Module) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if seen.insert(target) {
                next.push(target);
            }
        }
    }
    seen
}

fn read(file: &Path, module: &Module, is_root: bool, files: &mut BTreeMap<Module, File>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let folder = file.parent().expect("a file lies in a folder");
    let is_folder_file = is_root || file.file_name().is_some_and(|name| name == "mod.rs");
    let inside = if is_folder_file { folder.to_owned() } else { file.with_extension("") };
    for item in &parsed.items {
        if let Item::Mod(child) = item
            && child.content.is_none()
            && !is_test(&child.attrs)
        {
            let mut path = module.clone();
            path.push(child.ident.to_string());
            read(&child_file(&inside, &child.ident.to_string()), &path, false, files);
        }
    }
    files.insert(module.clone(), parsed);
}

fn child_file(inside: &Path, name: &str) -> PathBuf {
    let plain = inside.join(format!("{name}.rs"));
    if plain.exists() { plain } else { inside.join(name).join("mod.rs") }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
    })
}

/// Names that a module hands on, with the paths that they come from.
fn reexports(file: &File) -> Vec<(String, Vec<String>)> {
    let mut names = Vec::new();
    for item in &file.items {
        if let Item::Use(line) = item
            && !matches!(line.vis, Visibility::Inherited)
        {
            flatten(&line.tree, &mut Vec::new(), &mut names);
        }
    }
    names
}

/// Leaves of a `use` tree: the name that it brings, and its path. A `*` brings the name `*`.
fn flatten(tree: &UseTree, before: &mut Vec<String>, names: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, names);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, names)),
        UseTree::Name(name) if name.ident == "self" => {
            names.push((before.last().cloned().unwrap_or_default(), before.clone()));
        }
        UseTree::Name(name) => {
            let own = name.ident.to_string();
            names.push((own.clone(), [before.as_slice(), &[own]].concat()));
        }
        UseTree::Rename(name) => {
            names.push((name.rename.to_string(), [before.as_slice(), &[name.ident.to_string()]].concat()));
        }
        UseTree::Glob(_) => names.push(("*".to_owned(), before.clone())),
    }
}

/// Paths that a module's file names, tests left out.
struct Paths<'a> {
    module: &'a Module,
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, line: &'ast ItemUse) {
        if matches!(line.vis, Visibility::Inherited) && !is_test(&line.attrs) {
            let mut names = Vec::new();
            flatten(&line.tree, &mut Vec::new(), &mut names);
            self.found.extend(names.into_iter().map(|(_, path)| path));
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) && item.content.is_some() {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_test(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            self.found.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

impl Paths<'_> {
    /// What a macro is given is no syntax yet: every `a::b::c` in it counts.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.take(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.take(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.take(&mut path);
    }

    fn take(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 || self.module.is_empty() && path.first().is_some_and(|first| first == "crate") {
            self.found.push(path);
        }
    }
}

/// The module that has the item of a path; `None` for other crates' items and a module's own.
fn resolve(
    module: &Module,
    path: &[String],
    modules: &BTreeSet<&Module>,
    handed_on: &BTreeMap<Module, Vec<(String, Vec<String>)>>,
    depth: u8,
) -> Option<Module> {
    let depth = depth.checked_sub(1)?;
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            (module[..module.len().checked_sub(ups)?].to_vec(), &path[ups..])
        }
        first => {
            let child = [module.as_slice(), &[first.to_owned()]].concat();
            if !modules.contains(&child) {
                return None;
            }
            (child, &path[1..])
        }
    };
    while let [next, others @ ..] = rest {
        let child = [at.as_slice(), std::slice::from_ref(next)].concat();
        if modules.contains(&child) {
            (at, rest) = (child, others);
            continue;
        }
        let names = handed_on.get(&at)?;
        if let Some((_, from)) = names.iter().find(|(name, _)| name == next) {
            let from = [from.as_slice(), others].concat();
            return resolve(&at, &from, modules, handed_on, depth).or(Some(at));
        }
        break;
    }
    Some(at)
}
