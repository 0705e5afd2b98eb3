use std::collections::HashMap;

use crate::objects::Entity;

/// Entities of one kind, in the order of their creation.
pub struct Table<T> {
    rows: Vec<T>,
    places: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<T: Entity> Table<T> {
    /// The entity with this id.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.place(id).map(|place| &self.rows[place])
    }

    /// Where the entity stands in the order of creation.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// Adds the entity, or puts its new version in the place of the old one, which is returned.
    pub fn put(&mut self, entity: T) -> Option<T> {
        match self.place(entity.id()) {
            Some(place) => Some(std::mem::replace(&mut self.rows[place], entity)),
            None => {
                self.places.insert(entity.id().to_owned(), self.rows.len());
                self.rows.push(entity);
                None
            }
        }
    }

    /// Takes the entity out. Whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(place) = self.places.remove(id) else {
            return false;
        };
        self.rows.remove(place);
        for later in self.places.values_mut().filter(|it| **it > place) {
            *later -= 1;
        }
        true
    }

    /// Those created before the given place (or all), newest first.
    pub fn older_than(&self, place: Option<usize>) -> impl Iterator<Item = &T> {
        self.rows[..place.unwrap_or(self.rows.len())].iter().rev()
    }

    /// Those created after the given place, oldest first.
    pub fn newer_than(&self, place: usize) -> impl Iterator<Item = &T> {
        self.rows[place + 1..].iter()
    }

    /// All of them, oldest first.
    pub fn oldest_first(&self) -> impl Iterator<Item = &T> {
        self.rows.iter()
    }
}
