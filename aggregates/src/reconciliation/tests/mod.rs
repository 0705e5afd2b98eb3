mod comparing;
mod faults;
mod rules;
mod runs_and_breaks;
mod years;
