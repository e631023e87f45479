//! The tables in the kernel. They stay when Corten goes; the next one finds out what is there, and changes
//! what has to change in one transaction, so that no packet ever sees a half or an empty table.

use super::element::{Action, Key, Pick, Set, Value};
use super::rules::Changes;
use super::skeleton::{Layout, add_pick, add_table, layout_chain};
use crate::cidr::Family;
use crate::netlink::Socket;
use crate::nft::{Batch, Data, Element, Refused, Tables};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// The tables of an instance, one of each family, and what is known to be in them.
pub(crate) struct Kernel {
    socket: Socket,
    table: String,
    layout: Layout,
    /// The chains of picks that are there. They are never removed: there are few (one for each number of
    /// endpoints), and kernels before 6.2 think for a while that a chain is still in use.
    picks: BTreeSet<(Family, String)>,
    /// The families that the machine has.
    families: Vec<Family>,
}

impl Kernel {
    /// Of the namespace of this thread.
    pub(crate) fn open(table: String) -> io::Result<Self> {
        let has_v6 = std::path::Path::new("/proc/sys/net/ipv6").exists();
        let families = Family::ALL.into_iter().filter(|family| has_v6 || *family == Family::V4).collect();
        let socket = Socket::netfilter()?;
        Ok(Self { socket, table, layout: Layout::default(), picks: BTreeSet::new(), families })
    }

    /// Makes the tables equal to what is wanted, whatever is in them now.
    pub(crate) fn synchronise(
        &mut self,
        layout: Layout,
        wanted: impl Iterator<Item = (Key, Value)>,
    ) -> Result<(), Refused> {
        let mut by_set = grouped(wanted);
        self.layout = layout;
        self.picks.clear();
        let mut batch = Batch::new();
        for family in self.families.clone() {
            let reading = |source| Refused { step: format!("read table {}", self.table), source };
            let chains = Tables(&mut self.socket).chains(family, &self.table).map_err(reading)?;
            let keep = chains.contains(&layout_chain(family, &self.layout));
            if keep {
                self.picks.extend(chains.into_iter().map(|chain| (family, chain)));
            } else {
                // Adding first makes deleting right whether there is a table or not.
                batch.add_table(family, &self.table);
                batch.delete_table(family, &self.table);
                add_table(&mut batch, family, &self.table, &self.layout);
            }
            for set in Set::ALL {
                let wanted = by_set.remove(&(family, set)).unwrap_or_default();
                self.add_picks(&mut batch, wanted.iter().map(|(key, value)| (*key, *value)));
                let present = if keep { self.elements(family, set)? } else { Vec::new() };
                let (removed, added) = difference(present, &wanted);
                batch.delete_elements(family, &self.table, set.name(), &removed);
                batch.add_elements(family, &self.table, set.name(), &added);
            }
        }
        let result = batch.commit(&mut self.socket);
        if result.is_err() {
            self.picks.clear(); // whatever is there, it is not known
        }
        result
    }

    /// Makes changes that follow from what the tables hold.
    pub(crate) fn apply(&mut self, changes: &Changes) -> Result<(), Refused> {
        let mut batch = Batch::new();
        self.add_picks(&mut batch, changes.added.iter().map(|(key, value)| (*key, *value)));
        for family in self.families.clone() {
            for set in Set::ALL {
                let of = |elements: &BTreeMap<Key, Value>| -> Vec<Element> {
                    let wanted =
                        elements.iter().filter(|(key, _)| key.set() == set && key.family() == family);
                    wanted.map(|(key, value)| key.element(*value)).collect()
                };
                batch.delete_elements(family, &self.table, set.name(), &of(&changes.removed));
                batch.add_elements(family, &self.table, set.name(), &of(&changes.added));
            }
        }
        batch.commit(&mut self.socket)
    }

    /// Whether the tables are still there, with this layout: another program may have flushed all rules.
    pub(crate) fn is_whole(&mut self) -> io::Result<bool> {
        for family in self.families.clone() {
            let chains = Tables(&mut self.socket).chains(family, &self.table)?;
            if !chains.contains(&layout_chain(family, &self.layout)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the tables hold just these elements.
    pub(crate) fn is_exact(&mut self, wanted: impl Iterator<Item = (Key, Value)>) -> Result<bool, Refused> {
        let mut by_set = grouped(wanted);
        for family in self.families.clone() {
            for set in Set::ALL {
                let wanted = by_set.remove(&(family, set)).unwrap_or_default();
                let (removed, added) = difference(self.elements(family, set)?, &wanted);
                if !removed.is_empty() || !added.is_empty() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Removes the tables.
    pub(crate) fn remove(&mut self) -> Result<(), Refused> {
        let mut batch = Batch::new();
        for family in self.families.clone() {
            batch.add_table(family, &self.table);
            batch.delete_table(family, &self.table);
        }
        batch.commit(&mut self.socket)
    }

    /// The socket, for what goes with the rules.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn elements(&mut self, family: Family, set: Set) -> Result<Vec<Element>, Refused> {
        Tables(&mut self.socket)
            .elements(family, &self.table, set.name())
            .map_err(|source| Refused { step: format!("read set {}", set.name()), source })
    }

    /// Adds the chains that elements go to and that are not there.
    fn add_picks(&mut self, batch: &mut Batch, elements: impl Iterator<Item = (Key, Value)>) {
        let wanted: BTreeSet<(Family, Pick)> = elements
            .filter(|(key, _)| self.families.contains(&key.family()))
            .filter_map(|(key, value)| match value {
                Value::Action(Action::Pick(pick)) => Some((key.family(), pick)),
                _ => None,
            })
            .collect();
        for (family, pick) in wanted {
            if self.picks.insert((family, pick.name())) {
                add_pick(batch, family, &self.table, pick);
            }
        }
    }
}

fn grouped(wanted: impl Iterator<Item = (Key, Value)>) -> BTreeMap<(Family, Set), BTreeMap<Key, Value>> {
    let mut by_set: BTreeMap<(Family, Set), BTreeMap<Key, Value>> = BTreeMap::new();
    for (key, value) in wanted {
        by_set.entry((key.family(), key.set())).or_default().insert(key, value);
    }
    by_set
}

/// Where an element is: its key, and the end of its range.
type Place = (Vec<u8>, Option<Vec<u8>>);

/// What to remove and what to add, for a set that holds `present`.
fn difference(present: Vec<Element>, wanted: &BTreeMap<Key, Value>) -> (Vec<Element>, Vec<Element>) {
    let wanted = wanted.iter().map(|(key, value)| key.element(*value));
    let mut missing: HashMap<Place, Option<Data>> =
        wanted.map(|element| ((element.key, element.end), element.data)).collect();
    let mut removed = Vec::new();
    for element in present {
        let at = (element.key.clone(), element.end.clone());
        match missing.get(&at) {
            Some(data) if *data == element.data => {
                missing.remove(&at);
            }
            _ => removed.push(element),
        }
    }
    let added = missing.into_iter().map(|((key, end), data)| Element { key, end, data }).collect();
    (removed, added)
}
